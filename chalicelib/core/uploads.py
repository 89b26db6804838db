"""Uploads: from an announcement to a ready recording, whichever call gets lost on the way."""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta

import msgspec

from chalicelib.core.library import live
from chalicelib.core.ports import AudioStore, Clock, NewId, RecordingStore
from chalicelib.core.promotion import Promotion
from chalicelib.errors import (
    IdConflict,
    InternalError,
    InvalidRequest,
    NotReady,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
    UploadIncomplete,
)
from chalicelib.models.answers import PostUpload, PutUpload, Upload
from chalicelib.models.entities import StoredRecording
from chalicelib.models.fields import AUDIO_TYPES
from chalicelib.models.requests import NewRecording
from chalicelib.settings import Settings

log = logging.getLogger(__name__)


class Uploads:
    """The use cases of uploads."""

    def __init__(
        self,
        recordings: RecordingStore,
        audio: AudioStore,
        settings: Settings,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        """Take what the use cases stand on."""
        self._recordings = recordings
        self._audio = audio
        self._promotion = Promotion(audio)
        self._settings = settings
        self._clock = clock
        self._new_id = new_id

    def begin(self, user_id: str, new: NewRecording) -> tuple[StoredRecording, bool]:
        """Announce a recording; says also whether that is news.

        The same announcement again finds the recording it made. IdConflict when the id belongs
        to something else, NotFound when its recording was deleted; UnsupportedMediaType,
        TooLarge, QuotaExceeded.
        """
        _check_type(new.content_type)
        if new.size > self._settings.max_recording_bytes:
            raise TooLarge(
                f"A recording has at most {self._settings.max_recording_bytes} bytes", field="size"
            )
        recording = self._announced(user_id, new)
        standing = self._add(recording)
        if standing is None:
            return recording, True
        if standing.fingerprint != recording.fingerprint:
            raise IdConflict("Another recording has this id", field="id")
        return standing, False

    def instructions(self, recording: StoredRecording) -> Upload | None:
        """How to send the recording's bytes, from now on; None when they have arrived."""
        if recording.status != "uploading":
            return None
        seconds = self._settings.upload_url_seconds
        # A signature has whole seconds.
        expires_at = self._clock().replace(microsecond=0) + timedelta(seconds=seconds)
        if recording.upload_method == "post":
            url, fields = self._audio.sign_post(recording, seconds)
            return PostUpload(url=url, fields=fields, expires_at=expires_at)
        url, headers = self._audio.sign_put(recording, seconds)
        return PutUpload(url=url, headers=headers, expires_at=expires_at)

    def complete(self, user_id: str, recording_id: str) -> StoredRecording:
        """Check the bytes that arrived, move them to where recordings stay, mark it ready.

        Completing what is ready changes nothing. UploadIncomplete when there are no bytes yet,
        UploadMismatch when they are not what was announced; either way the upload can go on.
        """
        recording = self._standing(user_id, recording_id)
        if recording.status == "uploading":
            recording = self._completed(recording)
        if recording.status != "ready":
            raise NotReady("The recording is in the trash")
        return recording

    def receive(
        self, user_id: str, recording_id: str, file_name: str, content_type: str, body: bytes
    ) -> tuple[StoredRecording, bool]:
        """Take a small recording whole; says also whether that made it ready.

        The same bytes again find the recording they made. IdConflict when the id belongs to
        other bytes, NotFound when its recording was deleted; UnsupportedMediaType, TooLarge,
        QuotaExceeded, and InvalidRequest for no bytes.
        """
        _check_type(content_type)
        self._check_body(body)
        sha256 = hashlib.sha256(body).hexdigest()
        new = NewRecording(
            id=recording_id,
            file_name=file_name,
            content_type=content_type,
            size=len(body),
            sha256=sha256,
        )
        recording = msgspec.structs.replace(self._announced(user_id, new), upload_method="direct")
        standing = self._add(recording)
        recording = standing or recording
        if (recording.sha256, recording.size) != (sha256, len(body)):
            raise IdConflict("Another recording has this id", field="id")
        if recording.status != "uploading":
            return recording, False
        self._promotion.keep(recording, body, sha256)
        ready, is_news = self._mark_ready(recording, sha256)
        if standing:
            self._tidy(ready)
        return ready, is_news

    def _completed(self, uploading: StoredRecording) -> StoredRecording:
        kept = self._promotion.promote(uploading)
        if kept is None:
            # What was deleted meanwhile is NotFound.
            self._standing(uploading.user_id, uploading.id)
            raise UploadIncomplete("The bytes have not arrived yet")
        # A store other than S3 may not hash; then what was announced is all that is known.
        recording, _ = self._mark_ready(uploading, kept.sha256 or uploading.sha256)
        if recording.status == "uploading":
            raise Unavailable("Another upload has taken the place of this one")
        self._tidy(recording)
        return recording

    def _announced(self, user_id: str, new: NewRecording) -> StoredRecording:
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
            fingerprint=hashlib.sha256(msgspec.json.encode(new)).hexdigest(),
            status="uploading",
            created_at=now,
            updated_at=now,
            upload_expires_at=now + timedelta(days=self._settings.upload_days),
            version=1,
        )

    def _add(self, recording: StoredRecording) -> StoredRecording | None:
        """Add a recording; what stood under its id already, if anything did."""
        try:
            self._recordings.add(recording, self._settings.quota_bytes)
        except IdConflict:
            return self._standing(recording.user_id, recording.id)
        return None

    def _standing(self, user_id: str, recording_id: str) -> StoredRecording:
        return live(self._recordings, user_id, recording_id)

    def _mark_ready(
        self, recording: StoredRecording, sha256: str | None
    ) -> tuple[StoredRecording, bool]:
        ready = self._recordings.mark_ready(recording, sha256, self._clock())
        if ready:
            return ready, True
        # Completed by somebody else, or deleted, and then its tombstone owes what we kept.
        return self._standing(recording.user_id, recording.id), False

    def _tidy(self, recording: StoredRecording) -> None:
        try:
            self._audio.erase(recording.user_id, recording.id, "uploads")
        except (Unavailable, InternalError) as error:
            log.warning("%s stays in the uploads bucket until it expires: %s", recording.id, error)

    def _check_body(self, body: bytes) -> None:
        if not body:
            raise InvalidRequest("The body has no bytes", field="body")
        if len(body) > self._settings.direct_upload_bytes:
            raise TooLarge(
                f"At most {self._settings.direct_upload_bytes} bytes are taken this way. Announce "
                "a larger recording with POST /recordings and send it straight to S3",
                field="body",
            )


def _check_type(content_type: str) -> None:
    if content_type not in AUDIO_TYPES:
        raise UnsupportedMediaType(
            f"Use one of {', '.join(AUDIO_TYPES)}, without parameters", field="content_type"
        )
