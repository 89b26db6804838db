"""Announcing: a recording begins its life before its bytes arrive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct, structs

from chalicelib import telemetry
from chalicelib.core.ports import Clock, NewId, RecordingStore
from chalicelib.core.recordings.multipart import part_size
from chalicelib.core.recordings.sending import Sending
from chalicelib.errors import IdConflict, NotFound, TooLarge, Unavailable, UnsupportedMediaType
from chalicelib.models import media_types
from chalicelib.models.answers import BegunUpload
from chalicelib.models.entities import (
    Account,
    Standing,
    StoredRecording,
    Tombstone,
    Unreadable,
)
from chalicelib.models.fields import LARGEST_WHOLE, Told
from chalicelib.models.requests import NewRecording
from chalicelib.settings import Settings

# Each attempt past the first means that another call changed one of the recordings meanwhile.
ATTEMPTS = 4
# What an announcement says that tells one recording from another in no way.
TOLD = "file_name", "recorded_at", "duration_ms", "tags", "notes"

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

        The same announcement again finds the recording it made, and revises it: see `place`.
        IdConflict when the id belongs to something else, NotFound when its recording was deleted;
        UnsupportedMediaType, TooLarge, QuotaExceeded, TooManyAttempts.
        """
        [(recording, is_news)] = self.place(account, [(new, self.announced(account.id, new))], same)
        return self.sending.begin(recording), is_news

    def begin_all(self, account: Account, new: list[NewRecording]) -> list[BegunUpload]:
        """Announce recordings as `begin` does, all of them or none."""
        paths = [f"recordings[{index}]." for index in range(len(new))]
        announced = [
            (each, self.announced(account.id, each, path))
            for each, path in zip(new, paths, strict=True)
        ]
        placed = self.place(account, announced, same, paths)
        return [self.sending.begin(recording, len(placed)) for recording, _ in placed]

    def announced(self, user_id: str, new: NewRecording, path: str = "") -> StoredRecording:
        """What is announced, as it would be stored; `path` leads to it in the request."""
        if not media_types.is_of_sound(new.content_type):
            raise UnsupportedMediaType(
                f"Use audio/... or one of {', '.join(media_types.OF_RECORDERS)}",
                field=f"{path}content_type",
            )
        size = new.size or 0  # A live one has none yet.
        if size > self.settings.max_recording_bytes:
            most = self.settings.max_recording_bytes
            raise TooLarge(f"A recording has at most {most} bytes", field=f"{path}size")
        now = self.clock()
        method = new.upload_method or ("multipart" if size > LARGEST_WHOLE else "put")
        announced = StoredRecording(
            id=new.id or self.new_id(),
            user_id=user_id,
            file_name=new.file_name,
            content_type=new.content_type,
            size=size,
            sha256=new.sha256,
            duration_ms=new.duration_ms,
            recorded_at=new.recorded_at,
            tags=new.tags or [],
            notes=new.notes,
            upload_method=method,
            part_size=part_size(size) if method == "multipart" else None,
            fingerprint=_fingerprint(new),
            status="uploading",
            created_at=now,
            updated_at=now,
            version=1,
        )
        return structs.replace(announced, upload_expires_at=self.sending.until(announced, now))

    def place(
        self,
        account: Account,
        announced: list[tuple[NewRecording, StoredRecording]],
        matches: Matches,
        paths: Sequence[str] = ("",),
    ) -> list[tuple[StoredRecording, bool]]:
        """Add the recordings that are not there yet, all of them or none.

        Says of each what stands then, and whether that is news. What is there already must match
        what is announced, or it is an IdConflict; `paths` lead to each in the request. What else
        is said of it then revises it, while it is an upload that its owner has not changed.
        """
        placed = self._placed(account, [recording for _, recording in announced], matches, paths)
        return [
            (standing, True)
            if is_news
            else (self._revised(standing, new, recording, matches), False)
            for (standing, is_news), (new, recording) in zip(placed, announced, strict=True)
        ]

    def _placed(
        self,
        account: Account,
        announced: list[StoredRecording],
        matches: Matches,
        paths: Sequence[str],
    ) -> list[tuple[StoredRecording, bool]]:
        placed = [(recording, True) for recording in announced]
        for _ in range(ATTEMPTS):
            new = [recording for recording, is_new in placed if is_new]
            try:
                if new:
                    self.recordings.add(account, new, self.settings.quota, self.clock())
                    telemetry.count(uploads_begun=len(new))
            except IdConflict:
                placed = self._standing(announced, matches, paths)
            else:
                return placed
        raise Unavailable("The recordings keep changing")

    def _standing(
        self, announced: list[StoredRecording], matches: Matches, paths: Sequence[str] = ("",)
    ) -> list[tuple[StoredRecording, bool]]:
        """What is to stand under their ids, and whether each has to be added."""
        there = self.recordings.find_all((each.user_id, each.id) for each in announced)
        return [
            _placed(each, there.get((each.user_id, each.id)), matches, f"{path}id")
            for each, path in zip(announced, paths, strict=True)
        ]

    def _revised(
        self,
        standing: StoredRecording,
        new: NewRecording,
        announced: StoredRecording,
        matches: Matches,
    ) -> StoredRecording:
        """The recording that stands, once what `new` says of it is noted."""
        for _ in range(ATTEMPTS):
            revised: StoredRecording | None = standing
            if standing.status == "uploading" and new.sha256 and not standing.sha256:
                revised = self.recordings.settle_hash(standing, new.sha256)
            if revised and (changes := _revision(revised, new)):
                revised = self.recordings.announce_again(revised, changes, self.clock())
            if revised:
                return revised
            [(standing, is_gone)] = self._standing([announced], matches)
            if is_gone:
                break
        raise Unavailable("The recording keeps changing")


def _placed(
    announced: StoredRecording, standing: Standing | None, matches: Matches, field: str
) -> tuple[StoredRecording, bool]:
    if standing is None:
        return announced, True
    if isinstance(standing, Tombstone):
        if not standing.expired:
            raise NotFound("The recording was deleted", field=field)
        version = standing.version + 1
        again = {"version": version, "announced_version": version, "begun_again": True}
        return structs.replace(announced, **again), True
    if isinstance(standing, Unreadable) or not matches(standing, announced):
        raise IdConflict(f"Another recording has the id {announced.id}", field=field)
    return standing, False


def same(standing: StoredRecording, announced: StoredRecording) -> bool:
    """Whether two announcements are of the same bytes: of one size, type and hash."""
    if standing.fingerprint == announced.fingerprint:
        return True
    # A hash may be known of it only since. And earlier versions made another fingerprint.
    is_known_since = standing.status != "uploading" and announced.sha256 is None
    return of_one_kind(standing, announced) and (
        standing.sha256 == announced.sha256 or is_known_since
    )


def of_one_kind(standing: StoredRecording, announced: StoredRecording) -> bool:
    """Whether two recordings have the same size and type, as far as either is known."""
    if standing.status == "uploading" and standing.in_pieces != announced.in_pieces:
        return False
    same_type = media_types.same(standing.content_type, announced.content_type)
    return same_type and standing.size == announced.size


def _revision(standing: StoredRecording, new: NewRecording) -> dict[str, Told]:
    """What an announcement changes of a recording that stands: only what it says."""
    if standing.status != "uploading" or standing.version != standing.announced_version:
        return {}
    changes: dict[str, Told] = {
        field: told
        for field in TOLD
        if (told := getattr(new, field)) not in (None, getattr(standing, field))
    }
    if new.upload_method not in (None, standing.upload_method):
        in_parts = new.upload_method == "multipart"
        changes["upload_method"] = new.upload_method
        changes["part_size"] = part_size(standing.size) if in_parts else None
        changes["begun_again"] = standing.may_have_parts
    return changes


def _fingerprint(new: NewRecording) -> str:
    """What announcements of the same bytes have in common."""
    return hashlib.sha256(msgspec.json.encode((new.size, new.content_type, new.sha256))).hexdigest()
