"""The web recorder, as somebody with a browser and a microphone meets it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.core.ids import uuid7
from tests.browser.chromium import Browser
from tests.support.phone import PASSWORD
from tests.support.server import Server

pytestmark = pytest.mark.browser

# What the page itself asks the API with, as a script in the page.
API = 'const api = await import(document.querySelector("script[src]").src.replace("main", "api"));'
LIST = API + 'return (await api.list("ready")).recordings;'
KEPT = """
const box = await import(document.querySelector("script[src]").src.replace("main", "outbox"));
const {user} = JSON.parse(localStorage.getItem("recorder.session"));
const mine = await box.all(user.id);
"""
PARTS = 17 * 1024 * 1024
FIRST_PAINT = 100_000


@pytest.fixture
def page(chrome: Browser, server: Server) -> Iterator[Browser]:
    """The recorder, in a browser that was never here; it has to be a good page to its end."""
    tab = chrome.tab(fresh=True)
    tab.open(f"{server.url}/")
    yield tab
    assert tab.mishaps() == []
    tab.close()


@pytest.fixture
def home(page: Browser) -> Browser:
    """The same, somebody having signed up."""
    sign_up(page)
    return page


def sign_up(page: Browser, email: str = "") -> str:
    email = email or f"{uuid7()}@example.com"
    page.click("Create an account")
    page.type("Name", "Ann")
    page.type("E-mail address", email)
    page.type("Password", PASSWORD)
    page.click("Create account")
    page.shows("Press to record")
    return email


def record(page: Browser, seconds: float) -> None:
    page.click("Record")
    page.until("return document.querySelector('.clock').innerText >= text", text=clock(seconds))


def clock(seconds: float) -> str:
    return f"0:{int(seconds):02}"


def arrived(page: Browser, count: int = 1) -> list[Any]:
    """What is listed, as soon as it is so many, and nothing is on its way."""
    page.until(
        "return document.querySelectorAll('.card:not(.waiting)').length === count"
        " && !document.querySelector('.waiting')",
        30,
        count=count,
    )
    return list(page.run(LIST))


def plays(page: Browser, name: str) -> None:
    """Play it, and see the position move."""
    page.click(f"Play {name}")
    page.until("return document.querySelector('.position')?.value > 0.2")
    page.click(f"Pause {name}")


# Recording


def test_somebody_signs_up_records_and_listens(home: Browser) -> None:
    record(home, 3)
    home.click("Stop and keep")
    [recording] = arrived(home)

    assert recording["content_type"] in {"audio/mp4", "audio/webm"}
    assert 2900 < recording["duration_ms"] < 5000
    plays(home, recording["file_name"])
    # Its shape is drawn, under the page's own policy.
    drawn = "document.querySelector('.shape > div')?.shadowRoot.querySelector('canvas')"
    home.until(f"return Boolean({drawn})")
    assert home.run("return shifted") < 0.02


def test_a_pause_is_not_part_of_it(home: Browser) -> None:
    record(home, 1)
    home.click("Pause")
    home.shows("Paused")
    time.sleep(2)
    home.click("Go on")
    record_until = "return document.querySelector('.clock').innerText >= '0:02'"
    home.until(record_until)
    home.click("Stop and keep")
    [recording] = arrived(home)
    assert 1900 < recording["duration_ms"] < 3600


def test_what_is_not_discarded_after_all_goes_on(home: Browser) -> None:
    record(home, 1)
    home.click("Discard")
    home.shows("They will be gone")
    home.click("Cancel")
    home.until("return document.querySelector('.desk').dataset.state === 'recording'")


def test_what_is_discarded_is_gone(home: Browser) -> None:
    record(home, 1)
    home.click("Discard")
    home.shows("They will be gone")
    home.click("Discard")
    home.shows("Press to record")
    assert home.run(LIST) == []
    assert home.run("return (await indexedDB.databases()).length") == 1
    home.until(KEPT + "return mine.length === 0")


def kept(page: Browser) -> list[Any]:
    """The ids of what is on this device."""
    return list(page.run(KEPT + "return mine.map(({sent_as}) => sent_as);"))


def test_what_is_recorded_without_a_network_is_sent_when_it_is_back(home: Browser) -> None:
    home.offline(True)
    record(home, 2)
    home.click("Stop and keep")
    home.shows("It is sent when the network is back")
    [id] = kept(home)

    home.offline(False)
    [recording] = arrived(home)
    assert recording["id"] == id
    assert kept(home) == []


def test_a_tab_that_dies_while_it_records_has_lost_nothing(home: Browser, server: Server) -> None:
    record(home, 3)
    home.until(KEPT + "return mine[0].duration_ms > 1900")
    [id] = kept(home)
    home.crash()

    again = home.tab()
    again.open(f"{server.url}/")
    [recording] = arrived(again)
    assert recording["id"] == id
    assert 1900 < recording["duration_ms"] < 4500
    plays(again, recording["file_name"])
    assert again.mishaps() == []


def test_two_tabs_record_at_once_and_neither_takes_what_is_the_others(
    home: Browser, server: Server
) -> None:
    beside = home.tab()
    beside.open(f"{server.url}/")
    beside.shows("Press to record")
    record(home, 1)
    record(beside, 1)
    # The second one looks for what was left behind, and the first one is still busy.
    beside.click("Stop and keep")
    arrived(beside)
    home.until("return document.querySelector('.clock').innerText >= '0:03'")
    home.click("Stop and keep")

    assert len(arrived(home, 2)) == 2
    assert {each["id"] for each in arrived(beside, 2)} == {each["id"] for each in home.run(LIST)}
    assert beside.mishaps() == []


def test_a_tab_that_logs_out_takes_the_others_along(home: Browser, server: Server) -> None:
    beside = home.tab()
    beside.open(f"{server.url}/")
    beside.shows("Press to record")
    home.click("Account of Ann")
    home.click("Log out")
    home.shows("Forgot your password?")
    beside.shows("Forgot your password?")


def test_tabs_that_renew_at_once_stay_logged_in(chrome: Browser, forgetful: Server) -> None:
    one = chrome.tab(fresh=True)
    one.open(f"{forgetful.url}/")
    sign_up(one)
    another = one.tab()
    another.open(f"{forgetful.url}/")
    another.shows("Press to record")
    everything = "Promise.all([api.me(), api.list('ready'), api.sessions()]).then(() => 'in')"
    for _ in range(2):
        time.sleep(3)  # Until the access token is over.
        one.run(API + f"window.asked = {everything}")
        assert another.run(API + f"return {everything}") == "in"
        assert one.run("return window.asked") == "in"
    one.close()
    another.close()


# Files


GIVE = """
const box = new DataTransfer();
box.items.add(new File([new Uint8Array(size).map((_, at) => at % 251)], name, {type}));
const input = document.querySelector("input[type=file]");
input.files = box.files;
input.dispatchEvent(new Event("change"));
"""


def test_a_large_file_goes_in_parts(home: Browser) -> None:
    home.run(GIVE, size=PARTS, name="long.mp3", type="audio/mpeg")
    home.shows("Sending…")
    [recording] = arrived(home)
    assert (recording["size"], recording["content_type"]) == (PARTS, "audio/mpeg")
    sent = home.run(
        "return performance.getEntriesByType('resource')"
        ".filter(({name}) => name.includes('partNumber')).length"
    )
    assert sent == 3


def test_what_is_no_sound_is_not_taken(home: Browser) -> None:
    home.run(GIVE, size=10, name="notes.txt", type="text/plain")
    home.shows("notes.txt is no recording")
    assert kept(home) == []


@pytest.mark.parametrize(
    ("name", "type", "kept_as"),
    [("call.AMR", "", "audio/amr"), ("clip.ogg", "application/ogg", "application/ogg")],
)
def test_a_file_of_sound_is_taken_whatever_the_browser_makes_of_it(
    home: Browser, name: str, type: str, kept_as: str
) -> None:
    home.run(GIVE, size=10, name=name, type=type)
    [recording] = arrived(home)
    assert recording["content_type"] == kept_as


# The list


@pytest.fixture
def listed(home: Browser) -> Browser:
    """Somebody has a recording, opened."""
    home.run(GIVE, size=1000, name="talk.mp3", type="audio/mpeg")
    arrived(home)
    home.click("Details of talk.mp3")
    return home


def test_title_tags_and_notes_are_changed(listed: Browser) -> None:
    listed.click("Title, tags, notes")
    listed.type("Title", "A talk")
    listed.type("Tags", "work, later")
    listed.type("Notes", "Bring the <b>map</b>.")
    listed.click("Save")
    listed.shows("later")
    [recording] = listed.run(LIST)
    assert recording["file_name"] == "A talk"
    assert recording["tags"] == ["work", "later"]
    assert recording["notes"] == "Bring the <b>map</b>."
    assert "Bring the <b>map</b>." in listed.text()


def test_what_another_device_has_said_is_not_overwritten_unseen(listed: Browser) -> None:
    listed.click("Title, tags, notes")
    listed.type("Title", "Mine")
    theirs = (
        API + 'const [one] = (await api.list("ready")).recordings; await api.change(one, said);'
    )
    # Of what is no words, such as what its sound is, nobody is asked.
    listed.run(theirs, said={"duration_ms": 5})
    listed.click("Save")
    listed.until("return document.querySelector('.card h3').innerText === 'Mine'")
    listed.run(theirs, said={"notes": "Theirs."})
    listed.type("Title", "Mine again")
    listed.click("Save")
    listed.shows("It was changed elsewhere meanwhile")
    [recording] = listed.run(LIST)
    assert (recording["file_name"], recording["notes"]) == ("Mine", "Theirs.")


def test_what_is_looked_for_is_found_by_title_notes_and_tags(listed: Browser) -> None:
    listed.click("Title, tags, notes")
    listed.type("Tags", "Zürich")
    listed.click("Save")
    listed.shows("Zürich")
    listed.run(GIVE, size=1000, name="another.mp3", type="audio/mpeg")
    arrived(listed, 2)
    listed.type("Search titles, notes and tags", "zurich")
    listed.hides("another.mp3")
    assert "talk.mp3" in listed.text()
    listed.type("Search titles, notes and tags", "nowhere")
    listed.shows("Nothing has these words.")
    listed.type("Search titles, notes and tags", "another")
    listed.shows("another.mp3")


def test_what_is_deleted_comes_back_or_goes_for_good(listed: Browser) -> None:
    listed.click("Move to trash")
    listed.shows("talk.mp3 is in the trash")
    listed.click("Undo")
    assert len(arrived(listed)) == 1
    listed.click("Details of talk.mp3")
    listed.click("Move to trash")
    listed.shows("Nothing here yet")
    listed.click("Trash")
    listed.click("Restore talk.mp3")
    listed.shows("The trash is empty")
    listed.click("Recordings")
    arrived(listed)
    listed.click("Details of talk.mp3")
    listed.click("Move to trash")
    # Before it is there, be it.
    listed.click("Trash")
    listed.click("Delete talk.mp3 for good")
    listed.shows("will be gone for good")
    listed.click("Delete for good")
    listed.shows("talk.mp3 is deleted")
    assert listed.run(API + 'return (await api.list("trashed")).recordings') == []


def test_who_types_is_not_disturbed_by_what_arrives(listed: Browser) -> None:
    listed.click("Title, tags, notes")
    listed.type("Notes", "Half a sen")
    listed.run(GIVE, size=1000, name="another.mp3", type="audio/mpeg")
    assert len(arrived(listed, 2)) == 2
    listed.shows("another.mp3")
    assert listed.run("return [document.activeElement.name, document.activeElement.value]") == [
        "notes",
        "Half a sen",
    ]


# Links

# What is asked for first is answered last.
LATE = """
const asked = window.fetch;
let late = true;
window.fetch = async (url, ...given) => {
  const held = late && String(url).endsWith(path);
  late &&= !held;
  const answer = await asked(url, ...given);
  if (held) {
    await new Promise((done) => setTimeout(done, 1000));
    setTimeout(() => (window.answered = true), 100);
  }
  return answer;
};
"""


def test_a_link_opens_for_anybody_until_it_is_taken_back(home: Browser, chrome: Browser) -> None:
    record(home, 2)
    home.click("Stop and keep")
    [recording] = arrived(home)
    home.click(f"Details of {recording['file_name']}")
    # That there is none yet is answered last.
    home.run(LATE, path="/links")
    home.click("Share")
    home.click("Make a link")
    home.shows("The link is copied")
    home.until("return window.answered")
    url = home.until("return document.querySelector('.address')?.value")

    stranger = chrome.tab(fresh=True)
    stranger.open(url)
    stranger.click("Play")
    stranger.until("return document.querySelector('audio').currentTime > 0.2")
    assert recording["file_name"] not in stranger.run("return document.documentElement.outerHTML")
    assert stranger.mishaps() == []

    home.click("Take back")
    home.shows("The link opens nothing any more")
    assert home.run("return document.querySelector('.address')") is None
    stranger.open(url + "?")
    stranger.shows("Nothing to be heard here")
    stranger.close()


# Accounts


def test_who_is_logged_out_elsewhere_is_told_and_logs_in_again(
    page: Browser, chrome: Browser, server: Server
) -> None:
    email = sign_up(page)
    elsewhere = chrome.tab(fresh=True)
    elsewhere.open(f"{server.url}/")
    elsewhere.type("E-mail address", email)
    elsewhere.type("Password", "not the password")
    elsewhere.click("Log in")
    elsewhere.shows("The address or the password is wrong.")
    elsewhere.type("Password", PASSWORD)
    elsewhere.click("Log in")
    elsewhere.click("Account of Ann")
    elsewhere.click("Devices")
    elsewhere.click("Log out A device")
    elsewhere.shows("That device is logged out")
    assert elsewhere.mishaps() == []

    page.click("Trash")
    page.shows("Forgot your password?")
    elsewhere.close()


def test_a_forgotten_password_is_replaced_by_the_mailed_link(page: Browser, server: Server) -> None:
    email = sign_up(page)
    page.click("Account of Ann")
    page.click("Log out")
    page.click("Forgot your password?")
    page.type("E-mail address", email)
    page.click("Mail me a link")
    page.shows("a link is on its way")
    link = mailed(server, email, "/auth/password/reset#")
    page.open(link)
    page.type("New password", "another one, longer")
    page.click("Set")
    page.shows("It is set.")
    page.open(f"{server.url}/")
    page.type("E-mail address", email)
    page.type("Password", "another one, longer")
    page.click("Log in")
    page.shows("Press to record")


def mailed(server: Server, email: str, path: str) -> str:
    """The link in the mail that is printed."""
    printed = re.compile(rf"Mail to {re.escape(email)}:(?:(?!Mail to).)*?(http\S+{path}\S+)", re.S)
    deadline = time.monotonic() + 20
    while not (found := printed.search(server.printed())):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found[1]


def test_an_account_is_deleted_with_all_it_has(listed: Browser) -> None:
    listed.click("Account of Ann")
    listed.shows("1 recording, 1 kB of")
    listed.click("Delete account")
    listed.type("Password", PASSWORD)
    listed.click("Delete everything")
    listed.shows("Nobody can bring it back")
    listed.click("Delete everything")
    listed.shows("Forgot your password?")
    assert listed.run("return localStorage.getItem('recorder.session')") is None


# A good page


def test_no_token_is_ever_in_an_address(listed: Browser) -> None:
    asked = listed.run("return performance.getEntriesByType('resource').map(({name}) => name)")
    session = listed.run("return JSON.parse(localStorage.getItem('recorder.session'))")
    assert asked
    for url in asked:
        assert session["access_token"] not in url
        assert session["refresh_token"] not in url


def test_what_is_needed_for_the_first_paint_is_small(page: Browser) -> None:
    page.shows("Create an account")
    sizes = page.run(
        "return ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type))"
        ".map(({decodedBodySize}) => decodedBodySize)"
    )
    assert len(sizes) > 5
    assert sum(sizes) < FIRST_PAINT


def test_it_fits_the_narrowest_phone(listed: Browser) -> None:
    wide = "return document.documentElement.scrollWidth"
    listed.look(320, 640)
    listed.click("Title, tags, notes")
    listed.click("Share")
    assert listed.run(wide) <= 320
    listed.click("Account of Ann")
    listed.shows("1 recording")
    assert listed.run(wide) <= 320
    assert listed.run("return document.querySelector('dialog').scrollWidth") <= 320
    listed.click("Close")


def test_the_keyboard_is_enough(home: Browser) -> None:
    home.run("document.querySelector('.record').focus()")
    home.press("Enter", 13, "\r")
    home.until("return document.querySelector('.clock').innerText >= '0:01'")
    home.press("Enter", 13, "\r")
    arrived(home)
    # Where focus was, it is again.
    home.until("return document.activeElement.matches('.record')")
    home.click("Account of Ann")
    home.shows("Log out")
    home.press("Escape", 27)
    home.until("return !document.querySelector('dialog')")
    home.until("return document.activeElement.matches('.who-button')")


def test_the_docs_are_read_without_the_internet(chrome: Browser, server: Server) -> None:
    tab = chrome.tab(fresh=True)
    tab.open(f"{server.url}/docs")
    tab.shows("Announce a recording")
    assert tab.mishaps() == []
    tab.close()
