"""The attempts, as the table counts them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from chalicelib.aws.dynamodb.items import Item, attempts_key, timestamp
from chalicelib.aws.dynamodb.table import (
    NOT_THERE,
    THERE,
    ConditionFailed,
    Increment,
    Initial,
    Table,
)
from chalicelib.models.entities import Attempt, FullWindow

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef


class AttemptsTable(Struct, frozen=True):
    """Counts attempts; see core/ports.py for what each method promises."""

    table: Table

    def count(self, attempts: Sequence[Attempt], now: datetime) -> FullWindow | None:
        found: dict[int, Item | None] = {}
        while True:
            counting = (
                self._counting(attempt, found.get(index), now)
                for index, attempt in enumerate(attempts)
            )
            try:
                self.table.transact(*counting)
            except ConditionFailed as error:
                found |= error.items
            else:
                return None
            for index, there in sorted(found.items()):
                if there and not _is_over(there, now):
                    most = attempts[index].most
                    if there["attempts"] >= most:
                        return _window(there, most)

    def full(self, kind: str, who: str, most: int, now: datetime) -> FullWindow | None:
        return read_window(self.table.get(attempts_key(kind, who)), most, now)

    def note_failure(self, kind: str, who: str) -> None:
        # If there is none, the window is over, and forgotten.
        self.table.try_update(attempts_key(kind, who), {"failures": Increment(1)}, THERE)

    def take_back(self, attempts: Sequence[Attempt]) -> None:
        # A window without others goes: it would only be over, and in the way, the next time.
        try:
            self.table.transact(*map(self._closing, attempts))
        except ConditionFailed as error:
            self._take_back(attempts, error.items.keys())

    def forget(self, kind: str, who: str) -> None:
        self.table.delete(attempts_key(kind, who))

    def _take_back(self, attempts: Sequence[Attempt], shared: Collection[int]) -> None:
        less = [
            self._one_less(attempt) if index in shared else self._closing(attempt)
            for index, attempt in enumerate(attempts)
        ]
        try:
            self.table.transact(*less)
        except ConditionFailed:
            # One was counted meanwhile, or a window is gone: each for itself.
            for attempt in attempts:
                with suppress(ConditionFailed):
                    self.table.transact(self._one_less(attempt))

    def _counting(
        self, attempt: Attempt, there: Item | None, now: datetime
    ) -> TransactWriteItemTypeDef:
        """Count an attempt in a window that is open, or open one; `there` may be one that is over.

        Not counted when there is no room, or something else is there.
        """
        key = attempts_key(attempt.kind, attempt.who)
        until = {"ends_at": timestamp(attempt.until), "ttl": int(attempt.until.timestamp())}
        if there and _is_over(there, now):
            anew = {"attempts": 1, "failures": 0, **until}
            its_end = there["ends_at"]
            return self.table.updating(key, anew, "#ends_at = :its_end", its_end=its_end)
        window = {"failures": Initial(0), **{name: Initial(at) for name, at in until.items()}}
        return self.table.updating(
            key,
            {"attempts": Increment(1), **window},
            f"{NOT_THERE} OR (#ends_at > :now AND #attempts < :most)",
            now=timestamp(now),
            most=attempt.most,
        )

    def _closing(self, attempt: Attempt) -> TransactWriteItemTypeDef:
        """Close a window in which nothing but this attempt is counted."""
        key = attempts_key(attempt.kind, attempt.who)
        return self.table.deleting(key, "#attempts = :one AND #failures = :none", one=1, none=0)

    def _one_less(self, attempt: Attempt) -> TransactWriteItemTypeDef:
        key = attempts_key(attempt.kind, attempt.who)
        return self.table.updating(key, {"attempts": Increment(-1)}, "#attempts > :none", none=0)


def _is_over(item: Item, now: datetime) -> bool:
    # DynamoDB takes up to two days to delete what has expired.
    return datetime.fromisoformat(item["ends_at"]) <= now


def read_window(item: Item | None, most: int, now: datetime) -> FullWindow | None:
    """The window that an item is, if it goes on and there were `most` attempts in it."""
    if item is None or item["attempts"] < most or _is_over(item, now):
        return None
    return _window(item, most)


def _window(item: Item, most: int) -> FullWindow:
    ends_at = datetime.fromisoformat(item["ends_at"])
    return FullWindow(ends_at=ends_at, failed=item["failures"] >= most)
