"""What there is of a user, in the table and in S3, to be held against the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chalicelib.aws.dynamodb.items import Item, account_key, from_attributes
from chalicelib.settings import Settings
from local.embedded.environment import REGION
from tests.stateful.model import Arrived, Library, Recording, Sound, facts
from tests.support.invariants import Invariants

if TYPE_CHECKING:
    from moto.dynamodb.models.dynamo_type import Item as StoredItem

# What S3 has of an upload: its object, its parts, and what was copied already, by ETag or hash.
InS3 = tuple[str | None, dict[int, str] | None, list[str]]


@dataclass
class Sight:
    """What was seen of one user at one moment."""

    items: list[Item]
    kept: dict[str, list[bytes | None]]
    staged: dict[str, str]
    """The ETags in the uploads bucket."""
    exports: list[str]
    in_parts: dict[str, dict[int, str]]
    """The ETags of the parts of multipart uploads under way, by S3's names for these."""
    under_way: set[str]
    """The ids of their recordings."""

    @property
    def recordings(self) -> dict[str, Item]:
        return {item["id"]: item for item in self.items if item["sk"].startswith("REC#")}

    @property
    def all(self) -> list[str]:
        """Whatever there is, by its name."""
        items = [item["sk"] for item in self.items]
        return [*items, *self.kept, *self.staged, *self.exports, *self.under_way]

    @property
    def invariants(self) -> Invariants:
        objects: dict[str, Any] = {"recordings": self.kept, "uploads": self.staged}
        return Invariants(
            lambda _: self.items, lambda store, _: objects[store], lambda _: self.under_way
        )

    def without_uploads(self, ids: set[str]) -> Sight:
        staged = {id: etag for id, etag in self.staged.items() if id not in ids}
        return replace(self, staged=staged, under_way=self.under_way - ids)

    def differences(self, library: Library) -> list[str]:
        """What is not as the model has it."""
        return [*self.in_table(library), *self._in_s3(library)]

    def in_table(self, library: Library) -> Iterator[str]:
        items = self.recordings
        for id in sorted(items.keys() | library.recordings.keys()):
            item, expected = items.get(id), library.recordings.get(id)
            if not self.is_as_seen(id, expected):
                there = facts(item) if item else None
                yield f"{id} is {there} and not {expected.facts if expected else None}"

    def is_as_seen(self, id: str, expected: Recording | None) -> bool:
        item = self.recordings.get(id)
        if not (item and expected):
            return item is None and expected is None
        may_begin_again = expected.status == "expired"
        return facts(item) == expected.facts and item.get("expired", False) == may_begin_again

    def _in_s3(self, library: Library) -> Iterator[str]:
        for id, expected in library.recordings.items():
            if expected.status != "uploading":
                continue
            there, right = self._of(id), _of(expected)
            if there != right:
                yield f"S3 has {there} of {id} and not {right}"
            if expected.parts is not None and expected.upload_id not in {None, self.upload_id(id)}:
                yield f"the multipart upload of {id} is another"

    @property
    def is_open(self) -> bool:
        """Whether the account is one still."""
        return any("email" in item for item in self.items)

    def upload_id(self, id: str) -> str | None:
        return self.recordings.get(id, {}).get("upload_id")

    def found(self, id: str, chosen: Recording, candidates: list[Recording]) -> Recording:
        """A candidate with what S3 has of it, which may be what it has of one or of another."""
        etag, parts, _ = self._of(id)
        arrived = {each.arrived.etag: each.arrived for each in candidates if each.arrived}
        for each in candidates:
            whole = Arrived.in_parts(each.parts or {})
            arrived.setdefault(whole.etag, whole)
        sent = {part.etag: part for each in candidates for part in (each.parts or {}).values()}
        left = [Sound("LEFT", data) for data in self.kept.get(id, []) if data is not None]
        return replace(
            chosen,
            arrived=arrived[etag] if etag else None,
            parts=None if parts is None else {number: sent[etag] for number, etag in parts.items()},
            left=left[0] if left else None,
            upload_id=self.upload_id(id),
        )

    def _of(self, id: str) -> InS3:
        kept = [Sound("", data or b"").sha256 for data in self.kept.get(id, [])]
        return self.staged.get(id), self.in_parts.get(self.upload_id(id) or ""), kept


def _of(expected: Recording) -> InS3:
    parts = expected.parts
    return (
        expected.arrived.etag if expected.arrived else None,
        None if parts is None else {number: part.etag for number, part in parts.items()},
        [expected.left.sha256] if expected.left else [],
    )


class Observer:
    """Looks at users' data where the embedded backend keeps it, which takes no time."""

    def __init__(self, settings: Settings) -> None:
        # Not before backend.start() has made the environment safe to import it in.
        from moto.core.models import DEFAULT_ACCOUNT_ID
        from moto.dynamodb.models import dynamodb_backends
        from moto.s3.models import s3_backends

        self._table = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].get_table(settings.table)
        buckets = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets
        self._uploads = buckets[settings.uploads_bucket]
        self._recordings = buckets[settings.recordings_bucket]

    def look(self, user_id: str) -> Sight:
        kept: dict[str, list[bytes | None]] = {}
        for key, id in _keys(self._recordings.keys, user_id):
            versions = self._recordings.keys.getlist(key)
            kept[id] = [getattr(version, "value", None) for version in versions]
        staged, uploads = self._uploads.keys, self._uploads.multiparts
        return Sight(
            items=[item for item in self.items() if item["pk"] == account_key(user_id)["pk"]],
            kept=kept,
            staged={id: staged[key].etag for key, id in _keys(staged, user_id)},
            exports=[key for key in staged if key.startswith(f"exports/{user_id}/")],
            in_parts={
                name: {number: part.etag for number, part in upload.parts.items()}
                for name, upload in uploads.items()
                if user_id in upload.key_name
            },
            under_way={id for _, id in _keys((it.key_name for it in uploads.values()), user_id)},
        )

    def items(self) -> list[Item]:
        return [_read(item) for item in self._table.all_items()]

    def forget(self, until: datetime) -> list[Item]:
        """Do what DynamoDB does to items that were to be kept until then; those that they were."""
        past = [
            item
            for item in self._table.all_items()
            if "ttl" in item.attrs and float(item.attrs["ttl"].value) < until.timestamp()
        ]
        for item in past:
            self._table.delete_item(item.hash_key, item.range_key)
        return [_read(item) for item in past]


def _read(item: StoredItem) -> Item:
    return from_attributes(item.to_json()["Attributes"])


def _keys(keys: Iterable[str], user_id: str) -> list[tuple[str, str]]:
    """Those of a user's recordings, each with the recording's id."""
    split = (key.partition("/") for key in keys)
    return [(f"{user}/{id}", id) for user, _, id in split if user == user_id]
