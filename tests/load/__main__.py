"""Load: many people at once do all that the app is for, and nothing may go wrong or missing.

`python -m tests.load` starts `make run` on a free port, has Locust play the people
(tests/load/user.py), and audits what they leave. It prints requests per second and percentiles, and
ends with 1 if a request failed, a byte was lost or the audit found something.

With `--hostile` it does so twice, the second time with somebody among them who takes all that is to
be had, and ends with 1 too if the others then wait for more than twice as long.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.support import ROOT
from tests.support.server import BIN, free_port, running
from tests.support.unwinding import unwinding

# What a password's hash costs is not looked at here, and everybody calls from one source.
ENVIRON = {
    "RECORDER_BCRYPT_COST": "4",
    "RECORDER_SIGNUPS_PER_SOURCE": "0",
    "RECORDER_LOGIN_FAILURES_PER_SOURCE": "0",
    "RECORDER_EXPORTS_PER_DAY": "0",
}
# How much longer others may wait because of one.
AT_MOST = 2
# What a trace in the server's log ends with.
CAUSE = r"^[a-z_.0-9]+\.\w+: .*"
# How long a client may take to end its round and look at what it keeps.
SECONDS_TO_END = 120


def load(clients: int, seconds: int, *, hostile: bool = False) -> float | None:
    """Put a server of its own under load; the mean wait in milliseconds, None if it went wrong."""
    port = free_port()
    options = ["--headless", "--only-summary", "--json", "--exit-code-on-error", "1"]
    options += ["--users", str(clients + hostile), "--spawn-rate", str(clients)]
    options += ["--run-time", f"{seconds}s", "--stop-timeout", str(SECONDS_TO_END)]
    people = ["Person", "Hostile"] if hostile else ["Person"]
    with (
        unwinding("load"),
        tempfile.TemporaryDirectory() as folder,
        running(
            *("make", "run", f"PORT={port}", f"DATA={folder}/data"),
            log=Path(folder, "log"),
            port=port,
            environ=ENVIRON,
        ) as server,
    ):
        command = [str(BIN / "locust"), "--locustfile", str(Path(__file__).with_name("user.py"))]
        loaded = subprocess.run(
            [*command, "--host", server.url, *options, *people],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        audited = subprocess.run(["make", "audit", f"PORT={port}", "ARGS="], cwd=ROOT, check=False)
        causes = Counter(re.findall(CAUSE, server.printed(), re.MULTILINE))
        for cause, times in causes.most_common():
            sys.stdout.write(f"{times} times {cause}\n")
    honest = [each for each in json.loads(loaded.stdout) if not each["name"].startswith("hostile")]
    asked = sum(each["num_requests"] for each in honest)
    waited = sum(each["total_response_time"] for each in honest) / asked
    failed = sum(each["num_failures"] for each in honest)
    longest = max(each["max_response_time"] for each in honest)
    sys.stdout.write(
        f"{asked} requests, {failed} failed; {waited:.0f} ms on average, {longest:.0f} at most\n"
    )
    return None if loaded.returncode or audited.returncode else waited


def main() -> int:
    """Put a server under load, as told; the exit code."""
    parser = argparse.ArgumentParser(prog="make load")
    parser.add_argument("--clients", type=int, default=50, help="how many at once")
    parser.add_argument("--seconds", type=int, default=60, help="how long they begin anew")
    parser.add_argument("--hostile", action="store_true", help="once more with one who is")
    given = parser.parse_args()
    alone = load(given.clients, given.seconds)
    if alone is None or not given.hostile:
        return int(alone is None)
    beside = load(given.clients, given.seconds, hostile=True)
    if beside is None:
        return 1
    sys.stdout.write(f"beside somebody hostile they wait {beside / alone:.2f} times as long\n")
    return int(beside > AT_MOST * alone)


if __name__ == "__main__":
    sys.exit(main())
