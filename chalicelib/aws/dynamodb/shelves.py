"""The recordings in their orders, as the table's indexes hold them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from msgspec import Struct

from chalicelib.aws.dynamodb.items import (
    Key,
    account_key,
    change,
    read_recording,
    read_seen,
    recording_key,
    shelf,
)
from chalicelib.aws.dynamodb.table import Table
from chalicelib.models.answers import Recording
from chalicelib.models.entities import StoredRecording, Tombstone, Unreadable
from chalicelib.models.fields import Status


class Shelves(Struct, frozen=True):
    """Lists recordings; see core/ports.py for what each method promises."""

    table: Table

    def page(
        self, user_id: str, status: Status, limit: int, after: str | None, newest_first: bool
    ) -> list[Recording]:
        start: Key | None = None
        if after:
            start = recording_key(user_id, after) | {"shelf": shelf(status, after)}
        items = self.table.query(
            "#pk = :pk AND begins_with(#shelf, :prefix)",
            index="shelf",
            page=limit,
            forward=not newest_first,
            start=start,
            fields=("pk", "sk", *Recording.__struct_fields__),
            pk=account_key(user_id)["pk"],
            prefix=shelf(status, ""),
        )
        read = (read_seen(item) for item in items)
        return list(islice((each for each in read if each), limit))

    def changed(
        self, user_id: str, limit: int, after: tuple[datetime, str]
    ) -> list[StoredRecording | Tombstone]:
        items = self.table.query(
            "#pk = :pk AND #changes > :after",
            index="changes",
            page=limit,
            pk=account_key(user_id)["pk"],
            after=change(*after),
        )
        read = map(read_recording, items)
        return list(islice((each for each in read if not isinstance(each, Unreadable)), limit))

    def all_of(self, user_id: str) -> Iterator[StoredRecording | Tombstone | Unreadable]:
        items = self.table.query(
            "#pk = :pk AND begins_with(#sk, :prefix)",
            pk=account_key(user_id)["pk"],
            prefix=recording_key(user_id, "")["sk"],
        )
        return map(read_recording, items)
