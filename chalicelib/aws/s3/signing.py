"""Signed requests that phones send straight to S3.

Without botocore's S3 client, which takes longer to build than everything else a request needs.
URLs without its signer either, which takes ten times as long: an answer may have a hundred of them,
and an export a hundred thousand. See benchmarks/signing.py.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import SplitResult, quote, urlsplit

import boto3
from botocore.auth import S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError, NoRegionError
from msgspec import Struct

from chalicelib.aws.clients import our_errors

ALGORITHM = "AWS4-HMAC-SHA256"
DEFAULT_PORTS = {"http": ":80", "https": ":443"}

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
        """A URL for one method on one object; each of `headers` must be sent as it is given.

        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
        """
        with our_errors():
            credentials, region = self.credentials(), self.region()
        address = urlsplit(self.bucket_url(bucket))
        at = f"{_now():%Y%m%dT%H%M%SZ}"
        scope = f"{at[:8]}/{region}/s3/aws4_request"
        sent = {"host": host_of(address)}
        sent |= {name.lower(): " ".join(value.split()) for name, value in (headers or {}).items()}
        names = ";".join(sorted(sent))
        said = {
            **(query or {}),
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{credentials.access_key}/{scope}",
            "X-Amz-Date": at,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": names,
        }
        if credentials.token:
            said["X-Amz-Security-Token"] = credentials.token
        pairs = [f"{_quoted(name)}={_quoted(value)}" for name, value in said.items()]
        lines = [f"{name}:{sent[name]}" for name in sorted(sent)]
        path = f"{address.path}/{key}"
        query_string = "&".join(sorted(pairs, key=lambda pair: pair.split("=")))
        asked = [method, path, query_string, *lines, "", names, "UNSIGNED-PAYLOAD"]
        hashed = sha256("\n".join(asked).encode()).hexdigest()
        to_sign = f"{ALGORITHM}\n{at}\n{scope}\n{hashed}"
        pairs.append(f"X-Amz-Signature={signature(str(credentials.secret_key), scope, to_sign)}")
        return f"{address.scheme}://{address.netloc}{path}?{'&'.join(pairs)}"

    def form(
        self, bucket: str, key: str, seconds: int, fields: dict[str, str], conditions: Conditions
    ) -> tuple[str, dict[str, str]]:
        """URL and fields of a form that puts one object; each of `fields` is a condition too."""
        expires_at = _now() + timedelta(seconds=seconds)
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


def _now() -> datetime:
    """The time of S3's clock, by which what is signed is judged: never that of a test's."""
    return datetime.now(UTC)


@functools.lru_cache(maxsize=64)
def _quoted(text: str) -> str:
    """A name or a value as a query has it; most are the same in every URL, the longest too."""
    return quote(text, safe="-_.~")


def host_of(address: SplitResult) -> str:
    """The Host header that is sent to an address."""
    host = address.netloc.rpartition("@")[2].lower()
    return host.removesuffix(DEFAULT_PORTS.get(address.scheme, ""))


def signature(secret: str, scope: str, text: str) -> str:
    """What signs a text, by the key of a day, a region and a service, in hexadecimal."""
    return _signed(_signing_key(secret, scope), text).hex()


@functools.lru_cache(maxsize=2)
def _signing_key(secret: str, scope: str) -> bytes:
    """The key of a day, a region and a service."""
    return functools.reduce(_signed, scope.split("/"), f"AWS4{secret}".encode())


def _signed(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
