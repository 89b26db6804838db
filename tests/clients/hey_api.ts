import * as api from "./generated/hey-api";
import { client } from "./generated/hey-api/client.gen";
import { BASE, SIZES, assert, play, same, send, sound } from "./sending";

async function main(): Promise<void> {
  client.setConfig({ baseUrl: BASE });
  const signedUp = await api.signUp({
    body: { email: `${crypto.randomUUID()}@example.com`, password: "battery staple, correctly" },
  });
  assert(signedUp.data, "signed up");
  const token = signedUp.data.access_token;
  client.setConfig({ auth: () => token });
  for (const method of ["put", "multipart"] as const) {
    const data = sound(SIZES[method]);
    const begun = await api.beginUpload({
      body: {
        file_name: `${method}.m4a`,
        content_type: "audio/mp4",
        size: data.length,
        upload_method: method,
      },
    });
    assert(begun.data?.upload, `${method} begun`);
    await send(begun.data.upload, data);
    const path = { id: begun.data.recording.id };
    const ready = await api.completeUpload({ path });
    assert(ready.data?.status === "ready", `${method} completed`);
    const listed = await api.listRecordings({ query: { limit: 10 } });
    assert(listed.data?.recordings.some(({ id }) => id === path.id), `${method} listed`);
    const found = await api.getRecording({ path });
    assert(found.data?.audio, `${method} plays`);
    assert(same(await play(found.data.audio.url), data), `${method} byte for byte`);
    const deleted = await api.deleteRecording({ path, query: { permanent: true } });
    assert(deleted.response?.status === 204, `${method} deleted`);
    const gone = await api.getRecording({ path });
    assert(gone.error?.code === "not_found", `${method} gone`);
  }
  const id = "019a8f3e-7c1d-7f00-8a3b-5c6d7e8f9a0b";
  const direct = await api.uploadDirectly({
    path: { id },
    query: { file_name: "clip.webm", tag: ["a", "b"], recorded_at: "2026-11-28T20:51Z" },
    body: new Blob([sound(SIZES.put)]),
    headers: { "Content-Type": "audio/webm;codecs=opus" },
  });
  assert(direct.data?.tags.join() === "a,b", "sent directly");
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
