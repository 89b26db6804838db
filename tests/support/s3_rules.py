"""What S3 enforces and moto does not: signatures."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from botocore.auth import S3SigV4PostAuth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.embedded.environment import REGION


def _credentials() -> Credentials:
    """Those that the app signs with."""
    return Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])


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
    signer = S3SigV4QueryAuth(_credentials(), "s3", REGION, int(query["X-Amz-Expires"]))
    canonical = signer.canonical_request(request)
    return bool(signer.signature(signer.string_to_sign(request, canonical), request) == claimed)


def accepts_form(fields: dict[str, str]) -> bool:
    """Whether a form's signature is that of its policy."""
    request = AWSRequest("POST")
    request.context["timestamp"] = fields["x-amz-date"]
    signer = S3SigV4PostAuth(_credentials(), "s3", REGION)
    return bool(signer.signature(fields["policy"], request) == fields["x-amz-signature"])
