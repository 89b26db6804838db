"""Upkeep: moving what time alone must move. It is the only sweeper.

A closed account is one whose recordings are all due now; once there are none left, it goes itself.
"""

from __future__ import annotations

import logging
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from chalicelib import telemetry
from chalicelib.core.ports import Clock, Stores
from chalicelib.core.recordings.completion import Completion
from chalicelib.core.recordings.deletion import LONGEST_FUNCTION, Deletion
from chalicelib.errors import (
    InternalError,
    NotFound,
    RecorderError,
    UploadIncomplete,
    UploadMismatch,
)
from chalicelib.models.entities import (
    Due,
    Keyed,
    Standing,
    StoredRecording,
    Tombstone,
    Unreadable,
)

log = logging.getLogger(__name__)

# How much of what one user has due is moved before it is the others' turn; doubled each round.
SHARE = 50
# What is done between two looks at the time, read in one call, and deleted from S3 together.
BATCH = 50
# What cannot be moved is put off: for this long at first, then for twice as long each time.
FIRST_DELAY = timedelta(minutes=5)
LONGEST_DELAY = timedelta(days=1)
# When something with these statuses is due it is to be deleted, also if it cannot be read.
ENDS = "trashed", "deleted"


class Tally(Struct):
    """What a run did, in numbers of items."""

    completed: int = 0
    """Uploads whose time was over and whose bytes were there."""
    ended: int = 0
    """Live ones that were silent, or were not put together in time, which a job does now."""
    expired: int = 0
    purged: int = 0
    settled: int = 0
    retold: int = 0
    """Recordings that nobody had listened to: it was told again that they are there."""
    closed: int = 0
    forgotten: int = 0
    """What closed accounts had besides their recordings: sessions above all."""
    failed: int = 0
    """Those that were put off."""
    overdue_seconds: int = 0
    """How long the oldest of them had been due at the beginning."""

    @property
    def moved(self) -> int:
        """How many went on, or were put off."""
        return sum(getattr(self, field) for field in self.__struct_fields__[:-1])


class Upkeep(Struct, frozen=True):
    """The scheduled job."""

    stores: Stores
    completion: Completion
    deletion: Deletion
    clock: Clock

    def run(self, goes_on: Callable[[], bool] = lambda: True) -> Tally:
        """Move what is due, in rounds, for as long as `goes_on`.

        A round has a share of what each user has due. So whatever one user has, another's is moved
        in the first. What cannot be moved is put off, and stands in nobody's way. Several runs at
        once do each other no harm, and one that ends anywhere leaves the rest to the next.
        """
        tally, share = Tally(), SHARE
        # Also by a run that has no time, since how long the oldest has waited is to be known then.
        due = self._round(share, tally)
        while due:
            moved = tally.moved
            for start in range(0, len(due), BATCH):
                if not goes_on():
                    return tally
                self._move(due[start : start + BATCH], tally, share, goes_on)
            share *= 2
            due = self._round(share, tally) if tally.moved > moved and goes_on() else []
        return tally

    def _round(self, share: int, tally: Tally) -> list[Due]:
        """Some of what each user has due, chosen by chance, so that runs at once share the work."""
        now = self.clock()
        taken: dict[str, list[Due]] = defaultdict(list)
        seen: Counter[str] = Counter()
        for due in self._due(now, tally):
            overdue = int((now - due.due_at).total_seconds())
            tally.overdue_seconds = max(tally.overdue_seconds, overdue)
            mine, seen[due.user_id] = taken[due.user_id], seen[due.user_id] + 1
            if len(mine) < share:
                mine.append(due)
            # Each of a user's has the same chance (Vitter's algorithm R).
            elif (place := random.randrange(seen[due.user_id])) < share:  # noqa: S311
                mine[place] = due
        chosen = [due for mine in taken.values() for due in mine]
        # What goes with its account is nothing else's any more.
        going = {due.key for due in chosen if due.closed}
        chosen = [due for due in chosen if due.closed or due.key not in going]
        random.shuffle(chosen)
        return chosen

    def _due(self, now: datetime, tally: Tally) -> Iterator[Due]:
        """All that is due; in place of a closed account all that is left of its recordings.

        One that cannot be read is put off: it would be taken for one that has none.
        """
        for due in self.stores.due.due(now):
            try:
                left = self.stores.shelves.all_of(due.user_id) if self._is_closed(due) else ()
                there = [due.of_closed(standing.id) for standing in left]
            except InternalError:
                log.exception("%s of %s cannot be moved", due.what, due.user_id)
                self._put_off(due, tally)
            else:
                yield from there or [due]

    def _is_closed(self, due: Due) -> bool:
        """Whether it is a closed account, by the account itself: all its recordings go for it."""
        is_account = due.what == "account"
        return is_account and self.stores.accounts.find_closed(due.user_id) is not None

    def _move(
        self, batch: Sequence[Due], tally: Tally, share: int, goes_on: Callable[[], bool]
    ) -> None:
        standing = self.stores.recordings.find_all(
            [due.key for due in batch if due.what == "recording"]
        )
        owing: dict[str, tuple[Due, Tombstone]] = {}
        unheard: list[Keyed] = []
        for due in batch:
            try:
                if due.what == "account":
                    self._forget_account(due, tally, share, goes_on)
                elif due.what == "export":
                    self._delete_exports(due)
                elif recording := self._unheard(due, standing.get(due.key)):
                    unheard.append(recording)
                elif tombstone := self._tombstone(due, standing.get(due.key), tally):
                    owing[tombstone.key] = due, tombstone
            except Exception:
                log.exception("%s of %s cannot be moved", due.recording_id or due.what, due.user_id)
                self._put_off(due, tally)
        self._tell_again(unheard, tally)
        closed = {due.user_id for due, _ in owing.values() if due.closed}
        tombstones = [tombstone for _, tombstone in owing.values()]
        settled = {each.key for each in self.deletion.settle(tombstones, forgetting=closed)}
        tally.settled += len(settled)
        for key in owing.keys() - settled:
            self._put_off(owing[key][0], tally)

    def _unheard(self, due: Due, standing: Standing | None) -> Keyed | None:
        """A recording that nobody has listened to, if it is this one's to have somebody do so."""
        if due.closed or not isinstance(standing, StoredRecording) or standing.status != "ready":
            return None
        # Put off first. So of several runs one tells, and what fails after this is due again.
        is_ours = not standing.listener and self.stores.due.postpone(due, self._later(due))
        return standing if is_ours else None

    def _tell_again(self, unheard: list[Keyed], tally: Tally) -> None:
        try:
            self.stores.events.tell_of_kept(unheard)
            tally.retold += len(unheard)
        except RecorderError:
            log.exception("nobody could be told to listen")
            tally.failed += len(unheard)

    def _tombstone(self, due: Due, standing: Standing | None, tally: Tally) -> Tombstone | None:
        """Move a recording along; the tombstone that stands then, if its debt is to be paid now."""
        # The index lags behind, and another run may be at work.
        if standing is None or not (due.closed or _is_due(standing, self.clock())):
            return None
        if isinstance(standing, Tombstone):
            tombstone: Tombstone | None = standing
        elif due.closed or standing.status in ENDS:
            tombstone = self.deletion.bury(standing)
            tally.purged += tombstone is not None
        elif isinstance(standing, Unreadable):
            raise InternalError("It cannot be read")
        else:
            tombstone = self._end(standing, tally)
        # Before that nothing is paid for certain, and an upload that expired was just looked for.
        if tombstone is None or (tombstone.due_at and tombstone.due_at > self.clock()):
            return None
        return tombstone

    def _end(self, upload: StoredRecording, tally: Tally) -> Tombstone | None:
        """Complete an upload whose time is over, if its bytes are there after all; or bury it."""
        try:
            ended = self.completion.end(upload)
            tally.completed += ended.status != "uploading"
            tally.ended += ended.status == "uploading" and ended.ended_at is not None
        except NotFound:
            return None
        except (UploadIncomplete, UploadMismatch):
            tombstone = self.deletion.bury(upload, expired=True)
            tally.expired += tombstone is not None
            telemetry.count(uploads_expired=tombstone is not None)
            return tombstone
        return None

    def _forget_account(
        self, due: Due, tally: Tally, share: int, goes_on: Callable[[], bool]
    ) -> None:
        """Remove what is left of a closed account that has no recordings any more.

        A share of its sessions is all that goes in one round, if there are more.
        """
        account = self.stores.accounts.find_closed(due.user_id)
        # What was under way when it closed, such as a log-in, has ended by then.
        if account is None or self.clock() < account.closed_at + LONGEST_FUNCTION:
            return
        self.stores.links.remove(self.stores.links.of(account.id))
        for _ in range(0, share, BATCH):
            forgotten = self.stores.accounts.forget_rest(account.id, BATCH)
            tally.forgotten += forgotten
            if forgotten < BATCH:
                break
            if not goes_on():
                return
        else:
            return
        for upload in self.stores.parts.under_way(account.id):
            self.stores.parts.abort(*upload)
        refused = self.stores.exports.delete(account.id)
        refused |= self.stores.uploads.delete(self.stores.uploads.keys(account.id))
        refused |= self.stores.audio.delete(self.stores.audio.versions(account.id))
        if refused:
            raise InternalError(f"S3 would not delete {len(refused)} objects")
        self.stores.accounts.forget(account)
        tally.closed += 1

    def _delete_exports(self, due: Due) -> None:
        if refused := self.stores.exports.delete(due.user_id):
            raise InternalError(f"S3 would not delete {len(refused)} exports")
        self.stores.accounts.forget_export(due.user_id, due.due_at)

    def _put_off(self, due: Due, tally: Tally) -> None:
        """Have it due later; of a closed account's recordings, the account."""
        try:
            tally.failed += self.stores.due.postpone(due, self._later(due))
        except RecorderError:
            log.exception("%s of %s cannot be put off", due.recording_id or due.what, due.user_id)

    def _later(self, due: Due) -> datetime:
        delay: timedelta = min(FIRST_DELAY * 2 ** min(due.postponed, 10), LONGEST_DELAY)
        return self.clock() + delay


def _is_due(standing: Standing, now: datetime) -> bool:
    match standing:
        case Tombstone():
            at = standing.due_at
        case StoredRecording():
            at = standing.purge_at if standing.status == "trashed" else standing.upload_expires_at
        case Unreadable():
            at = standing.due_at
    return at is not None and at <= now
