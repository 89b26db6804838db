"""S3s that are not AWS's own: whether one keeps the promise that completing rests on.

Of several that were tried, none honours If-None-Match of CopyObject (docs/decisions/45).
"""

from __future__ import annotations

import functools
import uuid
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.aws.clients import error_code, our_errors
from chalicelib.aws.s3.objects import REFUSED, UNVERSIONED
from chalicelib.errors import InternalError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

IGNORED = (
    "This S3 ignores If-None-Match of CopyObject, so of two completions both would be kept. See "
    "README.md for S3s that are known to serve"
)


@functools.cache
def check_copies(client: S3Client, uploads: str, recordings: str) -> None:
    """Find out once in a process whether a copy replaces nothing; InternalError if it does."""
    key = f"probes/{uuid.uuid4()}"
    with our_errors():
        client.put_object(Bucket=uploads, Key=key, Body=b"probe")
        versions = [_copied(client, uploads, recordings, key) for _ in range(2)]
        client.delete_object(Bucket=uploads, Key=key)
        made = [version for version in versions if version]
        for version in made:
            client.delete_object(Bucket=recordings, Key=key, VersionId=version)
    if len(made) > 1:
        raise InternalError(IGNORED)


def _copied(client: S3Client, uploads: str, recordings: str, key: str) -> str | None:
    """The version that a copy made; None when it was refused."""
    try:
        copy = client.copy_object(
            Bucket=recordings,
            Key=key,
            CopySource={"Bucket": uploads, "Key": key},
            IfNoneMatch="*",
        )
    except ClientError as error:
        if error_code(error) not in REFUSED:
            raise
        return None
    return copy.get("VersionId", UNVERSIONED)
