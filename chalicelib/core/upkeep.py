"""Upkeep: moving what time alone must move. It is the only sweeper."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from chalicelib import telemetry
from chalicelib.core.accounts.closing import Closing
from chalicelib.core.batches import batched
from chalicelib.core.ports import Clock, Stores
from chalicelib.core.recordings.completion import Completion
from chalicelib.core.recordings.deletion import LONGEST_FUNCTION, Deletion
from chalicelib.errors import NotFound, RecorderError, UploadIncomplete, UploadMismatch
from chalicelib.models.entities import Due, StoredRecording, Tombstone

log = logging.getLogger(__name__)

# What is done between two looks at the time, and deleted from S3 together.
PAGE = 50
# What cannot be moved is put off: for this long at first, then for twice as long each time.
FIRST_DELAY = timedelta(minutes=5)
LONGEST_DELAY = timedelta(days=1)


class Tally(Struct):
    """What a run did, in numbers of items."""

    completed: int = 0
    """Uploads whose time was over and whose bytes were there."""
    expired: int = 0
    purged: int = 0
    settled: int = 0
    closed: int = 0
    failed: int = 0
    """Those that were put off."""
    overdue_seconds: int = 0
    """How long the oldest of them had been due at the beginning."""


class Upkeep(Struct, frozen=True):
    """The scheduled job."""

    stores: Stores
    completion: Completion
    deletion: Deletion
    closing: Closing
    clock: Clock

    def run(self, goes_on: Callable[[], bool] = lambda: True) -> Tally:
        """Move what is due, the oldest first, for as long as `goes_on`.

        What cannot be moved is put off and does not stand in the way of the rest. Several runs at
        once do each other no harm, and one that ends anywhere leaves the rest to the next.
        """
        tally = Tally()
        now = self.clock()
        for page in batched(self.stores.due.due(now), PAGE):
            oldest = now - page[0].due_at
            tally.overdue_seconds = max(tally.overdue_seconds, int(oldest.total_seconds()))
            if not goes_on():
                break
            self._move(page, tally, goes_on)
        return tally

    def _move(self, page: list[Due], tally: Tally, goes_on: Callable[[], bool]) -> None:
        graves: list[tuple[Due, Tombstone]] = []
        for due in page:
            if not goes_on():
                break
            try:
                if due.recording_id is None:
                    self._clear(due, tally, goes_on)
                elif tombstone := self._tombstone(due.user_id, due.recording_id, tally):
                    graves.append((due, tombstone))
            except Exception:
                log.exception("%s of %s cannot be moved", due.recording_id, due.user_id)
                self._put_off(due, tally)
        settled = self.deletion.settle([tombstone for _, tombstone in graves])
        tally.settled += len(settled)
        for due, tombstone in graves:
            if tombstone not in settled and tombstone.due_at and tombstone.due_at <= self.clock():
                self._put_off(due, tally)

    def _tombstone(self, user_id: str, recording_id: str, tally: Tally) -> Tombstone | None:
        """Move a recording along; the tombstone that stands then, if it has a debt to be paid."""
        standing = self.stores.recordings.find(user_id, recording_id)
        # The index lags behind, and another run may be at work.
        if standing is None or not _is_due(standing, self.clock()):
            return None
        if isinstance(standing, Tombstone):
            return standing
        if standing.status == "uploading":
            return self._end(standing, tally)
        tombstone = self.deletion.bury(standing)
        tally.purged += tombstone is not None
        return tombstone

    def _end(self, upload: StoredRecording, tally: Tally) -> Tombstone | None:
        """Complete an upload whose time is over, if its bytes are there after all; or bury it."""
        try:
            self.completion.finish(upload)
            tally.completed += 1
        except NotFound:
            return None
        except (UploadIncomplete, UploadMismatch):
            tombstone = self.deletion.bury(upload, expired=True)
            tally.expired += tombstone is not None
            telemetry.count(uploads_expired=tombstone is not None)
            return tombstone
        return None

    def _clear(self, due: Due, tally: Tally, goes_on: Callable[[], bool]) -> None:
        account = self.stores.accounts.find_closed(due.user_id)
        if account is None:
            return
        clearance = self.closing.clear(account, goes_on)
        tally.purged += clearance.purged
        tally.settled += clearance.settled
        tally.closed += clearance.done
        if clearance.done:
            return
        if goes_on() and due.postponed:
            self._put_off(due, tally)
        elif goes_on():
            # What it just buried owes for that long. Whatever is left after that, S3 refused.
            self.stores.due.postpone(due, self.clock() + LONGEST_FUNCTION)

    def _put_off(self, due: Due, tally: Tally) -> None:
        delay = min(FIRST_DELAY * 2 ** min(due.postponed, 10), LONGEST_DELAY)
        try:
            tally.failed += self.stores.due.postpone(due, self.clock() + delay)
        except RecorderError:
            log.exception("%s of %s cannot be put off", due.recording_id, due.user_id)


def _is_due(standing: StoredRecording | Tombstone, now: datetime) -> bool:
    if isinstance(standing, Tombstone):
        at = standing.due_at
    else:
        at = standing.purge_at if standing.status == "trashed" else standing.upload_expires_at
    return at is not None and at <= now
