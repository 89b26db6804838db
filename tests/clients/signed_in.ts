import createClient, { type Client } from "openapi-fetch";
import type { paths } from "./generated/schema";
import { BASE, assert } from "./sending";

/** An openapi-fetch client of somebody who just signed up. */
export async function signedIn(): Promise<Client<paths>> {
  const client = createClient<paths>({ baseUrl: BASE });
  const signedUp = await client.POST("/auth/signup", {
    body: { email: `${crypto.randomUUID()}@example.com`, password: "battery staple, correctly" },
  });
  assert(signedUp.data, "signed up");
  client.use({
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${signedUp.data.access_token}`);
      return request;
    },
  });
  return client;
}
