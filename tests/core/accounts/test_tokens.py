"""Access tokens: what is in one, how long it lasts, and which key it is held against.

Who is refused is in tests/api/test_bad_callers.py.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from chalicelib import wiring
from chalicelib.core.accounts.signing_keys import SigningKeys
from chalicelib.core.accounts.tokens import AccessTokens, LinkSecret, RefreshSecret, Subject
from chalicelib.core.ids import uuid7
from chalicelib.models.signing_keys import SigningKey
from chalicelib.settings import Settings
from tests.conftest import Clock
from tests.support.forger import ISSUER, Forger, base64url, but, decoded
from tests.support.phone import Phone

# What is in a token


def test_a_token_says_who_issued_it_to_whom_and_until_when(phone: Phone) -> None:
    claims = decoded(phone.tokens["access_token"].split(".")[1])

    assert set(claims) == {"iss", "sub", "sid", "iat", "exp"}
    assert (claims["iss"], claims["sub"]) == (ISSUER, phone.user_id)
    assert claims["sid"] == phone.tokens["refresh_token"].split(".")[1]
    assert claims["exp"] - claims["iat"] == phone.tokens["expires_in"] == 900
    assert abs(claims["iat"] - time.time()) < 60


@pytest.mark.parametrize("fraction", [0, 0.001, 0.5, 0.999])
def test_a_token_is_good_for_all_the_seconds_it_is_promised_for(fraction: float) -> None:
    now = 1_800_000_000 + fraction
    key = SigningKey(kid="local", secret="k" * 48)
    tokens = AccessTokens(SigningKeys(lambda: [key], wiring.now), ISSUER, 900)

    token = tokens.issue(Subject(uuid7(), uuid7()), datetime.fromtimestamp(now, UTC))

    claims = decoded(token.split(".")[1])
    assert now + 900 <= claims["exp"] < now + 901
    assert claims["exp"] - claims["iat"] == 900


def test_a_token_names_its_algorithm_and_its_key(phone: Phone) -> None:
    header = decoded(phone.tokens["access_token"].split(".")[0])

    assert header == {"alg": "HS256", "typ": "JWT", "kid": "local"}


def test_a_token_is_signed_with_the_key_it_names(phone: Phone, settings: Settings) -> None:
    signed, _, signature = phone.tokens["access_token"].rpartition(".")
    key = str(settings.jwt_keys).removeprefix("local:")

    assert signature == base64url(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())


# What is not a flaw


def test_the_scheme_may_be_spelled_as_http_allows(phone: Phone) -> None:
    for scheme in ("Bearer ", "bearer ", "BEARER ", "Bearer   ", "  Bearer "):
        assert phone.get("/me", headers={"Authorization": scheme + phone.token}).status == 200


def test_a_token_from_a_clock_that_is_ahead_is_good(phone: Phone, forger: Forger) -> None:
    ahead = forger.token(claims=but(iat=int(time.time()) + 30))

    assert phone.get("/me", headers={"Authorization": f"Bearer {ahead}"}).status == 200


def test_a_token_lasts_as_long_as_it_says(phone: Phone, clock: Clock) -> None:
    clock.advance(seconds=-890)
    phone.tokens = phone.refresh().json
    assert phone.get("/me").status == 200

    clock.advance(seconds=-20)
    phone.tokens = phone.refresh().json
    assert phone.get("/me").code == "token_expired"


# Two keys


def rotate(configure: Callable[..., None], settings: Settings) -> None:
    """Put a new key in front of the one that signed so far."""
    configure(jwt_keys=f"new:{'n' * 40},{settings.jwt_keys}")


def test_the_first_key_signs_and_what_another_one_signed_is_good(
    phone: Phone, nobody: Phone, configure: Callable[..., None], settings: Settings
) -> None:
    rotate(configure, settings)
    nobody.sign_up()

    assert [decoded(each.token.split(".")[0])["kid"] for each in (phone, nobody)] == [
        "local",
        "new",
    ]
    assert phone.get("/me").status == nobody.get("/me").status == 200


def test_a_token_is_held_against_the_key_it_names_only(
    phone: Phone, configure: Callable[..., None], settings: Settings
) -> None:
    rotate(configure, settings)

    misnamed = Forger(phone, "local", "n" * 40).token()

    assert phone.get("/me", headers={"Authorization": f"Bearer {misnamed}"}).status == 401


# The secrets that others are made of


@pytest.mark.parametrize(
    "new",
    [
        lambda: RefreshSecret.new(uuid7(), uuid7()).secret,
        lambda: LinkSecret.new(uuid7()).token.split(".")[1],
    ],
    ids=["refresh", "link"],
)
def test_a_secret_has_256_bits_of_which_none_says_anything_of_another(
    new: Callable[[], str],
) -> None:
    words = [
        decoded_bytes[at : at + 4]
        for decoded_bytes in (base64.urlsafe_b64decode(f"{new()}=") for _ in range(2))
        for at in range(0, len(decoded_bytes), 4)
    ]

    assert len(words) == len(set(words)) == 2 * 256 // 32
