"""The outbox, as the table holds it."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from chalicelib.aws.dynamodb import waiting
from chalicelib.aws.dynamodb.items import Item, letter_key, timestamp, to_item
from chalicelib.aws.dynamodb.table import Table
from chalicelib.models.entities import Letter
from chalicelib.models.fields import LetterKind

# For mails that nobody sends, since the job runs no more.
KEPT = timedelta(days=7)


class OutboxTable(Struct, frozen=True):
    """Stores mails until they are sent; see core/ports.py for what each method promises."""

    table: Table

    def put(self, kind: LetterKind, email: str, now: datetime) -> None:
        self.table.put(letter_item(kind, email, now))

    def due(self, now: datetime) -> list[Letter]:
        return list(waiting.due(self.table, letter_key("reset", "")["pk"], Letter, now, KEPT))

    def postpone(self, letter: Letter, due_at: datetime) -> bool:
        postponed = self.table.try_update(
            letter_key(letter.kind, letter.email),
            {"due_at": timestamp(due_at)},
            "#due_at = :due_then",
            due_then=timestamp(letter.due_at),
        )
        return postponed is not None

    def remove(self, letter: Letter) -> None:
        self.table.delete(
            letter_key(letter.kind, letter.email),
            "#asked_at = :asked_then",
            asked_then=timestamp(letter.asked_at),
        )


def letter_item(kind: LetterKind, email: str, now: datetime) -> Item:
    """A mail as the table holds it."""
    letter = Letter(kind=kind, email=email, asked_at=now, due_at=now)
    return letter_key(kind, email) | to_item(letter) | {"ttl": int((now + KEPT).timestamp())}
