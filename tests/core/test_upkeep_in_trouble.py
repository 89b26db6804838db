"""Upkeep in trouble: what cannot be moved, what is no longer so, and several runs at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, Key, from_attributes, recording_key, to_attributes
from chalicelib.core.ids import uuid7
from chalicelib.core.upkeep import Tally
from chalicelib.settings import Settings
from tests.conftest import Clock, Find
from tests.core.test_upkeep import upkeep
from tests.support.faults import Died, Faults
from tests.support.invariants import Held, Invariants
from tests.support.phone import PASSWORD, Phone

SOUND = b"some sound"

Edit = Callable[..., None]


@pytest.fixture
def edit(settings: Settings, clients: Clients) -> Edit:
    """Changes what stands under a key, as no code of ours would; None removes an attribute."""

    def edit(key: Key, **changes: object) -> None:
        answer = clients.dynamodb.get_item(TableName=settings.table, Key=to_attributes(key))
        item = from_attributes(answer.get("Item", {})) | key | changes
        kept = {name: value for name, value in item.items() if value is not None}
        clients.dynamodb.put_item(TableName=settings.table, Item=to_attributes(kept))

    return edit


# What the index says, and is no longer so.


def test_what_the_index_still_names_is_left_alone(phone: Phone, edit: Edit, find: Find) -> None:
    id = phone.upload_directly(SOUND)
    gone = recording_key(phone.user_id, uuid7())
    for key in (recording_key(phone.user_id, id), gone):
        edit(key, due_shard="DUE#1", due_at="2020-01-01T00:00:00.000000Z")

    before = find(phone, id)
    assert upkeep().failed <= 1
    assert find(phone, id) == before


def test_what_is_due_for_no_account_of_that_kind_is_left_alone(
    phone: Phone, edit: Edit, stored: Callable[..., list[Item]]
) -> None:
    key = {"pk": f"USER#{phone.user_id}", "sk": "PROFILE"}
    edit(key, due_shard="DUE#1", due_at="2020-01-01T00:00:00.000000Z")
    before = stored()

    assert upkeep().closed == 0
    assert stored() == before


# What cannot be moved.


@pytest.fixture
def poisoned(phone: Phone, clock: Clock, edit: Edit) -> Key:
    """The key of an upload that is due and cannot be read; others that are due, on either side."""
    phone.deliver(SOUND)
    key = recording_key(phone.user_id, phone.deliver(SOUND))
    phone.deliver(SOUND)
    edit(key, size="large")
    clock.advance(days=8)
    return key


@pytest.mark.usefixtures("poisoned")
def test_one_that_cannot_be_moved_stops_no_other(phone: Phone) -> None:
    tally = upkeep()

    assert (tally.completed, tally.failed) == (2, 1)
    assert len(phone.listed()) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"status": None},
        {"status": "lost"},
        {"upload_method": None},
        {"version": "one"},
        {"upload_expires_at": "soon"},
        {"user_id": None},
    ],
    ids=str,
)
def test_whatever_is_wrong_with_it(poisoned: Key, edit: Edit, changes: dict[str, object]) -> None:
    edit(poisoned, size=10, **changes)

    assert (tally := upkeep()).completed == 2
    assert tally.failed == 1


def test_one_due_at_no_time_stops_no_other(poisoned: Key, edit: Edit) -> None:
    edit(poisoned, size=10, due_at="0")

    assert upkeep().completed == 2


def test_it_is_tried_again_later_and_later_up_to_a_day(
    poisoned: Key, clock: Clock, stored: Callable[..., list[Item]]
) -> None:
    delays = []
    for _ in range(11):
        before = clock()
        assert upkeep().failed == 1
        (item,) = [item for item in stored() if item["sk"] == poisoned["sk"]]
        delay = datetime.fromisoformat(item["due_at"]) - before
        delays.append(round(delay.total_seconds() / 60))
        assert upkeep() == Tally()
        clock.advance(seconds=delay.total_seconds() + 1)

    assert delays == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]


def test_it_is_done_once_it_is_mended(
    phone: Phone, poisoned: Key, clock: Clock, edit: Edit, stored: Callable[..., list[Item]]
) -> None:
    upkeep()
    edit(poisoned, size=10)
    clock.advance(minutes=6)

    assert upkeep().completed == 1
    assert len(phone.listed()) == 3
    assert not [item for item in stored() if {"due_shard", "postponed"} & item.keys()]


def test_an_object_that_s3_will_not_delete_is_tried_again_later_and_later(
    phone: Phone, clock: Clock, faults: Faults, find: Find
) -> None:
    ids = [phone.announce(SOUND).json["recording"]["id"] for _ in range(2)]
    for id in ids:
        phone.delete(f"/recordings/{id}")
    clock.advance(minutes=16)
    key = f"{phone.user_id}/{ids[0]}"
    for minutes in (5, 10, 20):
        faults.refuse(
            "s3", "DeleteObjects", status=200, Errors=[{"Code": "AccessDenied", "Key": key}]
        )
        assert upkeep().failed == 1
        faults.clear()
        clock.advance(minutes=minutes - 0.5)
        assert upkeep() == Tally()
        clock.advance(minutes=1)

    assert upkeep().settled == 1
    assert [find(phone, id)["owes"] for id in ids] == [[], []]


def test_an_account_that_s3_will_not_let_go_is_tried_again_later_and_later(
    phone: Phone, clock: Clock, faults: Faults, clients: Clients, settings: Settings
) -> None:
    phone.delete("/me", body={"password": PASSWORD})
    upkeep()
    key = f"{phone.user_id}/{uuid7()}"
    clients.s3.put_object(Bucket=settings.uploads_bucket, Key=key, Body=SOUND)
    faults.refuse("s3", "DeleteObjects", status=200, Errors=[{"Code": "AccessDenied", "Key": key}])
    clock.advance(minutes=16)
    for minutes in (10, 20, 40):
        assert upkeep().failed == 1
        clock.advance(minutes=minutes - 0.5)
        assert upkeep() == Tally()
        clock.advance(minutes=1)
    faults.clear()

    assert upkeep().closed == 1


@pytest.fixture
def closed(phone: Phone, clock: Clock) -> list[str]:
    """The ids of what an account had that is closed, in their order."""
    ids = sorted(phone.upload_directly(SOUND) for _ in range(3))
    clock.advance(minutes=16)
    phone.on_another_device().delete("/me", body={"password": PASSWORD})
    return ids


def test_what_cannot_be_read_stops_nothing_else_from_leaving_a_closed_account(
    phone: Phone, closed: list[str], clock: Clock, edit: Edit, held: Held
) -> None:
    poisoned = recording_key(phone.user_id, closed[0])
    edit(poisoned, size="large")
    for _ in range(3):
        assert upkeep().closed == 0
        clock.advance(hours=1)

    assert list(held("recordings", phone.user_id)) == closed[:1]
    edit(poisoned, size=len(SOUND))
    clock.advance(days=1)
    tally = upkeep()
    assert (tally.purged, tally.closed) == (1, 1)
    assert held("recordings", phone.user_id) == {}


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("operation", ["TransactWriteItems", "DeleteItem"])
def test_what_cannot_be_written_stops_nothing_else_from_leaving_a_closed_account(
    phone: Phone, clock: Clock, faults: Faults, held: Held, operation: str
) -> None:
    faults.refuse("dynamodb", operation, times=1)
    upkeep()

    assert (faults.met, len(held("recordings", phone.user_id))) == (1, operation[0] == "T")
    for _ in range(2):
        clock.advance(hours=1)
        upkeep()
    assert held("recordings", phone.user_id) == {}


def test_a_sign_of_the_phone_ends_what_was_put_off(
    phone: Phone, poisoned: Key, edit: Edit, find: Find
) -> None:
    id = str(poisoned["sk"]).removeprefix("REC#")
    assert upkeep().failed == 1
    edit(poisoned, size=10)
    phone = phone.on_another_device()
    phone.resume(id)

    assert "postponed" not in find(phone, id)


def test_while_s3_refuses_everything_nothing_is_forgotten(
    phone: Phone, clock: Clock, faults: Faults, invariants: Invariants, run_down: Callable[[], None]
) -> None:
    phone.delete(f"/recordings/{phone.upload_directly(SOUND)}")
    phone.announce(SOUND)
    sent = phone.deliver(SOUND)
    clock.advance(days=31)
    for operation in ("DeleteObjects", "HeadObject", "ListObjectVersions", "CopyObject"):
        faults.refuse("s3", operation)
    tally = upkeep()
    faults.clear()

    assert (tally.completed, tally.expired, tally.settled) == (0, 0, 0)
    assert invariants.broken(phone.user_id) == []
    run_down()
    assert invariants.broken_at_rest(phone.user_id) == []
    assert phone.listed() == [sent]


@pytest.mark.usefixtures("poisoned")
def test_what_cannot_even_be_put_off_stops_no_other(
    phone: Phone, clock: Clock, faults: Faults
) -> None:
    phone.delete(f"/recordings/{phone.upload_directly(SOUND)}")
    clock.advance(days=31)
    faults.refuse("dynamodb", "UpdateItem")

    assert (tally := upkeep()).purged == 1
    assert tally.failed == 0


def test_what_failed_is_logged(poisoned: Key, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        upkeep()

    assert poisoned["sk"].removeprefix("REC#") in caplog.text


# Several at once, and after one another.


@pytest.mark.parametrize(
    "operation",
    [
        "dynamodb.GetItem",
        "dynamodb.TransactWriteItems",
        "s3.ListObjectVersions",
        "s3.DeleteObjects",
    ],
)
def test_two_at_once_purge_each_recording_once(
    phone: Phone, clock: Clock, faults: Faults, invariants: Invariants, operation: str
) -> None:
    ids = [phone.upload_directly(SOUND) for _ in range(3)]
    for id in ids[:2]:
        phone.delete(f"/recordings/{id}")
    clock.advance(days=31)
    others: list[Tally] = []
    service, name = operation.split(".")
    faults.meanwhile(service, name, lambda: others.append(upkeep()))
    tallies = [upkeep(), *others]

    assert len(tallies) == 2
    assert sum(each.purged for each in tallies) == 2
    assert sum(each.failed for each in tallies) == 0
    assert invariants.broken_at_rest(phone.user_id) == []
    assert phone.download(ids[2]).content == SOUND


@pytest.mark.parametrize(
    "operation", ["dynamodb.GetItem", "s3.HeadObject", "dynamodb.TransactWriteItems"]
)
def test_two_at_once_expire_an_upload_once(
    phone: Phone, clock: Clock, faults: Faults, operation: str
) -> None:
    phone.announce(SOUND)
    clock.advance(days=8)
    others: list[Tally] = []
    service, name = operation.split(".")
    faults.meanwhile(service, name, lambda: others.append(upkeep()))
    tallies = [upkeep(), *others]

    assert [each.expired for each in tallies] in ([0, 1], [1, 0])
    assert sum(each.failed for each in tallies) == 0
    assert phone.usage() == (0, 0)


@pytest.mark.parametrize("operation", ["HeadObject", "CopyObject", "DeleteObjects"])
def test_two_at_once_lose_no_upload(
    phone: Phone, clock: Clock, faults: Faults, invariants: Invariants, operation: str
) -> None:
    id = phone.deliver(SOUND)
    clock.advance(days=8)
    faults.meanwhile("s3", operation, upkeep)
    upkeep()

    assert phone.download(id).content == SOUND
    assert invariants.broken(phone.user_id) == []


def test_what_is_deleted_while_its_upload_is_completed_stays_deleted(
    phone: Phone, clock: Clock, faults: Faults, run_down: Callable[[], None], invariants: Invariants
) -> None:
    id = phone.deliver(SOUND)
    clock.advance(days=8)
    faults.meanwhile("s3", "CopyObject", lambda: phone.delete(f"/recordings/{id}"))
    tally = upkeep()
    faults.clear()
    run_down()

    assert (tally.completed, tally.failed) == (0, 0)
    assert invariants.broken_at_rest(phone.user_id) == []


def test_a_run_that_died_is_gone_on_with(
    phone: Phone, clock: Clock, faults: Faults, invariants: Invariants
) -> None:
    for _ in range(3):
        phone.delete(f"/recordings/{phone.upload_directly(SOUND)}")
    clock.advance(days=31)
    faults.fail_at(10, Died(), done=True)
    with pytest.raises(Died):
        upkeep()
    faults.clear()

    upkeep()
    assert invariants.broken_at_rest(phone.user_id) == []
