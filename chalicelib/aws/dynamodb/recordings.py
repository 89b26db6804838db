"""The life of a recording, as the table holds it: each write with the rule it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from chalicelib.aws.dynamodb.items import (
    NEVER_DUE,
    Item,
    Key,
    account_key,
    change,
    due,
    read_account,
    read_recording,
    recording_item,
    recording_key,
    shelf,
    timestamp,
    to_fields,
    tombstone_item,
    waveform_key,
)
from chalicelib.aws.dynamodb.table import NOT_THERE, THERE, ConditionFailed, Increment, Table
from chalicelib.aws.dynamodb.usage import Usage
from chalicelib.errors import IdConflict, InternalError, NotAuthenticated
from chalicelib.models.entities import Account, Keyed, Quota, StoredRecording, Tombstone, Unreadable
from chalicelib.models.fields import Told

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# What a write may find, each with the values it names: see _upload and _read.
UPLOAD = "#status = :uploading AND #fingerprint = :fingerprint AND #created_at = :begun_at"
OF_THESE_BYTES = f"{UPLOAD} AND (attribute_not_exists(#sha256) OR #sha256 = :its_sha256)"
UNCHANGED = "#status = :status_read AND #version = :version_read"


class RecordingsTable(Struct, frozen=True):
    """Stores recordings and tombstones; see core/ports.py for what each method promises."""

    table: Table

    def add(
        self, account: Account, recordings: list[StoredRecording], quota: Quota, now: datetime
    ) -> None:
        key, usage = account_key(account.id), Usage.of(recordings)
        adding = [self._adding(recording) for recording in recordings]
        changes, condition, values = usage.announced(account, quota, now)
        counting = self.table.updating(key, changes, condition, **values)
        try:
            self.table.transact(*adding, counting)
        except ConditionFailed as error:
            if error.index < len(recordings):
                raise IdConflict("Something has this id", field="id") from error
            # No account, no room, or another hour by now: only another read tells.
            fresh = read_account(self.table.get(key))
            field = "size" if len(recordings) == 1 else "recordings"
            refusal = usage.refusal(fresh, quota, now, field)
            if fresh is None or refusal:
                raise refusal or NotAuthenticated("The account is gone") from error
            self.add(fresh, recordings, quota, now)

    def find(self, user_id: str, recording_id: str) -> StoredRecording | Tombstone | None:
        item = self.table.get(recording_key(user_id, recording_id))
        standing = read_recording(item) if item else None
        if isinstance(standing, Unreadable):
            raise InternalError("What stands under this id cannot be read")
        return standing

    def find_all(
        self, keys: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], StoredRecording | Tombstone | Unreadable]:
        items = self.table.get_all(*(recording_key(*ids) for ids in dict.fromkeys(keys)))
        standing = [read_recording(item) for item in items if item]
        return {(each.user_id, each.id): each for each in standing}

    def begin_parts(self, recording: StoredRecording, upload_id: str) -> StoredRecording | None:
        condition, seen = f"{UPLOAD} AND attribute_not_exists(#upload_id)", _upload(recording)
        if recording.upload_id:
            condition, seen["seen"] = f"{UPLOAD} AND #upload_id = :seen", recording.upload_id
        return self._update(_key(recording), {"upload_id": upload_id}, condition, **seen)

    def announce_again(
        self, recording: StoredRecording, changes: dict[str, Told], now: datetime
    ) -> StoredRecording | None:
        version = recording.announced_version
        return self._change(
            _key(recording),
            now,
            to_fields(changes) | {"announced_version": version + 1},
            f"{UPLOAD} AND #version = :version_announced",
            **_upload(recording),
            version_announced=version,
        )

    def settle_hash(self, recording: StoredRecording, sha256: str) -> StoredRecording | None:
        values = {**_upload(recording), "its_sha256": sha256}
        return self._update(_key(recording), {"sha256": sha256}, OF_THESE_BYTES, **values)

    def prolong(self, recording: StoredRecording, until: datetime) -> StoredRecording | None:
        life = {"upload_expires_at": timestamp(until), "postponed": None}
        life |= due(recording.id, until)
        return self._update(_key(recording), life, UPLOAD, **_upload(recording))

    def count_signature(self, recording: StoredRecording, most: int) -> bool:
        condition = f"{UPLOAD} AND (attribute_not_exists(#signatures) OR #signatures < :most)"
        values = {**_upload(recording), "most": most}
        return bool(
            self._update(_key(recording), {"signatures": Increment(1)}, condition, **values)
        )

    def mark_ready(
        self, recording: StoredRecording, sha256: str | None, now: datetime, due_at: datetime
    ) -> StoredRecording | None:
        ready = {
            **_on(recording, "ready"),
            **due(recording.id, due_at),
            "postponed": None,
            "completed_at": timestamp(now),
            "sha256": sha256,
            "upload_id": None,
            "upload_expires_at": None,
        }
        # Not its version: what people say about a recording may change meanwhile.
        condition, values = UPLOAD, _upload(recording)
        if sha256:
            condition, values["its_sha256"] = OF_THESE_BYTES, sha256
        return self._change(_key(recording), now, ready, condition, **values)

    def revise(
        self,
        user_id: str,
        recording_id: str,
        changes: dict[str, Told],
        version: int | None,
        now: datetime,
    ) -> StoredRecording | None:
        condition = f"{THERE} AND #status <> :deleted"
        values: dict[str, Any] = {"deleted": "deleted"}
        if version is not None:
            condition += " AND #version = :version_read"
            values["version_read"] = version
        key = recording_key(user_id, recording_id)
        return self._change(key, now, to_fields(changes), condition, **values)

    def trash(
        self, recording: StoredRecording, now: datetime, purge_at: datetime
    ) -> StoredRecording | None:
        trashed = {
            **_on(recording, "trashed"),
            **due(recording.id, purge_at),
            "postponed": None,
            "purge_at": timestamp(purge_at),
        }
        return self._change(_key(recording), now, trashed, UNCHANGED, **_read(recording))

    def restore(
        self, recording: StoredRecording, now: datetime, due_at: datetime
    ) -> StoredRecording | None:
        restored = {**_on(recording, "ready"), **NEVER_DUE, "purge_at": None}
        if not recording.listener:
            restored |= due(recording.id, due_at)
        in_time = f"{UNCHANGED} AND #purge_at > :time"
        return self._change(
            _key(recording), now, restored, in_time, **_read(recording), time=timestamp(now)
        )

    def bury(self, recording: StoredRecording, tombstone: Tombstone) -> bool:
        condition, read = UNCHANGED, _read(recording)
        if recording.upload_expires_at:
            # Giving an upload more time does not make it another version.
            condition += " AND #upload_expires_at = :end_read"
            read["end_read"] = timestamp(recording.upload_expires_at)
        for field in ("links_made", "signatures"):
            # Nor does making a link or signing for parts, of which the tombstone is to know.
            if getattr(recording, field) is None:
                condition += f" AND attribute_not_exists(#{field})"
        # Listening makes another version of it: so none can come to it in between.
        waveform = waveform_key(recording.user_id, recording.id)
        goes_too = [self.table.deleting(waveform)] if recording.sound else []
        try:
            self.table.transact(
                self.table.adding(tombstone_item(tombstone), condition, **read),
                self.table.updating(
                    account_key(recording.user_id), Usage.of([recording]).given_back(), THERE
                ),
                *goes_too,
            )
        except ConditionFailed as error:
            if error.index == 0:
                return False
            raise NotAuthenticated("The account is gone") from error
        return True

    def seal(self, tombstone: Tombstone) -> bool:
        return self._note(tombstone, {"expired": False})

    def settle(self, tombstone: Tombstone, forget_at: datetime) -> bool:
        settled: Item = {
            **NEVER_DUE,
            "owes": [],
            "had_links": None,
            "ttl": int(forget_at.timestamp()),
        }
        return self._note(tombstone, settled)

    def forget(self, tombstone: Tombstone) -> None:
        self.table.delete(_key(tombstone), UNCHANGED, **_read(tombstone))

    def _note(self, tombstone: Tombstone, changes: Item) -> bool:
        read = _read(tombstone)
        return self.table.try_update(_key(tombstone), changes, UNCHANGED, **read) is not None

    def _adding(self, recording: StoredRecording) -> TransactWriteItemTypeDef:
        if recording.version == 1:
            return self.table.adding(recording_item(recording), NOT_THERE)
        return self.table.adding(
            recording_item(recording),
            f"{UNCHANGED} AND #expired = :expired",
            status_read="deleted",
            version_read=recording.version - 1,
            expired=True,
        )

    def _change(
        self, key: Key, now: datetime, changes: Mapping[str, Any], condition: str, **values: Any
    ) -> StoredRecording | None:
        """Update a recording, and say that it has changed."""
        changed = {**changes, **news(key["sk"].removeprefix("REC#"), now)}
        return self._update(key, changed, condition, **values)

    def _update(
        self, key: Key, changes: Item, condition: str, **values: Any
    ) -> StoredRecording | None:
        """The recording as it is then; None when the condition does not hold."""
        item = self.table.try_update(key, changes, condition, **values)
        return msgspec.convert(item, StoredRecording) if item else None


def news(recording_id: str, now: datetime) -> Item:
    """The change by which other devices hear of whatever else changes."""
    return {
        "version": Increment(1),
        "updated_at": timestamp(now),
        "changes": change(now, recording_id),
    }


def _key(keyed: Keyed) -> Key:
    return recording_key(keyed.user_id, keyed.id)


def _upload(recording: StoredRecording) -> Item:
    """The values of UPLOAD."""
    return {
        "uploading": "uploading",
        "fingerprint": recording.fingerprint,
        # The same announcement may have begun again since.
        "begun_at": timestamp(recording.created_at),
    }


def _read(standing: StoredRecording | Tombstone) -> Item:
    """The values of UNCHANGED."""
    return {"status_read": standing.status, "version_read": standing.version}


def _on(recording: StoredRecording, status: str) -> Item:
    """The fields that put a recording on the shelf of a status."""
    return {"status": status, "shelf": shelf(status, recording.id)}
