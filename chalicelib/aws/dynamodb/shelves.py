"""The recordings in their orders, as the table's indexes hold them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

import msgspec
from msgspec import Struct

from chalicelib.aws.dynamodb.items import (
    Item,
    Key,
    account_key,
    change,
    read_recording,
    recording_key,
    shelf,
)
from chalicelib.aws.dynamodb.table import Table
from chalicelib.models.entities import StoredRecording, Tombstone
from chalicelib.models.fields import Status

log = logging.getLogger(__name__)


class Shelves(Struct, frozen=True):
    """Lists recordings; see core/ports.py for what each method promises."""

    table: Table

    def page(
        self, user_id: str, status: Status, limit: int, after: str | None, newest_first: bool
    ) -> list[StoredRecording]:
        start: Key | None = None
        if after:
            start = recording_key(user_id, after) | {"shelf": shelf(status, after)}
        items = self.table.query(
            "#pk = :pk AND begins_with(#shelf, :prefix)",
            index="shelf",
            limit=limit,
            forward=not newest_first,
            start=start,
            pk=account_key(user_id)["pk"],
            prefix=shelf(status, ""),
        )
        return [msgspec.convert(item, StoredRecording) for item in items]

    def changed(
        self, user_id: str, limit: int, after: tuple[datetime, str]
    ) -> list[StoredRecording | Tombstone]:
        items = self.table.query(
            "#pk = :pk AND #changes > :after",
            index="changes",
            limit=limit,
            pk=account_key(user_id)["pk"],
            after=change(*after),
        )
        return [read_recording(item) for item in items]

    def all_of(self, user_id: str) -> Iterator[StoredRecording | Tombstone]:
        return (read_recording(item) for item in self._items(user_id))

    def readable_of(self, user_id: str) -> Iterator[StoredRecording | Tombstone | None]:
        for item in self._items(user_id):
            try:
                yield read_recording(item)
            except (KeyError, msgspec.ValidationError):
                log.exception("%s of %s cannot be read", item["sk"], user_id)
                yield None

    def _items(self, user_id: str) -> Iterator[Item]:
        return self.table.query(
            "#pk = :pk AND begins_with(#sk, :prefix)",
            pk=account_key(user_id)["pk"],
            prefix=recording_key(user_id, "")["sk"],
        )
