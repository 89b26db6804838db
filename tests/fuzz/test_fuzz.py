"""No request finds a fault: Schemathesis, with all its checks, against `make run`."""

from __future__ import annotations

import re

import pytest

from tests.fuzz.__main__ import fuzz


@pytest.mark.deep
def test_no_request_meets_a_fault_or_what_is_not_documented() -> None:
    ended = fuzz("--max-examples", "25", "--generation-deterministic")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    passed = re.search(r"(\d+) generated, (\d+) passed", ended.stdout)
    assert passed, ended.stdout
    assert int(passed[1]) > 500
