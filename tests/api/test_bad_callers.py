"""Every route times every kind of bad caller. A new route is covered as soon as it is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

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


class Callers:
    """Makes the headers of every kind of bad caller."""

    def __init__(self, phone: Phone, forger: Forger, clients: Clients, table: str) -> None:
        self.phone = phone
        self.forger = forger
        self._clients = clients
        self._table = table

    def remove(self, key: Key) -> None:
        """Take an item away behind the app's back."""
        self._clients.dynamodb.delete_item(TableName=self._table, Key=to_attributes(key))

    def expired(self) -> str:
        return self.forger.token(claims=but(exp=int(time.time()) - 1))

    def of_an_ended_session(self) -> str:
        self.remove(session_key(self.phone.user_id, self.phone.session_id))
        return self.forger.token()

    def of_a_deleted_user(self) -> str:
        self.remove(account_key(self.phone.user_id))
        return self.forger.token()

    def of_a_user_deleted_with_all_sessions(self) -> str:
        self.of_an_ended_session()
        return self.of_a_deleted_user()

    def of_somebody_elses_session(self) -> str:
        return self.forger.token(claims=but(sid=Phone().sign_up().session_id))


def _flawed(make: Callable[[Forger], str]) -> Callable[[Callers], str]:
    return lambda callers: make(callers.forger)


# What follows "Bearer ", by who calls with it.
TOKENS: dict[str, Callable[[Callers], str]] = {
    **{name: _flawed(make) for name, make in FLAWED_TOKENS.items()},
    "expired": Callers.expired,
    "expired, another key": lambda callers: callers.forger.token(claims=but(exp=1), key="k" * 48),
    "a refresh token": lambda callers: str(callers.phone.tokens["refresh_token"]),
    "ended session": Callers.of_an_ended_session,
    "somebody else's session": Callers.of_somebody_elses_session,
    "session of nobody": lambda callers: callers.forger.token(claims=but(sid=uuid7())),
    "deleted user": Callers.of_a_deleted_user,
    "deleted user, ended session": Callers.of_a_user_deleted_with_all_sessions,
    "user of nobody": lambda callers: callers.forger.token(claims=but(sub=uuid7())),
}
CALLERS: dict[str, Callable[[Callers], dict[str, str]]] = {
    "no header": lambda _: {},
    **{
        name: lambda callers, make=make: {"Authorization": make(callers.forger)}  # type: ignore[misc]
        for name, make in FLAWED_HEADERS.items()
    },
    **{
        name: lambda callers, make=make: {"Authorization": f"Bearer {make(callers)}"}  # type: ignore[misc]
        for name, make in TOKENS.items()
    },
}
every_caller = pytest.mark.parametrize("caller", CALLERS)


@pytest.fixture
def callers(phone: Phone, forger: Forger, clients: Clients, settings: Settings) -> Callers:
    return Callers(phone, forger, clients, settings.table)


# Who calls


@every_caller
@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_a_bad_caller_is_refused_and_changes_nothing(
    nobody: Phone, callers: Callers, stored: Stored, route: Route, caller: str
) -> None:
    headers = CALLERS[caller](callers)
    before = stored()

    answer = ask(nobody, route, headers)

    code = "token_expired" if caller == "expired" else "not_authenticated"
    assert (answer.status, answer.code) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert stored() == before


@every_caller
@pytest.mark.parametrize("route", OPEN, ids=named)
def test_an_open_route_does_not_look_at_who_calls(
    nobody: Phone, callers: Callers, route: Route, caller: str
) -> None:
    without = ask(nobody, route)

    answer = ask(nobody, route, CALLERS[caller](callers))

    assert _kind(answer) == _kind(without)


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


@pytest.mark.parametrize("what", BELONGINGS)
@pytest.mark.parametrize("route", [route for route in ROUTES if route.parameters], ids=named)
def test_what_is_somebody_elses_is_like_nothing_at_all(
    phone: Phone, other: Phone, stored: Stored, held: Held, route: Route, what: str
) -> None:
    id = BELONGINGS[what](other)
    theirs = f"USER#{other.user_id}"
    before = stored(theirs), [held(store, other.user_id) for store in STORES]

    answer = ask(phone, route, id=id)

    assert _kind(answer) == _kind(ask(phone, route))
    assert (stored(theirs), [held(store, other.user_id) for store in STORES]) == before


# Whose session it is

Refresh = Callable[[Callers, Clock], str]


def _after(happens: Callable[[Callers, Clock], object]) -> Refresh:
    def token(callers: Callers, clock: Clock) -> str:
        happens(callers, clock)
        return str(callers.phone.tokens["refresh_token"])

    return token


def _mixed(callers: Callers, _: Clock) -> str:
    """One session's name, another one's secret."""
    mine = str(callers.phone.tokens["refresh_token"]).split(".")
    theirs = str(Phone().sign_up().tokens["refresh_token"]).split(".")
    return ".".join([*mine[:2], *theirs[2:]])


def _log_out(callers: Callers, _: Clock) -> None:
    body = {"refresh_token": callers.phone.tokens["refresh_token"]}
    assert callers.phone.post("/auth/logout", body).status == 204


BAD_REFRESH_TOKENS: dict[str, Refresh] = {
    "ended session": _after(lambda callers, _: callers.of_an_ended_session()),
    "logged out": _after(_log_out),
    "deleted user": _after(lambda callers, _: callers.of_a_deleted_user()),
    "not used for too long": _after(lambda _, clock: clock.advance(days=61)),
    "access token": lambda callers, _: str(callers.phone.tokens["access_token"]),
    "somebody else's secret": _mixed,
    "garbage": lambda _, __: "garbage",
}


@pytest.mark.parametrize("what", BAD_REFRESH_TOKENS)
@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if "refresh_token" in getattr(route.body, "__struct_fields__", ())],
    ids=named,
)
def test_a_bad_refresh_token_gives_nothing(
    callers: Callers, clock: Clock, stored: Stored, route: Route, what: str
) -> None:
    token = BAD_REFRESH_TOKENS[what](callers, clock)
    before = stored(f"USER#{callers.phone.user_id}")

    answer = ask(callers.phone, route, refresh_token=token)

    # Logging out of what is over already is no error.
    assert _kind(answer) in [(401, "not_authenticated"), (204, "")]
    if what != "deleted user":  # Whose session may be ended, as it is of no use.
        assert stored(f"USER#{callers.phone.user_id}") == before


def test_there_are_routes_of_each_sort() -> None:
    described: Any = {named(route) for route in GUARDED}

    assert {"GET /me", "PUT /recordings/{id}/audio"} <= described
    assert {"POST /auth/login", "GET /health"} <= {named(route) for route in OPEN}
