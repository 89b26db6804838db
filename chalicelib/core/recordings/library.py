"""The library: finding, listing, changing and playing recordings, and following what changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import cast

from msgspec import UNSET, Struct

from chalicelib.core.ports import Clock, RecordingStore, Stores
from chalicelib.core.recordings.search import EVERYTHING, Wanted
from chalicelib.errors import InternalError, NotFound, NotReady, Unavailable, VersionConflict
from chalicelib.models.answers import Audio, RecordingPage, Waveform
from chalicelib.models.entities import Standing, StoredRecording, Tombstone, Unreadable
from chalicelib.models.fields import Told, end_of_url
from chalicelib.models.requests import RecordingChange, ShelfQuery
from chalicelib.settings import Settings

# Each attempt past the first means that another device wrote between our read and our write.
WRITE_ATTEMPTS = 10
# When upkeep has somebody listen to a recording that is ready, if S3's event has had nobody.
LISTENED_TO_BY = timedelta(minutes=5)
# When to ask again for what is known within seconds.
SECONDS_TO_LISTEN = 2


class Library(Struct, frozen=True):
    """The use cases of recordings that have begun their life."""

    stores: Stores
    settings: Settings
    clock: Clock

    def find(self, standing: Standing | None) -> StoredRecording:
        """The recording that a call names; NotFound, also once it is deleted."""
        return found(standing)

    def shelf(self, user_id: str, query: ShelfQuery) -> RecordingPage:
        """A page of one shelf; of what is wanted of it, one may be short and not the last."""
        after = None if query.after is UNSET else query.after
        wanted = Wanted.by(query)
        if wanted != EVERYTHING:
            recordings, following = self.stores.shelves.search(
                user_id, query.status, wanted.matches, query.limit, after, query.order == "desc"
            )
            return RecordingPage(recordings=recordings, next=following)
        found = self.stores.shelves.page(
            user_id, query.status, query.limit + 1, after, query.order == "desc"
        )
        page = found[: query.limit]
        following = page[-1].id if len(found) > query.limit else None
        return RecordingPage(recordings=page, next=following)

    def waveform(self, standing: Standing | None) -> Waveform:
        """The waveform of a recording; NotReady until it is known, NotFound when it has none."""
        recording = found(standing)
        if not recording.sound:
            raise NotReady("Nobody has listened to the recording yet", seconds=SECONDS_TO_LISTEN)
        waveform = None
        if recording.sound.readable:
            waveform = self.stores.sounds.waveform(recording)
        if not waveform:
            raise NotFound("The recording has no sound that could be read")
        return waveform.seen()

    def audio(self, recording: StoredRecording) -> Audio | None:
        """Where the recording plays from now on; None unless it is ready."""
        if recording.status != "ready":
            return None
        seconds = self.settings.download_url_seconds
        return Audio(
            url=self.stores.audio.sign_get(recording, seconds),
            expires_at=end_of_url(self.clock(), seconds),
        )

    def revise(
        self, user_id: str, recording_id: str, change: RecordingChange, version: int | None
    ) -> StoredRecording:
        """Change what people say about a recording; NotFound.

        VersionConflict when `version` is given and the recording has another by now.
        """
        changes = {
            field: cast(Told, value)
            for field in change.__struct_fields__
            if (value := getattr(change, field)) is not UNSET
        }
        for _ in range(WRITE_ATTEMPTS):
            now = self.clock()
            if changes and (
                revised := self.stores.recordings.revise(
                    user_id, recording_id, changes, version, now
                )
            ):
                return revised
            # What stands there now may have been announced since.
            recording = live(self.stores.recordings, user_id, recording_id)
            check_version(recording, version)
            if not changes:
                return recording
        raise Unavailable("The recording keeps changing")


def live(recordings: RecordingStore, user_id: str, recording_id: str) -> StoredRecording:
    """The recording under an id; NotFound when there is none, or only a tombstone."""
    return found(recordings.find(user_id, recording_id))


def found(standing: Standing | None) -> StoredRecording:
    """What stands under an id, if it is a recording; NotFound."""
    if standing is None or isinstance(standing, Tombstone):
        raise NotFound("There is no such recording")
    if isinstance(standing, Unreadable):
        raise InternalError("What stands under this id cannot be read")
    return standing


def seen_anew(recordings: RecordingStore, standing: Standing | None) -> Iterator[Standing | None]:
    """What stands under an id: as the call found it, and for each further attempt anew."""
    yield standing
    for _ in range(WRITE_ATTEMPTS - 1):
        if standing:
            standing = recordings.find(standing.user_id, standing.id)
        yield standing


def check_version(recording: StoredRecording, version: int | None) -> None:
    """VersionConflict when a version is given and the recording has changed since.

    That it was listened to since is no such change: it takes nothing from what anybody said.
    """
    is_heard = recording.heard_version == recording.version
    if version not in (None, recording.version, recording.version - is_heard):
        raise VersionConflict(
            f"The recording is at version {recording.version}", current=recording.seen()
        )
