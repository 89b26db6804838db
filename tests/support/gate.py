"""A gate between a client and S3, at which requests are noted, and can be held, refused or lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.support.server import http

# How long a request is held at most, if a test fails to open the gate: it bounds a failure.
HELD_SECONDS = 60


class Lost(Exception):
    """A connection ends without an answer."""


class Answered(Exception):
    """The gate answers instead of S3."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class Passing:
    """A request at the gate."""

    method: str
    url: httpx.URL
    headers: dict[str, str]
    body: bytearray

    @property
    def part(self) -> int:
        """The number of the part that is sent; 0 for a whole file."""
        return int(self.url.params.get("partNumber", 0))

    @property
    def signed_at(self) -> str:
        return str(self.url.params["X-Amz-Date"])


Rule = Callable[[Passing], None]


def _pass_on(_: Passing) -> None:
    pass


class Gate(ThreadingHTTPServer):
    """Passes requests on to `s3`.

    A rule is called before a request is passed on, or after that and before its answer is, or when
    half of the answer was. It may change the request, hold it, or raise Lost or Answered.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.s3 = ""
        self._begin()

    def _begin(self) -> None:
        self.seen: list[Passing] = []
        self.before: Rule = _pass_on
        self.after: Rule = _pass_on
        self.amid: Rule = _pass_on
        self._held: list[None] = []
        self._opened = threading.Event()

    @property
    def held(self) -> int:
        """How many requests are held."""
        return len(self._held)

    def hold(self) -> None:
        """Keep a request here until the gate opens, when whoever sent it is gone: Lost."""
        opened = self._opened
        self._held.append(None)
        opened.wait(HELD_SECONDS)
        raise Lost

    def open(self) -> None:
        """Let go of what is held, forget the rules and what was seen, and let everything pass."""
        self._opened.set()
        self._begin()

    def parts(self) -> list[int]:
        return sorted(passing.part for passing in self.seen)


class _Handler(BaseHTTPRequestHandler):
    server: Gate

    def do_GET(self) -> None:
        self._pass()

    def do_PUT(self) -> None:
        self._pass()

    def log_message(self, *_: object) -> None:
        """Nothing: what passes is noted."""

    def _pass(self) -> None:
        gate, size = self.server, int(self.headers.get("Content-Length", 0))
        body = bytearray(self.rfile.read(size))
        if len(body) < size:
            return  # Its client died.
        headers = {name.lower(): value for name, value in self.headers.items()}
        passing = Passing(self.command, httpx.URL(gate.s3 + self.path), headers, body)
        gate.seen.append(passing)
        try:
            gate.before(passing)
            answer = http.request(
                passing.method, passing.url, headers=headers, content=bytes(passing.body)
            )
            gate.after(passing)
            self._answer(answer.status_code, answer.headers, answer.content, passing)
        except Answered as answered:
            self._answer(answered.status, httpx.Headers(), b"", passing)
        except (Lost, ConnectionError):
            pass

    def _answer(self, status: int, headers: httpx.Headers, body: bytes, passing: Passing) -> None:
        self.send_response_only(status)
        for name in ("Content-Type", "Content-Range", "ETag"):
            if name in headers:
                self.send_header(name, headers[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.server.amid(passing)
        self.wfile.write(body[half:])


@contextmanager
def standing() -> Iterator[Gate]:
    """A gate that stands until the end."""
    with Gate() as gate:
        thread = threading.Thread(target=gate.serve_forever)
        thread.start()
        yield gate
        gate.open()
        gate.shutdown()
        thread.join()
