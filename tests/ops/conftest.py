"""What the tests of the audit begin with."""

from __future__ import annotations

import pytest

from tests.conftest import Clock
from tests.support.audits import kept
from tests.support.phone import Phone


@pytest.fixture
def key(phone: Phone, clock: Clock) -> str:
    """The key of a recording of long ago."""
    return kept(phone, clock)
