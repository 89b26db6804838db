"""versitygw, an S3 of other people's over a folder, built by Go."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engines.dynamodb_local import listens
from tests.support import ROOT
from tests.support.server import eventually, free_port

VERSION = "v1.8.0"
FOLDER = ROOT / "out" / "engines" / "bin"
PACKAGE = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
KEY, SECRET = "local", "of no account"


def missing() -> list[str]:
    """What this machine lacks to run it."""
    built = (FOLDER / "versitygw").exists()
    return [] if built or shutil.which("go") else ["go"]


@contextmanager
def running() -> Iterator[str]:
    """Run one with nothing in it; its address. It is built the first time, for some minutes."""
    program = FOLDER / "versitygw"
    if not program.exists():
        subprocess.run(
            ["go", "install", PACKAGE], env=os.environ | {"GOBIN": str(FOLDER)}, check=True
        )
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        data = [Path(folder, name) for name in ("data", "versions", "people")]
        for each in data:
            each.mkdir()
        command = [str(program), "--port", f"127.0.0.1:{port}", "--region", "us-east-1", "--quiet"]
        command += [
            "--iam-dir",
            str(data[2]),
            "posix",
            "--versioning-dir",
            str(data[1]),
            str(data[0]),
        ]
        keys = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
        with subprocess.Popen(
            command, env=os.environ | keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                assert eventually(lambda: listens(port)), "versitygw does not start"
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()
