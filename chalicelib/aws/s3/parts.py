"""Multipart uploads: what S3 has of them before they become objects of the uploads bucket."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.aws.clients import error_code, our_errors
from chalicelib.aws.s3.signing import Signer
from chalicelib.errors import ObjectChanged
from chalicelib.models.answers import UploadedPart
from chalicelib.models.entities import StoredRecording

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

GONE = {"404", "NoSuchUpload"}


class Parts:
    """The multipart uploads in one bucket; see core/ports.py for what each method promises."""

    def __init__(
        self,
        client: Callable[[], S3Client],
        copier: Callable[[], S3Client],
        signer: Signer,
        bucket: str,
    ) -> None:
        """The clients are asked for when they are needed, which is not for signing."""
        self._client = client
        self._copier = copier
        self._signer = signer
        self._bucket = bucket

    def begin(self, recording: StoredRecording) -> str:
        """Begin a multipart upload; S3's name for it."""
        with our_errors():
            answer = self._client().create_multipart_upload(
                Bucket=self._bucket, Key=recording.key, ContentType=recording.content_type
            )
        return answer["UploadId"]

    def sign(self, recording: StoredRecording, number: int, size: int, seconds: int) -> str:
        """URL for one PUT of one part of exactly this size."""
        return self._signer.url(
            "PUT",
            self._bucket,
            recording.key,
            seconds,
            headers={"Content-Length": str(size)},
            query={"partNumber": str(number), "uploadId": recording.upload_id or ""},
        )

    def arrived(self, recording: StoredRecording) -> list[UploadedPart] | None:
        """The parts that S3 has; None when it has no such upload (any more)."""
        pages = self._client().get_paginator("list_parts")
        with our_errors():
            try:
                return [
                    UploadedPart(number=part["PartNumber"], size=part["Size"], etag=part["ETag"])
                    for page in pages.paginate(
                        Bucket=self._bucket,
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
        """Make an object of the parts; ObjectChanged when one of them is another by now."""
        named = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with our_errors():
            try:
                self._copier().complete_multipart_upload(
                    Bucket=self._bucket,
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
        """Key and name of every multipart upload of a recording's, or of all of a user's."""
        prefix = f"{user_id}/{recording_id or ''}"
        pages = self._client().get_paginator("list_multipart_uploads")
        with our_errors():
            return [
                (upload["Key"], upload["UploadId"])
                for page in pages.paginate(Bucket=self._bucket, Prefix=prefix)
                for upload in page.get("Uploads", [])
            ]

    def abort(self, key: str, upload_id: str) -> None:
        """Abort one multipart upload; one that is gone already is no error."""
        with our_errors():
            try:
                self._client().abort_multipart_upload(
                    Bucket=self._bucket, Key=key, UploadId=upload_id
                )
            except ClientError as error:
                if error_code(error) not in GONE:
                    raise
