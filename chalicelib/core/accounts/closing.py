"""Closing an account: it ends at once, and what it had goes bit by bit."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec import Struct

from chalicelib.core.accounts.passwords import Passwords
from chalicelib.core.batches import batched
from chalicelib.core.ports import Clock, Stores
from chalicelib.core.recordings.deletion import LONGEST_FUNCTION, Deletion
from chalicelib.errors import NotAuthenticated, RecorderError, Unavailable
from chalicelib.models.entities import ClosedAccount, StoredRecording, Tombstone

log = logging.getLogger(__name__)

# What is done between two looks at the time. Each recording takes some calls.
PAGE = 50


class Clearance(Struct):
    """What was removed of a closed account, in numbers of recordings; and whether that was all."""

    purged: int = 0
    settled: int = 0
    done: bool = False


class Closing(Struct, frozen=True):
    """How accounts go."""

    stores: Stores
    deletion: Deletion
    passwords: Passwords
    clock: Clock

    def close(self, user_id: str, password: str, source: str) -> None:
        """End an account: nobody is logged in to it any more, and its address is free.

        What it had is upkeep's to remove. InvalidCredentials, TooManyAttempts; NotAuthenticated
        when it is gone already. One that is closed by another call meanwhile is no error.
        """
        account = self.stores.accounts.find(user_id)
        if account is None:
            raise NotAuthenticated("The account is gone")
        self.passwords.check(account, password, source)
        closed = self.stores.accounts.close(account, self.clock())
        if not closed and self.stores.accounts.find(account.id):
            raise Unavailable("The account keeps changing")

    def clear(self, account: ClosedAccount, goes_on: Callable[[], bool]) -> Clearance:
        """Remove what a closed account had, for as long as `goes_on`.

        Its recordings are buried as if they had been deleted, and their tombstones go once they
        owe nothing. Some owe until LONGEST_FUNCTION has passed: then this is to be done again. So
        it is in any case, for what was under way when the account closed, such as a log-in.
        """
        clearance = Clearance()
        # First of all, since who has an export's URL can fetch everything by it.
        refused = self.stores.exports.delete(account.id)
        found = 0
        for page in batched(self.stores.shelves.readable_of(account.id), PAGE):
            if not goes_on():
                return clearance
            found += len(page)
            self._clear(page, clearance)
        if refused or clearance.settled < found or not self._sweep(account.id):
            return clearance
        if self.clock() < account.closed_at + LONGEST_FUNCTION:
            return clearance
        self.stores.accounts.forget_sessions(account.id)
        self.stores.accounts.forget(account)
        clearance.done = True
        return clearance

    def _clear(self, page: list[StoredRecording | Tombstone | None], clearance: Clearance) -> None:
        standing = [each for each in page if isinstance(each, StoredRecording)]
        buried = [tombstone for each in standing if (tombstone := self._buried(each))]
        tombstones = [*buried, *(each for each in page if isinstance(each, Tombstone))]
        paid = self.deletion.pay([each for each in tombstones if each.owes])
        done = [each for each in tombstones if not each.owes or each in paid]
        clearance.purged += len(buried)
        clearance.settled += sum(map(self._forgotten, done))

    def _buried(self, recording: StoredRecording) -> Tombstone | None:
        """Its tombstone; None if it could not be buried, which stops no other."""
        try:
            return self.deletion.bury(recording)
        except RecorderError:
            log.exception("%s of a closed account cannot be buried", recording.id)
            return None

    def _forgotten(self, tombstone: Tombstone) -> bool:
        try:
            self.stores.recordings.forget(tombstone)
        except RecorderError:
            log.exception("%s of a closed account cannot be forgotten", tombstone.id)
            return False
        return True

    def _sweep(self, user_id: str) -> bool:
        """Delete whatever has the user's name on it in S3; whether all of it went."""
        for upload in self.stores.parts.under_way(user_id):
            self.stores.parts.abort(*upload)
        refused = self.stores.uploads.delete(self.stores.uploads.keys(user_id))
        return not (refused | self.stores.audio.delete(self.stores.audio.versions(user_id)))
