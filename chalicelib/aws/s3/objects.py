"""What the buckets have in common: how objects are looked at, listed and deleted."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from msgspec import Struct

from chalicelib.aws.batches import batched
from chalicelib.aws.clients import error_code, our_errors
from chalicelib.models.entities import StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef, ObjectTypeDef

MISSING = {"404", "NoSuchKey"}
# 412: the condition does not hold. 409: another write to the same key is under way.
REFUSED = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}
# S3's own limit for one DeleteObjects.
DELETED_AT_ONCE = 1000
# How S3 names the one version of an object in a bucket that has no versions.
UNVERSIONED = "null"


class Bucket(Struct, frozen=True):
    """One bucket; its client is asked for when it is needed, which is not for signing."""

    client: Callable[[], S3Client]
    name: str

    def head(self, key: str) -> StoredObject | None:
        """What S3 says of an object; None when there is none."""
        with our_errors():
            try:
                head = self.client().head_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
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
            sha256=to_hex(head.get("ChecksumSHA256")) if whole else None,
            version_id=head.get("VersionId", UNVERSIONED),
            upload=head["Metadata"].get("upload"),
        )

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with a prefix; a call for each 1,000."""
        return (found["Key"] for found in self.listed(prefix))

    def listed(self, prefix: str) -> Iterator[ObjectTypeDef]:
        """What S3 lists of the keys that begin with a prefix; a call for each 1,000."""
        pages = self.client().get_paginator("list_objects_v2")
        with our_errors():
            for page in pages.paginate(Bucket=self.name, Prefix=prefix):
                yield from page.get("Contents", [])

    def delete(self, objects: Iterable[ObjectIdentifierTypeDef]) -> set[str]:
        """Delete these, 1,000 a call; the keys of those that S3 would not delete."""
        refused: set[str] = set()
        for batch in batched(objects, DELETED_AT_ONCE):
            with our_errors():
                answer = self.client().delete_objects(
                    Bucket=self.name, Delete={"Objects": batch, "Quiet": True}
                )
            refused |= {error.get("Key", "") for error in answer.get("Errors", [])}
        return refused


def to_base64(sha256: str) -> str:
    """A SHA-256 as S3's headers have it, from hexadecimal digits."""
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def to_hex(checksum: str | None) -> str | None:
    """A SHA-256 in hexadecimal digits, from what S3's headers have."""
    return base64.b64decode(checksum).hex() if checksum else None
