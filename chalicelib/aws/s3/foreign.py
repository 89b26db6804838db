"""S3s that are not AWS's own: whether one keeps the promise that completing rests on.

Of several that were tried, none honours If-None-Match of CopyObject (docs/decisions/45).
"""

from __future__ import annotations

import functools
import uuid
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.aws.clients import error_code, leads_to_aws, our_errors
from chalicelib.aws.s3.objects import REFUSED
from chalicelib.errors import InternalError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

IGNORED = (
    "This S3 ignores If-None-Match of CopyObject, so of two completions both would be kept. See "
    "README.md for S3s that are known to serve"
)


def check_copies(client: S3Client, uploads: str) -> None:
    """InternalError where a copy replaces what is there although it is not to."""
    if not leads_to_aws(client) and copies_replace(client, uploads):
        raise InternalError(IGNORED)


@functools.cache
def copies_replace(client: S3Client, uploads: str) -> bool:
    """Whether an S3 ignores If-None-Match of CopyObject, found out once in a process.

    It is asked in the uploads bucket, where what a process leaves that dies meanwhile expires.
    """
    key = f"probes/{uuid.uuid4()}"
    copies = f"{key}/copy"
    with our_errors():
        client.put_object(Bucket=uploads, Key=key, Body=b"probe")
        made = [_is_made(client, uploads, key, copies) for _ in range(2)]
        for each in (key, copies):
            client.delete_object(Bucket=uploads, Key=each)
    return all(made)


def _is_made(client: S3Client, bucket: str, key: str, to: str) -> bool:
    """Whether a copy that is to replace nothing was made; not when it was refused."""
    try:
        client.copy_object(
            Bucket=bucket,
            Key=to,
            CopySource={"Bucket": bucket, "Key": key},
            IfNoneMatch="*",
        )
    except ClientError as error:
        if error_code(error) not in REFUSED:
            raise
        return False
    return True
