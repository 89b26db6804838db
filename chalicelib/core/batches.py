"""What is long, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """The things in lists of `size`, each read when it is asked for; the last may be shorter.

    What itertools.batched does from Python 3.12 on.
    """
    rest = iter(things)
    while batch := list(islice(rest, size)):
        yield batch
