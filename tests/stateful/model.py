"""What is to be of one user's recordings: a small model that the app is held against.

It knows what phones, S3's events and time do to them, one thing after another; nothing of how the
app does it. Each method says how the request is to be answered: `200`, or `404 not_found`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

UPLOAD_LIFE, TRASH_LIFE = timedelta(days=7), timedelta(days=30)
QUOTA_BYTES = 45
PART_BYTES = 6
SOME, ELSE, SHORT = b"some sound", b"else sound", b"x"
HUGE = b"sound that fills the room"
TIMES = {"uploading": "upload_expires_at", "trashed": "purge_at"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
    def fields(self) -> dict[str, Any]:
        return {"upload_method": self.method} | ({"sha256": self.sha256} if self.hashed else {})

    @property
    def said(self) -> tuple[object, ...]:
        """What makes it the same announcement."""
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

    @property
    def is_live(self) -> bool:
        return self.status in {"uploading", "ready", "trashed"}

    @property
    def sha256(self) -> str | None:
        return sha256(self.plays) if self.plays else self.told.sha256

    def is_of(self, told: Told) -> bool:
        """Whether an announcement is of the same bytes, as far as either says."""
        if self.first.said == told.said:
            return True
        known_since = self.status != "uploading" and told.sha256 is None
        same_size = len(self.told.data) == len(told.data)
        return same_size and (known_since or self.sha256 == told.sha256)

    @property
    def facts(self) -> dict[str, Any]:
        """What the table has to say of it."""
        if not self.is_live:
            return {"status": self.status, "version": self.version}
        known = {"notes": self.notes, "sha256": self.sha256, "until": self.until}
        told = {name: value for name, value in known.items() if value is not None}
        size = len(self.told.data)
        return {"status": self.status, "version": self.version, "size": size} | told


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
        sizes = [len(each.told.data) for each in self.all.values() if each.is_live]
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
            self._go_on(id, if_left=UPLOAD_LIFE / 2)
            return "200"
        if self.used[0] + len(told.data) > QUOTA_BYTES:
            return "403 quota_exceeded"
        in_parts = told.method == "multipart"
        self.all[id] = Recording(
            told,
            "uploading",
            version=here.version + 1 if here else 1,
            first=told,
            until=self.clock() + UPLOAD_LIFE,
            parts={} if in_parts else None,
            was_in_parts=in_parts,
        )
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
        if here and here.status == "uploading" and here.told.admits(data):
            begun = "201"
            self._set(id, told=replace(here.told, data=data, hashed=True))
        elif here and here.is_live:
            return "201" if here.sha256 == sha256(data) else "409 id_conflict"
        else:
            begun = self.announce(id, Told(data, "direct", hashed=True))
        if kept and begun == "201":
            self._set(id, arrived=data)
        return begun

    def resume(self, id: str) -> str:
        if not self._is(id, "uploading", "ready", "trashed"):
            return "404 not_found"
        self._go_on(id, if_left=UPLOAD_LIFE)
        return "200"

    def complete(self, id: str) -> str:
        if self._is(id, "uploading"):
            return self._finish(id)
        if self._is(id, "trashed"):
            return "409 not_ready"
        return "200" if self._is(id, "ready") else "404 not_found"

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

    # What S3 and time do.

    def arrive(self, id: str, data: bytes, part: int | None) -> None:
        if not self._is(id, "uploading"):
            return
        if part is None:
            self._set(id, arrived=data)
        elif (parts := self.all[id].parts) is not None:
            self._set(id, parts={**parts, part: data})

    def notice(self, id: str | None) -> str:
        if id and self._is(id, "uploading"):
            self._finish(id, discards=False)
        return "done"

    def keep_up(self) -> str:
        for id, here in list(self.all.items()):
            if here.until is None or here.until > self.clock():
                continue
            if here.status == "trashed":
                self._change(id, status="deleted", until=None)
            elif self._finish(id) != "200":
                self._change(id, status="expired", until=None)
        return "done"

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

    def _announced_again(self, id: str, told: Told) -> None:
        """Have it sent another way, if that is said and its owner has not changed it."""
        here = self.all[id]
        if here.status != "uploading" or here.edited or here.told.method == told.method:
            return
        self._change(id, told=replace(here.told, method=told.method))
        if told.method == "multipart" and not here.was_in_parts:
            self._set(id, parts={}, was_in_parts=True)

    def _go_on(self, id: str, if_left: timedelta) -> None:
        here = self.all[id]
        if here.status != "uploading":
            return
        if here.until and here.until - self.clock() <= if_left:
            here = self._set(id, until=self.clock() + UPLOAD_LIFE)
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
