"""Signing in with Google and Apple in the web recorder, at the provider that `make run` brings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.core.ids import uuid7
from local.provider import PEOPLE, Person
from tests.browser.chromium import Browser
from tests.browser.test_recorder import API, sign_up
from tests.support.phone import PASSWORD
from tests.support.server import Server, User, http

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("sign-in")]

ME = API + "return await api.me();"
SESSION = "return localStorage.getItem('recorder.session')"


@pytest.fixture
def page(chrome: Browser, federated: Server) -> Iterator[Browser]:
    """The recorder, in a browser that was never here; it has to be a good page to its end."""
    tab = chrome.tab(fresh=True)
    tab.open(f"{federated.url}/")
    yield tab
    assert tab.mishaps() == []
    tab.close()


def ways(page: Browser) -> list[str]:
    return sorted(page.run(ME)["sign_in"])


def sign_in(page: Browser, provider: str, who: str) -> None:
    page.click(f"Sign in with {provider}")
    choose(page, provider, who)


def choose(page: Browser, provider: str, who: str) -> None:
    page.shows("Who are you?")
    page.click("Nobody" if who == "nobody" else f"{PEOPLE[who].name}, by {provider}")


def test_try(page: Browser) -> None:
    page.look(1200, 900)
    from pathlib import Path
    page.picture(Path("/tmp/buttons-1.png"))
    page.look(390, 844, dark=True)
    page.picture(Path("/tmp/buttons-2.png"))
    page.look(1200, 900)
    sign_in(page, "Google", "ann")
    page.shows("Press to record")
    assert ways(page) == ["google"]
    page.click("Account of Ann Example")
    page.click("Ways to log in")
    page.picture(Path("/tmp/buttons-3.png"))
    page.click("Continue with Apple")
    choose(page, "Apple", "ann")
    page.shows("Prove that it is you")
    page.picture(Path("/tmp/buttons-4.png"))
    page.click("Continue with Google")
    choose(page, "Google", "ann")
    page.shows("says that it is you")
    page.picture(Path("/tmp/buttons-5.png"))
    page.click("Add Apple")
    page.shows("Apple logs in to your account now")
    page.picture(Path("/tmp/buttons-6.png"))
