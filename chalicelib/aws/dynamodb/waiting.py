"""What waits under one key until it is due, as the table holds it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from msgspec import Struct

from chalicelib.aws.dynamodb.items import legible, timestamp
from chalicelib.aws.dynamodb.table import THERE, Initial, Table

T = TypeVar("T", bound=Struct)

# When something is looked at again that cannot be read, as a later version writes it.
LOOKED_AT_AGAIN = timedelta(hours=1)


def due(table: Table, pk: str, kind: type[T], now: datetime, kept: timedelta) -> Iterator[T]:
    """What is due of it.

    What cannot be read is logged and put off: a call for each. It is kept so long from now on, if
    it has no end of its own.
    """
    for item in table.query("#pk = :pk", only="#due_at <= :now", pk=pk, now=timestamp(now)):
        if read := legible(item, kind):
            yield read
        else:
            later = timestamp(now + LOOKED_AT_AGAIN)
            ends = Initial(int((now + kept).timestamp()))
            key = {"pk": item["pk"], "sk": item["sk"]}
            table.try_update(key, {"due_at": later, "ttl": ends}, THERE)
