// The list: what is on its way, what is there, what is in the trash.

import * as api from "./api.js";
import * as outbox from "./outbox.js";
import { attempt, bytes, clock, confirmed, date, el, field, form, icon, iconButton, say, spokenClock, t, told, toldOf } from "./page.js";
import { discard, onSending, retry, sentOf } from "./sending.js";

const DAY = 86_400;
const MOST_PAGES = 20;
const TYPING_MS = 250;
const ENDINGS = { mp4: "m4a", mpeg: "mp3", quicktime: "mov" };

/** Has a list show these, and moves none that is there: whoever types in one goes on typing. */
function arrange(list, wanted) {
  const stays = new Set(wanted);
  for (const card of [...list.children]) if (!stays.has(card)) card.remove();
  wanted.forEach((card, at) => list.children[at] !== card && list.insertBefore(card, list.children[at] ?? null));
}

export function library() {
  let status = "ready";
  let next = null;
  let shown = 0; // Which loading is the last one: an earlier one that comes late is not shown.
  let opened;
  const recordings = new Map();
  const waiting = el("ul", { class: "cards", "aria-label": t("waiting_list") });
  const cards = el("ul", { class: "cards", "aria-labelledby": "library-title" });
  const title = el("h2", { id: "library-title", tabIndex: -1 }, t("recordings"));
  const empty = el("div", { class: "empty", hidden: true });
  const more = el("button", { type: "button", class: "quiet wide", hidden: true, onclick: attempt(() => load(true)) }, t("more"));
  let typing;
  const search = el("input", {
    type: "search", class: "search", autocomplete: "off", maxLength: 200,
    "aria-label": t("search"), placeholder: t("search"),
    oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(attempt(() => load()), TYPING_MS);
    },
  });
  const shelves = ["ready", "trashed"].map((each) =>
    el("button", { type: "button", "aria-pressed": String(each === status), onclick: attempt(() => choose(each)) }, t(`shelf_${each}`)),
  );
  const element = el(
    "section",
    { class: "library", "aria-labelledby": "library-title" },
    el("div", { class: "library-head" }, title, el("div", { class: "segments", role: "group", "aria-label": t("shelves") }, shelves), search),
    waiting,
    cards,
    empty,
    more,
  );

  async function choose(which) {
    status = which;
    shelves.forEach((button, at) => button.setAttribute("aria-pressed", String(["ready", "trashed"][at] === which)));
    title.textContent = t(which === "ready" ? "recordings" : "trash");
    waiting.hidden = which !== "ready";
    close();
    await load();
  }

  async function load(further = false) {
    const turn = ++shown;
    element.setAttribute("aria-busy", "true");
    try {
      const q = search.value.trim();
      let page = await api.list(status, { q, after: further ? next : undefined });
      // Of those that are looked through, none may be meant: on to the next ones, within reason.
      for (let pages = 1; turn === shown && !page.recordings.length && page.next && pages < MOST_PAGES; pages++)
        page = await api.list(status, { q, after: page.next });
      if (turn !== shown) return;
      next = page.next;
      if (!further) recordings.clear();
      for (const recording of page.recordings) recordings.set(recording.id, recording);
      draw();
    } catch (error) {
      if (turn !== shown) return;
      if (error.code === "not_authenticated") return;
      if (!recordings.size) showEmpty(icon("offline"), told(error), el("button", { type: "button", class: "quiet", onclick: attempt(() => load()) }, t("try_again")));
      else throw error;
    } finally {
      if (turn === shown) element.removeAttribute("aria-busy");
    }
  }

  function draw() {
    const there = new Map([...cards.children].map((card) => [card.dataset.id, card]));
    const wanted = [...recordings.values()].map((recording) => {
      const card = there.get(recording.id);
      // One that is open, or is what it was, stays as it is.
      return card && (card === opened?.card || card.dataset.version === String(recording.version)) && card.dataset.status === recording.status
        ? card
        : cardOf(recording);
    });
    arrange(cards, wanted);
    more.hidden = !next;
    empty.hidden = wanted.length > 0 || (waiting.children.length > 0 && !search.value.trim());
    if (!empty.hidden) showEmpty(icon(status === "ready" ? "wave" : "trash"), t(search.value.trim() ? "found_nothing" : `empty_${status}`));
  }

  function showEmpty(...inside) {
    empty.hidden = false;
    empty.replaceChildren(...inside.map((each) => (typeof each === "string" ? el("p", {}, each) : each)));
  }

  // ---- A card ------------------------------------------------------------------------------

  function cardOf(recording) {
    const { id, file_name, duration_ms, size, tags, recorded_at, created_at, version } = recording;
    const facts = [
      el("span", {}, date(recorded_at ?? created_at)),
      duration_ms !== undefined && lengthOf(duration_ms / 1000),
      el("span", {}, bytes(size)),
    ];
    const trashed = recording.status === "trashed";
    const card = el(
      "li",
      { class: "card", "data-id": id, "data-version": String(version), "data-status": recording.status },
      el(
        "div",
        { class: "card-head" },
        trashed
          ? el("span", { class: "card-mark" }, icon("trash"))
          : iconButton("play", t("play_name", { name: file_name }), attempt(() => toggle(card, recording, true)), { class: "play" }),
        el("div", { class: "card-text" },
          el("h3", {}, file_name),
          el("p", { class: "facts" }, facts, trashed && recording.purge_at && el("span", {}, t("purged", { date: date(recording.purge_at) }))),
          tags.length > 0 && el("ul", { class: "tags", "aria-label": t("tags") }, tags.map((tag) => el("li", {}, tag)))),
        trashed ? trashActions(recording) : iconButton("more", t("details_name", { name: file_name }), attempt(() => toggle(card, recording)), { "aria-expanded": "false", class: "icon-button expand" }),
      ),
    );
    return card;
  }

  const lengthOf = (seconds) =>
    el("span", {}, el("span", { "aria-hidden": "true" }, clock(seconds)), el("span", { class: "visually-hidden" }, spokenClock(seconds)));

  function trashActions(recording) {
    return el(
      "div",
      { class: "card-actions" },
      el("button", { type: "button", class: "quiet", "aria-label": t("restore_name", { name: recording.file_name }), onclick: attempt(() => bringBack(recording)) }, t("restore")),
      iconButton("delete", t("delete_name", { name: recording.file_name }), attempt(() => remove(recording))),
    );
  }

  /** Opens a card, or closes it; with `playing` what it has is played, or paused. */
  async function toggle(card, { id }, playing = false) {
    if (opened?.card === card) {
      if (playing) return void opened.sound.toggle();
      return close();
    }
    const { player } = await import("./player.js");
    close();
    const recording = recordings.get(id);
    if (!recording) return;
    const button = card.querySelector(".play");
    const sound = player(recording, (plays) => {
      button.replaceChildren(icon(plays ? "pause" : "play"));
      button.setAttribute("aria-label", t(plays ? "pause_name" : "play_name", { name: recordings.get(id)?.file_name }));
    });
    opened = { card, sound, body: el("div", { class: "card-body" }, sound.element, details(recording)) };
    card.append(opened.body);
    card.classList.add("open");
    card.querySelector(".expand").setAttribute("aria-expanded", "true");
    if (playing) sound.play();
  }

  function close() {
    if (!opened) return;
    const { card, sound, body } = opened;
    opened = undefined;
    sound.stop();
    body.remove();
    card.classList.remove("open");
    card.querySelector(".expand")?.setAttribute("aria-expanded", "false");
    const recording = recordings.get(card.dataset.id);
    if (recording && card.dataset.version !== String(recording.version)) card.replaceWith(cardOf(recording));
  }

  function details(recording) {
    return el(
      "div",
      { class: "details" },
      recording.notes && el("p", { class: "notes" }, recording.notes),
      el("details", { class: "section" }, el("summary", {}, t("edit")), el("div", { class: "inside" }, editForm(recording))),
      sharing(recording),
      el(
        "div",
        { class: "actions" },
        el("button", { type: "button", class: "quiet", onclick: attempt(() => download(recording)) }, icon("download"), t("download")),
        el("button", { type: "button", class: "quiet", onclick: attempt(() => throwAway(recording)) }, icon("trash"), t("to_trash")),
      ),
    );
  }

  function editForm(recording) {
    return form(
      async (given) => {
        const changes = {
          file_name: given.file_name.trim(),
          tags: given.tags.split(",").map((tag) => tag.trim()).filter(Boolean),
          notes: given.notes.trim() || null,
        };
        took(await changed(recordings.get(recording.id) ?? recording, changes));
        say(t("saved"));
      },
      field(t("title_field"), el("input", { name: "file_name", required: true, maxLength: 255, value: recording.file_name, autocomplete: "off" })),
      field(t("tags"), el("input", { name: "tags", value: recording.tags.join(", "), autocomplete: "off" }), t("tags_hint")),
      field(t("notes"), el("textarea", { name: "notes", rows: 3, value: recording.notes ?? "" })),
      el("button", { class: "primary" }, t("save")),
    );
  }

  /** Changes a recording, unless somebody else has said something else of it meanwhile. */
  async function changed(recording, changes) {
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

  function took({ audio, ...recording }) {
    recordings.set(recording.id, recording);
    const card = cards.querySelector(`[data-id="${recording.id}"]`);
    const name = card?.querySelector("h3");
    if (!name) return;
    name.textContent = recording.file_name;
    const fresh = cardOf(recording).querySelector(".tags");
    card.querySelector(".notes")?.remove();
    if (recording.notes) card.querySelector(".details")?.prepend(el("p", { class: "notes" }, recording.notes));
    card.querySelector(".card-text .tags")?.remove();
    if (fresh) card.querySelector(".card-text").append(fresh);
  }

  async function download(recording) {
    const { audio } = await api.find(recording.id);
    const answer = await fetch(audio.url, { referrerPolicy: "no-referrer" }).catch(() => null);
    if (!answer?.ok) throw new api.Unreachable();
    saved(await answer.blob(), recording);
  }

  /** Has the browser save it under its title, with the ending that its type has. */
  function saved(blob, { file_name, content_type }) {
    const kind = content_type.split("/")[1];
    const ending = /\.\w{2,4}$/.test(file_name) ? "" : `.${ENDINGS[kind] ?? kind.replace(/^x-/, "")}`;
    const url = URL.createObjectURL(blob);
    el("a", { href: url, download: file_name.replace(/[\\/:*?"<>|]/g, "-") + ending }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  // ---- Links -------------------------------------------------------------------------------

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
    const refresh = async () => rows.replaceChildren(...(await api.links(recording.id)).map((link) => linkRow(recording, link, refresh)));
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

  // ---- The trash ---------------------------------------------------------------------------

  async function throwAway(recording) {
    await api.trash(recording.id);
    if (status === "ready") gone(recording.id);
    else await load();
    say(t("trashed", { name: recording.file_name }), [t("undo"), attempt(() => bringBack(recording))]);
  }

  async function bringBack(recording) {
    await api.restore(recording.id);
    if (status === "trashed") gone(recording.id);
    else await load();
    say(t("restored", { name: recording.file_name }));
  }

  async function remove(recording) {
    if (!(await confirmed(t("delete"), t("delete_sure", { name: recording.file_name }), t("delete")))) return;
    await api.deleteForGood(recording.id);
    gone(recording.id);
    say(t("deleted", { name: recording.file_name }));
  }

  /** Takes a card away, and leaves the focus where people go on. */
  function gone(id) {
    const card = cards.querySelector(`[data-id="${id}"]`);
    const neighbour = card?.nextElementSibling ?? card?.previousElementSibling;
    if (opened?.card === card) close();
    recordings.delete(id);
    draw();
    (neighbour?.querySelector("button") ?? title).focus();
  }

  // ---- What is on its way ------------------------------------------------------------------

  async function drawWaiting() {
    const user = api.session()?.user.id;
    const kept = user ? (await outbox.all(user)).filter(({ state }) => state === "waiting") : [];
    const there = new Map([...waiting.children].map((card) => [card.dataset.id, card]));
    const key = ({ trouble, rescued }) => `${trouble ?? ""} ${rescued ?? ""}`;
    const wanted = kept.reverse().map((recording) => {
      const card = there.get(recording.id);
      return card?.dataset.key === key(recording) ? card : waitingCard(recording, key(recording));
    });
    arrange(waiting, wanted);
    if (waiting.children.length) empty.hidden = true;
  }

  const troubleOf = (code) =>
    code === "not_found" ? t("deleted_elsewhere") : toldOf(code) ?? t("refused", { code });

  function waitingCard(recording, key) {
    const { id, file_name, trouble, size, duration_ms, rescued } = recording;
    const sent = el("progress", { max: size, value: sentOf(id), "aria-label": t("sending_name", { name: file_name }) });
    const state = trouble
      ? troubleOf(trouble)
      : t(navigator.onLine ? (rescued ? "rescued" : "sending") : "waits_for_network");
    return el(
      "li",
      { class: "card waiting", "data-id": id, "data-key": key },
      el(
        "div",
        { class: "card-head" },
        el("span", { class: "card-mark" }, icon(trouble ? "alert" : "upload")),
        el("div", { class: "card-text" },
          el("h3", {}, file_name),
          el("p", { class: "facts" },
            duration_ms > 0 && el("span", {}, clock(duration_ms / 1000)),
            el("span", {}, bytes(size)),
            el("span", { class: trouble ? "state trouble" : "state" }, state))),
        el("div", { class: "card-actions" },
          trouble && el("button", { type: "button", class: "quiet", onclick: attempt(() => retry(id)) }, t("try_again")),
          trouble && iconButton("download", t("save_copy", { name: file_name }), attempt(async () => saved(await outbox.sound(recording), recording))),
          iconButton("close", t("discard_name", { name: file_name }), attempt(async () => {
            if (await confirmed(t("discard"), t("discard_waiting", { name: file_name }), t("discard"))) await discard(id);
          }))),
      ),
      !trouble && sent,
    );
  }

  function heard({ kind, id, sent }) {
    if (kind === "progress") {
      const bar = waiting.querySelector(`[data-id="${id}"] progress`);
      if (bar) bar.value = sent;
      return;
    }
    if (kind === "waiting") {
      const state = waiting.querySelector(`[data-id="${id}"] .state`);
      if (state) state.textContent = t("waits_for_network");
      return;
    }
    drawWaiting();
    if (kind === "arrived" && status === "ready") {
      load();
      say(t("arrived"));
    }
  }

  onSending((what) => api.session() && heard(what));
  addEventListener("offline", () => api.session() && drawWaiting());
  addEventListener("online", () => api.session() && element.isConnected && !next && load().catch(console.error));
  // What other devices did is seen when somebody comes back to this one.
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && api.session() && element.isConnected && !next) load().catch(() => {});
  });

  return {
    element,
    async show() {
      await Promise.all([drawWaiting(), load()]);
    },
    stop: close,
  };
}
