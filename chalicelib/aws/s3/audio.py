"""The bytes: the uploads bucket, where they arrive, and the recordings bucket, where they stay."""

from __future__ import annotations

import base64
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from botocore.exceptions import ClientError

from chalicelib.aws.clients import error_code, our_errors
from chalicelib.aws.s3.signing import Signer
from chalicelib.errors import ObjectChanged
from chalicelib.models.entities import Keyed, ObjectVersion, StoredObject, StoredRecording
from chalicelib.models.fields import Store

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

MISSING = {"404", "NoSuchKey"}
# 412: the condition does not hold. 409: another write to the same key is under way.
REFUSED = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}

# S3's own limit for one DeleteObjects.
DELETED_AT_ONCE = 1000

# Where exports are, for a day: see the lifecycle of the uploads bucket in ops/template.yaml.
EXPORTS = "exports/"

# How S3 names the one version of an object in a bucket that has no versions.
UNVERSIONED = "null"


class AudioBuckets:
    """The two buckets; see core/ports.py for what each method promises."""

    def __init__(
        self,
        client: Callable[[], S3Client],
        copier: Callable[[], S3Client],
        signer: Signer,
        buckets: dict[Store, str],
    ) -> None:
        """The clients are asked for when they are needed, which is not for signing."""
        self._client = client
        self._copier = copier
        self._signer = signer
        self._buckets = buckets

    def sign_put(self, recording: StoredRecording, seconds: int) -> tuple[str, dict[str, str]]:
        """URL and headers for one PUT of exactly this size, type and (if known) SHA-256."""
        headers = {"Content-Type": recording.content_type, "Content-Length": str(recording.size)}
        if recording.sha256:
            headers["x-amz-checksum-sha256"] = _to_base64(recording.sha256)
        url = self._signer.url(
            "PUT", self._buckets["uploads"], recording.key, seconds, headers=headers
        )
        return url, headers

    def sign_post(self, recording: StoredRecording, seconds: int) -> tuple[str, dict[str, str]]:
        """URL and fields of a form for exactly this size, type and (if known) SHA-256."""
        fields = {"Content-Type": recording.content_type}
        if recording.sha256:
            fields["x-amz-checksum-algorithm"] = "SHA256"
            fields["x-amz-checksum-sha256"] = _to_base64(recording.sha256)
        return self._signer.form(
            self._buckets["uploads"],
            recording.key,
            seconds,
            fields,
            [["content-length-range", recording.size, recording.size]],
        )

    def sign_get(self, recording: StoredRecording, seconds: int) -> str:
        """URL that plays the recording under its own file name and type."""
        query = {
            "response-cache-control": "private",
            "response-content-disposition": content_disposition(recording.file_name),
            "response-content-type": recording.content_type,
        }
        return self._signer.url(
            "GET", self._buckets["recordings"], recording.key, seconds, query=query
        )

    def uploaded(self, recording: Keyed) -> StoredObject | None:
        """What has arrived in the uploads bucket."""
        return self._head(recording, "uploads")

    def kept(self, recording: StoredRecording) -> StoredObject | None:
        """What stands in the recordings bucket."""
        return self._head(recording, "recordings")

    def promote(self, recording: StoredRecording, uploaded: StoredObject) -> StoredObject:
        """Copy what was uploaded to the recordings bucket; says what the copy is.

        S3 is asked for the SHA-256 of what it copies. That is the hash of the whole object
        however it was uploaded, in parts too, and it costs no byte of ours.
        """
        with our_errors(), _write_once():
            copy = self._copier().copy_object(
                Bucket=self._buckets["recordings"],
                Key=recording.key,
                CopySource={"Bucket": self._buckets["uploads"], "Key": recording.key},
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
            sha256=_to_hex(copy["CopyObjectResult"].get("ChecksumSHA256")),
            version_id=copy.get("VersionId", UNVERSIONED),
        )

    def keep(self, recording: StoredRecording, body: bytes, sha256: str) -> None:
        """Put bytes into the recordings bucket, verified; ObjectChanged when there is an object."""
        with our_errors(), _write_once():
            self._client().put_object(
                Bucket=self._buckets["recordings"],
                Key=recording.key,
                Body=body,
                IfNoneMatch="*",
                Metadata={"upload": recording.upload_name},
                ContentType=recording.content_type,
                ChecksumSHA256=_to_base64(sha256),
            )

    def discard_upload(self, user_id: str, recording_id: str, etag: str) -> None:
        """Delete what was uploaded, unless it is something else by now."""
        with our_errors():
            try:
                self._client().delete_object(
                    Bucket=self._buckets["uploads"], Key=f"{user_id}/{recording_id}", IfMatch=etag
                )
            except ClientError as error:
                if error_code(error) not in REFUSED | MISSING:
                    raise

    def discard_kept(self, recording: StoredRecording, kept: StoredObject) -> None:
        """Delete exactly this version from the recordings bucket."""
        with our_errors():
            self._client().delete_object(
                Bucket=self._buckets["recordings"],
                Key=recording.key,
                VersionId=kept.version_id,
            )

    def versions(self, user_id: str, recording_id: str | None = None) -> Iterator[ObjectVersion]:
        """Every version of a recording's object, or of all of a user's; a call for each 1,000."""
        key = f"{user_id}/{recording_id or ''}"
        pages = self._client().get_paginator("list_object_versions")
        with our_errors():
            for page in pages.paginate(Bucket=self._buckets["recordings"], Prefix=key):
                for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    if recording_id is None or version["Key"] == key:
                        yield ObjectVersion(key=version["Key"], version_id=version["VersionId"])

    def erase(self, versions: Iterable[ObjectVersion]) -> set[str]:
        """Delete exactly these from the recordings bucket, 1,000 a call; keys S3 would not."""
        identifiers: Iterator[ObjectIdentifierTypeDef] = (
            {"Key": version.key, "VersionId": version.version_id} for version in versions
        )
        return self._delete("recordings", identifiers)

    def erase_uploads(self, keys: Iterable[str]) -> set[str]:
        """Delete these from the uploads bucket, 1,000 a call; those that S3 would not."""
        return self._delete("uploads", ({"Key": key} for key in keys))

    def staged(self, user_id: str) -> Iterator[str]:
        """The keys of what a user has uploaded and nobody has kept; a call for each 1,000."""
        return self._keys(f"{user_id}/")

    def exports(self, user_id: str) -> Iterator[str]:
        """The keys of a user's exports, in the uploads bucket; a call for each 1,000."""
        return self._keys(f"{EXPORTS}{user_id}/")

    def publish(self, user_id: str, export: IO[bytes], seconds: int) -> str:
        """Put a user's export where only a signed URL finds it; such a URL."""
        key = f"{EXPORTS}{user_id}/{uuid.uuid4()}.json"
        with our_errors():
            self._client().put_object(
                Bucket=self._buckets["uploads"],
                Key=key,
                Body=export,
                ContentType="application/json",
            )
        query = {
            "response-cache-control": "private",
            "response-content-disposition": 'attachment; filename="recordings.json"',
        }
        return self._signer.url("GET", self._buckets["uploads"], key, seconds, query=query)

    def _keys(self, prefix: str) -> Iterator[str]:
        pages = self._client().get_paginator("list_objects_v2")
        with our_errors():
            for page in pages.paginate(Bucket=self._buckets["uploads"], Prefix=prefix):
                yield from (found["Key"] for found in page.get("Contents", []))

    def _delete(self, store: Store, objects: Iterator[ObjectIdentifierTypeDef]) -> set[str]:
        refused: set[str] = set()
        while batch := list(itertools.islice(objects, DELETED_AT_ONCE)):
            with our_errors():
                answer = self._client().delete_objects(
                    Bucket=self._buckets[store], Delete={"Objects": batch, "Quiet": True}
                )
            refused |= {error.get("Key", "") for error in answer.get("Errors", [])}
        return refused

    def _head(self, recording: Keyed, store: Store) -> StoredObject | None:
        with our_errors():
            try:
                head = self._client().head_object(
                    Bucket=self._buckets[store], Key=recording.key, ChecksumMode="ENABLED"
                )
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                raise
        # That of an upload in parts is a checksum of its parts' checksums: no use here.
        whole = head.get("ChecksumType") != "COMPOSITE"
        return StoredObject(
            size=head["ContentLength"],
            content_type=head["ContentType"],
            etag=head["ETag"],
            sha256=_to_hex(head.get("ChecksumSHA256")) if whole else None,
            version_id=head.get("VersionId", UNVERSIONED),
            upload=head["Metadata"].get("upload"),
        )


def content_disposition(file_name: str) -> str:
    """The header that gives a download its name (RFC 6266).

    In full for every name, and plain where plain says the same: a fallback of another name would
    be preferred by parsers that know both, such as Python's own.
    """
    full = f"filename*=UTF-8''{quote(file_name, safe='')}"
    if not file_name.isascii():
        return f"inline; {full}"
    escaped = file_name.replace('"', r"\"")
    return f'inline; filename="{escaped}"; {full}'


@contextmanager
def _write_once() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error_code(error) in REFUSED | MISSING:
            raise ObjectChanged from error
        raise


def _to_base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def _to_hex(checksum: str | None) -> str | None:
    return base64.b64decode(checksum).hex() if checksum else None
