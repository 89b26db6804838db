"""The recordings in their orders, as the table's indexes hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice

from msgspec import Struct

from chalicelib.aws.dynamodb.items import (
    Key,
    account_key,
    change,
    owner_and_recording,
    read_recording,
    read_seen,
    recording_key,
    shelf,
)
from chalicelib.aws.dynamodb.table import Page, Table
from chalicelib.models.answers import Recording
from chalicelib.models.entities import StoredRecording, Tombstone, Unreadable
from chalicelib.models.fields import Status


class Shelves(Struct, frozen=True):
    """Lists recordings; see core/ports.py for what each method promises."""

    table: Table

    def page(
        self, user_id: str, status: Status, limit: int, after: str | None, newest_first: bool
    ) -> list[Recording]:
        pages = self._pages(user_id, status, after, newest_first, page=limit)
        read = (read_seen(item) for page in pages for item in page.items)
        return list(islice((each for each in read if each), limit))

    def search(
        self,
        user_id: str,
        status: Status,
        matches: Callable[[Recording], bool],
        limit: int,
        after: str | None,
        newest_first: bool,
    ) -> tuple[list[Recording], str | None]:
        page = next(self._pages(user_id, status, after, newest_first))
        read = map(read_seen, page.items)
        found = list(islice((each for each in read if each and matches(each)), limit + 1))
        if len(found) > limit:
            return found[:limit], found[limit - 1].id
        following = owner_and_recording(page.following)[1] if page.following else None
        return found, following

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

    def _pages(
        self,
        user_id: str,
        status: Status,
        after: str | None,
        newest_first: bool,
        page: int | None = None,
    ) -> Iterator[Page]:
        start: Key | None = None
        if after:
            start = recording_key(user_id, after) | {"shelf": shelf(status, after)}
        return self.table.pages(
            "#pk = :pk AND begins_with(#shelf, :prefix)",
            index="shelf",
            page=page,
            forward=not newest_first,
            start=start,
            fields=("pk", "sk", *Recording.__struct_fields__),
            pk=account_key(user_id)["pk"],
            prefix=shelf(status, ""),
        )
