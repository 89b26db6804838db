// The desk: a big button, the time, how loud it is.

import * as api from "./api.js";
import { attempt, clock, confirmed, el, icon, moment, say, spokenClock, t, whyNot } from "./page.js";

const BARS = 48;
const TICK_MS = 80;
// What a browser says when it gives no microphone, or no space to keep what it hears.
const REFUSALS = {
  NotAllowedError: "no_permission",
  SecurityError: "no_permission",
  NotFoundError: "no_microphone",
  NotReadableError: "no_microphone",
  AbortError: "no_microphone",
  QuotaExceededError: "device_full",
};

// What browsers give no type to, or not one of sound.
const BY_ENDING = { amr: "audio/amr", caf: "audio/x-caf", opus: "audio/ogg", "3gp": "video/3gpp", m4a: "audio/mp4", aac: "audio/aac" };

/** The type of a file of sound; undefined when it is none. */
const typeOf = ({ name, type }) =>
  /^(?:(?:audio|video)\/|application\/ogg)/.exec(type) ? type.split(";")[0] : BY_ENDING[name.toLowerCase().split(".").pop()];

/** Whether this browser can record here: pages without TLS are given no microphone. */
const canRecord = () =>
  Boolean(navigator.mediaDevices?.getUserMedia && globalThis.MediaRecorder && globalThis.indexedDB && navigator.locks);

// At once when somebody is at the desk, who may be without a network later; not before.
const load = () => import("./recording.js");

/** The desk. `busy()` says whether it is recording. */
export function desk() {
  let recording;
  let ticking;
  let here; // What is wrong on this device, in words.
  const levels = Array(BARS).fill(0);
  const bars = levels.map(() => el("i"));
  const time = el("p", { class: "clock", "aria-hidden": "true" }, clock(0));
  const state = el("p", { class: "desk-state" }, t("ready"));
  const main = el("button", { type: "button", class: "record", onclick: attempt(() => (recording ? finish() : begin())) }, el("span", {}));
  const pause = el("button", { type: "button", class: "pill", onclick: () => pauseOrResume() });
  const discard = el("button", { type: "button", class: "pill", onclick: attempt(throwAway) }, icon("trash"), t("discard"));
  const file = el("input", {
    type: "file", class: "visually-hidden", tabIndex: -1, multiple: true, "aria-hidden": "true",
    accept: "audio/*,video/mp4,video/webm,video/quicktime,video/3gpp,application/ogg,.amr,.caf,.opus",
    onchange: attempt(async () => {
      const files = [...file.files];
      file.value = "";
      await take(files);
    }),
  });
  const choose = el("button", { type: "button", class: "pill", onclick: () => file.click() }, icon("upload"), t("upload_file"));
  const trouble = el("p", { class: "trouble", role: "alert" });
  const element = el(
    "section",
    { class: "desk", "aria-label": t("desk") },
    time,
    el("div", { class: "level", "aria-hidden": "true" }, bars),
    main,
    state,
    el("div", { class: "desk-actions" }, pause, discard, choose, file),
    trouble,
  );
  show();
  load().catch(console.error);

  function show() {
    const now = recording ? (recording.paused ? "paused" : "recording") : "ready";
    element.dataset.state = now;
    main.setAttribute("aria-label", t(recording ? "finish" : "record"));
    main.title = t(recording ? "finish" : "record");
    state.textContent = t(recording ? now : canRecord() ? "ready" : "cannot_record");
    main.disabled = !recording && !canRecord();
    pause.replaceChildren(icon(recording?.paused ? "mic" : "pause"), t(recording?.paused ? "resume" : "pause"));
    pause.hidden = discard.hidden = !recording;
    choose.hidden = Boolean(recording);
  }

  async function begin() {
    const { user } = api.session();
    here = undefined;
    trouble.textContent = "";
    state.textContent = t("asking");
    try {
      const { Recording } = await load();
      recording = await Recording.begin({
        user: user.id,
        fileName: moment(new Date()),
        onTrouble: (error) => (here = error && t("device_full")),
        onEnd: attempt(async () => {
          await finish();
          say(t("microphone_gone"));
        }),
      });
    } catch (error) {
      show();
      trouble.textContent = t(REFUSALS[error.name] ?? "unforeseen");
      if (!REFUSALS[error.name]) console.error(error);
      return;
    }
    show();
    say(t("recording_begun"));
    ticking = setInterval(tick, TICK_MS);
  }

  function tick() {
    const text = clock(recording.elapsed / 1000);
    if (time.textContent !== text) time.textContent = text;
    const wrong = here ?? (recording.trouble ? t("not_sent", { why: whyNot(recording.trouble) }) : "");
    if (trouble.textContent !== wrong) trouble.textContent = wrong;
    levels.push(recording.level);
    levels.shift();
    bars.forEach((bar, at) => (bar.style.transform = `scaleY(${Math.max(0.04, levels[at])})`));
  }

  function pauseOrResume() {
    if (recording.paused) recording.resume();
    else recording.pause();
    show();
    say(t(recording.paused ? "paused_at" : "resumed", { time: spokenClock(recording.elapsed / 1000) }));
  }

  function ended() {
    clearInterval(ticking);
    recording = undefined;
    levels.fill(0);
    for (const bar of bars) bar.style.transform = "";
    time.textContent = clock(0);
    trouble.textContent = "";
    show();
  }

  async function finish() {
    const finished = recording;
    if (!finished) return;
    try {
      await finished.finish();
    } catch (error) {
      here = t(REFUSALS[error.name] ?? "unforeseen");
      throw error;
    }
    ended();
    say(t("finished", { time: spokenClock(finished.elapsed / 1000) }));
    main.focus();
  }

  async function throwAway() {
    const wentOn = !recording.paused;
    if (wentOn) pauseOrResume();
    const sure = await confirmed(t("discard"), t("discard_sure", { time: spokenClock(recording.elapsed / 1000) }), t("discard"));
    if (!recording) return; // Its microphone went meanwhile, and it is kept.
    if (!sure) return void (wentOn && pauseOrResume());
    await recording.discard();
    ended();
    say(t("discarded"));
    main.focus();
  }

  async function take(files) {
    const { user } = api.session();
    const { keepFile } = await load();
    for (const each of files) {
      const type = typeOf(each);
      if (!type) say(t("no_sound", { name: each.name }));
      else if (each.size) await keepFile(each, type, user.id);
    }
  }

  return { element, take, finish, busy: () => Boolean(recording) };
}
