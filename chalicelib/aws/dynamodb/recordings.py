"""The life of a recording, as the table holds it: each write with the rule it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from chalicelib.aws.dynamodb.items import (
    NEVER_DUE,
    Item,
    Key,
    account_key,
    change,
    due,
    read,
    read_account,
    read_recording,
    read_standing,
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
GOES_ON, HAS_ENDED = "attribute_not_exists(#ended_at)", "#ended_at = :end_read"
OF_THESE_BYTES = "(attribute_not_exists(#sha256) OR #sha256 = :its_sha256)"
AS_LONG = "#size = :size_read"
UNCHANGED = "#status = :status_read AND #version = :version_read"
# What is said of a live upload as it ends.
ENDING = (
    "ended_at",
    "ended_size",
    "gaps",
    "interrupted",
    "refused",
    "sha256",
    "upload_expires_at",
    "upload_id",
)
# What a recording has no more once it is ready.
ONLY_OF_UPLOADS = (
    "cut",
    "ended_at",
    "ended_size",
    "gaps",
    "pieces",
    "refused",
    "signed_again",
    "upload_expires_at",
    "upload_id",
)


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
        standing = read_standing(item)
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
        condition, seen = _upload(recording, "attribute_not_exists(#upload_id)")
        if recording.upload_id:
            condition, seen = _upload(recording, "#upload_id = :seen", seen=recording.upload_id)
        begun = {"upload_id": upload_id, "cut": recording.cut}
        return self._update(_key(recording), begun, condition, **seen)

    def announce_again(
        self, recording: StoredRecording, changes: dict[str, Told], now: datetime
    ) -> StoredRecording | None:
        version = recording.announced_version
        condition, values = _upload(
            recording, "#version = :version_announced", version_announced=version
        )
        changed = to_fields(changes) | {"announced_version": version + 1}
        return self._change(_key(recording), now, changed, condition, **values)

    def extend(
        self, recording: StoredRecording, size: int, pieces: int, quota: Quota, until: datetime
    ) -> StoredRecording | None:
        key, usage = account_key(recording.user_id), Usage(size, 0)
        condition, values = _upload(recording, AS_LONG, size_read=recording.size)
        changes, room, room_values = usage.fitting(quota)
        try:
            self.table.transact(
                self.table.updating(
                    _key(recording),
                    {
                        **_life(recording, until),
                        "size": Increment(size),
                        "pieces": Increment(pieces),
                        "refused": None,
                    },
                    condition,
                    **values,
                ),
                self.table.updating(key, changes, room, **room_values),
            )
        except ConditionFailed as error:
            if error.index == 0:
                return None
            refusal = usage.lack(read_account(self.table.get(key)), quota, "pieces")
            if refusal:
                raise refusal from error
            return None  # Something was deleted meanwhile.
        return structs.replace(
            recording,
            size=recording.size + size,
            pieces=(recording.pieces or 0) + pieces,
            upload_expires_at=until,
        )

    def sign_again(
        self, recording: StoredRecording, pieces: int, until: datetime
    ) -> StoredRecording | None:
        condition, values = _upload(recording)
        changes = {**_life(recording, until), "signed_again": Increment(pieces)}
        return self._update(_key(recording), changes, condition, **values)

    def end(self, recording: StoredRecording, ended: StoredRecording) -> StoredRecording | None:
        condition, values = _upload(recording, AS_LONG, size_read=recording.size)
        said = to_fields({field: getattr(ended, field) for field in ENDING})
        if ended.upload_expires_at:
            said |= _life(ended, ended.upload_expires_at)
        return self._update(_key(recording), said, condition, **values)

    def take_up_again(
        self, recording: StoredRecording, refused: str | None, until: datetime
    ) -> StoredRecording | None:
        condition, values = _upload(recording)
        changes = {
            **_life(recording, until),
            **dict.fromkeys(
                ("ended_at", "ended_size", "gaps", "interrupted", "sha256", "upload_id")
            ),
            "refused": refused,
        }
        return self._update(_key(recording), changes, condition, **values)

    def settle_hash(self, recording: StoredRecording, sha256: str) -> StoredRecording | None:
        condition, values = _upload(recording, OF_THESE_BYTES, its_sha256=sha256)
        return self._update(_key(recording), {"sha256": sha256}, condition, **values)

    def prolong(self, recording: StoredRecording, until: datetime) -> StoredRecording | None:
        condition, values = _upload(recording)
        return self._update(_key(recording), _life(recording, until), condition, **values)

    def count_signature(self, recording: StoredRecording, most: int) -> bool:
        room = "(attribute_not_exists(#signatures) OR #signatures < :most)"
        condition, values = _upload(recording, room, most=most)
        counted = self._update(_key(recording), {"signatures": Increment(1)}, condition, **values)
        return bool(counted)

    def mark_ready(
        self, recording: StoredRecording, sha256: str | None, now: datetime, due_at: datetime
    ) -> StoredRecording | None:
        ready = {
            **_on(recording, "ready"),
            **due(recording.id, due_at),
            "postponed": None,
            "completed_at": timestamp(now),
            "sha256": sha256,
            **dict.fromkeys(ONLY_OF_UPLOADS),
        }
        # Not its version: what people say about a recording may change meanwhile.
        condition, values = _upload(recording)
        if sha256:
            condition, values = _upload(recording, OF_THESE_BYTES, its_sha256=sha256)
        if unused := recording.size - recording.whole_size:
            ready |= {"size": recording.whole_size, **news(recording.id, now)}
            update = self.table.updating(_key(recording), ready, condition, **values)
            if not self._giving_back(recording.user_id, Usage(unused, 0), update):
                return None
            standing = self.find(recording.user_id, recording.id)
            return standing if isinstance(standing, StoredRecording) else None
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
            # What listening made of it since is no change that anybody could overwrite.
            heard = "(#version = :version_heard AND #heard_version = :version_heard)"
            condition += f" AND (#version = :version_read OR {heard})"
            values |= {"version_read": version, "version_heard": version + 1}
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

    def bury(self, recording: StoredRecording | Unreadable, tombstone: Tombstone) -> bool:
        if isinstance(recording, Unreadable):
            is_drawn, (condition, read) = True, _unread(recording)
        else:
            is_drawn, (condition, read) = bool(recording.sound), _unburied(recording)
        # Listening makes another version of it: so none can come to it in between.
        waveform = waveform_key(recording.user_id, recording.id)
        goes_too = [self.table.deleting(waveform)] if is_drawn else []
        # A tombstone that cannot be read has none.
        used = Usage(0, 0) if recording.status == "deleted" else Usage(recording.size, 1)
        buried = self.table.adding(tombstone_item(tombstone), condition, **read)
        return self._giving_back(recording.user_id, used, buried, *goes_too)

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

    def _giving_back(
        self,
        user_id: str,
        used: Usage,
        write: TransactWriteItemTypeDef,
        *more: TransactWriteItemTypeDef,
    ) -> bool:
        """Write, and count no more what was used, all or nothing; False if `write` may not be."""
        counting = self.table.updating(account_key(user_id), used.given_back(), THERE)
        try:
            self.table.transact(write, counting, *more)
        except ConditionFailed as error:
            if error.index == 0:
                return False
            raise NotAuthenticated("The account is gone") from error
        return True

    def _update(
        self, key: Key, changes: Item, condition: str, **values: Any
    ) -> StoredRecording | None:
        """The recording as it is then; None when the condition does not hold."""
        item = self.table.try_update(key, changes, condition, **values)
        return read(item, StoredRecording) if item else None


def news(recording_id: str, now: datetime) -> Item:
    """The change by which other devices hear of whatever else changes."""
    return {
        "version": Increment(1),
        "updated_at": timestamp(now),
        "changes": change(now, recording_id),
    }


def _key(keyed: Keyed) -> Key:
    return recording_key(keyed.user_id, keyed.id)


def _upload(
    recording: StoredRecording, *conditions: str, **values: object
) -> tuple[str, dict[str, Any]]:
    """The condition that it still is the upload that it was, and others; the values in them."""
    found = {
        "uploading": "uploading",
        "fingerprint": recording.fingerprint,
        # The same announcement may have begun again since.
        "begun_at": timestamp(recording.created_at),
        **values,
    }
    if recording.in_pieces:
        conditions = (HAS_ENDED if recording.ended_at else GOES_ON, *conditions)
    if recording.ended_at:
        found["end_read"] = timestamp(recording.ended_at)
    return " AND ".join((UPLOAD, *conditions)), found


def _life(recording: StoredRecording, until: datetime) -> Item:
    """The changes that give an upload time until then."""
    life = {"upload_expires_at": timestamp(until), "postponed": None}
    return life | due(recording.id, until)


def _read(standing: StoredRecording | Tombstone) -> Item:
    """The values of UNCHANGED."""
    return {"status_read": standing.status, "version_read": standing.version}


def _unburied(recording: StoredRecording) -> tuple[str, Item]:
    """The condition that nothing changed that its tombstone is to know of; the values in it."""
    condition, read = UNCHANGED, _read(recording)
    if recording.upload_expires_at:
        # Giving an upload more time, or more bytes, does not make it another version.
        condition += f" AND #upload_expires_at = :time_read AND {AS_LONG}"
        read["time_read"] = timestamp(recording.upload_expires_at)
        read["size_read"] = recording.size
    for field in ("links_made", "signatures"):
        # Nor does making a link or signing for parts, of which the tombstone is to know.
        if getattr(recording, field) is None:
            condition += f" AND attribute_not_exists(#{field})"
    return condition, read


def _unread(unreadable: Unreadable) -> tuple[str, Item]:
    """The condition that what its tombstone is made of is as it was; the values in it."""
    conditions, read = [THERE], {}
    for field in ("status", "version", "size"):
        value = unreadable.item.get(field)
        if isinstance(value, str | int):
            conditions.append(f"#{field} = :{field}_read")
            read[f"{field}_read"] = value
    return " AND ".join(conditions), read


def _on(recording: StoredRecording, status: str) -> Item:
    """The fields that put a recording on the shelf of a status."""
    return {"status": status, "shelf": shelf(status, recording.id)}
