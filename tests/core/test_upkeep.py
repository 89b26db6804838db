"""Upkeep: what time alone must move, whatever stands in its way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from chalicelib import jobs, wiring
from chalicelib.aws.dynamodb.items import Item, Key, recording_key
from chalicelib.core.ids import uuid7
from chalicelib.core.upkeep import Tally
from chalicelib.settings import Settings
from tests.conftest import Clock, Context, Find
from tests.core.conftest import Store
from tests.support import shortcut
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.phone import PASSWORD, Phone, send

SOUND = b"some sound"
LONG_AGO = "2020-01-01T00:00:00.000000Z"

Edit = Callable[..., None]


def upkeep(goes_on: Callable[[], bool] = lambda: True) -> Tally:
    return wiring.services().upkeep.run(goes_on)


@pytest.fixture
def edit(settings: Settings) -> Edit:
    """Changes what stands under a key, as no code of ours would; None removes an attribute."""

    def edit(key: Key, **changes: object) -> None:
        there = {item["sk"]: item for item in shortcut.items(settings.table, key["pk"])}
        item = there.get(key["sk"], {}) | key | changes
        kept = {name: value for name, value in item.items() if value is not None}
        shortcut.put(settings.table, [kept])

    return edit


# What is due, and what is not.


def test_what_a_tombstone_owes_is_paid_when_it_is_due(
    phone: Phone, clock: Clock, held: Held, find: Find
) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    phone.delete(f"/recordings/{id}")
    send(begun["upload"], SOUND)
    clock.advance(minutes=14)
    assert upkeep() == Tally()
    clock.advance(minutes=2)

    assert upkeep().settled == 1
    assert held("uploads", phone.user_id) == {}
    assert (find(phone, id)["owes"], find(phone, id).get("due_at")) == ([], None)


def test_what_is_not_due_stays(phone: Phone, clock: Clock) -> None:
    due = phone.deliver(SOUND)
    clock.advance(minutes=1)
    later = phone.deliver(SOUND)
    clock.advance(days=7, seconds=-30)

    assert upkeep().completed == 1
    assert (phone.listed(), phone.listed(status="uploading")) == ([due], [later])


def test_objects_are_deleted_together(phone: Phone, clock: Clock, faults: Faults) -> None:
    for _ in range(5):
        phone.trash(phone.upload_directly(SOUND))
    clock.advance(days=31)
    asked = faults.asked("s3", "DeleteObjects")

    assert (tally := upkeep()).purged == tally.settled == 5
    assert [len(each["Delete"]["Objects"]) for each in asked] == [5, 5]


@pytest.mark.parametrize("has_time", [True, False])
def test_it_is_said_how_long_the_oldest_has_been_waiting(
    phone: Phone, clock: Clock, has_time: bool
) -> None:
    phone.announce(SOUND)
    clock.advance(hours=1)
    phone.announce(SOUND)
    clock.advance(days=7, hours=1)
    tally = upkeep(lambda: has_time)

    assert 7200 <= tally.overdue_seconds < 7300
    assert tally.expired == 2 * has_time
    assert (upkeep().overdue_seconds > 0) is not has_time


def test_the_job_stops_when_a_minute_is_left_or_half_of_what_there_was(
    phone: Phone, clock: Clock
) -> None:
    for whole, left, completed in (
        (900_000, 60_000, 0),
        (900_000, 61_000, 1),
        (60_000, 30_000, 0),
        (60_000, 31_000, 1),
    ):
        id = phone.deliver(SOUND)
        clock.advance(days=8)
        assert jobs.upkeep({}, Context(whole, whole, left))["completed"] == completed
        phone.delete_for_good(id)


# What the index says, and is no longer so.


def test_what_the_index_still_names_is_left_alone(
    phone: Phone, edit: Edit, stored: Callable[..., list[Item]]
) -> None:
    ready = recording_key(phone.user_id, phone.upload_directly(SOUND))
    account: Key = {"pk": f"USER#{phone.user_id}", "sk": "PROFILE"}
    for key in (ready, account, recording_key(phone.user_id, uuid7())):
        edit(key, due_shard="DUE#1", due_at=LONG_AGO)
    before = stored()
    tally = upkeep()

    assert (tally.completed, tally.expired, tally.purged, tally.closed) == (0, 0, 0, 0)
    assert {item["sk"] for item in stored()} == {item["sk"] for item in before}
    assert phone.download(ready["sk"].removeprefix("REC#")).content == SOUND


# What cannot be moved.


@pytest.fixture
def poisoned(phone: Phone, clock: Clock, edit: Edit) -> Key:
    """The key of an upload that is due and cannot be read; another one is due, too."""
    phone.deliver(SOUND)
    key = recording_key(phone.user_id, phone.deliver(SOUND))
    edit(key, size="large")
    clock.advance(days=8)
    return key


def test_what_cannot_be_read_stops_no_other_and_is_counted_and_logged(
    phone: Phone, clock: Clock, edit: Edit, caplog: pytest.LogCaptureFixture
) -> None:
    wrong: list[dict[str, object]] = [
        {"size": "large"},
        {"status": None},
        {"status": "lost"},
        {"upload_method": None},
        {"version": "one"},
        {"upload_expires_at": "soon"},
        {"user_id": None},
    ]
    good, *bad = [phone.deliver(SOUND) for _ in range(1 + len(wrong))]
    clock.advance(days=8)
    for id, changes in zip(bad, wrong, strict=True):
        edit(recording_key(phone.user_id, id), **changes)
    with caplog.at_level(logging.ERROR):
        tally = upkeep()

    assert (tally.completed, tally.failed) == (1, len(wrong))
    assert phone.listed() == [good]
    assert all(id in caplog.text for id in bad)


def test_one_due_at_no_time_stops_no_other(poisoned: Key, edit: Edit) -> None:
    edit(poisoned, size=10, due_at="0")

    assert upkeep().completed == 1


@pytest.mark.usefixtures("poisoned")
def test_what_cannot_even_be_put_off_stops_no_other(
    phone: Phone, clock: Clock, faults: Faults
) -> None:
    phone.trash(phone.upload_directly(SOUND))
    clock.advance(days=31)
    faults.refuse("dynamodb", "UpdateItem")

    assert ((tally := upkeep()).purged, tally.failed) == (1, 0)


def unreadable(phone: Phone, edit: Edit, _: Faults) -> None:
    edit(recording_key(phone.user_id, phone.deliver(SOUND)), size="large")


def refused(phone: Phone, _: Edit, faults: Faults) -> None:
    """A tombstone of which S3 will not delete the object."""
    id = phone.upload_directly(SOUND)
    phone.delete_for_good(id)
    keep(faults, f"{phone.user_id}/{id}")


def closed(phone: Phone, _: Edit, faults: Faults) -> None:
    """An account of which S3 will not delete an object."""
    key = f"{phone.user_id}/{uuid7()}"
    services = wiring.services()
    services.clients.s3.put_object(Bucket=services.settings.uploads_bucket, Key=key, Body=SOUND)
    close(phone)
    keep(faults, key)


def exported(phone: Phone, _: Edit, faults: Faults) -> None:
    assert phone.export().status == 200
    keep(faults, f"exports/{phone.user_id}/")


def keep(faults: Faults, key: str) -> None:
    """Have S3 refuse to delete an object."""
    errors: Any = {"Errors": [{"Code": "AccessDenied", "Key": key}]}
    faults.refuse("s3", "DeleteObjects", status=200, **errors)


@pytest.mark.parametrize("stays", [unreadable, refused, closed, exported])
def test_what_cannot_be_moved_is_tried_again_later_and_later_up_to_a_day(
    phone: Phone,
    clock: Clock,
    faults: Faults,
    edit: Edit,
    stored: Callable[..., list[Item]],
    stays: Callable[[Phone, Edit, Faults], None],
) -> None:
    stays(phone, edit, faults)
    clock.stop(clock())
    clock.advance(days=8)
    delays = []
    for _ in range(11):
        assert upkeep().failed == 1
        [due_at] = [datetime.fromisoformat(it["due_at"]) for it in stored() if "due_shard" in it]
        delays.append(round((due_at - clock()).total_seconds() / 60))
        clock.stop(due_at)
        clock.advance(milliseconds=-1)
        assert upkeep() == Tally()
        clock.advance(milliseconds=1)

    assert delays == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]


def test_it_is_done_once_it_is_mended(
    phone: Phone, poisoned: Key, clock: Clock, edit: Edit, stored: Callable[..., list[Item]]
) -> None:
    upkeep()
    edit(poisoned, size=10)
    clock.advance(minutes=6)

    assert upkeep().completed == 1
    assert len(phone.listed()) == 2
    [item] = [item for item in stored() if item["sk"] == poisoned["sk"]]
    assert "postponed" not in item


def test_a_sign_of_the_phone_ends_what_was_put_off(
    phone: Phone, poisoned: Key, edit: Edit, find: Find
) -> None:
    id = str(poisoned["sk"]).removeprefix("REC#")
    assert upkeep().failed == 1
    edit(poisoned, size=10)
    phone.on_another_device().resume(id)

    assert "postponed" not in find(phone, id)


def test_while_s3_refuses_everything_nothing_is_forgotten(
    phone: Phone, clock: Clock, faults: Faults, invariants: Invariants, run_down: Callable[[], None]
) -> None:
    phone.trash(phone.upload_directly(SOUND))
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


# Several runs.


@pytest.fixture
def some_of_each(phone: Phone, clock: Clock) -> str:
    """Two of each that are due: uploads sent and not sent, trash, debts; the id of one ready."""
    for _ in range(2):
        phone.trash(phone.upload_directly(SOUND))
        phone.announce(SOUND)
        phone.deliver(SOUND)
        phone.delete_for_good(phone.upload_directly(SOUND))
    clock.advance(days=31)
    return phone.upload_directly(SOUND)


@pytest.mark.deep
def test_two_runs_at_once_move_each_item_once(
    phone: Phone, some_of_each: str, faults: Faults, store: Store, invariants: Invariants
) -> None:
    tallies: list[Tally] = []
    restore, calls = store.snapshot(), faults.calls_of(upkeep)
    for number, call in enumerate(calls):
        restore()
        tallies.clear()
        faults.interrupt_at(number, lambda: tallies.append(upkeep()))
        tallies.append(upkeep())
        faults.clear()

        assert len(tallies) == 2
        assert sum(tally.expired for tally in tallies) == 2, call
        assert sum(tally.purged for tally in tallies) == 2, call
        assert sum(tally.failed for tally in tallies) == 0, call
        assert [phone.seen(id)["version"] for id in phone.listed()] == [2, 2, 2], call
        assert some_of_each in phone.listed(), call
        assert invariants.broken(phone.user_id) == [], call


def test_a_run_that_is_cut_off_leaves_the_rest_to_the_next(
    phone: Phone,
    some_of_each: str,
    faults: Faults,
    store: Store,
    invariants: Invariants,
    run_down: Callable[[], None],
) -> None:
    deaths: dict[str, Callable[[], None]] = {}
    faults.after_each(lambda: deaths.setdefault(store.contents(), store.snapshot()))
    upkeep()
    faults.clear()
    assert len(deaths) > 8
    for death in deaths.values():
        death()
        run_down()
        assert invariants.broken_at_rest(phone.user_id) == []
        assert some_of_each in phone.listed()
        assert phone.usage() == (3 * len(SOUND), 3)


def test_what_is_deleted_while_its_upload_is_completed_stays_deleted(
    phone: Phone, clock: Clock, faults: Faults, run_down: Callable[[], None], invariants: Invariants
) -> None:
    id = phone.deliver(SOUND)
    clock.advance(days=8)
    faults.meanwhile("s3", "CopyObject", partial(phone.delete, f"/recordings/{id}"))
    tally = upkeep()
    faults.clear()
    run_down()

    assert (tally.completed, tally.failed) == (0, 0)
    assert invariants.broken_at_rest(phone.user_id) == []


def close(phone: Phone) -> None:
    assert phone.delete("/me", body={"password": PASSWORD}).status == 204
