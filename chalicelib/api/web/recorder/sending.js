// Sending what the outbox has, whenever that can be: while it is recorded, after each recording, when the
// network is back, when the page is opened again, and in between at growing intervals.
//
// Whoever is busy with a recording, recording it or sending it, holds a lock of its name. So no two
// tabs send the same one, and one that is "recording" though nobody is busy with it was left behind.

import * as api from "./api.js";
import * as outbox from "./outbox.js";
import { t } from "./page.js";

const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 60_000;
// What S3 refuses a few times over it will refuse again.
const MOST_REFUSALS = 4;
// These pass by themselves, or somebody logs in again; whatever else was said needs a person.
const PASSING = new Set(["not_authenticated", "token_expired", "refresh_token_reused", "upload_incomplete", "upload_mismatch", "not_ready", "not_stored"]);
// After these it is sent under another id.
const FORGOTTEN = new Set(["not_found", "id_conflict", "upload_mismatch", "upload_incomplete"]);

const tabs = new BroadcastChannel("recorder");
const lockOf = (id) => `recorder.recording.${id}`;
const progress = new Map();
const aborts = new Map();
const refusals = new Map();
const watched = new Map();
// How far S3 has what is sent while it is recorded.
const arrived = new Map();
// What waits to be tried again.
const waiting = new Set();

/** Runs a task once at a time; asked for meanwhile, it runs once more. */
function oneAtATime(task) {
  let running;
  let again;
  async function run() {
    try {
      do {
        again = false;
        await task();
      } while (again);
    } finally {
      running = undefined;
    }
  }
  return () => {
    again = true;
    return (running ??= run());
  };
}

/** A task that is run again, after waits that grow, for as long as it answers that something is left. */
function retrying(task) {
  let wait = FIRST_WAIT_MS;
  let timer;
  const now = oneAtATime(async () => {
    clearTimeout(timer);
    waiting.delete(self);
    if (await task()) self.later();
    else wait = FIRST_WAIT_MS;
  });
  const self = {
    now,
    unlessItWaits: async () => waiting.has(self) || now(),
    later() {
      clearTimeout(timer);
      waiting.add(self);
      timer = setTimeout(now, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    },
    hurry() {
      wait = FIRST_WAIT_MS;
      return now();
    },
  };
  return self;
}

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
    .then((left) => left && everything.later(), (error) => error.name === "AbortError" || console.error(error))
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
    if (data.kind === "discarded") aborts.get(data.id)?.abort();
    callback(data);
  };
}

/** How many bytes S3 has of one that this tab records. */
export const arrivedOf = (id) => arrived.get(id) ?? 0;

/** How many bytes of a recording have arrived, as far as any tab has said. */
export const sentOf = (id) => progress.get(id) ?? 0;

/** Why the API does not take what this tab records; it is tried again all the same. */
export const troubleOf = (id) => refusals.get(id)?.trouble;

const everything = retrying(async () => {
  let left = false;
  const user = api.session()?.user.id;
  for (const { id } of user ? await outbox.all(user).catch(() => []) : []) {
    left = (await ifNobodyIsBusyWith(id, () => sendOne(id, user), () => whenFree(id, user))) || left;
  }
  return left;
});

/** Sends all that waits, one after the other. */
export const sendAll = everything.now;

/** What sends what there is of a recording that this tab records. */
export const sender = (id) => retrying(() => sending(id, sendSoFar));

/** Try at once what had to wait. */
export function hurry() {
  for (const each of new Set([everything, ...waiting])) each.hurry();
}

/** Takes the trouble off a recording, so that it is sent again; under another id, if need be. */
export async function retry(id) {
  const { trouble } = (await outbox.find(id)) ?? {};
  await outbox.change(id, { ...(FORGOTTEN.has(trouble) && anew()), trouble: undefined });
  refusals.delete(id);
  changed();
}

/** Has it be another recording to the API, sent from its beginning; or all that is left of it, if it is lightened. */
const anew = () => ({ sent_as: api.uuid7(), live: false });
const isIncomplete = ({ live, lightened }) => lightened && !live;

/** Gives a recording up, on this device at once, and on the server when it can be reached. */
export async function discard(id) {
  const recording = await outbox.find(id);
  if (!recording) return;
  await outbox.discard(recording);
  aborts.get(id)?.abort();
  tell({ kind: "discarded", id });
  changed();
}

/** Sends one; true when it is to be tried again. */
async function sendOne(id, user) {
  const recording = await outbox.find(id);
  if (recording?.user !== user) return false; // Another tab has sent it meanwhile.
  if (["recording", "copying"].includes(recording.state)) await leftBehind(recording);
  return sending(id, sendWhole);
}

/** Sends one in some way, which says whether to try again. */
async function sending(id, way) {
  const recording = await outbox.find(id);
  if (!recording || recording.trouble || api.session()?.user.id !== recording.user) return false;
  const aborting = new AbortController();
  aborts.set(id, aborting);
  try {
    return await way(recording, aborting.signal);
  } catch (error) {
    arrived.delete(id);
    return await refused(recording, error);
  } finally {
    aborts.delete(id);
  }
}

async function sendSoFar(recording, signal) {
  const { id } = recording;
  // What is left of one goes as a whole, at its end.
  if (recording.state !== "recording" || isIncomplete(recording)) return false;
  if (!arrived.has(id)) {
    // Noted first: once the API has heard of it, it is one that comes in pieces.
    if (!(await outbox.change(id, { live: true }))) return false;
    const { from } = await api.announceLive(announcement(recording));
    // It was taken for ended, since nothing was heard of it for a day.
    if (from === undefined) return outbox.change(id, anew());
    arrived.set(id, from);
  }
  await sendPieces(recording, signal);
  return false;
}

async function sendWhole(recording, signal) {
  const { id, sent_as, live, size } = recording;
  if (recording.state === "discarded") return sendDiscarded(recording);
  const there = live
    ? await sendRest(recording, signal)
    : await api.send(announcement(recording), await outbox.sound(recording), shown(id), signal);
  if (there.status === "uploading") return true; // It is put together.
  if (live && there.size < size) {
    // It was taken for ended before: so all of it, or what is left, is another one.
    await outbox.change(id, anew());
    return true;
  }
  signal.throwIfAborted();
  await outbox.forget(id);
  tell({ kind: "arrived", id: sent_as });
  return false;
}

/** Sends what has not arrived of one that is live, and says that it is all. */
async function sendRest(recording, signal) {
  const { recording: there, from } = await api.announceLive(announcement(recording));
  if (from === undefined) return there;
  arrived.set(recording.id, from);
  await sendPieces(recording, signal);
  return api.completeLive(recording.sent_as, recording.size);
}

/** Sends what there was of it, and leaves to the next time what comes meanwhile. */
async function sendPieces({ id, sent_as, size }, signal) {
  while (arrived.get(id) < size) {
    const start = arrived.get(id);
    const bytes = await outbox.soundFrom(id, start);
    if (!bytes.size) break; // This device was full, and has it no more.
    signal.throwIfAborted();
    arrived.set(id, await api.sendPiece(sent_as, start, bytes, shown(id), signal));
    refusals.delete(id);
  }
  signal.throwIfAborted();
}

async function sendDiscarded({ id, sent_as }) {
  const deleted = await api.deleteForGood(sent_as).catch((problem) => problem);
  if (deleted && deleted.code !== "not_found") throw deleted;
  await outbox.forget(id);
  return false;
}

/** What is announced of it. How long it is, is known at its end; how much is left of it, by its sound alone. */
function announcement(recording) {
  const { sent_as, file_name, content_type, recorded_at, duration_ms, state } = recording;
  const incomplete = isIncomplete(recording);
  return {
    id: sent_as,
    file_name: incomplete ? t("incomplete", { name: file_name }) : file_name,
    content_type,
    recorded_at,
    ...(state === "waiting" && duration_ms && !incomplete && { duration_ms }),
  };
}

const shown = (id) => (sent) => tell({ kind: "progress", id, sent });

/** A recording whose tab died: what it kept is all there is, and worth as much as any other. */
async function leftBehind({ id, size, state }) {
  // Half a copy of a file is worth nothing, since whoever has chosen it still has the file.
  if (!size || state === "copying") return outbox.forget(id);
  await outbox.change(id, { state: "waiting", rescued: true });
  tell({ kind: "changed" });
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
  const times = (refusals.get(recording.id)?.times ?? 0) + 1;
  const passing = PASSING.has(error.code) && (error.status === 401 || times < MOST_REFUSALS);
  const trouble = passing ? undefined : error.code;
  refusals.set(recording.id, { times, trouble });
  // While it is recorded there is time: somebody may make room, or move on to another network.
  if (recording.state === "recording") return true;
  if (trouble) await outbox.change(recording.id, { trouble });
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
