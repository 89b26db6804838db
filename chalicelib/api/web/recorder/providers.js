// Signing in with Google and Apple.
//
// No script of theirs is loaded: this page sends people to the provider's, with a `state` and a
// `nonce` that stay in this tab. The provider sends them back to auth/return, which leaves what it
// was told for the recorder. Only what has this tab's `state` is taken, and the API takes only an
// id token with this tab's `nonce`: nobody can have somebody else come in as them.

import * as api from "./api.js";
import { attempt, el, t } from "./page.js";

const ASKED = "recorder.asked";
const RETURNED = "recorder.returned";
const DOORS = new Map(JSON.parse(document.getElementById("doors").textContent).map((door) => [door.provider, door]));
const RETURN_TO = api.address("auth/return");

// What each wants to be asked. Apple tells an address and a name by a form alone, and gives no id
// token without a code; it is given the SHA-256 of the nonce.
const DIALECTS = {
  google: async (nonce) => ({ response_type: "id_token", scope: "openid email profile", prompt: "select_account", nonce }),
  apple: async (nonce) => ({
    response_type: "code id_token", response_mode: "form_post", scope: "name email", nonce: await sha256(nonce),
  }),
};
const CANCELLED = ["access_denied", "user_cancelled_authorize", "user_cancelled_login"];
// Their own marks, as their rules for such buttons have them.
const LOGOS = {
  google: [48, [
    ["#ea4335", "M24 9.5c3.54 0 6.71 1.22 9.21 3.6l6.85-6.85C35.9 2.38 30.47 0 24 0 14.62 0 6.51 5.38 2.56 13.22l7.98 6.19C12.43 13.72 17.74 9.5 24 9.5z"],
    ["#4285f4", "M46.98 24.55c0-1.57-.15-3.09-.38-4.55H24v9.02h12.94c-.58 2.96-2.26 5.48-4.78 7.18l7.73 6c4.51-4.18 7.09-10.36 7.09-17.65z"],
    ["#fbbc05", "M10.53 28.59c-.48-1.45-.76-2.99-.76-4.59s.27-3.14.76-4.59l-7.98-6.19C.92 16.46 0 20.12 0 24c0 3.88.92 7.54 2.56 10.78l7.97-6.19z"],
    ["#34a853", "M24 48c6.48 0 11.93-2.13 15.89-5.81l-7.73-6c-2.15 1.45-4.92 2.3-8.16 2.3-6.26 0-11.57-4.22-13.47-9.91l-7.98 6.19C6.51 42.62 14.62 48 24 48z"],
  ]],
  apple: [24, [
    ["currentColor", "M12.152 6.896c-.948 0-2.415-1.078-3.96-1.04-2.04.027-3.91 1.183-4.961 3.014-2.117 3.675-.546 9.103 1.519 12.09 1.013 1.454 2.208 3.09 3.792 3.039 1.52-.065 2.09-.987 3.935-.987 1.831 0 2.35.987 3.96.948 1.637-.026 2.676-1.48 3.676-2.948 1.156-1.688 1.636-3.325 1.662-3.415-.039-.013-3.182-1.221-3.22-4.857-.026-3.04 2.48-4.494 2.597-4.559-1.429-2.09-3.623-2.324-4.39-2.376-2-.156-3.675 1.09-4.61 1.09zM15.53 3.83c.843-1.012 1.4-2.427 1.245-3.83-1.207.052-2.662.805-3.532 1.818-.78.896-1.454 2.338-1.273 3.714 1.338.104 2.715-.688 3.559-1.701"],
  ]],
};

// Whoever logs out, or goes back to a page that was kept, waits for no answer any more.
api.onSession(() => api.session() ?? take(ASKED));
addEventListener("pageshow", ({ persisted }) => persisted && take(ASKED));

/** By whom people may sign in here. */
export const offered = [...DOORS.keys()];

/**
 * A button for each of these providers that is offered. `text` names what is on them, and `goal` is
 * what `returned` says of it: {section, …} of the account's dialog, or {} to come in.
 */
export const buttons = (text, providers, goal) =>
  el(
    "div",
    { class: "providers" },
    ...offered
      .filter((provider) => providers.includes(provider))
      .map((provider) =>
        el(
          "button",
          { type: "button", class: `provider ${provider}`, onclick: attempt(() => leaveFor(provider, goal)) },
          logo(provider),
          el("span", {}, t(text, { provider: t(`way_${provider}`) })),
        ),
      ),
  );

/**
 * What somebody has just come back with, once: the goal, with `trouble` in words, or with the
 * `provider`, what is `given` to the API, and the `name` of who comes in. Null when nobody was away.
 */
export function returned() {
  const [said, asked] = [take(RETURNED), take(ASKED)];
  if (!said) return null;
  // Or it is not for whoever is logged in by now.
  if (!asked || asked.state !== said.state || asked.user !== whoIsIn()) return { trouble: t("sign_in_unmatched") };
  const { provider, goal, nonce } = asked;
  if (!said.id_token) {
    const words = CANCELLED.includes(said.error) ? "sign_in_cancelled" : "sign_in_failed";
    return { ...goal, trouble: t(words, { provider: t(`way_${provider}`) }) };
  }
  const given = { id_token: said.id_token, nonce };
  if (said.code) Object.assign(given, { authorization_code: said.code, redirect_uri: RETURN_TO });
  return { ...goal, provider, given, name: nameIn(said.user) };
}

async function leaveFor(provider, goal) {
  const [state, nonce] = [secret(), secret()];
  const { url, client_id } = DOORS.get(provider);
  const there = new URL(url);
  there.search = new URLSearchParams({ client_id, redirect_uri: RETURN_TO, state, ...(await DIALECTS[provider](nonce)) });
  sessionStorage.setItem(ASKED, JSON.stringify({ provider, goal, state, nonce, user: whoIsIn() }));
  location.assign(there);
}

function take(name) {
  const kept = sessionStorage.getItem(name);
  sessionStorage.removeItem(name);
  return JSON.parse(kept);
}

const whoIsIn = () => api.session()?.user.id ?? null;

/** Apple tells a name once, to the app alone; there may be none, or what is none. */
function nameIn(user) {
  try {
    const { firstName, lastName } = JSON.parse(user).name;
    return [firstName, lastName].filter(Boolean).join(" ") || undefined;
  } catch {
    return undefined;
  }
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const secret = () => hex(crypto.getRandomValues(new Uint8Array(32)));
const sha256 = async (text) => hex(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));

function logo(provider) {
  const [size, paths] = LOGOS[provider];
  const make = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const svg = make("svg", { viewBox: `0 0 ${size} ${size}`, "aria-hidden": "true" });
  svg.append(...paths.map(([fill, d]) => make("path", { fill, d })));
  return svg;
}
