"""Sending: what a phone is told of how to send the bytes of an upload, and for how long."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct, structs

from chalicelib.core.ports import Clock, Stores
from chalicelib.core.recordings.completion import Completion
from chalicelib.core.recordings.library import found, live
from chalicelib.core.recordings.live_uploads import LiveUploads
from chalicelib.core.recordings.multipart import Multipart
from chalicelib.errors import NotFound, NotReady, UploadIncomplete, UploadMismatch
from chalicelib.models.answers import (
    BegunUpload,
    MultipartUpload,
    PartUpload,
    PostUpload,
    PutUpload,
    Upload,
)
from chalicelib.models.entities import Standing, StoredRecording
from chalicelib.models.fields import end_of_url
from chalicelib.settings import Settings


class Sending(Struct, frozen=True):
    """The use cases of sending bytes straight to S3."""

    stores: Stores
    multipart: Multipart
    live_uploads: LiveUploads
    completion: Completion
    settings: Settings
    clock: Clock

    def resume(self, standing: Standing | None) -> BegunUpload:
        """How to go on with an upload, which lives its whole time from now; NotFound.

        But for a live one, which is silent until something is announced or arrives.
        """
        return self._instructions(self.prolonged(found(standing), 1))

    def begin(self, recording: StoredRecording, together: int = 1) -> BegunUpload:
        """How to send what was announced; it gets its time again once half of it is over.

        `together` is how many recordings the answer is about.
        """
        return self._instructions(self._given_time(recording, 0.5), together)

    def part(self, standing: Standing | None, number: int) -> PartUpload:
        """Where to send one part, be it again.

        NotFound when there is no such part; NotReady when the recording is no upload any more.
        """
        recording = self.prolonged(found(standing), 0.5)
        if recording.status != "uploading":
            raise NotReady("The recording is not being uploaded any more")
        if recording.upload_method != "multipart":
            raise NotFound("The upload is not sent in parts")
        if not recording.upload_id:
            # What announced it died before S3 was told.
            begun = self.multipart.begin(recording)
            recording = begun or live(self.stores.recordings, recording.user_id, recording.id)
        signed = self.multipart.signed(recording, number, self.settings.upload_url_seconds)
        return PartUpload(**structs.asdict(signed), expires_at=self._end_of_urls())

    def prolonged(self, recording: StoredRecording, when_left: float) -> StoredRecording:
        """The recording, given its whole time again if no more than that part of it is left.

        Not a live one: asking how to send is no sign that anything is recorded.
        """
        return recording if recording.in_pieces else self._given_time(recording, when_left)

    def until(self, recording: StoredRecording, last_sign: datetime) -> datetime:
        """When an upload's time is over, if that was the last sign of its phone."""
        if recording.in_pieces:
            return self.live_uploads.until(recording, last_sign)
        return last_sign + timedelta(days=self.settings.upload_days)

    def _given_time(self, recording: StoredRecording, when_left: float) -> StoredRecording:
        now = self.clock()
        if recording.upload_expires_at is None or recording.ended_at:
            return recording
        until = self.until(recording, now)
        if recording.upload_expires_at - now > when_left * (until - now):
            return recording
        prolonged = self.stores.recordings.prolong(recording, until)
        return prolonged or live(self.stores.recordings, recording.user_id, recording.id)

    def _instructions(self, recording: StoredRecording, together: int = 1) -> BegunUpload:
        if recording.status != "uploading":
            return BegunUpload(recording=recording.seen(), upload=None)
        if recording.upload_method == "multipart":
            return self._in_parts(recording)
        if recording.in_pieces:
            pieces = self.live_uploads.instructions(recording, together)
            return BegunUpload(recording=recording.seen(), upload=pieces)
        seconds = self.settings.upload_url_seconds
        upload: Upload
        if recording.upload_method == "post":
            url, fields = self.stores.uploads.sign_post(recording, seconds)
            upload = PostUpload(url=url, fields=fields, expires_at=self._end_of_urls())
        else:
            url, headers = self.stores.uploads.sign_put(recording, seconds)
            upload = PutUpload(url=url, headers=headers, expires_at=self._end_of_urls())
        return BegunUpload(recording=recording.seen(), upload=upload)

    def _in_parts(self, recording: StoredRecording) -> BegunUpload:
        arrived = self.multipart.arrived(recording)
        if arrived is None and recording.upload_id:
            try:
                # S3 forgets an upload once it is an object, so all of it may have arrived.
                return self._instructions(self.completion.finish(recording))
            except (UploadIncomplete, UploadMismatch):
                pass  # Or it was given up after some weeks, or was not what was announced.
        if arrived is None:
            begun = self.multipart.begin(recording)
            if begun is None:
                # Another call was quicker: go on with what it began.
                return self._instructions(
                    live(self.stores.recordings, recording.user_id, recording.id)
                )
            recording, arrived = begun, []
        upload = MultipartUpload(
            part_size=recording.part_size or recording.size,
            parts=self.multipart.missing(recording, arrived, self.settings.upload_url_seconds),
            uploaded=arrived,
            expires_at=self._end_of_urls(),
        )
        return BegunUpload(recording=recording.seen(), upload=upload)

    def _end_of_urls(self) -> str:
        return end_of_url(self.clock(), self.settings.upload_url_seconds)
