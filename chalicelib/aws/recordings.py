"""The recordings, as the table holds them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from chalicelib.aws.items import (
    Item,
    Key,
    account_key,
    change,
    due_shard,
    recording_key,
    shelf,
    timestamp,
    to_item,
)
from chalicelib.aws.table import NOT_THERE, THERE, ConditionFailed, Increment, Table
from chalicelib.errors import IdConflict, NotAuthenticated, QuotaExceeded
from chalicelib.models.entities import StoredRecording, Tombstone
from chalicelib.models.fields import Status


class RecordingsTable:
    """Stores recordings and tombstones; see core/ports.py for what each method promises."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    def add(self, recording: StoredRecording, quota_bytes: int) -> None:
        """Add a recording and what it uses of the quota, both or neither."""
        try:
            self._table.transact(
                self._table.adding(_recording_item(recording), NOT_THERE),
                self._table.updating(
                    account_key(recording.user_id),
                    _usage(recording.size, 1),
                    f"{THERE} AND #bytes_used <= :room",
                    room=quota_bytes - recording.size,
                ),
            )
        except ConditionFailed as error:
            if error.index == 0:
                raise IdConflict("Something has this id", field="id") from error
            # No account, or one without room: only another read tells.
            raise self._refusal(recording.user_id, quota_bytes) from error

    def find(self, user_id: str, recording_id: str) -> StoredRecording | Tombstone | None:
        """What stands under an id, as last written."""
        item = self._table.get(recording_key(user_id, recording_id))
        if item is None:
            return None
        if item["status"] == "deleted":
            return msgspec.convert(item, Tombstone)
        return msgspec.convert(item, StoredRecording)

    def mark_ready(
        self, recording: StoredRecording, sha256: str | None, now: datetime
    ) -> StoredRecording | None:
        """Make an upload ready; None when it is no longer the upload that `recording` was."""
        return self._change(
            recording_key(recording.user_id, recording.id),
            now,
            {
                "status": "ready",
                "shelf": shelf("ready", recording.id),
                "completed_at": timestamp(now),
                "sha256": sha256,
                "due_shard": None,
                "due_at": None,
                "upload_expires_at": None,
            },
            # Not its version: what people say about a recording may change meanwhile.
            "#status = :uploading AND #fingerprint = :fingerprint",
            uploading="uploading",
            fingerprint=recording.fingerprint,
        )

    def revise(
        self,
        user_id: str,
        recording_id: str,
        changes: dict[str, str | list[str] | None],
        version: int | None,
        now: datetime,
    ) -> StoredRecording | None:
        """Set or (None) remove fields of a recording, if it is at `version` where one is given."""
        condition = f"{THERE} AND #status <> :deleted"
        values: dict[str, Any] = {"deleted": "deleted"}
        if version is not None:
            condition += " AND #version = :version_read"
            values["version_read"] = version
        return self._change(recording_key(user_id, recording_id), now, changes, condition, **values)

    def bury(self, recording: StoredRecording, tombstone: Tombstone) -> bool:
        """Put the tombstone in the recording's place and give its quota back, both or neither."""
        try:
            self._table.transact(
                self._table.adding(
                    _tombstone_item(tombstone),
                    "#version = :version_read AND #status = :status_read",
                    version_read=recording.version,
                    status_read=recording.status,
                ),
                self._table.updating(
                    account_key(recording.user_id),
                    _usage(-recording.size, -1),
                    THERE,
                ),
            )
        except ConditionFailed as error:
            if error.index == 0:
                return False
            raise NotAuthenticated("The account is gone") from error
        return True

    def settle(self, tombstone: Tombstone, forget_at: datetime) -> None:
        """Note that nothing is owed any more; the store forgets the tombstone afterwards."""
        try:
            self._table.update(
                recording_key(tombstone.user_id, tombstone.id),
                {
                    "owes": [],
                    "due_shard": None,
                    "due_at": None,
                    "ttl": int(forget_at.timestamp()),
                },
                "#status = :deleted",
                deleted="deleted",
            )
        except ConditionFailed:
            return  # Forgotten already: then it was settled before.

    def page(
        self, user_id: str, status: Status, limit: int, after: str | None, newest_first: bool
    ) -> list[StoredRecording]:
        """Up to `limit` recordings of one status in the order of their ids, after one of them."""
        start: Key | None = None
        if after:
            start = recording_key(user_id, after) | {"shelf": shelf(status, after)}
        found: list[StoredRecording] = []
        while True:
            items, start = self._table.query(
                index="shelf",
                condition="#pk = :pk AND begins_with(#shelf, :prefix)",
                limit=limit - len(found),
                forward=not newest_first,
                start=start,
                pk=account_key(user_id)["pk"],
                prefix=shelf(status, ""),
            )
            found += [msgspec.convert(item, StoredRecording) for item in items]
            if start is None or len(found) == limit:
                return found

    def _change(
        self, key: Key, now: datetime, changes: Mapping[str, Any], condition: str, **values: Any
    ) -> StoredRecording | None:
        """Change a recording and say that it has changed; None when the condition does not hold."""
        news = {
            "version": Increment(1),
            "updated_at": timestamp(now),
            "changes": change(now, key["sk"].removeprefix("REC#")),
        }
        try:
            item = self._table.update(key, {**changes, **news}, condition, **values)
        except ConditionFailed:
            return None
        return msgspec.convert(item, StoredRecording)

    def _refusal(self, user_id: str, quota_bytes: int) -> QuotaExceeded | NotAuthenticated:
        account = self._table.get(account_key(user_id))
        if account is None:
            return NotAuthenticated("The account is gone")
        left = max(0, quota_bytes - account["bytes_used"])
        return QuotaExceeded(f"{left} of {quota_bytes} bytes are left", field="size")


def _usage(size: int, count: int) -> Item:
    return {"bytes_used": Increment(size), "recordings_used": Increment(count)}


def _recording_item(recording: StoredRecording) -> Item:
    item = to_item(recording) | {
        **recording_key(recording.user_id, recording.id),
        "shelf": shelf(recording.status, recording.id),
        "changes": change(recording.updated_at, recording.id),
    }
    if recording.upload_expires_at:
        item |= _due(recording.id, recording.upload_expires_at)
    return item


def _tombstone_item(tombstone: Tombstone) -> Item:
    item = to_item(tombstone) | {
        **recording_key(tombstone.user_id, tombstone.id),
        "changes": change(tombstone.updated_at, tombstone.id),
    }
    return item | _due(tombstone.id, tombstone.due_at) if tombstone.due_at else item


def _due(recording_id: str, at: datetime) -> Item:
    return {"due_shard": due_shard(recording_id), "due_at": timestamp(at)}
