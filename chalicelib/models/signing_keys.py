"""The server's keys, and the form in which Secrets Manager holds them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

FIRST = "first"
BEFORE_ALL = datetime(2000, 1, 1, tzinfo=UTC)

# RFC 7518, section 3.2: an HS256 key has at least as many bits as the hash, which is 32 bytes.
KEY_CHARACTERS = 32


class SigningKey(Struct, frozen=True, kw_only=True):
    """A key of the server's, and the name by which tokens refer to it."""

    kid: Annotated[str, Meta(pattern=r"^[\w.-]{1,64}\Z")]
    secret: Annotated[str, Meta(min_length=KEY_CHARACTERS, max_length=1024)]
    created_at: Annotated[datetime, Meta(tz=True)] = BEFORE_ALL


class KeySecret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What Secrets Manager holds.

    CloudFormation can make a secret that is one generated string in an object: that is `first`,
    the key a stack begins with. The first rotation puts it into `keys`.
    """

    keys: list[SigningKey]
    first: Annotated[str, Meta(min_length=KEY_CHARACTERS)] | None = None

    def __post_init__(self) -> None:
        """Hold that there is a key, and that each has a name of its own."""
        kids = [key.kid for key in self.all()]
        if not kids:
            raise ValueError("There is no key")
        if len(set(kids)) < len(kids):
            raise ValueError("Two keys have the same kid")

    def all(self) -> list[SigningKey]:
        """Every key, the newest first."""
        first = [SigningKey(kid=FIRST, secret=self.first)] if self.first else []
        return sorted([*self.keys, *first], key=lambda key: key.created_at, reverse=True)


def parse(text: str) -> list[SigningKey]:
    """The keys in a secret, the newest first; msgspec.ValidationError, which quotes none."""
    return msgspec.json.decode(text, type=KeySecret).all()


def write(keys: list[SigningKey]) -> str:
    """The keys as a secret."""
    return msgspec.json.encode(KeySecret(keys=keys)).decode()
