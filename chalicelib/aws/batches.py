"""Batches, since AWS takes only so many of anything in one call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """The items, at most so many together. Python has that from 3.12 on."""
    remaining = iter(items)
    while batch := list(islice(remaining, most)):
        yield batch
