"""The feed: what changed, so that another device stays in step."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct

from chalicelib.core.ports import Clock, ShelfStore
from chalicelib.core.recordings.deletion import TOMBSTONE_LIFE
from chalicelib.errors import CursorExpired, InvalidRequest
from chalicelib.models.answers import ChangedRecording, Changes
from chalicelib.models.entities import StoredRecording, Tombstone
from chalicelib.models.fields import rfc3339
from chalicelib.models.forms import in_utc
from chalicelib.models.requests import ChangesQuery

# A change is told by the clock of the Lambda that wrote it, read before the write: clocks differ by
# some seconds, and a request lasts up to 29. What is younger than this is told again the next time.
MARGIN = timedelta(minutes=1)
# A day less than deletions are remembered for, since clocks differ.
CURSOR_LIFE = TOMBSTONE_LIFE - timedelta(days=1)
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


Moment = Annotated[datetime, Meta(tz=True)]


class Position(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a reader of the feed is; their cursor, spelt out."""

    since: Moment
    """Where the reader came from: what was deleted later, they have to hear of."""
    after: Moment
    """The time of the last change that was told, or before which all were."""
    id: str = ""
    """The id of that change."""
    end: Moment | None = None
    """Where the reader stands once they have come to the end; None when they did."""


class Feed(Struct, frozen=True):
    """The use case of staying in step."""

    shelves: ShelfStore
    clock: Clock

    def changes(self, user_id: str, query: ChangesQuery) -> Changes:
        """A page of what changed since a cursor, or of all there is.

        No change is missed; one may be told twice, with the same id and version. CursorExpired
        when deletions since the cursor may have been forgotten; InvalidRequest for what is none.
        """
        now = self.clock()
        # Who knows of nothing yet need not hear what was deleted before.
        position = Position(now, BEGINNING)
        if query.since is not UNSET:
            position = _position(query.since)
        if position.since < now - CURSOR_LIFE:
            raise CursorExpired("Start afresh, without a cursor")
        after = position.after, position.id
        found = self.shelves.changed(user_id, query.limit + 1, after)
        page, more = found[: query.limit], len(found) > query.limit
        # What is written from now on is younger than the margin, whoever's clock it is told by.
        end = position.end or now - MARGIN
        following = Position(end, end)
        if more:
            following = Position(position.since, page[-1].updated_at, page[-1].id, end)
        return Changes(changes=[_seen(each) for each in page], cursor=_cursor(following), more=more)


def _seen(changed: StoredRecording | Tombstone) -> ChangedRecording:
    if isinstance(changed, StoredRecording):
        return ChangedRecording(**msgspec.structs.asdict(changed.seen()))
    return ChangedRecording(
        id=changed.id,
        status="deleted",
        updated_at=rfc3339(changed.updated_at),
        version=changed.version,
    )


def _cursor(position: Position) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def _position(cursor: str) -> Position:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        read = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Position)
        since, after = in_utc(read.since), in_utc(read.after)
        end = in_utc(read.end) if read.end else None
        return Position(since, after, read.id, end)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidRequest("Not a cursor of this feed", field="since") from error
