// What was recorded and has not arrived yet, on this device: in IndexedDB, where a closed tab, a
// crash or a lost network leaves it.
//
// A recording is {id, sent_as, user, file_name, content_type, recorded_at, duration_ms, size, state,
// trouble}. `state` is "recording", "copying" or "waiting"; `sent_as` is the id that the API knows it by, which
// is its own unless that was refused for good. Its sound stands beside it in numbered pieces.

const NAME = "recorder";
// Written through to the disk: a laptop's battery may end before a browser's own delay does.
const STRICT = { durability: "strict" };

let opened;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("recordings", { keyPath: "id" });
      request.result.createObjectStore("pieces", { keyPath: ["id", "number"] });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  opened.catch(() => (opened = undefined));
  return opened;
}

async function transaction(mode, work) {
  const base = await database();
  return new Promise((resolve, reject) => {
    const doing = base.transaction(["recordings", "pieces"], mode, mode === "readwrite" ? STRICT : {});
    const request = work(doing.objectStore("recordings"), doing.objectStore("pieces"));
    doing.oncomplete = () => resolve(request?.result);
    doing.onabort = doing.onerror = () => reject(doing.error ?? request?.error);
  });
}

const piecesOf = (id) => IDBKeyRange.bound([id, 0], [id, Infinity]);

/** Keeps what is known of a recording, and pieces of its sound with it: all of it, or nothing. */
export function keep(recording, pieces = []) {
  return transaction("readwrite", (recordings, sounds) => {
    for (const { number, bytes } of pieces) sounds.put({ id: recording.id, number, bytes });
    return recordings.put(recording);
  });
}

/** A user's, oldest first: ids sort by when they were made. */
export async function all(user) {
  const everybodys = await transaction("readonly", (recordings) => recordings.getAll());
  return everybodys.filter((recording) => recording.user === user);
}

export const find = (id) => transaction("readonly", (recordings) => recordings.get(id));

/** Its sound so far. Piece by piece, so that hours of it are never in memory at once. */
export async function sound(recording) {
  const keys = await transaction("readonly", (_, pieces) => pieces.getAllKeys(piecesOf(recording.id)));
  const blobs = [];
  for (const key of keys) {
    const { bytes } = await transaction("readonly", (_, pieces) => pieces.get(key));
    blobs.push(new Blob([bytes]));
  }
  return new Blob(blobs, { type: recording.content_type });
}

/** Forgets it: it has arrived, or nobody wants it. */
export function forget(id) {
  return transaction("readwrite", (recordings, pieces) => {
    pieces.delete(piecesOf(id));
    return recordings.delete(id);
  });
}
