"""The attempts, as the table counts them."""

from __future__ import annotations

from datetime import datetime

from chalicelib.aws.dynamodb.items import Item, attempts_key, timestamp
from chalicelib.aws.dynamodb.table import NOT_THERE, THERE, ConditionFailed, Increment, Table
from chalicelib.models.entities import FullWindow


class AttemptsTable:
    """Counts attempts; see core/ports.py for what each method promises."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    def count(
        self, kind: str, who: str, most: int, now: datetime, until: datetime
    ) -> FullWindow | None:
        """Count an attempt; if there were `most` already, count nothing and say until when."""
        key = attempts_key(kind, who)
        window = {
            "attempts": 1,
            "failures": 0,
            "ends_at": timestamp(until),
            "ttl": int(until.timestamp()),
        }
        try:
            # DynamoDB takes up to two days to delete what has expired.
            over = f"{NOT_THERE} OR #ends_at <= :now"
            self._table.update(key, window, over, now=timestamp(now))
        except ConditionFailed as error:
            there = error.item or {}
        else:
            return None
        if there["attempts"] >= most:
            return _window(there, most)
        try:
            room = "#ends_at = :its_end AND #attempts < :most"
            another = {"attempts": Increment(1)}
            self._table.update(key, another, room, its_end=there["ends_at"], most=most)
        except ConditionFailed:
            return self.count(kind, who, most, now, until)  # Others were quicker: look again.
        return None

    def full(self, kind: str, who: str, most: int, now: datetime) -> FullWindow | None:
        """Whether there were `most` attempts already; as last written."""
        there = self._table.get(attempts_key(kind, who))
        if there is None or there["attempts"] < most:
            return None
        window = _window(there, most)
        return window if window.ends_at > now else None

    def note_failure(self, kind: str, who: str) -> None:
        """Note that one of those counted failed: no room is to be expected of it."""
        # If there is none, the window is over, and forgotten.
        self._table.try_update(attempts_key(kind, who), {"failures": Increment(1)}, THERE)

    def take_back(self, kind: str, who: str) -> None:
        """Uncount one attempt, if there is a window."""
        one_less = {"attempts": Increment(-1)}
        self._table.try_update(attempts_key(kind, who), one_less, "#attempts > :none", none=0)

    def forget(self, kind: str, who: str) -> None:
        """Close a window."""
        self._table.delete(attempts_key(kind, who))


def _window(item: Item, most: int) -> FullWindow:
    ends_at = datetime.fromisoformat(item["ends_at"])
    return FullWindow(ends_at=ends_at, failed=item["failures"] >= most)
