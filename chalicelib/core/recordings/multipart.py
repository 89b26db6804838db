"""Multipart uploads: a long recording in parts, which are sent side by side, in any order."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from chalicelib.core.ports import Stores
from chalicelib.errors import FieldError, NotFound, ObjectChanged, Unavailable, UploadIncomplete
from chalicelib.models.answers import SignedPart, UploadedPart
from chalicelib.models.entities import StoredRecording
from chalicelib.models.fields import MIB
from chalicelib.models.requests import CompletedPart

# What a lost connection costs, and what is worth a request of its own. S3 wants 5 MiB at least, but
# of the last part, which may be the only one.
PART_BYTES = 8 * MIB
# All URLs come in one answer, those of a batch's 25 uploads too, and Lambda's answers have 6 MB: a
# URL has about 2 kB when the credentials that sign it are a Lambda's. S3 takes 10,000 parts.
MOST_PARTS = 100
# Each attempt past the first means that the client sent a part again between two of our calls.
ATTEMPTS = 4


def part_size(size: int) -> int:
    """How many bytes each part of an upload of `size` bytes has, but for the last: whole MiB."""
    return max(PART_BYTES, -(-size // (MOST_PARTS * MIB)) * MIB)


class Multipart(Struct, frozen=True):
    """What is sent in parts."""

    stores: Stores

    def begin(self, recording: StoredRecording) -> StoredRecording | None:
        """Begin an upload in S3 and note it; None, and nothing begun, when it was noted already."""
        upload_id = self.stores.parts.begin(recording)
        begun = self.stores.recordings.begin_parts(recording, upload_id)
        if begun is None:
            self.stores.parts.abort(recording.key, upload_id)
        return begun

    def arrived(self, recording: StoredRecording) -> list[UploadedPart] | None:
        """The parts that have arrived whole; None when S3 has no such upload (any more)."""
        there = self.stores.parts.arrived(recording) if recording.upload_id else None
        if there is None:
            return None
        sizes = part_sizes(recording)
        return [part for part in there if sizes.get(part.number) == part.size]

    def missing(
        self, recording: StoredRecording, arrived: list[UploadedPart], seconds: int
    ) -> list[SignedPart]:
        """The parts that have not arrived, each with a URL that is good for `seconds`."""
        there = {part.number for part in arrived}
        return [
            self.signed(recording, number, seconds)
            for number in part_sizes(recording)
            if number not in there
        ]

    def signed(self, recording: StoredRecording, number: int, seconds: int) -> SignedPart:
        """One part, with a URL that is good for `seconds`; NotFound when there is none of them."""
        size = part_sizes(recording).get(number)
        if size is None:
            raise NotFound("The upload has no such part")
        url = self.stores.parts.sign(recording, number, size, seconds)
        return SignedPart(number=number, size=size, url=url)

    def assemble(self, recording: StoredRecording, named: Sequence[CompletedPart] = ()) -> None:
        """Make an object of the parts.

        UploadIncomplete names those that have not arrived. If any are `named`, it names all that
        are not as they were named, too.
        """
        for _ in range(ATTEMPTS):
            arrived = self.arrived(recording) or []
            if wrong := _wrong(recording, arrived, named):
                raise UploadIncomplete("Parts are missing or wrong", errors=wrong)
            try:
                return self.stores.parts.assemble(recording, arrived)
            except ObjectChanged:
                continue  # One was sent again: ask for its new ETag.
        raise Unavailable("The upload keeps changing")


def part_sizes(recording: StoredRecording) -> dict[int, int]:
    """The size of each part, by its number."""
    step = recording.part_size or recording.size
    starts = range(0, recording.size, step)
    return {
        number: min(step, recording.size - start) for number, start in enumerate(starts, start=1)
    }


def _wrong(
    recording: StoredRecording, arrived: Sequence[UploadedPart], named: Sequence[CompletedPart]
) -> list[FieldError]:
    expected = {part.number: part.etag.strip('"') for part in named}
    there = {part.number: part.etag.strip('"') for part in arrived}
    wrong = {number: "has not arrived" for number in part_sizes(recording) if number not in there}
    if named:
        for number in there.keys() | expected.keys():
            if number not in expected:
                wrong[number] = "is not named"
            elif there.get(number) != expected[number]:
                wrong.setdefault(number, "is not the one that arrived")
    return [FieldError("parts", f"Part {number} {wrong[number]}") for number in sorted(wrong)]
