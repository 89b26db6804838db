"""`chalice local` as a child process that can be restarted."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.embedded.environment import reachable

# How long the server may take to end. Requests that are under way are cut: they can be repeated.
STOP_SECONDS = 3


class Child:
    """One `chalice local` at a time, on one address."""

    def __init__(
        self, root: Path, host: str, port: int, environ: Mapping[str, str], *, jobs: bool
    ) -> None:
        """Start nothing yet.

        `root` is the project's folder, and `environ` is read when the server starts. `jobs` has it
        do what AWS does by itself.
        """
        self._root = root
        self._host = host
        self._port = port
        self._jobs = "jobs" if jobs else "no-jobs"
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self._tether: tuple[int, int] | None = None

    def start(self) -> None:
        """Start the server; it inherits our terminal, so breakpoint() works in it."""
        self._tether = os.pipe()
        end = self._tether[0]
        # A server that reads no events any more holds up nobody.
        os.set_blocking(self._tether[1], False)
        arguments = [str(end), self._jobs, self._host, str(self._port)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module, and no shell
            [sys.executable, "-m", "local.tethered", *arguments],
            cwd=self._root,
            # Unbuffered, so that its log and ours come in order, into a pipe too.
            env={**self._environ, "PYTHONUNBUFFERED": "1"},
            pass_fds=(end,),
        )

    def tell(self, event: dict[str, Any]) -> None:
        """Tell the server of an event of S3's.

        What it is not told, since it does not run or does not listen, or does nothing about since
        it ends, it is told when it starts again, and upkeep finds it.
        """
        with contextlib.suppress(OSError):
            if self._tether:
                os.write(self._tether[1], json.dumps(event).encode() + b"\n")

    def stop(self) -> None:
        """End the server, at the latest after STOP_SECONDS. Does nothing when it has ended."""
        if self._process is None or self._tether is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for end in self._tether:
            os.close(end)
        self._process = self._tether = None

    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.poll() if self._process else None

    def answers(self) -> bool:
        """Whether the server answers a request, with whatever status."""
        connection = http.client.HTTPConnection(reachable(self._host), self._port, timeout=1)
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True
