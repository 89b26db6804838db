"""What this app costs, beside others that answer the same: `make bench`.

Each runs in processes of its own, in turns, on answers of AWS's that are replayed: so processor
time is compared, on one machine, in one run. Prints a table, and writes it into
docs/performance.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "out" / "deployment.zip"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- make bench: begin -->\n", "<!-- make bench: end -->\n"
# Packaged without bytecode, as many packagers leave it: compiled again at each cold start.
FROM_SOURCE = ", from source"
HANDLERS = {
    "this app": "app:app",
    "bare handler": "benchmarks.handlers.bare:handler",
    "FastAPI and Mangum": "benchmarks.handlers.fast_api:handler",
    "Powertools": "benchmarks.handlers.powertools:handler",
    f"this app{FROM_SOURCE}": "app:app",
    f"FastAPI and Mangum{FROM_SOURCE}": "benchmarks.handlers.fast_api:handler",
}
# What each of a kind takes may be seen beside what another state of this app takes.
AT = "this app at "
SITE = Path(sysconfig.get_path("purelib"))
BROUGHT_BY_FASTAPI = [
    "anyio",
    "fastapi",
    "idna",
    "jwt",
    "mangum",
    "pydantic",
    "pydantic_core",
    "starlette",
]
# Those whose calls to AWS are shown; the others call what the bare handler calls.
COUNTED = {"this app", "bare handler"}
KINDS = ["cold", "list", "find", "announce", "batch", "complete", "direct"]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=7, help="how often each takes its turn")
    parser.add_argument("--requests", type=int, default=100, help="how many of a kind in a turn")
    parser.add_argument("--before", metavar="COMMIT", help="an earlier state of this app, too")
    given = parser.parse_args()
    if given.before:
        HANDLERS[AT + given.before] = "app:app"
    with tempfile.TemporaryDirectory() as folder:
        places = {name: _placed(name, Path(folder, str(n))) for n, name in enumerate(HANDLERS)}
        times: dict[str, list[Any]] = {name: [] for name in HANDLERS}
        for _ in range(given.rounds):
            for name, handler in HANDLERS.items():
                times[name].append(_measured(handler, places[name], given.requests))
    table = _table(times)
    print(table)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(before + BEGIN + table + END + rest.partition(END)[2], encoding="utf-8")


def _placed(name: str, folder: Path) -> Path:
    """What this handler is imported from before anything else: its own package."""
    folder.mkdir()
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    if name.startswith(AT):
        _check_out(name.removeprefix(AT), folder)
    elif name.startswith("this app"):
        with zipfile.ZipFile(PACKAGE) as package:
            package.extractall(folder)
    elif name.endswith(FROM_SOURCE):
        for module in BROUGHT_BY_FASTAPI:
            shutil.copytree(SITE / module, folder / module)
    if name.endswith(FROM_SOURCE):
        for cache in [*folder.glob("*/**/__pycache__")]:
            if (folder / "benchmarks") not in cache.parents:
                shutil.rmtree(cache)
    return folder


def _check_out(commit: str, folder: Path) -> None:
    """An earlier state as it was packaged, which was without bytecode, on what it stood on."""
    with zipfile.ZipFile(PACKAGE) as package:
        ours = ("app.py", "chalicelib/")
        package.extractall(folder, [n for n in package.namelist() if not n.startswith(ours)])
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)
    archive = ["git", "archive", "--format=zip", commit, "app.py", "chalicelib"]
    source = subprocess.run(archive, cwd=ROOT, capture_output=True, check=True)  # noqa: S603
    with zipfile.ZipFile(io.BytesIO(source.stdout)) as files:
        files.extractall(folder)


def _measured(handler: str, folder: Path, rounds: int) -> Any:
    """One turn: a cold start, and then requests of each kind in another process."""
    cold, warm = (_run(handler, folder, number) for number in (0, rounds))
    return warm | {"cold": cold["cold"]}


def _run(handler: str, folder: Path, rounds: int) -> Any:
    run = subprocess.run(  # noqa: S603 - Python itself, and no shell
        [sys.executable, "-m", "benchmarks.subject", handler, str(rounds)],
        cwd=folder,
        # Lambda's disk takes no bytecode.
        env={"PATH": os.defpath, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        sys.exit(run.stderr)
    return json.loads(run.stdout)


def _table(times: dict[str, list[Any]]) -> str:
    medians = {
        name: {kind: statistics.median(turn[kind] for turn in turns) for kind in KINDS}
        for name, turns in times.items()
    }
    bare = medians["bare handler"]
    rows = ["| | " + " | ".join(KINDS) + " |", "| --- |" + " --- |" * len(KINDS)]
    for name, median in medians.items():
        cells = [f"{median[kind]:.2f} ms ({median[kind] / bare[kind]:.2f})" for kind in KINDS]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    for name in [name for name in times if name in COUNTED or name.startswith(AT)]:
        turns = times[name]
        calls = [str(turns[0]["calls"].get(kind, turns[0]["calls"]["list"])) for kind in KINDS]
        rows.append(f"| {name}: calls to AWS | {' | '.join(calls)} |")
    size = f"The package has {PACKAGE.stat().st_size / 1e6:.2f} MB zipped."
    note = f"Processor time, medians of {len(times['this app'])} turns; in brackets the ratio to"
    return "\n".join([*rows, "", f"{note} the bare handler. {size}", ""])


if __name__ == "__main__":
    main()
