"""Access tokens: what is in one, and all that is refused, on every route that wants one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from app import app
from chalicelib.api.http import Endpoint, Route
from chalicelib.core.ids import uuid7
from chalicelib.core.tokens import AccessTokens, Caller
from chalicelib.settings import Settings
from tests.conftest import Clock
from tests.phone import Answer, Phone

ISSUER = "recorder-dev"
ROUTES = [
    entry.view_function.route
    for methods in app.routes.values()
    for entry in methods.values()
    if isinstance(entry.view_function, Endpoint) and entry.view_function.route.auth
]


class Forger:
    """Makes tokens by RFC 7515 alone, with our key or without, and knows nothing of PyJWT."""

    def __init__(self, phone: Phone, key_id: str, key: str) -> None:
        """Forge for somebody who is logged in, so that only the flaw can be what is refused."""
        self._user_id = phone.user_id
        self._session_id = phone.session_id
        self._key_id = key_id
        self._key = key

    def token(
        self,
        header: Callable[[dict[str, Any]], object] = lambda header: header,
        claims: Callable[[dict[str, Any]], object] = lambda claims: claims,
        *,
        digest: str = "sha256",
        key: str | None = None,
    ) -> str:
        """A token that is good but for what `header` and `claims` make of it."""
        now = int(time.time())
        good: dict[str, Any] = {"iss": ISSUER, "sub": self._user_id, "sid": self._session_id}
        good |= {"iat": now, "exp": now + 900}
        heading = {"alg": "HS256", "typ": "JWT", "kid": self._key_id}
        signed = f"{_segment(header(heading))}.{_segment(claims(good))}"
        signature = hmac.digest((key or self._key).encode(), signed.encode(), digest)
        return f"{signed}.{_base64(signature)}"


def _segment(value: object) -> str:
    return _base64(value if isinstance(value, bytes) else json.dumps(value).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _decoded(segment: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(segment + "=="))


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda given: {key: value for key, value in given.items() if key != name}


def but(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda given: given | fields


def instead(value: object) -> Callable[[dict[str, Any]], object]:
    return lambda _: value


def unsigned(token: str) -> str:
    return token[: token.rindex(".") + 1]


def altered(token: str) -> str:
    header, claims, signature = token.split(".")
    return f"{header}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def enlarged(token: str) -> str:
    header, claims, signature = token.split(".")
    return f"{header}.{_segment(_decoded(claims) | {'exp': 2**31})}.{signature}"


# What is sent as Authorization, by what is wrong with it.
FLAWED_HEADERS: dict[str, Callable[[Forger], str]] = {
    "no value": lambda _: "",
    "no token": lambda _: "Bearer",
    "no token after the space": lambda _: "Bearer ",
    "no scheme": lambda forger: forger.token(),
    "another scheme": lambda forger: f"Basic {forger.token()}",
    "scheme run together": lambda forger: f"Bearer{forger.token()}",
    "two tokens": lambda forger: f"Bearer {forger.token()}, Bearer {forger.token()}",
    "not a token": lambda _: "Bearer garbage",
    "two parts": lambda _: "Bearer a.b",
    "four parts": lambda forger: f"Bearer {forger.token()}.a",
    "empty parts": lambda _: "Bearer ..",
    "very long": lambda _: f"Bearer {'a' * 100_000}",
    "very long parts": lambda _: f"Bearer {'.'.join(['a' * 30_000] * 3)}",
    "not ASCII": lambda _: "Bearer \u00e9.\u00e9.\u00e9",
    "not ASCII after a token": lambda forger: f"Bearer {forger.token()}\u0661",
    "not Latin-1": lambda _: "Bearer \u20ac",
}
# The same for what stands after "Bearer ".
FLAWED_TOKENS: dict[str, Callable[[Forger], str]] = {
    "another key": lambda forger: forger.token(key="k" * 48),
    "altered signature": lambda forger: altered(forger.token()),
    "altered claims": lambda forger: enlarged(forger.token()),
    "no signature": lambda forger: unsigned(forger.token()),
    "alg none": lambda forger: unsigned(forger.token(but(alg="none"))),
    "alg None": lambda forger: unsigned(forger.token(but(alg="None"))),
    "alg none, signed": lambda forger: forger.token(but(alg="none")),
    "alg HS512": lambda forger: forger.token(but(alg="HS512"), digest="sha512"),
    "alg RS256": lambda forger: forger.token(but(alg="RS256")),
    "alg missing": lambda forger: forger.token(without("alg")),
    "alg a list": lambda forger: forger.token(but(alg=["HS256"])),
    "kid missing": lambda forger: forger.token(without("kid")),
    "kid unknown": lambda forger: forger.token(but(kid="other")),
    "kid empty": lambda forger: forger.token(but(kid="")),
    "kid null": lambda forger: forger.token(but(kid=None)),
    "kid a list": lambda forger: forger.token(but(kid=["local"])),
    "kid an object": lambda forger: forger.token(but(kid={"local": 1})),
    "kid a number": lambda forger: forger.token(but(kid=1)),
    "crit": lambda forger: forger.token(but(crit=["exp"])),
    "payload detached": lambda forger: forger.token(but(crit=["b64"], b64=False)),
    "header not an object": lambda forger: forger.token(instead(["HS256"])),
    "header not JSON": lambda forger: forger.token(instead(b"{")),
    "header not UTF-8": lambda forger: forger.token(instead(b'{"alg":"\xff"}')),
    "header deeply nested": lambda forger: forger.token(instead(b"[" * 100_000)),
    "header with a huge number": lambda forger: forger.token(instead(b"9" * 5000)),
    "payload not an object": lambda forger: forger.token(claims=instead([1])),
    "payload null": lambda forger: forger.token(claims=instead(None)),
    "payload not JSON": lambda forger: forger.token(claims=instead(b"{nope")),
    "payload not UTF-8": lambda forger: forger.token(claims=instead(b"\xff\xfe")),
    "payload empty": lambda forger: forger.token(claims=instead(b"")),
    "payload deeply nested": lambda forger: forger.token(claims=instead(b"[" * 100_000)),
    "iss missing": lambda forger: forger.token(claims=without("iss")),
    "sub missing": lambda forger: forger.token(claims=without("sub")),
    "sid missing": lambda forger: forger.token(claims=without("sid")),
    "iat missing": lambda forger: forger.token(claims=without("iat")),
    "exp missing": lambda forger: forger.token(claims=without("exp")),
    "exp null": lambda forger: forger.token(claims=but(exp=None)),
    "exp a word": lambda forger: forger.token(claims=but(exp="tomorrow")),
    "exp infinite": lambda forger: forger.token(claims=but(exp=float("inf"))),
    "exp a list": lambda forger: forger.token(claims=but(exp=[2**31])),
    "another stage": lambda forger: forger.token(claims=but(iss="recorder-prod")),
    "iss a list": lambda forger: forger.token(claims=but(iss=[ISSUER])),
    "sub a number": lambda forger: forger.token(claims=but(sub=1)),
    "sub an object": lambda forger: forger.token(claims=but(sub={"id": 1})),
    "for somebody else": lambda forger: forger.token(claims=but(aud="other")),
}


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def ask(phone: Phone, route: Route, headers: dict[str, str]) -> Answer:
    """Call a route with nothing but headers: who calls is looked at first."""
    path = route.path
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", uuid7())
    return phone.call(route.method, path, headers=headers)


@pytest.fixture
def forger(phone: Phone, settings: Settings) -> Forger:
    return Forger(phone, *str(settings.jwt_keys).split(":"))


# What is in a token


def test_a_token_says_who_issued_it_to_whom_and_until_when(phone: Phone) -> None:
    claims = _decoded(phone.tokens["access_token"].split(".")[1])

    assert set(claims) == {"iss", "sub", "sid", "iat", "exp"}
    assert (claims["iss"], claims["sub"]) == (ISSUER, phone.user_id)
    assert claims["sid"] == phone.tokens["refresh_token"].split(".")[1]
    assert claims["exp"] - claims["iat"] == phone.tokens["expires_in"] == 900
    assert abs(claims["iat"] - time.time()) < 60


@pytest.mark.parametrize("fraction", [0, 0.001, 0.5, 0.999])
def test_a_token_is_good_for_all_the_seconds_it_is_promised_for(fraction: float) -> None:
    now = 1_800_000_000 + fraction
    tokens = AccessTokens({"local": "k" * 48}, ISSUER, 900)

    token = tokens.issue(Caller(uuid7(), uuid7()), datetime.fromtimestamp(now, UTC))

    claims = _decoded(token.split(".")[1])
    assert now + 900 <= claims["exp"] < now + 901
    assert claims["exp"] - claims["iat"] == 900


def test_a_token_names_its_algorithm_and_its_key(phone: Phone) -> None:
    header = _decoded(phone.tokens["access_token"].split(".")[0])

    assert header == {"alg": "HS256", "typ": "JWT", "kid": "local"}


def test_a_token_is_signed_with_the_key_it_names(phone: Phone, settings: Settings) -> None:
    signed, _, signature = phone.tokens["access_token"].rpartition(".")
    key = str(settings.jwt_keys).removeprefix("local:")

    assert signature == _base64(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())


# What is refused


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_a_good_token_is_let_in(nobody: Phone, forger: Forger, route: Route) -> None:
    assert ask(nobody, route, {"Authorization": f"Bearer {forger.token()}"}).status != 401


@pytest.mark.parametrize("flaw", FLAWED_HEADERS)
@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_a_flawed_header_is_refused(nobody: Phone, forger: Forger, route: Route, flaw: str) -> None:
    answer = ask(nobody, route, {"Authorization": FLAWED_HEADERS[flaw](forger)})

    assert_refused(answer, "not_authenticated")


@pytest.mark.parametrize("flaw", FLAWED_TOKENS)
@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_a_flawed_token_is_refused(nobody: Phone, forger: Forger, route: Route, flaw: str) -> None:
    answer = ask(nobody, route, {"Authorization": f"Bearer {FLAWED_TOKENS[flaw](forger)}"})

    assert_refused(answer, "not_authenticated")


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_no_token_at_all_is_refused(nobody: Phone, route: Route) -> None:
    assert_refused(ask(nobody, route, {}), "not_authenticated")


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_an_expired_token_is_refused_by_a_code_of_its_own(
    nobody: Phone, forger: Forger, route: Route
) -> None:
    token = forger.token(claims=but(exp=int(time.time()) - 1))

    assert_refused(ask(nobody, route, {"Authorization": f"Bearer {token}"}), "token_expired")


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_an_expired_token_that_is_not_ours_is_just_refused(
    nobody: Phone, forger: Forger, route: Route
) -> None:
    token = forger.token(claims=but(exp=1), key="k" * 48)

    assert_refused(ask(nobody, route, {"Authorization": f"Bearer {token}"}), "not_authenticated")


def assert_refused(answer: Answer, code: str) -> None:
    assert (answer.status, answer.code) == (401, code)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["www-authenticate"].startswith("Bearer")


# What is not a flaw


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   ", "  Bearer "])
def test_the_scheme_may_be_spelled_as_http_allows(phone: Phone, scheme: str) -> None:
    headers = {"Authorization": scheme + phone.tokens["access_token"]}

    assert phone.get("/me", headers=headers).status == 200


def test_a_token_from_a_clock_that_is_ahead_is_good(phone: Phone, forger: Forger) -> None:
    ahead = forger.token(claims=but(iat=int(time.time()) + 30))

    assert phone.get("/me", headers={"Authorization": f"Bearer {ahead}"}).status == 200


def test_a_token_lasts_as_long_as_it_says(phone: Phone, clock: Clock) -> None:
    clock.advance(seconds=-890)
    phone.tokens = phone.post("/auth/refresh", _refresh_of(phone)).json
    assert phone.get("/me").status == 200

    clock.advance(seconds=-20)
    phone.tokens = phone.post("/auth/refresh", _refresh_of(phone)).json
    assert phone.get("/me").code == "token_expired"


def _refresh_of(phone: Phone) -> dict[str, object]:
    return {"refresh_token": phone.tokens["refresh_token"]}


# Two keys


def rotate(configure: Callable[..., None], settings: Settings) -> None:
    """Put a new key in front of the one that signed so far."""
    configure(jwt_keys=f"new:{'n' * 40},{settings.jwt_keys}")


def test_the_first_key_signs(
    nobody: Phone, configure: Callable[..., None], settings: Settings
) -> None:
    rotate(configure, settings)

    token = nobody.sign_up().tokens["access_token"]

    assert _decoded(token.split(".")[0])["kid"] == "new"
    assert nobody.get("/me").status == 200


def test_a_key_that_no_longer_signs_still_verifies(
    phone: Phone, configure: Callable[..., None], settings: Settings
) -> None:
    rotate(configure, settings)

    assert _decoded(phone.tokens["access_token"].split(".")[0])["kid"] == "local"
    assert phone.get("/me").status == 200


def test_a_token_is_held_against_the_key_it_names_only(
    phone: Phone, configure: Callable[..., None], settings: Settings
) -> None:
    rotate(configure, settings)

    misnamed = Forger(phone, "local", "n" * 40).token()

    assert phone.get("/me", headers={"Authorization": f"Bearer {misnamed}"}).status == 401
