"""Chalice's command line, tethered to the process that started it.

`python -m local.tethered FD JOBS ARGUMENTS...` runs `chalice ARGUMENTS...` until FD, the reading
end of a pipe, comes to its end. That happens when nobody holds the writing end any longer, so even
a supervisor that was killed outright leaves no server behind, on Linux and macOS alike. JOBS is
`jobs` if what AWS runs by schedule is to be run too.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from chalice import cli
from chalice.local import ChaliceRequestHandler, ThreadedHTTPServer

from chalicelib.wiring import services
from local.embedded import schedules

# A path that is none, and a method that a path does not have.
UNSEEN = {HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED}


def main() -> None:
    """Run chalice, for as long as the tether holds."""
    _, tether, jobs, *arguments = sys.argv
    # Ctrl-C reaches the whole process group. The supervisor answers it, and ends us in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(int(tether),), daemon=True).start()
    # botocore says where it found credentials and endpoints, which would stand among the requests.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    # Headers and body are written one after the other, and without this the body waits for a client
    # that keeps its connection to acknowledge the headers: 40 ms a request.
    ChaliceRequestHandler.disable_nagle_algorithm = True
    ChaliceRequestHandler.log_request = _log_request
    # Connections that come at one moment wait to be taken: Python has five wait, and resets others.
    ThreadedHTTPServer.request_queue_size = 256
    if jobs == "jobs":
        schedules.start(
            deliver_mail=lambda: services().mail.deliver(), upkeep=lambda: services().upkeep.run()
        )
    sys.argv = ["chalice", *arguments]
    cli.main()


def _log_request(
    handler: BaseHTTPRequestHandler, code: int | str = "-", _size: int | str = "-"
) -> None:
    """Log what no view of the app's has seen; it has logged the rest itself, and says more."""
    if handler.command == "OPTIONS" or code in UNSEEN:
        print(f"{handler.command} {handler.path} {code}", flush=True)


def _end_with(tether: int) -> None:
    os.read(tether, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
