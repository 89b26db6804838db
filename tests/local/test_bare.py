"""Chalice's own commands, where nothing was provisioned."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import projects
from tests.support.server import BIN, NOWHERE

pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    projects.copy_to(folder)
    return folder


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("deploy", "dev was never provisioned, so do that first: python ops/provision.py"),
        ("package --stage prod out", "prod was never provisioned, so do that first: python"),
        ("package --stage nowhere out", ".chalice/config.json has dev, staging, prod, not nowhere"),
    ],
)
def test_a_bare_command_says_in_a_line_what_comes_first(
    clone: Path, command: str, says: str
) -> None:
    nobody = {"AWS_ENDPOINT_URL": NOWHERE, "AWS_DEFAULT_REGION": "us-east-1"}
    ran = subprocess.run(
        [BIN / "chalice", *command.split()],
        cwd=clone,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **nobody},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 1
    [line] = ran.stderr.splitlines()
    assert line.startswith(f"chalice {command.split(maxsplit=1)[0]}: {says}")
