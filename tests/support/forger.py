"""Forged access tokens, and every other flaw of a header that says who calls."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from tests.support.phone import Phone

ISSUER = "recorder-dev"


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
        signed = f"{segment(header(heading))}.{segment(claims(good))}"
        signature = hmac.digest((key or self._key).encode(), signed.encode(), digest)
        return f"{signed}.{base64url(signature)}"


def segment(value: object) -> str:
    return base64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def decoded(segment: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(segment + "=="))


def key_id(token: str) -> str:
    """The key that an access token names."""
    return str(decoded(token.partition(".")[0])["kid"])


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
    return f"{header}.{segment(decoded(claims) | {'exp': 2**31})}.{signature}"


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
