"""Some of the mutated recordings; `python -m tests.hostile` has as many as wanted."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import DEEP
from tests.support import ROOT

FILES = 2000 if DEEP else 300


@pytest.mark.deep
def test_mutated_recordings_leave_nothing_hung_and_nothing_later_unread() -> None:
    command = [sys.executable, "-m", "tests.hostile", "--files", str(FILES)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = json.loads(ran.stdout)
    assert summary["wrong"] == []
    assert summary["ends"]["readable"] > FILES / 10
