// Recording: the microphone, what it picks up, and that every second of it is kept as it comes, and sent
// soon after.

import { uuid7 } from "./api.js";
import * as outbox from "./outbox.js";
import { arrivedOf, busyWith, changed, discard, sender, troubleOf } from "./sending.js";

// What a tab that dies has lost.
const PIECE_MS = 1000;
// What a device that is lost takes along. Half of it would cost twice as many requests.
const SENT_EVERY_MS = 5000;
// What plays everywhere comes first.
const TYPES = [
  "audio/mp4;codecs=mp4a.40.2",
  "audio/mp4",
  "audio/webm;codecs=opus",
  "audio/webm",
  "audio/ogg;codecs=opus",
];

/** One recording under way; begin() makes it. */
export class Recording {
  #stream;
  #media;
  #release;
  #analyser;
  #context;
  #samples;
  #wake;
  #id = uuid7();
  #sender = sender(this.#id);
  #sentAt = 0;
  #size = 0;
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
    // Held for as long as this tab lives: so others know whether a recording was left behind.
    this.#release = await busyWith(this.#id);
    await outbox.keep({
      id: this.#id,
      sent_as: this.#id,
      user,
      file_name: fileName,
      content_type: (this.#media.mimeType || mimeType).split(";")[0],
      recorded_at: new Date().toISOString(),
      duration_ms: 0,
      size: 0,
      state: "recording",
    });
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
    this.#media.requestData();
    this.#media.pause();
    this.#before = this.elapsed;
    this.#since = null;
  }

  resume() {
    this.#media.resume();
    this.#since = performance.now();
  }

  /** Why the API takes nothing of it at present, as a code. */
  get trouble() {
    return troubleOf(this.#id);
  }

  /** How loud it is right now, from 0 to 1, on a scale that ears would agree with. */
  get level() {
    if (!this.#analyser || this.paused) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    const decibels = 10 * Math.log10(power || 1e-10);
    return Math.min(1, Math.max(0, (decibels + 60) / 60));
  }

  /**
   * Ends it: it is then whole on this device, and goes on its way; of one that was over before it began
   * nothing is kept. Without space it throws, and can be repeated.
   */
  async finish() {
    await this.#stop();
    if (!this.#size) return this.discard();
    await this.#keep({ duration_ms: this.elapsed, state: "waiting" });
    this.#close();
    changed();
  }

  /** Ends it, and forgets it. */
  async discard() {
    await this.#stop();
    await discard(this.#id);
    this.#close();
  }

  async #stop() {
    const { elapsed } = this;
    if (this.#media.state !== "inactive") {
      const stopped = new Promise((resolve) => (this.#media.onstop = resolve));
      this.#media.stop(); // What it still has comes before the event.
      await stopped;
    }
    this.#since = null;
    this.#before = elapsed;
    this.#mute();
    await this.#writing;
  }

  #take(blob) {
    const { elapsed, paused } = this;
    // One after the other, since pieces are bytes of one file.
    this.#writing = this.#writing.then(async () => {
      if (blob.size) this.#unkept.push({ number: this.#size, bytes: await blob.arrayBuffer() });
      this.#size += blob.size;
      // What is not kept stays in memory, and is tried again with the next piece.
      await this.#keep({ duration_ms: elapsed }).then(() => this.onTrouble(null), this.onTrouble);
      if (!paused && elapsed - this.#sentAt < SENT_EVERY_MS) return;
      this.#sentAt = elapsed;
      this.#sender.unlessItWaits().catch(console.error);
    });
  }

  async #keep(changes) {
    const keep = () => outbox.change(this.#id, { size: this.#size, ...changes }, this.#unkept);
    try {
      await keep();
    } catch {
      // This device may be full, and what has arrived is what it can do without.
      await outbox.lighten(this.#id, arrivedOf(this.#id));
      await keep();
    }
    this.#unkept = [];
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

  #mute() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
  }

  async #close() {
    this.#mute();
    this.#context?.close();
    this.#wake?.release();
    // What is just being sent ends first; the rest is then sent as that of any other.
    await this.#sender.now().catch(console.error);
    await this.#release?.();
    changed();
  }
}

const COPIED_AT_ONCE = 8 * 1024 * 1024;

/** Takes a file of sound for a recording: it is copied first, so that it can be sent whenever that can be. */
export async function keepFile(file, type, user) {
  const id = uuid7();
  const release = await busyWith(id);
  try {
    const kept = {
      id,
      sent_as: id,
      user,
      file_name: file.name || "?",
      content_type: type,
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
