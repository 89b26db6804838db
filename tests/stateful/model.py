"""What is to be of one user's recordings: a small model that the app is held against.

It knows what phones, S3's events and time do to them, one thing after another; nothing of how the
app does it. Each method says how the request is to be answered: `200`, or `404 not_found`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

UPLOAD_LIFE, TRASH_LIFE = timedelta(days=7), timedelta(days=30)
# Of what is sent while it is recorded, and how long it has to be put together once it has ended.
SILENCE, LIVE_LIFE, JOB = timedelta(days=1), timedelta(days=28), timedelta(minutes=20)
QUOTA_BYTES = 45
# What is put together while its phone waits.
SHORT_BYTES = 12
WEEK = timedelta(days=7)
PART_BYTES = 6
SOME, ELSE, SHORT = b"some sound", b"else sound", b"x"
HUGE = b"sound that fills the room"
TIMES = {"uploading": "upload_expires_at", "trashed": "purge_at"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def heard(pieces: Mapping[int, bytes]) -> bytes:
    """What pieces come to, in order, whatever is missing between them."""
    whole = {at: byte for start, data in pieces.items() for at, byte in enumerate(data, start)}
    return bytes(whole[at] for at in sorted(whole))


def in_parts(data: bytes) -> dict[int, bytes]:
    starts = range(0, len(data), PART_BYTES)
    return {n: data[start : start + PART_BYTES] for n, start in enumerate(starts, start=1)}


@dataclass(frozen=True)
class Told:
    """What a phone says of a recording before it sends it."""

    data: bytes
    method: str = "put"
    hashed: bool = False

    @property
    def sha256(self) -> str | None:
        return sha256(self.data) if self.hashed else None

    @property
    def is_live(self) -> bool:
        return self.method == "live"

    @property
    def fields(self) -> dict[str, Any]:
        return {"upload_method": self.method} | ({"sha256": self.sha256} if self.hashed else {})

    @property
    def said(self) -> tuple[object, ...]:
        """What makes it the same announcement."""
        if self.is_live:
            return ("live",)
        return len(self.data), self.sha256

    def admits(self, data: bytes) -> bool:
        return len(self.data) == len(data) and self.sha256 in {None, sha256(data)}


@dataclass(frozen=True)
class Recording:
    """What is to stand under an id; what is `deleted` never begins again, what `expired` may."""

    told: Told
    """What is to arrive; a direct upload may have said which bytes it is."""
    status: str
    version: int
    first: Told
    """What was said of it at first."""
    edited: bool = False
    """Its owner changed it otherwise than by announcing it again."""
    until: datetime | None = None
    notes: str | None = None
    plays: bytes | None = None
    arrived: bytes | None = None
    """What the uploads bucket has of it, whole."""
    parts: Mapping[int, bytes] | None = None
    """What has arrived of a multipart upload under way, if there is one."""
    was_in_parts: bool = False
    """There was a multipart upload of it, which there may be no more."""
    since: datetime | None = None
    reach: int = 0
    """How far the pieces of a live upload were announced."""
    pieces: Mapping[int, bytes] = field(default_factory=dict)
    """What has arrived of them: at each offset the longest, for all are of the same bytes."""
    whole: bytes | None = None
    """What a live upload is to be that takes no more pieces."""
    interrupted: bool = False
    said_sha256: str | None = None
    asked: bool = False
    """A job was asked to put it together."""
    refused: str | None = None
    """The hash that a job did not find, of which nobody was told."""
    links: Mapping[str, datetime] = field(default_factory=dict)
    """Until when each opens it, while it is ready."""

    @property
    def is_live(self) -> bool:
        return self.status in {"uploading", "ready", "trashed"}

    @property
    def sha256(self) -> str | None:
        if self.plays:
            return sha256(self.plays)
        return self.said_sha256 if self.told.is_live else self.told.sha256

    @property
    def size(self) -> int:
        if not self.told.is_live:
            return len(self.told.data)
        return self.reach if self.plays is None else len(self.plays)

    @property
    def goes_on(self) -> bool:
        """Whether it takes pieces."""
        return self.told.is_live and self.status == "uploading" and self.whole is None

    def has(self, size: int, said: str | None) -> str:
        """Whether a live upload that has ended is what is said of it, as far as that is known."""
        there = len(self.plays or self.whole or b"")
        if size > there:
            return "409 upload_incomplete"
        known = size == there and (said is None or self.sha256 in {None, said})
        return "200" if known else "409 upload_mismatch"

    def is_of(self, told: Told) -> bool:
        """Whether an announcement is of the same bytes, as far as either says."""
        if self.first.said == told.said:
            return True
        if told.is_live or (self.told.is_live and self.status == "uploading"):
            return False
        known_since = self.status != "uploading" and told.sha256 is None
        same_size = self.size == len(told.data)
        return same_size and (known_since or self.sha256 == told.sha256)

    @property
    def facts(self) -> dict[str, Any]:
        """What the table has to say of it."""
        if not self.is_live:
            return {"status": self.status, "version": self.version}
        known = {"notes": self.notes, "sha256": self.sha256, "until": self.until}
        told = {name: value for name, value in known.items() if value is not None}
        return {"status": self.status, "version": self.version, "size": self.size} | told


@dataclass
class Library:
    """All of one user's recordings, deleted ones too."""

    clock: Callable[[], datetime]
    all: dict[str, Recording] = field(default_factory=dict)

    def copy(self) -> Library:
        return replace(self, all=dict(self.all))

    def facts(self) -> dict[str, dict[str, Any]]:
        return {id: each.facts for id, each in self.all.items()}

    def on(self, *shelves: str) -> list[str]:
        return sorted(id for id, each in self.all.items() if each.status in shelves)

    @property
    def used(self) -> tuple[int, int]:
        sizes = [each.size for each in self.all.values() if each.is_live]
        return sum(sizes), len(sizes)

    # What phones ask for.

    def announce(self, id: str, told: Told) -> str:
        here = self.all.get(id)
        if here and here.status == "deleted":
            return "404 not_found"
        if here and here.is_live:
            if not here.is_of(told):
                return "409 id_conflict"
            self._announced_again(id, told)
            self._go_on(id, if_left=0.5)
            return "200"
        if self.used[0] + len(told.data) * (not told.is_live) > QUOTA_BYTES:
            return "403 quota_exceeded"
        in_parts = told.method == "multipart"
        self.all[id] = Recording(
            told,
            "uploading",
            version=here.version + 1 if here else 1,
            first=told,
            since=self.clock(),
            parts={} if in_parts else None,
            was_in_parts=in_parts,
        )
        self._set(id, until=self._end_of(id))
        return "201"

    def receive(self, id: str, data: bytes) -> str:
        """A direct upload."""
        begun = self.begin_to_receive(id, data)
        if begun != "201" or self.all[id].status != "uploading":
            return begun.replace("201", "200")
        self._ready(id, data)
        return "201"

    def begin_to_receive(self, id: str, data: bytes, *, kept: bool = False) -> str:
        """What is there of a direct upload when its first write is done; 201 if it may go on.

        Where its bytes are `kept` already, another's completion finds them.
        """
        here = self.all.get(id)
        uploading = here and here.status == "uploading" and not here.told.is_live
        if here and uploading and here.told.admits(data):
            begun = "201"
            self._set(id, told=replace(here.told, data=data, hashed=True))
        elif here and here.is_live:
            is_it = here.status != "uploading" and here.sha256 == sha256(data)
            return "201" if is_it else "409 id_conflict"
        else:
            begun = self.announce(id, Told(data, "direct", hashed=True))
        if kept and begun == "201":
            self._set(id, arrived=data)
        return begun

    def resume(self, id: str) -> str:
        if not self._is(id, "uploading", "ready", "trashed"):
            return "404 not_found"
        if not self.all[id].told.is_live:
            self._go_on(id, if_left=1)
        return "200"

    def extend(self, id: str, offset: int, sizes: Sequence[int]) -> str:
        """Pieces are announced, or announced again."""
        if not self._is(id, "uploading", "ready", "trashed"):
            return "404 not_found"
        here, end = self.all[id], offset + sum(sizes)
        if not here.goes_on:
            return "409 not_ready"
        if offset == here.reach:
            if self.used[0] + sum(sizes) > QUOTA_BYTES:
                return "403 quota_exceeded"
            self._set(id, reach=end, refused=None)
        elif end > here.reach:
            return "409 offset_conflict"
        self._set(id, until=self._end_of(id))
        return "200"

    def complete(self, id: str, size: int | None = None, said: str | None = None) -> str:
        if self._is(id, "uploading", "ready", "trashed"):
            came_whole = not self.all[id].told.is_live
            if size and came_whole:
                return "400 invalid_request"
            if self._is(id, "uploading") and not came_whole:
                ended = self.end(id, size, said)
                ended = self._put_together(id) if ended == "200" else ended
                if ended != "200":
                    return ended
            if self._is(id, "ready") and size:
                return self.all[id].has(size, said)
        if self._is(id, "uploading"):
            return self._finish(id)
        if self._is(id, "trashed"):
            return "409 not_ready"
        return "200" if self._is(id, "ready") else "404 not_found"

    def goes_on(self, id: str) -> bool:
        """Whether a live upload takes pieces."""
        return id in self.all and self.all[id].goes_on

    def end(self, id: str, size: int | None, said: str | None) -> str:
        """Have a live upload be all there is, if that is as much as is said."""
        here = self.all[id]
        if size is None or here.interrupted:
            return "200" if size else "400 invalid_request"
        if here.whole is not None:
            if (known := here.has(size, said)) == "200":
                self._set(id, said_sha256=here.said_sha256 or said)
            return known
        if said and said == here.refused:
            self._set(id, refused=None, until=self._end_of(id))
            return "409 upload_mismatch"
        there = {at for start, it in here.pieces.items() for at in range(start, start + len(it))}
        if size > here.reach or not there.issuperset(range(size)):
            return "409 upload_incomplete"
        if max(there) >= size:
            return "409 upload_mismatch"
        self._end(id, said_sha256=said)
        return "200"

    def revise(self, id: str, notes: str | None, version: int | None) -> str:
        if not self._is(id, "uploading", "ready", "trashed"):
            return "404 not_found"
        if version not in (None, self.all[id].version):
            return "409 version_conflict"
        self._change(id, notes=notes, edited=True)
        return "200"

    def delete(self, id: str, *, permanent: bool) -> str:
        here = self.all.get(id)
        if here is None:
            return "404 not_found"
        if here.status == "expired":
            self.all[id] = replace(here, status="deleted")
        elif here.status == "uploading" or (here.is_live and permanent):
            self._change(id, status="deleted", until=None)
        elif here.status == "ready":
            self._change(id, status="trashed", until=self.clock() + TRASH_LIFE)
        return "204"

    def restore(self, id: str, version: int | None) -> str:
        if not self._is(id, "uploading", "ready", "trashed"):
            return "404 not_found"
        here = self.all[id]
        if version not in (None, here.version):
            return "409 version_conflict"
        if here.status == "uploading":
            return "409 not_ready"
        if here.status == "trashed":
            if here.until and here.until <= self.clock():
                return "404 not_found"
            self._change(id, status="ready", until=None)
        return "200"

    def share(self, id: str, link: str) -> str:
        if not self._is(id, "ready"):
            return "409 not_ready" if self._is(id, "uploading", "trashed") else "404 not_found"
        if self.all[id].links.get(link, self.clock()) > self.clock():
            return "200"
        self._set(id, links={**self.all[id].links, link: self.clock() + WEEK})
        return "201"

    def take_back(self, id: str, link: str) -> str:
        if not self._is(id, "uploading", "ready", "trashed"):
            return "404 not_found"
        left = {name: until for name, until in self.all[id].links.items() if name != link}
        self._set(id, links=left)
        return "204"

    def opened(self, id: str) -> list[str]:
        """The links that open a recording."""
        if not self._is(id, "ready"):
            return []
        return [link for link, until in self.all[id].links.items() if until > self.clock()]

    # What S3 and time do.

    def arrive(self, id: str, data: bytes, part: int | None) -> None:
        if not self._is(id, "uploading"):
            return
        here = self.all[id]
        if part is None:
            self._set(id, arrived=data)
        elif here.told.is_live:
            if here.goes_on and len(data) > len(here.pieces.get(part, b"")):
                self._set(id, pieces={**here.pieces, part: data})
        elif (parts := self.all[id].parts) is not None:
            self._set(id, parts={**parts, part: data})

    def notice(self, id: str | None) -> str:
        if id and self._is(id, "uploading") and not self.all[id].told.is_live:
            self._finish(id, discards=False)
        return "done"

    def tell(self) -> str:
        """S3 tells of the last piece of each live upload that a job is to put together."""
        for id, here in list(self.all.items()):
            if here.status == "uploading" and here.asked:
                self._finish_live(id, refused=here.said_sha256)
        return "done"

    def keep_up(self) -> str | None:
        done: str | None = "done"
        for id, here in list(self.all.items()):
            if here.until is None or here.until > self.clock():
                continue
            if here.status == "trashed":
                self._change(id, status="deleted", until=None)
            elif here.whole is not None or here.pieces:
                self.fall_silent(id)
                if self._put_together(id) == "409 upload_mismatch":
                    done = None  # It is put off, by whichever of several runs found that.
            elif here.told.is_live or self._finish(id) != "200":
                self._change(id, status="expired", until=None)
        return done

    def run_down(self) -> None:
        """All time passes, until nothing is due any more."""
        # Silence, a job that finds other bytes than were said, silence again, another job.
        for times in range(3):
            then = self.clock() + times * LIVE_LIFE
            self.clock = lambda then=then: then  # type: ignore[misc]
            self.keep_up()
            self.tell()

    def fall_silent(self, id: str) -> None:
        """Have a live upload be what has arrived of it."""
        if self.all[id].whole is None:
            self._end(id, interrupted=True)
        self._set(id, until=self.clock() + JOB)

    # The steps of these.

    def _finish(self, id: str, *, discards: bool = True) -> str:
        """Make an upload ready, if what arrived is what was announced."""
        here = self.all[id]
        sizes = {number: len(part) for number, part in in_parts(here.told.data).items()}
        if (
            here.told.method == "multipart"
            and here.parts
            and {n: len(part) for n, part in here.parts.items()} == sizes
        ):
            whole = b"".join(here.parts[number] for number in sorted(sizes))
            here = self._set(id, arrived=whole, parts=None)
        if here.arrived is None:
            return "409 upload_incomplete"
        if here.told.admits(here.arrived):
            return self._ready(id, here.arrived)
        if discards:
            self._set(id, arrived=None)
        return "409 upload_mismatch"

    def _end(self, id: str, **said: Any) -> None:
        nothing = {"said_sha256": None, "interrupted": False, "asked": False, "refused": None}
        times = {"until": self.clock() + JOB}
        self._set(id, whole=heard(self.all[id].pieces), **{**nothing, **times, **said})

    def _put_together(self, id: str) -> str:
        if len(self.all[id].whole or b"") > SHORT_BYTES:
            self._set(id, asked=True)
            return "202"
        return self._finish_live(id)

    def _finish_live(self, id: str, refused: str | None = None) -> str:
        """Make a live upload ready that has ended, if it has the hash that it was said to have."""
        here = self.all[id]
        if here.said_sha256 in {None, sha256(here.whole or b"")}:
            return self._ready(id, here.whole or b"")
        self._set(id, whole=None, said_sha256=None, asked=False, refused=refused)
        self._set(id, until=self._end_of(id))
        return "409 upload_mismatch"

    def _end_of(self, id: str) -> datetime:
        """When an upload's time is over, if its phone is heard of now."""
        here = self.all[id]
        if here.told.is_live and here.since:
            return min(self.clock() + SILENCE, here.since + LIVE_LIFE)
        return self.clock() + UPLOAD_LIFE

    def _announced_again(self, id: str, told: Told) -> None:
        """Have it sent another way, if that is said and its owner has not changed it."""
        here = self.all[id]
        if here.status != "uploading" or here.edited or here.told.method == told.method:
            return
        self._change(id, told=replace(here.told, method=told.method))
        if told.method == "multipart" and not here.was_in_parts:
            self._set(id, parts={}, was_in_parts=True)

    def _go_on(self, id: str, if_left: float) -> None:
        """Give an upload its time again, if no more than such a part of it is left."""
        here, now = self.all[id], self.clock()
        if here.status != "uploading" or here.whole is not None:
            return
        until = self._end_of(id)
        if here.until and here.until - now <= if_left * (until - now):
            here = self._set(id, until=until)
        # A multipart upload that S3 has no more begins anew, unless all of it had arrived.
        if here.told.method == "multipart" and here.parts is None and self._finish(id) != "200":
            self._set(id, parts={})

    def _ready(self, id: str, data: bytes) -> str:
        self._change(id, status="ready", until=None, plays=data, arrived=None, parts=None)
        return "200"

    def _change(self, id: str, **changes: Any) -> None:
        self._set(id, version=self.all[id].version + 1, **changes)

    def _set(self, id: str, **changes: Any) -> Recording:
        self.all[id] = replace(self.all[id], **changes)
        return self.all[id]

    def _is(self, id: str, *statuses: str) -> bool:
        return id in self.all and self.all[id].status in statuses
