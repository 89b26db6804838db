"""Upkeep: what time alone must move."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from chalicelib import jobs, wiring
from chalicelib.core.upkeep import Tally
from tests.conftest import Clock, Context, Find
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.phone import PASSWORD, Phone, send

SOUND = b"some sound"


def upkeep(goes_on: Callable[[], bool] = lambda: True) -> Tally:
    return wiring.services().upkeep.run(goes_on)


def so_often(times: int) -> Callable[[], bool]:
    """Time for as many looks at the clock."""
    left = iter(range(times))
    return lambda: next(left, None) is not None


# Uploads whose time is over.


@pytest.mark.parametrize("method", ["put", "post", "multipart"])
def test_an_upload_whose_bytes_arrived_is_completed(
    phone: Phone, clock: Clock, method: str
) -> None:
    id = phone.deliver(SOUND, upload_method=method)
    clock.advance(days=8)

    assert upkeep().completed == 1
    assert phone.download(id).content == SOUND


@pytest.mark.parametrize("method", ["put", "post", "multipart"])
def test_an_upload_whose_bytes_did_not_arrive_expires(
    phone: Phone, clock: Clock, run_down: Callable[[], None], invariants: Invariants, method: str
) -> None:
    id = phone.announce(SOUND, upload_method=method).json["recording"]["id"]
    clock.advance(days=8)

    assert upkeep().expired == 1
    assert phone.resume(id).status == 404
    assert phone.usage() == (0, 0)
    run_down()
    assert invariants.broken_at_rest(phone.user_id) == []


def test_an_upload_of_other_bytes_than_announced_expires(
    phone: Phone, clock: Clock, held: Held
) -> None:
    id = phone.announce(SOUND, sha256="0" * 64).json["recording"]["id"]
    clients = wiring.services().clients
    clients.s3.put_object(
        Bucket=wiring.services().settings.uploads_bucket,
        Key=f"{phone.user_id}/{id}",
        ContentType="audio/mp4",
        Body=b"other bytes",
    )
    clock.advance(days=8)

    assert upkeep().expired == 1
    assert held("uploads", phone.user_id) == held("recordings", phone.user_id) == {}


def test_an_upload_that_was_resumed_has_its_time_again(phone: Phone, clock: Clock) -> None:
    id = phone.announce(SOUND).json["recording"]["id"]
    clock.advance(days=6)
    phone.resume(id)
    clock.advance(days=6)

    assert upkeep() == Tally()
    assert phone.listed(status="uploading") == [id]


def test_what_expired_can_be_begun_again(phone: Phone, clock: Clock) -> None:
    id = phone.announce(SOUND).json["recording"]["id"]
    clock.advance(days=8)
    upkeep()
    again = phone.announce(SOUND, id=id)
    clock.advance(minutes=20)
    upkeep()
    send(again.json["upload"], SOUND)

    assert again.status == 201
    assert phone.complete(id).status == 200


# The trash, and what is owed.


def test_the_trash_is_emptied_when_its_grace_is_over(
    phone: Phone, clock: Clock, held: Held
) -> None:
    id = phone.upload_directly(SOUND)
    phone.delete(f"/recordings/{id}")
    clock.advance(days=29)
    upkeep()
    assert phone.listed(status="trashed") == [id]
    clock.advance(days=2)

    assert (tally := upkeep()).purged == tally.settled == 1
    assert phone.get(f"/recordings/{id}").status == 404
    assert held("recordings", phone.user_id) == {}


def test_a_restored_recording_stays(phone: Phone, clock: Clock) -> None:
    id = phone.upload_directly(SOUND)
    phone.delete(f"/recordings/{id}")
    phone.post(f"/recordings/{id}/restore")
    clock.advance(days=31)

    assert upkeep() == Tally()
    assert phone.download(id).content == SOUND


def test_what_a_tombstone_owes_is_paid_when_it_is_due(
    phone: Phone, clock: Clock, held: Held, find: Find
) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    phone.delete(f"/recordings/{id}")
    send(begun["upload"], SOUND)
    clock.advance(minutes=14)
    upkeep()
    assert find(phone, id)["owes"] == ["uploads", "recordings"]
    clock.advance(minutes=2)

    assert upkeep().settled == 1
    assert held("uploads", phone.user_id) == {}
    assert find(phone, id)["owes"] == []


def test_a_settled_tombstone_is_kept_for_90_days_and_is_never_due_again(
    phone: Phone, clock: Clock, find: Find
) -> None:
    id = phone.announce(SOUND).json["recording"]["id"]
    phone.delete(f"/recordings/{id}")
    clock.advance(minutes=16)
    upkeep()
    tombstone = find(phone, id)

    kept = tombstone["ttl"] - clock().timestamp()
    assert abs(kept - timedelta(days=90).total_seconds()) < 60
    assert not {"due_at", "due_shard"} & tombstone.keys()


def test_objects_are_deleted_together(phone: Phone, clock: Clock, faults: Faults) -> None:
    for _ in range(5):
        phone.delete(f"/recordings/{phone.upload_directly(SOUND)}")
    clock.advance(days=31)
    asked = faults.asked("s3", "DeleteObjects")
    upkeep()

    assert [len(each["Delete"]["Objects"]) for each in asked] == [5, 5]


# In which order, and for how long.


def delivered_in_this_order(phone: Phone, clock: Clock, count: int) -> list[str]:
    """Uploads that are due one after another."""
    ids = []
    for _ in range(count):
        ids.append(phone.deliver(SOUND))
        clock.advance(minutes=1)
    return ids


def test_the_oldest_goes_first(phone: Phone, clock: Clock) -> None:
    ids = delivered_in_this_order(phone, clock, 6)
    clock.advance(days=8)
    for number in range(1, 7):
        # One look at the page, one at the item, and then the time is up.
        assert upkeep(so_often(2)).completed == 1
        assert phone.listed(order="asc") == ids[:number]


def test_what_is_not_due_stays(phone: Phone, clock: Clock) -> None:
    due, *others = delivered_in_this_order(phone, clock, 3)
    clock.advance(days=7, minutes=-2, seconds=-30)

    assert upkeep().completed == 1
    assert phone.listed() == [due]
    assert phone.listed(status="uploading", order="asc") == others


def test_without_time_nothing_is_done(phone: Phone, clock: Clock) -> None:
    phone.deliver(SOUND)
    clock.advance(days=8)

    assert upkeep(lambda: False).completed == 0
    assert upkeep(so_often(1)).completed == 0
    assert upkeep().completed == 1


def test_it_is_said_how_long_the_oldest_has_been_waiting(phone: Phone, clock: Clock) -> None:
    phone.announce(SOUND)
    clock.advance(hours=1)
    phone.announce(SOUND)
    clock.advance(days=7, hours=1)

    assert 7200 <= upkeep(lambda: False).overdue_seconds < 7300
    upkeep()
    assert upkeep().overdue_seconds == 0


# The job.


def test_the_job_stops_when_a_minute_is_left(phone: Phone, clock: Clock) -> None:
    phone.deliver(SOUND)
    clock.advance(days=8)

    assert jobs.upkeep({}, Context(900_000, 900_000, 60_000))["completed"] == 0
    assert jobs.upkeep({}, Context(900_000, 900_000, 61_000))["completed"] == 1


def test_the_job_does_something_in_a_function_that_has_but_a_minute(
    phone: Phone, clock: Clock
) -> None:
    phone.deliver(SOUND)
    clock.advance(days=8)

    assert jobs.upkeep({}, Context(60_000, 60_000, 30_000))["completed"] == 0
    assert jobs.upkeep({}, Context(60_000))["completed"] == 1


def test_a_closed_account_is_counted_and_what_it_had(phone: Phone, clock: Clock) -> None:
    phone.upload(SOUND)
    phone.trash(phone.upload(SOUND))
    phone.delete_for_good(phone.upload(SOUND))
    clock.advance(minutes=14)
    phone = phone.on_another_device()
    phone.delete("/me", body={"password": PASSWORD})

    # What was ready for that long may be paid for at once, but for the last minute's tombstones.
    first = upkeep()
    assert (first.purged, first.closed) == (2, 0)
    clock.advance(minutes=16)
    last = upkeep()
    assert (last.purged, first.settled + last.settled, last.closed) == (0, 3, 1)
    assert upkeep() == Tally()
