"""Restoring: what is in the trash comes back as it was, until its time is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from chalicelib.aws.dynamodb.items import Item
from chalicelib.core.upkeep import Tally
from chalicelib.wiring import Services
from tests.conftest import Clock
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.listening import listen_instantly
from tests.support.phone import Answer, Phone

SOUND = b"some sound"


@pytest.fixture
def is_whole(phone: Phone, invariants: Invariants) -> Callable[[str], bool]:
    """Says whether the one recording of the phone's user is ready, and all of it there."""

    def look(id: str) -> bool:
        return (
            phone.listed() == [id]
            and phone.listed(status="trashed") == []
            and phone.download(id).content == SOUND
            and phone.usage() == (len(SOUND), 1)
            and invariants.broken(phone.user_id) == []
        )

    return look


# What comes back.


def test_a_restored_recording_is_what_it_was(phone: Phone, is_whole: Callable[[str], bool]) -> None:
    told = {"file_name": "회의.m4a", "tags": ["work"], "notes": "said", "duration_ms": 5}
    id = phone.upload(SOUND, recorded_at="2026-02-03T04:05:06Z", **told)
    before = phone.seen(id)
    phone.trash(id)
    restored = phone.restore(id)

    news = {"version": before["version"] + 2, "updated_at": restored.json["updated_at"]}
    assert restored.status == 200
    assert restored.json == phone.seen(id) == before | news
    assert restored.json["updated_at"] > before["updated_at"]
    assert is_whole(id)


def test_a_restored_recording_has_the_etag_of_its_version(phone: Phone, trashed: str) -> None:
    restored = phone.restore(trashed)

    assert restored.headers["etag"] == f'"{restored.json["version"]}"' == '"4"'


def test_a_restored_recording_is_due_no_more(
    phone: Phone, trashed: str, stored: Callable[..., list[Item]]
) -> None:
    assert [item["id"] for item in stored() if "due_shard" in item] == [trashed]
    listen_instantly(phone, trashed)
    phone.restore(trashed)

    assert [item["id"] for item in stored() if "due_shard" in item] == []


def test_what_is_trashed_again_has_all_its_time_again(
    phone: Phone, trashed: str, clock: Clock, services: Services
) -> None:
    first = phone.purge_at(trashed)
    phone.restore(trashed)
    clock.advance(days=29)
    phone.trash(trashed)

    assert phone.purge_at(trashed) - first > timedelta(days=29)
    clock.advance(days=29)
    services.upkeep.run()
    assert phone.listed(status="trashed") == [trashed]


# What does not.


# The version that is meant.


@pytest.mark.parametrize("version", ['"3"', "*"])
def test_the_version_that_was_seen_is_restored(
    phone: Phone, trashed: str, version: str, is_whole: Callable[[str], bool]
) -> None:
    assert phone.restore(trashed, version).status == 200
    assert is_whole(trashed)


@pytest.mark.parametrize("version", ['"2"', '"4"'])
def test_another_version_than_was_seen_stays_and_is_told(
    phone: Phone, trashed: str, version: str
) -> None:
    before = phone.seen(trashed)
    refused = phone.restore(trashed, version)

    assert (refused.status, refused.code) == (409, "version_conflict")
    assert refused.json["recording"] == before == phone.seen(trashed)


def test_an_if_match_that_is_no_version_restores_nothing(phone: Phone, trashed: str) -> None:
    refused = phone.restore(trashed, "3")

    assert (refused.status, refused.fields) == (400, ["If-Match"])
    assert phone.listed(status="trashed") == [trashed]


@pytest.mark.parametrize(("version", "status"), [(None, 200), ('"3"', 409)])
def test_a_change_at_the_same_moment_counts_as_a_version(
    phone: Phone, trashed: str, faults: Faults, version: str | None, status: int
) -> None:
    change = {"notes": "said"}
    faults.meanwhile(
        "dynamodb", "UpdateItem", lambda: phone.patch(f"/recordings/{trashed}", change)
    )
    answer = phone.restore(trashed, version)

    assert answer.status == status
    assert answer.json.get("recording", answer.json) == phone.seen(trashed)
    assert phone.seen(trashed)["notes"] == "said"
    assert phone.seen(trashed)["status"] == ("ready" if status == 200 else "trashed")


# The end of its time.


def test_a_recording_comes_back_until_the_last_moment(
    phone: Phone,
    trashed: str,
    clock: Clock,
    services: Services,
    is_whole: Callable[[str], bool],
) -> None:
    clock.stop(phone.purge_at(trashed) - timedelta(milliseconds=1))
    services.upkeep.run()

    assert phone.restore(trashed).status == 200
    assert is_whole(trashed)


def test_no_recording_comes_back_when_its_time_is_over(
    phone: Phone, trashed: str, clock: Clock, held: Held
) -> None:
    clock.stop(phone.purge_at(trashed))
    refused = phone.restore(trashed)

    assert (refused.status, refused.code) == (404, "not_found")
    assert phone.listed(status="trashed") == [trashed]
    assert held("recordings", phone.user_id) == {trashed: [SOUND]}


# At the same moment.


@pytest.fixture
def in_time(phone: Phone, trashed: str, clock: Clock) -> Callable[[], Answer]:
    """Restores the trashed recording from where the clock is some seconds behind."""
    clock.stop(phone.purge_at(trashed))

    def restore() -> Answer:
        clock.advance(seconds=-5)
        restored = phone.restore(trashed)
        clock.advance(seconds=5)
        return restored

    return restore


@pytest.fixture
def purge(phone: Phone, trashed: str, clock: Clock, services: Services) -> Callable[[], Tally]:
    """Runs upkeep when the trashed recording's time is over; until then it nearly is."""
    clock.stop(phone.purge_at(trashed) - timedelta(milliseconds=1))

    def purge() -> Tally:
        clock.stop(phone.purge_at(trashed))
        return services.upkeep.run()

    return purge


@pytest.mark.parametrize("operation", ["BatchGetItem", "TransactWriteItems"])
def test_a_restore_that_is_quicker_than_the_purge_loses_no_byte(
    trashed: str,
    faults: Faults,
    services: Services,
    in_time: Callable[[], Answer],
    is_whole: Callable[[str], bool],
    operation: str,
) -> None:
    quicker: list[Answer] = []
    faults.meanwhile("dynamodb", operation, lambda: quicker.append(in_time()))

    assert services.upkeep.run().purged == 0
    assert [restored.status for restored in quicker] == [200]
    assert is_whole(trashed)
    services.upkeep.run()
    assert is_whole(trashed)


@pytest.mark.parametrize("operation", ["BatchGetItem", "UpdateItem"])
def test_a_restore_that_is_slower_than_the_purge_is_told(
    phone: Phone,
    trashed: str,
    faults: Faults,
    purge: Callable[[], Tally],
    nothing_is_left: Callable[[Phone], bool],
    operation: str,
) -> None:
    purges: list[Tally] = []
    faults.meanwhile("dynamodb", operation, lambda: purges.append(purge()))
    late = phone.restore(trashed)

    assert (late.status, late.code) == (404, "not_found")
    assert [tally.purged for tally in purges] == [1]
    assert nothing_is_left(phone)


def test_what_is_restored_and_trashed_again_is_not_purged_by_who_saw_it_before(
    phone: Phone,
    trashed: str,
    faults: Faults,
    services: Services,
    held: Held,
    in_time: Callable[[], Answer],
) -> None:
    def restore_and_trash() -> None:
        in_time()
        phone.trash(trashed)

    faults.meanwhile("dynamodb", "TransactWriteItems", restore_and_trash)
    assert services.upkeep.run().purged == 0
    assert held("recordings", phone.user_id) == {trashed: [SOUND]}
    assert phone.restore(trashed).status == 200


# When AWS fails.
