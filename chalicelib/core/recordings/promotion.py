"""Promotion: how a recording's bytes come to where they stay, exactly once.

Whoever promotes may die between any two calls, and several may promote the same recording at once.
So each write is conditional, and what another one left is verified before it is relied on.
"""

from __future__ import annotations

from msgspec import Struct

from chalicelib.core.ports import Stores
from chalicelib.core.recordings.library import live
from chalicelib.errors import ObjectChanged, Unavailable, UploadMismatch
from chalicelib.models import media_types
from chalicelib.models.entities import StoredObject, StoredRecording

# Each attempt past the first means that the client or another completion changed an object
# between two of our calls. Nobody honest does that three times running.
ATTEMPTS = 4


class Promotion(Struct, frozen=True):
    """Moves bytes into the recordings bucket."""

    stores: Stores

    def promote(self, recording: StoredRecording, *, discards: bool = True) -> StoredObject | None:
        """Check what was uploaded, and copy it; says what the recordings bucket has then.

        None when nothing was uploaded. UploadMismatch when it is not what was announced; if this
        `discards`, it is removed then, and the upload can be tried again.
        """
        for _ in range(ATTEMPTS):
            uploaded = self.stores.uploads.find(recording)
            if uploaded is None:
                return self._kept_by_another(recording)
            if difference := _difference(recording, uploaded):
                raise self._mismatch(recording, uploaded, difference, discards)
            # Before another copy, because S3 may have finished one that nobody waited for any more.
            # Another one as long would never end in time either.
            if there := self._kept_by_another(recording):
                return there
            try:
                kept = self.stores.audio.promote(recording, uploaded)
            except ObjectChanged:
                continue  # Bytes were sent again, or kept by another: look at what is there now.
            if difference := _difference(recording, kept):
                self.stores.audio.discard(recording, kept)
                raise self._mismatch(recording, uploaded, difference, discards)
            return kept
        raise Unavailable("The upload keeps changing")

    def keep(self, recording: StoredRecording, body: bytes, sha256: str) -> None:
        """Put bytes that are known to be the recording's into the recordings bucket."""
        for _ in range(ATTEMPTS):
            try:
                return self.stores.audio.keep(recording, body, sha256)
            except ObjectChanged:
                if self._kept_by_another(recording):
                    return None
        raise Unavailable("The upload keeps changing")

    def _mismatch(
        self, recording: StoredRecording, uploaded: StoredObject, difference: str, discards: bool
    ) -> UploadMismatch:
        if discards:
            self._check_stands(recording)
            self.stores.uploads.discard(recording.key, uploaded.etag)
        return UploadMismatch(difference)

    def _kept_by_another(self, recording: StoredRecording) -> StoredObject | None:
        """What a completion that died half-way, or is under way, has kept of this recording."""
        kept = self.stores.audio.find(recording)
        if kept and (kept.upload != recording.upload_name or _difference(recording, kept)):
            self._check_stands(recording)
            self.stores.audio.discard(recording, kept)
            return None
        return kept

    def _check_stands(self, recording: StoredRecording) -> None:
        """Unavailable or NotFound unless an upload stands, and what was found there is its own.

        If it expired and began again since, that may be of the new one.
        """
        standing = live(self.stores.recordings, recording.user_id, recording.id)
        if (standing.status, standing.upload_name) != ("uploading", recording.upload_name):
            raise Unavailable("Another upload has taken the place of this one")


def _difference(recording: StoredRecording, there: StoredObject) -> str | None:
    """What makes an object other than what was announced, as a sentence."""
    if there.size != recording.whole_size:
        return f"{there.size} bytes arrived where {recording.whole_size} were announced"
    if not media_types.same(there.content_type, recording.content_type):
        return f"The bytes did not arrive as {recording.content_type}"
    if recording.sha256 and there.sha256 and there.sha256 != recording.sha256:
        return "The SHA-256 of what arrived is not the one announced"
    return None
