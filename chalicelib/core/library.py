"""The library: finding, listing, renaming, playing and deleting recordings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import cast

from msgspec import UNSET

from chalicelib.core.ports import AudioStore, Clock, RecordingStore
from chalicelib.errors import InternalError, NotFound, Unavailable, VersionConflict
from chalicelib.models.answers import Audio
from chalicelib.models.entities import StoredRecording, Tombstone
from chalicelib.models.requests import RecordingChange, ShelfQuery
from chalicelib.settings import Settings

log = logging.getLogger(__name__)

# The longest that Lambda lets any function run. A completion that was under way when its
# recording was deleted may still copy an object for that long.
LONGEST_FUNCTION = timedelta(minutes=15)
# How long other devices can still learn that a recording was deleted.
TOMBSTONE_LIFE = timedelta(days=90)
# Each attempt past the first means that another device wrote between our read and our write.
WRITE_ATTEMPTS = 10


class Library:
    """The use cases of recordings that have begun their life."""

    def __init__(
        self, recordings: RecordingStore, audio: AudioStore, settings: Settings, clock: Clock
    ) -> None:
        """Take what the use cases stand on."""
        self._recordings = recordings
        self._audio = audio
        self._settings = settings
        self._clock = clock

    def find(self, user_id: str, recording_id: str) -> StoredRecording:
        """A recording of this user's; NotFound, also once it is deleted."""
        return live(self._recordings, user_id, recording_id)

    def shelf(self, user_id: str, query: ShelfQuery) -> tuple[list[StoredRecording], str | None]:
        """A page of one shelf, and the id after which the next one begins, if there is one."""
        after = None if query.after is UNSET else query.after
        found = self._recordings.page(
            user_id, query.status, query.limit + 1, after, query.order == "desc"
        )
        page = found[: query.limit]
        return page, page[-1].id if len(found) > query.limit else None

    def audio(self, recording: StoredRecording) -> Audio | None:
        """Where the recording plays from now on; None unless it is ready."""
        if recording.status != "ready":
            return None
        seconds = self._settings.download_url_seconds
        return Audio(
            url=self._audio.sign_get(recording, seconds),
            # A signature has whole seconds.
            expires_at=self._clock().replace(microsecond=0) + timedelta(seconds=seconds),
        )

    def revise(
        self, user_id: str, recording_id: str, change: RecordingChange, version: int | None
    ) -> StoredRecording:
        """Change what people say about a recording; NotFound.

        VersionConflict when `version` is given and the recording has another by now.
        """
        changes = {
            field: cast(str | list[str] | None, value)
            for field in change.__struct_fields__
            if (value := getattr(change, field)) is not UNSET
        }
        if changes:
            now = self._clock()
            revised = self._recordings.revise(user_id, recording_id, changes, version, now)
            if revised:
                return revised
        recording = self.find(user_id, recording_id)
        if version not in (None, recording.version):
            raise VersionConflict(f"The recording is at version {recording.version}")
        if changes:
            raise Unavailable("The recording keeps changing")
        return recording

    def delete(self, user_id: str, recording_id: str) -> None:
        """Delete a recording for good, or roll an upload back; deleting again changes nothing.

        The database goes first: from then on the recording is gone, and the tombstone that took
        its place says what S3 still has. NotFound when there never was such a recording.
        """
        self._settle(self._buried(user_id, recording_id))

    def _buried(self, user_id: str, recording_id: str) -> Tombstone:
        for _ in range(WRITE_ATTEMPTS):
            standing = self._recordings.find(user_id, recording_id)
            if standing is None:
                raise NotFound("There is no such recording")
            if isinstance(standing, Tombstone):
                return standing
            tombstone = self._tombstone(standing)
            if self._recordings.bury(standing, tombstone):
                return tombstone
        raise Unavailable("The recording keeps changing")

    def _tombstone(self, recording: StoredRecording) -> Tombstone:
        now = self._clock()
        return Tombstone(
            id=recording.id,
            user_id=recording.user_id,
            updated_at=now,
            version=recording.version + 1,
            owes=["uploads", "recordings"],
            # A completion that begins after the recording is ready copies nothing any more.
            due_at=(recording.completed_at or now) + LONGEST_FUNCTION,
        )

    def _settle(self, tombstone: Tombstone) -> None:
        """Pay what the tombstone owes; what fails stays owed, and is no failure of the caller's.

        Before `due_at` nothing is paid for certain, so the tombstone goes on owing until then.
        """
        now = self._clock()
        erase = partial(self._audio.erase, tombstone.user_id, tombstone.id)
        paid = [_succeeds(partial(erase, store), tombstone) for store in tombstone.owes]
        if all(paid) and tombstone.due_at and tombstone.due_at <= now:
            _succeeds(partial(self._recordings.settle, tombstone, now + TOMBSTONE_LIFE), tombstone)


def live(recordings: RecordingStore, user_id: str, recording_id: str) -> StoredRecording:
    """The recording under an id; NotFound when there is none, or only a tombstone."""
    recording = recordings.find(user_id, recording_id)
    if recording is None or isinstance(recording, Tombstone):
        raise NotFound("There is no such recording")
    return recording


def _succeeds(payment: Callable[[], None], tombstone: Tombstone) -> bool:
    try:
        payment()
    except (Unavailable, InternalError) as error:
        log.warning("%s is deleted but goes on owing: %s", tombstone.id, error)
        return False
    return True
