"""Bodies as `make run` reads them off a connection."""

from __future__ import annotations

import io
from email.message import Message

import pytest

from chalicelib.errors import InvalidRequest, RecorderError
from local.gateway import MOST_BYTES, body_of

CHUNKED = {"Transfer-Encoding": "chunked"}
NEXT = b"GET /health HTTP/1.1\r\n\r\n"


def read(sent: bytes, headers: dict[str, str]) -> tuple[bytes | None, bytes]:
    """The body that is read, and what is left for the next request."""
    message = Message()
    for name, value in headers.items():
        message[name] = value
    stream = io.BytesIO(sent + NEXT)
    return body_of(message, stream), stream.read()


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (b'A;ext="x"\r\n0123456789\r\n00\r\n\r\n', b"0123456789"),
        (b"3\r\nabc\r\n0\r\nX-Checksum: 1\r\nX-Other: 2\r\n\r\n", b"abc"),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (b"3\nabc\n0\n\n", b"abc"),
    ],
    ids=str,
)
@pytest.mark.parametrize("also", [{}, {"Content-Length": "1"}], ids=["", "a length too"])
def test_a_chunked_body_is_read_to_its_end(sent: bytes, body: bytes, also: dict[str, str]) -> None:
    assert read(sent, CHUNKED | also) == (body, NEXT)


def test_a_body_with_a_length_is_read_to_its_end() -> None:
    assert read(b"abc", {"Content-Length": " 3 "}) == (b"abc", NEXT)
    assert read(b"", {}) == (None, NEXT)


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Content-Length": "abc"}, "Content-Length"),
        ({"Content-Length": "-1"}, "Content-Length"),
        ({"Content-Length": "1.0"}, "Content-Length"),
        ({"Content-Length": "9" * 5000}, "Content-Length"),
        ({"Content-Length": "3", "content-length": "2"}, "Content-Length"),
        ({"Transfer-Encoding": "gzip"}, "Transfer-Encoding"),
        ({"Transfer-Encoding": "gzip, chunked"}, "Transfer-Encoding"),
    ],
    ids=str,
)
def test_a_body_whose_end_is_not_known_is_refused(headers: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(b"abc", headers)

    assert [each.field for each in refused.value.errors] == [field]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"3\r\nab",
        b"3\r\nabc\r\n",
        b"3\r\nabc\r\n0\r\n",
        b"x\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3" * 10_000,
    ],
    ids=lambda sent: str(sent[:20]),
)
def test_a_chunked_body_that_is_cut_short_or_garbled_is_refused(sent: bytes) -> None:
    message = Message()
    message["Transfer-Encoding"] = "chunked"

    with pytest.raises(InvalidRequest):
        body_of(message, io.BytesIO(sent))


@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        (b"", {"Content-Length": str(MOST_BYTES + 1)}),
        (b"%x\r\n" % (MOST_BYTES + 1), CHUNKED),
        (b"%x\r\n%s\r\n1\r\n" % (MOST_BYTES, bytes(MOST_BYTES)), CHUNKED),
    ],
    ids=["length", "a chunk", "chunks"],
)
def test_a_body_larger_than_api_gateway_takes_is_refused(
    sent: bytes, headers: dict[str, str]
) -> None:
    with pytest.raises(RecorderError) as refused:
        read(sent, headers)

    assert (refused.value.status, refused.value.code) == (413, "too_large")
