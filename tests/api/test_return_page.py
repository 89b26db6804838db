"""The page that a provider sends a browser back to: it hands on what was said, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

from chalicelib.api.problems import HEADERS
from chalicelib.models.media_types import FORM
from tests.support.phone import Answer, Phone

SAID = {
    "state": "a&b",
    "id_token": "x.y.z",
    "code": "c",
    "user": '{"name": {"firstName": "Ann"}}',
    "error": "",
}
HOSTILE = "\"><script>alert('1')</script><input value='{{code}}"


class Fields(HTMLParser):
    """What a page's form has in it, and how many scripts the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.given: dict[str, str] = {}
        self.scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.scripts += tag == "script"
        if tag == "input":
            self.given[str(named["name"])] = str(named["value"])


def post(phone: Phone, **said: str) -> Answer:
    headers = {"Content-Type": FORM, "Origin": "https://appleid.apple.com"}
    return phone.call("POST", "/auth/return", urlencode(said).encode(), headers=headers)


def test_what_came_in_a_form_is_in_the_page(phone: Phone) -> None:
    answer = post(phone, **SAID)

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert Fields(answer.text).given == SAID


def test_what_nobody_asked_for_is_not(phone: Phone) -> None:
    answer = post(phone, **SAID, access_token="secret", scope="everything")

    assert answer.status == 200
    assert "secret" not in answer.text
    assert "everything" not in answer.text


@pytest.mark.parametrize("field", SAID)
def test_nothing_in_it_is_taken_for_html(phone: Phone, field: str) -> None:
    page = Fields(post(phone, **SAID | {field: HOSTILE}).text)

    assert page.given == SAID | {field: HOSTILE}
    assert page.scripts == 1


def test_its_policy_allows_its_own_script_alone_whatever_is_in_it(phone: Phone) -> None:
    policies = {
        answer.headers["content-security-policy"]
        for answer in (phone.get("/auth/return"), post(phone, **SAID), post(phone, state=HOSTILE))
    }

    (policy,) = policies
    assert "script-src 'sha256-" in policy
    assert "form-action 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "connect-src 'self'" in policy


def test_nobody_keeps_it_and_no_address_is_told_of_it(phone: Phone) -> None:
    for answer in (phone.get("/auth/return"), post(phone, **SAID)):
        assert answer.headers["cache-control"] == HEADERS["Cache-Control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_what_stands_behind_the_sign_of_an_address_is_left_to_the_browser(phone: Phone) -> None:
    given = Fields(phone.get("/auth/return").text).given

    assert given == dict.fromkeys(SAID, "")


def test_without_client_ids_there_is_no_such_page(
    phone: Phone, configure: Callable[..., None]
) -> None:
    configure(google_client_ids=None, apple_client_ids=None)

    assert phone.get("/auth/return").status == 404
    assert post(phone, **SAID).status == 404
