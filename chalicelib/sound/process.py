"""Listening in a process of its own: what hostile bytes do to it, they do to nothing else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import IO

import msgspec
from msgspec import Struct

from chalicelib.errors import InternalError, Unavailable
from chalicelib.models.entities import Heard, StoredObject
from chalicelib.sound import listener

log = logging.getLogger(__name__)

# As much of what it complains of as goes into the log.
SAID_BYTES = 2000


class ListenerProcess(Struct, frozen=True):
    """See core/ports.py for what it promises."""

    environment: Callable[[], Mapping[str, str]]
    """What the process gets to know of this one's environment."""

    def hear(self, url: str, kept: StoredObject, seconds: float) -> Heard:
        order = listener.Order(url=url, etag=kept.etag, size=kept.size)
        # Files, of which it can write no more than its limits let it: it may be somebody else's.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as said:
            try:
                code = self._run(msgspec.json.encode(order), output, said, seconds)
            except subprocess.TimeoutExpired as error:
                # It ends by itself when it has had its share of a processor.
                raise Unavailable(f"Not over in {seconds:.0f} s") from error
            complaint = _read(said, SAID_BYTES).decode(errors="replace").strip()
            if code == listener.UNREACHABLE:
                raise Unavailable(f"The bytes could not be read: {complaint}")
            if code == listener.NO_FFMPEG:
                raise InternalError(f"There is no PyAV here: {complaint}")
            if code == 0:
                try:
                    return msgspec.json.decode(_read(output, listener.OUTPUT_BYTES), type=Heard)
                except msgspec.DecodeError as error:
                    complaint = str(error)
            log.warning("listening ended with %s: %s", code, complaint)
            return listener.NOTHING

    def _run(self, order: bytes, output: IO[bytes], said: IO[bytes], seconds: float) -> int:
        """Have it run to its end; its exit code. TimeoutExpired when it had to be ended."""
        # Where it finds what this process has found: on Lambda, PyAV in a layer.
        environment = {**self.environment(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-B", "-P", "-m", listener.__name__]
        with subprocess.Popen(  # noqa: S603 - our own module, and no shell
            command, stdin=subprocess.PIPE, stdout=output, stderr=said, env=environment
        ) as process:
            try:
                process.communicate(order, timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            return process.returncode


def _read(file: IO[bytes], most: int) -> bytes:
    file.seek(0)
    return file.read(most)
