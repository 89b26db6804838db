// Playing a recording: the sound's shape, where one is in it, and how fast.

import * as api from "./api.js";
import { clock, el, icon, iconButton, spokenClock, t, told, say } from "./page.js";

// Up to this it is fetched whole, once: it then seeks at once, and its shape can be drawn here.
const FETCHED_WHOLE = 24 * 1024 * 1024;
const SPEEDS = [0.75, 1, 1.25, 1.5, 2];
const BARS = 400;
const RENEWED_EVERY_MS = 10_000;
// With this height the style that wavesurfer makes is the one that the page's policy allows.
const HEIGHT = 72;

let playing;

/** The player of a recording; `toggled` is told whether it plays. Call its `stop()` before it is removed. */
export function player(recording, toggled) {
  let seconds = secondsOf(recording);
  const audio = new Audio();
  audio.preload = "metadata";
  const shape = el("div", { class: "shape", "aria-hidden": "true" });
  const position = el("input", {
    type: "range", class: "position", min: 0, max: seconds || 1, step: 0.1, value: 0, disabled: true,
    "aria-label": t("position"), "aria-valuetext": spokenClock(0),
  });
  const time = el("span", { class: "time" }, clock(0));
  const length = el("span", { class: "time" }, clock(seconds));
  const toggle = iconButton("play", t("play"), () => (audio.paused ? play() : audio.pause()), { class: "play big" });
  const speed = el(
    "select",
    { "aria-label": t("speed"), onchange: () => (audio.playbackRate = Number(speed.value)) },
    SPEEDS.map((each) => el("option", { value: each, selected: each === 1 }, t("times", { n: each }))),
  );
  const skip = (by) => (audio.currentTime = Math.min(total(), Math.max(0, audio.currentTime + by)));
  const element = el(
    "div",
    { class: "player", role: "group", "aria-label": t("player") },
    el("div", { class: "track" }, shape, position),
    el("div", { class: "times" }, time, length),
    el(
      "div",
      { class: "controls" },
      iconButton("back", t("back"), () => skip(-10)),
      toggle,
      iconButton("forward", t("forward"), () => skip(10)),
      el("div", { class: "speed" }, speed),
    ),
  );

  let wave;
  let url;
  let stopped = false;
  let renewedAt = -Infinity;
  const total = () => (Number.isFinite(audio.duration) && audio.duration) || seconds;
  const shown = () => {
    position.max = total() || 1;
    position.value = audio.currentTime;
    position.setAttribute("aria-valuetext", t("of", { time: spokenClock(audio.currentTime), length: spokenClock(total()) }));
    time.textContent = clock(audio.currentTime);
    length.textContent = clock(total());
  };
  const turned = () => {
    const name = audio.paused ? "play" : "pause";
    toggle.replaceChildren(icon(name));
    toggle.setAttribute("aria-label", t(name));
    toggle.title = t(name);
    toggled(!audio.paused);
  };
  for (const event of ["timeupdate", "durationchange", "seeked"]) audio.addEventListener(event, shown);
  for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, turned);
  audio.addEventListener("play", () => {
    if (playing !== audio) playing?.pause();
    playing = audio;
  });
  position.addEventListener("input", () => (audio.currentTime = Number(position.value)));

  const ready = load().then(
    () => true,
    (error) => void (stopped || say(told(error))),
  );

  async function load() {
    const found = await api.find(recording.id);
    if (!found.audio || stopped) return;
    seconds = secondsOf(found);
    const [whole, known] = await Promise.all([fetched(found.audio.url), found.sound?.readable && api.waveform(recording.id)]);
    if (stopped) return;
    if (whole) url = URL.createObjectURL(whole);
    audio.src = url ?? found.audio.url;
    await new Promise((resolve, reject) => {
      audio.onloadedmetadata = resolve;
      audio.onerror = () => reject(new api.Problem(415, { code: "not_playable" }));
    });
    if (!seconds) await measured(audio);
    audio.onerror = broken;
    position.disabled = false;
    shown();
    draw(known ? peaksOf(known) : whole && drawn(whole));
  }

  /** Without its shape it plays all the same. */
  async function draw(peaks) {
    peaks = await peaks;
    if (!peaks || stopped) return;
    const made = await waveOf(shape, audio, peaks, total()).catch(console.error);
    if (stopped) made?.destroy();
    else wave = made;
  }

  function broken() {
    // What was cut off amid a frame breaks there, which is its end.
    if (stopped || audio.currentTime < total() - 1) return renewed();
    audio.load();
    turned();
  }

  /** An address is good for some minutes, and a recording may be longer: another one, and on from there. */
  async function renewed() {
    if (stopped || url || performance.now() - renewedAt < RENEWED_EVERY_MS) return;
    renewedAt = performance.now();
    const at = audio.currentTime;
    const playing = !audio.paused;
    try {
      audio.src = (await api.find(recording.id)).audio.url;
      audio.currentTime = at;
      if (playing) await audio.play();
    } catch (error) {
      if (!stopped) say(told(error));
    }
  }

  async function fetched(from) {
    if (recording.size > FETCHED_WHOLE) return null;
    // Without the type that S3 says, since a browser refuses some types that it could play.
    const answer = await fetch(from, { referrerPolicy: "no-referrer" }).catch(() => null);
    return answer?.ok ? answer.blob() : null;
  }

  async function play() {
    if ((await ready) && !stopped) await audio.play().catch((error) => stopped || say(told(error)));
  }

  return {
    element,
    play,
    toggle: () => toggle.click(),
    stop() {
      stopped = true;
      audio.pause();
      audio.onerror = null;
      audio.removeAttribute("src");
      wave?.destroy();
      if (url) URL.revokeObjectURL(url);
    },
  };
}

/** How long it is, by its own bytes, or else as was said; 0 when neither is known. */
const secondsOf = ({ sound, duration_ms }) => (sound?.duration_ms ?? duration_ms ?? 0) / 1000;

/**
 * What a browser recorded as WebM does not say how long it is, until somebody has gone to its end. All of
 * it is read for that; so only when the API does not know it either.
 */
function measured(audio) {
  if (audio.duration !== Infinity) return undefined;
  return new Promise((resolve) => {
    audio.addEventListener("seeked", () => {
      audio.addEventListener("seeked", resolve, { once: true });
      audio.currentTime = 0;
    }, { once: true });
    audio.currentTime = 1e9;
  });
}

/** audiowaveform's pairs of 8 bits, as one line of loudness from 0 to 1. */
const peaksOf = ({ data, length }) =>
  Array.from({ length }, (_, at) => Math.max(-data[2 * at], data[2 * at + 1]) / 128);

/** The same of a sound that is here. */
async function drawn(blob) {
  try {
    // The fewest samples a second that browsers decode to; hours of them still fit in memory.
    const context = new OfflineAudioContext(1, 1, 8000);
    const samples = (await context.decodeAudioData(await blob.arrayBuffer())).getChannelData(0);
    const each = Math.max(1, Math.floor(samples.length / BARS));
    return Array.from({ length: Math.floor(samples.length / each) }, (_, bar) => {
      let loudest = 0;
      for (let at = bar * each; at < (bar + 1) * each; at++) loudest = Math.max(loudest, Math.abs(samples[at]));
      return loudest;
    });
  } catch {
    return null; // A format that is played here, but not decoded.
  }
}

async function waveOf(container, media, peaks, duration) {
  const { default: WaveSurfer } = await import("../wavesurfer-8.0.1/wavesurfer.esm.js");
  const colour = (name) => getComputedStyle(container).getPropertyValue(name).trim();
  return WaveSurfer.create({
    container,
    media,
    peaks: [peaks],
    duration,
    height: HEIGHT,
    interact: false, // The slider above it is for hands, keys and ears.
    normalize: true,
    barWidth: 3,
    barGap: 2,
    barRadius: 3,
    cursorWidth: 0,
    waveColor: colour("--wave"),
    progressColor: colour("--wave-played"),
  });
}
