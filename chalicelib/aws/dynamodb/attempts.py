"""The attempts, as the table counts them."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from chalicelib.aws.dynamodb.items import Item, attempts_key, timestamp
from chalicelib.aws.dynamodb.table import NOT_THERE, THERE, ConditionFailed, Increment, Table
from chalicelib.models.entities import FullWindow


class AttemptsTable(Struct, frozen=True):
    """Counts attempts; see core/ports.py for what each method promises."""

    table: Table

    def count(
        self, kind: str, who: str, most: int, now: datetime, until: datetime
    ) -> FullWindow | None:
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
            self.table.update(key, window, over, now=timestamp(now))
        except ConditionFailed as error:
            there = error.item or {}
        else:
            return None
        if there["attempts"] >= most:
            return _window(there, most)
        try:
            room = "#ends_at = :its_end AND #attempts < :most"
            another = {"attempts": Increment(1)}
            self.table.update(key, another, room, its_end=there["ends_at"], most=most)
        except ConditionFailed:
            return self.count(kind, who, most, now, until)  # Others were quicker: look again.
        return None

    def full(self, kind: str, who: str, most: int, now: datetime) -> FullWindow | None:
        return read_window(self.table.get(attempts_key(kind, who)), most, now)

    def note_failure(self, kind: str, who: str) -> None:
        # If there is none, the window is over, and forgotten.
        self.table.try_update(attempts_key(kind, who), {"failures": Increment(1)}, THERE)

    def take_back(self, kind: str, who: str) -> None:
        one_less = {"attempts": Increment(-1)}
        self.table.try_update(attempts_key(kind, who), one_less, "#attempts > :none", none=0)

    def forget(self, kind: str, who: str) -> None:
        self.table.delete(attempts_key(kind, who))


def read_window(item: Item | None, most: int, now: datetime) -> FullWindow | None:
    """The window that an item is, if it goes on and there were `most` attempts in it."""
    if item is None or item["attempts"] < most:
        return None
    window = _window(item, most)
    return window if window.ends_at > now else None


def _window(item: Item, most: int) -> FullWindow:
    ends_at = datetime.fromisoformat(item["ends_at"])
    return FullWindow(ends_at=ends_at, failed=item["failures"] >= most)
