"""Signed requests that phones send straight to S3.

Signed with botocore's own signers but without its S3 client, which takes longer to build than
everything else a request needs (benchmarks/signing.py).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import boto3
from botocore.auth import S3SigV4PostAuth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError, NoRegionError
from msgspec import Struct

from chalicelib.aws.clients import our_errors

Conditions = list[dict[str, str] | list[str | int]]


class Signer(Struct, frozen=True):
    """Signs requests to S3 with the credentials of this process."""

    session: Callable[[], boto3.session.Session]
    address: str
    """Where phones reach S3, without a slash at its end; empty means AWS itself."""

    def url(
        self,
        method: str,
        bucket: str,
        key: str,
        seconds: int,
        *,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> str:
        """A URL for one method on one object; each of `headers` must be sent as it is given."""
        url = f"{self.bucket_url(bucket)}/{key}"
        if query:
            url += f"?{urlencode(query)}"
        request = AWSRequest(method=method, url=url, headers=headers or {})
        with our_errors():
            signer = S3SigV4QueryAuth(self.credentials(), "s3", self.region(), expires=seconds)
            signer.add_auth(request)
        return str(request.url)

    def form(
        self, bucket: str, key: str, seconds: int, fields: dict[str, str], conditions: Conditions
    ) -> tuple[str, dict[str, str]]:
        """URL and fields of a form that puts one object; each of `fields` is a condition too."""
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        request = AWSRequest(method="POST", url=f"{self.bucket_url(bucket)}/")
        # botocore's signer adds its own fields and conditions to these two.
        request.context["s3-presign-post-fields"] = fields | {"key": key}
        request.context["s3-presign-post-policy"] = {
            "expiration": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "conditions": [
                {"bucket": bucket},
                {"key": key},
                *({name: value} for name, value in fields.items()),
                *conditions,
            ],
        }
        with our_errors():
            S3SigV4PostAuth(self.credentials(), "s3", self.region()).add_auth(request)
        return str(request.url), dict(request.context["s3-presign-post-fields"])

    def bucket_url(self, bucket: str) -> str:
        """Where a bucket is."""
        if self.address:
            return f"{self.address}/{bucket}"
        region = self.region()
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return f"https://{bucket}.s3.{region}.{suffix}"

    def region(self) -> str:
        """The region that it signs for."""
        region = self.session().region_name
        if not region:
            raise NoRegionError
        return region

    def credentials(self) -> ReadOnlyCredentials:
        """What it signs with."""
        credentials = self.session().get_credentials()
        if credentials is None:
            raise NoCredentialsError
        return credentials.get_frozen_credentials()
