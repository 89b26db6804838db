"""What a recording is made of, for any pieces whatever."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.recordings import slices
from chalicelib.models.entities import Piece, Slice
from tests.conftest import DEEP

NOW = datetime(2026, 11, 29, tzinfo=UTC)
PIECES = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12)), unique=True, min_size=1, max_size=12
)
EXAMPLES = settings(max_examples=10_000 if DEEP else 200)


def pieces(said: list[tuple[int, int]]) -> list[Piece]:
    return [Piece(offset, size, NOW) for offset, size in said]


def places(made_of: list[Slice]) -> list[tuple[int, Piece]]:
    """Which piece each byte is from, and where it belongs."""
    return [
        (it.piece.offset + at, it.piece)
        for it in made_of
        for at in range(it.start, it.start + it.size)
    ]


def by_the_byte(arrived: list[Piece]) -> dict[int, Piece]:
    """The same, byte by byte: of those that have it the piece that begins first, or is longer."""
    found: dict[int, Piece] = {}
    for piece in sorted(arrived, key=lambda it: (it.offset, -it.size)):
        for place in range(piece.offset, piece.end):
            found.setdefault(place, piece)
    return found


@EXAMPLES
@given(PIECES, st.integers(1, 50), st.integers(1, 20))
def test_each_byte_is_of_the_first_and_longest_piece_that_has_it(
    said: list[tuple[int, int]], end: int, most: int
) -> None:
    arrived = pieces(said)
    made_of, expected = slices.in_order(arrived), by_the_byte(arrived)

    assert places(made_of) == sorted(expected.items(), key=lambda it: it[0])
    missing = [
        place
        for start, size in slices.cut(slices.gaps(made_of, end), most)
        for place in range(start, start + size)
    ]
    assert missing == [place for place in range(end) if place not in expected]


@EXAMPLES
@given(PIECES, PIECES, st.integers(1, 50))
def test_what_arrives_late_changes_nothing_of_which_bytes_are_kept(
    said: list[tuple[int, int]], late: list[tuple[int, int]], size: int
) -> None:
    before = slices.in_order(pieces(said))
    gaps = list(slices.gaps(before, before[-1].piece.end))
    after = slices.in_order(pieces([*said, *late]))
    kept = [place for place, _ in places(before)][:size]

    assert [place for place, _ in places(slices.without(after, gaps, size))][: len(kept)] == kept


@EXAMPLES
@given(PIECES)
def test_parts_are_all_of_it_in_order_and_but_for_the_last_as_large_as_s3_wants(
    said: list[tuple[int, int]],
) -> None:
    arrived = [Piece(it.offset, it.size * slices.LEAST_PART // 4, NOW) for it in pieces(said)]
    made_of = slices.in_order(arrived)
    parts = slices.in_parts(made_of)

    assert [each for part in parts for each in part] == made_of
    assert all(slices.total(part) >= slices.LEAST_PART for part in parts[:-1])
    # What passes through a function is never much more than that.
    assert all(slices.total(part[:-1]) < slices.LEAST_PART for part in parts)
