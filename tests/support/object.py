"""One object behind one URL, as S3 answers for it: ranges, and If-Match."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from chalicelib.models.entities import StoredObject

ETAG = '"1"'


class Served(ThreadingHTTPServer):
    """Serves one file, and notes what it was asked for."""

    daemon_threads = True

    def __init__(self, file: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.file = file
        self.asked: list[str] = []
        self.status = 206

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/object?signed=yes"

    @property
    def kept(self) -> StoredObject:
        size = self.file.stat().st_size
        return StoredObject(size=size, content_type="", etag=ETAG, sha256=None, version_id="")


class _Handler(BaseHTTPRequestHandler):
    server: Served
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        given = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.server.asked.append(self.headers.get("Range", self.path))
        status = self.server.status if self.headers.get("If-Match") == ETAG else 412
        body = b""
        if given and status == 206:
            first, last = int(given[1]), int(given[2])
            with self.server.file.open("rb") as file:
                file.seek(first)
                body = file.read(last + 1 - first)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(file: Path) -> Iterator[Served]:
    """The file, for as long as it is asked for."""
    with Served(file) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()
