"""The tests of what is mended of moto ask its server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import in_process


@pytest.fixture(autouse=True)
def _over_http() -> Iterator[None]:
    """Has moto's server answer."""
    with in_process.over_http():
        yield
