"""A provider's keys: when they are asked for, and what is not taken for keys."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from chalicelib import deadline
from chalicelib.core.accounts.provider_keys import ProviderKeys
from chalicelib.errors import Unavailable
from chalicelib.models.entities import PublicKey, PublishedKeys
from chalicelib.providers import http
from chalicelib.providers.published import Published
from local.provider import Key
from tests.conftest import Clock
from tests.support.federation import Federation
from tests.support.phone import Phone

OLD, NEW = (PublicKey(modulus=number, exponent=65_537) for number in (7, 11))


class Publisher:
    """A provider: the keys that it has, and how often it was asked for them."""

    def __init__(self) -> None:
        self.keys = {"old": OLD}
        self.good_for = timedelta(hours=6)
        self.is_down = False
        self.asked = 0

    def fetch(self) -> PublishedKeys:
        self.asked += 1
        if self.is_down:
            raise Unavailable("It does not answer")
        return PublishedKeys(keys=dict(self.keys), good_for=self.good_for)


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def keys(publisher: Publisher, clock: Clock) -> ProviderKeys:
    return ProviderKeys(publisher, clock)


# When they are asked for


def test_keys_are_asked_for_by_need_and_kept_as_long_as_was_said(
    keys: ProviderKeys, publisher: Publisher, clock: Clock
) -> None:
    assert publisher.asked == 0
    assert [keys.find("old") for _ in range(3)] == [OLD] * 3
    clock.advance(hours=5.9)
    keys.find("old")
    assert publisher.asked == 1

    clock.advance(hours=0.2)
    keys.find("old")
    assert publisher.asked == 2


def test_a_key_that_was_taken_back_is_none_once_the_keys_are_asked_for_again(
    keys: ProviderKeys, publisher: Publisher, clock: Clock
) -> None:
    keys.find("old")
    publisher.keys = {"new": NEW}
    clock.advance(hours=7)

    assert keys.find("old") is None


def test_an_unknown_key_is_asked_for_once_and_a_thousand_made_up_ones_are_not(
    keys: ProviderKeys, publisher: Publisher, clock: Clock
) -> None:
    keys.find("old")
    found = [keys.find(f"forged {number}") for number in range(1000)]

    assert found == [None] * 1000
    assert publisher.asked == 2
    clock.advance(seconds=31)
    keys.find("forged")
    assert publisher.asked == 3


def test_the_first_that_is_ever_asked_for_being_made_up_is_one_fetch(
    keys: ProviderKeys, publisher: Publisher
) -> None:
    assert [keys.find("forged") for _ in range(1000)] == [None] * 1000
    assert publisher.asked == 1


def test_keys_that_rotate_meanwhile_are_found(keys: ProviderKeys, publisher: Publisher) -> None:
    keys.find("old")
    publisher.keys = {"old": OLD, "new": NEW}

    assert (keys.find("new"), keys.find("old")) == (NEW, OLD)
    assert publisher.asked == 2


def test_keys_are_used_for_an_hour_longer_while_the_provider_is_down(
    keys: ProviderKeys, publisher: Publisher, clock: Clock
) -> None:
    keys.find("old")
    publisher.is_down = True
    clock.advance(hours=6.9)
    assert [keys.find("old") for _ in range(50)] == [OLD] * 50
    assert publisher.asked == 2

    clock.advance(hours=0.2)
    with pytest.raises(Unavailable):
        keys.find("old")


def test_while_the_provider_is_down_an_unknown_key_is_not_said_to_be_none(
    keys: ProviderKeys, publisher: Publisher, clock: Clock
) -> None:
    keys.find("old")
    publisher.is_down = True

    for name in ("new", "new", "forged"):
        with pytest.raises(Unavailable):
            keys.find(name)
        assert keys.find("old") == OLD
    assert publisher.asked == 2

    publisher.is_down, publisher.keys = False, {"new": NEW}
    clock.advance(seconds=30)
    assert keys.find("new") == NEW


def test_a_provider_that_is_down_is_asked_again_when_callers_are_told_to_come_again(
    keys: ProviderKeys, publisher: Publisher, clock: Clock
) -> None:
    publisher.is_down = True
    for _ in range(10):
        with pytest.raises(Unavailable):
            keys.find("old")
    assert publisher.asked == 1

    publisher.is_down = False
    clock.advance(seconds=2)
    assert keys.find("old") == OLD


def test_many_at_once_are_one_fetch(keys: ProviderKeys, publisher: Publisher) -> None:
    fetch = publisher.fetch

    def slowly() -> PublishedKeys:
        time.sleep(0.05)
        return fetch()

    publisher.fetch = slowly  # type: ignore[method-assign]
    threads = [threading.Thread(target=keys.find, args=("old",)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert publisher.asked == 1


# What answers


Answering = Callable[[BaseHTTPRequestHandler], None]
PUBLIC = Key().public()
GOOD = json.dumps({"keys": [PUBLIC]}).encode()


class Web(ThreadingHTTPServer):
    """Answers as it is told."""

    daemon_threads = True
    answer: Answering

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/keys?of=all"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.answer(self)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    web = Web(("127.0.0.1", 0), _Handler)
    threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True).start()
    yield web
    web.shutdown()
    web.server_close()


def saying(body: bytes, status: int = 200, **headers: str) -> Answering:
    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response_only(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in ({"Content-Type": "application/json"} | named).items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)

    return answer


def published(web: Web, answer: Answering) -> PublishedKeys:
    web.answer = answer
    return Published("google", web.url).fetch()


def test_published_keys_are_read(web: Web) -> None:
    found = published(web, saying(GOOD, Cache_Control="public, max-age=600, must-revalidate"))

    assert set(found.keys) == {PUBLIC["kid"]}
    assert found.good_for == timedelta(minutes=10)


HOW_LONG = {
    "max-age=600": 600,
    "public, MAX-AGE=7": 7,
    "max-age=0": 0,
    # However long is said: a day. Nothing, or that it is not to be kept: five minutes.
    "max-age=999999999": 86_400,
    "": 300,
    "no-store, max-age=600": 300,
    "no-cache": 300,
    "max-age=-5": 300,
    "max-age=\u0666": 300,
}


@pytest.mark.parametrize("said", HOW_LONG)
def test_keys_are_good_for_as_long_as_their_headers_say(web: Web, said: str) -> None:
    header = said.encode("utf-8").decode("latin-1")
    found = published(web, saying(GOOD, Cache_Control=header))

    assert found.good_for == timedelta(seconds=HOW_LONG[said])


DATE = "Sun, 29 Nov 2026 10:00:00 GMT"
UNTIL: dict[str, tuple[dict[str, str], int]] = {
    "a time": ({"Expires": "Sun, 29 Nov 2026 11:00:00 GMT"}, 3600),
    "a time of asctime's": ({"Expires": "Sun Nov 29 11:00:00 2026"}, 3600),
    "kept on the way": ({"Expires": "Sun, 29 Nov 2026 11:00:00 GMT", "Age": "600"}, 3000),
    "beyond a day": ({"Expires": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86_400),
    "past": ({"Expires": "Sun, 29 Nov 2026 09:00:00 GMT"}, 0),
    "no time": ({"Expires": "0"}, 0),
    "no day": ({"Expires": "Sun, 99 Nov 2026 11:00:00 GMT"}, 0),
    "since no time": ({"Expires": "Sun, 29 Nov 2026 11:00:00 GMT", "Date": "now"}, 300),
    "less than max-age": (
        {"Expires": "Sun, 29 Nov 2026 11:00:00 GMT", "Cache-Control": "max-age=7200"},
        7200,
    ),
    "not to be kept": (
        {"Expires": "Sun, 29 Nov 2026 11:00:00 GMT", "Cache-Control": "no-cache"},
        300,
    ),
}


@pytest.mark.parametrize("what", UNTIL)
def test_keys_that_have_a_time_when_they_expire_are_good_until_then(web: Web, what: str) -> None:
    headers, seconds = UNTIL[what]

    found = published(web, saying(GOOD, 200, **{"Date": DATE} | headers))

    assert found.good_for == timedelta(seconds=seconds)


def test_what_a_cache_kept_them_for_is_taken_off(web: Web) -> None:
    found = published(web, saying(GOOD, Cache_Control="max-age=600", Age="590"))

    assert found.good_for == timedelta(seconds=10)


def with_key(**fields: object) -> bytes:
    return json.dumps({"keys": [PUBLIC | fields]}).encode()


def silent(_: BaseHTTPRequestHandler) -> None:
    time.sleep(2)


def dripping(to: BaseHTTPRequestHandler) -> None:
    """A byte each so often, for ever, of a head that is never whole."""
    with_no_end = b"HTTP/1.0 200 OK\r\nX-Slow: " + b"x" * 10_000
    for byte in with_no_end:
        try:
            to.wfile.write(bytes([byte]))
            to.wfile.flush()
        except OSError:
            return
        time.sleep(0.05)


def dripping_body(to: BaseHTTPRequestHandler) -> None:
    to.send_response(200)
    to.send_header("Content-Type", "application/json")
    to.end_headers()
    for byte in GOOD:
        try:
            to.wfile.write(bytes([byte]))
            to.wfile.flush()
        except OSError:
            return
        time.sleep(0.05)


def cut(to: BaseHTTPRequestHandler) -> None:
    saying(GOOD[:20], Content_Length=str(len(GOOD)))(to)


NO_KEYS: dict[str, Answering] = {
    "a page": saying(b"<html>", Content_Type="text/html"),
    "keys that are said to be a page": saying(GOOD, Content_Type="text/html; charset=utf-8"),
    "a page that is said to be keys": saying(b"<html>"),
    "a megabyte": saying(GOOD + b" " * 1_000_000),
    "a megabyte of keys": saying(json.dumps({"keys": [PUBLIC] * 2_000}).encode()),
    "an error": saying(GOOD, status=500),
    "a redirection": saying(b"", status=302, Location="http://127.0.0.1:9/"),
    "a list": saying(b"[]"),
    "no keys": saying(b'{"keys": []}'),
    "deeply nested": saying(b'{"x": ' + b"[" * 30_000 + b"}"),
    "not UTF-8": saying(b'{"keys": "\xff"}'),
    "cut short": cut,
    "silence": silent,
    "a head that drips": dripping,
    "a body that drips": dripping_body,
    "a key of another kind": saying(with_key(kty="EC")),
    "a key to encrypt": saying(with_key(use="enc")),
    "a key for another algorithm": saying(with_key(alg="RS512")),
    "a key without a name": saying(with_key(kid="")),
    "a small key": saying(with_key(n=PUBLIC["n"][:100])),
    "a key with a small exponent": saying(with_key(e="Aw")),
    "a key that is no number": saying(with_key(n="+/+/")),
}


ODD_KEYS: list[object] = [
    *(PUBLIC | {"kid": None}, PUBLIC | {"kid": 7}, PUBLIC | {"use": None}, PUBLIC | {"n": 7}),
    *({name: value for name, value in PUBLIC.items() if name != "kty"}, {}, [], "key", None),
]


def test_odd_keys_keep_nobody_from_the_others(web: Web) -> None:
    among = json.dumps({"keys": [*ODD_KEYS, PUBLIC, *ODD_KEYS]}).encode()

    assert set(published(web, saying(among)).keys) == {PUBLIC["kid"]}
    with pytest.raises(Unavailable):
        published(web, saying(json.dumps({"keys": ODD_KEYS}).encode()))


@pytest.mark.parametrize("what", NO_KEYS)
def test_what_is_not_a_set_of_keys_is_none_and_takes_no_longer_than_it_may(
    web: Web, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(http, "CONNECT_SECONDS", 0.4)
    monkeypatch.setattr(http, "SECONDS", 0.6)
    began = time.monotonic()

    with pytest.raises(Unavailable):
        published(web, NO_KEYS[what])

    assert time.monotonic() - began < 1.5


def test_nothing_that_listens_is_no_keys_either() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(Unavailable):
        Published("apple", f"http://127.0.0.1:{port}/").fetch()


def test_whoever_has_no_time_left_does_not_begin_to_ask(web: Web) -> None:
    with deadline.within(http.SECONDS), pytest.raises(Unavailable, match="no time left"):
        published(web, saying(GOOD))


def test_while_the_keys_cannot_be_had_a_sign_in_is_503_and_counts_as_no_failure(
    federation: Federation, configure: Callable[..., None], web: Web
) -> None:
    web.answer = saying(b"<html>", Content_Type="text/html")
    configure(google_keys_url=web.url, login_failures_per_source=1)
    body = {"id_token": federation.token("google")}

    answers = [Phone().post("/auth/google", body) for _ in range(3)]

    assert {(answer.status, answer.code) for answer in answers} == {(503, "unavailable")}
    assert answers[0].headers["retry-after"] == "2"


def test_tokens_are_taken_while_the_keys_rotate(federation: Federation) -> None:
    assert federation.sign_in("google").status == 201
    before = federation.key("google")
    federation.provider.keys["google"] = Key()
    try:
        assert federation.sign_in("google").status == 201
        old = before.token(federation.claims("google"))
        assert Phone().post("/auth/google", {"id_token": old}).status == 401
    finally:
        federation.provider.keys["google"] = before
