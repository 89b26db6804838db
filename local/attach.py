"""Runs a module over the data of a `make run`: `python -m local.attach PORT MODULE ARGUMENTS...`.

A running `make run` leaves word of how its data is reached, in a file for its user alone. With
RECORDER_BACKEND=aws the module gets the environment as it is instead, and that leads to AWS.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from local.embedded import environment

FOLDER = Path(__file__).resolve().parent.parent / ".recorder"


def main() -> None:
    """Become the module."""
    _, port, module, *arguments = sys.argv
    environ = dict(os.environ)
    if environ.get("RECORDER_BACKEND") != "aws":
        try:
            word = json.loads(_file(port).read_text(encoding="utf-8"))
            where = urlsplit(word["AWS_ENDPOINT_URL"])
            # It stays behind when its `make run` is killed.
            socket.create_connection((where.hostname, where.port), timeout=5).close()
        except OSError:
            sys.exit(f"No `make run PORT={port}` is running, and RECORDER_BACKEND is not aws")
        environment.apply(word, environ)
    command = [sys.executable, "-m", module, *arguments]
    os.execve(sys.executable, command, environ)  # noqa: S606 - our own modules, and no shell


@contextmanager
def word_left(port: int, environ: Mapping[str, str]) -> Iterator[None]:
    """Leave word, while a `make run` on this port is running, of what it gives its server."""
    word = {
        name: value
        for name, value in environ.items()
        if name.startswith(("AWS_", "RECORDER_")) or name.lower() == "no_proxy"
    }
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    file = _file(str(port))
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        json.dump(word, opened)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _file(port: str) -> Path:
    return FOLDER / f"{port}.json"


if __name__ == "__main__":
    main()
