"""The embedded backend in the app's own process, as a bare `chalice local` has it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from local.embedded import backend
from local.embedded.environment import apply
from local.schedules import Jobs


def start() -> None:
    """Start a backend for the app that runs in this very process, and make it use that backend.

    Its data is in memory: Chalice's reloader would take a change of a file in the project's folder
    for an edit.
    """
    # Chalice's reloader watches the whole project folder, .venv too, and takes a fresh .pyc for an
    # edit: it would restart the process and lose the data that lives in it.
    sys.dont_write_bytecode = True
    jobs, data = Jobs(), backend.listen()
    data.serve(jobs.arrived)
    apply(data.environment(), os.environ)
    os.environ.setdefault("RECORDER_PUBLIC_URL", f"http://127.0.0.1:{port(sys.argv)}")
    logging.getLogger(__name__).warning("mails can be read at %s", data.mail_url)
    jobs.start()
    # botocore says where it found credentials and endpoints: always in what we gave it.
    logging.getLogger("botocore").setLevel(logging.WARNING)


def port(command: Sequence[str]) -> str:
    """Where `chalice local` listens, by the arguments that it was started with."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--port", default="8000")
    known, _ = parser.parse_known_args(command[1:])
    return str(known.port)
