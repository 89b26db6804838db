"""What the recorder records is sent while it is recorded, and what arrived is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from chalicelib.core.ids import uuid7
from tests.browser.chromium import Browser
from tests.browser.test_recorder import KEPT, LIST, arrived, clock, kept, plays, record, sign_up
from tests.support.phone import PASSWORD
from tests.support.server import Server, eventually, http

pytestmark = pytest.mark.browser

# Notes what the microphone gave.
HEAR = """
window.heard = [];
const start = MediaRecorder.prototype.start;
MediaRecorder.prototype.start = function (...given) {
  this.addEventListener("dataavailable", ({data}) => heard.push(data));
  return start.apply(this, given);
};
"""
DIGEST = """
const bytes = await new Blob(heard).arrayBuffer();
const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
"""
REFUSE = """
window.asked ??= window.fetch;
window.refusals = 0;
window.fetch = async (url, ...given) => {
  if (!String(url).includes(path)) return asked(url, ...given);
  refusals++;
  return new Response(body, {status: 403});
};
"""

ACCEPT = "window.fetch = asked"

Ask = Callable[..., httpx.Response]


@pytest.fixture
def home(chrome: Browser, server: Server) -> Iterator[Browser]:
    """Somebody has signed up, and it is noted what the recorder hears."""
    tab = chrome.tab(fresh=True)
    tab.open(f"{server.url}/")
    sign_up(tab)
    tab.run(HEAR)
    yield tab
    assert tab.mishaps() == []
    tab.close()


@pytest.fixture
def ask(home: Browser, server: Server) -> Ask:
    """Asks the API as another device of the same person."""
    session = home.run("return JSON.parse(localStorage.getItem('recorder.session'))")
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    return lambda method, path, **given: http.request(
        method, f"{server.url}/recordings/{path}".rstrip("/"), headers=headers, **given
    )


def until(page: Browser, seconds: float) -> None:
    """Let it record up to then."""
    page.until("return document.querySelector('.clock').innerText >= text", text=clock(seconds))


def is_all_that_was_heard(page: Browser, recording: dict[str, Any]) -> bool:
    return bool(recording["sha256"] == page.run(DIGEST))


def has(ask: Ask, id: str) -> int:
    """How much of a recording has arrived."""
    answer = ask("GET", f"{id}/upload")
    if answer.status_code == 404:
        return 0
    upload = answer.json()["upload"]
    return int(min([upload["offset"], *[piece["offset"] for piece in upload["missing"]]]))


def arrives(ask: Ask, id: str, more_than: int = 0) -> int:
    """Wait until more of it has; how much that is."""
    assert eventually(lambda: has(ask, id) > more_than)
    return has(ask, id)


def some_has_arrived(page: Browser, ask: Ask, seconds: float = 2) -> tuple[str, int]:
    """Record, and wait until some of it has; the recording's id, and how much that is."""
    record(page, seconds)
    [id] = kept(page)
    page.click("Pause")  # Which sends what there is.
    some = arrives(ask, id)
    page.click("Go on")
    return id, some


def finish(page: Browser) -> dict[str, Any]:
    """Stop, and wait until it has arrived, all of it and as long as it is."""
    page.click("Stop and keep")
    [recording] = arrived(page)
    assert is_all_that_was_heard(page, recording)
    return dict(recording)


def test_what_is_recorded_arrives_while_it_is_recorded(home: Browser, ask: Ask) -> None:
    record(home, 5)
    [id] = kept(home)
    some = arrives(ask, id)
    assert arrives(ask, id, some) <= home.run("return new Blob(heard).size")
    assert "Discard" in home.text()  # It still records.

    recording = finish(home)
    assert recording["id"] == id
    assert 9_000 < recording["duration_ms"] < 20_000
    sound = ask("GET", id).json()["sound"] if heard(ask, id) else {}
    assert abs(sound["duration_ms"] - recording["duration_ms"]) < 500
    assert kept(home) == []
    plays(home, recording["file_name"])


def heard(ask: Ask, id: str) -> bool:
    return eventually(lambda: "sound" in ask("GET", id).json())


def test_it_goes_on_without_a_network_and_what_was_missed_is_sent(home: Browser, ask: Ask) -> None:
    record(home, 5)
    [id] = kept(home)
    some = arrives(ask, id)
    home.offline(True)
    until(home, 12)
    assert has(ask, id) == some
    # A train's Wi-Fi has a page of its own to log in to.
    home.run(REFUSE, path="/pieces", body="<p>Welcome aboard")
    home.offline(False)
    home.until("return refusals > 0")
    home.run(ACCEPT)
    arrives(ask, id, some)
    assert finish(home)["id"] == id


def test_what_was_paused_has_arrived(home: Browser, ask: Ask) -> None:
    record(home, 2)
    [id] = kept(home)
    home.click("Pause")
    assert eventually(lambda: has(ask, id) == home.run("return new Blob(heard).size"))
    home.click("Go on")
    until(home, 4)
    finish(home)


def test_a_tab_that_dies_leaves_what_arrived_and_what_is_on_the_device(
    home: Browser, ask: Ask, server: Server
) -> None:
    id, there = some_has_arrived(home, ask)
    home.until(KEPT + "return mine[0].size > there", there=there)
    before = home.run("return new Blob(heard).size")
    home.crash()

    again = home.tab()
    again.open(f"{server.url}/")
    [recording] = arrived(again)
    assert recording["id"] == id
    assert recording["size"] >= before - 30_000  # A second, and what was being written.
    assert recording["duration_ms"] > 1_900
    plays(again, recording["file_name"])
    assert again.mishaps() == []
    again.close()


def test_what_the_server_took_for_ended_is_there_and_all_of_it_becomes_another_one(
    home: Browser, ask: Ask
) -> None:
    id, there = some_has_arrived(home, ask)
    home.offline(True)
    until(home, 4)
    # As it is ended after a day without a sign of its app.
    assert ask("POST", f"{id}/complete", json={"size": there}).json()["status"] == "ready"
    home.offline(False)
    home.until(KEPT + "return mine[0].sent_as !== id", id=id)
    home.click("Stop and keep")

    whole, some = arrived(home, 2)
    assert (some["id"], some["size"]) == (id, there)
    assert is_all_that_was_heard(home, whole)


def test_what_is_deleted_elsewhere_is_sent_again_only_if_that_is_wanted(
    home: Browser, ask: Ask
) -> None:
    id, _ = some_has_arrived(home, ask)
    assert ask("DELETE", id).status_code == 204
    home.shows("It was deleted on another device")
    home.click("Stop and keep")
    home.shows("Try again")
    assert home.run(LIST) == []
    home.click("Try again")
    [recording] = arrived(home)
    assert recording["id"] != id
    assert is_all_that_was_heard(home, recording)


def test_what_is_discarded_without_a_network_is_deleted_when_it_is_back(
    home: Browser, ask: Ask
) -> None:
    id, _ = some_has_arrived(home, ask)
    home.offline(True)
    home.click("Discard")
    home.shows("They will be gone")
    home.click("Discard")
    home.shows("Press to record")
    sounds = "const base = await new Promise((done) => (indexedDB.open('recorder').onsuccess = "
    sounds += "({target}) => done(target.result))); const request = base.transaction('pieces')"
    sounds += ".objectStore('pieces').count(); return new Promise((done) => "
    sounds += "(request.onsuccess = () => (base.close(), done(request.result))));"
    assert home.run(sounds) == 0
    assert ask("GET", id).json()["status"] == "uploading"
    home.offline(False)
    assert eventually(lambda: ask("GET", id).status_code == 404)
    home.until(KEPT + "return mine.length === 0")


def test_a_full_account_is_said_and_nothing_is_lost(home: Browser, ask: Ask) -> None:
    id, some = some_has_arrived(home, ask)
    full = {"path": "/pieces", "body": '{"code": "quota_exceeded"}'}
    home.run(REFUSE, **full)
    home.shows("Your space is used up")
    assert has(ask, id) == some
    home.run(ACCEPT)  # Somebody made room.
    arrives(ask, id, some)
    home.hides("Your space is used up")
    home.run(REFUSE, **full)
    home.click("Stop and keep")
    home.shows("Try again")
    home.run(ACCEPT)
    home.click("Try again")
    [recording] = arrived(home)
    assert recording["id"] == id
    assert is_all_that_was_heard(home, recording)


def test_what_a_full_device_has_left_of_one_that_ended_is_sent_once_as_incomplete(
    home: Browser, ask: Ask
) -> None:
    live = {"file_name": "Kept", "content_type": "audio/webm", "upload_method": "live"}
    id = ask("POST", "", json=live).json()["recording"]["id"]
    announced = {"offset": 0, "pieces": [{"size": 2000}]}
    [piece] = ask("POST", f"{id}/pieces", json=announced).json()["pieces"]
    http.put(piece["url"], headers=piece["headers"], content=bytes(2000)).raise_for_status()
    assert ask("POST", f"{id}/complete", json={"size": 2000}).json()["status"] == "ready"
    home.run(
        KEPT
        + """
const kept = {...live, id, sent_as: id, user: user.id, recorded_at: new Date().toISOString(),
  duration_ms: 3000, size: 3000, live: true, state: "waiting"};
const bytes = new Uint8Array(1000).buffer;
await box.keep(kept, [0, 1000, 2000].map((number) => ({number, bytes})));
await box.lighten(id, 2000);
const sending = await import(document.querySelector("script[src]").src.replace("main", "sending"));
sending.sendAll();
""",
        id=id,
        live=live,
    )
    left, ended = arrived(home, 2)
    assert (ended["id"], left["size"]) == (id, 2000)
    assert left["file_name"] == "Kept (incomplete)"


def test_a_full_device_does_without_what_has_arrived(home: Browser, ask: Ask) -> None:
    id, _ = some_has_arrived(home, ask, 4)
    home.run("""
const stores = IDBObjectStore.prototype;
const put = stores.put;
const remove = stores.delete;
window.full = true;
stores.put = function (value) {
  const request = put.call(this, value);
  if (full && this.name === "pieces") this.transaction.abort();
  return request;
};
stores.delete = function (what) {
  window.full = false;
  return remove.call(this, what);
};
""")
    home.until("return !full")
    assert finish(home)["id"] == id


def test_who_is_logged_out_goes_on_where_that_was(home: Browser, ask: Ask, server: Server) -> None:
    email = home.run("return JSON.parse(localStorage.getItem('recorder.session')).user.email")
    id, some = some_has_arrived(home, ask)
    beside = home.tab()
    beside.open(f"{server.url}/")
    beside.click("Account of Ann")
    beside.click("Log out")
    beside.shows("It stays on this device")
    beside.click("Log out")
    beside.shows("Forgot your password?")
    beside.close()
    home.shows("Forgot your password?")
    home.type("E-mail address", email)
    home.type("Password", PASSWORD)
    home.click("Log in")
    [recording] = arrived(home)
    assert recording["id"] == id
    assert recording["size"] > some
    assert is_all_that_was_heard(home, recording)


# What an outbox may hold


KEEP = """
const made = await new Promise((resolve, reject) => {
  const request = indexedDB.open("recorder", 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("recordings", {keyPath: "id"});
    request.result.createObjectStore("pieces", {keyPath: ["id", "number"]});
  };
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
const {user} = JSON.parse(localStorage.getItem("recorder.session"));
const doing = made.transaction(["recordings", "pieces"], "readwrite");
for (const each of recordings) {
  const {id, pieces, ...rest} = each;
  let size = 0;
  pieces.forEach(([number, length]) => {
    const bytes = new Uint8Array(length).map((_, at) => (size + at) % 251).buffer;
    size += length;
    doing.objectStore("pieces").put({id, number, bytes});
  });
  doing.objectStore("recordings").put({
    id, sent_as: id, user: user.id, file_name: "Kept", content_type: "audio/webm",
    recorded_at: "2026-11-01T12:00:00.000Z", duration_ms: 60000, size, ...rest,
  });
}
await new Promise((resolve) => (doing.oncomplete = resolve));
made.close();
"""


def test_what_an_earlier_version_left_in_the_browser_is_sent(home: Browser, server: Server) -> None:
    pieces = [[number, 1000] for number in range(3)]
    left = [
        {"id": uuid7(), "state": "waiting", "pieces": pieces},
        {"id": uuid7(), "state": "recording", "pieces": pieces},
    ]
    home.open(f"{server.url}/docs")
    home.run(KEEP, recordings=left)
    home.open(f"{server.url}/")
    assert {each["id"] for each in arrived(home, 2)} == {each["id"] for each in left}
    assert {each["size"] for each in home.run(LIST)} == {3000}


def test_what_was_recorded_without_a_network_for_long_is_sent_in_large_pieces(
    request: pytest.FixtureRequest, home: Browser, ask: Ask, server: Server
) -> None:
    # An hour is 43 MB, second by second; the first minute had arrived.
    seconds = 3600 if request.config.getoption("--long") else 600
    id, second = uuid7(), 12_000
    begun = {"id": id, "file_name": "Kept", "content_type": "audio/webm", "upload_method": "live"}
    assert ask("POST", "", json=begun).status_code == 201
    piece = {"offset": 0, "pieces": [{"size": 60 * second}]}
    [there] = ask("POST", f"{id}/pieces", json=piece).json()["pieces"]
    minute = bytes(at % 251 for at in range(60 * second))
    assert http.put(there["url"], headers=there["headers"], content=minute).status_code == 200

    home.open(f"{server.url}/docs")
    pieces = [[at * second, second] for at in range(seconds)]
    left = {"id": id, "state": "recording", "live": True, "duration_ms": seconds * 1000}
    home.run(KEEP, recordings=[left | {"pieces": pieces}])
    home.open(f"{server.url}/")
    [recording] = arrived(home)
    assert (recording["id"], recording["size"]) == (id, seconds * second)
    assert recording["duration_ms"] == seconds * 1000
    expected = "window.heard = [new Uint8Array(size).map((_, at) => at % 251)];"
    home.run(expected, size=seconds * second)
    assert is_all_that_was_heard(home, recording)
    sent = "return performance.getEntriesByType('resource').filter(({name}) => "
    sent += "name.includes(id) && !name.startsWith(origin)).length"
    assert home.run(sent, id=id, origin=server.url) < seconds / 60
