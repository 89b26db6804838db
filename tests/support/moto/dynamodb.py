"""What is mended of moto's DynamoDB: requests keep out of each other, transactions to their items.

Each is done once per process, and only when the environment is safe to import moto in.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from moto.dynamodb.models import DynamoDBBackend
    from moto.dynamodb.models.dynamo_type import DynamoType, Item
    from moto.dynamodb.models.table import Table
    from moto.dynamodb.responses import DynamoHandler

    # A table's partition key and, if it has one, its sort key.
    Key: TypeAlias = tuple[DynamoType, DynamoType | None]


@functools.cache
def answer_one_at_a_time() -> None:
    """Keep the threads of moto's server apart.

    moto reads an item, checks the condition and then writes; another thread's write could come
    between, which DynamoDB lets none do.
    """
    from moto.dynamodb.responses import DynamoHandler

    original = DynamoHandler.call_action
    lock = threading.Lock()

    def call_action(handler: DynamoHandler) -> Any:
        with lock:
            return original(handler)

    setattr(DynamoHandler, "call_action", call_action)  # noqa: B010 - mypy forbids the assignment


@functools.cache
def confine_transactions() -> None:
    """Make a transaction cost what its own items cost, and undo nobody else's writes.

    moto copies the whole table for each item that a transaction names, and puts that back when the
    transaction fails. Here it is given drafts to work on, which hold the named items alone, and
    what it made of them is kept if it succeeds. No heed is paid to streams; our table has none.
    """
    from moto.dynamodb.exceptions import MockValidationException
    from moto.dynamodb.models import DynamoDBBackend

    original = DynamoDBBackend.transact_write_items

    def transact_write_items(backend: DynamoDBBackend, transact_items: list[Any]) -> None:
        if not transact_items:
            # moto takes it.
            raise MockValidationException("Member must have length greater than or equal to 1")
        named = list(_named(backend, transact_items))
        drafts = DynamoDBBackend(backend.region_name, backend.account_id)
        drafts.tables = {name: _draft(table) for name, table in backend.tables.items()}
        for table, key in named:
            _write(drafts.tables[table.name], key, copy.deepcopy(table.get_item(*key)))
        original(drafts, transact_items)
        for table, key in named:
            _write(table, key, drafts.tables[table.name].get_item(*key))

    setattr(DynamoDBBackend, "transact_write_items", transact_write_items)  # noqa: B010 - as above


def _named(backend: DynamoDBBackend, transact_items: list[Any]) -> Iterator[tuple[Table, Key]]:
    """The items that a transaction names, there or not; moto refuses what is no table or key."""
    from moto.core.exceptions import JsonRESTError

    for operation in (operation for each in transact_items for operation in each.values()):
        with contextlib.suppress(JsonRESTError, KeyError):
            table = backend.get_table(operation["TableName"])
            attributes = operation["Item"] if "Item" in operation else operation["Key"]
            yield table, backend.get_keys_value(table, attributes)


def _draft(table: Table) -> Table:
    """A table like this one, with no items yet."""
    draft = copy.copy(table)
    draft.items = defaultdict(dict)
    # moto would copy the draft as well, to put it back; a draft that failed is just dropped.
    vars(draft)["__deepcopy__"] = lambda _: draft
    return draft


def _write(table: Table, key: Key, item: Item | None) -> None:
    """Make `item` what the table has under the key; None removes what is there."""
    hash_key, range_key = key
    # moto declares those of a table that has a sort key.
    items: dict[Any, Any] = table.items
    if item is None:
        table.delete_item(hash_key, range_key)
    elif range_key is None:
        items[hash_key] = item
    else:
        items[hash_key][range_key] = item
