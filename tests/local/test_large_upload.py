"""A long recording, in parts, through a server as people start it."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server, User, free_port, http, running

MB = 1_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """`make run`, whose S3 is in another process than the API."""
    port = free_port()
    with running("make", "run", f"PORT={port}", log=tmp_path / "log", port=port) as started:
        yield started


def sound(start: int, size: int) -> bytes:
    """A piece of a recording that begins at a byte; no two are alike."""
    return hashlib.shake_128(str(start).encode()).digest(size)


def upload(user: User, size: int, method: str | None = None) -> str:
    """Send a recording in parts, of which never more than one is in our memory; its id."""
    announced = {"file_name": "long.wav", "content_type": "audio/wav", "size": size}
    announced |= {"upload_method": method} if method else {}
    begun = user.ask("POST", "/recordings", json=announced).json()
    step = begun["upload"]["part_size"]
    with httpx.Client(trust_env=False, timeout=30) as client:
        for part in begun["upload"]["parts"]:
            piece = sound((part["number"] - 1) * step, part["size"])
            assert client.put(part["url"], content=piece).is_success
    id = str(begun["recording"]["id"])
    assert user.ask("POST", f"/recordings/{id}/complete").json()["status"] == "ready"
    return id


def peak_memory(server: Server) -> int:
    """The most bytes that the process that serves the API has had in memory."""
    [status] = [
        (process / "status").read_text()
        for process in Path("/proc").glob("[0-9]*")
        if _is_the_api(process, server)
    ]
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) * 1024


def _is_the_api(process: Path, server: Server) -> bool:
    try:
        command = (process / "cmdline").read_bytes().split(b"\0")
        return b"local.tethered" in command and os.getpgid(int(process.name)) == server.process.pid
    except OSError:
        return False  # It has ended meanwhile.


@pytest.mark.deep
@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory a process had")
def test_200_mb_come_back_identical_and_cost_the_server_no_more_memory_than_20(
    server: Server,
) -> None:
    user = server.sign_up()
    upload(user, 20 * MB, "multipart")
    before = peak_memory(server)
    id = upload(user, 200 * MB)
    # A process that had held the bytes would have 180 MB more.
    assert peak_memory(server) - before < 20 * MB

    recording = user.ask("GET", f"/recordings/{id}").json()
    sent, received = hashlib.sha256(), hashlib.sha256()
    step = 8 * 1024 * 1024
    for start in range(0, 200 * MB, step):
        sent.update(sound(start, min(step, 200 * MB - start)))
    with http.stream("GET", recording["audio"]["url"]) as answer:
        for piece in answer.iter_bytes():
            received.update(piece)
    assert received.hexdigest() == sent.hexdigest() == recording["sha256"]
    user.ask("DELETE", f"/recordings/{id}", params={"permanent": "true"})
