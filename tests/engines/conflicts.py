"""A DynamoDB that cancels transactions which meet another, as AWS's does and no emulator."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# How long a transaction holds its items.
SECONDS = 0.015
CANCELED = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"


class Proxy(ThreadingHTTPServer):
    """Hands requests on, and holds each transaction's items meanwhile."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = urlsplit(endpoint).netloc
        self.conflicts = 0
        self._held: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, keys: set[str]) -> Iterator[bool]:
        """Hold items for a transaction; False when another one has some of them."""
        with self._lock:
            free = not keys & self._held
            self.conflicts += not free
            self._held |= keys if free else set()
        try:
            if free:
                time.sleep(SECONDS)
            yield free
        finally:
            with self._lock:
                self._held -= keys if free else set()


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.headers["X-Amz-Target"].endswith(".TransactWriteItems"):
            self._hand_on(body)
            return
        items = json.loads(body)["TransactItems"]
        with self.server.holding({key for item in items for key in _keys(item)}) as free:
            if free:
                self._hand_on(body)
            else:
                self._send(400, _canceled(items))

    def _hand_on(self, body: bytes) -> None:
        asked = http.client.HTTPConnection(self.server.address, timeout=30)
        asked.request("POST", "/", body, dict(self.headers))
        answer = asked.getresponse()
        self._send(answer.status, answer.read())
        asked.close()

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _keys(item: dict[str, Any]) -> list[str]:
    """The items that a part of a transaction is about, each as a text."""
    [operation] = item.values()
    attributes = operation.get("Key") or operation["Item"]
    return [json.dumps([operation["TableName"], attributes["pk"], attributes["sk"]])]


def _canceled(items: list[Any]) -> bytes:
    reasons = [{"Code": "TransactionConflict", "Message": "Transaction is ongoing"} for _ in items]
    message = "Transaction cancelled, please refer cancellation reasons for specific reasons"
    return json.dumps(
        {"__type": CANCELED, "message": message, "CancellationReasons": reasons}
    ).encode()


@contextmanager
def making_conflicts(endpoint: str) -> Iterator[Proxy]:
    """Run a proxy in front of a DynamoDB."""
    proxy = Proxy(endpoint)
    threading.Thread(target=proxy.serve_forever, args=(0.1,), daemon=True).start()
    yield proxy
    proxy.shutdown()
    proxy.server_close()
