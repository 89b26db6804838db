// Getting in: log in, sign up, have a password replaced.

import * as api from "./api.js";
import { el, field, form, icon, t } from "./page.js";

const email = (value = "") =>
  el("input", { type: "email", name: "email", required: true, autocomplete: "username", value, maxLength: 254 });
export const password = (name, autocomplete) =>
  el("input", {
    type: "password", name, required: true, autocomplete,
    ...(autocomplete === "new-password" && { minLength: 8 }),
  });

/** What stands there while nobody is logged in. */
export function entrance() {
  const place = el("section", { class: "entrance", "aria-labelledby": "entrance-title" });
  const show = (view, typed) => {
    place.replaceChildren(...view(show, typed));
    place.querySelector("input")?.focus({ preventScroll: true });
  };
  place.replaceChildren(...logIn(show));
  return place;
}

const heading = (text, below) => [
  el("div", { class: "mark" }, icon("mark")),
  el("h1", { id: "entrance-title" }, text),
  el("p", { class: "lead" }, below),
];

const other = (text, view, show) =>
  el("button", { type: "button", class: "link", onclick: (event) => show(view, event.target.closest("section").querySelector("[name=email]")?.value) }, text);

const thisDevice = () => t("device", { platform: navigator.userAgentData?.platform || navigator.platform });

function logIn(show, typed) {
  return [
    ...heading(t("welcome"), t("lead")),
    form(
      (given) => api.logIn(given.email, given.password, thisDevice()),
      field(t("email"), email(typed)),
      field(t("password"), password("password", "current-password")),
      el("button", { class: "primary wide" }, t("log_in")),
    ),
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
