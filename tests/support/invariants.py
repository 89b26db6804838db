"""The invariants of design.md, held against one user's items and objects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from chalicelib.aws.dynamodb.items import Item, account_key
from chalicelib.models.fields import Store

Held = Callable[[Store, str], dict[str, list[bytes | None]]]

# Of an account that is gone nothing is counted.
NOBODY: Item = {"bytes_used": 0, "recordings_used": 0}


class Invariants:
    """Says which invariants are broken."""

    def __init__(
        self,
        stored: Callable[..., list[Item]],
        held: Held,
        sent_in_parts: Callable[[str], set[str]],
    ) -> None:
        self._stored = stored
        self._held = held
        self._sent_in_parts = sent_in_parts

    def broken(self, user_id: str) -> list[str]:
        """A sentence for each way in which I1, I2 or I3 does not hold; none when all do."""
        items, recordings = self._items(user_id)
        objects = self._held("recordings", user_id)
        return [
            *_silent(recordings, objects),
            *_orphaned(recordings, objects),
            *_drawn(items, recordings),
            *_miscounted(items.get("PROFILE", NOBODY), recordings),
        ]

    def broken_at_rest(self, user_id: str) -> list[str]:
        """As `broken`; I4 too, which holds once upkeep has run past every due time."""
        items, recordings = self._items(user_id)
        staged = self._held("uploads", user_id).keys() | self._sent_in_parts(user_id)
        return [
            *self.broken(user_id),
            *_left(recordings, self._held("recordings", user_id)),
            *_staged(recordings, staged),
            *_outlived(items, self._by_code(user_id), recordings),
        ]

    def _by_code(self, user_id: str) -> list[Item]:
        return [
            item for item in self._stored() if item["sk"] == "LINK" and item["user_id"] == user_id
        ]

    def _items(self, user_id: str) -> tuple[dict[str, Item], dict[str, Item]]:
        items = {item["sk"]: item for item in self._stored(account_key(user_id)["pk"])}
        recordings = {item["id"]: item for sk, item in items.items() if sk.startswith("REC#")}
        return items, recordings


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


def _drawn(items: dict[str, Item], recordings: dict[str, Item]) -> Iterator[str]:
    """I2: a waveform belongs to a live item that says so, and each that does has one."""
    there = {sk.removeprefix("WAVEFORM#") for sk in items if sk.startswith("WAVEFORM#")}
    said = {
        id for id, item in recordings.items() if _is_live(item) and "codec" in item.get("sound", {})
    }
    for id in there ^ said:
        yield f"I2: {id} {'has a waveform' if id in there else 'has no waveform'}"


def _miscounted(profile: Item, recordings: dict[str, Item]) -> Iterator[str]:
    """I3: the bytes and count on the user's item equal the sum over the live items."""
    sizes = [item["size"] for item in recordings.values() if _is_live(item)]
    noted = profile["bytes_used"], profile["recordings_used"]
    if noted != (sum(sizes), len(sizes)):
        yield f"I3: {noted} noted where {(sum(sizes), len(sizes))} are live"


def _left(recordings: dict[str, Item], objects: dict[str, list[bytes | None]]) -> Iterator[str]:
    """I4: the recordings bucket holds exactly the live recordings' objects, and nothing is owed."""
    for id in objects:
        if not _is_live(recordings.get(id, {"status": "missing"})):
            yield f"I4: {id} is not live, and has an object"
    for id, item in recordings.items():
        if item.get("owes"):
            yield f"I4: {id} still owes {item['owes']}"


def _staged(recordings: dict[str, Item], staged: set[str]) -> Iterator[str]:
    """Beyond the design: what is not live has nothing in the uploads bucket either.

    What is ready may have: a copy that could not be removed waits there for S3 to do so.
    """
    for id in staged:
        if not _is_live(recordings.get(id, {"status": "missing"})):
            yield f"I4: {id} is not live, and is in the uploads bucket"


def _outlived(
    items: dict[str, Item], by_code: list[Item], recordings: dict[str, Item]
) -> Iterator[str]:
    """I4: each link is there by its code and beside its recording, which is live."""
    listed = {item["code"]: item for sk, item in items.items() if sk.startswith("LINK#")}
    if listed.keys() != {item["code"] for item in by_code}:
        yield f"I4: {listed.keys()} are listed, and {by_code} are found by their codes"
    for item in listed.values():
        if not _is_live(recordings.get(item["recording_id"], {"status": "missing"})):
            yield f"I4: a link to {item['recording_id']} has outlived it"


def _is_live(item: Item) -> bool:
    return item["status"] in {"uploading", "ready", "trashed"}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
