"""The trash: what is deleted goes there, stays for a while, and then goes for good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.ids import uuid7
from chalicelib.wiring import Services
from tests.conftest import Clock
from tests.support.faults import Faults
from tests.support.invariants import Held
from tests.support.phone import Answer, Phone

SOUND = b"some sound"
OTHER = b"else sound"
SHELVES = ("ready", "uploading", "trashed")


# Going there.


def test_a_trashed_recording_says_when_it_goes_for_good(phone: Phone, trashed: str) -> None:
    recording = phone.seen(trashed)

    assert recording["status"] == "trashed"
    trashed_at = datetime.fromisoformat(recording["updated_at"])
    assert phone.purge_at(trashed) == trashed_at + timedelta(days=30)


def test_how_long_the_trash_keeps_things_is_a_setting(
    phone: Phone, configure: Callable[..., None]
) -> None:
    configure(trash_days=3)
    id = phone.upload(SOUND)
    phone.trash(id)

    trashed_at = datetime.fromisoformat(phone.seen(id)["updated_at"])
    assert phone.purge_at(id) == trashed_at + timedelta(days=3)


def test_a_page_of_the_trash_is_read_from_its_index_alone(
    phone: Phone, faults: Faults, trashed: str
) -> None:
    for _ in range(3):
        phone.upload_directly(SOUND)
    queries = faults.asked("dynamodb", "Query")
    assert phone.listed(status="trashed", limit=1) == [trashed]

    (query,) = queries
    assert query["IndexName"] == "shelf"
    assert "FilterExpression" not in query


def test_what_is_in_the_trash_takes_up_quota(
    phone: Phone, trashed: str, configure: Callable[..., None]
) -> None:
    configure(quota_bytes=len(SOUND))

    assert phone.usage() == (len(SOUND), 1)
    assert phone.announce(b"1").code == "quota_exceeded"
    phone.delete_for_good(trashed)
    assert phone.announce(b"1").status == 201


def test_a_trashed_recording_keeps_its_bytes_and_does_not_play(
    phone: Phone, trashed: str, held: Held
) -> None:
    assert "audio" not in phone.get(f"/recordings/{trashed}").json
    assert held("recordings", phone.user_id) == {trashed: [SOUND]}


def test_without_days_in_the_trash_a_deletion_is_for_good(
    phone: Phone, configure: Callable[..., None], nothing_is_left: Callable[[Phone], bool]
) -> None:
    configure(trash_days=0)
    id = phone.upload(SOUND)

    assert phone.trash(id).status == 204
    assert nothing_is_left(phone)
    assert phone.restore(id).code == "not_found"


# Being there.


def announce(phone: Phone, id: str, data: bytes) -> Answer:
    return phone.announce(data, id=id, notes=data.decode())


def send_directly(phone: Phone, id: str, data: bytes) -> Answer:
    return phone.put_audio(id, data)


@pytest.mark.parametrize("ask", [announce, send_directly])
def test_the_same_again_finds_it_in_the_trash_and_leaves_it_there(
    phone: Phone, ask: Callable[[Phone, str, bytes], Answer]
) -> None:
    id = phone.upload(SOUND, id=uuid7(), notes=SOUND.decode())
    phone.trash(id)
    before = phone.seen(id)
    again = ask(phone, id, SOUND)

    assert again.status == 200
    assert again.json in (before, {"recording": before, "upload": None})
    assert phone.seen(id) == before


# Going for good.


def test_a_recording_whose_time_in_the_trash_is_over_is_purged(
    phone: Phone,
    trashed: str,
    clock: Clock,
    services: Services,
    nothing_is_left: Callable[[Phone], bool],
) -> None:
    clock.stop(phone.purge_at(trashed))

    assert services.upkeep.run().purged == 1
    assert nothing_is_left(phone)


def test_until_then_it_is_not_purged(
    phone: Phone, trashed: str, clock: Clock, services: Services, held: Held
) -> None:
    clock.stop(phone.purge_at(trashed) - timedelta(milliseconds=1))

    assert services.upkeep.run().purged == 0
    assert phone.listed(status="trashed") == [trashed]
    assert held("recordings", phone.user_id) == {trashed: [SOUND]}


# At the same moment, and when AWS fails.


def test_trashed_twice_at_once_it_is_trashed_once(phone: Phone, faults: Faults) -> None:
    id = phone.upload(SOUND)
    quicker: list[dict[str, Any]] = []

    def trash() -> None:
        phone.trash(id)
        quicker.append(phone.seen(id))

    faults.meanwhile("dynamodb", "UpdateItem", trash)
    assert phone.trash(id).status == 204
    assert quicker == [phone.seen(id)]
    assert quicker[0]["version"] == 3


def test_a_change_at_the_same_moment_goes_to_the_trash_too(phone: Phone, faults: Faults) -> None:
    id = phone.upload(SOUND)
    change = {"notes": "said"}
    faults.meanwhile("dynamodb", "UpdateItem", lambda: phone.patch(f"/recordings/{id}", change))

    assert phone.trash(id).status == 204
    recording = phone.seen(id)
    assert (recording["status"], recording["notes"], recording["version"]) == ("trashed", "said", 4)


@pytest.mark.parametrize(("if_match", "status"), [({}, 200), ({"If-Match": '"2"'}, 409)])
def test_a_change_that_comes_after_the_move_to_the_trash_is_of_what_is_there(
    phone: Phone, faults: Faults, if_match: dict[str, str], status: int
) -> None:
    id = phone.upload(SOUND)
    faults.meanwhile("dynamodb", "UpdateItem", lambda: phone.trash(id))
    changed = phone.patch(f"/recordings/{id}", {"notes": "said"}, headers=if_match)

    assert changed.status == status
    assert changed.json.get("recording", changed.json) == phone.seen(id)
    assert phone.seen(id)["status"] == "trashed"


def test_a_complete_that_comes_after_the_move_to_the_trash_is_told(
    phone: Phone, faults: Faults, held: Held
) -> None:
    id = phone.deliver(SOUND)

    def complete_and_trash() -> None:
        phone.complete(id)
        phone.trash(id)

    faults.meanwhile("dynamodb", "UpdateItem", complete_and_trash)
    assert phone.complete(id).code == "not_ready"
    assert phone.seen(id)["status"] == "trashed"
    assert held("recordings", phone.user_id) == {id: [SOUND]}
