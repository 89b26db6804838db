// Links, which open a recording to whoever has one.

import * as api from "./api.js";
import { attempt, date, el, field, form, icon, iconButton, say, t } from "./page.js";

const DAY = 86_400;

/** The part of a recording's details that makes links and takes them back. */
export function sharing(recording) {
  const rows = el("ul", { class: "rows" });
  const name = el("input", { type: "checkbox", name: "show_name", id: `name-${recording.id}` });
  const until = el("select", { name: "seconds" }, [DAY, 7 * DAY, 30 * DAY, 0].map((seconds) =>
    el("option", { value: seconds, selected: seconds === 7 * DAY }, seconds ? t("days", { n: seconds / DAY }) : t("for_ever")),
  ));
  let id = api.uuid7();
  const refresh = async () => rows.replaceChildren(...(await api.links(recording.id)).map((link) => linkRow(recording, link, refresh)));
  const make = form(
    async (given) => {
      const link = await api.share(recording.id, { id, seconds: Number(given.seconds) || null, showName: given.show_name === "on" });
      id = api.uuid7(); // That one is made; the next is another one.
      await refresh();
      await copy(link.url);
      rows.querySelector("input")?.focus();
    },
    el("p", { class: "hint" }, t("share_hint")),
    el("div", { class: "share-options" },
      field(t("link_for"), until),
      el("div", { class: "check" }, name, el("label", { for: name.id }, t("show_name")))),
    el("button", { class: "primary" }, icon("link"), t("make_link")),
  );
  const box = el("details", { class: "section" }, el("summary", {}, t("share")), el("div", { class: "inside" }, make, rows));
  box.addEventListener("toggle", attempt(async () => box.open && refresh()));
  return box;
}

function linkRow(recording, link, refresh) {
  const facts = [link.expires_at ? t("until", { date: date(link.expires_at) }) : t("for_ever"), link.show_name && t("with_name")];
  const address = el("input", { class: "address", readOnly: true, value: link.url, "aria-label": t("link_address"), onfocus: () => address.select() });
  return el(
    "li",
    {},
    el("div", { class: "grow" }, address, el("span", { class: "hint" }, facts.filter(Boolean).join(" · "))),
    iconButton("copy", t("copy"), attempt(() => copy(link.url))),
    el("button", {
      type: "button", class: "quiet", onclick: attempt(async () => {
        await api.takeBack(recording.id, link.code);
        await refresh();
        say(t("taken_back"));
      }),
    }, t("take_back")),
  );
}

async function copy(url) {
  // Not every page may: the address is there to be copied by hand.
  const done = await navigator.clipboard?.writeText(url).then(() => true, () => false);
  say(t(done ? "copied" : "made_link"));
}
