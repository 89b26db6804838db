"""The server's keys: how long a process goes by them, and how they are replaced.

A process reads the keys again every CACHE, and goes by none that it read longer than LAST ago. A
key signs only once LAST has passed since it was made: by then every process knows it. So the key
before it signs until then, and is kept for as long as its tokens last.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from chalicelib.core.ports import Clock
from chalicelib.errors import RecorderError, Unavailable
from chalicelib.models.signing_keys import SigningKey
from chalicelib.settings import LONGEST_ACCESS_TOKEN_SECONDS, SettingsError

log = logging.getLogger(__name__)

CACHE = timedelta(minutes=5)
LAST = timedelta(hours=1)
# However many tokens name keys that we do not know, or however long the store does not answer.
BETWEEN_READS = timedelta(seconds=30)
# What the clocks of two machines may differ by, and the minute for which a refresh can be repeated.
MARGIN = timedelta(minutes=5)
# Whatever a stage has its tokens last, so that rotating needs to know nothing of the stage.
KEPT = LAST + timedelta(seconds=LONGEST_ACCESS_TOKEN_SECONDS) + MARGIN


class SigningKeys:
    """The keys of this process, the newest first; `read` gets them from where they are kept."""

    def __init__(self, read: Callable[[], list[SigningKey]], clock: Clock) -> None:
        """Read the keys: whoever has this has keys. Raises what `read` raises."""
        self._read = read
        self._clock = clock
        self._keys = read()
        self._read_at = self._tried_at = clock()

    def signing(self) -> SigningKey:
        """The key to sign with: the newest that every process knows; Unavailable."""
        keys = self._no_older_than(CACHE)
        known_to_all = self._clock() - LAST
        # When none is, nobody has signed with another one either: take the one to be first.
        return next((key for key in keys if key.created_at <= known_to_all), keys[-1])

    def find(self, kid: object) -> SigningKey | None:
        """The key of this name; None when there is none, Unavailable when that cannot be told."""
        found = _named(kid, self._no_older_than(CACHE))
        if found is None:
            found = _named(kid, self._no_older_than(timedelta()))
            if found is None and self._read_at < self._tried_at:
                raise Unavailable("The keys could not be read again, and there may be another")
        return found

    def secrets(self) -> list[str]:
        """The secrets of all keys, that of the signing one first; Unavailable."""
        signing = self.signing()
        return [signing.secret, *(key.secret for key in self._keys if key != signing)]

    def _no_older_than(self, age: timedelta) -> list[SigningKey]:
        now = self._clock()
        if now - self._read_at > age and now - self._tried_at > BETWEEN_READS:
            self._tried_at = now
            try:
                self._keys, self._read_at = self._read(), now
            except (RecorderError, SettingsError) as error:
                log.warning("the keys could not be read again: %s", error)
        if now - self._read_at > LAST:
            raise Unavailable("The keys could not be read for too long")
        return self._keys


def rotate(keys: list[SigningKey], now: datetime) -> list[SigningKey]:
    """Put a new key in front, and drop those that signed no token that could still be good."""
    successors = [now, *(key.created_at for key in keys)]
    kept = [key for key, succeeded in zip(keys, successors, strict=False) if now - succeeded < KEPT]
    return [new(now), *kept]


def new(now: datetime) -> SigningKey:
    """A fresh key of 384 bits, named after the time."""
    return SigningKey(
        kid=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}",
        secret=secrets.token_urlsafe(48),
        created_at=now,
    )


def _named(kid: object, keys: list[SigningKey]) -> SigningKey | None:
    return next((key for key in keys if key.kid == kid), None)
