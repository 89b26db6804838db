"""What Apple gave and is to take back, as the table holds it until that is done."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from chalicelib.aws.dynamodb import waiting
from chalicelib.aws.dynamodb.items import Item, grant_key, timestamp, to_item
from chalicelib.aws.dynamodb.table import THERE, Table
from chalicelib.models.entities import Grant

# For what nobody revokes, since the job runs no more.
KEPT = timedelta(days=30)


class GrantsTable(Struct, frozen=True):
    """Stores them; see core/ports.py for what each method promises."""

    table: Table

    def put(self, grant: Grant) -> None:
        self.table.put(grant_item(grant))

    def due(self, now: datetime) -> list[Grant]:
        return list(waiting.due(self.table, grant_key("")["pk"], Grant, now, KEPT))

    def postpone(self, grant: Grant, due_at: datetime) -> bool:
        later = {"due_at": timestamp(due_at)}
        then = timestamp(grant.due_at)
        key = grant_key(grant.id)
        return self.table.try_update(key, later, "#due_at = :then", then=then) is not None

    def exchanged(self, grant: Grant, refresh_token: str, now: datetime) -> None:
        to_revoke = {"code": None, "refresh_token": refresh_token, "due_at": timestamp(now)}
        self.table.try_update(grant_key(grant.id), to_revoke, THERE)

    def remove(self, grant: Grant) -> None:
        self.table.delete(grant_key(grant.id))


def grant_item(grant: Grant) -> Item:
    """One as the table holds it."""
    ttl = int((grant.asked_at + KEPT).timestamp())
    return grant_key(grant.id) | to_item(grant) | {"ttl": ttl}
