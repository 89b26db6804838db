"""Deletion: to the trash and back, and for good. The database always goes first."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import msgspec
from msgspec import Struct

from chalicelib.core.ports import Clock, Stores
from chalicelib.core.recordings.library import LISTENED_TO_BY, check_version, found, seen_anew
from chalicelib.errors import InternalError, NotFound, NotReady, Unavailable
from chalicelib.models.entities import (
    Keyed,
    Link,
    ObjectVersion,
    Standing,
    StoredRecording,
    Tombstone,
    Unreadable,
)
from chalicelib.models.fields import Debt
from chalicelib.settings import Settings

log = logging.getLogger(__name__)

# The longest that Lambda lets any function run. A completion that was under way when its
# recording was deleted may still copy an object for that long.
LONGEST_FUNCTION = timedelta(minutes=15)
# How long other devices can still learn that a recording was deleted.
TOMBSTONE_LIFE = timedelta(days=90)


class Bill(Struct, frozen=True):
    """What S3 holds of what a tombstone owes, by the names that delete just that."""

    tombstone: Tombstone
    uploads: list[tuple[str, str]] = []
    """Key and name of its multipart uploads under way."""
    pieces: list[str] = []
    """The keys of its pieces; of an upload that began again since, they are others."""
    staged: list[str] = []
    """The ETag of what the uploads bucket has of an upload that expired, if it has that.

    It may have begun again since.
    """
    versions: list[ObjectVersion] = []
    """What the recordings bucket has under its key."""
    links: list[Link | Unreadable] = []
    """Those to it, which open nothing any more."""


class Deletion(Struct, frozen=True):
    """The use cases of deleting."""

    stores: Stores
    settings: Settings
    clock: Clock

    def delete(self, standing: Standing | None, *, permanent: bool) -> None:
        """Move a recording to the trash, or delete it for good; again changes nothing.

        An upload under way is rolled back. What cannot be read can be deleted all the same, if it
        need not come back. NotFound when there never was such a recording.
        """
        for there in seen_anew(self.stores.recordings, standing):
            if isinstance(there, Tombstone):
                if there.expired and not self.stores.recordings.seal(there):
                    continue  # It was begun again.
                self.settle([msgspec.structs.replace(there, expired=False)])
                return
            recording = there if isinstance(there, Unreadable) else found(there)
            goes = permanent or not self.settings.trash_days
            if goes or recording.status in {"uploading", "deleted"}:
                if tombstone := self.bury(recording):
                    self.settle([tombstone])
                    return
            elif recording.status == "trashed" or self._trash(found(there)):
                return
        raise Unavailable("The recording keeps changing")

    def restore(self, standing: Standing | None, version: int | None) -> StoredRecording:
        """Bring a recording back from the trash; one that is not in it stays as it is.

        NotFound once its time is over, NotReady for an upload; VersionConflict when `version` is
        given and the recording has another by now.
        """
        for there in seen_anew(self.stores.recordings, standing):
            recording = found(there)
            check_version(recording, version)
            if recording.status == "uploading":
                raise NotReady("The recording is still being uploaded")
            if recording.status == "ready":
                return recording
            now = self.clock()
            if recording.purge_at and recording.purge_at <= now:
                raise NotFound("The recording's time in the trash is over")
            if restored := self.stores.recordings.restore(recording, now, now + LISTENED_TO_BY):
                return restored
        raise Unavailable("The recording keeps changing")

    def bury(
        self, recording: StoredRecording | Unreadable, *, expired: bool = False
    ) -> Tombstone | None:
        """Put a tombstone in a recording's place; None when the recording changed meanwhile."""
        now = self.clock()
        owes: list[Debt] = ["uploads", "recordings"]
        if recording.may_have_parts:
            owes.insert(0, "parts")
        tombstone = Tombstone(
            id=recording.id,
            user_id=recording.user_id,
            updated_at=now,
            version=recording.version + 1,
            owes=owes,
            # A completion that begins after the recording is ready copies nothing any more.
            due_at=(recording.completed_at or now) + LONGEST_FUNCTION,
            expired=expired,
            had_links=recording.links_made is not None,
        )
        return tombstone if self.stores.recordings.bury(recording, tombstone) else None

    def settle(
        self, tombstones: Sequence[Tombstone], *, forgetting: Container[str] = ()
    ) -> list[Tombstone]:
        """Pay what tombstones owe, and note it; those that owe nothing any more.

        Those of the users in `forgetting`, whose devices need not hear of it, are removed instead.
        """
        paid = self._paid([tombstone for tombstone in tombstones if tombstone.owes])
        paid += [tombstone for tombstone in tombstones if not tombstone.owes]
        return [each for each in paid if self._noted(each, forget=each.user_id in forgetting)]

    def _paid(self, tombstones: Sequence[Tombstone]) -> list[Tombstone]:
        """Pay what tombstones owe, together; those whose debts are paid for certain.

        What fails stays owed, and is no failure of the caller's. Before its `due_at` nothing is
        paid for certain, so until then a tombstone goes on owing.
        """
        unpaid: set[str] = set()
        listed = [self._bill(tombstone, unpaid) for tombstone in tombstones]
        replaced = self._replaced([each for each in tombstones if each.expired], unpaid)
        bills = [bill for bill in listed if bill.tombstone.key not in replaced]
        self._pay(bills, unpaid)
        now = self.clock()
        paid = [bill.tombstone for bill in bills if bill.tombstone.key not in unpaid]
        return [tombstone for tombstone in paid if tombstone.due_at and tombstone.due_at <= now]

    def _trash(self, recording: StoredRecording) -> bool:
        now = self.clock()
        purge_at = now + timedelta(days=self.settings.trash_days)
        return self.stores.recordings.trash(recording, now, purge_at) is not None

    def _bill(self, tombstone: Tombstone, unpaid: set[str]) -> Bill:
        bill = Bill(tombstone)
        with _unpaid_if_it_fails(unpaid, [tombstone]):
            if "parts" in tombstone.owes:
                bill.uploads.extend(self.stores.parts.under_way(tombstone.user_id, tombstone.id))
                there = dict(self.stores.uploads.arrived(tombstone))
                whole = there.pop(tombstone.key, None)
                bill.pieces.extend(there)
                bill.staged.extend([whole] if whole and tombstone.expired else [])
            elif tombstone.expired and (staged := self.stores.uploads.find(tombstone)):
                bill.staged.append(staged.etag)
        with _unpaid_if_it_fails(unpaid, [tombstone]):
            if "recordings" in tombstone.owes:
                bill.versions.extend(self.stores.audio.versions(tombstone.user_id, tombstone.id))
        with _unpaid_if_it_fails(unpaid, [tombstone]):
            if tombstone.had_links:
                bill.links.extend(self.stores.links.of(tombstone.user_id, tombstone.id))
        return bill

    def _replaced(self, expired: Sequence[Tombstone], unpaid: set[str]) -> set[str]:
        """The keys of those of these tombstones that may stand no more, as uploads began again.

        Of those that stand, what was listed before this is not of a new upload.
        """
        standing: dict[tuple[str, str], Standing] = {}
        with _unpaid_if_it_fails(unpaid, expired):
            keys = [(each.user_id, each.id) for each in expired]
            standing = self.stores.recordings.find_all(keys)
        return {each.key for each in expired if standing.get((each.user_id, each.id)) != each}

    def _pay(self, bills: list[Bill], unpaid: set[str]) -> None:
        for bill in bills:
            with _unpaid_if_it_fails(unpaid, [bill.tombstone]):
                for upload in bill.uploads:
                    self.stores.parts.abort(*upload)
                for etag in bill.staged:
                    self.stores.uploads.discard(bill.tombstone.key, etag)
                self.stores.links.remove(bill.links)
        owing = [bill.tombstone for bill in bills]
        uploaded = [each.key for each in owing if "uploads" in each.owes and not each.expired] + [
            key for bill in bills for key in bill.pieces
        ]
        with _unpaid_if_it_fails(unpaid, owing):
            refused = map(Keyed.at, self.stores.uploads.delete(uploaded))
            unpaid |= {keyed.key for keyed in refused if keyed}
        with _unpaid_if_it_fails(unpaid, owing):
            unpaid |= self.stores.audio.delete(each for bill in bills for each in bill.versions)

    def _noted(self, tombstone: Tombstone, *, forget: bool) -> bool:
        with _unpaid_if_it_fails(set(), [tombstone]):
            if not forget:
                return self.stores.recordings.settle(tombstone, self.clock() + TOMBSTONE_LIFE)
            self.stores.recordings.forget(tombstone)
            return True
        return False


@contextmanager
def _unpaid_if_it_fails(unpaid: set[str], tombstones: Sequence[Tombstone]) -> Iterator[None]:
    try:
        yield
    except (Unavailable, InternalError) as error:
        for tombstone in tombstones:
            log.warning("%s is deleted but goes on owing: %s", tombstone.id, error.detail)
            unpaid.add(tombstone.key)
