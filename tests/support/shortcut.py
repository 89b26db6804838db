"""Shortcuts to moto, which is in this process: for tests that make calls by the thousand."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.aws.dynamodb.items import Item, from_attributes, to_attributes
from chalicelib.core.ids import uuid7
from chalicelib.models.entities import StoredRecording
from chalicelib.models.fields import Status
from local.embedded.environment import REGION


def items(table: str, pk: str | None = None) -> list[Item]:
    """What a table holds under one partition key, or all there is."""
    return [
        from_attributes(item.to_json()["Attributes"])
        for key, group in _table(table).items.items()
        if pk in (None, key.value)
        for item in group.values()
    ]


def objects(bucket: str, folder: str) -> dict[str, list[bytes | None]]:
    """What a bucket has in a folder: all versions of each; one that marks a deletion is None."""
    return {
        key.removeprefix(folder): [getattr(version, "value", None) for version in versions]
        for key, versions in _bucket(bucket).keys.lists()
        if key.startswith(folder)
    }


def sent_in_parts(bucket: str, folder: str) -> set[str]:
    """What is on its way to a folder of a bucket in parts."""
    keys = [upload.key_name for upload in _bucket(bucket).multiparts.values()]
    return {key.removeprefix(folder) for key in keys if key.startswith(folder)}


def recording(user_id: str, status: Status = "ready", **fields: Any) -> StoredRecording:
    """A recording that is or was announced a day ago; it has no bytes."""
    then = datetime.now(UTC) - timedelta(days=1)
    times = {"created_at": then, "updated_at": then}
    if status != "uploading":
        times["completed_at"] = then
    given: dict[str, Any] = {
        "id": uuid7(),
        "file_name": "clip.m4a",
        "content_type": "audio/mp4",
        "size": 10,
    }
    return StoredRecording(
        user_id=user_id,
        status=status,
        version=1,
        fingerprint="",
        upload_method="put",
        **given | times | fields,
    )


def put(table: str, items: Iterable[Item]) -> None:
    """Write items, whatever stands there."""
    from moto.dynamodb.models.dynamo_type import DynamoType
    from moto.dynamodb.models.dynamo_type import Item as MotoItem

    held = _table(table).items
    for item in items:
        attributes: Any = to_attributes(item)
        pk, sk = DynamoType(attributes["pk"]), DynamoType(attributes["sk"])
        held[pk][sk] = MotoItem(pk, sk, attributes)


def crowd(table: str, item: Item, count: int) -> None:
    """Write so many more items under the partition key of `item`, each otherwise the same.

    Only their keys take memory. Their user had better not look at them: they are one item.
    """
    from moto.dynamodb.models.dynamo_type import DynamoType

    put(table, [item])
    held = _table(table).items[DynamoType({"S": item["pk"]})]
    [first] = held.values()
    for _ in range(count - 1):
        another = copy.copy(first)
        another.range_key = DynamoType({"S": f"REC#{uuid7()}"})
        held[another.range_key] = another


def kept(table: str) -> Callable[[], None]:
    """What puts back, whenever it is called, all that a table holds now; it takes no time."""
    held = dict(_table(table).items)
    return lambda: _table(table).items.update(held)


def forget(table: str, until: datetime) -> list[Item]:
    """Remove what was to be kept until then, as DynamoDB does some time; what that was."""
    past = []
    for group in _table(table).items.values():
        for key, item in list(group.items()):
            if "ttl" in item.attrs and float(item.attrs["ttl"].value) < until.timestamp():
                past.append(from_attributes(group.pop(key).to_json()["Attributes"]))
    return past


def snapshot(table: str, *buckets: str) -> Callable[[], None]:
    """What puts a table and buckets back as they are now, which have to be empty by then."""
    stores = [(bucket.keys, bucket.multiparts) for bucket in map(_bucket, buckets)]
    versions = [{key: keys.getlist(key) for key in keys} for keys, _ in stores]
    taken = pickle.dumps((_table(table).items, versions, [dict(parts) for _, parts in stores]))

    def restore() -> None:
        items, versions, multiparts = pickle.loads(taken)  # noqa: S301 - our own
        _table(table).items.update(items)
        for (keys, uploads), held, parts in zip(stores, versions, multiparts, strict=True):
            uploads.update(parts)
            for key, each in held.items():
                keys.setlist(key, each)

    return restore


def contents(table: str, *buckets: str) -> str:
    """All that a table and buckets hold, but for the names that S3 makes up by chance."""
    under_way = {name: it for bucket in buckets for name, it in _bucket(bucket).multiparts.items()}
    parts = {name: [it.parts[n].etag for n in it.parts] for name, it in under_way.items()}
    text = repr([items(table), [objects(bucket, "") for bucket in buckets], parts])
    for number, name in enumerate(under_way):
        text = text.replace(name, f"upload {number}")
    return text


def _table(name: str) -> Any:
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.dynamodb.models import dynamodb_backends

    return dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].get_table(name)


def _bucket(name: str) -> Any:
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_bucket(name)
