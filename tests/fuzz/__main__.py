"""Asks a running API everything that its document allows, and much that it does not.

`make fuzz` goes on until its time is over, another way each time. `make check` asks less, and the
same each time: tests/fuzz/test_fuzz.py.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support import ROOT
from tests.support.server import BIN, free_port, running
from tests.support.unwinding import unwinding

# What the server says of a request that it has answered as it should.
ORDINARY = re.compile(r"[A-Z]+ /\S* [1-4]\d\d\b")
# What a password's hash costs is not looked at here, and no limit is to stand in the way.
ENVIRON = {
    "RECORDER_BCRYPT_COST": "4",
    "RECORDER_SIGNUPS_PER_SOURCE": "0",
    "RECORDER_LOGIN_FAILURES_PER_SOURCE": "0",
    "RECORDER_LOGIN_FAILURES_PER_ADDRESS": "0",
    "RECORDER_WRONG_CODES_PER_SOURCE": "0",
}


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    """Start `make run`, and Schemathesis with it; how that ended, and what it said."""
    port = free_port()
    config, document = Path(__file__).with_name("schemathesis.toml"), ROOT / "docs" / "openapi.json"
    command = [str(BIN / "schemathesis"), "--config-file", str(config), "run", str(document)]
    with (
        unwinding("fuzz"),
        tempfile.TemporaryDirectory() as folder,
        running(
            "make",
            "run",
            f"PORT={port}",
            "PROVIDER=1",
            log=Path(folder, "log"),
            port=port,
            environ=ENVIRON,
        ) as server,
    ):
        ended = subprocess.run(
            [*command, "--url", server.url, "--no-color", *options],
            cwd=folder,
            env=os.environ | {"FUZZ_URL": server.url, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            ended.stdout += "\n" + _faults(server.printed())
        return ended


def _faults(log: str) -> str:
    """What the server said of faults of its own, each of which has a trace."""
    lines = [line for line in log.splitlines() if not ORDINARY.match(line)]
    return "\n".join(["What the server said:", *lines[-200:]])


def main() -> int:
    """Fuzz for a while, and print what was found."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, help="of a run that is to be repeated")
    given = parser.parse_args()
    seed = ["--seed", str(given.seed)] if given.seed else []
    ended = fuzz("--max-time", str(given.seconds), *seed)
    sys.stdout.write(ended.stdout + ended.stderr)
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
