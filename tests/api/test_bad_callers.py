"""Who is refused: every kind of bad caller on one route, and on every route some of each kind.

A new route is covered as soon as it is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from chalicelib.api.http import Route
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, Key, account_key, session_key, to_attributes
from chalicelib.core.ids import uuid7
from chalicelib.models.fields import Store
from chalicelib.settings import Settings
from tests.conftest import Clock
from tests.support.forger import FLAWED_HEADERS, FLAWED_TOKENS, Forger, but
from tests.support.invariants import Held
from tests.support.phone import Answer, Phone
from tests.support.routes import GUARDED, OPEN, ROUTES, ask, named

Stored = Callable[..., list[Item]]
STORES: tuple[Store, ...] = ("uploads", "recordings")
with_ids = pytest.mark.parametrize("route", [r for r in ROUTES if r.parameters], ids=named)


class Callers:
    """Makes the headers of every kind of bad caller."""

    def __init__(self, phone: Phone, forger: Forger, remove: Callable[[Key], None]) -> None:
        self.phone = phone
        self.forger = forger
        self._remove = remove

    def lose_session(self) -> None:
        self._remove(session_key(self.phone.user_id, self.phone.session_id))

    def lose_user(self) -> None:
        self._remove(account_key(self.phone.user_id))


@pytest.fixture
def callers(phone: Phone, forger: Forger, clients: Clients, settings: Settings) -> Callers:
    def remove(key: Key) -> None:
        """Take an item away behind the app's back."""
        clients.dynamodb.delete_item(TableName=settings.table, Key=to_attributes(key))

    return Callers(phone, forger, remove)


def after(*losses: Callable[[Callers], None]) -> Callable[[Callers], str]:
    """What makes a token that was good before."""

    def token(callers: Callers) -> str:
        for lose in losses:
            lose(callers)
        return callers.forger.token()

    return token


# What follows "Bearer ", by who calls with it.
TOKENS: dict[str, Callable[[Callers], str]] = {
    "expired": lambda c: c.forger.token(claims=but(exp=int(time.time()) - 1)),
    "expired, another key": lambda c: c.forger.token(claims=but(exp=1), key="k" * 48),
    "a refresh token": lambda c: str(c.phone.tokens["refresh_token"]),
    "ended session": after(Callers.lose_session),
    "somebody else's session": lambda c: c.forger.token(
        claims=but(sid=Phone().sign_up().session_id)
    ),
    "session of nobody": lambda c: c.forger.token(claims=but(sid=uuid7())),
    "deleted user": after(Callers.lose_user),
    "deleted user, ended session": after(Callers.lose_session, Callers.lose_user),
    "user of nobody": lambda c: c.forger.token(claims=but(sub=uuid7())),
}
HEADERS: dict[str, Callable[[Callers], dict[str, str]]] = {
    "no header": lambda _: {},
    **{
        name: lambda callers, make=make: {"Authorization": make(callers.forger)}  # type: ignore[misc]
        for name, make in FLAWED_HEADERS.items()
    },
    **{
        name: lambda callers, make=make: {"Authorization": f"Bearer {make(callers.forger)}"}  # type: ignore[misc]
        for name, make in FLAWED_TOKENS.items()
    },
    **{
        name: lambda callers, make=make: {"Authorization": f"Bearer {make(callers)}"}  # type: ignore[misc]
        for name, make in TOKENS.items()
    },
}
# One that each look refuses: for the header, the signature, the time, and what is stored.
SOME = ["no header", "another key", "expired", "ended session"]
(PUT_AUDIO,) = [route for route in ROUTES if named(route) == "PUT /recordings/{id}/audio"]


# Who calls


@pytest.mark.parametrize(
    ("route", "caller"),
    [
        *((PUT_AUDIO, caller) for caller in HEADERS),
        *((route, caller) for route in GUARDED if route != PUT_AUDIO for caller in SOME),
    ],
    ids=lambda each: each if isinstance(each, str) else named(each),
)
def test_a_bad_caller_is_refused_and_changes_nothing(
    nobody: Phone, callers: Callers, stored: Stored, route: Route, caller: str
) -> None:
    headers = HEADERS[caller](callers)
    before = stored()

    answer = ask(nobody, route, headers)

    code = "token_expired" if caller == "expired" else "not_authenticated"
    assert (answer.status, answer.code) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert stored() == before


@pytest.mark.parametrize("route", OPEN, ids=named)
def test_an_open_route_does_not_look_at_who_calls(
    nobody: Phone, callers: Callers, route: Route
) -> None:
    without = _kind(ask(nobody, route))

    assert {
        caller: _kind(ask(nobody, route, HEADERS[caller](callers))) for caller in SOME
    } == dict.fromkeys(SOME, without)


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_a_good_caller_is_let_in(nobody: Phone, forger: Forger, route: Route) -> None:
    headers = {"Authorization": f"Bearer {forger.token()}"}

    assert _kind(ask(nobody, route, headers)) != (401, "not_authenticated")


def _kind(answer: Answer) -> tuple[int, str]:
    """What is the same of two answers to the same request."""
    return answer.status, answer.code if answer.status >= 400 else ""


# Whose it is

# What somebody else has, as an id for a path.
BELONGINGS: dict[str, Callable[[Phone], str]] = {
    "upload": lambda other: str(other.announce(b"some sound").json["recording"]["id"]),
    "upload that arrived": lambda other: other.deliver(b"some sound"),
    "recording": lambda other: other.upload_directly(b"some sound"),
    "session": lambda other: other.session_id,
    "account": lambda other: other.user_id,
}


@with_ids
def test_what_is_somebody_elses_is_like_nothing_at_all(
    phone: Phone, other: Phone, stored: Stored, held: Held, route: Route
) -> None:
    ids = {what: belonging(other) for what, belonging in BELONGINGS.items()}
    theirs = f"USER#{other.user_id}"
    before = stored(theirs), [held(store, other.user_id) for store in STORES]

    answers = {what: _kind(ask(phone, route, id=id)) for what, id in ids.items()}

    assert answers == dict.fromkeys(ids, _kind(ask(phone, route)))
    assert (stored(theirs), [held(store, other.user_id) for store in STORES]) == before


# Whose session it is


def _mixed(callers: Callers, _: Clock) -> str:
    """One session's name, another one's secret."""
    mine = str(callers.phone.tokens["refresh_token"]).split(".")
    theirs = str(Phone().sign_up().tokens["refresh_token"]).split(".")
    return ".".join([*mine[:2], *theirs[2:]])


def _log_out(callers: Callers, _: Clock) -> None:
    body = {"refresh_token": callers.phone.tokens["refresh_token"]}
    assert callers.phone.post("/auth/logout", body).status == 204


# What becomes of a session, or what is sent in place of its refresh token.
BAD_REFRESH_TOKENS: dict[str, Callable[[Callers, Clock], str | None]] = {
    "ended session": lambda callers, _: callers.lose_session(),
    "logged out": _log_out,
    "deleted user": lambda callers, _: callers.lose_user(),
    "not used for too long": lambda _, clock: clock.advance(days=61),
    "access token": lambda callers, _: callers.phone.token,
    "somebody else's secret": _mixed,
    "garbage": lambda _, __: "garbage",
}


@pytest.mark.parametrize("what", BAD_REFRESH_TOKENS)
@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_a_bad_refresh_token_gives_nothing(
    callers: Callers, clock: Clock, stored: Stored, path: str, what: str
) -> None:
    token = BAD_REFRESH_TOKENS[what](callers, clock) or callers.phone.tokens["refresh_token"]
    before = stored(f"USER#{callers.phone.user_id}")

    answer = callers.phone.post(path, {"refresh_token": token})

    # Logging out of what is over already is no error.
    assert _kind(answer) in [(401, "not_authenticated"), (204, "")]
    if what != "deleted user":  # Whose session may be ended, as it is of no use.
        assert stored(f"USER#{callers.phone.user_id}") == before


def test_there_are_routes_of_each_sort() -> None:
    assert {"GET /me", "PUT /recordings/{id}/audio"} <= {named(route) for route in GUARDED}
    assert {"POST /auth/login", "GET /health"} <= {named(route) for route in OPEN}
    bodies = {named(r): getattr(r.body, "__struct_fields__", ()) for r in ROUTES}
    assert {name for name, fields in bodies.items() if fields == ("refresh_token",)} == {
        "POST /auth/refresh",
        "POST /auth/logout",
    }
