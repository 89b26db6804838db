"""Deadlines: until when a request or a job has to have ended, whatever it waits for.

Nothing is interrupted. Whoever waits for something asks first whether there is time for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have what is done meanwhile end in so many seconds from now."""
    token = _deadline.set(monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float:
    """How long may still be waited; infinite for what need not end."""
    return _deadline.get() - monotonic()
