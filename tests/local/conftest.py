"""The tests of what runs on a laptop ask its server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import in_process


@pytest.fixture(autouse=True)
def _over_http() -> Iterator[None]:
    """Has the embedded backend's server answer, as `make run` does."""
    with in_process.over_http():
        yield
