"""A transaction of the embedded DynamoDB is whole or nothing, and concerns its own items alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, to_attributes
from chalicelib.settings import Settings
from local.embedded.environment import REGION
from tests.support.phone import Phone

pytestmark = pytest.mark.emulator

if TYPE_CHECKING:
    from moto.dynamodb.models import DynamoDBBackend

Write = dict[str, dict[str, Any]]
Transact = Callable[..., None]
Words = Callable[[], dict[str, list[str]]]


def put(sk: str, *words: str, **more: Any) -> Write:
    return {"Put": {"Item": to_attributes({"pk": "A", "sk": sk, "words": [*words]}), **more}}


def delete(sk: str) -> Write:
    return {"Delete": {"Key": to_attributes({"pk": "A", "sk": sk})}}


def update(sk: str, expression: str, value: object) -> Write:
    return {
        "Update": {
            "Key": to_attributes({"pk": "A", "sk": sk}),
            "UpdateExpression": expression,
            "ExpressionAttributeValues": to_attributes({":value": value}),
        }
    }


def check(sk: str, condition: str) -> Write:
    key = to_attributes({"pk": "A", "sk": sk})
    return {"ConditionCheck": {"Key": key, "ConditionExpression": condition}}


def to(table: str, *writes: Write) -> Any:
    return [
        {kind: {"TableName": table, **write} for kind, write in each.items()} for each in writes
    ]


OF_EVERY_KIND = (
    put("replaced", "over"),
    put("new", "put"),
    update("changed", "SET words[0] = :value", "other"),
    update("made", "SET words = :value", ["updated"]),
    delete("deleted"),
    check("checked", "attribute_exists(pk)"),
)
FAILING = check("missing", "attribute_exists(pk)")


@pytest.fixture
def transact(settings: Settings, onlookers: Clients) -> Transact:
    """Sends a transaction."""

    def transact(*writes: Write, table: str = settings.table) -> None:
        onlookers.dynamodb.transact_write_items(TransactItems=to(table, *writes))

    return transact


@pytest.fixture
def words(transact: Transact, stored: Callable[..., list[Item]]) -> Words:
    """Stores an item for each kind of write to find; reads the words of all that are there."""
    transact(*(put(sk, "as it was") for sk in ("replaced", "changed", "deleted", "checked")))
    return lambda: {item["sk"]: item["words"] for item in stored("A")}


@pytest.fixture
def dynamodb(settings: Settings) -> DynamoDBBackend:
    """What moto keeps the table in."""
    # Not before backend.start() has made the environment safe to import it in.
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.dynamodb.models import dynamodb_backends

    keeper = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION]
    assert settings.table in keeper.tables
    return keeper


def test_a_transaction_does_all_of_its_writes(transact: Transact, words: Words) -> None:
    transact(*OF_EVERY_KIND)
    assert words() == {
        "replaced": ["over"],
        "new": ["put"],
        "changed": ["other"],
        "made": ["updated"],
        "checked": ["as it was"],
    }


def test_a_cancelled_transaction_leaves_every_item_as_it_was(
    transact: Transact, words: Words
) -> None:
    before = words()
    with pytest.raises(ClientError, match="TransactionCanceledException"):
        transact(*OF_EVERY_KIND, FAILING)
    assert words() == before


def test_a_refused_transaction_leaves_every_item_as_it_was(
    transact: Transact, words: Words
) -> None:
    before = words()
    with pytest.raises(ClientError, match="multiple operations on one item"):
        transact(*OF_EVERY_KIND, delete("new"))
    assert words() == before


def test_a_cancelled_transaction_says_what_stood_in_its_way(
    transact: Transact, words: Words
) -> None:
    there = {
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    with pytest.raises(ClientError) as cancelled:
        transact(put("new", "put"), put("replaced", "over", **there), FAILING)

    failed = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    old = to_attributes({"pk": "A", "sk": "replaced", "words": words()["replaced"]})
    response: Any = cancelled.value.response
    assert response["CancellationReasons"] == [{"Code": "None"}, {**failed, "Item": old}, failed]


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        ({"Delete": {"Key": to_attributes({"pk": "A"})}}, "Validation Exception"),
        ({"Put": {"Item": to_attributes({"pk": "A"})}}, "KeyError"),
    ],
    ids=["delete", "put"],
)
def test_a_key_that_is_not_whole_is_refused_by_moto(
    transact: Transact, words: Words, write: Write, reason: str
) -> None:
    before = words()
    with pytest.raises(ClientError, match=reason):
        transact(put("new", "put"), write)
    assert words() == before


def test_a_transaction_of_nothing_is_refused(transact: Transact) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        transact()


def test_what_others_write_during_a_transaction_that_fails_stays(
    settings: Settings, dynamodb: DynamoDBBackend, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = words()
    theirs = to_attributes({"pk": "A", "sk": "theirs", "words": ["meanwhile"]})

    def interrupt(*_: Any, **__: Any) -> None:
        dynamodb.put_item(settings.table, theirs)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(dynamodb), "delete_item", interrupt)
    with pytest.raises(KeyboardInterrupt):
        dynamodb.transact_write_items(to(settings.table, *OF_EVERY_KIND))

    assert words() == {**before, "theirs": ["meanwhile"]}


@pytest.mark.usefixtures("words")
def test_a_transaction_costs_the_same_in_a_larger_table(
    settings: Settings,
    dynamodb: DynamoDBBackend,
    transact: Transact,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from moto.dynamodb.models.dynamo_type import Item as Kept

    copied: list[Kept] = []
    copy = Kept.__deepcopy__

    def noted(item: Kept, memo: dict[int, Any]) -> Kept:
        copied.append(item)
        return copy(item, memo)

    def copies_among(others: int) -> int:
        for number in range(others):
            other = to_attributes({"pk": "A", "sk": f"other {number}"})
            dynamodb.put_item(settings.table, other)
        copied.clear()
        with pytest.raises(ClientError, match="TransactionCanceledException"):
            transact(*OF_EVERY_KIND, FAILING)
        return len(copied)

    monkeypatch.setattr(Kept, "__deepcopy__", noted)
    copies = copies_among(10)
    assert copies_among(1000) == copies
    # One to work on, and another that moto makes of what it updates.
    assert 0 < copies <= 2 * len(OF_EVERY_KIND)


def test_simultaneous_transactions_lose_nothing_of_each_other(
    dynamodb: DynamoDBBackend,
    transact: Transact,
    stored: Callable[..., list[Item]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    update_item = type(dynamodb).update_item

    def slowly(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.005)
        return update_item(*args, **kwargs)

    monkeypatch.setattr(type(dynamodb), "update_item", slowly)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(transact, [update("counter", "ADD hits :value", 1)] * 24))

    assert [item["hits"] for item in stored("A")] == [24]


def test_simultaneous_transactions_undo_nothing_of_each_other(
    phone: Phone, configure: Callable[..., None]
) -> None:
    configure(signups_per_source=0)
    taken = {"email": phone.email, "password": "correct horse battery"}

    def sign_up(number: int) -> Phone | None:
        if number % 2:
            assert phone.post("/auth/signup", taken).code == "email_taken"
            return None
        return Phone().sign_up()

    with ThreadPoolExecutor(16) as threads:
        phones = [one for one in threads.map(sign_up, range(100)) if one]

    assert [one.get("/me").status for one in phones] == [200] * 50


def test_a_table_without_a_sort_key_has_transactions_too(
    onlookers: Clients, transact: Transact
) -> None:
    onlookers.dynamodb.create_table(
        TableName="flat",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "sk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "sk", "KeyType": "HASH"}],
    )
    transact(put("kept", "as it was"), put("deleted", "as it was"), table="flat")
    deletion: Write = {"Delete": {"Key": to_attributes({"sk": "deleted"})}}
    with pytest.raises(ClientError, match="TransactionCanceledException"):
        transact(
            deletion,
            put("kept", "over", ConditionExpression="attribute_not_exists(sk)"),
            table="flat",
        )
    transact(deletion, table="flat")

    left = onlookers.dynamodb.scan(TableName="flat")["Items"]
    onlookers.dynamodb.delete_table(TableName="flat")
    assert left == [to_attributes({"pk": "A", "sk": "kept", "words": ["as it was"]})]
