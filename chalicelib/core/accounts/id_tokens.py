"""Id tokens (OpenID Connect Core 1.0, section 2): whom Google and Apple say that they know.

By the standard library alone: docs/decisions/80-id-tokens-without-cryptography.md.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from chalicelib.core.accounts.provider_keys import ProviderKeys
from chalicelib.core.ports import Clock
from chalicelib.errors import EmailNotConfirmed, InvalidCredentials
from chalicelib.models import forms
from chalicelib.models.entities import Account, Identity, Nonce, PublicKey
from chalicelib.models.fields import Provider, comparable

# What the clocks of two machines may differ by.
LEEWAY = timedelta(seconds=10)
# However long a provider has its tokens last: one that is older was not made for this request.
OLDEST = timedelta(minutes=10)
# RFC 8017, section 9.2, note 1: what stands before a digest of SHA-256.
SHA_256 = bytes.fromhex("3031300d060960864801650304020105000420")

_TOKEN = re.compile(r"([\w-]+)\.([\w-]+)\.([\w-]+)", re.ASCII)
_Number = int | float
S = TypeVar("S", bound=Struct)


class _Header(Struct):
    alg: Literal["RS256"]
    kid: Annotated[str, Meta(min_length=1, max_length=255)]
    # An access token says `at+jwt`, for one (RFC 9068); Apple says nothing.
    typ: Literal["JWT", "jwt"] | None = None
    crit: None = None
    """What has to be understood besides, of which there is nothing."""


class _Issued(Struct):
    iss: str


class _Claims(_Issued):
    sub: Annotated[str, Meta(min_length=1, max_length=255)]
    aud: str
    exp: _Number
    iat: _Number
    nbf: _Number = 0
    nonce: Annotated[str, Meta(max_length=1000)] | None = None
    email: object = None
    email_verified: object = None
    hd: str | None = None
    """Google's: whose domain it is that the account belongs to."""
    name: object = None
    events: None = None
    """Of a notice to the app, which the same keys sign."""


class Person(Struct, kw_only=True, frozen=True):
    """Somebody as an id token describes them."""

    provider: Provider
    identity: Identity
    email: str | None
    """Their address, which the provider has verified at some time; None for what is none."""
    is_authority: bool
    """Whether the provider knows whose the address is now."""
    name: str | None
    nonce: Nonce | None
    client_id: str
    """For which app the token was made."""

    def signs_in_to(self, account: Account) -> bool:
        """Whether they do, as the account says itself."""
        there = account.identity(self.provider)
        return there is not None and there.subject == self.identity.subject


class Dialect(Struct, frozen=True):
    """What differs between the providers."""

    issuers: frozenset[str]
    claimed: Callable[[str], str]
    """What stands in a token of the nonce that the app made."""
    is_authority: Callable[[str, str | None], bool]
    """Whether it knows whose an address is now, from the address and the claim `hd`."""
    knows_nonces: bool
    """Whether the app knows the nonce of each token that has one."""


# https://developers.google.com/identity/gsi/web/guides/verify-google-id-token: it is the authority
# on Gmail, and with `hd` on the domains of its Workspace. GoogleSignIn for iOS makes a nonce, and
# tells nobody: https://github.com/google/GoogleSignIn-iOS/issues/135
GOOGLE = Dialect(
    frozenset({"https://accounts.google.com", "accounts.google.com"}),
    lambda nonce: nonce,
    lambda email, hd: bool(hd) or comparable(email).endswith("@gmail.com"),
    knows_nonces=False,
)
# Apple verifies an address anew when it changes, and relays its private ones itself. By its own
# instructions an app sends the SHA-256 of a nonce.
APPLE = Dialect(
    frozenset({"https://appleid.apple.com"}),
    lambda nonce: hashlib.sha256(nonce.encode()).hexdigest(),
    lambda _email, _hd: True,
    knows_nonces=True,
)
DIALECTS: Mapping[Provider, Dialect] = {"google": GOOGLE, "apple": APPLE}


class IdTokens(Struct, frozen=True):
    """Verifies the id tokens of those providers by whom people may sign in."""

    keys: Mapping[Provider, ProviderKeys]
    client_ids: Mapping[Provider, Collection[str]]
    clock: Clock

    def verify(self, provider: Provider, token: str, nonce: str | None = None) -> Person:
        """Whom a provider's token is about; InvalidCredentials, Unavailable.

        `nonce` is the app's own. EmailNotConfirmed when the token has an address that the provider
        has not verified.
        """
        claims = self._claims(provider, token)
        dialect = DIALECTS[provider]
        if nonce is not None:
            if not _same(claims.nonce or "", dialect.claimed(nonce)):
                raise _refused("has another nonce")
        elif claims.nonce and dialect.knows_nonces:
            raise _refused("has a nonce, which the app has to give too")
        return self._person(provider, claims)

    def prove(self, token: str) -> Person:
        """Whom a token is about, whichever provider's it is; InvalidCredentials, Unavailable."""
        encoded = _parts(token)[1]
        issuer = _decoded(encoded, _Issued).iss
        for provider, dialect in DIALECTS.items():
            if issuer in dialect.issuers and provider in self.keys:
                claims = self._claims(provider, token)
                claims.email = None  # A proof is of who it is, whatever their address.
                return self._person(provider, claims)
        raise _refused("is nobody's by whom people sign in here")

    def _claims(self, provider: Provider, token: str) -> _Claims:
        header, payload, signature = _parts(token)
        key = self.keys[provider].find(_decoded(header, _Header).kid)
        signed = token.rpartition(".")[0].encode()
        if key is None or not is_signed(key, signed, _bytes(signature)):
            raise _refused("is not signed by a key of the provider's")
        claims = _decoded(payload, _Claims)
        self._check(provider, claims)
        return claims

    def _check(self, provider: Provider, claims: _Claims) -> None:
        now = self.clock().timestamp()
        leeway, oldest = LEEWAY.total_seconds(), OLDEST.total_seconds()
        if claims.iss not in DIALECTS[provider].issuers:
            raise _refused("is another issuer's")
        if claims.aud not in self.client_ids[provider]:
            raise _refused("is for another app")
        if claims.exp <= now - leeway:
            raise _refused("has expired")
        if max(claims.iat, claims.nbf) > now + leeway:
            raise _refused("is from the future")
        if claims.iat < now - oldest:
            raise _refused("is too old; ask the provider for a fresh one")

    def _person(self, provider: Provider, claims: _Claims) -> Person:
        email = None
        if claims.email:
            if not (claims.email_verified is True or claims.email_verified == "true"):
                raise EmailNotConfirmed("The provider has not verified the address")
            email = _address(claims.email)
        nonce = None
        if claims.nonce:
            until = datetime.fromtimestamp(claims.iat, UTC) + OLDEST
            nonce = Nonce(provider=provider, subject=claims.sub, value=claims.nonce, until=until)
        return Person(
            provider=provider,
            identity=Identity(subject=claims.sub, added_at=self.clock(), email=email),
            email=email,
            is_authority=bool(email) and DIALECTS[provider].is_authority(email or "", claims.hd),
            name=_name(claims.name),
            nonce=nonce,
            client_id=claims.aud,
        )


def is_signed(key: PublicKey, signed: bytes, signature: bytes) -> bool:
    """Whether this is the key's signature by RS256 (RFC 8017, section 8.2.2).

    What the signature has to hold is made anew and compared whole. Nothing in it is parsed, so
    there is no padding to be lenient with.
    """
    length = (key.modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature)
    if len(signature) != length or number >= key.modulus:
        return False
    held = pow(number, key.exponent, key.modulus).to_bytes(length)
    digest = SHA_256 + hashlib.sha256(signed).digest()
    padding = b"\xff" * (length - len(digest) - 3)
    return compare_digest(held, b"\0\1" + padding + b"\0" + digest)


def _refused(why: str) -> InvalidCredentials:
    return InvalidCredentials(f"The id token {why}")


def _parts(token: str) -> tuple[str, str, str]:
    named = _TOKEN.fullmatch(token)
    if not named:
        raise _refused("is none")
    return named[1], named[2], named[3]


def _bytes(encoded: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError as error:
        raise _refused("is none") from error


def _decoded(encoded: str, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(_bytes(encoded), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # Their messages may quote it.
        raise _refused("is none that signs anybody in") from error


def _same(one: str, other: str) -> bool:
    return compare_digest(one.encode(), other.encode())


def _address(claimed: object) -> str | None:
    """The address, as one that a user of ours can have."""
    with suppress(ValueError):
        return forms.typed_address(claimed) if isinstance(claimed, str) else None
    return None


def _name(claimed: object) -> str | None:
    """The name, as one that a user of ours can have."""
    return forms.device(claimed) if isinstance(claimed, str) else None
