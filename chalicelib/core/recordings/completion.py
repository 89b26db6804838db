"""Completion: from bytes that were sent to a ready recording, whoever notices that they were."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from msgspec import Struct

from chalicelib import telemetry
from chalicelib.core.ports import Clock, Stores
from chalicelib.core.recordings.library import LISTENED_TO_BY, found, live
from chalicelib.core.recordings.live_uploads import LiveUploads
from chalicelib.core.recordings.multipart import Multipart
from chalicelib.core.recordings.promotion import Promotion
from chalicelib.errors import (
    InternalError,
    InvalidRequest,
    NotFound,
    NotReady,
    Unavailable,
    UploadIncomplete,
    UploadMismatch,
)
from chalicelib.models.entities import Keyed, Standing, StoredObject, StoredRecording
from chalicelib.models.requests import CompletedPart
from chalicelib.models.requests import Completion as Told

log = logging.getLogger(__name__)


class Completion(Struct, frozen=True):
    """How an upload ends well."""

    stores: Stores
    multipart: Multipart
    live_uploads: LiveUploads
    promotion: Promotion
    clock: Clock

    def complete(self, standing: Standing | None, told: Told) -> StoredRecording:
        """Check the bytes that arrived, move them to where recordings stay, mark it ready.

        Completing what is ready changes nothing. UploadIncomplete when there are no bytes yet,
        UploadMismatch when they are not what was announced; either way the upload can go on, unless
        it is a live one that is ready. What is still uploading is being put together, which a job
        goes on with.
        """
        recording = found(standing)
        if not recording.in_pieces and (told.size or told.sha256):
            wrong = "size" if told.size else "sha256"
            raise InvalidRequest("Told when the recording is announced", field=wrong)
        if recording.status == "uploading" and recording.in_pieces:
            recording = self.live_uploads.end(recording, told.size, told.sha256)
            recording = self._put_together(recording, again=False)
        elif recording.status == "uploading":
            recording = self._finished(recording, told.parts or ())
        if recording.status == "trashed":
            raise NotReady("The recording is in the trash")
        if recording.in_pieces and recording.status == "ready":
            self.live_uploads.check_told(recording, told.size, told.sha256)
        return recording

    def notice(self, arrived: Keyed, key: str, etag: str) -> None:
        """Complete the upload that an object in the uploads bucket belongs to.

        An object of a recording that waits for none, any more or at all, is deleted. What cannot
        be completed is left as it is: its app, which may well call by itself, has to hear why.
        """
        recording = self.stores.recordings.find(arrived.user_id, arrived.id)
        if not isinstance(recording, StoredRecording) or not recording.waits_for(key):
            return self.stores.uploads.discard(key, etag)
        # Of a live one the last piece alone, which has no bytes: others wait for that.
        if recording.in_pieces and not recording.ends_with(key):
            return None
        try:
            self.finish(recording, discards=False)
        except (UploadIncomplete, UploadMismatch, NotFound) as error:
            log.info("%s is not completed: %s", arrived.id, error.detail)
        return None

    def end(self, upload: StoredRecording) -> StoredRecording:
        """What `finish` does of an upload whose time is over; its state may be any by the end.

        A live one is ended with what has arrived of it. UploadIncomplete when that is nothing.
        """
        if not upload.in_pieces:
            return self.finish(upload)
        ended = self.live_uploads.fall_silent(upload)
        try:
            return self._put_together(ended, again=True)
        except (UploadIncomplete, UploadMismatch) as error:
            raise Unavailable(f"Its pieces are not put together: {error.detail}") from error

    def finish(
        self,
        uploading: StoredRecording,
        named: Sequence[CompletedPart] = (),
        *,
        discards: bool = True,
    ) -> StoredRecording:
        """What `complete` does, of an upload under way; its state may be any by the end.

        Unless it `discards`, bytes that are not what was announced stay where they are.
        """
        try:
            kept = self._kept(uploading, named, discards)
        except UploadMismatch:
            if uploading.in_pieces:
                # Of its pieces nothing is lost. An app that does not hear of it here is told later.
                self.live_uploads.take_up_again(uploading, None if discards else uploading.sha256)
            raise
        # Not the one that was announced, if the store computes none: nobody has compared it.
        recording, _ = self._mark_ready(uploading, kept.sha256)
        self._tidy(recording)
        return recording

    def keep(
        self, recording: StoredRecording, body: bytes, sha256: str
    ) -> tuple[StoredRecording, bool]:
        """Make a recording ready with these bytes; says also whether that was news."""
        self.promotion.keep(recording, body, sha256)
        ready, is_news = self._mark_ready(recording, sha256)
        if recording.upload_method != "direct" or recording.begun_again:
            self._tidy(ready)
        return ready, is_news

    def _put_together(self, ended: StoredRecording, *, again: bool) -> StoredRecording:
        """Have a live upload that has ended be finished: now if it is short, or by a job."""
        if ended.status != "uploading" or not ended.ended_at:
            return ended
        if self.live_uploads.is_short(ended):
            return self._finished(ended)
        self.stores.pieces.put_last(ended, again=again)
        return ended

    def _finished(
        self, uploading: StoredRecording, named: Sequence[CompletedPart] = ()
    ) -> StoredRecording:
        """What `finish` does; NotFound for what is not all there because it was deleted."""
        try:
            return self.finish(uploading, named)
        except UploadIncomplete:
            live(self.stores.recordings, uploading.user_id, uploading.id)
            raise

    def _kept(
        self, uploading: StoredRecording, named: Sequence[CompletedPart], discards: bool
    ) -> StoredObject:
        incomplete = UploadIncomplete("The bytes have not arrived yet")
        if uploading.upload_method == "multipart":
            try:
                self.multipart.assemble(uploading, named)
            except UploadIncomplete as error:
                incomplete = error  # Unless they were assembled before.
        if uploading.in_pieces:
            self.live_uploads.assemble(uploading)
            discards = True  # It is made of pieces, which stay.
        if kept := self.promotion.promote(uploading, discards=discards):
            return kept
        raise incomplete

    def _mark_ready(
        self, recording: StoredRecording, sha256: str | None
    ) -> tuple[StoredRecording, bool]:
        now = self.clock()
        ready = self.stores.recordings.mark_ready(recording, sha256, now, now + LISTENED_TO_BY)
        if ready:
            telemetry.count(uploads_completed=1, bytes_completed=ready.size)
            return ready, True
        # Completed by somebody else, or deleted, and then its tombstone owes what we kept.
        standing = live(self.stores.recordings, recording.user_id, recording.id)
        if standing.status == "uploading":
            raise Unavailable("Another upload has taken the place of this one")
        return standing, False

    def _tidy(self, recording: StoredRecording) -> None:
        user_id, id = recording.user_id, recording.id
        try:
            pieces: Iterable[str] = ()
            if recording.may_have_parts:
                for upload in self.stores.parts.under_way(user_id, id):
                    self.stores.parts.abort(*upload)
                pieces = self.stores.uploads.keys(user_id, id)
            self.stores.uploads.delete([recording.key, *pieces])
        except (Unavailable, InternalError) as error:
            log.warning("%s stays in the uploads bucket until it expires: %s", id, error)
