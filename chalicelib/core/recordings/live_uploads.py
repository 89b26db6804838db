"""Live uploads: what is sent while it is recorded, piece by piece, and put together at the end.

The item says how far the announcements go, and S3 which pieces arrived. Once nothing more is taken,
the upload is said to have ended: its size is known, and it is an upload like any other, whose bytes
have yet to be made one object.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from msgspec import Struct, structs

from chalicelib.core.ports import Clock, Stores
from chalicelib.core.recordings import slices
from chalicelib.core.recordings.library import found, live, seen_anew
from chalicelib.core.recordings.multipart import Multipart
from chalicelib.errors import (
    FieldError,
    InvalidRequest,
    NotReady,
    ObjectChanged,
    OffsetConflict,
    TooLarge,
    Unavailable,
    UploadIncomplete,
    UploadMismatch,
)
from chalicelib.models.answers import AnnouncedPieces, LiveUpload, SignedPiece, UploadedPart
from chalicelib.models.entities import Slice, Standing, StoredRecording
from chalicelib.models.fields import PIECE_BYTES, end_of_url
from chalicelib.models.requests import NewPieces
from chalicelib.settings import Settings

# Fifty-five hours in pieces of ten seconds. To list them takes S3 twenty calls.
MOST_PIECES = 20_000
# An answer of 2 MB, where the URLs are signed by a Lambda. The live ones of a batch share that.
MOST_MISSING = 1_000
# What is refused names no more than this.
MOST_NAMED = 100
# Beyond this what is behind a gap is not kept: a DynamoDB item has 400 kB.
MOST_GAPS = 10_000
# What is put together while its app waits: some ten calls, and a second.
FEW_PIECES, FEW_BYTES = 100, 16 * 1024 * 1024
# Lambda calls a job that failed twice more, and each run may take five minutes.
JOB = timedelta(minutes=20)
OTHER_BYTES = "The SHA-256 of what arrived is not the one announced"
# Each attempt past the first means that another one put the pieces together meanwhile, or that one
# of them went.
ATTEMPTS = 4


class LiveUploads(Struct, frozen=True):
    """The use cases of what is sent while it is recorded."""

    stores: Stores
    multipart: Multipart
    settings: Settings
    clock: Clock

    def announce(self, standing: Standing | None, new: NewPieces) -> AnnouncedPieces:
        """Announce pieces, and say how to send each straight to S3.

        What was announced before is signed again. NotFound; NotReady when no pieces are taken any
        more; OffsetConflict, TooLarge, QuotaExceeded.
        """
        for now_standing in seen_anew(self.stores.recordings, standing):
            recording = found(now_standing)
            if not recording.in_pieces:
                raise NotReady("The recording is not sent in pieces")
            if recording.status != "uploading" or recording.ended_at:
                raise NotReady("The recording takes no more pieces")
            if announced := self._announced(recording, new):
                return self._signed(announced, new)
        raise Unavailable("The recording keeps changing")

    def instructions(self, recording: StoredRecording, together: int = 1) -> LiveUpload:
        """Where the next piece begins, and what is missing of those before it.

        `together` is how many recordings the answer is about.
        """
        missing: list[SignedPiece] = []
        if recording.size and not recording.ended_at:
            arrived = slices.in_order(self.stores.pieces.arrived(recording))
            lacking = slices.cut(slices.gaps(arrived, recording.size), PIECE_BYTES)
            missing = [
                self._piece(recording, offset, size, None)
                for offset, size in islice(lacking, MOST_MISSING // together)
            ]
        return LiveUpload(offset=recording.size, missing=missing, expires_at=self._end_of_urls())

    def until(self, recording: StoredRecording, last_sign: datetime) -> datetime:
        """When a live upload ends by itself, if that was the last sign of its app.

        No later than S3 removes its first pieces.
        """
        silence = timedelta(seconds=self.settings.live_silence_seconds)
        longest = timedelta(days=4 * self.settings.upload_days)
        return min(last_sign + silence, recording.created_at + longest)

    def end(
        self, recording: StoredRecording, size: int | None, sha256: str | None
    ) -> StoredRecording:
        """Take what has arrived of a live upload for all there is; its state may be any by the end.

        InvalidRequest when nobody says how much that is. UploadIncomplete when it is less than
        that, UploadMismatch when it is more, or is not what it was said to be; either way the
        upload goes on.
        """
        if size is None:
            raise InvalidRequest("Say how many bytes were recorded", field="size")
        for _ in range(ATTEMPTS):
            if recording.status != "uploading" or recording.interrupted:
                return recording
            if recording.ended_at:
                return self._as_told(recording, size, sha256)
            self._check_refusal(recording, sha256)
            try:
                self._check_arrived(recording, size)
            except UploadIncomplete:
                seen, recording = recording, self._as_it_stands(recording)
                if _is_same(seen, recording):
                    raise
                continue  # Another one completed it, and its pieces are gone.
            ended = self._as_ended(recording, ended_size=size, sha256=sha256)
            if self.stores.recordings.end(recording, ended):
                return ended
            recording = self._as_it_stands(recording)
        raise Unavailable("The recording keeps changing")

    def check_told(self, ended: StoredRecording, size: int | None, sha256: str | None) -> None:
        """UploadIncomplete when one that has ended has less than is said of it.

        UploadMismatch when it has more, or another hash, as far as that is known.
        """
        kept = ended.whole_size
        if size is not None and size > kept:
            raise UploadIncomplete(f"It has ended with {kept} bytes, and takes no more")
        if size not in {None, kept} or (sha256 and ended.sha256 not in {None, sha256}):
            raise UploadMismatch("It has ended with another size or SHA-256")

    def fall_silent(self, recording: StoredRecording) -> StoredRecording:
        """Take what has arrived for all there is, in order, unless some of it arrived just now.

        Of one that has ended before, and was not put together in time, too: it has more time then.
        UploadIncomplete when nothing has arrived.
        """
        pieces, now = self.stores.pieces.arrived(recording), self.clock()
        if not pieces:
            raise UploadIncomplete("Nothing has arrived")
        arrived = slices.in_order(pieces)
        if recording.ended_at:
            # Pieces are gone: what is left?
            time_over = slices.total(_made_of(recording, arrived)) != recording.whole_size
            until = now + JOB
        else:
            until = self.until(recording, max(piece.arrived_at for piece in pieces))
            time_over = until <= now
        if time_over:
            kept = self.stores.recordings.end(recording, self._interrupted(recording, arrived))
        else:
            kept = self.stores.recordings.prolong(recording, until)
        return kept or self._as_it_stands(recording)

    def take_up_again(self, recording: StoredRecording, refused: str | None) -> None:
        """Have one that was ended go on, since its bytes are not what they were said to be.

        Its app is told that when it next asks, if `refused` says what.
        """
        until = self.until(recording, self.clock())
        self.stores.recordings.take_up_again(recording, refused, until)

    def is_short(self, recording: StoredRecording) -> bool:
        """Whether it can be put together while somebody waits for it."""
        pieces = (recording.pieces or 0) + (recording.signed_again or 0)
        return pieces <= FEW_PIECES and recording.whole_size <= FEW_BYTES

    def assemble(self, recording: StoredRecording) -> None:
        """Make an object of the pieces, unless that was done.

        Cut off anywhere, it goes on from there when it is begun again, and two at once end in one.
        UploadIncomplete when pieces are gone.
        """
        for _ in range(ATTEMPTS):
            there = self.stores.uploads.find(recording)
            if recording.status != "uploading" or (there and there.upload == recording.upload_name):
                return
            arrived = slices.in_order(self.stores.pieces.arrived(recording))
            made_of = _made_of(recording, arrived)
            is_all = slices.total(made_of) == recording.whole_size
            try:
                if is_all and self._fill(recording, made_of):
                    return
            except ObjectChanged:
                pass
            seen, recording = recording, self._as_it_stands(recording)
            if recording.status == "uploading" and not _is_same(seen, recording):
                break
            if recording.status == "uploading" and not is_all:
                raise UploadIncomplete("Some of what had arrived is gone")
        raise Unavailable("The upload keeps changing")

    def _announced(self, recording: StoredRecording, new: NewPieces) -> StoredRecording | None:
        """The recording once these are announced, or were; None when it changed meanwhile."""
        size, count = sum(piece.size for piece in new.pieces), len(new.pieces)
        until = self.until(recording, self.clock())
        if new.offset != recording.size:
            if new.offset + size > recording.size:
                raise OffsetConflict(recording.size)
            # Each may be an object more, which no quota counts. For what is missing `instructions`
            # has no such limit.
            _check_count(recording.signed_again, count, "are signed again; ask what is missing")
            return self.stores.recordings.sign_again(recording, count, until)
        if recording.size + size > self.settings.max_recording_bytes:
            most = self.settings.max_recording_bytes
            raise TooLarge(f"A recording has at most {most} bytes", field="pieces")
        _check_count(recording.pieces, count, "are announced")
        return self.stores.recordings.extend(recording, size, count, self.settings.quota, until)

    def _interrupted(self, recording: StoredRecording, arrived: list[Slice]) -> StoredRecording:
        """A live upload that has ended with what has arrived."""
        end = arrived[-1].piece.end
        gaps = list(islice(slices.gaps(arrived, end), MOST_GAPS + 1))
        if len(gaps) > MOST_GAPS:
            end, _ = gaps.pop()
        size = end - sum(after - before for before, after in gaps)
        noted = [list(gap) for gap in gaps] or None
        return self._as_ended(recording, ended_size=size, gaps=noted, interrupted=True)

    def _as_ended(self, recording: StoredRecording, **said: Any) -> StoredRecording:
        now = self.clock()
        nothing = dict.fromkeys(("gaps", "interrupted", "refused", "sha256", "upload_id"))
        times = {"ended_at": now, "upload_expires_at": now + JOB}
        return structs.replace(recording, **{**nothing, **times, **said})

    def _signed(self, recording: StoredRecording, new: NewPieces) -> AnnouncedPieces:
        signed, offset = [], new.offset
        for piece in new.pieces:
            signed.append(self._piece(recording, offset, piece.size, piece.sha256))
            offset += piece.size
        return AnnouncedPieces(offset=recording.size, pieces=signed, expires_at=self._end_of_urls())

    def _piece(
        self, recording: StoredRecording, offset: int, size: int, sha256: str | None
    ) -> SignedPiece:
        seconds = self.settings.upload_url_seconds
        url, headers = self.stores.pieces.sign(recording, offset, size, sha256, seconds)
        return SignedPiece(offset=offset, size=size, url=url, headers=headers)

    def _end_of_urls(self) -> str:
        return end_of_url(self.clock(), self.settings.upload_url_seconds)

    def _as_told(self, ended: StoredRecording, size: int, sha256: str | None) -> StoredRecording:
        """One that has ended already, if it did as is said now."""
        self.check_told(ended, size, sha256)
        if sha256 and not ended.sha256:
            settled = self.stores.recordings.settle_hash(ended, sha256)
            return settled or self._as_it_stands(ended)
        return ended

    def _as_it_stands(self, recording: StoredRecording) -> StoredRecording:
        return live(self.stores.recordings, recording.user_id, recording.id)

    def _check_refusal(self, recording: StoredRecording, sha256: str | None) -> None:
        """Tell what was found by a job that nobody waited for, once."""
        if sha256 and recording.refused == sha256:
            self.take_up_again(recording, None)
            raise UploadMismatch(OTHER_BYTES)

    def _check_arrived(self, recording: StoredRecording, size: int) -> None:
        """UploadIncomplete or UploadMismatch unless exactly the first `size` bytes are there."""
        arrived = slices.in_order(self.stores.pieces.arrived(recording))
        missing = list(islice(slices.gaps(arrived, size), MOST_NAMED))
        if missing:
            errors = [
                FieldError("pieces", f"Bytes {start} to {end - 1} have not arrived")
                for start, end in missing
            ]
            raise UploadIncomplete("Some of it has not arrived", errors=errors)
        if (end := arrived[-1].piece.end) > size:
            raise UploadMismatch(f"{end} bytes arrived where {size} were recorded", field="size")

    def _fill(self, recording: StoredRecording, made_of: list[Slice]) -> bool:
        """Have S3 get the parts that it has not, and make an object of them.

        False when another one began a multipart upload meanwhile.
        """
        # With a piece that came late, even the parts of the same number and size are others.
        cut = slices.name(made_of)
        filling: StoredRecording | None = recording
        arrived = None
        if recording.upload_id and recording.cut == cut:
            arrived = self.stores.parts.arrived(recording)
        if arrived is None:
            # Not begun yet, or given up by S3, or made an object of since we looked.
            filling, arrived = self.multipart.begin(structs.replace(recording, cut=cut)), []
        if filling is None:
            return False
        there, parts = {part.number: part for part in arrived}, []
        for number, wanted in enumerate(slices.in_parts(made_of), start=1):
            part = there.get(number) or self._sent(filling, number, wanted)
            parts.append(part)
        self.stores.parts.assemble(filling, parts)
        return True

    def _sent(self, recording: StoredRecording, number: int, wanted: list[Slice]) -> UploadedPart:
        """A part, copied by S3 where it is one large piece; others pass through here."""
        if len(wanted) == 1 and wanted[0].size >= slices.LEAST_PART:
            return self.stores.parts.copy(recording, number, wanted[0])
        data = self.stores.pieces.read(recording, wanted)
        return self.stores.parts.write(recording, number, data)


def _made_of(recording: StoredRecording, arrived: list[Slice]) -> list[Slice]:
    """What one that has ended is made of; less than it is to have when pieces are gone."""
    return slices.without(arrived, recording.gaps or [], recording.whole_size)


def _is_same(seen: StoredRecording, standing: StoredRecording) -> bool:
    """Whether it still is the upload that was seen, and has not ended since."""
    return (standing.status, standing.upload_name) == ("uploading", seen.upload_name)


def _check_count(already: int | None, more: int, what: str) -> None:
    if (already or 0) + more > MOST_PIECES:
        raise TooLarge(f"At most {MOST_PIECES} pieces of a recording {what}", field="pieces")
