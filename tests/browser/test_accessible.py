"""axe finds nothing wrong with any view of the recorder, light or dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser import npm
from tests.browser.chromium import Browser
from tests.browser.test_recorder import GIVE, arrived, sign_up
from tests.support.server import Server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(npm.missing()), reason="there is no npm"),
]

FIND = """
const {violations} = await axe.run(document, {resultTypes: ["violations"]});
return violations.map(({id, impact, nodes}) => `${impact} ${id}: ${nodes.map(({html}) => html)}`);
"""


def entrance(page: Browser) -> None:
    page.shows("Forgot your password?")


def sign_up_form(page: Browser) -> None:
    page.click("Create an account")


def at_home(page: Browser) -> None:
    sign_up(page)
    page.shows("Nothing here yet")


def recording(page: Browser) -> None:
    sign_up(page)
    page.click("Record")
    page.shows("Discard")


def a_card(page: Browser) -> None:
    sign_up(page)
    page.run(GIVE, size=1000, name="talk.mp3", type="audio/mpeg")
    arrived(page)
    page.click("Details of talk.mp3")
    page.click("Title, tags, notes")
    page.type("Tags", "work")
    page.type("Notes", "Some.")
    page.click("Save")
    page.shows("Some.")
    page.click("Share")
    page.click("Make a link")
    page.until("return Boolean(document.querySelector('.address'))")


def trashed(page: Browser) -> None:
    a_card(page)
    page.click("Move to trash")
    page.click("Trash")
    page.until("return Boolean(document.querySelector('.card'))")


def waiting(page: Browser) -> None:
    sign_up(page)
    page.offline(True)
    page.run(GIVE, size=1000, name="talk.mp3", type="audio/mpeg")
    page.shows("It is sent when the network is back")


def the_account(page: Browser) -> None:
    sign_up(page)
    page.click("Account of Ann")
    page.shows("0 recordings")
    page.click("Devices")
    page.click("Delete account")


def a_shared_recording(page: Browser) -> None:
    a_card(page)
    page.open(str(page.run("return document.querySelector('.address').value")))
    page.shows("Play")


def an_own_password(page: Browser) -> None:
    page.open(f"{page.run('return location.origin')}/auth/password/reset#x")
    page.shows("Set a new password")


VIEWS = [
    a_shared_recording,
    an_own_password,
    entrance,
    sign_up_form,
    at_home,
    recording,
    a_card,
    trashed,
    waiting,
    the_account,
]


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_wrong(
    chrome: Browser, server: Server, view: Callable[[Browser], None]
) -> None:
    page = chrome.tab(fresh=True)
    page.look(1280, 860)
    page.open(f"{server.url}/")
    view(page)
    axe = (npm.installed("uppy6") / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    page.load(axe)
    for dark in (False, True):
        page.look(1280, 860, dark=dark)
        assert page.run(FIND) == []
    page.close()
