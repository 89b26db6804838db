// What is done with a recording: its title, tags and notes, its links, the trash. Loaded with the first of it.
//
// `list` is what shows it: `latest(recording)` is what it knows of it by now, `took` is told what has become of
// it, and `gone` that it stands there no more; `shelf()` is what is shown, and `load` shows it anew.

import * as api from "./api.js";
import * as outbox from "./outbox.js";
import { attempt, confirmed, date, el, field, fill, form, icon, iconButton, say, t } from "./page.js";

const DAY = 86_400;
const ENDINGS = { mp4: "m4a", mpeg: "mp3", quicktime: "mov" };

/** What an open recording has below its player. */
export function details(recording, list) {
  return el(
    "div",
    { class: "details" },
    recording.notes && el("p", { class: "notes" }, recording.notes),
    el("details", { class: "section" }, el("summary", {}, t("edit")), el("div", { class: "inside" }, editForm(recording, list))),
    sharing(recording),
    el(
      "div",
      { class: "actions" },
      el("button", { type: "button", class: "quiet", onclick: attempt(() => download(recording)) }, icon("download"), t("download")),
      el("button", { type: "button", class: "quiet", onclick: attempt(() => throwAway(recording, list)) }, icon("trash"), t("to_trash")),
    ),
  );
}

function editForm(recording, { latest, took }) {
  return form(
    async (given) => {
      const changes = {
        file_name: given.file_name.trim(),
        tags: given.tags.split(",").map((tag) => tag.trim()).filter(Boolean),
        notes: given.notes.trim() || null,
      };
      took(await changed(latest(recording) ?? recording, changes, took));
      say(t("saved"));
    },
    field(t("title_field"), el("input", { name: "file_name", required: true, maxLength: 255, value: recording.file_name, autocomplete: "off" })),
    field(t("tags"), el("input", { name: "tags", value: recording.tags.join(", "), autocomplete: "off" }), t("tags_hint")),
    field(t("notes"), el("textarea", { name: "notes", rows: 3, value: recording.notes ?? "" })),
    el("button", { class: "primary" }, t("save")),
  );
}

/** Changes a recording, unless somebody else has said something else of it meanwhile. */
async function changed(recording, changes, took) {
  try {
    return await api.change(recording, changes);
  } catch (error) {
    if (error.code !== "version_conflict") throw error;
    const now = await api.find(recording.id);
    // What was found out of its sound is another version, too, and nobody's words.
    if (wordsOf(now) === wordsOf(recording)) return api.change(now, changes);
    took(now); // What was typed stays; the next try is on what the other one left.
    throw error;
  }
}

const wordsOf = ({ file_name, tags, notes }) => JSON.stringify([file_name, tags, notes]);

async function download(recording) {
  const { audio } = await api.find(recording.id);
  const answer = await fetch(audio.url, { referrerPolicy: "no-referrer" }).catch(() => null);
  if (!answer?.ok) throw new api.Unreachable();
  save(await answer.blob(), recording);
}

/** Saves what this device has of one that was not taken. */
export async function saveCopy(recording) {
  const { lightened, file_name } = recording;
  save(await outbox.sound(recording), { ...recording, file_name: lightened ? t("incomplete", { name: file_name }) : file_name });
}

/** Has the browser save it under its title, with the ending that its type has. */
function save(blob, { file_name, content_type }) {
  const kind = content_type.split("/")[1];
  const ending = /\.\w{2,4}$/.test(file_name) ? "" : `.${ENDINGS[kind] ?? kind.replace(/^x-/, "")}`;
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: file_name.replace(/[\\/:*?"<>|]/g, "-") + ending }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// ---- The trash -----------------------------------------------------------------------------

async function throwAway(recording, list) {
  await api.trash(recording.id);
  if (list.shelf() === "ready") list.gone(recording.id);
  else await list.load();
  say(t("trashed", { name: recording.file_name }), [t("undo"), attempt(() => bringBack(recording, list))]);
}

export async function bringBack(recording, list) {
  await api.restore(recording.id);
  if (list.shelf() === "trashed") list.gone(recording.id);
  else await list.load();
  say(t("restored", { name: recording.file_name }));
}

export async function remove(recording, list) {
  if (!(await confirmed(t("delete"), t("delete_sure", { name: recording.file_name }), t("delete")))) return;
  await api.deleteForGood(recording.id);
  list.gone(recording.id);
  say(t("deleted", { name: recording.file_name }));
}

// ---- Links ---------------------------------------------------------------------------------

/** Makes links, which open it to whoever has one, and takes them back. */
function sharing(recording) {
  const rows = el("ul", { class: "rows" });
  const name = el("input", { type: "checkbox", name: "show_name", id: `name-${recording.id}` });
  const until = el("select", { name: "seconds" }, [DAY, 7 * DAY, 30 * DAY, 0].map((seconds) =>
    el("option", { value: seconds, selected: seconds === 7 * DAY }, seconds ? t("days", { n: seconds / DAY }) : t("for_ever")),
  ));
  // Another choice is another link: the first may be made, though its answer was lost.
  let id;
  const anew = () => (id = api.uuid7());
  anew();
  for (const choice of [name, until]) choice.addEventListener("change", anew);
  const refresh = () => fill(rows, async () => (await api.links(recording.id)).map((link) => linkRow(recording, link, refresh)));
  const make = form(
    async (given) => {
      const link = await api.share(recording.id, { id, seconds: Number(given.seconds) || null, showName: given.show_name === "on" });
      anew(); // That one is made; the next is another one.
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
