// What every part of the page is made with: elements, texts, numbers, dialogs, and a voice for
// screen readers.

import { Problem, Unreachable } from "./api.js";

const TEXTS = JSON.parse(document.getElementById("texts").textContent);
const LANGUAGE = document.documentElement.lang;
const PLURAL = new Intl.PluralRules(LANGUAGE);

/** The text of that name, with what is {in braces} put in; some have a form for one and for more. */
export function t(name, given = {}) {
  const said = TEXTS[name];
  const text = typeof said === "string" ? said : said[PLURAL.select(given.n)] ?? said.other;
  return text.replace(/{(\w+)}/g, (_, place) => given[place]);
}

/** What went wrong, in words for people. */
export function told(error) {
  if (error instanceof Unreachable) return t("unreachable");
  if (!(error instanceof Problem)) return t("unforeseen");
  const field = error.errors[0];
  if (field) return t("field_error", { field: TEXTS[`field_${field.field}`] ?? field.field, message: field.message });
  return toldOf(`${error.doing}_${error.code}`) ?? toldOf(error.code) ?? error.message;
}

/** Does something of which some errors have words of their own: those of `doing` and their code. */
export async function doing(what, task) {
  try {
    return await task();
  } catch (error) {
    error.doing ??= what;
    throw error;
  }
}

/** What a code means; undefined for one that has no words here. */
// How many loadings of a place have begun.
const loadings = new WeakMap();

/** Have a place show what the last of its loadings brings: an earlier one may be answered later. */
export async function fill(place, load) {
  const turn = (loadings.get(place) ?? 0) + 1;
  loadings.set(place, turn);
  const children = await load();
  if (turn === loadings.get(place)) place.replaceChildren(...children);
}

export const toldOf = (code) => TEXTS[`error_${code}`];

/** Why the API does not take a recording, by its code. */
export const whyNot = (code) => (code === "not_found" ? t("deleted_elsewhere") : toldOf(code) ?? t("refused", { code }));

/**
 * An element. Properties that begin with "on" are listeners; `class`, `data-…`, `aria-…` and other
 * names with a dash are attributes; the rest are properties. What is null or false is left out.
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class" || name === "for" || name === "role" || name === "list" || name.includes("-"))
      element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A picture from the page's own sheet; what it means is said beside it, so nobody hears of it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button with a picture and a name that is read out, and shown as a hint. */
export function iconButton(name, label, onclick, properties = {}) {
  return el("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...properties }, icon(name));
}

/** A label and what it is of. */
export function field(label, input, hint) {
  input.id ||= `f${Math.random().toString(36).slice(2)}`;
  if (hint) input.setAttribute("aria-describedby", `${input.id}-hint`);
  return el(
    "div",
    { class: "field" },
    el("label", { for: input.id }, label),
    input,
    hint && el("p", { class: "hint", id: `${input.id}-hint` }, hint),
  );
}

/**
 * A form that does something when it is sent: its buttons rest meanwhile, and what goes wrong is
 * said in it. `act` is given what was typed, by the inputs' names.
 */
export function form(act, ...children) {
  const trouble = el("p", { class: "trouble", role: "alert" });
  const made = el("form", { noValidate: false }, ...children, trouble);
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    trouble.textContent = "";
    const typed = Object.fromEntries(new FormData(made));
    await working(made, async () => {
      try {
        await act(typed, made);
      } catch (error) {
        trouble.textContent = told(error);
        trouble.scrollIntoView({ block: "nearest" });
      }
    });
  });
  return made;
}

async function working(made, task) {
  const buttons = [...made.querySelectorAll("button")];
  if (made.getAttribute("aria-busy") === "true") return;
  made.setAttribute("aria-busy", "true");
  for (const button of buttons) button.setAttribute("aria-disabled", "true");
  try {
    await task();
  } finally {
    made.removeAttribute("aria-busy");
    for (const button of buttons) button.removeAttribute("aria-disabled");
  }
}

const voice = document.getElementById("voice");
const toasts = document.getElementById("toasts");
let silence;

/** Says something, for a while, to eyes and ears; `action` is a button beside it: [its name, what it does]. */
export function say(text, action) {
  clearTimeout(silence);
  const hide = () => toasts.replaceChildren();
  // Emptied first, so that the same words are said again.
  voice.textContent = "";
  setTimeout(() => (voice.textContent = text), 50);
  const button = action && el("button", { type: "button", onclick: () => (hide(), action[1]()) }, action[0]);
  toasts.replaceChildren(el("div", { class: "toast" }, el("span", {}, text), button));
  silence = setTimeout(hide, action ? 10_000 : 5_000);
}

/** Does what a button says, and says what went wrong. */
export function attempt(task) {
  return async (event) => {
    const button = event?.currentTarget;
    if (button?.getAttribute("aria-disabled") === "true") return;
    button?.setAttribute("aria-disabled", "true");
    try {
      await task(event);
    } catch (error) {
      say(told(error));
      if (!(error instanceof Problem || error instanceof Unreachable)) console.error(error);
    } finally {
      button?.removeAttribute("aria-disabled");
    }
  };
}

/** A dialog with a heading; it is there until it is closed, and focus goes back to where it was. */
export function dialog(title, ...children) {
  const heading = el("h2", { id: "dialog-title" }, title);
  const box = el("dialog", { "aria-labelledby": "dialog-title" });
  const close = iconButton("close", t("close"), () => box.close());
  box.append(el("div", { class: "dialog-head" }, heading, close), ...children);
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (event) => event.target === box && box.close());
  document.body.append(box);
  box.showModal();
  return box;
}

/** Asks whether something that cannot be undone shall be done. */
export function confirmed(title, text, yes) {
  return new Promise((resolve) => {
    const box = dialog(
      title,
      el("p", {}, text),
      el(
        "div",
        { class: "actions" },
        el("button", { type: "button", class: "quiet", onclick: () => box.close() }, t("cancel")),
        el("button", { type: "button", class: "danger", onclick: () => box.close("yes") }, yes),
      ),
    );
    box.addEventListener("close", () => resolve(box.returnValue === "yes"));
  });
}

/** 75 -> 1:15; an hour and more -> 1:01:15. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** The same as it is read out: "1 minute, 15 seconds". */
export function spokenClock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const parts = [
    ["hour", Math.floor(whole / 3600)],
    ["minute", Math.floor(whole / 60) % 60],
    ["second", whole % 60],
  ].filter(([unit, number]) => number || (unit === "second" && !whole));
  const format = (unit, number) =>
    new Intl.NumberFormat(LANGUAGE, { style: "unit", unit, unitDisplay: "long" }).format(number);
  return parts.map(([unit, number]) => format(unit, number)).join(", ");
}

export function bytes(count) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(count, 1)) / 3));
  const number = count / 1000 ** step;
  return new Intl.NumberFormat(LANGUAGE, {
    style: "unit",
    unit: units[step],
    unitDisplay: "short",
    maximumFractionDigits: step && number < 10 ? 1 : 0,
  }).format(number);
}

export function date(time) {
  const then = new Date(time);
  const thisYear = then.getFullYear() === new Date().getFullYear();
  return new Intl.DateTimeFormat(LANGUAGE, {
    ...(!thisYear && { year: "numeric" }),
    month: "short",
    day: "numeric",
    hour: "numeric",
    minute: "2-digit",
  }).format(then);
}

/** What a recording is called that nobody has named: when it began. */
export function moment(time) {
  return new Intl.DateTimeFormat(LANGUAGE, { weekday: "long", hour: "numeric", minute: "2-digit" }).format(time);
}
