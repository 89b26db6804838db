"""The recordings bucket, where bytes stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.exceptions import ClientError
from msgspec import Struct

from chalicelib.aws.clients import error_code, our_errors
from chalicelib.aws.s3.foreign import check_copies
from chalicelib.aws.s3.objects import MISSING, REFUSED, UNVERSIONED, Bucket, to_base64, to_hex
from chalicelib.aws.s3.signing import Signer
from chalicelib.errors import ObjectChanged
from chalicelib.models import titles
from chalicelib.models.entities import ObjectVersion, StoredObject, StoredRecording

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class RecordingsBucket(Struct, frozen=True):
    """See core/ports.py for what each method promises."""

    bucket: Bucket
    uploads: str
    """The name of the bucket that is copied from."""
    copier: Callable[[], S3Client]
    signer: Signer
    own_signer: Signer
    """That of URLs which no phone is to reach."""

    def sign_get(self, recording: StoredRecording, seconds: int) -> str:
        query = {
            "response-cache-control": "private",
            "response-content-disposition": content_disposition(recording.file_name),
            "response-content-type": recording.content_type,
        }
        return self.signer.url("GET", self.bucket.name, recording.key, seconds, query=query)

    def sign_read(self, recording: StoredRecording, seconds: int) -> str:
        return self.own_signer.url("GET", self.bucket.name, recording.key, seconds)

    def find(self, recording: StoredRecording) -> StoredObject | None:
        return self.bucket.head(recording.key)

    def promote(self, recording: StoredRecording, uploaded: StoredObject) -> StoredObject:
        # S3 is asked for the SHA-256 of what it copies. That is the hash of the whole object
        # however it was uploaded, in parts too, and it costs no byte of ours.
        check_copies(self.bucket.client(), self.uploads)
        copier = self.copier()
        with our_errors(), _write_once():
            copy = copier.copy_object(
                Bucket=self.bucket.name,
                Key=recording.key,
                CopySource={"Bucket": self.uploads, "Key": recording.key},
                CopySourceIfMatch=uploaded.etag,
                IfNoneMatch="*",
                MetadataDirective="REPLACE",
                Metadata={"upload": recording.upload_name},
                ContentType=recording.content_type,
                ChecksumAlgorithm="SHA256",
            )
        return StoredObject(
            size=uploaded.size,
            content_type=recording.content_type,
            etag=copy["CopyObjectResult"]["ETag"],
            sha256=to_hex(copy["CopyObjectResult"].get("ChecksumSHA256")),
            version_id=copy.get("VersionId", UNVERSIONED),
        )

    def keep(self, recording: StoredRecording, body: bytes, sha256: str) -> None:
        with our_errors(), _write_once():
            self.bucket.client().put_object(
                Bucket=self.bucket.name,
                Key=recording.key,
                Body=body,
                IfNoneMatch="*",
                Metadata={"upload": recording.upload_name},
                ContentType=recording.content_type,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=to_base64(sha256),
            )

    def discard(self, recording: StoredRecording, kept: StoredObject) -> None:
        with our_errors():
            self.bucket.client().delete_object(
                Bucket=self.bucket.name, Key=recording.key, VersionId=kept.version_id
            )

    def versions(self, user_id: str, recording_id: str | None = None) -> Iterator[ObjectVersion]:
        key = f"{user_id}/{recording_id or ''}"
        pages = self.bucket.client().get_paginator("list_object_versions")
        with our_errors():
            for page in pages.paginate(Bucket=self.bucket.name, Prefix=key):
                for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    if recording_id is None or version["Key"] == key:
                        yield ObjectVersion(key=version["Key"], version_id=version["VersionId"])

    def delete(self, versions: Iterable[ObjectVersion]) -> set[str]:
        return self.bucket.delete(
            {"Key": version.key, "VersionId": version.version_id} for version in versions
        )


def content_disposition(title: str) -> str:
    """The header that gives a download its name (RFC 6266).

    In full for every name, and plain where plain says the same: a fallback of another name would
    be preferred by parsers that know both, such as Python's own.
    """
    name = titles.file_name(title)
    full = f"filename*=UTF-8''{quote(name, safe='')}"
    return f'inline; filename="{name}"; {full}' if name.isascii() else f"inline; {full}"


@contextmanager
def _write_once() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error_code(error) in REFUSED | MISSING:
            raise ObjectChanged from error
        raise
