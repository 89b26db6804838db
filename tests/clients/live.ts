import { sendLive } from "./generated/live";
import { assert, play, same, sound } from "./sending";
import { signedIn } from "./signed_in";

// What MediaRecorder gives, with a pause in it.
const HEARD = [1000, 2000, 0, 3000].map((size) => new Blob([sound(size)]));

// So many that more is heard before it is tried again with success.
const LOST = 4;

/** A network that loses requests, one after the other, or their answers. */
class Network {
  requests = 0;
  readonly #fetch = globalThis.fetch;
  lost = Infinity;
  answered = false;

  readonly fetch: typeof fetch = async (...given) => {
    const since = this.requests++ - this.lost;
    const loses = since >= 0 && since < LOST;
    if (loses && !this.answered) throw new TypeError("The request is lost");
    const answer = await this.#fetch(...given);
    if (loses) throw new TypeError("The answer is lost");
    return answer;
  };
}

async function main(): Promise<void> {
  const network = new Network();
  globalThis.fetch = network.fetch;
  const client = await signedIn();

  /** Records it, and has requests get lost from this one on; how many there were. */
  async function recorded(lost: number, answered: boolean): Promise<number> {
    Object.assign(network, { requests: 0, lost, answered });
    const time = Date.now().toString(16).padStart(12, "0");
    const id = `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`;
    const recorder = {} as MediaRecorder;
    const upload = sendLive(client, recorder, { id, file_name: "live", content_type: "audio/webm" });
    for (const data of HEARD) {
      recorder.ondataavailable?.({ data } as BlobEvent);
      // Every other one comes while something is under way.
      if (data.size !== 2000) await upload.flush().catch(() => {});
    }
    let finished = false;
    for (let tries = 0; tries <= LOST && !finished; tries++)
      finished = await upload.finish().then(() => true, () => false);
    const { requests } = network;
    network.lost = Infinity;
    const { data } = await client.GET("/recordings/{id}", { params: { path: { id } } });
    assert(data?.audio && !data.interrupted, `ready without request ${lost}`);
    const whole = new Uint8Array(await new Blob(HEARD).arrayBuffer());
    assert(same(await play(data.audio.url), whole), `byte for byte without request ${lost}`);
    return requests;
  }

  const requests = await recorded(Infinity, false);
  for (let lost = 0; lost < requests; lost++)
    for (const answered of [false, true]) await recorded(lost, answered);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
