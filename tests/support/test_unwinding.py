"""What ends a command ends what it started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.unwinding import ENDING, unwinding


@pytest.fixture(autouse=True)
def _signals_that_end() -> Iterator[None]:
    """Whatever whoever runs the tests has ignored."""
    before = {each: signal.signal(each, signal.SIG_DFL) for each in ENDING}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_unwinds_what_is_under_way_and_is_told_in_a_line(number: int) -> None:
    unwound = []

    def be_ended() -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            # A second one does not cut that short.
            os.kill(os.getpid(), number)
            unwound.append(number)

    with pytest.raises(SystemExit) as ended, unwinding("driving"):
        be_ended()

    assert unwound == [number]
    assert ended.value.code == f"driving: ended by {signal.Signals(number).name}"


@pytest.mark.parametrize("number", ENDING)
def test_what_is_ignored_stays_ignored(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)

    with unwinding("driving"):
        os.kill(os.getpid(), number)
