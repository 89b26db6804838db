"""Which bytes of which pieces a recording is made of, and which are missing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from chalicelib.models.entities import Piece, Slice
from chalicelib.models.fields import MIB

# S3 takes no smaller part, but for the last.
LEAST_PART = 5 * MIB

Range = tuple[int, int]
# What lies before any recording, and beyond it.
NOWHERE: Sequence[int] = (0, 0)
BEYOND: Sequence[int] = (2**53, 2**53 + 1)


def in_order(pieces: Iterable[Piece]) -> list[Slice]:
    """What is used of each piece, one after the other.

    Where pieces overlap, the one that begins first, of two the longer, wins, and the next is used
    from where it ends.
    """
    slices, at = [], 0
    for piece in sorted(pieces, key=lambda piece: (piece.offset, -piece.size)):
        start = max(at, piece.offset)
        if piece.end > start:
            slices.append(Slice(piece, start - piece.offset, piece.end - start))
            at = piece.end
    return slices


def gaps(slices: Iterable[Slice], end: int) -> Iterator[Range]:
    """What is missing before `end`: from which offset to which."""
    at = 0
    for slice in slices:
        start = slice.piece.offset + slice.start
        if at < min(start, end):
            yield at, min(start, end)
        at = start + slice.size
    if at < end:
        yield at, end


def cut(ranges: Iterable[Range], most: int) -> Iterator[Range]:
    """The same ranges in pieces of `most` bytes: the offset and the size of each."""
    for start, end in ranges:
        for offset in range(start, end, most):
            yield offset, min(most, end - offset)


def without(slices: Iterable[Slice], left_out: Iterable[Sequence[int]], size: int) -> list[Slice]:
    """The first `size` bytes of the slices, but for what is left out of them."""
    kept: list[Slice] = []
    skips, skip = iter(left_out), NOWHERE
    for slice in slices:
        offset = slice.piece.offset
        at, end = offset + slice.start, offset + slice.start + slice.size
        while at < end and size:
            while skip[1] <= at:
                skip = next(skips, BEYOND)
            if skip[0] <= at:
                at = skip[1]
                continue
            length = min(end, skip[0], at + size) - at
            kept.append(Slice(slice.piece, at - offset, length))
            at, size = at + length, size - length
    return kept


def in_parts(slices: Iterable[Slice]) -> list[list[Slice]]:
    """The slices together, as many as S3 takes for a part: a large one is a part of its own."""
    parts: list[list[Slice]] = []
    size = LEAST_PART
    for slice in slices:
        if size >= LEAST_PART:
            parts.append([])
            size = 0
        parts[-1].append(slice)
        size += slice.size
    return parts


def name(slices: Iterable[Slice]) -> str:
    """What tells slices from others, by their bounds."""
    bounds = [(it.piece.offset, it.piece.size, it.start, it.size) for it in slices]
    return hashlib.sha256(msgspec.json.encode(bounds)).hexdigest()


def total(slices: Iterable[Slice]) -> int:
    """How many bytes slices have, together."""
    return sum(slice.size for slice in slices)
