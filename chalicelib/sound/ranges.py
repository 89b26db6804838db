"""A file behind one signed URL, read by ranges: as much of it at a time as memory has room for."""

from __future__ import annotations

import http.client
import io
from collections import OrderedDict
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

# A range that S3 sends in a tenth of a second. What is read in order is read once; the others are
# for containers whose index lies at the other end.
BLOCK_BYTES = 4 * 1024 * 1024
BLOCKS_KEPT = 4
SECONDS_TO_ANSWER = 10
TRIES = 3
# How often a file may be asked for each of its blocks, on the average: an honest one is twice.
TIMES_OVER = 4


class Unreachable(Exception):
    """The bytes could not be had, which says nothing of them."""


class Ranges(io.RawIOBase):
    """The bytes of one object as a file, as long as it is the one with this ETag.

    `failure` says why bytes could not be had: whoever reads may have taken that for the end.
    """

    def __init__(self, url: str, etag: str, size: int) -> None:
        super().__init__()
        self._url: SplitResult = urlsplit(url)
        self._etag = etag
        self._size = size
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._connection: http.client.HTTPConnection | None = None
        self._requests_left = TIMES_OVER * (size // BLOCK_BYTES + BLOCKS_KEPT)
        self.failure: Unreachable | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; never before the beginning."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, most: int = -1) -> bytes:
        """Some of what comes next; nothing at the end. Unreachable."""
        number, start = divmod(self._at, BLOCK_BYTES)
        if self._at >= self._size:
            return b""
        block = self._block(number)
        part = block[start:] if most < 0 else block[start : start + most]
        self._at += len(part)
        return part

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection:
            self._connection.close()
        super().close()

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        if not self._requests_left:
            return b""  # It leads to and fro without an end.
        self._requests_left -= 1
        first = number * BLOCK_BYTES
        block = self._fetched(first, min(first + BLOCK_BYTES, self._size) - 1)
        self._blocks[number] = block
        if len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return block

    def _fetched(self, first: int, last: int) -> bytes:
        why = ""
        for _ in range(TRIES):
            try:
                status, body = self._asked(first, last)
            except (OSError, http.client.HTTPException) as error:
                self._connection, why = None, repr(error)
                continue
            if status == HTTPStatus.PARTIAL_CONTENT and len(body) == last + 1 - first:
                return body
            why = f"{status} to bytes {first} to {last}"
            if status < HTTPStatus.INTERNAL_SERVER_ERROR:
                break
        self.failure = Unreachable(why)
        raise self.failure

    def _asked(self, first: int, last: int) -> tuple[int, bytes]:
        if self._connection is None:
            secure = self._url.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            self._connection = kind(self._url.netloc, timeout=SECONDS_TO_ANSWER)
        headers = {"Range": f"bytes={first}-{last}", "If-Match": self._etag}
        self._connection.request("GET", f"{self._url.path}?{self._url.query}", headers=headers)
        answer = self._connection.getresponse()
        # No more than was asked for, whatever comes: the rest would stand before the next answer.
        body = answer.read(last + 2 - first)
        if not answer.isclosed():
            self._connection.close()
            self._connection = None
        return answer.status, body
