import { SIZES, assert, play, same, send, sound } from "./sending";
import { signedIn } from "./signed_in";

async function main(): Promise<void> {
  const client = await signedIn();
  for (const method of ["put", "multipart"] as const) {
    const data = sound(SIZES[method]);
    const begun = await client.POST("/recordings", {
      body: {
        file_name: `${method}.webm`,
        content_type: "audio/webm;codecs=opus",
        size: data.length,
        upload_method: method,
      },
    });
    assert(begun.data?.upload, `${method} begun`);
    await send(begun.data.upload, data);
    const params = { path: { id: begun.data.recording.id } };
    const ready = await client.POST("/recordings/{id}/complete", { params });
    assert(ready.data?.status === "ready", `${method} completed`);
    const listed = await client.GET("/recordings", { params: { query: { limit: 10 } } });
    assert(listed.data?.recordings.some(({ id }) => id === params.path.id), `${method} listed`);
    const found = await client.GET("/recordings/{id}", { params });
    assert(found.data?.audio, `${method} plays`);
    assert(same(await play(found.data.audio.url), data), `${method} byte for byte`);
    const deletion = { path: params.path, query: { permanent: true } };
    const deleted = await client.DELETE("/recordings/{id}", { params: deletion });
    assert(deleted.response.status === 204, `${method} deleted`);
    const gone = await client.GET("/recordings/{id}", { params });
    assert(gone.error?.code === "not_found", `${method} gone`);
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
