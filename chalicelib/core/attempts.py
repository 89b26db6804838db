"""Attempts: how often something may be tried, by whom or at whom."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Literal

from chalicelib.core.ports import AttemptStore, Clock
from chalicelib.errors import TooManyAttempts
from chalicelib.models.fields import comparable
from chalicelib.settings import Settings

Kind = Literal[
    "login_failures_per_address",
    "login_failures_per_source",
    "refresh_failures_per_source",
    "signups_per_source",
    "forgot_per_source",
    "mails_per_address",
]

# A window opens with the first attempt and ends so much later, whatever is tried in between.
WINDOWS: dict[Kind, timedelta] = {
    "login_failures_per_address": timedelta(minutes=15),
    "login_failures_per_source": timedelta(minutes=15),
    "refresh_failures_per_source": timedelta(minutes=15),
    "signups_per_source": timedelta(hours=1),
    "forgot_per_source": timedelta(hours=1),
    # As long as what is mailed is good: whoever uses the window up left a link that still works.
    "mails_per_address": timedelta(minutes=30),
}


class Attempts:
    """Counts attempts against the limit that is set for their kind."""

    def __init__(self, store: AttemptStore, settings: Settings, clock: Clock) -> None:
        """Take what the counting stands on."""
        self._store = store
        self._settings = settings
        self._clock = clock

    def count(self, kind: Kind, who: str) -> None:
        """Count an attempt before it is made; TooManyAttempts when none is left.

        Counting afterwards would let any number through at the same moment.
        """
        most = getattr(self._settings, kind)
        if most == 0:
            return
        now = self._clock()
        full_until = self._store.count(kind, who, most, now, now + WINDOWS[kind])
        if full_until:
            raise TooManyAttempts(math.ceil((full_until - now).total_seconds()))

    def take_back(self, kind: Kind, who: str) -> None:
        """Uncount an attempt that turned out not to be one of those that are limited."""
        if getattr(self._settings, kind):
            self._store.take_back(kind, who)

    def count_log_in(self, email: str, source: str) -> None:
        """Count a log-in as if it failed, by its address and its source; TooManyAttempts."""
        self.count("login_failures_per_address", comparable(email))
        try:
            self.count("login_failures_per_source", source)
        except TooManyAttempts:
            # A source that may not try must not use up what an address has left.
            self.take_back("login_failures_per_address", comparable(email))
            raise

    def take_back_log_in(self, email: str, source: str) -> None:
        """Uncount a log-in that succeeded."""
        self.take_back("login_failures_per_address", comparable(email))
        self.take_back("login_failures_per_source", source)

    def forget_log_ins(self, email: str) -> None:
        """Let an address try again: its password is another one now."""
        self._store.forget("login_failures_per_address", comparable(email))
