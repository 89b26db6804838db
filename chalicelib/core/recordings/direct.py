"""Direct uploads: a small recording, whole, in one request through the API."""

from __future__ import annotations

import hashlib

from msgspec import Struct, structs

from chalicelib.core.recordings.announcing import Announcing, of_one_kind
from chalicelib.core.recordings.completion import Completion
from chalicelib.errors import InvalidRequest, TooLarge
from chalicelib.models.entities import Account, StoredRecording
from chalicelib.models.requests import DirectUpload, NewRecording
from chalicelib.settings import Settings


class DirectUploads(Struct, frozen=True):
    """The use case of direct uploads."""

    announcing: Announcing
    completion: Completion
    settings: Settings

    def receive(
        self,
        account: Account,
        recording_id: str,
        told: DirectUpload,
        content_type: str,
        body: bytes,
    ) -> tuple[StoredRecording, bool]:
        """Take a small recording whole, of a type that is taken; says also if that made it ready.

        The same bytes again find the recording they made, and one that was announced is sent by
        it. IdConflict when the id belongs to other bytes, NotFound when its recording was deleted;
        TooLarge, QuotaExceeded, and InvalidRequest for no bytes.
        """
        self._check_body(body)
        sha256 = hashlib.sha256(body).hexdigest()
        new = NewRecording(
            id=recording_id,
            file_name=told.file_name,
            content_type=content_type,
            size=len(body),
            sha256=sha256,
            recorded_at=told.recorded_at,
            duration_ms=told.duration_ms,
            tags=told.tag,
            notes=told.notes,
        )
        announced = self.announcing.announced(account.id, new)
        announced = structs.replace(announced, upload_method="direct")
        [(recording, _)] = self.announcing.place(account, [(new, announced)], _same_bytes)
        if recording.status != "uploading":
            return recording, False
        return self.completion.keep(recording, body, sha256)

    def _check_body(self, body: bytes) -> None:
        if not body:
            raise InvalidRequest("The body has no bytes", field="body")
        if len(body) > self.settings.direct_upload_bytes:
            raise TooLarge(
                f"At most {self.settings.direct_upload_bytes} bytes are taken this way. Announce "
                "a larger recording with POST /recordings and send it straight to S3",
                field="body",
            )


def _same_bytes(standing: StoredRecording, announced: StoredRecording) -> bool:
    if standing.status == "uploading" and (standing.sha256 is None or standing.in_pieces):
        # Its hash was not announced: these bytes settle it. What comes in pieces comes only so.
        return of_one_kind(standing, announced)
    return (standing.sha256, standing.size) == (announced.sha256, announced.size)
