"""The server of the embedded services: one port for all of them, a thread for each connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote

from local.embedded.disk import Disk
from local.embedded.http import Answer, Request, refusal

EMPTY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


class Server(ThreadingHTTPServer):
    """Listens on a port from the beginning, and answers once it is told how."""

    # Connections that come at one moment wait to be taken: Python has five wait, and resets others.
    request_queue_size = 256
    daemon_threads = True

    def __init__(self, host: str, port: int, disk: Disk | None) -> None:
        """Port 0 is any that is free. Raises OSError when the address cannot be had."""
        super().__init__((host, port), _Handler)
        self.disk = disk
        self.answer: Callable[[Request, str], Answer]

    def serve(self, answer: Callable[[Request, str], Answer]) -> None:
        """Answer, in threads, what has come and what comes."""
        self.answer = answer
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        if hasattr(self, "answer"):
            self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _respond(self) -> None:
        refused = _refusal_of_framing(self.headers)
        if refused:
            self.close_connection = True
            self._send(refused)
            return
        size = int(self.headers.get("Content-Length", 0))
        disk = self.server.disk
        body = disk.receive(self.rfile, size) if disk else self.rfile.read(size)
        try:
            if len(body) == size:
                self._send(self.server.answer(self._request(body), self.client_address[0]))
            else:
                self.close_connection = True
        finally:
            if disk:
                disk.release(body)

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = _respond  # noqa: N815

    def _request(self, body: Any) -> Request:
        raw_path, _, query = self.path.partition("?")
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            lower = name.lower()
            headers[lower] = f"{headers[lower]},{value}" if lower in headers else value
        return Request(
            method=self.command,
            raw_path=raw_path,
            path=unquote(raw_path),
            query=parse_qs(query, keep_blank_values=True),
            headers=headers,
            body=body,
        )

    def _send(self, answer: Answer) -> None:
        status, headers, body = answer
        self.send_response(status)
        if self.command != "HEAD" and status not in EMPTY:
            headers = headers | {"Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value.encode("utf-8").decode("latin-1"))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and status not in EMPTY:
            self.wfile.write(body)

    def version_string(self) -> str:
        """The name that S3 gives itself."""
        return "AmazonS3"

    def log_message(self, *_: object) -> None:
        """Log nothing: a line for every call drowns the app's own log."""


def _refusal_of_framing(headers: Any) -> Answer | None:
    """What S3 says to a body whose length is not said before."""
    if "Transfer-Encoding" in headers:
        message = "A header you provided implies functionality that is not implemented"
        return refusal(HTTPStatus.NOT_IMPLEMENTED, "NotImplemented", message)
    if not headers.get("Content-Length", "0").isdigit():
        return refusal(HTTPStatus.BAD_REQUEST, "InvalidArgument", "Content-Length is a number")
    return None
