"""How the one DynamoDB table is read and written; aws/dynamodb/items.py says what is in it."""

from __future__ import annotations

import itertools
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

from botocore.exceptions import ClientError
from msgspec import Struct

from chalicelib import deadline
from chalicelib.aws.clients import (
    BUSY,
    CONNECT_SECONDS,
    TABLE_READ_SECONDS,
    error_code,
    our_errors,
)
from chalicelib.aws.dynamodb.items import Item, Key, from_attributes, to_attributes
from chalicelib.errors import QuotaExceeded, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, TransactWriteItemTypeDef

T = TypeVar("T")

# A write that met a transaction on the same item is refused, and trying again soon succeeds. How
# soon depends on how many others write: so it is tried until the deadline, which each try heeds.
CONFLICT_SECONDS = 0.02, 0.6

# The conditions that an item is there, and that it is not: every item has a partition key.
THERE = "attribute_exists(#pk)"
NOT_THERE = "attribute_not_exists(#pk)"

# What DynamoDB says, of a write alone and of one in a transaction, when one user's items and their
# copies in the local indexes have 10 GB: docs/decisions/43-ten-gigabytes-a-user.md.
FULL = {"ItemCollectionSizeLimitExceededException", "ItemCollectionSizeLimitExceeded"}

# Why DynamoDB cancels a transaction of which a condition does not hold.
UNMET = "ConditionalCheckFailed"

# Of the table's indexes those that cannot be read consistently.
GLOBAL_INDEXES = {"due"}


class Increment(Struct, frozen=True):
    """A change that adds to a number, whatever it is."""

    by: int


class Page(Struct, frozen=True):
    """What one call finds; its items are read as they are asked for."""

    answered: list[dict[str, AttributeValueTypeDef]]
    following: Key | None
    """The key after which there is more to look at; None when there is none."""

    @property
    def items(self) -> Iterator[Item]:
        """The items, in their order."""
        return map(from_attributes, self.answered)


class Initial(Struct, frozen=True):
    """A change that sets what is not there yet, and leaves what is."""

    value: Any


class ConditionFailed(Exception):
    """The condition of a write did not hold; in a transaction `index` says whose did not first.

    Under the index of each such write, `items` has what was there, if it was an update and
    anything was.
    """

    def __init__(self, items: dict[int, Item | None]) -> None:
        """Say which of a transaction's writes failed, at what items; a single one is the first."""
        self.index = min(items)
        super().__init__(f"the condition of write {self.index} did not hold")
        self.items = items


class Table(Struct, frozen=True):
    """One DynamoDB table: items as plain dicts, conditions that do not hold as ConditionFailed.

    An expression names attributes as `#name` and values as `:name`. `#names` stand for the
    attributes of that very name, since DynamoDB reserves some 570 words.
    """

    client: Callable[[], DynamoDBClient]
    name: str

    def get(self, key: Key) -> Item | None:
        """The item, as last written."""
        with our_errors():
            answer = self.client().get_item(
                TableName=self.name, Key=to_attributes(key), ConsistentRead=True
            )
        return from_attributes(answer["Item"]) if "Item" in answer else None

    def get_all(self, *keys: Key) -> list[Item | None]:
        """The items under up to 100 keys, in their order, each as last written, in one call."""
        if not keys:
            return []
        asked: Any = {"Keys": [to_attributes(key) for key in keys], "ConsistentRead": True}
        requested = {self.name: asked}
        found: dict[tuple[str, str], Item] = {}
        for _ in _tries():
            with our_errors():
                answer = self.client().batch_get_item(RequestItems=requested)
            for attributes in answer["Responses"].get(self.name, []):
                item = from_attributes(attributes)
                found[item["pk"], item["sk"]] = item
            requested = answer.get("UnprocessedKeys", {})
            if not requested:
                return [found.get((key["pk"], key["sk"])) for key in keys]
        raise Unavailable("DynamoDB left some of the keys for later")

    def put(self, item: Item) -> None:
        """Write an item, whatever stood there."""
        arguments: Any = {"TableName": self.name, "Item": to_attributes(item)}
        _written(lambda: self.client().put_item(**arguments))

    def delete(self, key: Key, condition: str = "", **values: Any) -> None:
        """Remove an item if `condition` holds, where there is one; none there is no error."""
        arguments: Any = {
            "TableName": self.name,
            "Key": to_attributes(key),
            **_conditional(condition, values),
        }
        with suppress(ConditionFailed):
            _written(lambda: self.client().delete_item(**arguments))

    def update(self, key: Key, changes: Item, condition: str, **values: Any) -> Item:
        """Set or (None) remove attributes if `condition` holds; the item as it is then.

        A change that is an Increment adds to what is there. Raises ConditionFailed, and writes
        nothing, if the condition does not hold.
        """
        arguments = self._update(key, changes, condition, values) | {"ReturnValues": "ALL_NEW"}
        answer = _written(lambda: self.client().update_item(**arguments))
        return from_attributes(answer["Attributes"])

    def try_update(self, key: Key, changes: Item, condition: str, **values: Any) -> Item | None:
        """What `update` does; None, and nothing written, if the condition does not hold."""
        try:
            return self.update(key, changes, condition, **values)
        except ConditionFailed:
            return None

    def adding(self, item: Item, condition: str = "", **values: Any) -> TransactWriteItemTypeDef:
        """A part of a transaction: write an item if `condition` holds, where there is one."""
        put: Any = {
            "TableName": self.name,
            "Item": to_attributes(item),
            **_conditional(condition, values),
        }
        return {"Put": put}

    def updating(
        self, key: Key, changes: Item, condition: str, **values: Any
    ) -> TransactWriteItemTypeDef:
        """A part of a transaction: change an item, as `update` does, if `condition` holds."""
        return {"Update": self._update(key, changes, condition, values)}

    def deleting(self, key: Key, condition: str = "", **values: Any) -> TransactWriteItemTypeDef:
        """A part of a transaction: remove an item, if `condition` holds where there is one."""
        delete: Any = {
            "TableName": self.name,
            "Key": to_attributes(key),
            **_conditional(condition, values),
        }
        return {"Delete": delete}

    def transact(self, *writes: TransactWriteItemTypeDef) -> None:
        """Do all of the writes or none; ConditionFailed says which would not.

        Each try is the same request to DynamoDB, by its token. A single one is
        sent as what it is, which costs half as much.
        """
        if len(writes) == 1:
            kind, arguments = cast(tuple[str, Any], next(iter(writes[0].items())))
            single: Any = {"Update": self.client().update_item, "Delete": self.client().delete_item}
            if kind in single:
                _written(lambda: single[kind](**arguments))
                return
        token = str(uuid.uuid4())
        _written(
            lambda: self.client().transact_write_items(
                TransactItems=writes, ClientRequestToken=token
            )
        )

    def query(self, condition: str, **asked: Any) -> Iterator[Item]:
        """The items that a condition on the keys finds: those on all of its `pages`."""
        for page in self.pages(condition, **asked):
            yield from page.items

    def pages(  # noqa: PLR0913 - DynamoDB's own has more
        self,
        condition: str,
        *,
        index: str | None = None,
        only: str = "",
        fields: Sequence[str] = (),
        limit: int | None = None,
        page: int | None = None,
        forward: bool = True,
        start: Key | None = None,
        **values: Any,
    ) -> Iterator[Page]:
        """The items that a condition on the keys finds, at most `limit`; a call for each 1 MB.

        Or for each `page` items, whichever comes first; none is made before its page is wanted.
        As last written, but for a global index, which lags behind. `only` is a condition that the
        items must meet besides; those that do not count for `limit` too. With `fields`, of each
        item just these.
        """
        projection = ", ".join(f"#{field}" for field in fields)
        optional = {
            "IndexName": index,
            "FilterExpression": only,
            "ProjectionExpression": projection,
            "ExclusiveStartKey": to_attributes(start or {}),
        }
        arguments: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ScanIndexForward": forward,
            "ConsistentRead": index not in GLOBAL_INDEXES,
            **{name: value for name, value in optional.items() if value},
            **_placeholders(f"{condition} {only} {projection}", values),
        }
        while limit is None or limit > 0:
            if most := limit or page:
                arguments["Limit"] = most
            with our_errors():
                answer = self.client().query(**arguments)
            following = answer.get("LastEvaluatedKey")
            yield Page(answer["Items"], from_attributes(following) if following else None)
            if following is None:
                return
            arguments["ExclusiveStartKey"] = following
            if limit is not None:
                limit -= answer["ScannedCount"]

    def _update(self, key: Key, changes: Item, condition: str, values: Item) -> Any:
        expression, changed = _update_expression(changes)
        return {
            "TableName": self.name,
            "Key": to_attributes(key),
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **_placeholders(f"{expression} {condition}", changed | values),
        }


def _written(write: Callable[[], T]) -> T:
    """Do a write; ConditionFailed if it would not.

    Being simultaneous with a transaction is no failure: botocore does not try that again, so this
    does.
    """
    for _ in _tries():
        with our_errors():
            try:
                return write()
            except ClientError as error:
                _check_refused(error)
    raise Unavailable("Too many writes at the same moment")


def _update_expression(changes: Item) -> tuple[str, Item]:
    clauses: dict[str, list[str]] = {"SET": [], "ADD": [], "REMOVE": []}
    values: Item = {}
    for name, value in changes.items():
        if value is None:
            clauses["REMOVE"].append(f"#{name}")
        elif isinstance(value, Increment):
            clauses["ADD"].append(f"#{name} :{name}")
            values[name] = value.by
        elif isinstance(value, Initial):
            clauses["SET"].append(f"#{name} = if_not_exists(#{name}, :{name})")
            values[name] = value.value
        else:
            clauses["SET"].append(f"#{name} = :{name}")
            values[name] = value
    expression = " ".join(f"{verb} {', '.join(what)}" for verb, what in clauses.items() if what)
    return expression, values


def _conditional(condition: str, values: Item) -> Any:
    placeholders = _placeholders(condition, values)
    return {"ConditionExpression": condition, **placeholders} if condition else {}


def _placeholders(expressions: str, values: Item) -> Item:
    names = {f"#{name}": name for name in re.findall(r"#(\w+)", expressions)}
    placeholders: dict[str, Any] = {}
    if names:
        placeholders["ExpressionAttributeNames"] = names
    if values:
        placeholders["ExpressionAttributeValues"] = {
            f":{name}": value for name, value in to_attributes(values).items()
        }
    return placeholders


def _check_refused(error: ClientError) -> None:
    """Return if the write may succeed the next time; raise why it did not, if it may not."""
    if error_code(error) in {"TransactionConflictException", "TransactionInProgressException"}:
        return
    if error_code(error) == "ConditionalCheckFailedException":
        raise ConditionFailed({0: _there(error.response)}) from error
    cancelled: Any = error.response.get("CancellationReasons", [])
    reasons = [reason.get("Code") for reason in cancelled]
    if FULL.intersection([error_code(error), *reasons]):
        raise QuotaExceeded("There is no room for more; delete some for good") from error
    if UNMET in reasons:
        failed = {i: _there(cancelled[i]) for i, code in enumerate(reasons) if code == UNMET}
        raise ConditionFailed(failed) from error
    if not BUSY.intersection(reasons):
        raise error


def _there(refusal: Any) -> Item | None:
    """The item of which a condition did not hold, as a refusal has it."""
    return from_attributes(refusal.get("Item", {})) or None


def _tries() -> Iterator[None]:
    """Tries of what DynamoDB is too busy for, with pauses, for as long as there is time for one."""
    first, most = CONFLICT_SECONDS
    yield
    for attempt in itertools.count(1):
        # A random part of more each time, which spreads the load.
        pause = random.uniform(0, min(most, first * 2 ** min(attempt, 10)))  # noqa: S311
        if deadline.seconds_left() < pause + CONNECT_SECONDS + TABLE_READ_SECONDS:
            return
        time.sleep(pause)
        yield
