"""Load: many people at once do all that the app is for, and nothing may go wrong or missing.

`python -m tests.load` starts `make run` on a free port, has Locust play the people
(tests/load/user.py), and audits what they leave. It prints requests per second and percentiles, and
ends with 1 if a request failed, a byte was lost or the audit found something.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.support import ROOT
from tests.support.server import BIN, free_port, running

# What a password's hash costs is not looked at here, and everybody calls from one source.
ENVIRON = {"RECORDER_BCRYPT_COST": "4", "RECORDER_SIGNUPS_PER_SOURCE": "0"}
# What a trace in the server's log ends with.
CAUSE = r"^[a-z_.0-9]+\.\w+: .*"
# How long a client may take to end its round and look at what it keeps.
SECONDS_TO_END = 120


def load(clients: int, seconds: int) -> int:
    """Put a server of its own under load; the exit code."""
    port = free_port()
    options = ["--headless", "--only-summary", "--exit-code-on-error", "1"]
    options += ["--users", str(clients), "--spawn-rate", str(clients)]
    options += ["--run-time", f"{seconds}s", "--stop-timeout", str(SECONDS_TO_END)]
    with (
        tempfile.TemporaryDirectory() as folder,
        running(
            "make", "run", f"PORT={port}", log=Path(folder, "log"), port=port, environ=ENVIRON
        ) as server,
    ):
        command = [str(BIN / "locust"), "--locustfile", str(Path(__file__).with_name("user.py"))]
        loaded = subprocess.run(
            [*command, "--host", server.url, *options],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=False,
        )
        audited = subprocess.run(["make", "audit", f"PORT={port}"], cwd=ROOT, check=False)
        causes = Counter(re.findall(CAUSE, server.printed(), re.MULTILINE))
        for cause, times in causes.most_common():
            sys.stdout.write(f"{times} times {cause}\n")
    return int(loaded.returncode != 0 or audited.returncode != 0)


def main() -> int:
    """Put a server under load, as told."""
    parser = argparse.ArgumentParser(prog="make load")
    parser.add_argument("--clients", type=int, default=50, help="how many at once")
    parser.add_argument("--seconds", type=int, default=60, help="how long they begin anew")
    given = parser.parse_args()
    return load(given.clients, given.seconds)


if __name__ == "__main__":
    sys.exit(main())
