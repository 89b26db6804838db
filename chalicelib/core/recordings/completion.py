"""Completion: from bytes that were sent to a ready recording, whoever notices that they were."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec import Struct

from chalicelib import telemetry
from chalicelib.core.ports import Clock, Stores
from chalicelib.core.recordings.library import LISTENED_TO_BY, found, live
from chalicelib.core.recordings.multipart import Multipart
from chalicelib.core.recordings.promotion import Promotion
from chalicelib.errors import (
    InternalError,
    NotFound,
    NotReady,
    Unavailable,
    UploadIncomplete,
    UploadMismatch,
)
from chalicelib.models.entities import Standing, StoredObject, StoredRecording
from chalicelib.models.requests import CompletedPart

log = logging.getLogger(__name__)


class Completion(Struct, frozen=True):
    """How an upload ends well."""

    stores: Stores
    multipart: Multipart
    promotion: Promotion
    clock: Clock

    def complete(
        self, standing: Standing | None, named: Sequence[CompletedPart] = ()
    ) -> StoredRecording:
        """Check the bytes that arrived, move them to where recordings stay, mark it ready.

        Completing what is ready changes nothing. UploadIncomplete when there are no bytes yet,
        UploadMismatch when they are not what was announced; either way the upload can go on.
        """
        recording = found(standing)
        if recording.status == "uploading":
            recording = self.finish(recording, named)
        if recording.status != "ready":
            raise NotReady("The recording is in the trash")
        return recording

    def notice(self, user_id: str, recording_id: str, etag: str) -> None:
        """Complete the upload that an object in the uploads bucket belongs to.

        An object of a recording that waits for none, any more or at all, is deleted. What cannot
        be completed is left as it is: its app, which may well call by itself, has to hear why.
        """
        recording = self.stores.recordings.find(user_id, recording_id)
        if not isinstance(recording, StoredRecording) or recording.status != "uploading":
            return self.stores.uploads.discard(user_id, recording_id, etag)
        try:
            self.finish(recording, discards=False)
        except (UploadIncomplete, UploadMismatch, NotFound) as error:
            log.info("%s is not completed: %s", recording_id, error.detail)

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
        kept = self._kept(uploading, named, discards)
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

    def _kept(
        self, uploading: StoredRecording, named: Sequence[CompletedPart], discards: bool
    ) -> StoredObject:
        incomplete = UploadIncomplete("The bytes have not arrived yet")
        if uploading.upload_method == "multipart":
            try:
                self.multipart.assemble(uploading, named)
            except UploadIncomplete as error:
                incomplete = error  # Unless they were assembled before.
        if kept := self.promotion.promote(uploading, discards=discards):
            return kept
        # What was deleted meanwhile is NotFound.
        live(self.stores.recordings, uploading.user_id, uploading.id)
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
            self.stores.uploads.delete([recording.key])
            if recording.may_have_parts:
                for upload in self.stores.parts.under_way(user_id, id):
                    self.stores.parts.abort(*upload)
        except (Unavailable, InternalError) as error:
            log.warning("%s stays in the uploads bucket until it expires: %s", id, error)
