"""Attempts: how often something may be tried, by whom or at whom."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
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
    "wrong_codes_per_source",
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
            raise self.too_many(full)

    def watched(self, kind: Kind, who: str) -> Attempt | None:
        """What tells whether any attempts are left, for whoever reads it with something else.

        None where there is no limit.
        """
        return next(iter(self._limited(kind, who)), None)

    def too_many(self, full: FullWindow) -> TooManyAttempts:
        """What is said of a window that is full."""
        return TooManyAttempts(seconds_until(full.ends_at, self.clock()))

    @contextmanager
    def guess(self, who: str, source: str) -> Iterator[None]:
        """Count a guess of somebody's password while it is made; TooManyAttempts.

        It stays counted if it ends in InvalidCredentials, or does not come to its end.
        """
        # Together: a source that may not try must not touch what others have left.
        guesses = self._limited("login_failures_per_source", source)
        guesses += self._limited("login_failures_per_address", who)
        if full := self._counted(guesses):
            raise self.too_many(full) if full.failed else TooManyAttempts(SOON)
        try:
            yield
        except InvalidCredentials:
            for guess in guesses:
                self.store.note_failure(guess.kind, guess.who)
            raise
        self.store.take_back(guesses)

    @contextmanager
    def token(self, source: str) -> Iterator[None]:
        """Count it as a failed log-in of its source when an id token is refused; TooManyAttempts.

        Afterwards is enough, since nobody guesses one; so those at once need no room each.
        """
        kind: Kind = "login_failures_per_source"
        if full := self._is_full(kind, source):
            raise self.too_many(full) if full.failed else TooManyAttempts(SOON)
        try:
            yield
        except InvalidCredentials:
            self.note(kind, source)
            self.store.note_failure(kind, source)
            raise

    def check(self, kind: Kind, who: str) -> None:
        """TooManyAttempts while none is left; counts nothing."""
        if full := self._is_full(kind, who):
            raise self.too_many(full)

    def note(self, kind: Kind, who: str) -> None:
        """Count an attempt that was made, whether or not one was left."""
        self._counted(self._limited(kind, who))

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
        self.check("mails_per_address", _addressee(kind, email))

    def forget_guesses(self, who: str) -> None:
        """Let somebody's password be guessed again: it is another one now."""
        self.store.forget("login_failures_per_address", who)

    def _limited(self, kind: Kind, who: str) -> list[Attempt]:
        """An attempt as it is counted; none where its kind has no limit."""
        most, until = self._limit(kind), self.clock() + self._window(kind)
        return [Attempt(kind=kind, who=who, most=most, until=until)] if most else []

    def _is_full(self, kind: Kind, who: str) -> FullWindow | None:
        """The window in which none is left, if there is one; counts nothing."""
        most = self._limit(kind)
        return self.store.full(kind, who, most, self.clock()) if most else None

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


def seconds_until(end: datetime, now: datetime) -> int:
    """In how many whole seconds something ends, at least one."""
    return max(1, math.ceil((end - now).total_seconds()))


def _addressee(kind: LetterKind, email: str) -> str:
    return f"{kind} {comparable(email)}"
