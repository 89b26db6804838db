"""What S3 enforces and moto does not: the conditions of a copy, and signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from botocore.auth import S3SigV4PostAuth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from local.embedded.backend import ISOLATED, REGION

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CREDENTIALS = Credentials(ISOLATED["AWS_ACCESS_KEY_ID"], ISOLATED["AWS_SECRET_ACCESS_KEY"])


def enforce(client: S3Client, looking_through: S3Client) -> None:
    """Have `client` answer 412 when CopySourceIfMatch or CopyObject's IfNoneMatch does not hold.

    And 404 when it is to complete a multipart upload that is gone, which moto breaks on. All this
    is looked up through another client, so that nobody takes it for a call of the app's; and last,
    when whatever a test has happen meanwhile has happened.
    """

    def check(params: dict[str, Any], **_: Any) -> Any:
        headers = params["headers"]
        source = _etag(looking_through, headers["x-amz-copy-source"])
        there = _etag(looking_through, urlsplit(params["url"]).path)
        expected = headers.get("x-amz-copy-source-if-match", source)
        # A source that is missing is S3's, and moto's, own 404.
        if source and (source != expected or (headers.get("If-None-Match") == "*" and there)):
            return AWSResponse("", 412, HTTPHeaders(), None), PRECONDITION_FAILED
        return None

    def find_upload(params: dict[str, Any], **_: Any) -> Any:
        parts = urlsplit(params["url"])
        bucket, key = unquote(parts.path).lstrip("/").split("/", 1)
        upload_id = dict(parse_qsl(parts.query))["uploadId"]
        try:
            looking_through.list_parts(Bucket=bucket, Key=key, UploadId=upload_id)
        except ClientError as error:
            return AWSResponse("", 404, HTTPHeaders(), None), error.response
        return None

    client.meta.events.register_last("before-call.s3.CopyObject", check)
    client.meta.events.register_last("before-call.s3.CompleteMultipartUpload", find_upload)


PRECONDITION_FAILED = {
    "Error": {"Code": "PreconditionFailed", "Message": "A condition did not hold"},
    "ResponseMetadata": {"HTTPStatusCode": 412},
}


def accepts(method: str, url: str, headers: dict[str, str]) -> bool:
    """Whether a signed URL's signature is that of a request with this method and these headers."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    claimed = query.pop("X-Amz-Signature")
    sent = {name.lower(): value for name, value in headers.items()} | {"host": parts.netloc}
    signed = query["X-Amz-SignedHeaders"].split(";")
    request = AWSRequest(
        method,
        parts._replace(query=urlencode(query, quote_via=quote)).geturl(),
        headers={name: sent[name] for name in signed if name in sent},
    )
    request.context["timestamp"] = query["X-Amz-Date"]
    signer = S3SigV4QueryAuth(CREDENTIALS, "s3", REGION, int(query["X-Amz-Expires"]))
    canonical = signer.canonical_request(request)
    return bool(signer.signature(signer.string_to_sign(request, canonical), request) == claimed)


def accepts_form(fields: dict[str, str]) -> bool:
    """Whether a form's signature is that of its policy."""
    request = AWSRequest("POST")
    request.context["timestamp"] = fields["x-amz-date"]
    signer = S3SigV4PostAuth(CREDENTIALS, "s3", REGION)
    return bool(signer.signature(fields["policy"], request) == fields["x-amz-signature"])


def _etag(client: S3Client, path: str) -> str | None:
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    try:
        return client.head_object(Bucket=bucket, Key=key)["ETag"]
    except ClientError:
        return None
