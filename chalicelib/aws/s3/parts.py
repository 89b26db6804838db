"""Multipart uploads: what S3 has of them before they become objects of the uploads bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from msgspec import Struct

from chalicelib.aws.clients import error_code, our_errors
from chalicelib.aws.s3.objects import MISSING, Bucket
from chalicelib.aws.s3.signing import Signer
from chalicelib.errors import ObjectChanged
from chalicelib.models.answers import UploadedPart
from chalicelib.models.entities import Slice, StoredRecording

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

GONE = {"404", "NoSuchUpload"}


class Parts(Struct, frozen=True):
    """The multipart uploads in one bucket; see core/ports.py for what each method promises."""

    bucket: Bucket
    copier: Callable[[], S3Client]
    signer: Signer

    def begin(self, recording: StoredRecording) -> str:
        with our_errors():
            answer = self.bucket.client().create_multipart_upload(
                Bucket=self.bucket.name,
                Key=recording.key,
                ContentType=recording.content_type,
                Metadata={"upload": recording.upload_name},
            )
        return answer["UploadId"]

    def sign(self, recording: StoredRecording, number: int, size: int, seconds: int) -> str:
        return self.signer.url(
            "PUT",
            self.bucket.name,
            recording.key,
            seconds,
            headers={"Content-Length": str(size)},
            query={"partNumber": str(number), "uploadId": recording.upload_id or ""},
        )

    def arrived(self, recording: StoredRecording) -> list[UploadedPart] | None:
        pages = self.bucket.client().get_paginator("list_parts")
        with our_errors():
            try:
                return [
                    UploadedPart(number=part["PartNumber"], size=part["Size"], etag=part["ETag"])
                    for page in pages.paginate(
                        Bucket=self.bucket.name,
                        Key=recording.key,
                        UploadId=recording.upload_id or "",
                    )
                    for part in page.get("Parts", [])
                ]
            except ClientError as error:
                if error_code(error) in GONE:
                    return None
                raise

    def write(self, recording: StoredRecording, number: int, data: bytes) -> UploadedPart:
        with _there():
            part = self.bucket.client().upload_part(**self._part(recording, number), Body=data)
        return UploadedPart(number=number, size=len(data), etag=part["ETag"])

    def copy(self, recording: StoredRecording, number: int, slice: Slice) -> UploadedPart:
        piece, last = slice.piece, slice.start + slice.size - 1
        key = recording.piece_key(piece.offset, piece.size)
        part = self._part(recording, number) | {
            "CopySource": {"Bucket": self.bucket.name, "Key": key}
        }
        if slice.size < piece.size:
            # Not of a whole one: S3 takes no range of an object that has just the least size.
            part["CopySourceRange"] = f"bytes={slice.start}-{last}"
        with _there():
            copy = self.bucket.client().upload_part_copy(**part)
        etag = copy["CopyPartResult"]["ETag"]
        return UploadedPart(number=number, size=slice.size, etag=etag)

    def assemble(self, recording: StoredRecording, parts: list[UploadedPart]) -> None:
        named = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with our_errors():
            try:
                self.copier().complete_multipart_upload(
                    Bucket=self.bucket.name,
                    Key=recording.key,
                    UploadId=recording.upload_id or "",
                    MultipartUpload={"Parts": named},  # type: ignore[typeddict-item]
                )
            except ClientError as error:
                if error_code(error) == "InvalidPart":
                    raise ObjectChanged from error
                if error_code(error) not in GONE:
                    raise

    def under_way(self, user_id: str, recording_id: str | None = None) -> list[tuple[str, str]]:
        prefix = f"{user_id}/{recording_id or ''}"
        pages = self.bucket.client().get_paginator("list_multipart_uploads")
        with our_errors():
            return [
                (upload["Key"], upload["UploadId"])
                for page in pages.paginate(Bucket=self.bucket.name, Prefix=prefix)
                for upload in page.get("Uploads", [])
            ]

    def abort(self, key: str, upload_id: str) -> None:
        with our_errors():
            try:
                self.bucket.client().abort_multipart_upload(
                    Bucket=self.bucket.name, Key=key, UploadId=upload_id
                )
            except ClientError as error:
                if error_code(error) not in GONE:
                    raise

    def _part(self, recording: StoredRecording, number: int) -> dict[str, Any]:
        return {
            "Bucket": self.bucket.name,
            "Key": recording.key,
            "UploadId": recording.upload_id or "",
            "PartNumber": number,
        }


@contextmanager
def _there() -> Iterator[None]:
    """ObjectChanged for what S3 has not."""
    with our_errors():
        try:
            yield
        except ClientError as error:
            if error_code(error) in MISSING | GONE:
                raise ObjectChanged from error
            raise
