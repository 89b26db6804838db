"""What Apple gave and is to take back, as the table holds it until that is done."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from chalicelib.aws.dynamodb.items import Item, grant_key, timestamp, to_item
from chalicelib.aws.dynamodb.table import Table
from chalicelib.models.entities import Grant

# For what nobody revokes, since the job runs no more.
KEPT = timedelta(days=30)


class GrantsTable(Struct, frozen=True):
    """Stores them; see core/ports.py for what each method promises."""

    table: Table

    def put(self, grant: Grant) -> None:
        self.table.put(grant_item(grant))

    def due(self, now: datetime) -> list[Grant]:
        pk = grant_key("")["pk"]
        items = self.table.query("#pk = :pk", only="#due_at <= :now", pk=pk, now=timestamp(now))
        return [msgspec.convert(item, Grant) for item in items]

    def postpone(self, grant: Grant, due_at: datetime) -> bool:
        later = {"due_at": timestamp(due_at)}
        then = timestamp(grant.due_at)
        return self.table.try_update(_key(grant), later, "#due_at = :then", then=then) is not None

    def remove(self, grant: Grant) -> None:
        self.table.delete(_key(grant))


def grant_item(grant: Grant) -> Item:
    """One as the table holds it."""
    ttl = int((grant.asked_at + KEPT).timestamp())
    return _key(grant) | to_item(grant) | {"ttl": ttl}


def _key(grant: Grant) -> dict[str, str]:
    return grant_key(grant.code or grant.refresh_token or "")
