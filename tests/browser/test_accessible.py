"""axe finds nothing wrong with any view of the recorder, light or dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser import npm
from tests.browser.chromium import Browser
from tests.browser.test_recorder import GIVE, arrived, sign_up
from tests.browser.test_sign_in import account, choose, forget_all, sign_in
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


def entrance_with_buttons(page: Browser) -> None:
    page.shows("Sign in with Apple")


def without_an_answer(page: Browser) -> None:
    sign_in(page, "Google", "nobody")
    page.shows("You came back from Google")


def ways_to_log_in(page: Browser) -> None:
    sign_up(page)
    account(page, "Ways to log in")
    page.shows("Continue with Apple")


def a_way_that_is_added(page: Browser) -> None:
    ways_to_log_in(page)
    page.click("Continue with Apple")
    choose(page, "Apple", "ann")
    page.shows("Your Apple account is to log in here.")


def a_proof(page: Browser) -> None:
    sign_in(page, "Google", "ann")
    account(page, "Delete account")
    page.shows("Prove that it is you:")
    page.click("Continue with Google")
    choose(page, "Google", "ann")
    page.shows("Google says that it is you.")


FEDERATED = [
    entrance_with_buttons,
    without_an_answer,
    ways_to_log_in,
    a_way_that_is_added,
    a_proof,
]
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
    looked_at(chrome, server, view)


@pytest.mark.parametrize("view", FEDERATED)
def test_axe_finds_nothing_wrong_where_one_may_sign_in_with_a_provider(
    chrome: Browser, federated: Server, provider: str, view: Callable[[Browser], None]
) -> None:
    forget_all(federated, provider)
    looked_at(chrome, federated, view)


def looked_at(chrome: Browser, server: Server, view: Callable[[Browser], None]) -> None:
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
