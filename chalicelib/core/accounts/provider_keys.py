"""The keys of a provider: how long a process goes by them, and when it asks for them again."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta

from chalicelib.core.ports import Clock, KeyPublisher
from chalicelib.errors import Unavailable
from chalicelib.models.entities import PublicKey

log = logging.getLogger(__name__)

# How much longer keys are used than their provider said, while it does not answer.
OVERTIME = timedelta(hours=1)
# A provider announces a key long before it signs with it, so whoever names one that is not among
# the keys has mostly made it up: that is no reason to ask more often than this.
BETWEEN_LOOKS = timedelta(seconds=30)
# A provider that hangs costs each who waits for it some seconds, so they take turns: as long as
# those whom it is not there for are told to wait, or longer where there still are keys.
AFTER_FAILURE = timedelta(seconds=2)
AFTER_FAILURE_WITH_KEYS = timedelta(seconds=30)
NEVER = datetime.min.replace(tzinfo=UTC)


class ProviderKeys:
    """The keys of one provider, in this process."""

    def __init__(self, publisher: KeyPublisher, clock: Clock) -> None:
        """Ask for nothing yet."""
        self._publisher = publisher
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, PublicKey] = {}
        self._good_until = self._looked_at = self._failed_at = NEVER

    def find(self, kid: str) -> PublicKey | None:
        """The key of this name; None when there is none, Unavailable when that cannot be told."""
        # Whoever comes meanwhile waits for the same answer.
        with self._lock:
            now = self._clock()
            is_stale = now >= self._good_until
            is_news = kid not in self._keys and now >= self._looked_at + BETWEEN_LOOKS
            are_current = self._ask(now) if is_stale or is_news else True
            if now >= self._good_until + OVERTIME:
                raise Unavailable("The provider's keys cannot be had")
            if (is_stale or is_news) and kid not in self._keys:
                if not are_current:
                    raise Unavailable("The provider's keys cannot be had, and there may be another")
                self._looked_at = now
            return self._keys.get(kid)

    def _ask(self, now: datetime) -> bool:
        """Ask for the keys, unless that has just failed; whether they are what there is now."""
        pause = AFTER_FAILURE_WITH_KEYS if self._keys else AFTER_FAILURE
        if now < self._failed_at + pause:
            return False
        try:
            published = self._publisher.fetch()
        except Unavailable as error:
            log.warning("a provider's keys could not be had: %s", error)
            self._failed_at = now
            return False
        self._keys, self._good_until = published.keys, now + published.good_for
        return True
