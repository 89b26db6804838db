"""What the tests of more than one use case stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from chalicelib.settings import Settings
from tests.conftest import Clock
from tests.support import shortcut


class Store(NamedTuple):
    """All that is stored anywhere."""

    snapshot: Callable[[], Callable[[], None]]
    """Makes what puts it all, and the time, back as it is now."""
    contents: Callable[[], str]


@pytest.fixture
def store(settings: Settings, clock: Clock, forget: Callable[[], None]) -> Store:
    """Time stands still from now on, so that what is the same looks the same."""
    clock.stop(clock())
    names = settings.table, settings.uploads_bucket, settings.recordings_bucket

    def snapshot() -> Callable[[], None]:
        restore, then = shortcut.snapshot(*names), clock()

        def forget_and_restore() -> None:
            forget()
            restore()
            clock.stop(then)

        return forget_and_restore

    return Store(snapshot, lambda: shortcut.contents(*names))
