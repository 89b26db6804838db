"""A copy of the project, in which the commands of operators can be run as they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

# Nothing of the operator's own shell is to be deployed.
OTHERS_SETTINGS = {
    "RECORDER_CORS_ORIGIN": "https://of-the-shell.example.com",
    "RECORDER_UPLOADS_BUCKET": "of-the-shell",
}
COPIED = (
    "app.py chalicelib local ops .chalice Makefile "
    "requirements.txt requirements-layer.txt requirements-dev.txt"
)


def copy_to(folder: Path) -> None:
    """Copy what is committed there, with the virtual environment that there is."""
    ignored = shutil.ignore_patterns("__pycache__", "deployed", "deployments", "policy-*")
    for name in COPIED.split():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder)
    (folder / ".venv").symlink_to(sys.prefix)


def make(
    folder: Path, target: str, stage: str, typed: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `make TARGET STAGE=stage` there, and answer what it asks.

    The virtual environment is taken for up to date.
    """
    return make_with({}, folder, target, {"STAGE": stage} | variables, typed)


def make_with(
    environ: dict[str, str], folder: Path, target: str, variables: dict[str, str], typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `make TARGET` there with these variables, and `environ` beside what there is."""
    command = ["make", "-s", "-o", ".venv/.complete", target]
    # Not what a `make` that runs the tests was given.
    given = {"ARGS": "", "DATA": "keep"} | variables
    theirs = ("RECORDER_", "MAKE", "MFLAGS")
    ours = {name: text for name, text in os.environ.items() if not name.startswith(theirs)}
    return subprocess.run(
        [*command, *(f"{name}={value}" for name, value in given.items())],
        cwd=folder,
        env=ours | OTHERS_SETTINGS | {"PYTHONDONTWRITEBYTECODE": "1"} | environ,
        capture_output=True,
        text=True,
        input=typed,
        check=False,
    )
