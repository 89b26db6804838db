"""The invariants I1 to I3 of design.md, held against one user's items and objects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from chalicelib.aws.items import Item, account_key
from chalicelib.models.fields import Store

Held = Callable[[Store, str], dict[str, list[bytes | None]]]


class Invariants:
    """Says which invariants are broken."""

    def __init__(self, stored: Callable[..., list[Item]], held: Held) -> None:
        self._stored = stored
        self._held = held

    def broken(self, user_id: str) -> list[str]:
        """A sentence for each way in which an invariant does not hold; none when all do."""
        items = {item["sk"]: item for item in self._stored(account_key(user_id)["pk"])}
        recordings = {item["id"]: item for sk, item in items.items() if sk.startswith("REC#")}
        objects = self._held("recordings", user_id)
        return [
            *_silent(recordings, objects),
            *_orphaned(recordings, objects),
            *_miscounted(items["PROFILE"], recordings),
        ]


def _silent(recordings: dict[str, Item], objects: dict[str, list[bytes | None]]) -> Iterator[str]:
    """I1: every ready or trashed recording has its bytes."""
    for id, recording in recordings.items():
        if recording["status"] in {"ready", "trashed"}:
            expected = recording["size"], recording["sha256"]
            there = [(len(data), _sha256(data)) for data in objects.get(id, []) if data is not None]
            if there != [expected] or None in objects[id]:
                yield f"I1: {recording['status']} {id} has {there} where {expected} belongs"


def _orphaned(recordings: dict[str, Item], objects: dict[str, list[bytes | None]]) -> Iterator[str]:
    """I2: every object belongs to a live item or to a tombstone that still owes its deletion."""
    for id in objects:
        item = recordings.get(id, {"status": "missing"})
        if not (_is_live(item) or "recordings" in item.get("owes", [])):
            yield f"I2: {id} is {item['status']}, owes nothing, and has an object"


def _miscounted(profile: Item, recordings: dict[str, Item]) -> Iterator[str]:
    """I3: the bytes and count on the user's item equal the sum over the live items."""
    sizes = [item["size"] for item in recordings.values() if _is_live(item)]
    noted = profile["bytes_used"], profile["recordings_used"]
    if noted != (sum(sizes), len(sizes)):
        yield f"I3: {noted} noted where {(sum(sizes), len(sizes))} are live"


def _is_live(item: Item) -> bool:
    return item["status"] in {"uploading", "ready", "trashed"}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
