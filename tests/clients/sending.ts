// What both TypeScript clients do outside the API: bytes go straight to S3, as `upload` says.

export type Signed =
  | { method: "put"; url: string; headers: { [name: string]: string } }
  | { method: "post"; url: string; fields: { [name: string]: string } }
  | { method: "live" }
  | { method: "multipart"; part_size: number; parts: { number: number; url: string; size: number }[] };

export async function send(upload: Signed, data: Uint8Array<ArrayBuffer>): Promise<void> {
  if (upload.method === "put") {
    await put(upload.url, data, upload.headers);
  } else if (upload.method === "multipart") {
    for (const { number, url, size } of upload.parts) {
      const start = (number - 1) * upload.part_size;
      await put(url, data.slice(start, start + size));
    }
  } else {
    throw new Error(`${upload.method} was not asked for`);
  }
}

async function put(url: string, body: Uint8Array<ArrayBuffer>, headers: { [name: string]: string } = {}) {
  // fetch counts the bytes by itself, and lets nobody else say how many there are.
  const { "Content-Length": _, ...rest } = headers;
  const answer = await fetch(url, { method: "PUT", body, headers: rest });
  if (!answer.ok) throw new Error(`S3 answers ${answer.status}`);
}

export async function play(url: string): Promise<Uint8Array> {
  return new Uint8Array(await (await fetch(url)).arrayBuffer());
}

export function assert(holds: unknown, what: string): asserts holds {
  if (!holds) throw new Error(`Not so: ${what}`);
}

export function sound(bytes: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: bytes }, (_, at) => (at * 31) % 251);
}

export function same(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

export const BASE = process.env["RECORDER_URL"] ?? "http://127.0.0.1:8000";
export const SIZES = { put: 1000, multipart: 9 * 1024 * 1024 } as const;
