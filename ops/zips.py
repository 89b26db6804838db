"""Zips of what Lambda runs: compiled, and the same bytes of the same code every time."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

# What belongs to how packages are installed, and what Python makes of the machine it ran on.
NOT_RUN = (".dist-info/", "__pycache__/")
# What a wheel has for those who compile against it.
NOT_RUN_BY_PYTHON = (".c", ".h", ".pxd", ".pyi", ".pyx")


def is_not_run(name: str) -> bool:
    """Whether what a wheel has under this name is none that runs."""
    return name.endswith(NOT_RUN_BY_PYTHON) or any(part in name for part in NOT_RUN)


def zipped(folder: Path, file: Path, in_lambda: str) -> None:
    """Zip a folder that Lambda is to have there, compiled, without what is not run."""
    for path in [each for each in folder.rglob("*") if each.is_file()]:
        if is_not_run(path.relative_to(folder).as_posix()):
            path.unlink()
    _compile(folder, in_lambda)
    new = file.with_name(f"{file.name}.new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            name = path.relative_to(folder).as_posix()
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16  # Lambda runs as somebody else.
            made.writestr(entry, path.read_bytes())
    new.replace(file)


def _compile(folder: Path, in_lambda: str) -> None:
    """Put the bytecode beside the code, which takes a quarter off a cold start.

    By this Python, which is the one that Lambda is told to run. Lambda's disk cannot be written to,
    so nothing could be checked or kept there: hence unchecked hashes in place of times.
    """
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    # Where Lambda unpacks it, for traces; and one seed, so that sets come out in one order.
    subprocess.run(  # noqa: S603 - Python itself, and no shell
        [*command, "-s", str(folder), "-p", in_lambda, str(folder)],
        env={"PYTHONHASHSEED": "0"},
        check=True,
    )
