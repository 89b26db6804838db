"""Who asks: Signature Version 4 in a header, which ministack checks of no account's own key.

It checks URLs and forms itself; what is refused of a URL besides is here, too.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from local.embedded.engine import sigv4
from local.embedded.environment import ACCESS_KEY
from local.embedded.http import Request

UNSIGNED = "UNSIGNED-PAYLOAD"


class Refusal(NamedTuple):
    """Why a request is refused, in S3's words."""

    status: int
    code: str
    message: str


MISMATCH = Refusal(403, "SignatureDoesNotMatch", sigv4.SIGNATURE_MISMATCH)
UNKNOWN_KEY = Refusal(
    403,
    "InvalidAccessKeyId",
    "The AWS Access Key Id you provided does not exist in our records.",
)
TWO_WAYS = Refusal(
    400,
    "InvalidArgument",
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
    "string parameter or the Authorization header should be specified",
)
ANOTHER_WAY = Refusal(400, "InvalidArgument", "Unsupported Authorization Type")
NOBODY = Refusal(403, "AccessDenied", "Access Denied")
NOT_SIGNED = Refusal(
    403, "AccessDenied", "There were headers present in the request which were not signed"
)
OTHER_BYTES = Refusal(
    400,
    "XAmzContentSHA256Mismatch",
    "The provided 'x-amz-content-sha256' header does not match what was computed.",
)


def refusal_of_header(request: Request, service: str, secret: str) -> Refusal | None:
    """Why a request signed in its Authorization header for a service is refused, if it is."""
    signature = sigv4.parse_header_signature(request.headers)
    if isinstance(signature, tuple):
        return Refusal(400, "AuthorizationHeaderMalformed", signature[1])
    if signature.access_key_id != ACCESS_KEY:
        return UNKNOWN_KEY
    if late := sigv4.request_time_failure(signature):
        return Refusal(403, *late)
    # S3 takes bytes that nobody hashed, if that is what was signed.
    said = request.headers.get("x-amz-content-sha256", UNSIGNED)
    if said != UNSIGNED and said != hashlib.sha256(request.body).hexdigest():
        return OTHER_BYTES
    wrong = signature.service != service or sigv4.header_signature_failure(
        signature,
        secret,
        request.method,
        request.raw_path,
        request.query,
        request.headers,
        request.body,
    )
    return MISMATCH if wrong else None


def refusal_of_s3(request: Request, secret: str) -> Refusal | None:
    """Why S3 refuses a request before it looks at what is asked, if it does."""
    authorization = request.headers.get("authorization")
    if "X-Amz-Algorithm" in request.query or "X-Amz-Signature" in request.query:
        return TWO_WAYS if authorization else _refusal_of_url(request)
    if authorization and authorization.startswith("AWS4-HMAC-SHA256"):
        return refusal_of_header(request, "s3", secret)
    if authorization:
        return ANOTHER_WAY
    form = request.headers.get("content-type", "").startswith("multipart/form-data")
    return None if request.method == "POST" and form else NOBODY


def _refusal_of_url(request: Request) -> Refusal | None:
    if "X-Amz-Signature" not in request.query:
        return Refusal(
            400,
            "AuthorizationQueryParametersError",
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
            "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        )
    signed = request.query.get("X-Amz-SignedHeaders", [""])[0].split(";")
    sent = [name for name in request.headers if name.startswith("x-amz-")]
    return None if set(sent) <= set(signed) else NOT_SIGNED
