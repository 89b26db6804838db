"""What API Gateway does before the app is asked, done in front of `chalice local`.

Chalice's server has words of its own for a path that is none, and takes no body whose length is not
said before.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from chalice.local import ChaliceRequestHandler, LocalGatewayException, ThreadedHTTPServer

from chalicelib.api.problems import HEADERS, PROBLEM, cors, describe
from chalicelib.core.ids import uuid7
from chalicelib.errors import InvalidRequest, RecorderError
from chalicelib.settings import load
from ops.gateway import REFUSALS

# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
MOST_BYTES = 10 * 1024 * 1024

_parse_payload = ChaliceRequestHandler._parse_payload
_generic_handle = ChaliceRequestHandler._generic_handle
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class Refused(LocalGatewayException):
    """A request does not reach the app."""

    def __init__(self, refusal: RecorderError) -> None:
        headers = HEADERS | cors(load().cors_origin).get_access_control_headers()
        body = describe(refusal, uuid7()).encode()
        super().__init__(headers | {"Content-Type": PROBLEM, **refusal.headers}, body)
        self.CODE = refusal.status


def stand_in() -> None:
    """Have Chalice's server behave as API Gateway does, and log only what the app has not seen."""
    # Headers and body are written one after the other, and without this the body waits for a client
    # that keeps its connection to acknowledge the headers: 40 ms a request.
    ChaliceRequestHandler.disable_nagle_algorithm = True
    # Connections that come at one moment wait to be taken: Python has five wait, and resets others.
    ThreadedHTTPServer.request_queue_size = 256
    mended: dict[str, Any] = {
        "_parse_payload": _payload,
        "_send_error_response": _send_refusal,
        "log_request": lambda *_: None,
        **{f"do_{method}": _answer for method in METHODS},
    }
    for name, function in mended.items():
        setattr(ChaliceRequestHandler, name, function)


def _answer(handler: ChaliceRequestHandler) -> None:
    try:
        _generic_handle(handler)
    except Refused as refusal:
        # Chalice reads the body before it is ready to refuse anything.
        handler._send_error_response(refusal)


def _payload(handler: ChaliceRequestHandler) -> tuple[dict[str, str], bytes | None]:
    """The headers, and a body that is read whole however it comes. Raises Refused."""
    try:
        if handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = _chunks(handler.rfile)
            return dict(handler.headers) | {"Content-Length": str(len(body))}, body
        if int(handler.headers.get("Content-Length", 0)) > MOST_BYTES:
            raise Refused(REFUSALS["REQUEST_TOO_LARGE"])
    except (ValueError, Refused) as error:
        # What is left of the body would be taken for the next request.
        handler.close_connection = True
        malformed = Refused(InvalidRequest("The body's length cannot be told"))
        raise error if isinstance(error, Refused) else malformed from error
    payload: tuple[dict[str, str], bytes | None] = _parse_payload(handler)
    return payload


def _chunks(source: BinaryIO) -> bytes:
    """A body in chunks (RFC 9112, 7.1). Raises ValueError when it is none, and Refused."""
    body = bytearray()
    while size := int(source.readline(64).partition(b";")[0], 16):
        if len(body) + size > MOST_BYTES:
            raise Refused(REFUSALS["REQUEST_TOO_LARGE"])
        body += source.read(size)
        if source.readline(3) != b"\r\n":
            raise ValueError("A chunk does not end where it says")
    while source.readline(8192).strip():
        pass  # Trailers, which API Gateway drops.
    return bytes(body)


def _send_refusal(handler: ChaliceRequestHandler, refusal: LocalGatewayException) -> None:
    if not isinstance(refusal, Refused):
        refusal = Refused(REFUSALS["MISSING_AUTHENTICATION_TOKEN"])
    print(f"{handler.command} {handler.path} {refusal.CODE}", flush=True)
    body = b"" if handler.command == "HEAD" else refusal.body
    handler._send_http_response(refusal.CODE, dict(refusal.headers), body)
