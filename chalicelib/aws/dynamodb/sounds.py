"""What was heard in recordings, as the table holds it: the waveforms stand beside them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from chalicelib.aws.dynamodb.items import (
    NEVER_DUE,
    Item,
    account_key,
    legible,
    read,
    read_standing,
    recording_key,
    timestamp,
    to_fields,
    to_item,
    unread,
    waveform_key,
)
from chalicelib.aws.dynamodb.recordings import news
from chalicelib.aws.dynamodb.table import ConditionFailed, Table
from chalicelib.errors import InternalError
from chalicelib.models.entities import Heard, StoredRecording, Tombstone, Unreadable, Waveform

# The recording that was listened to, with the bytes that it had, and nobody who hears more did.
UNHEARD = (
    "#version = :version_read AND #created_at = :begun_at"
    " AND (attribute_not_exists(#listener) OR #listener < :this_listener)"
)


class SoundsTable(Struct, frozen=True):
    """Stores what was heard; see core/ports.py for what each method promises."""

    table: Table

    def find(
        self, user_id: str, recording_id: str
    ) -> tuple[StoredRecording | Tombstone | None, Waveform | None]:
        keys = recording_key(user_id, recording_id), waveform_key(user_id, recording_id)
        item, waveform = self.table.get_all(*keys)
        standing = read_standing(item)
        if isinstance(standing, Unreadable):
            raise InternalError("What stands under this id cannot be read")
        return standing, legible(waveform, Waveform) if waveform else None

    def waveform(self, recording: StoredRecording) -> Waveform | None:
        item = self.table.get(waveform_key(recording.user_id, recording.id))
        return read(item, Waveform) if item else None

    def note(self, recording: StoredRecording, heard: Heard, listener: int, now: datetime) -> bool:
        changes = to_fields({"sound": heard.sound, "heard_version": recording.version + 1})
        changes |= news(recording.id, now)
        return self._note(recording, changes, heard, listener)

    def note_again(self, recording: StoredRecording, listener: int) -> bool:
        return self._note(recording, {}, None, listener)

    def waveforms(self, user_id: str) -> Iterator[tuple[str, Waveform | Unreadable]]:
        first = waveform_key(user_id, "")
        items = self.table.query(
            "#pk = :pk AND begins_with(#sk, :prefix)",
            pk=account_key(user_id)["pk"],
            prefix=first["sk"],
        )
        for item in items:
            yield item["sk"].removeprefix(first["sk"]), legible(item, Waveform) or unread(item)

    def _note(
        self, recording: StoredRecording, changes: Item, heard: Heard | None, listener: int
    ) -> bool:
        if recording.status == "ready":
            # What is in the trash is due to be purged.
            changes = changes | NEVER_DUE
        update = self.table.updating(
            recording_key(recording.user_id, recording.id),
            changes | {"listener": listener},
            UNHEARD,
            version_read=recording.version,
            begun_at=timestamp(recording.created_at),
            this_listener=listener,
        )
        key = waveform_key(recording.user_id, recording.id)
        writes = [update]
        if heard and heard.waveform:
            writes.append(self.table.adding(key | to_item(heard.waveform)))
        elif heard and recording.sound:
            writes.append(self.table.deleting(key))
        try:
            self.table.transact(*writes)
        except ConditionFailed:
            return False
        return True
