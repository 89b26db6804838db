"""Signing in with Google and Apple in the web recorder, at the provider that `make run` brings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.provider import PEOPLE
from tests.browser.chromium import Browser
from tests.browser.test_recorder import API, mailed, sign_up
from tests.support.phone import PASSWORD
from tests.support.server import Server, eventually, http

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("sign-in")]

ME = API + "return await api.me();"
SESSION = "return localStorage.getItem('recorder.session')"
KEPT = "return sessionStorage.length"
IN_VIEW = """
const element = document.querySelector(what);
const {x, bottom} = element.getBoundingClientRect();
return document.elementFromPoint(x + 20, bottom - 5) === element;
"""


@pytest.fixture
def page(chrome: Browser, federated: Server, provider: str) -> Iterator[Browser]:
    """The recorder, in a browser that was never here; it has to be a good page to its end.

    Nobody who is made up has an account.
    """
    forget_all(federated, provider)
    tab = chrome.tab(fresh=True)
    tab.open(f"{federated.url}/")
    yield tab
    assert tab.mishaps() == []
    tab.close()


def token(provider: str, by: str, who: str) -> dict[str, str]:
    answer: dict[str, str] = http.post(f"{provider}/{by}/token", json={"person": who}).json()
    return answer


def forget_all(server: Server, provider: str) -> None:
    # Apple first, who knows whose address it is, and so comes in to an account with that.
    for by in ("apple", "google"):
        for who in ("ann", "bob", "cleo"):
            proof = token(provider, by, who)
            session = http.post(f"{server.url}/auth/{by}", json=proof).raise_for_status().json()
            headers = {"Authorization": f"Bearer {session['access_token']}"}
            gone = http.request("DELETE", f"{server.url}/me", json=proof, headers=headers)
            assert gone.status_code == 204, f"{gone.text}\n{server.printed()[-4000:]}"


def sign_in(page: Browser, by: str, who: str) -> None:
    page.click(f"Sign in with {by}")
    choose(page, by, who)


def choose(page: Browser, by: str, who: str) -> None:
    page.shows("Who are you?")
    page.click("Nobody" if who == "nobody" else f"{PEOPLE[who].name}, by {by}")


def ways(page: Browser) -> list[str]:
    return sorted(page.run(ME)["sign_in"])


def account(page: Browser, section: str) -> None:
    """Open one section of the account's dialog."""
    page.until("return Boolean(document.querySelector('.who-button'))")
    page.run("document.querySelector('.who-button').click()")
    page.click(section)


def come_with_apple(page: Browser, who: str) -> None:
    """Come back with whose Apple is to log in to the account, too."""
    account(page, "Ways to log in")
    page.click("Continue with Apple")
    choose(page, "Apple", who)


def log_out(page: Browser) -> None:
    page.run("document.querySelector('.who-button').click()")
    page.click("Log out")
    page.shows("Forgot your password?")


# Coming in


@pytest.mark.parametrize("by", ["Google", "Apple"])
def test_somebody_signs_in_and_comes_back_to_the_same_account(page: Browser, by: str) -> None:
    sign_in(page, by, "ann")
    page.shows("Press to record")
    me = page.run(ME)
    log_out(page)

    sign_in(page, by, "ann")
    page.shows("Press to record")

    assert page.run(ME) == me
    assert me["sign_in"] == [by.lower()]


def test_apples_name_is_kept_which_it_tells_but_once(page: Browser) -> None:
    sign_in(page, "Apple", "bob")
    page.shows("Press to record")

    assert page.run(ME)["name"] == "Bob Example"


def test_nothing_of_it_stays_in_the_tab_or_its_address(page: Browser, federated: Server) -> None:
    for by in ("Google", "Apple"):
        sign_in(page, by, "ann")
        page.shows("Press to record")

        assert page.run("return location.href") == f"{federated.url}/"
        assert page.run(KEPT) == 0
        log_out(page)


def test_nor_of_what_was_asked_by_who_comes_back_without_an_answer(
    page: Browser, federated: Server
) -> None:
    sign_in(page, "Google", "ann")
    come_with_apple(page, "cleo")
    page.shows("Prove that it is you")
    page.click("Continue with Google")
    page.shows("Who are you?")

    page.open(f"{federated.url}/")
    page.shows("Press to record")
    assert page.run(KEPT) == 0


def test_nor_when_that_page_was_kept_or_its_session_ends(page: Browser) -> None:
    asked = "sessionStorage.setItem('recorder.asked', '{}');"
    sign_in(page, "Google", "ann")
    page.shows("Press to record")
    shown = "dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}));"
    assert page.run(asked + shown + KEPT) == 0

    page.run(asked)
    log_out(page)
    assert page.run(KEPT) == 0


def test_nothing_is_loaded_from_anybody_else(page: Browser, federated: Server) -> None:
    loaded = page.run("return performance.getEntriesByType('resource').map(({name}) => name)")

    assert any("/providers.js" in url for url in loaded)
    assert {url.startswith(f"{federated.url}/") for url in loaded} == {True}


def test_without_client_ids_there_is_neither_button_nor_module(
    chrome: Browser, server: Server
) -> None:
    tab = chrome.tab(fresh=True)
    tab.open(f"{server.url}/")
    tab.shows("Forgot your password?")

    assert "Sign in with" not in tab.text()
    loaded = tab.run("return performance.getEntriesByType('resource').map(({name}) => name)")
    assert not [url for url in loaded if "providers.js" in url]
    sign_up(tab)
    account(tab, "Password")
    assert "Ways to log in" not in tab.text()
    tab.close()


@pytest.mark.parametrize("by", ["Google", "Apple"])
def test_whoever_cancels_is_back_where_they_were(page: Browser, by: str) -> None:
    sign_in(page, by, "nobody")
    page.shows(f"You came back from {by} without signing in.")
    assert page.run(SESSION) is None

    sign_in(page, by, "ann")
    page.shows("Press to record")


def test_an_address_that_nobody_has_verified_is_told_of(page: Browser) -> None:
    sign_in(page, "Google", "dan")

    page.shows("Your address is not confirmed there")
    assert page.run(SESSION) is None


def test_what_got_no_answer_is_tried_again_with_the_same(page: Browser) -> None:
    page.block("*/auth/apple")
    sign_in(page, "Apple", "cleo")
    page.shows("There is no answer.")

    page.block()
    page.click("Try again")
    page.shows("Press to record")


# What was not asked for


def test_an_answer_to_nothing_lets_nobody_in(
    page: Browser, federated: Server, provider: str
) -> None:
    """Somebody else's id token behind a link, so that others record into their account."""
    theirs = token(provider, "google", "bob")["id_token"]
    for state in ("", "&state=", "&state=guessed"):
        page.open(f"{federated.url}/auth/return#id_token={theirs}{state}")
        page.shows("That was no answer to what was asked here.")

    assert page.run(SESSION) is None


def test_nor_does_a_form_from_elsewhere_to_who_has_asked(
    page: Browser, federated: Server, provider: str, elsewhere: str
) -> None:
    theirs = token(provider, "apple", "bob")["id_token"]
    page.click("Sign in with Apple")
    page.shows("Who are you?")

    page.open(elsewhere)
    page.run(
        "const form = document.createElement('form'); form.method = 'post'; form.action = url;"
        "for (const [name, value] of Object.entries({id_token, state: 'guessed', code: 'c'}))"
        "  form.append(Object.assign(document.createElement('input'), {name, value}));"
        "document.body.append(form); setTimeout(() => form.submit());",
        url=f"{federated.url}/auth/return",
        id_token=theirs,
    )

    page.shows("That was no answer to what was asked here.")
    assert page.run(SESSION) is None


@pytest.mark.parametrize("by", ["Google", "Apple"])
def test_a_token_with_another_nonce_lets_nobody_in(page: Browser, by: str) -> None:
    page.click(f"Sign in with {by}")
    page.shows("Who are you?")
    page.run(
        "for (const link of document.links)"
        "  link.href = link.href.replace(/nonce=[^&]+/, 'nonce=another')"
    )
    choose(page, by, "ann")

    page.shows("That was not accepted.")
    assert page.run(SESSION) is None


def test_a_proof_is_not_for_whoever_is_logged_in_by_then(page: Browser, federated: Server) -> None:
    sign_in(page, "Google", "ann")
    account(page, "Delete account")
    page.click("Continue with Google")
    page.shows("Who are you?")
    other = page.tab()
    other.open(f"{federated.url}/")
    log_out(other)
    sign_up(other)
    other.close()

    choose(page, "Google", "ann")

    page.shows("That was no answer to what was asked here.")
    assert page.run(ME)["sign_in"] == ["password"]


def test_who_was_logged_out_meanwhile_is_told(
    page: Browser, federated: Server, provider: str
) -> None:
    sign_in(page, "Apple", "ann")
    account(page, "Export")
    page.click("Continue with Apple")
    page.shows("Who are you?")
    log_out_others(federated, token(provider, "apple", "ann"))

    choose(page, "Apple", "ann")
    page.shows("You are logged out.")
    page.shows("Forgot your password?")


def log_out_others(server: Server, signing_in: dict[str, str]) -> None:
    session = http.post(f"{server.url}/auth/apple", json=signing_in).json()
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    for each in http.get(f"{server.url}/me/sessions", headers=headers).json()["sessions"]:
        if not each["current"]:
            http.delete(f"{server.url}/me/sessions/{each['id']}", headers=headers)


# An account that is there


def test_where_the_address_has_an_account_one_logs_in_and_adds_the_way(page: Browser) -> None:
    sign_up(page, "cleo@example.org")
    log_out(page)
    sign_in(page, "Google", "cleo")
    page.shows("There is an account with your address.")

    page.type("E-mail address", "cleo@example.org")
    page.type("Password", PASSWORD)
    page.click("Log in")
    account(page, "Ways to log in")
    page.click("Continue with Google")
    choose(page, "Google", "cleo")
    page.shows("Your Google account is to log in here.")
    page.type("Password", "not the password")
    page.click("Add Google")
    page.shows("That did not prove that it is you")
    page.type("Password", PASSWORD)
    page.click("Add Google")
    page.shows("Google logs in to your account now")
    assert ways(page) == ["google", "password"]

    page.click("Close")
    log_out(page)
    sign_in(page, "Google", "cleo")
    page.shows("Press to record")
    assert ways(page) == ["google", "password"]


def test_a_way_is_removed_and_the_last_one_stays(page: Browser) -> None:
    sign_up(page, "cleo@example.org")
    add(page, "Google", "cleo", PASSWORD)
    page.click("Remove Password")
    page.shows("Password will log in to your account no more.")
    page.click("Remove")
    page.shows("Password logs in no more")

    assert ways(page) == ["google"]
    assert page.run("return document.querySelectorAll('.rows button').length") == 0


def test_a_second_way_is_proved_by_the_first(page: Browser) -> None:
    sign_in(page, "Google", "ann")
    come_with_apple(page, "cleo")
    page.shows("Prove that it is you")
    page.click("Continue with Google")
    choose(page, "Google", "bob")
    page.click("Add Apple")
    page.shows("That did not prove that it is you")
    page.click("Continue with Google")
    choose(page, "Google", "ann")
    page.shows("Google says that it is you.")
    page.click("Add Apple")

    page.shows("Apple logs in to your account now")
    assert ways(page) == ["apple", "google"]


def test_a_small_phone_shows_what_is_to_be_pressed_next(page: Browser) -> None:
    page.look(320, 568)
    sign_in(page, "Google", "ann")
    account(page, "Delete account")
    page.click("Continue with Google")
    choose(page, "Google", "ann")
    page.shows("Google says that it is you.")

    assert page.run(IN_VIEW, what=".section[open] .danger")


def test_and_why_it_was_not_done(page: Browser) -> None:
    page.look(320, 568)
    sign_up(page, "cleo@example.org")
    come_with_apple(page, "cleo")
    page.type("Password", "not the password")
    page.run("document.querySelector('.section[open] form').requestSubmit()")
    page.shows("That did not prove that it is you")

    assert page.run(IN_VIEW, what=".section[open] .trouble:not(:empty)")


def test_each_way_has_its_button_beside_it_on_a_small_phone(page: Browser) -> None:
    page.look(320, 568)
    sign_up(page, "cleo@example.org")
    add(page, "Google", "cleo", PASSWORD)

    assert page.run(
        "return [...document.querySelectorAll('.section[open] li')].map((row) =>"
        "  row.offsetHeight === row.querySelector('button').offsetHeight)"
    ) == [True, True]


def test_what_logs_in_to_another_account_is_not_added(page: Browser) -> None:
    sign_in(page, "Apple", "ann")
    page.shows("Press to record")
    log_out(page)
    sign_up(page, "cleo@example.org")
    come_with_apple(page, "ann")
    page.type("Password", PASSWORD)
    page.click("Add Apple")

    page.shows("That account logs in to another account here already.")
    assert ways(page) == ["password"]


def add(page: Browser, by: str, who: str, password: str) -> None:
    account(page, "Ways to log in")
    page.click(f"Continue with {by}")
    choose(page, by, who)
    page.type("Password", password)
    page.click(f"Add {by}")
    page.shows(f"{by} logs in to your account now")


# An account without a password


def test_an_account_without_a_password_is_deleted_by_a_fresh_sign_in(page: Browser) -> None:
    sign_in(page, "Google", "ann")
    account(page, "Delete account")
    page.click("Continue with Google")
    choose(page, "Google", "nobody")
    page.shows("You came back from Google without signing in.")
    page.click("Continue with Google")
    choose(page, "Google", "bob")
    delete(page)
    page.shows("That is nobody who logs in to this account")
    page.click("Continue with Google")
    choose(page, "Google", "ann")
    delete(page)

    page.shows("Forgot your password?")
    assert page.run(SESSION) is None


def test_apple_is_told_of_it_with_the_code_that_came_to_the_browser(
    page: Browser, federated: Server, provider: str
) -> None:
    sign_in(page, "Apple", "cleo")
    page.shows("Press to record")
    before = http.get(f"{provider}/apple/revoked").json()
    forget_all(federated, provider)

    assert eventually(lambda: len(http.get(f"{provider}/apple/revoked").json()) > len(before), 30)


def test_and_with_the_code_of_an_apple_that_was_added(page: Browser, provider: str) -> None:
    sign_in(page, "Google", "ann")
    come_with_apple(page, "cleo")
    page.click("Continue with Google")
    choose(page, "Google", "ann")
    page.click("Add Apple")
    page.shows("Apple logs in to your account now")
    before = http.get(f"{provider}/apple/revoked").json()
    page.click("Remove Apple")
    page.click("Remove")
    page.shows("Apple logs in no more")

    assert eventually(lambda: len(http.get(f"{provider}/apple/revoked").json()) > len(before), 30)


def delete(page: Browser) -> None:
    page.shows("Google says that it is you.")
    page.click("Delete everything")
    page.shows("Nobody can bring it back")
    page.click("Delete everything")


def test_it_is_exported_by_one_too(page: Browser) -> None:
    sign_in(page, "Apple", "ann")
    account(page, "Export")
    page.click("Continue with Apple")
    choose(page, "Apple", "ann")
    page.click("Make the file")
    page.until("return Boolean(document.querySelector('[role=status] a[target]'))")


def test_one_whose_only_way_is_offered_no_more_is_told_of_the_mailed_link(page: Browser) -> None:
    # Not Ann: the next test reads the link that is mailed to her.
    sign_in(page, "Google", "bob")
    page.shows("Press to record")
    page.run(
        "const {offered} = await import("
        "  document.querySelector('script[src]').src.replace('main', 'providers'));"
        "offered.splice(offered.indexOf('google'), 1);"
    )
    account(page, "Delete account")
    page.shows("Your account has no password. A link that we mail you sets one")
    assert "Prove that it is you" not in page.text()
    page.click("Mail me a link")

    page.shows("A link is on its way to bob@example.com.")


def test_its_first_password_is_set_by_a_mailed_link(page: Browser, federated: Server) -> None:
    sign_in(page, "Google", "ann")
    account(page, "Password")
    page.shows("Your account has no password.")
    page.click("Mail me a link")
    page.shows("A link is on its way to ann.example@gmail.com.")
    page.open(mailed(federated, "ann.example@gmail.com", "/auth/password/reset#"))
    page.type("New password", PASSWORD)
    page.click("Set")
    page.shows("It is set.")
    page.open(f"{federated.url}/")
    page.type("E-mail address", "ann.example@gmail.com")
    page.type("Password", PASSWORD)
    page.click("Log in")

    page.shows("Press to record")
    assert ways(page) == ["google", "password"]
