"""`chalice local`'s HTTP, mended to be what API Gateway's is.

Chalice reads a body by its Content-Length alone, so that what follows a chunked one is taken for
the next request, and refuses what it does not know in words of its own. Here a body is read to its
end or refused, and each refusal is the one that API Gateway gives (ops/gateway.py).
"""

from __future__ import annotations

import re
import socket
import uuid
from contextlib import suppress
from email.errors import MissingHeaderBodySeparatorDefect
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, BinaryIO

from chalice.local import ChaliceRequestHandler, ThreadedHTTPServer

from chalicelib import settings
from chalicelib.api.problems import HEADERS, PROBLEM, cors, describe
from chalicelib.errors import InvalidRequest, LengthRequired, MethodNotAllowed, RecorderError
from ops.gateway import NO_SUCH_ROUTE, REFUSALS

# API Gateway's own limit for a request.
MOST_BYTES = 10 * 1024 * 1024
# A line that says how long a chunk is, or is in the trailer.
LONGEST_LINE = 8192
# How much of a request that was refused is still read, and for how long, before its connection is
# closed: a client that is sending reads no answer from one that was reset.
LINGER_BYTES = 10 * MOST_BYTES
LINGER_SECONDS = 2

Headers = dict[str, Any]


def mend() -> None:
    """Have every server that Chalice makes in this process serve so."""
    handler: Any = ChaliceRequestHandler
    # Headers and body are written one after the other, and without this the body waits for a client
    # that keeps its connection to acknowledge the headers: 40 ms a request.
    handler.disable_nagle_algorithm = True
    handler.log_request = _log_request
    handler.send_error = _refuse_malformed
    # What is no request is refused as one of today is, and not as those of 1991.
    handler.default_request_version = "HTTP/1.1"
    handler.serve_as_chalice_does = handler._generic_handle
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        setattr(handler, f"do_{method}", _serve)
    handler._parse_payload = _parse_payload
    handler._send_error_response = lambda self, _: _answer(self, NO_SUCH_ROUTE)
    handler.answer_as_chalice_does = handler._send_http_response_with_body
    handler._send_http_response_with_body = _send_with_body
    # Connections that come at one moment wait to be taken: Python has five wait, and resets others.
    ThreadedHTTPServer.request_queue_size = 256


def body_of(headers: Any, stream: BinaryIO) -> bytes | None:
    """A request's body, read to its end; InvalidRequest or TooLarge when that cannot be.

    None when it has none that it says anything of.
    """
    if any(isinstance(defect, MissingHeaderBodySeparatorDefect) for defect in headers.defects):
        # From there on they are taken for no headers, be it because of a space before a colon.
        raise InvalidRequest("A line is not a header", field="headers")
    coding = headers.get("Transfer-Encoding", "").strip().lower()
    if coding == "chunked":
        return _chunks(stream)
    if coding:
        raise InvalidRequest("Only chunked is known", field="Transfer-Encoding")
    lengths = {length.strip() for length in headers.get_all("Content-Length", [])}
    if not lengths:
        return None
    announced = lengths.pop()
    if lengths or not re.fullmatch("[0-9]{1,18}", announced, re.ASCII):
        raise InvalidRequest("Not a number of bytes", field="Content-Length")
    if int(announced) > MOST_BYTES:
        raise REFUSALS["REQUEST_TOO_LARGE"]
    return stream.read(int(announced))


def _chunks(stream: BinaryIO) -> bytes:
    """A chunked body (RFC 9112, section 7.1), and its trailer, of which nothing is kept."""
    body = bytearray()
    while size := _chunk_size(stream):
        if len(body) + size > MOST_BYTES:
            raise REFUSALS["REQUEST_TOO_LARGE"]
        body += (chunk := stream.read(size))
        if len(chunk) < size or _line(stream):
            raise InvalidRequest("A chunk does not have the bytes it says", field="body")
    while _line(stream):
        pass
    return bytes(body)


def _chunk_size(stream: BinaryIO) -> int:
    size = _line(stream).partition(b";")[0].strip()
    if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", size):
        raise InvalidRequest("A chunk does not say how long it is", field="body")
    return int(size, 16)


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline(LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise InvalidRequest("The body is cut short", field="body")
    return line.rstrip(b"\r\n")


def _serve(handler: Any) -> None:
    try:
        handler.serve_as_chalice_does()
    except UnicodeEncodeError:
        # Chalice would say what Authorization was sent to a path that is none, in ASCII.
        _answer(handler, NO_SUCH_ROUTE)
    except RecorderError as error:
        # Where its body ends is not known, so neither is where another request begins.
        handler.close_connection = True
        # Nor whether anybody is left to be answered.
        with suppress(ConnectionError):
            _answer(handler, error)
            _linger(handler)


def _parse_payload(handler: Any) -> tuple[Headers, bytes | None]:
    body = body_of(handler.headers, handler.rfile)
    if body is None and handler.command == "PUT":
        raise LengthRequired("Send Content-Length, or chunks")
    headers = {name.lower(): value for name, value in handler.headers.items()}
    if headers.pop("transfer-encoding", None):
        headers["content-length"] = str(len(body or b""))
    return headers, body or None


def _refuse_malformed(handler: Any, code: int, message: str | None = None, *_: object) -> None:
    """What Python's server refuses by itself: a method that it has not, or no request at all."""
    handler.close_connection = True
    if code == HTTPStatus.NOT_IMPLEMENTED:
        _answer(handler, MethodNotAllowed("There is no such method"))
    else:
        _answer(handler, InvalidRequest(message or "Not a request"))


def _linger(handler: Any) -> None:
    with suppress(OSError):
        handler.connection.shutdown(socket.SHUT_WR)
        handler.connection.settimeout(LINGER_SECONDS)
        left = LINGER_BYTES
        while left > 0 and (read := handler.rfile.read1(65536)):
            left -= len(read)


def _answer(handler: Any, error: RecorderError) -> None:
    everywhere = cors(settings.load().cors_origin).get_access_control_headers()
    headers: Headers = {**HEADERS, **everywhere, **error.headers}
    headers["Content-Type"] = PROBLEM
    if handler.close_connection:
        headers["Connection"] = "close"
    handler.refused = True
    handler._send_http_response(error.status, headers, describe(error, str(uuid.uuid4())))
    handler.refused = False


def _send_with_body(handler: Any, code: int, headers: Headers, body: str | bytes) -> None:
    if handler.command != "HEAD":
        handler.answer_as_chalice_does(code, headers, body)
        return
    # Nothing is said of a length: that of the answer to GET is not known.
    handler.send_response(code)
    handler._send_headers(headers)


def _log_request(
    handler: BaseHTTPRequestHandler, code: int | str = "-", _size: int | str = "-"
) -> None:
    """Log what no view of the app's has seen; it has logged the rest itself, and says more."""
    if (
        handler.command == "OPTIONS"
        or code == HTTPStatus.METHOD_NOT_ALLOWED
        or getattr(handler, "refused", False)
    ):
        print(f"{handler.command} {getattr(handler, 'path', '')} {code}", flush=True)
