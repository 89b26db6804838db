// What was recorded and has not arrived yet, on this device: in IndexedDB, where a closed tab, a
// crash or a lost network leaves it.
//
// A recording is {id, sent_as, user, file_name, content_type, recorded_at, duration_ms, size, live, lightened,
// state, trouble}. `state` is "recording", "copying", "waiting" or "discarded"; `sent_as` is the id that the API knows
// it by, which is its own unless that was refused for good. Its sound stands beside it in numbered pieces. One
// that is `live` is sent while it is recorded; a piece's number is where it begins. All of it stays until it has
// arrived as a whole, since the rest alone plays nowhere; but one that is `lightened` has a gap behind its
// first piece, since this device was full.

const NAME = "recorder";
// Written through to the disk: a laptop's battery may end before a browser's own delay does.
const STRICT = { durability: "strict" };
// What is read of one that is live at once: a minute and a half, or a megabyte.
const PIECES_AT_ONCE = 90;

let opened;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("recordings", { keyPath: "id" });
      request.result.createObjectStore("pieces", { keyPath: ["id", "number"] });
    };
    request.onsuccess = () => {
      request.result.onclose = () => (opened = undefined);
      resolve(request.result);
    };
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

/** Changes what is known of one, and keeps more of its sound; undefined if it is there no more. */
export async function change(id, changes, pieces = []) {
  let changed;
  await transaction("readwrite", (recordings, sounds) => {
    const request = recordings.get(id);
    request.onsuccess = () => {
      if (!request.result || request.result.state === "discarded") return;
      changed = { ...request.result, ...changes };
      recordings.put(changed);
      for (const { number, bytes } of pieces) sounds.put({ id, number, bytes });
    };
  });
  return changed;
}

/** A user's, oldest first: ids sort by when they were made. */
export async function all(user) {
  const everybodys = await transaction("readonly", (recordings) => recordings.getAll());
  return everybodys.filter((recording) => recording.user === user);
}

export const find = (id) => transaction("readonly", (recordings) => recordings.get(id));

/** Its sound so far, over the gap of one that is lightened. Piece by piece, so that hours of it are never in memory at once. */
export async function sound(recording) {
  const keys = await transaction("readonly", (_, pieces) => pieces.getAllKeys(piecesOf(recording.id)));
  const blobs = [];
  for (const key of keys) {
    const { bytes } = await transaction("readonly", (_, pieces) => pieces.get(key));
    blobs.push(new Blob([bytes]));
  }
  return new Blob(blobs, { type: recording.content_type });
}

/** What comes next in the sound of one that is live, from there on; nothing if there is no more. */
export async function soundFrom(id, start) {
  const before = IDBKeyRange.bound([id, 0], [id, start]);
  const first = await transaction("readonly", (_, pieces) => pieces.openKeyCursor(before, "prev"));
  const range = IDBKeyRange.bound(first?.key ?? [id, start], [id, Infinity]);
  const found = await transaction("readonly", (_, pieces) => pieces.getAll(range, PIECES_AT_ONCE));
  let end = start;
  const blobs = [];
  for (const { number, bytes } of found) {
    if (number > end) break;
    blobs.push(new Blob([bytes]).slice(end - number));
    end = Math.max(end, number + bytes.byteLength);
  }
  return new Blob(blobs);
}

/** Makes space: pieces of a live one that have arrived go, but for the first. */
export function lighten(id, arrived) {
  const before = IDBKeyRange.bound([id, 0], [id, arrived]);
  return transaction("readwrite", (recordings, pieces) => {
    // The last of these may have arrived in part.
    const last = pieces.openKeyCursor(before, "prev");
    last.onsuccess = () => {
      if (!(last.result?.key[1] > 1)) return;
      const between = IDBKeyRange.bound([id, 1], last.result.key, false, true);
      const some = pieces.openKeyCursor(between);
      some.onsuccess = () => {
        if (!some.result) return;
        pieces.delete(between);
        const recording = recordings.get(id);
        recording.onsuccess = () => recordings.put({ ...recording.result, lightened: true });
      };
    };
  });
}

/** Forgets all but that it is discarded, which the API has yet to hear. */
export function discard({ id, sent_as, user }) {
  return transaction("readwrite", (recordings, pieces) => {
    pieces.delete(piecesOf(id));
    return recordings.put({ id, sent_as, user, state: "discarded" });
  });
}

/** Forgets it: it has arrived, or nobody wants it. */
export function forget(id) {
  return transaction("readwrite", (recordings, pieces) => {
    pieces.delete(piecesOf(id));
    return recordings.delete(id);
  });
}
