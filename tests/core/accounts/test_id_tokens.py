"""Id tokens: each that is refused is refused for a reason of its own, and none for another."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import wiring
from chalicelib.aws.dynamodb.items import Item
from chalicelib.core.accounts.id_tokens import is_signed
from chalicelib.models.entities import PublicKey
from chalicelib.models.fields import Provider as Name
from local.provider import Key
from tests.conftest import Clock
from tests.support.federation import IDS, Federation, hashed
from tests.support.phone import Phone

Stored = Callable[..., list[Item]]
Make = Callable[[Federation], str]
OTHER_KEY = Key()
WITHOUT_PARAMETERS = bytes.fromhex("302f300b06096086480165030402010420")
HOUR = 3600


def but(**claims: Any) -> Make:
    """A good token but for these claims, of which those that are None are not there."""
    return lambda federation: federation.token("google", **claims)


def later(name: str, seconds: int) -> Make:
    """A good token but for a time, which is so much later than now."""
    return lambda f: f.token("google", **{name: int(f._clock().timestamp()) + seconds})


def heading(**header: object) -> Make:
    return lambda f: f.signed("google", f.claims("google"), **header)


def by_another_key(federation: Federation) -> str:
    """Signed by somebody else, in the name of the provider's key."""
    return OTHER_KEY.token(federation.claims("google"), kid=federation.key("google").kid)


def by_hmac(federation: Federation) -> str:
    """HS256, with what everybody knows for the secret: the public key, as PEM."""
    key = federation.key("google")
    public = key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{_segment({'alg': 'HS256', 'kid': key.kid})}.{_segment(federation.claims('google'))}"
    return f"{signed}.{_base64(hmac.digest(public, signed.encode(), 'sha256'))}"


def unsigned(federation: Federation) -> str:
    head, claims, _ = federation.signed("google", federation.claims("google"), alg="none").split(
        "."
    )
    return f"{head}.{claims}."


def altered(federation: Federation) -> str:
    head, claims, signature = federation.token("google").split(".")
    forged = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"sub": "somebody"}
    return f"{head}.{_segment(forged)}.{signature}"


def access_token(_: Federation) -> str:
    return Phone().sign_up().token


def _segment(value: object) -> str:
    return _base64(json.dumps(value).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


# What is wrong with a token, and what is said of it.
KEY, APP, NONE = "not signed by a key", "another app", "none that signs anybody in"
REFUSED: dict[str, tuple[Make, str]] = {
    "another key": (by_another_key, KEY),
    "altered": (altered, KEY),
    "alg none": (unsigned, "is none"),
    "alg none, signed": (heading(alg="none"), NONE),
    "alg HS256, with the public key": (by_hmac, NONE),
    "alg RS512": (heading(alg="RS512"), NONE),
    "alg missing": (heading(alg=None), NONE),
    "alg a list": (heading(alg=["RS256"]), NONE),
    "kid missing": (heading(kid=None), NONE),
    "kid empty": (heading(kid=""), NONE),
    "kid a number": (heading(kid=1), NONE),
    "kid unknown": (heading(kid="nobody's"), KEY),
    "a key of its own": (heading(kid="its own", jwk=OTHER_KEY.public(), jku="http://x/"), KEY),
    "crit": (heading(crit=["exp"]), NONE),
    "typ of an access token": (heading(typ="at+jwt"), NONE),
    "another issuer": (but(iss="https://accounts.example.com"), "another issuer"),
    "the other provider": (but(iss="https://appleid.apple.com"), "another issuer"),
    "issuer missing": (but(iss=None), NONE),
    "another audience": (but(aud="recorder.android"), APP),
    "the audience of the other provider": (but(aud=IDS["apple"]), APP),
    "audience a list": (but(aud=[IDS["google"]]), NONE),
    "audience missing": (but(aud=None), NONE),
    "all audiences as one": (but(aud=f"recorder.ios, {IDS['google']}"), APP),
    "expired": (later("exp", -11), "expired"),
    "exp missing": (but(exp=None), NONE),
    "exp a text": (but(exp="tomorrow"), NONE),
    "exp true": (but(exp=True), NONE),
    "from the future": (later("iat", 20), "future"),
    "not before then": (later("nbf", 20), "future"),
    "older than ten minutes": (later("iat", -601), "too old"),
    "iat missing": (but(iat=None), NONE),
    "subject missing": (but(sub=None), NONE),
    "subject empty": (but(sub=""), NONE),
    "subject a number": (but(sub=7), NONE),
    "subject very long": (but(sub="x" * 256), NONE),
    "a notice to the app": (but(events={"type": "account-delete"}), NONE),
    "an access token of ours": (access_token, NONE),
    "an access token of Google's": (lambda _: "ya29.a0AfB_byD3-ThisIsOpaque", "is none"),
    "claims a list": (lambda f: f.signed("google", [1]), NONE),
    "claims deeply nested": (lambda f: f.signed("google", json.loads("[" * 900 + "]" * 900)), NONE),
    "empty": (lambda _: "", "is none"),
    "garbage": (lambda _: "garbage", "is none"),
    "two parts": (lambda _: "a.b", "is none"),
    "four parts": (lambda f: f.token("google") + ".a", "is none"),
    "longer than any": (lambda f: f.token("google") + "A" * 16_384, "is none"),
    "not base64": (lambda _: "a.a.a", "is none"),
    "not ASCII": (lambda _: "\u00e9.\u00e9.\u00e9", "is none"),
    "header deeply nested": (lambda _: f"{_base64(b'[' * 10_000)}.e30.e30", NONE),
}


@pytest.mark.parametrize("flaw", REFUSED)
def test_a_flawed_id_token_is_refused_for_its_flaw_and_opens_nothing(
    federation: Federation, stored: Stored, flaw: str
) -> None:
    make, said = REFUSED[flaw]
    token = make(federation)
    users = [item for item in stored() if item["pk"].startswith(("USER#", "GOOGLE#"))]

    answer = Phone().post("/auth/google", {"id_token": token})

    assert (answer.status, answer.code) == (401, "invalid_credentials")
    assert said in answer.json["detail"]
    assert [i for i in stored() if i["pk"].startswith(("USER#", "GOOGLE#"))] == users


# What is as it may be.
TAKEN: dict[str, Make] = {
    "the issuer without https": but(iss="accounts.google.com"),
    "another of the audiences": but(aud="recorder.ios"),
    "a little too late": later("exp", -5),
    "a little too early": later("iat", 5),
    "nearly ten minutes old": later("iat", -598),
    "no typ": heading(typ=None),
    "claims that nobody knows": but(at_hash="x", azp="recorder.android", deep={"a": [1]}),
    "an address verified in words": but(email_verified="true"),
    "a time with a fraction": but(iat=time.time()),
    "white space about it": lambda f: f"\n {f.token('google')} \n",
    "a nonce that its maker told nobody": but(nonce="of the iOS library's own"),
}


@pytest.mark.parametrize("what", TAKEN)
def test_an_id_token_that_is_as_it_may_be_is_taken(federation: Federation, what: str) -> None:
    assert Phone().post("/auth/google", {"id_token": TAKEN[what](federation)}).status == 201


@pytest.mark.parametrize("said", [False, "false", None, "yes", 1, "True"])
def test_an_address_that_the_provider_has_not_verified_opens_nothing(
    federation: Federation, said: object
) -> None:
    answer = federation.sign_in("google", email_verified=said)

    assert (answer.status, answer.code) == (403, "email_not_confirmed")


@pytest.mark.parametrize("said", [None, "", "fay", 7])
def test_somebody_new_without_an_address_is_told_to_ask_for_it(
    federation: Federation, said: object
) -> None:
    answer = federation.sign_in("apple", email=said)

    assert (answer.status, answer.code) == (403, "email_not_confirmed")


# Nonces


def signs_in(federation: Federation, by: Name, claimed: str | None, given: str | None) -> int:
    return federation.sign_in(by, {"nonce": given}, nonce=claimed).status


def test_a_nonce_is_googles_as_it_is_and_apples_hashed(federation: Federation) -> None:
    assert signs_in(federation, "google", "n1", "n1") == 201
    assert signs_in(federation, "apple", hashed("n1"), "n1") == 201

    assert signs_in(federation, "google", hashed("n2"), "n2") == 401
    assert signs_in(federation, "apple", "n2", "n2") == 401


@pytest.mark.parametrize("by", ["google", "apple"])
def test_a_nonce_that_is_given_has_to_be_in_the_token(federation: Federation, by: Name) -> None:
    claimed = hashed("other") if by == "apple" else "other"

    assert signs_in(federation, by, claimed, "mine") == 401
    assert signs_in(federation, by, None, "mine") == 401


def test_a_nonce_of_apples_cannot_be_left_out(federation: Federation) -> None:
    assert signs_in(federation, "apple", hashed("mine"), None) == 401


def test_a_token_opens_nothing_once_its_nonce_was_used(
    federation: Federation, clock: Clock
) -> None:
    token = federation.token("google", sub="ann", nonce="once")
    again = federation.token("google", sub="ann", nonce="once", iat=int(clock().timestamp()) + 1)
    body = {"id_token": token, "nonce": "once"}

    answers = [Phone().post("/auth/google", body) for _ in range(2)]
    without = Phone().post("/auth/google", {"id_token": token})
    another = Phone().post("/auth/google", {"id_token": again, "nonce": "once"})

    assert [answer.status for answer in answers] == [201, 401]
    assert (without.status, another.status) == (401, 401)


def test_a_nonce_is_its_users_own(federation: Federation) -> None:
    # Some apps send the same one always.
    assert federation.sign_in("google", sub="ann", nonce="same").status == 201
    assert federation.sign_in("google", sub="bob", nonce="same").status == 201


def test_a_token_without_a_nonce_is_good_again_for_ten_minutes(
    federation: Federation, clock: Clock
) -> None:
    body = {"id_token": federation.token("google")}

    assert [Phone().post("/auth/google", body).status for _ in range(2)] == [201, 200]
    clock.advance(seconds=601)
    assert Phone().post("/auth/google", body).status == 401


# How often


def test_refused_tokens_count_as_failed_log_ins_of_their_source(
    federation: Federation, configure: Callable[..., None]
) -> None:
    url = f"{federation.provider.url}/google/keys"
    configure(google_keys_url=url, login_failures_per_source=3)
    for _ in range(3):
        assert Phone().post("/auth/google", {"id_token": "garbage"}).status == 401

    refused = federation.sign_in("google")

    assert (refused.status, refused.code) == (429, "too_many_attempts")
    assert int(refused.headers["retry-after"]) > 600
    assert Phone().sign_up().log_in().status == 429


def test_good_tokens_take_no_room_from_others(
    federation: Federation, configure: Callable[..., None]
) -> None:
    url = f"{federation.provider.url}/google/keys"
    configure(google_keys_url=url, login_failures_per_source=1, signups_per_source=1)
    token = federation.token("google")

    answers = [Phone().post("/auth/google", {"id_token": token}).status for _ in range(3)]

    assert answers == [201, 200, 200]
    assert federation.sign_in("google").status == 429  # One new account an hour.


def test_what_is_not_set_is_not_offered(
    configure: Callable[..., None], phone: Phone, nobody: Phone
) -> None:
    configure(google_client_ids=None)
    body = {"id_token": "x", "password": "y"}

    assert nobody.post("/auth/google", {"id_token": "x"}).code == "not_found"
    assert nobody.post("/auth/google", b"{").code == "not_found"
    assert phone.post("/me/sign-in/google", body).code == "not_found"
    assert nobody.post("/me/sign-in/google", body).code == "not_authenticated"
    assert nobody.post("/auth/apple", {"id_token": "x"}).code == "invalid_credentials"


# The signature, held against the one of a library


@given(st.binary(max_size=200), st.data())
def test_a_signature_is_good_here_as_it_is_to_a_library(
    message: bytes, data: st.DataObject
) -> None:
    numbers = OTHER_KEY.private.public_key().public_numbers()
    key = PublicKey(modulus=numbers.n, exponent=numbers.e)
    signature = OTHER_KEY.private.sign(message, padding.PKCS1v15(), hashes.SHA256())
    altered = bytearray(signature)
    place = data.draw(st.integers(0, len(signature) - 1))
    altered[place] ^= data.draw(st.integers(0, 255))
    cut = signature[: data.draw(st.integers(0, len(signature)))]
    longer = b"\0" + signature
    beyond = (int.from_bytes(signature) + numbers.n).to_bytes(len(signature) + 1)

    for each in (signature, bytes(altered), cut, longer, beyond):
        assert is_signed(key, message, each) == _is_signed_by_a_library(message, each)


@pytest.mark.parametrize("scheme", [hashes.SHA224(), hashes.SHA384(), hashes.SHA512()])
def test_another_hash_is_another_signature(scheme: Any) -> None:
    numbers = OTHER_KEY.private.public_key().public_numbers()
    signature = OTHER_KEY.private.sign(b"some", padding.PKCS1v15(), scheme)

    assert not is_signed(PublicKey(modulus=numbers.n, exponent=numbers.e), b"some", signature)


def test_a_padding_that_is_not_whole_is_refused() -> None:
    # What a lenient reader of the padding would take (Bleichenbacher, 2006): the digest comes
    # early, and what follows it is anything.
    numbers = OTHER_KEY.private.private_numbers()
    key = PublicKey(modulus=numbers.public_numbers.n, exponent=numbers.public_numbers.e)
    good = OTHER_KEY.private.sign(b"some", padding.PKCS1v15(), hashes.SHA256())
    held = pow(int.from_bytes(good), key.exponent, key.modulus).to_bytes(256)
    digest = held[held.index(b"\0", 2) :]
    for forged in (
        b"\0\1" + b"\xff" * 8 + digest + b"x" * (256 - 10 - len(digest)),
        held.replace(b"\xff", b"\xfe", 1),
        b"\0\2" + held[2:],
        b"\1\1" + held[2:],
        # Without the parameters of the hash, which some leave out.
        b"\0\1" + b"\xff" * (256 - 3 - 49) + b"\0" + WITHOUT_PARAMETERS + held[-32:],
    ):
        signature = pow(int.from_bytes(forged[:256].ljust(256)), numbers.d, key.modulus)
        assert not is_signed(key, b"some", signature.to_bytes(256))
    assert is_signed(key, b"some", good)


def _is_signed_by_a_library(message: bytes, signature: bytes) -> bool:
    public = OTHER_KEY.private.public_key()
    try:
        public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def test_the_settings_of_the_providers_are_read(federation: Federation) -> None:
    settings = wiring.services().settings

    assert settings.providers == ("google", "apple")
    assert settings.client_ids("google") == ["recorder.ios", "recorder.web"]
    assert federation.key("google").kid != federation.key("apple").kid
