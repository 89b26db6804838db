"""Upkeep beside `make run`, as the schedule has it on AWS."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

SECONDS = 300


class Timer:
    """Starts upkeep every SECONDS, in a process of its own, so that it follows the code."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        """Wait for the first time. `root` is the project's folder."""
        self._root = root
        self._environ = {**environ, "PYTHONDONTWRITEBYTECODE": "1"}
        self._process: subprocess.Popen[bytes] | None = None
        self._next = time.monotonic() + SECONDS

    def tick(self) -> None:
        """Start upkeep, if it is time and the last one has ended."""
        if time.monotonic() < self._next or (self._process and self._process.poll() is None):
            return
        self._next = time.monotonic() + SECONDS
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local.upkeep"], cwd=self._root, env=self._environ
        )

    def stop(self) -> None:
        """End it, wherever it is: the next one goes on from there."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
