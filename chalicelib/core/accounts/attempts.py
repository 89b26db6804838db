"""Attempts: how often something may be tried, by whom or at whom."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal

from msgspec import Struct

from chalicelib.core.ports import AttemptStore, Clock
from chalicelib.errors import InvalidCredentials, RecorderError, TooManyAttempts
from chalicelib.models.entities import Attempt, FullWindow
from chalicelib.models.fields import LetterKind, comparable
from chalicelib.settings import Settings

Kind = Literal[
    "login_failures_per_address",
    "login_failures_per_source",
    "refresh_failures_per_source",
    "signups_per_source",
    "forgot_per_source",
    "mails_per_address",
    "exports_per_day",
]

# As long as what is mailed is good: whoever uses the window up left a link that still works.
MAILS_WINDOW = timedelta(minutes=30)
# Seconds after which to try again when guesses under way have taken all the room: each takes about
# half a second of a processor.
SOON = 1


class Attempts(Struct, frozen=True):
    """Counts attempts against the limit that is set for their kind."""

    store: AttemptStore
    settings: Settings
    clock: Clock

    def count(self, kind: Kind, who: str) -> None:
        """Count an attempt before it is made; TooManyAttempts when none is left.

        Counting afterwards would let any number through at the same moment.
        """
        if full := self._counted(self._limited(kind, who)):
            raise self._too_many(full)

    @contextmanager
    def guess(self, who: str, source: str) -> Iterator[None]:
        """Count a guess of somebody's password while it is made; TooManyAttempts.

        It stays counted if it ends in InvalidCredentials, or does not come to its end.
        """
        # Together: a source that may not try must not touch what others have left.
        guesses = self._limited("login_failures_per_source", source)
        guesses += self._limited("login_failures_per_address", who)
        if full := self._counted(guesses):
            raise self._too_many(full) if full.failed else TooManyAttempts(SOON)
        try:
            yield
        except InvalidCredentials:
            for guess in guesses:
                self.store.note_failure(guess.kind, guess.who)
            raise
        self.store.take_back(guesses)

    @contextmanager
    def mail(self, kind: LetterKind, email: str) -> Iterator[None]:
        """Count a mail to an address while it is sent; TooManyAttempts.

        One that cannot be sent is not counted.
        """
        who = _addressee(kind, email)
        self.count("mails_per_address", who)
        try:
            yield
        except RecorderError:
            self.store.take_back(self._limited("mails_per_address", who))
            raise

    def check_mail(self, kind: LetterKind, email: str) -> None:
        """TooManyAttempts while an address is sent no more of such mails; counts nothing."""
        most = self._limit("mails_per_address")
        who = _addressee(kind, email)
        full = self.store.full("mails_per_address", who, most, self.clock()) if most else None
        if full:
            raise self._too_many(full)

    def forget_guesses(self, who: str) -> None:
        """Let somebody's password be guessed again: it is another one now."""
        self.store.forget("login_failures_per_address", who)

    def _limited(self, kind: Kind, who: str) -> list[Attempt]:
        """An attempt as it is counted; none where its kind has no limit."""
        most, until = self._limit(kind), self.clock() + self._window(kind)
        return [Attempt(kind=kind, who=who, most=most, until=until)] if most else []

    def _counted(self, attempts: list[Attempt]) -> FullWindow | None:
        """Count attempts; when one of them is left none, count nothing and say so."""
        return self.store.count(attempts, self.clock()) if attempts else None

    def _limit(self, kind: Kind) -> int:
        most: int = getattr(self.settings, kind)
        return most

    def _window(self, kind: Kind) -> timedelta:
        """From the first attempt to the end of its window, whatever is tried in between."""
        match kind:
            case "mails_per_address":
                return MAILS_WINDOW
            case "exports_per_day":
                return timedelta(days=1)
            case "signups_per_source" | "forgot_per_source":
                return timedelta(seconds=self.settings.signup_window_seconds)
            case _:
                return timedelta(seconds=self.settings.login_window_seconds)

    def _too_many(self, full: FullWindow) -> TooManyAttempts:
        seconds = (full.ends_at - self.clock()).total_seconds()
        return TooManyAttempts(max(1, math.ceil(seconds)))


def _addressee(kind: LetterKind, email: str) -> str:
    return f"{kind} {comparable(email)}"
