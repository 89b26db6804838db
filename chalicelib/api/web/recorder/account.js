// All that is one's account's, in a dialog.

import * as api from "./api.js";
import { password } from "./entrance.js";
import * as outbox from "./outbox.js";
import { attempt, bytes, confirmed, date, dialog, el, field, form, say, t, told } from "./page.js";

/** Everything of the account's, in a dialog, which is whole when it opens: nothing in it moves. */
export async function account() {
  const usage = el("div", { class: "usage" });
  const devices = el("ul", { class: "rows" });
  const failed = (place) => (error) => place.replaceChildren(el("p", { class: "trouble" }, told(error)));
  await Promise.all([
    showUsage(usage).catch(failed(usage)),
    showDevices(devices).catch(failed(devices)),
  ]);
  const { user } = api.session() ?? {};
  if (!user) return; // Logged out, as was just learned.
  const box = dialog(
    t("account"),
    el("p", { class: "who" }, user.name && el("strong", {}, user.name), el("span", {}, user.email)),
    usage,
    section(t("devices"), devices),
    section(t("name"), nameForm(user)),
    section(t("password"), passwordForm()),
    section(t("export"), exportForm()),
    section(t("delete_account"), deletionForm(() => box.close())),
    el("div", { class: "actions" }, el("button", { type: "button", class: "quiet wide", onclick: attempt(() => leave(box)) }, t("log_out"))),
  );
}

const section = (title, ...inside) =>
  el("details", { class: "section" }, el("summary", {}, title), el("div", { class: "inside" }, ...inside));

async function showUsage(place) {
  const { usage, email_confirmed, email: address } = await api.me();
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
}

async function showDevices(place) {
  const sessions = await api.sessions();
  place.replaceChildren(
    ...sessions.map(({ id, device, current, last_used_at }) => {
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
    }),
  );
}

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

function exportForm() {
  const out = el("p", { role: "status" });
  return form(
    async (given, made) => {
      const url = await api.exportData(given.password);
      if (!url) return void (out.textContent = t("export_later"));
      made.reset();
      out.replaceChildren(el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, t("export_open")));
    },
    el("p", { class: "hint" }, t("export_hint")),
    field(t("password"), password("password", "current-password")),
    el("button", { class: "primary" }, t("export_make")),
    out,
  );
}

function deletionForm(close) {
  return form(
    async (given) => {
      const { user } = api.session();
      if (!(await confirmed(t("delete_account"), t("delete_account_sure"), t("delete_account_yes")))) return;
      await api.deleteAccount(given.password);
      for (const { id } of await outbox.all(user.id)) await outbox.forget(id);
      close();
      say(t("account_deleted"));
    },
    el("p", { class: "hint" }, t("delete_account_hint")),
    field(t("password"), password("password", "current-password")),
    el("button", { class: "danger" }, t("delete_account_yes")),
  );
}

async function leave(box) {
  const waiting = (await outbox.all(api.session().user.id)).filter(({ state }) => state !== "discarded");
  const sure = !waiting.length || (await confirmed(t("log_out"), t("log_out_waiting", { n: waiting.length }), t("log_out")));
  if (!sure) return;
  box.close();
  await api.logOut();
}
