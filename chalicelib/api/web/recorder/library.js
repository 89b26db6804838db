// The list: what is on its way, what is there, what is in the trash.

import * as api from "./api.js";
import * as outbox from "./outbox.js";
import { attempt, bytes, clock, confirmed, date, el, icon, iconButton, say, spokenClock, t, told, whyNot } from "./page.js";
import { discard, onSending, retry, sentOf } from "./sending.js";

const MOST_PAGES = 20;
const TYPING_MS = 250;

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
      recording.interrupted && el("span", {}, t("interrupted")),
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
      el("button", { type: "button", class: "quiet", "aria-label": t("restore_name", { name: recording.file_name }), onclick: doing("bringBack", recording) }, t("restore")),
      iconButton("delete", t("delete_name", { name: recording.file_name }), doing("remove", recording)),
    );
  }

  /** What one of the functions in details.js does with a recording and this list. */
  const doing = (name, recording) => attempt(async () => (await import("./details.js"))[name](recording, list));
  const list = { latest: ({ id }) => recordings.get(id), took, gone, load, shelf: () => status };

  /** Opens a card, or closes it; with `playing` what it has is played, or paused. */
  async function toggle(card, { id }, playing = false) {
    if (opened?.card === card) {
      if (playing) return void opened.sound.toggle();
      return close();
    }
    const [{ player }, { details }] = await Promise.all([import("./player.js"), import("./details.js")]);
    close();
    const recording = recordings.get(id);
    if (!recording) return;
    const button = card.querySelector(".play");
    const sound = player(recording, (plays) => {
      button.replaceChildren(icon(plays ? "pause" : "play"));
      button.setAttribute("aria-label", t(plays ? "pause_name" : "play_name", { name: recordings.get(id)?.file_name }));
    });
    opened = { card, sound, body: el("div", { class: "card-body" }, sound.element, details(recording, list)) };
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

  function took({ audio, ...recording }) {
    recordings.set(recording.id, recording);
    const card = cards.querySelector(`[data-id="${recording.id}"]`);
    if (!card) return;
    card.querySelector(".card-text").replaceWith(cardOf(recording).querySelector(".card-text"));
    card.querySelector(".notes")?.remove();
    if (recording.notes) card.querySelector(".details")?.prepend(el("p", { class: "notes" }, recording.notes));
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

  function waitingCard(recording, key) {
    const { id, file_name, trouble, size, duration_ms, rescued } = recording;
    const sent = el("progress", { max: size, value: sentOf(id), "aria-label": t("sending_name", { name: file_name }) });
    const state = trouble
      ? whyNot(trouble)
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
          trouble && iconButton("download", t("save_copy", { name: file_name }), doing("saveCopy", recording)),
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
