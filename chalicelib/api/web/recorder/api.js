// What a web app does with the Recorder API: all of it, to read from top to bottom and to copy from.
//
// Every function here is one thing that people do. Whatever goes wrong is a Problem, whose `code`
// is one of docs/errors.md, or Unreachable, when there was no answer at all. Every call can be
// repeated, so whoever meets Unreachable does just that.

// This module is at <API>/web/<folder>/api.js, under whatever prefix a stage has.
const API = new URL("../../", import.meta.url);

/** The address of something of the API's. */
export const address = (path) => new URL(path, API).href;

/** The API said no. `code` is stable, and what an app switches on; `retryAfter` is in seconds. */
export class Problem extends Error {
  constructor(status, said, retryAfter) {
    super(said.detail ?? said.title ?? String(status));
    this.status = status;
    this.code = said.code;
    this.errors = said.errors ?? [];
    this.offset = said.offset; // Of an offset_conflict.
    this.retryAfter = retryAfter;
  }
}

/** There was no answer, from the API or from S3; what a proxy or a Wi-Fi's own page answers is none. */
export class Unreachable extends Error {}

// ---- Accounts ------------------------------------------------------------------------------

export async function signUp(email, password, name) {
  begin(await ask("POST", "auth/signup", { body: { email, password, ...(name && { name }) } }));
}

/** Logs in; a token that this device had before tells it from one that guesses passwords. */
export async function logIn(email, password, device) {
  const before = localStorage.getItem(FORMER) ?? undefined;
  begin(await ask("POST", "auth/login", { body: { email, password, device, refresh_token: before } }));
}

/** Signs in by what a provider said, {id_token, nonce, …}; who has no account gets one. */
export async function signIn(provider, given) {
  begin(await ask("POST", `auth/${provider}`, { body: given }));
}

/** Ends the session here in any case, and on the server if that can be reached. */
export async function logOut() {
  const { refresh_token } = session() ?? {};
  end();
  if (refresh_token) await ask("POST", "auth/logout", { body: { refresh_token } }).catch(() => {});
}

/** Has a link mailed, which opens a page of the API's own. Says nothing of whether there is such an account. */
export const forgotPassword = (email) => ask("POST", "auth/password/forgot", { body: { email } });

export const me = () => authorized("GET", "me");
export const renameMe = (name) => authorized("PATCH", "me", { body: { name } });
export const sendConfirmation = () => authorized("POST", "me/email/confirmation");
export const sessions = async () => (await authorized("GET", "me/sessions")).sessions;
export const endSession = (id) => authorized("DELETE", `me/sessions/${id}`);

/** Sets another password; every other session ends by it. */
export const changePassword = (current_password, new_password) =>
  authorized("POST", "me/password", { body: { current_password, new_password } });

/** Has somebody at a provider log in here too: {id_token, nonce, …}, and a proof, as below. */
export const addWay = (provider, given) => authorized("POST", `me/sign-in/${provider}`, { body: given });
export const removeWay = (way) => authorized("DELETE", `me/sign-in/${way}`);

// What proves that it is the user is {password}, or {id_token} where the account has none.

/** Where a JSON file of all of one's data is, for some minutes; null while it is still written. */
export async function exportData(proof) {
  return (await authorized("POST", "me/export", { body: proof }))?.url ?? null;
}

export async function deleteAccount(proof) {
  await authorized("DELETE", "me", { body: proof });
  end();
}

// ---- The session ---------------------------------------------------------------------------
//
// Both tokens are in localStorage, so that all tabs have one session, and in no URL. An access
// token lasts for minutes; the refresh token is exchanged for another with each renewal.

const SESSION = "recorder.session";
const FORMER = "recorder.former";

/** Who is logged in here: {user: {id, email, name}, …}; null when nobody is. */
export function session() {
  return JSON.parse(localStorage.getItem(SESSION) ?? "null");
}

/** Calls back when somebody logs in or out, in this tab or in another. */
export function onSession(callback) {
  addEventListener("recorder:session", callback);
  addEventListener("storage", (event) => event.key === SESSION && callback());
}

function begin({ user, access_token, refresh_token }) {
  const { id, email, name } = user;
  // Kept before it is used: a tab that dies now can go on with it.
  localStorage.setItem(SESSION, JSON.stringify({ user: { id, email, name }, access_token, refresh_token }));
  localStorage.setItem(FORMER, refresh_token);
  dispatchEvent(new Event("recorder:session"));
}

function end() {
  if (!session()) return;
  localStorage.removeItem(SESSION);
  dispatchEvent(new Event("recorder:session"));
}

/** A request with the access token, which is renewed when its time is over. */
async function authorized(method, path, options = {}) {
  const { access_token, user } = session() ?? {};
  if (!access_token) throw new Problem(401, { code: "not_authenticated" });
  const headers = (token) => ({ ...options.headers, Authorization: `Bearer ${token}` });
  try {
    return await ask(method, path, { ...options, headers: headers(access_token) });
  } catch (problem) {
    if (problem.code === "not_authenticated") endOf(access_token);
    if (problem.code !== "token_expired") throw problem;
  }
  return ask(method, path, { ...options, headers: headers(await renewed(access_token, user.id)) });
}

/** An access token that is newer than this one. One tab asks for it, and the others wait. */
function renewed(expired, userId) {
  return locked("recorder.refresh", async () => {
    const now = session();
    // Somebody else may be logged in by now, whose token is not for what was asked.
    if (now?.user.id !== userId) throw new Problem(401, { code: "not_authenticated" });
    if (now.access_token !== expired) return now.access_token;
    try {
      const answer = await ask("POST", "auth/refresh", { body: { refresh_token: now.refresh_token } });
      // Logged out meanwhile: what was just begun is to end, too.
      if (session()?.user.id !== userId) {
        await ask("POST", "auth/logout", { body: { refresh_token: answer.refresh_token } });
        throw new Problem(401, { code: "not_authenticated" });
      }
      begin(answer);
      return answer.access_token;
    } catch (problem) {
      // Only these mean that the session is over. Anything else can be tried again, however late.
      if (["refresh_token_reused", "not_authenticated"].includes(problem.code)) endOf(expired);
      throw problem;
    }
  });
}

function endOf(accessToken) {
  if (session()?.access_token === accessToken) end();
}

// ---- Recordings ----------------------------------------------------------------------------

/**
 * A page of recordings, newest first; `next` is what `after` takes. With `q`, of those whose title,
 * notes or tags have its words: a page may then be short, and have a next one all the same.
 */
export const list = (status, { after, q } = {}) =>
  authorized("GET", "recordings", { query: { status, limit: 50, ...(after && { after }), ...(q && { q }) } });

/** One recording; `audio.url` plays it, and is good for some minutes. */
export const find = (id) => authorized("GET", `recordings/${id}`);

/** Changes what is given, unless somebody else changed it since: then it is a version_conflict. */
export const change = (recording, changes) =>
  authorized("PATCH", `recordings/${recording.id}`, {
    body: changes,
    headers: { "If-Match": `"${recording.version}"` },
  });

export const trash = (id) => authorized("DELETE", `recordings/${id}`);
export const restore = (id) => authorized("POST", `recordings/${id}/restore`);
export const deleteForGood = (id) =>
  authorized("DELETE", `recordings/${id}`, { query: { permanent: true } });

/** What to draw of its sound: audiowaveform's JSON; null where there is none. */
export async function waveform(id) {
  try {
    return await authorized("GET", `recordings/${id}/waveform`);
  } catch (problem) {
    if (problem.status === 404 || problem.status === 409) return null;
    throw problem;
  }
}

// ---- Links ---------------------------------------------------------------------------------

/** The links that open a recording to whoever has one. */
export const links = async (id) => (await authorized("GET", `recordings/${id}/links`)).links;

/** Makes one; with the same `id` it is the same one, however often this is repeated. */
export const share = (recordingId, { id, seconds, showName }) =>
  authorized("POST", `recordings/${recordingId}/links`, {
    body: { id, expires_in_seconds: seconds, show_name: showName },
  });

export const takeBack = (recordingId, code) =>
  authorized("DELETE", `recordings/${recordingId}/links/${code}`);

// ---- Sending a recording -------------------------------------------------------------------

// Beyond this it goes in parts, so that a connection that breaks costs one part and not all.
const IN_PARTS_FROM = 16 * 1024 * 1024;
const PARTS_AT_ONCE = 3;
const LARGEST_PIECE = 8 * 1024 * 1024;

/**
 * Sends a recording: announces it under its own id, has S3 take the bytes, and completes it.
 *
 * `announced` is {id, file_name, content_type, recorded_at, duration_ms, …}, where `id` was made
 * when it began to be recorded (uuid7, below) and was kept with the bytes. So this can be repeated
 * after whatever went wrong, a killed tab too: S3 says which parts it has, and those are not sent
 * again. `progress` is called with how many bytes are there. Returns the recording.
 */
export async function send(announced, bytes, progress = () => {}, signal = undefined) {
  const { recording, upload } = await authorized("POST", "recordings", {
    body: {
      ...announced,
      size: bytes.size,
      upload_method: bytes.size >= IN_PARTS_FROM ? "multipart" : "put",
    },
  });
  if (!upload) return recording; // It has arrived before, and the answer got lost.
  if (upload.method === "multipart") await sendParts(upload, bytes, progress, signal);
  else await put(upload.url, bytes, withoutLength(upload.headers), progress, signal);
  return authorized("POST", `recordings/${announced.id}/complete`);
}

async function sendParts(upload, bytes, progress, signal) {
  const arrived = new Map(upload.uploaded.map(({ number, size }) => [number, size]));
  const told = () => progress([...arrived.values()].reduce((sum, size) => sum + size, 0));
  const waiting = [...upload.parts];
  const next = async () => {
    for (let part = waiting.shift(); part; part = waiting.shift()) {
      const { number, size, url } = part;
      const start = (number - 1) * upload.part_size;
      await put(url, bytes.slice(start, start + size), {}, (sent) => (arrived.set(number, sent), told()), signal);
    }
  };
  told();
  await Promise.all(Array.from({ length: PARTS_AT_ONCE }, next));
}

// ---- Sending one while it is recorded ------------------------------------------------------

/** Announces it, again and again as above. Returns {recording, from}: from where on bytes are wanted, if any are. */
export async function announceLive(announced) {
  const { recording, upload } = await authorized("POST", "recordings", { body: { ...announced, upload_method: "live" } });
  return { recording, from: upload ? upload.missing[0]?.offset ?? upload.offset : undefined };
}

/** Sends what comes next of it, `bytes` from `offset` on, in one piece. Returns from where on to go on. */
export async function sendPiece(id, offset, bytes, progress, signal) {
  const size = Math.min(bytes.size, LARGEST_PIECE);
  let announced;
  try {
    announced = await authorized("POST", `recordings/${id}/pieces`, { body: { offset, pieces: [{ size }] } });
  } catch (problem) {
    if (problem.code !== "offset_conflict") throw problem;
    // Up to there it was announced before, and has not arrived; or it is to go on from there.
    const { offset: end } = problem;
    return end > offset ? sendPiece(id, offset, bytes.slice(0, end - offset), progress, signal) : end;
  }
  const [{ url, headers }] = announced.pieces;
  await put(url, bytes.slice(0, size), withoutLength(headers), (sent) => progress(offset + sent), signal);
  return offset + size;
}

/** Says that this is all of it, which is "uploading" while a long one is put together: then repeat this. */
export const completeLive = (id, size) => authorized("POST", `recordings/${id}/complete`, { body: { size } });

// A browser sets the length itself, and lets nobody else do so.
const withoutLength = (headers) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name !== "Content-Length"));

/** One PUT to S3, without our token, which S3 would refuse. By XMLHttpRequest, since fetch tells no progress. */
function put(url, bytes, headers, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded }) => progress(loaded);
    request.onload = () => {
      if (request.status === 200) return progress(bytes.size), resolve();
      // A URL whose hour is over is 403, and S3 that is busy 503: announced again, there is a new one.
      reject(new Problem(request.status, { code: "not_stored", detail: request.responseText }));
    };
    request.onerror = request.ontimeout = () => reject(new Unreachable());
    request.onabort = () => reject(new DOMException("Aborted", "AbortError"));
    if (signal?.aborted) return reject(new DOMException("Aborted", "AbortError"));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    // A type of its own would be sent as a header, and S3 takes exactly those that are signed.
    request.send(new Blob([bytes], { type: headers["Content-Type"] ?? "" }));
  });
}

/** An id for a recording or a link: a UUIDv7, which sorts by the time it was made. */
export function uuid7() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  new DataView(bytes.buffer).setUint32(0, Math.floor(Date.now() / 0x10000));
  new DataView(bytes.buffer).setUint16(4, Date.now() % 0x10000);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// ---- One request ---------------------------------------------------------------------------

async function ask(method, path, { body, query, headers } = {}) {
  const url = new URL(path, API);
  for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
  let answer;
  let said;
  try {
    answer = await fetch(url, {
      method,
      headers: { ...headers, ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
    });
    said = JSON.parse((await answer.text()) || "null");
  } catch {
    throw new Unreachable();
  }
  if (answer.ok) return said;
  if (!said?.code) throw new Unreachable();
  throw new Problem(answer.status, said, Number(answer.headers.get("Retry-After")) || undefined);
}

/** Runs a task that only one tab may at a time. Pages without TLS have no locks, and do without. */
function locked(name, task) {
  return navigator.locks ? navigator.locks.request(name, task) : task();
}
