"""DynamoDB Local, AWS's own engine, from Maven Central."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import ROOT
from tests.support.server import eventually, free_port

HERE = Path(__file__).parent
FOLDER = ROOT / "out" / "engines" / "dynamodb"
NEEDED = ("java", "javac", "mvn")


def missing() -> list[str]:
    """What this machine lacks to run it."""
    return [name for name in NEEDED if not shutil.which(name)]


@contextmanager
def running() -> Iterator[str]:
    """Run one with nothing in it; its address. It is fetched the first time."""
    if not (FOLDER / "OnLoopback.class").exists():
        _make()
    port = free_port()
    classes = f"{FOLDER}/*:{FOLDER}"
    command = ["java", f"-Djava.library.path={FOLDER}", "-cp", classes, "OnLoopback"]
    command += ["-disableTelemetry", "-inMemory", "-port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            assert eventually(lambda: listens(port)), "DynamoDB Local does not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _make() -> None:
    into = f"-DoutputDirectory={FOLDER}"
    fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies", into]
    subprocess.run(fetch, check=True)
    build = ["javac", "-cp", f"{FOLDER}/*", "-d", str(FOLDER), str(HERE / "OnLoopback.java")]
    subprocess.run(build, check=True)


def listens(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
