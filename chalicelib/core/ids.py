"""Ids that sort by the time they were made, and codes that nobody can guess."""

from __future__ import annotations

import secrets
import time
from uuid import UUID

from chalicelib.models import link_codes

_FRACTION_BITS = 12


def uuid7() -> str:
    """A UUIDv7 (RFC 9562): milliseconds, then the fraction of one (method 3), then 62 random bits.

    The standard library has one from Python 3.14 on; Lambda does not run that everywhere yet.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << _FRACTION_BITS) // 1_000_000
    head = (milliseconds << 16) | (7 << 12) | fraction
    tail = (0b10 << 62) | secrets.randbits(62)
    return str(UUID(int=(head << 64) | tail))


def link_code() -> str:
    """A code of 50 random bits."""
    return "".join(secrets.choice(link_codes.ALPHABET) for _ in range(link_codes.LENGTH))
