"""Uploads: how a recording is announced, and how its bytes are to be sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from chalicelib import telemetry
from chalicelib.core.ports import Clock, NewId, Stores
from chalicelib.core.recordings.completion import Completion
from chalicelib.core.recordings.library import live
from chalicelib.core.recordings.multipart import Multipart, part_size
from chalicelib.errors import (
    IdConflict,
    InvalidRequest,
    NotFound,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadMismatch,
)
from chalicelib.models.answers import BegunUpload, MultipartUpload, PostUpload, PutUpload, Upload
from chalicelib.models.entities import StoredRecording, Tombstone
from chalicelib.models.fields import AUDIO_TYPES
from chalicelib.models.requests import NewRecording
from chalicelib.settings import Settings

# Each attempt past the first means that another call changed one of the recordings meanwhile.
ATTEMPTS = 4

Matches = Callable[[StoredRecording, StoredRecording], bool]


class Uploads:
    """The use cases of uploads."""

    def __init__(
        self,
        stores: Stores,
        multipart: Multipart,
        completion: Completion,
        settings: Settings,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        """Take what the use cases stand on."""
        self._recordings = stores.recordings
        self._audio = stores.audio
        self._multipart = multipart
        self._completion = completion
        self._settings = settings
        self._clock = clock
        self._new_id = new_id

    def begin(self, user_id: str, new: NewRecording) -> tuple[BegunUpload, bool]:
        """Announce a recording, and say how to send its bytes; says also whether that is news.

        The same announcement again finds the recording it made. IdConflict when the id belongs
        to something else, NotFound when its recording was deleted; UnsupportedMediaType,
        TooLarge, QuotaExceeded.
        """
        [(recording, is_news)] = self._place([self._announced(user_id, new)], _same_announcement)
        return self._begun(self._prolonged(recording, 0.5)), is_news

    def begin_all(self, user_id: str, new: list[NewRecording]) -> list[BegunUpload]:
        """Announce recordings as `begin` does, all of them or none."""
        paths = [f"recordings[{index}]." for index in range(len(new))]
        announced = [
            self._announced(user_id, each, path) for each, path in zip(new, paths, strict=True)
        ]
        placed = self._place(announced, _same_announcement, paths)
        return [self._begun(self._prolonged(recording, 0.5)) for recording, _ in placed]

    def resume(self, user_id: str, recording_id: str) -> BegunUpload:
        """How to go on with an upload, which lives its whole time from now; NotFound."""
        recording = live(self._recordings, user_id, recording_id)
        return self._begun(self._prolonged(recording, 1))

    def receive(
        self, user_id: str, recording_id: str, file_name: str, content_type: str, body: bytes
    ) -> tuple[StoredRecording, bool]:
        """Take a small recording whole; says also whether that made it ready.

        The same bytes again find the recording they made. IdConflict when the id belongs to
        other bytes, NotFound when its recording was deleted; UnsupportedMediaType, TooLarge,
        QuotaExceeded, and InvalidRequest for no bytes.
        """
        _check_type(content_type, "content_type")
        self._check_body(body)
        sha256 = hashlib.sha256(body).hexdigest()
        new = NewRecording(
            id=recording_id,
            file_name=file_name,
            content_type=content_type,
            size=len(body),
            sha256=sha256,
        )
        announced = msgspec.structs.replace(self._announced(user_id, new), upload_method="direct")
        [(recording, _)] = self._place([announced], _same_bytes)
        if recording.status != "uploading":
            return recording, False
        return self._completion.keep(recording, body, sha256)

    def _announced(self, user_id: str, new: NewRecording, path: str = "") -> StoredRecording:
        """What is announced, as it would be stored; `path` leads to it in the request."""
        _check_type(new.content_type, f"{path}content_type")
        if new.size > self._settings.max_recording_bytes:
            most = self._settings.max_recording_bytes
            raise TooLarge(f"A recording has at most {most} bytes", field=f"{path}size")
        now = self._clock()
        return StoredRecording(
            id=new.id or self._new_id(),
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
            upload_expires_at=now + self._life,
            version=1,
        )

    def _place(
        self, announced: list[StoredRecording], matches: Matches, paths: Sequence[str] = ("",)
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
                    self._recordings.add(new, self._settings.quota_bytes)
                    telemetry.count(uploads_begun=len(new))
            except IdConflict:
                placed = [
                    self._standing(recording, matches, f"{path}id")
                    for recording, path in zip(announced, paths, strict=True)
                ]
            else:
                return placed
        raise Unavailable("The recordings keep changing")

    def _standing(
        self, announced: StoredRecording, matches: Matches, field: str
    ) -> tuple[StoredRecording, bool]:
        """What is to stand under an announced recording's id, and whether it has to be added."""
        standing = self._recordings.find(announced.user_id, announced.id)
        if standing is None:
            return announced, True
        if isinstance(standing, Tombstone):
            if not standing.expired:
                raise NotFound("The recording was deleted", field=field)
            version = standing.version + 1
            return msgspec.structs.replace(announced, version=version, begun_again=True), True
        if not matches(standing, announced):
            raise IdConflict(f"Another recording has the id {announced.id}", field=field)
        return standing, False

    def _begun(self, recording: StoredRecording) -> BegunUpload:
        if recording.status != "uploading":
            return BegunUpload(recording=recording.seen(), upload=None)
        if recording.upload_method == "multipart":
            return self._begun_in_parts(recording)
        seconds = self._settings.upload_url_seconds
        upload: Upload
        if recording.upload_method == "post":
            url, fields = self._audio.sign_post(recording, seconds)
            upload = PostUpload(url=url, fields=fields, expires_at=self._end_of_urls())
        else:
            url, headers = self._audio.sign_put(recording, seconds)
            upload = PutUpload(url=url, headers=headers, expires_at=self._end_of_urls())
        return BegunUpload(recording=recording.seen(), upload=upload)

    def _begun_in_parts(self, recording: StoredRecording) -> BegunUpload:
        arrived = self._multipart.arrived(recording)
        if arrived is None and recording.upload_id:
            try:
                # S3 forgets an upload once it is an object, so all of it may have arrived.
                return self._begun(self._completion.finish(recording))
            except (UploadIncomplete, UploadMismatch):
                pass  # Or it was given up after some weeks, or was not what was announced.
        if arrived is None:
            begun = self._multipart.begin(recording)
            if begun is None:
                # Another call was quicker: go on with what it began.
                return self._begun(live(self._recordings, recording.user_id, recording.id))
            recording, arrived = begun, []
        upload = MultipartUpload(
            part_size=recording.part_size or recording.size,
            parts=self._multipart.missing(recording, arrived, self._settings.upload_url_seconds),
            uploaded=arrived,
            expires_at=self._end_of_urls(),
        )
        return BegunUpload(recording=recording.seen(), upload=upload)

    def _end_of_urls(self) -> datetime:
        # A signature has whole seconds.
        now = self._clock().replace(microsecond=0)
        return now + timedelta(seconds=self._settings.upload_url_seconds)

    def _prolonged(self, recording: StoredRecording, when_left: float) -> StoredRecording:
        """The recording, given its whole time again if no more than that part of it is left."""
        now = self._clock()
        if recording.upload_expires_at is None:
            return recording
        if recording.upload_expires_at - now > when_left * self._life:
            return recording
        prolonged = self._recordings.prolong(recording, now + self._life)
        return prolonged or live(self._recordings, recording.user_id, recording.id)

    @property
    def _life(self) -> timedelta:
        return timedelta(days=self._settings.upload_days)

    def _check_body(self, body: bytes) -> None:
        if not body:
            raise InvalidRequest("The body has no bytes", field="body")
        if len(body) > self._settings.direct_upload_bytes:
            raise TooLarge(
                f"At most {self._settings.direct_upload_bytes} bytes are taken this way. Announce "
                "a larger recording with POST /recordings and send it straight to S3",
                field="body",
            )


def _fingerprint(new: NewRecording) -> str:
    """What announcements that say the same have in common, with an id of the phone's or ours."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(new, id=None))).hexdigest()


def _same_announcement(standing: StoredRecording, announced: StoredRecording) -> bool:
    return standing.fingerprint == announced.fingerprint


def _same_bytes(standing: StoredRecording, announced: StoredRecording) -> bool:
    return (standing.sha256, standing.size) == (announced.sha256, announced.size)


def _check_type(content_type: str, field: str) -> None:
    if content_type not in AUDIO_TYPES:
        raise UnsupportedMediaType(
            f"Use one of {', '.join(AUDIO_TYPES)}, without parameters", field=field
        )
