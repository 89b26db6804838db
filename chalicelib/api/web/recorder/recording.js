// Recording: the microphone, what it picks up, and that every second of it is kept as it comes.

import { uuid7 } from "./api.js";
import * as outbox from "./outbox.js";
import { busyWith, changed } from "./sending.js";

const PIECE_MS = 1000;
// What plays everywhere comes first.
const TYPES = [
  "audio/mp4;codecs=mp4a.40.2",
  "audio/mp4",
  "audio/webm;codecs=opus",
  "audio/webm",
  "audio/ogg;codecs=opus",
];

/** Whether this browser can record here: pages without TLS are given no microphone. */
export const canRecord = () =>
  Boolean(navigator.mediaDevices?.getUserMedia && globalThis.MediaRecorder && globalThis.indexedDB);

/** One recording under way; begin() makes it. */
export class Recording {
  #stream;
  #media;
  #release;
  #analyser;
  #context;
  #samples;
  #wake;
  #number = 0;
  #unkept = [];
  #writing = Promise.resolve();
  #before = 0;
  #since = null;

  /**
   * Asks for the microphone, and records until finish() or discard().
   *
   * `onTrouble` is told when this device takes no more, and null when it does again; `onEnd` is
   * called when the microphone is gone.
   */
  static async begin({ user, fileName, onTrouble, onEnd }) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const self = new Recording();
    try {
      await self.#start(stream, user, fileName, onTrouble);
    } catch (error) {
      await self.#close();
      throw error;
    }
    stream.getAudioTracks()[0].addEventListener("ended", onEnd);
    return self;
  }

  async #start(stream, user, fileName, onTrouble) {
    this.#stream = stream;
    this.onTrouble = onTrouble;
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    this.#media = new MediaRecorder(stream, { mimeType, audioBitsPerSecond: 96_000 });
    const id = uuid7();
    this.kept = {
      id,
      sent_as: id,
      user,
      file_name: fileName,
      content_type: (this.#media.mimeType || mimeType).split(";")[0],
      recorded_at: new Date().toISOString(),
      duration_ms: 0,
      size: 0,
      state: "recording",
    };
    // Held for as long as this tab lives: so others know whether a recording was left behind.
    this.#release = await busyWith(id);
    await outbox.keep(this.kept);
    // Asked now, because a browser grants it more readily to a page that is in use.
    navigator.storage?.persist?.();
    this.#media.ondataavailable = ({ data }) => this.#take(data);
    this.#listen();
    await this.#stayAwake();
    this.#media.start(PIECE_MS);
    this.#since = performance.now();
  }

  /** Milliseconds of sound so far. */
  get elapsed() {
    return Math.round(this.#before + (this.#since === null ? 0 : performance.now() - this.#since));
  }

  get paused() {
    return this.#media.state === "paused";
  }

  pause() {
    this.#media.pause();
    this.#before = this.elapsed;
    this.#since = null;
  }

  resume() {
    this.#media.resume();
    this.#since = performance.now();
  }

  /** How loud it is right now, from 0 to 1, on a scale that ears would agree with. */
  get level() {
    if (!this.#analyser || this.paused) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    const decibels = 10 * Math.log10(power || 1e-10);
    return Math.min(1, Math.max(0, (decibels + 60) / 60));
  }

  /** Ends it. It is whole on this device when this is done, and then goes on its way. */
  async finish() {
    await this.#stop();
    this.kept = { ...this.kept, state: "waiting" };
    await outbox.keep(this.kept, this.#unkept);
    await this.#close();
    changed();
  }

  /** Ends it, and forgets it. */
  async discard() {
    await this.#stop();
    await outbox.forget(this.kept.id);
    await this.#close();
    changed();
  }

  async #stop() {
    const elapsed = this.elapsed;
    if (this.#media.state !== "inactive") {
      const stopped = new Promise((resolve) => (this.#media.onstop = resolve));
      this.#media.stop(); // What it still has comes before the event.
      await stopped;
    }
    await this.#writing;
    this.#since = null;
    this.#before = elapsed;
    this.kept = { ...this.kept, duration_ms: elapsed };
  }

  #take(blob) {
    if (!blob.size) return;
    const elapsed = this.elapsed;
    const number = this.#number++;
    // One after the other, since pieces are bytes of one file.
    this.#writing = this.#writing.then(async () => {
      this.#unkept.push({ number, bytes: await blob.arrayBuffer() });
      const size = this.kept.size + blob.size;
      this.kept = { ...this.kept, size, duration_ms: elapsed };
      try {
        await outbox.keep(this.kept, this.#unkept);
        this.#unkept = [];
        this.onTrouble(null);
      } catch (error) {
        // It stays in memory, and is tried again with the next piece.
        this.onTrouble(error);
      }
    });
  }

  #listen() {
    this.#context = new AudioContext();
    this.#context.resume();
    this.#analyser = this.#context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#context.createMediaStreamSource(this.#stream).connect(this.#analyser);
  }

  async #stayAwake() {
    // A phone that locks its screen takes the microphone away.
    this.#wake = await navigator.wakeLock?.request("screen").catch(() => null);
  }

  async #close() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#context?.close();
    this.#wake?.release();
    await this.#release?.();
  }
}

const COPIED_AT_ONCE = 8 * 1024 * 1024;

/** Takes a file for a recording: it is copied first, so that it can be sent whenever that can be. */
export async function keepFile(file, user) {
  const id = uuid7();
  const release = await busyWith(id);
  try {
    const kept = {
      id,
      sent_as: id,
      user,
      file_name: file.name || "?",
      content_type: file.type.split(";")[0],
      recorded_at: new Date(file.lastModified).toISOString(),
      size: file.size,
      state: "copying",
    };
    for (let number = 0; number * COPIED_AT_ONCE < file.size; number++) {
      const start = number * COPIED_AT_ONCE;
      const bytes = await file.slice(start, start + COPIED_AT_ONCE).arrayBuffer();
      await outbox.keep(kept, [{ number, bytes }]);
    }
    await outbox.keep({ ...kept, state: "waiting" });
  } catch (error) {
    await outbox.forget(id);
    throw error;
  } finally {
    await release();
  }
  changed();
}
