"""Multipart uploads: what S3 has of them before they become objects of the uploads bucket."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from msgspec import Struct

from chalicelib.aws.clients import error_code, our_errors
from chalicelib.aws.s3.objects import Bucket
from chalicelib.aws.s3.signing import Signer
from chalicelib.errors import ObjectChanged
from chalicelib.models.answers import UploadedPart
from chalicelib.models.entities import StoredRecording

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
                Bucket=self.bucket.name, Key=recording.key, ContentType=recording.content_type
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
