// Getting in: log in, sign up, have a password replaced.

import * as api from "./api.js";
import { doing, el, field, form, icon, t, told } from "./page.js";

// Where somebody may sign in with a provider, and a page may ask for that: it needs TLS, or localhost.
const doors = isSecureContext && document.getElementById("doors").textContent !== "[]";
export const providers = doors ? await import("./providers.js") : null;

const email = (value = "") =>
  el("input", { type: "email", name: "email", required: true, autocomplete: "username", value, maxLength: 254 });
export const password = (name, autocomplete) =>
  el("input", {
    type: "password", name, required: true, autocomplete,
    ...(autocomplete === "new-password" && { minLength: 8 }),
  });

/** What stands there while nobody is logged in; `back` is what somebody came back with, if they did. */
export function entrance(back) {
  const place = el("section", { class: "entrance", "aria-labelledby": "entrance-title" });
  const show = (view, typed, trouble) => {
    place.replaceChildren(...view(show, typed, trouble).filter(Boolean));
    place.querySelector("input")?.focus({ preventScroll: true });
  };
  if (back?.given) enter(place, show, back);
  else place.replaceChildren(...logIn(show, "", back?.trouble).filter(Boolean));
  return place;
}

/** Signs in by what a provider said. What got no answer can be tried again, with the same. */
async function enter(place, show, back) {
  const { provider, given, name } = back;
  place.replaceChildren(...heading(t("welcome"), ""), el("p", { role: "status", class: "done" }, t("signing_in", { provider: t(`way_${provider}`) })));
  try {
    await doing("entering", () => api.signIn(provider, { ...given, name, device: thisDevice() }));
  } catch (error) {
    const again = !(error.status < 500) || error.status === 429;
    const retry = again && el("button", { type: "button", class: "link", onclick: () => enter(place, show, back) }, t("try_again"));
    show(logIn, "", [told(error), retry && " ", retry]);
  }
}

const heading = (text, below) => [
  el("div", { class: "mark" }, icon("mark")),
  el("h1", { id: "entrance-title" }, text),
  el("p", { class: "lead" }, below),
];

const other = (text, view, show) =>
  el("button", { type: "button", class: "link", onclick: (event) => show(view, event.target.closest("section").querySelector("[name=email]")?.value) }, text);

const thisDevice = () => t("device", { platform: navigator.userAgentData?.platform || navigator.platform });

/** The buttons of the providers, below what is typed. */
const byProvider = () => [
  providers && el("p", { class: "or" }, t("or")),
  providers && providers.buttons("sign_in_with", providers.offered, {}),
];

function logIn(show, typed, trouble) {
  return [
    ...heading(t("welcome"), t("lead")),
    trouble && el("p", { class: "trouble", role: "alert" }, trouble),
    form(
      (given) => api.logIn(given.email, given.password, thisDevice()),
      field(t("email"), email(typed)),
      field(t("password"), password("password", "current-password")),
      el("button", { class: "primary wide" }, t("log_in")),
    ),
    ...byProvider(),
    el("div", { class: "others" }, other(t("to_sign_up"), signUp, show), other(t("to_forgot"), forgot, show)),
  ];
}

function signUp(show, typed) {
  return [
    ...heading(t("sign_up_title"), t("sign_up_lead")),
    form(
      (given) => api.signUp(given.email, given.password, given.name.trim()),
      field(t("name"), el("input", { name: "name", autocomplete: "name", maxLength: 100 }), t("name_hint")),
      field(t("email"), email(typed)),
      field(t("password"), password("password", "new-password"), t("password_hint")),
      el("button", { class: "primary wide" }, t("sign_up")),
    ),
    ...byProvider(),
    el("div", { class: "others" }, other(t("to_log_in"), logIn, show)),
  ];
}

function forgot(show, typed) {
  return [
    ...heading(t("forgot_title"), t("forgot_lead")),
    form(
      async (given, made) => {
        await api.forgotPassword(given.email);
        made.replaceChildren(el("p", { role: "status", class: "done", tabIndex: -1 }, t("forgot_done", given)));
        made.firstChild.focus();
      },
      field(t("email"), email(typed)),
      el("button", { class: "primary wide" }, t("send_link")),
    ),
    el("div", { class: "others" }, other(t("to_log_in"), logIn, show)),
  ];
}
