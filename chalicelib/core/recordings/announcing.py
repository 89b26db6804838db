"""Announcing: a recording begins its life before its bytes arrive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from chalicelib import telemetry
from chalicelib.core.ports import Clock, NewId, RecordingStore, Standing
from chalicelib.core.recordings.multipart import part_size
from chalicelib.core.recordings.sending import Sending
from chalicelib.errors import IdConflict, NotFound, TooLarge, Unavailable, UnsupportedMediaType
from chalicelib.models.answers import BegunUpload
from chalicelib.models.entities import Account, StoredRecording, Tombstone, Unreadable
from chalicelib.models.fields import AUDIO_TYPES
from chalicelib.models.requests import NewRecording
from chalicelib.settings import Settings

# Each attempt past the first means that another call changed one of the recordings meanwhile.
ATTEMPTS = 4

Matches = Callable[[StoredRecording, StoredRecording], bool]


class Announcing(Struct, frozen=True):
    """The use cases of announcing recordings."""

    recordings: RecordingStore
    sending: Sending
    settings: Settings
    clock: Clock
    new_id: NewId

    def begin(self, account: Account, new: NewRecording) -> tuple[BegunUpload, bool]:
        """Announce a recording, and say how to send its bytes; says also whether that is news.

        The same announcement again finds the recording it made. IdConflict when the id belongs
        to something else, NotFound when its recording was deleted; UnsupportedMediaType,
        TooLarge, QuotaExceeded, TooManyAttempts.
        """
        [(recording, is_news)] = self.place(
            account, [self.announced(account.id, new)], _same_announcement
        )
        return self.sending.begin(recording), is_news

    def begin_all(self, account: Account, new: list[NewRecording]) -> list[BegunUpload]:
        """Announce recordings as `begin` does, all of them or none."""
        paths = [f"recordings[{index}]." for index in range(len(new))]
        announced = [
            self.announced(account.id, each, path) for each, path in zip(new, paths, strict=True)
        ]
        placed = self.place(account, announced, _same_announcement, paths)
        return [self.sending.begin(recording) for recording, _ in placed]

    def announced(self, user_id: str, new: NewRecording, path: str = "") -> StoredRecording:
        """What is announced, as it would be stored; `path` leads to it in the request."""
        check_type(new.content_type, f"{path}content_type")
        if new.size > self.settings.max_recording_bytes:
            most = self.settings.max_recording_bytes
            raise TooLarge(f"A recording has at most {most} bytes", field=f"{path}size")
        now = self.clock()
        return StoredRecording(
            id=new.id or self.new_id(),
            user_id=user_id,
            file_name=new.file_name,
            content_type=new.content_type,
            size=new.size,
            sha256=new.sha256,
            duration_ms=new.duration_ms,
            recorded_at=new.recorded_at,
            tags=new.tags or [],
            notes=new.notes,
            upload_method=new.upload_method or "put",
            part_size=part_size(new.size) if new.upload_method == "multipart" else None,
            fingerprint=_fingerprint(new),
            status="uploading",
            created_at=now,
            updated_at=now,
            upload_expires_at=now + self.sending.life,
            version=1,
        )

    def place(
        self,
        account: Account,
        announced: list[StoredRecording],
        matches: Matches,
        paths: Sequence[str] = ("",),
    ) -> list[tuple[StoredRecording, bool]]:
        """Add the recordings that are not there yet, all of them or none.

        Says of each what stands then, and whether that is news. What is there already must match
        what is announced, or it is an IdConflict; `paths` lead to each in the request.
        """
        placed = [(recording, True) for recording in announced]
        for _ in range(ATTEMPTS):
            new = [recording for recording, is_new in placed if is_new]
            try:
                if new:
                    self.recordings.add(account, new, self.settings.quota, self.clock())
                    telemetry.count(uploads_begun=len(new))
            except IdConflict:
                there = self.recordings.find_all((each.user_id, each.id) for each in announced)
                placed = [
                    _placed(recording, there.get((recording.user_id, recording.id)), matches, path)
                    for recording, path in zip(announced, paths, strict=True)
                ]
            else:
                return placed
        raise Unavailable("The recordings keep changing")


def _placed(
    announced: StoredRecording, standing: Standing | None, matches: Matches, path: str
) -> tuple[StoredRecording, bool]:
    """What is to stand under an announced recording's id, and whether it has to be added."""
    if standing is None:
        return announced, True
    if isinstance(standing, Tombstone):
        if not standing.expired:
            raise NotFound("The recording was deleted", field=f"{path}id")
        version = standing.version + 1
        return msgspec.structs.replace(announced, version=version, begun_again=True), True
    if isinstance(standing, Unreadable) or not matches(standing, announced):
        raise IdConflict(f"Another recording has the id {announced.id}", field=f"{path}id")
    return standing, False


def check_type(content_type: str, field: str) -> None:
    """UnsupportedMediaType, unless recordings may have this type."""
    if content_type not in AUDIO_TYPES:
        raise UnsupportedMediaType(
            f"Use one of {', '.join(AUDIO_TYPES)}, without parameters", field=field
        )


def _fingerprint(new: NewRecording) -> str:
    """What announcements that say the same have in common, with an id of the phone's or ours."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(new, id=None))).hexdigest()


def _same_announcement(standing: StoredRecording, announced: StoredRecording) -> bool:
    return standing.fingerprint == announced.fingerprint
