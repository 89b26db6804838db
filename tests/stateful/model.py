"""What is to be: a model of one user's recordings, which the stateful tests hold the app against.

It knows what phones, S3's events and time do to them, one thing after another; nothing of how the
app does it. Each method says how the request is to be answered: `200`, or `404 not_found`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any

UPLOAD_LIFE = timedelta(days=7)
TRASH_LIFE = timedelta(days=30)
QUOTA_BYTES = 45
PART_BYTES = 6
TYPE, OTHER_TYPE = "audio/mp4", "audio/aac"


TIMES = "updated_at", "upload_expires_at", "purge_at"
FACTS = "status", "version", "file_name", "size", "notes", "sha256", *TIMES


def facts(shown: Mapping[str, Any]) -> dict[str, Any]:
    """What an item, or an answer, says of a recording."""
    return {
        name: datetime.fromisoformat(shown[name]) if name in TIMES else shown[name]
        for name in FACTS
        if name in shown
    }


def in_feed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that the feed tells of; giving an upload more time is no change."""
    return {name: fact for name, fact in facts.items() if name != "upload_expires_at"}


class Sound:
    """Some bytes, by a name that fits on a line."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self.size = len(data)

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sound) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.size)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'

    def part(self, number: int) -> Sound:
        start = (number - 1) * PART_BYTES
        return Sound(f"{self.name}[{number}]", self.data[start : start + PART_BYTES])


SOME, ELSE = Sound("SOME", b"some sound"), Sound("ELSE", b"else sound")
SHORT = Sound("SHORT", b"x")
HUGE = Sound("HUGE", b"sound that fills the room")
OTHERS = {SOME: ELSE, ELSE: SOME, HUGE: SHORT}
PARTS = (1, 2)  # those of SOME and ELSE; nothing else is sent in parts


@dataclass(frozen=True)
class Announcement:
    """What a phone says of a recording before it sends it."""

    sound: Sound
    method: str = "put"
    hashed: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "file_name": "clip.m4a",
            "content_type": TYPE,
            "size": self.sound.size,
            "upload_method": self.method,
        }
        return said | ({"sha256": self.sound.sha256} if self.hashed else {})

    def is_like(self, other: Announcement) -> bool:
        """Whether the same was said, a direct upload being said to be a PUT."""
        mine, theirs = (each.method.replace("direct", "put") for each in (self, other))
        return (self.sound.size, mine, self.sha256) == (other.sound.size, theirs, other.sha256)

    @property
    def sha256(self) -> str | None:
        return self.sound.sha256 if self.hashed else None

    def admits(self, sound: Sound) -> bool:
        return sound.size == self.sound.size and self.sha256 in (None, sound.sha256)


@dataclass(frozen=True)
class Arrived:
    """An object in the uploads bucket."""

    sound: Sound
    content_type: str
    etag: str

    def looks_like(self, announced: Announcement) -> bool:
        """Whether S3 can tell no difference before it copies it: it was asked for no hash."""
        return (self.sound.size, self.content_type) == (announced.sound.size, TYPE)

    @classmethod
    def in_parts(cls, parts: Mapping[int, Sound]) -> Arrived:
        each = [parts[number] for number in sorted(parts)]
        whole = Sound("+".join(part.name for part in each), b"".join(part.data for part in each))
        digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in each)
        digest = hashlib.md5(digests, usedforsecurity=False).hexdigest()
        return cls(whole, TYPE, f'"{digest}-{len(each)}"')


@dataclass(frozen=True)
class Recording:
    """What is to stand under an id.

    `deleted` is for good, `expired` may begin again. Only of an upload does it matter what is in
    the uploads bucket; afterwards there may be something, until the very end.
    """

    announced: Announcement
    status: str
    version: int
    changed_at: datetime
    until: datetime | None = None
    notes: str | None = None
    plays: Sound | None = None
    arrived: Arrived | None = None
    left: Sound | None = None
    """What a completion that died has copied already."""
    parts: Mapping[int, Sound] | None = None
    """What has arrived of the multipart upload under way, if there is one."""
    upload_id: str | None = None

    @property
    def is_live(self) -> bool:
        return self.status in {"uploading", "ready", "trashed"}

    @property
    def sha256(self) -> str | None:
        return self.plays.sha256 if self.plays else self.announced.sha256

    @property
    def facts(self) -> dict[str, Any]:
        """What others can see of it."""
        known = {"version": self.version, "updated_at": self.changed_at}
        if not self.is_live:
            return known | {"status": "deleted"}
        end = {"uploading": "upload_expires_at", "trashed": "purge_at"}.get(self.status, "")
        more = {"notes": self.notes, "sha256": self.sha256, end: self.until}
        known |= {name: value for name, value in more.items() if value is not None}
        return known | {
            "status": self.status,
            "file_name": "clip.m4a",
            "size": self.announced.sound.size,
        }

    @property
    def whole_parts(self) -> dict[int, Sound]:
        """The parts that have their size."""
        right = {number: self.announced.sound.part(number).size for number in PARTS}
        return {n: part for n, part in (self.parts or {}).items() if part.size == right[n]}


@dataclass
class Library:
    """All of one user's recordings, deleted ones too."""

    user_id: str
    clock: Callable[[], datetime]
    is_open: bool = True
    recordings: dict[str, Recording] = field(default_factory=dict)

    def copy(self) -> Library:
        return replace(self, recordings=dict(self.recordings))

    @property
    def used(self) -> tuple[int, int]:
        sizes = [each.announced.sound.size for each in self.recordings.values() if each.is_live]
        return sum(sizes), len(sizes)

    def on(self, *shelves: str) -> dict[str, dict[str, Any]]:
        """What can be seen of the recordings on some shelves."""
        return {id: each.facts for id, each in self.recordings.items() if each.status in shelves}

    @property
    def everything(self) -> dict[str, dict[str, Any]]:
        return self.on("uploading", "ready", "trashed")

    # What phones ask for.

    def announce(self, told: Mapping[str, Announcement]) -> str:
        """Announce recordings, all of them or none."""
        refusal, new = self._placed(told)
        if refusal:
            return refusal
        for id in told.keys() - new:
            self._prolong(id, UPLOAD_LIFE / 2)
            self._resume_parts(id)
        return "201" if new else "200"

    def receive(self, id: str, sound: Sound) -> str:
        refusal = self.begin_to_receive(id, sound)
        here = self.recordings.get(id)
        if refusal or here is None:
            return refusal
        if here.status != "uploading":
            return "200"
        self._ready(id, sound)
        return "201"

    def begin_to_receive(self, id: str, sound: Sound) -> str:
        """What a direct upload that died half-way leaves."""
        here = self.recordings.get(id)
        if here and here.is_live:
            return "" if here.sha256 == sound.sha256 else "409 id_conflict"
        return self._placed({id: Announcement(sound, "direct", hashed=True)})[0]

    def resume(self, id: str) -> str:
        if not self._is_live(id):
            return "404 not_found"
        self._prolong(id, UPLOAD_LIFE)
        self._resume_parts(id)
        return "200"

    def complete(self, id: str, named: Mapping[int, str]) -> str:
        if not self._is_live(id):
            return "404 not_found"
        status = self.recordings[id].status
        if status == "uploading":
            return self.finish(id, named)
        return "200" if status == "ready" else "409 not_ready"

    def revise(self, id: str, notes: str | None, version: int | None) -> str:
        if not self._is_live(id):
            return "404 not_found"
        if version not in (None, self.recordings[id].version):
            return "409 version_conflict"
        self._change(id, notes=notes)
        return "200"

    def delete(self, id: str, *, permanent: bool) -> str:
        here = self.recordings.get(id)
        if here is None:
            return "404 not_found"
        if here.status == "expired":
            self._set(id, status="deleted")
        elif here.is_live and (permanent or here.status == "uploading"):
            self._change(id, status="deleted", until=None)
        elif here.status == "ready":
            self._change(id, status="trashed", until=self.clock() + TRASH_LIFE)
        return "204"

    def restore(self, id: str, version: int | None) -> str:
        if not self._is_live(id):
            return "404 not_found"
        here = self.recordings[id]
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

    def arrive(self, id: str, arrived: Arrived) -> None:
        if self._is_uploading(id):
            self._set(id, arrived=arrived)

    def arrive_in_part(self, id: str, upload_id: str, number: int, part: Sound) -> bool | None:
        """Whether S3 takes it; None when it may."""
        if not self._is_uploading(id):
            return None
        here = self.recordings[id]
        if here.parts is None or here.upload_id not in {None, upload_id}:
            return False
        self._set(id, parts={**here.parts, number: part}, upload_id=upload_id)
        return True

    def notice(self, id: str) -> None:
        if self._is_uploading(id):
            self.finish(id, discards=False)

    def keep_up(self) -> None:
        for id, here in list(self.recordings.items()):
            if here.until is None or here.until > self.clock():
                continue
            if here.status == "trashed":
                self._change(id, status="deleted", until=None)
            elif self.finish(id) != "200":
                self._change(id, status="expired", until=None)

    def finish(
        self,
        id: str,
        named: Mapping[int, str] = MappingProxyType({}),
        *,
        discards: bool = True,
    ) -> str:
        """Make an upload ready, if what arrived is what was announced."""
        here = self.recordings[id]
        etags = {number: part.etag for number, part in here.whole_parts.items()}
        if etags.keys() == set(PARTS) and named in ({}, etags):
            here = self._set(id, arrived=Arrived.in_parts(here.whole_parts), parts=None)
        if not here.arrived or here.arrived.looks_like(here.announced):
            if here.left and not here.announced.admits(here.left):
                here = self._set(id, left=None)
            sound = here.left or (here.arrived.sound if here.arrived else None)
            if sound is None:
                return "409 upload_incomplete"
            if here.announced.admits(sound):
                return self._ready(id, sound)
        if discards:
            self._set(id, arrived=None)
        return "409 upload_mismatch"

    # The steps of these.

    def _placed(self, told: Mapping[str, Announcement]) -> tuple[str, set[str]]:
        """A refusal, or else the ids that were placed because nothing lived under them."""
        for id, announced in told.items():
            here = self.recordings.get(id)
            if here and here.status == "deleted":
                return "404 not_found", set()
            if here and here.is_live and not here.announced.is_like(announced):
                return "409 id_conflict", set()
        new = {id for id in told if not self._is_live(id)}
        if new and self.used[0] + sum(told[id].sound.size for id in new) > QUOTA_BYTES:
            return "403 quota_exceeded", set()
        for id in new:
            before = self.recordings.get(id)
            self.recordings[id] = Recording(
                told[id],
                status="uploading",
                version=before.version + 1 if before else 1,
                changed_at=self.clock(),
                until=self.clock() + UPLOAD_LIFE,
                parts={} if told[id].method == "multipart" else None,
            )
        return "", new

    def _prolong(self, id: str, if_left: timedelta) -> None:
        until = self.recordings[id].until
        if self._is_uploading(id) and until and until - self.clock() <= if_left:
            self._set(id, until=self.clock() + UPLOAD_LIFE)

    def _resume_parts(self, id: str) -> None:
        """Begin a multipart upload anew that S3 has no more, unless all of it had arrived."""
        here = self.recordings[id]
        in_parts = self._is_uploading(id) and here.announced.method == "multipart"
        if in_parts and here.parts is None and self.finish(id) != "200":
            self._set(id, parts={}, upload_id=None)

    def _ready(self, id: str, sound: Sound) -> str:
        self._change(id, status="ready", until=None, plays=sound)
        self._set(id, arrived=None, left=None, parts=None, upload_id=None)
        return "200"

    def _change(self, id: str, **changes: Any) -> None:
        version = self.recordings[id].version + 1
        self._set(id, version=version, changed_at=self.clock(), **changes)

    def _set(self, id: str, **changes: Any) -> Recording:
        self.recordings[id] = replace(self.recordings[id], **changes)
        return self.recordings[id]

    def _is_live(self, id: str) -> bool:
        return id in self.recordings and self.recordings[id].is_live

    def _is_uploading(self, id: str) -> bool:
        return id in self.recordings and self.recordings[id].status == "uploading"
