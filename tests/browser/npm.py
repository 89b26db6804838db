"""What npm has that pages are tried with: Uppy, Fine Uploader, axe; pinned by package-lock.json."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

PINNED = Path(__file__).with_name("npm")
# Beside what pip installs, so that it goes when that does.
INSTALLED = Path(sys.prefix) / "browser"


def missing() -> list[str]:
    """Which of the programs that this needs are not there."""
    return [name for name in ("node", "npm") if not shutil.which(name)]


def install() -> None:
    """All of it, where it is not there yet."""
    for folder in PINNED.iterdir():
        installed(folder.name)


@cache
def installed(name: str) -> Path:
    """The node_modules of one of the folders in PINNED."""
    folder = INSTALLED / name
    lock = PINNED / name / "package-lock.json"
    done = folder / "done"
    if not done.exists() or done.read_text() != lock.read_text():
        folder.mkdir(parents=True, exist_ok=True)
        for file in (PINNED / name).glob("package*.json"):
            shutil.copy(file, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=folder, check=True)
        done.write_text(lock.read_text())
    return folder / "node_modules"


@cache
def bundled(code: str, name: str) -> str:
    """A module with all that it imports, as a script whose exports are `example`."""
    esbuild = installed("uppy6") / ".bin" / "esbuild"
    command = [str(esbuild), "--bundle", "--format=iife", "--global-name=example"]
    return subprocess.run(
        [*command, "--log-level=error"],
        input=code,
        cwd=installed(name).parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
