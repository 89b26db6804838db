"""What is due, as the sparse `due` index holds it."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator
from datetime import datetime

import msgspec
from msgspec import Struct

from chalicelib.aws.dynamodb.items import (
    DUE_SHARDS,
    Item,
    Key,
    account_key,
    due_shard,
    export_key,
    owner_and_recording,
    recording_key,
    timestamp,
)
from chalicelib.aws.dynamodb.table import Increment, Table
from chalicelib.models.entities import Due

log = logging.getLogger(__name__)


class DueIndex(Struct, frozen=True):
    """Lists what is due; see core/ports.py for what each method promises."""

    table: Table

    def due(self, now: datetime) -> Iterator[Due]:
        shards = [self._shard(number, now) for number in range(DUE_SHARDS)]
        return heapq.merge(*shards, key=lambda due: due.due_at)

    def postpone(self, due: Due, until: datetime) -> bool:
        postponed = self.table.try_update(
            _key(due),
            {"due_at": timestamp(until), "postponed": Increment(1)},
            "#due_at = :due_at_read",
            due_at_read=timestamp(due.due_at),
        )
        return postponed is not None

    def _shard(self, number: int, now: datetime) -> Iterator[Due]:
        items = self.table.query(
            "#due_shard = :shard AND #due_at <= :now",
            index="due",
            shard=due_shard(number),
            now=timestamp(now),
        )
        for item in items:
            try:
                yield _read(item)
            except msgspec.ValidationError:
                # Found again each time, but none of the others has to wait for it.
                log.exception("%s of %s is due at no time", item["sk"], item["pk"])


def _key(due: Due) -> Key:
    """What is put off: of a closed account's recordings, the account."""
    if due.what == "export":
        return export_key(due.user_id)
    if due.what == "account" or due.closed:
        return account_key(due.user_id)
    return recording_key(*due.key)


def _read(item: Item) -> Due:
    user_id, recording_id = owner_and_recording(item)
    what = "recording" if recording_id else {"EXPORT": "export"}.get(item["sk"], "account")
    found = {"what": what, "user_id": user_id, "recording_id": recording_id}
    return msgspec.convert(item | found, Due)
