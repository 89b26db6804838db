"""The keys that a provider publishes (RFC 7517), as it publishes them."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from chalicelib.errors import Unavailable
from chalicelib.models import media_types
from chalicelib.models.entities import PublicKey, PublishedKeys
from chalicelib.models.fields import Provider
from chalicelib.providers.http import ask

JSON = {"application/json", "application/jwk-set+json"}
# For answers that do not say how long they are good, or that nobody is to keep them at all: each
# sign-in would wait for the provider.
UNSAID = timedelta(minutes=5)
# However long an answer says: a key that leaked and was taken back is to be forgotten some time.
LONGEST = timedelta(days=1)
# RFC 7518, section 3.3, has 2,048 as the least; what is larger only takes longer.
BITS = range(2048, 8193)
USUAL_EXPONENT = 65_537


class _Key(Struct):
    kty: str
    kid: str = ""
    alg: str = "RS256"
    use: str = "sig"
    n: str = ""
    e: str = ""


class _KeySet(Struct):
    keys: list[Any]


class Published(Struct, frozen=True):
    """Fetches one provider's keys; see core/ports.py for what is promised."""

    provider: Provider
    url: str

    def fetch(self) -> PublishedKeys:
        name = f"{self.provider}.Keys"
        answer = ask(name, self.url)
        said = answer.headers.get("Content-Type")
        if answer.status != HTTPStatus.OK or (said and media_types.bare(said) not in JSON):
            raise Unavailable(
                f"{name}: no keys but {answer.status} and {media_types.bare(said or '')}"
            )
        try:
            listed = msgspec.json.decode(answer.body, type=_KeySet).keys
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unavailable(f"{name}: what was answered is no set of keys") from error
        # RFC 7517, section 5: one that is not understood, or lacks something, is left out.
        keys = dict(each for each in map(_named, listed) if each)
        if not keys:
            raise Unavailable(f"{name}: none of the keys is one for RS256")
        return PublishedKeys(keys=keys, good_for=_good_for(answer.headers))


def _named(listed: object) -> tuple[str, PublicKey] | None:
    """A key with its name, if it is one that verifies RS256."""
    try:
        key = msgspec.convert(listed, _Key)
    except msgspec.ValidationError:
        return None
    if (key.kty, key.alg, key.use) != ("RSA", "RS256", "sig") or not key.kid:
        return None
    modulus, exponent = _number(key.n), _number(key.e)
    if modulus.bit_length() not in BITS or exponent != USUAL_EXPONENT:
        return None
    return key.kid, PublicKey(modulus=modulus, exponent=exponent)


def _number(text: str) -> int:
    """A number as RFC 7518, section 2, writes it; 0 for what is none."""
    if not re.fullmatch(r"[\w-]{1,2048}", text, re.ASCII):
        return 0
    try:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return 0


def _good_for(headers: Message) -> timedelta:
    """How long an answer may be used without asking again (RFC 9111, section 4.2)."""
    directives = [each.strip().lower() for each in headers.get("Cache-Control", "").split(",")]
    if {"no-store", "no-cache"}.intersection(directives):
        return UNSAID
    lifetime = _max_age(directives)
    if lifetime is None:
        lifetime = _until_expiry(headers)
    if lifetime is None:
        return UNSAID
    age = re.fullmatch(r"[0-9]{1,9}", headers.get("Age", ""), re.ASCII)
    left = lifetime - timedelta(seconds=int(age[0]) if age else 0)
    return min(max(left, timedelta(0)), LONGEST)


def _max_age(directives: list[str]) -> timedelta | None:
    for directive in directives:
        if named := re.fullmatch(r'max-age="?([0-9]{1,9})"?', directive, re.ASCII):
            return timedelta(seconds=int(named[1]))
    return None


def _until_expiry(headers: Message) -> timedelta | None:
    """From Date to Expires, which has passed where it is no time (RFC 9111, section 5.3)."""
    date = _time(headers.get("Date", ""))
    if "Expires" not in headers or date is None:
        return None
    return (_time(headers["Expires"]) or date) - date


def _time(text: str) -> datetime | None:
    """A time as headers have it, which is in UTC (RFC 9110, section 5.6.7); None if it is none."""
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC)
    except ValueError:
        return None
