// Sending what the outbox has, whenever that can be: after each recording, when the network is
// back, when the page is opened again, and in between at growing intervals.
//
// Whoever is busy with a recording, recording it or sending it, holds a lock of its name. So no two
// tabs send the same one, and one that is "recording" though nobody is busy with it was left behind.

import * as api from "./api.js";
import * as outbox from "./outbox.js";

const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 60_000;
// What S3 refuses a few times over it will refuse again.
const MOST_REFUSALS = 4;
// These pass by themselves, or somebody logs in again; whatever else was said needs a person.
const PASSING = new Set(["not_authenticated", "token_expired", "refresh_token_reused", "upload_incomplete", "not_stored"]);
const FORGOTTEN = new Set(["not_found", "id_conflict", "upload_mismatch"]);

const tabs = new BroadcastChannel("recorder");
const lockOf = (id) => `recorder.recording.${id}`;
const progress = new Map();
const aborts = new Map();
const refusals = new Map();
const watched = new Map();
let wait = FIRST_WAIT_MS;
let timer;
let running = false;
let again = false;

/** Holds a recording's lock until the function that this gives is called, and has ended. */
export async function busyWith(id) {
  if (!navigator.locks) return () => {};
  return new Promise((taken) => {
    const held = navigator.locks.request(lockOf(id), () => {
      // What releases it waits until it is free, since whoever sends looks at once.
      return new Promise((release) => taken(() => (release(), held)));
    });
  });
}

async function ifNobodyIsBusyWith(id, task, otherwise) {
  if (!navigator.locks) return task();
  return navigator.locks.request(lockOf(id), { ifAvailable: true }, (lock) => (lock ? task() : otherwise()));
}

/** Sends it as soon as whoever is busy with it no longer is: has finished with it, or died. */
function whenFree(id, user) {
  // A tab that nobody looks at may be asleep when its turn comes, and leaves it to the others.
  if (watched.has(id) || document.visibilityState === "hidden") return;
  const watching = new AbortController();
  watched.set(id, watching);
  navigator.locks
    .request(lockOf(id), { signal: watching.signal }, () => sendOne(id, user))
    .then((left) => left && later(), (error) => error.name === "AbortError" || console.error(error))
    .finally(() => watched.delete(id));
}

/** Something in the outbox is other than it was: every tab looks, and this one sends. */
export function changed() {
  tell({ kind: "changed" });
  sendAll();
}

/** Calls back with what happens to recordings, in whichever tab. */
export function onSending(callback) {
  addEventListener("recorder:sending", ({ detail }) => callback(detail));
  tabs.onmessage = ({ data }) => {
    note(data);
    callback(data);
  };
}

/** How many bytes of a recording have arrived, as far as any tab has said. */
export const sentOf = (id) => progress.get(id) ?? 0;

/** Sends all that waits, one after the other. */
export async function sendAll() {
  if (running) return void (again = true);
  running = true;
  clearTimeout(timer);
  let left = false;
  do {
    again = false;
    const user = api.session()?.user.id;
    for (const { id } of user ? await outbox.all(user).catch(() => []) : []) {
      left = (await ifNobodyIsBusyWith(id, () => sendOne(id, user), () => whenFree(id, user))) || left;
    }
  } while (again);
  running = false;
  if (left) later();
  else wait = FIRST_WAIT_MS;
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(sendAll, wait);
  wait = Math.min(wait * 2, LONGEST_WAIT_MS);
}

/** Try at once what had to wait. */
export function hurry() {
  wait = FIRST_WAIT_MS;
  sendAll();
}

/** Takes the trouble off a recording, so that it is sent again; under another id, if need be. */
export async function retry(id) {
  const recording = await outbox.find(id);
  if (!recording) return;
  const sent_as = FORGOTTEN.has(recording.trouble) ? api.uuid7() : recording.sent_as;
  await outbox.keep({ ...recording, sent_as, trouble: undefined });
  refusals.delete(id);
  changed();
}

/** Gives a recording up, on this device and on the server, if that has heard of it. */
export async function discard(id) {
  const recording = await outbox.find(id);
  aborts.get(id)?.abort();
  await outbox.forget(id);
  changed();
  // Best effort: an upload that nobody goes on with is removed by the server in a week.
  if (recording) await api.deleteForGood(recording.sent_as).catch(() => {});
}

/** Sends one; true when it is to be tried again. */
async function sendOne(id, user) {
  let recording = await outbox.find(id);
  if (!recording || recording.trouble) return false; // Another tab has sent it meanwhile.
  if (recording.state !== "waiting") recording = await leftBehind(recording);
  if (!recording || api.session()?.user.id !== user) return false;
  const { file_name, content_type, recorded_at, duration_ms, sent_as } = recording;
  const aborting = new AbortController();
  aborts.set(id, aborting);
  try {
    await api.send(
      { id: sent_as, file_name, content_type, recorded_at, ...(duration_ms && { duration_ms }) },
      await outbox.sound(recording),
      (sent) => tell({ kind: "progress", id, sent }),
      aborting.signal,
    );
  } catch (error) {
    return refused(recording, error);
  } finally {
    aborts.delete(id);
  }
  await outbox.forget(id);
  tell({ kind: "arrived", id: sent_as });
  return false;
}

/** A recording whose tab died: what it kept is all there is, and worth as much as any other. */
async function leftBehind(recording) {
  // Half a copy of a file is worth nothing, since whoever has chosen it still has the file.
  if (!recording.size || recording.state === "copying") {
    await outbox.forget(recording.id);
    return null;
  }
  const whole = { ...recording, state: "waiting", rescued: true };
  await outbox.keep(whole);
  tell({ kind: "changed" });
  return whole;
}

async function refused(recording, error) {
  if (error.name === "AbortError") return false;
  if (error instanceof api.Unreachable || error.status >= 500 || error.status === 429) {
    tell({ kind: "waiting", id: recording.id });
    return true;
  }
  if (!(error instanceof api.Problem)) {
    console.error(error); // It could not be read, say. It stays, and is tried again.
    return true;
  }
  const times = (refusals.get(recording.id) ?? 0) + 1;
  refusals.set(recording.id, times);
  const passing = PASSING.has(error.code) && (error.status === 401 || times < MOST_REFUSALS);
  // Unless it was discarded meanwhile.
  if (!passing && (await outbox.find(recording.id))) {
    await outbox.keep({ ...recording, trouble: error.code });
  }
  tell({ kind: "changed" });
  return passing;
}

function tell(what) {
  note(what);
  dispatchEvent(new CustomEvent("recorder:sending", { detail: what }));
  tabs.postMessage(what);
}

function note({ kind, id, sent }) {
  if (kind === "progress") progress.set(id, sent);
}

addEventListener("online", hurry);
addEventListener("pageshow", hurry);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") return hurry();
  for (const watching of watched.values()) watching.abort();
});
api.onSession(hurry);
