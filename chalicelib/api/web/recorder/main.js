// The page: who is in, and what they see.

import * as api from "./api.js";
import { entrance, providers } from "./entrance.js";
import { library } from "./library.js";
import { attempt, el, icon, say, t } from "./page.js";
import { desk } from "./recorder.js";
import { sendAll } from "./sending.js";

const app = document.getElementById("app");
let inside;

function show(back) {
  const session = api.session();
  if (session && session.user.id === inside?.user) return;
  // Somebody else logged in, or nobody is: what was being recorded stays on this device, as theirs.
  inside?.desk.finish().catch(console.error);
  inside?.library.stop();
  for (const box of document.querySelectorAll("dialog")) box.close();
  inside = session ? home(session.user) : undefined;
  app.replaceChildren(inside?.element ?? el("main", {}, entrance(back)));
  inside?.library.show().catch(console.error);
  if (inside) sendAll();
}

function home(user) {
  const table = desk();
  const shelf = library();
  const who = user.name || user.email;
  const button = el(
    "button",
    { type: "button", class: "who-button", "aria-label": t("account_of", { who }), title: who, onclick: attempt(() => account()) },
    el("span", { "aria-hidden": "true" }, who.trim().slice(0, 1).toUpperCase() || "·"),
  );
  const element = el(
    "div",
    { class: "home" },
    el("header", { class: "top" }, el("div", { class: "brand" }, icon("mark"), el("h1", {}, t("title"))), button),
    el("main", {}, table.element, shelf.element),
  );
  return { user: user.id, element, desk: table, library: shelf };
}

const account = async (back) => (await import("./account.js")).account(back);

addEventListener("beforeunload", (event) => {
  // It would be kept all the same; but who closes a tab by mistake wants it to go on.
  if (inside?.desk.busy()) event.preventDefault();
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  attempt(() => inside?.desk.take([...event.dataTransfer.files]))();
});
api.onSession(() => show());
const back = providers?.returned();
show(back);
if (back?.section) attempt(() => account(back))();
else if (inside && back) say(back.trouble);
