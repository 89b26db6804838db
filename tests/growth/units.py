"""Capacity units: what DynamoDB charges for a call, by the sizes of the items that it is about.

By its documentation: a unit reads 4 KB, or 8 KB when it need not be as last written, and writes
1 KB, in a transaction twice. Each index that an item has the key of has a copy of it to write too.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/capacity-unit-calculations.html
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType

from local.embedded.environment import REGION

READ, WRITE = 4096, 1024
GLOBAL = {"due"}
# The sort key of each index.
INDEXES = {"shelf": "shelf", "changes": "changes", "due": "due_at"}
WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"}

Item = dict[str, Any]


class Meter:
    """Adds up what the calls of a client cost, once it is registered with its events."""

    def __init__(self, table: str) -> None:
        """`table` is moto's, which is in this process."""
        self._table = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].get_table(table)
        self._asked: Item = {}
        self._before: list[Item | None] = []
        self.calls = 0
        self.reads = 0.0
        self.writes = 0.0

    def register(self, clients: Iterable[Any]) -> None:
        """Count every call of these clients, and weigh those to DynamoDB."""
        for client in clients:
            service = client.meta.service_model.service_name
            client.meta.events.register_first(f"before-call.{service}", self._count)
            if service == "dynamodb":
                client.meta.events.register_first("before-parameter-build.dynamodb", self._look)
                client.meta.events.register_last("after-call.dynamodb", self._weigh)

    def _count(self, **_: object) -> None:
        self.calls += 1

    def _look(self, params: Item, model: Any, **_: object) -> None:
        self._asked = params
        if model.name in WRITES:
            self._before = [self._item(key) for key in _keys(params)]

    def _weigh(self, parsed: Item, model: Any, **_: object) -> None:
        if model.name in WRITES:
            twice = 2 if model.name == "TransactWriteItems" else 1
            after = [self._item(key) for key in _keys(self._asked)]
            self.writes += sum(map(_written, self._before, after, [twice] * len(after)))
        elif model.name == "Query":
            read = sum(_size(self._item(each) or {}) for each in parsed["Items"])
            assert parsed["Count"] == parsed["ScannedCount"], "what is filtered out is read too"
            half = 2 if self._asked.get("IndexName") in GLOBAL else 1
            self.reads += max(1, math.ceil(read / READ)) / half
        else:
            [asked] = self._asked.get(
                "RequestItems", {"": {"Keys": [self._asked.get("Key")]}}
            ).values()
            items = [self._item(key) or {} for key in asked["Keys"]]
            self.reads += sum(max(1, math.ceil(_size(item) / READ)) for item in items)

    def _item(self, key: Item) -> Item | None:
        group = self._table.items.get(DynamoType(key["pk"]), {})
        found = group.get(DynamoType(key["sk"]))
        return dict(found.to_json()["Attributes"]) if found else None


def _keys(params: Item) -> list[Item]:
    """The keys of the items that a call writes, or the items themselves."""
    transaction = params.get("TransactItems")
    writes = [next(iter(each.values())) for each in transaction] if transaction else [params]
    return [write.get("Key") or write["Item"] for write in writes]


def _written(before: Item | None, after: Item | None, twice: int) -> float:
    units = twice * _units(before, after)
    for sort_key in INDEXES.values():
        old, new = ((it if it and sort_key in it else None) for it in (before, after))
        if old and new and old[sort_key] != new[sort_key]:
            units += _units(old) + _units(new)
        elif (old or new) and old != new:
            units += _units(old, new)
    return units


def _units(*items: Item | None) -> int:
    return max(1, math.ceil(max(_size(item or {}) for item in items) / WRITE))


def _size(item: Item) -> int:
    return sum(len(name.encode()) + _length(value) for name, value in item.items())


def _length(value: Item) -> int:
    [(kind, held)] = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            return math.ceil(len(held.strip("-")) / 2) + 1
        case "L":
            return 3 + sum(1 + _length(each) for each in held)
        case "M":
            return 3 + sum(1 + len(name) + _length(each) for name, each in held.items())
    return 1
