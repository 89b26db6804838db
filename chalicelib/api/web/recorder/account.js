// All that is one's account's, in a dialog.

import * as api from "./api.js";
import { password, providers } from "./entrance.js";
import * as outbox from "./outbox.js";
import { attempt, bytes, confirmed, date, dialog, doing, el, field, fill, form, say, t, told } from "./page.js";

/**
 * Everything of the account's, in a dialog, which is whole when it opens: nothing in it moves.
 * `back` is what somebody came back with from a provider, to go on in its `section`.
 */
export async function account(back = {}) {
  const usage = el("div", { class: "usage" });
  const devices = el("ul", { class: "rows" });
  const failed = (place) => (error) => place.replaceChildren(el("p", { class: "trouble" }, told(error)));
  const [ways = ["password"]] = await Promise.all([
    showUsage(usage).catch(failed(usage)),
    showDevices(devices).catch(failed(devices)),
  ]);
  const { user } = api.session() ?? {};
  if (!user) return say(t("error_not_authenticated")); // As was just learned.
  const close = () => box.close();
  const again = (section) => (close(), account({ section }));
  const section = (name, ...inside) => {
    const open = back.section === name;
    const trouble = open && back.trouble && el("p", { class: "trouble", role: "alert" }, back.trouble);
    return el(
      "details",
      { class: "section", open },
      el("summary", { autofocus: open }, t(name)),
      el("div", { class: "inside" }, trouble, ...inside),
    );
  };
  const box = dialog(
    t("account"),
    el("p", { class: "who" }, user.name && el("strong", {}, user.name), el("span", {}, user.email)),
    usage,
    section("devices", devices),
    section("name", nameForm(user)),
    (providers || ways.some((way) => way !== "password")) && section("ways", ...waysList(ways, back, again)),
    section("password", ways.includes("password") ? passwordForm() : firstPassword()),
    section("export", exportForm(ways, back)),
    section("delete_account", deletionForm(ways, back, close)),
    el("div", { class: "actions" }, el("button", { type: "button", class: "quiet wide", onclick: attempt(() => leave(box)) }, t("log_out"))),
  );
  // What is to be pressed next is below what was said, and may be below the edge.
  [...box.querySelectorAll(".section[open] button")].at(-1)?.scrollIntoView({ block: "nearest" });
}

/**
 * A form for what wants a proof that it is the user: the password; or, of an account that has none,
 * what a provider has just said, to which `goal` leads and from which `back` comes. Where none of
 * those is offered any more, a first password is to be set. `act` is given the proof as the API takes
 * it.
 */
function provenForm(act, { ways, goal, back, button }, ...above) {
  const hasPassword = ways.includes("password");
  if (!hasPassword && !providers?.offered.some((provider) => ways.includes(provider))) return firstPassword(...above);
  const given = back.section === goal.section ? back.given : undefined;
  const byPassword = () => [field(t("password"), password("password", "current-password")), button];
  const proven = () => [el("p", { class: "done", role: "status" }, t("proven", { provider: t(`way_${back.provider}`) })), button];
  const byProvider = () => [el("p", { class: "hint" }, t("prove")), providers.buttons("continue_with", ways, goal)];
  const place = el("div", { class: "proof" }, (hasPassword ? byPassword : given ? proven : byProvider)());
  const prove = async (typed, made) => {
    if (hasPassword) return act({ password: typed.password }, made);
    try {
      await doing("proving", () => act({ id_token: given.id_token }, made));
    } catch (error) {
      // It is of somebody else, or too old by now.
      if (error.code === "invalid_credentials") place.replaceChildren(...byProvider());
      throw error;
    }
  };
  return form(prove, ...above, place);
}

async function showUsage(place) {
  const { usage, email_confirmed, email: address, sign_in } = await api.me();
  const words = t("usage", {
    n: usage.recordings,
    used: bytes(usage.bytes),
    quota: bytes(usage.quota_bytes),
  });
  place.replaceChildren(
    el("progress", { max: usage.quota_bytes || 1, value: usage.bytes, "aria-label": words }),
    el("p", { class: "hint" }, words),
  );
  if (!email_confirmed) {
    const send = async () => {
      await api.sendConfirmation();
      say(t("confirmation_sent", { email: address }));
    };
    place.append(
      el("p", { class: "hint" }, t("unconfirmed"), " ", el("button", { type: "button", class: "link", onclick: attempt(send) }, t("confirm_again"))),
    );
  }
  return sign_in;
}

const showDevices = (place) => fill(place, async () =>
  (await api.sessions()).map(({ id, device, current, last_used_at }) => {
    const name = device ?? t(current ? "this_device" : "some_device");
    const hint = current ? device && t("this_device") : t("last_used", { date: date(last_used_at) });
    const end = attempt(async () => {
      await api.endSession(id);
      await showDevices(place);
      say(t("session_ended"));
    });
    return el(
      "li",
      {},
      el("div", { class: "grow" }, el("strong", {}, name), hint && el("span", { class: "hint" }, hint)),
      !current &&
        el("button", { type: "button", class: "quiet", "aria-label": t("end_session", { device: name }), onclick: end }, t("log_out")),
    );
  }));

function nameForm(user) {
  return form(
    async (given) => {
      await api.renameMe(given.name.trim() || null);
      say(t("saved"));
    },
    field(t("name"), el("input", { name: "name", autocomplete: "name", maxLength: 100, value: user.name ?? "" })),
    el("button", { class: "primary" }, t("save")),
  );
}

/** What logs in to the account; what is added waits for its proof. */
function waysList(ways, back, again) {
  const remove = (way, name) => async () => {
    if (!(await confirmed(t("remove_way", { way: name }), t("remove_way_sure", { way: name }), t("remove_yes")))) return;
    await api.removeWay(way);
    await again("ways");
    say(t("way_removed", { way: name }));
  };
  const rows = ways.map((way) => {
    const name = t(`way_${way}`);
    return el(
      "li",
      {},
      el("div", { class: "grow" }, el("strong", {}, name)),
      ways.length > 1 &&
        el("button", { type: "button", class: "quiet", "aria-label": t("remove_way", { way: name }), onclick: attempt(remove(way, name)) }, t("remove_yes")),
    );
  });
  const isAdding = back.section === "ways" && (back.adding || back.given);
  const others = providers?.offered.filter((provider) => !ways.includes(provider)) ?? [];
  return [
    el("ul", { class: "rows" }, ...rows),
    isAdding ? additionForm(ways, back, again) : others.length > 0 && el("p", { class: "hint" }, t("add_way_hint")),
    !isAdding && others.length > 0 && providers.buttons("continue_with", others, { section: "ways" }),
  ];
}

/** The first time somebody comes back it is with the way to add, and the second with the proof. */
function additionForm(ways, back, again) {
  const { provider, given } = back.adding ?? back;
  const name = t(`way_${provider}`);
  const add = async ({ password, id_token: proof_id_token }) => {
    await doing("adding", () => api.addWay(provider, { ...given, password, proof_id_token }));
    await again("ways");
    say(t("way_added", { way: name }));
  };
  const button = el("button", { class: "primary" }, t("add_way", { way: name }));
  const goal = { section: "ways", adding: { provider, given } };
  return provenForm(add, { ways, goal, back: back.adding ? back : {}, button }, el("p", {}, t("adding_way", { way: name })));
}

/** A mailed link sets the first password; the account's other ways to log in stay. */
function firstPassword(...above) {
  const { email } = api.session().user;
  return form(
    async (_, made) => {
      await api.forgotPassword(email);
      made.replaceChildren(el("p", { role: "status", class: "done" }, t("first_password_mailed", { email })));
    },
    ...above,
    el("p", { class: "hint" }, t("first_password")),
    el("button", { class: "primary" }, t("send_link")),
  );
}

function passwordForm() {
  return form(
    async (given, made) => {
      await api.changePassword(given.current, given.new);
      made.reset();
      say(t("password_changed"));
    },
    field(t("current_password"), password("current", "current-password")),
    field(t("new_password"), password("new", "new-password"), t("password_hint")),
    el("button", { class: "primary" }, t("change_password")),
  );
}

function exportForm(ways, back) {
  const out = el("p", { role: "status" });
  const button = el("button", { class: "primary" }, t("export_make"));
  const made = provenForm(
    async (proof, made) => {
      const url = await api.exportData(proof);
      if (!url) return void (out.textContent = t("export_later"));
      made.reset();
      out.replaceChildren(el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, t("export_open")));
    },
    { ways, goal: { section: "export" }, back, button },
    el("p", { class: "hint" }, t("export_hint")),
  );
  made.append(out);
  return made;
}

function deletionForm(ways, back, close) {
  const button = el("button", { class: "danger" }, t("delete_account_yes"));
  return provenForm(
    async (proof) => {
      const { user } = api.session();
      if (!(await confirmed(t("delete_account"), t("delete_account_sure"), t("delete_account_yes")))) return;
      await api.deleteAccount(proof);
      for (const { id } of await outbox.all(user.id)) await outbox.forget(id);
      close();
      say(t("account_deleted"));
    },
    { ways, goal: { section: "delete_account" }, back, button },
    el("p", { class: "hint" }, t("delete_account_hint")),
  );
}

async function leave(box) {
  const waiting = (await outbox.all(api.session().user.id)).filter(({ state }) => state !== "discarded");
  const sure = !waiting.length || (await confirmed(t("log_out"), t("log_out_waiting", { n: waiting.length }), t("log_out")));
  if (!sure) return;
  box.close();
  await api.logOut();
}
