"""The links, as the table holds them: each by its code, and beside the recording it leads to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from chalicelib.aws.batches import batched
from chalicelib.aws.dynamodb.attempts import read_window
from chalicelib.aws.dynamodb.items import (
    LISTED,
    Item,
    Key,
    account_key,
    attempts_key,
    legible,
    link_key,
    listed_link_key,
    read,
    read_account,
    read_standing,
    recording_key,
    timestamp,
    to_item,
    unread,
    waveform_key,
)
from chalicelib.aws.dynamodb.table import NOT_THERE, THERE, ConditionFailed, Increment, Table
from chalicelib.models.entities import (
    Account,
    Attempt,
    FullWindow,
    Link,
    Standing,
    StoredRecording,
    Unreadable,
    Waveform,
)

# A transaction takes 100 items, and each link is two.
REMOVED_AT_ONCE = 50


class LinksTable(Struct, frozen=True):
    """Stores links; see core/ports.py for what each method promises."""

    table: Table

    def add(self, link: Link, recording: StoredRecording) -> bool:
        unchanged, values = "attribute_not_exists(#links_made)", {}
        if recording.links_made is not None:
            unchanged, values = "#links_made = :links_read", {"links_read": recording.links_made}
        try:
            self.table.transact(
                *(self.table.adding(item, NOT_THERE) for item in _items(link)),
                self.table.updating(
                    recording_key(link.user_id, link.recording_id),
                    {"links_made": Increment(1)},
                    f"#status = :ready AND {unchanged}",
                    ready="ready",
                    **values,
                ),
            )
        except ConditionFailed:
            return False
        return True

    def find(
        self, code: str, watched: Attempt | None, now: datetime
    ) -> tuple[Link | None, FullWindow | None]:
        keys = [link_key(code)]
        if watched:
            keys.append(attempts_key(watched.kind, watched.who))
        item, *windows = self.table.get_all(*keys)
        full = read_window(windows[0], watched.most, now) if watched else None
        return read(item, Link) if item else None, full

    def target(self, link: Link) -> tuple[Account | None, Standing | None, Waveform | None]:
        ids = link.user_id, link.recording_id
        account, recording, drawn = self.table.get_all(
            account_key(link.user_id), recording_key(*ids), waveform_key(*ids)
        )
        waveform = legible(drawn, Waveform) if drawn else None
        return read_account(account), read_standing(recording), waveform

    def of(self, user_id: str, recording_id: str | None = None) -> Iterator[Link | Unreadable]:
        prefix = listed_link_key(user_id, recording_id, "")["sk"] if recording_id else LISTED
        pk = account_key(user_id)["pk"]
        items = self.table.query("#pk = :pk AND begins_with(#sk, :prefix)", pk=pk, prefix=prefix)
        return (legible(item, Link) or unread(item) for item in items)

    def remove(self, links: Iterable[Link | Unreadable]) -> None:
        for batch in batched(links, REMOVED_AT_ONCE):
            keys = [key for each in batch for key in _keys(each)]
            self.table.transact(*map(self.table.deleting, keys))

    def note_opens(self, link: Link, opens: int, now: datetime, until: datetime) -> None:
        over = f"{THERE} AND (attribute_not_exists(#opens_until) OR #opens_until <= :time)"
        window: Item = {"opens": opens, "opens_until": timestamp(until)}
        writes = [(window, over), ({"opens": Increment(opens)}, "#opens_until > :time")]
        if link.opened(now):
            writes.reverse()
        for changes, condition in writes:
            # The other way if its window began or ended meanwhile; neither if it is gone.
            if self.table.try_update(link_key(link.code), changes, condition, time=timestamp(now)):
                return


def _items(link: Link) -> tuple[Item, Item]:
    """By its code, and in the list of its recording."""
    item = to_item(link)
    if link.expires_at:
        item["ttl"] = int(link.expires_at.timestamp())
    listed = listed_link_key(link.user_id, link.recording_id, link.id)
    return link_key(link.code) | item, listed | item


def _keys(link: Link | Unreadable) -> list[Key]:
    """Those of both; of a listed one that cannot be read, its own and what can be told of it."""
    if isinstance(link, Link):
        listed = listed_link_key(link.user_id, link.recording_id, link.id)
        return [link_key(link.code), listed]
    by_code = [link_key(link.code)] if link.code else []
    return [*by_code, {"pk": link.item["pk"], "sk": link.item["sk"]}]
