"""One request to a provider, with a bound on everything that its answer could have too much of."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from urllib.parse import urlencode, urlsplit

from msgspec import Struct

from chalicelib import deadline, telemetry
from chalicelib.errors import Unavailable

# Both answer within some 100 ms; a first connection takes a few round trips more.
CONNECT_SECONDS = 2
# From the beginning of the connection to the last byte, however the bytes may drip.
SECONDS = 4
# Google's two keys are 1.5 KB, Apple's three 1.3 KB.
MOST_BYTES = 65_536


class Answer(Struct, frozen=True):
    """What was answered, whatever its status."""

    status: int
    headers: Message
    body: bytes


def ask(name: str, url: str, form: Mapping[str, str] | None = None) -> Answer:
    """GET an address, or POST a form to it; `name` is what the log knows the call by.

    Unavailable when it does not answer whole, in time and within bounds. No redirection is
    followed, and no proxy used.
    """
    if deadline.seconds_left() < SECONDS + CONNECT_SECONDS:
        raise Unavailable(f"There is no time left for {name}")
    telemetry.note_call(name)
    try:
        return _ask(url, form)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"{name} is not answered: {type(error).__name__}") from error


def _ask(url: str, form: Mapping[str, str] | None) -> Answer:
    asked = urlsplit(url)
    host = asked.hostname or ""
    connection: http.client.HTTPConnection
    if asked.scheme == "https":
        connection = http.client.HTTPSConnection(
            host, asked.port, timeout=CONNECT_SECONDS, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, asked.port, timeout=CONNECT_SECONDS)
    watch: threading.Timer | None = None
    try:
        connection.connect()
        # A time-out of the socket begins anew with each byte, so somebody else looks at the clock.
        watch = threading.Timer(SECONDS, _cut, [connection.sock])
        watch.daemon = True
        watch.start()
        path = (asked.path or "/") + (f"?{asked.query}" if asked.query else "")
        if form is None:
            connection.request("GET", path, headers={"Accept": "application/json"})
        else:
            sent = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", path, urlencode(form), sent)
        response = connection.getresponse()
        body = response.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise ValueError(f"More than {MOST_BYTES} bytes")
        if response.length:
            raise http.client.IncompleteRead(body, response.length)
        return Answer(response.status, response.headers, body)
    finally:
        if watch:
            watch.cancel()
        connection.close()


def _cut(connected: socket.socket) -> None:
    with suppress(OSError):
        # The one below TLS, which whoever waits for a byte is in the middle of.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
