"""What is asked of the embedded backend, answered by moto without its server.

This takes the place of the connection alone, botocore's and httpx's: whatever they do before and
after, events, retries and signatures, is as it is with the server. It takes a third of the time.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session
from werkzeug.exceptions import HTTPException

# Which service a request was signed for.
SERVICE = re.compile(r"/([\w-]+)/aws4_request")

_send = URLLib3Session.send
_handle = httpx.HTTPTransport.handle_request


@contextmanager
def answering(endpoint: str) -> Iterator[None]:
    """Have what this process asks of `endpoint` be answered in it."""

    def send(session: URLLib3Session, request: AWSPreparedRequest) -> AWSResponse:
        signed = SERVICE.search(_text(request.headers.get("Authorization", "")))
        handle = _handlers().get(signed[1]) if signed else None
        if handle is None or not request.url.startswith(endpoint):
            return _send(session, request)
        # Not before backend.start() has made the environment safe to import it in.
        from moto.core.botocore_stubber import MockRawResponse

        status, headers, body = _ask(handle, request)
        return AWSResponse(request.url, status, headers, MockRawResponse(body))

    def handle_request(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        if not url.startswith(endpoint):
            return _handle(transport, request)
        sent: Any = request.headers
        asked = AWSPreparedRequest(request.method, url, sent, request.read(), False)
        status, headers, body = _ask(_s3, asked)
        named = {name: str(value) for name, value in headers.items()}
        return httpx.Response(status, headers=named, content=body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(URLLib3Session, "send", send)
        patch.setattr(httpx.HTTPTransport, "handle_request", handle_request)
        yield


@contextmanager
def over_http() -> Iterator[None]:
    """Have moto's server answer all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(URLLib3Session, "send", _send)
        patch.setattr(httpx.HTTPTransport, "handle_request", _handle)
        yield


Answer = tuple[int, Any, str | bytes]


def _ask(handle: Callable[..., Answer], request: AWSPreparedRequest) -> Answer:
    from moto.core.request import normalize_request

    asked = normalize_request(request)
    try:
        return handle(asked, asked.raw_url, asked.headers)
    except HTTPException as error:
        return error.code or 500, dict(error.get_headers()), error.get_body()


@functools.cache
def _handlers() -> dict[str, Callable[..., Answer]]:
    from moto.dynamodb.responses import DynamoHandler
    from moto.events.responses import EventsHandler
    from moto.secretsmanager.responses import SecretsManagerResponse
    from moto.sesv2.responses import SESV2Response

    return {
        "dynamodb": DynamoHandler.dispatch,
        "events": EventsHandler.dispatch,
        "s3": _s3,
        "secretsmanager": SecretsManagerResponse.dispatch,
        "ses": SESV2Response.dispatch,
    }


def _s3(asked: Any, url: str, headers: Any) -> Answer:
    from moto.s3.responses import S3Response

    _, _, key = urlsplit(url).path[1:].partition("/")
    dispatch = S3Response.key_dispatch if key else S3Response.ambiguous_dispatch
    answer: Answer = dispatch(asked, url, headers)
    return answer


def _text(header: str | bytes) -> str:
    return header.decode() if isinstance(header, bytes) else header
