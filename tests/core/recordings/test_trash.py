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
from tests.support.invariants import Held, Invariants
from tests.support.phone import Answer, Phone

SOUND = b"some sound"
OTHER = b"else sound"
SHELVES = ("ready", "uploading", "trashed")


# Going there.


def test_a_move_to_the_trash_has_no_body(phone: Phone) -> None:
    assert phone.trash(phone.upload_directly(SOUND)).text == ""


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


def test_a_trashed_recording_is_on_its_shelf_and_on_no_other(phone: Phone, trashed: str) -> None:
    assert [phone.listed(status=status) for status in SHELVES] == [[], [], [trashed]]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_trash_pages_exactly_whatever_lies_between(phone: Phone, order: str) -> None:
    ids = [phone.upload_directly(SOUND) for _ in range(12)]
    for id in ids[::2]:
        phone.trash(id)
    expected = ids[::2] if order == "asc" else ids[::2][::-1]

    query = {"status": "trashed", "limit": 3, "order": order}
    first = phone.get("/recordings", query=query).json
    last = phone.get("/recordings", query=query | {"after": first["next"]}).json
    pages = [[recording["id"] for recording in page["recordings"]] for page in (first, last)]
    assert pages == [expected[:3], expected[3:]]
    assert (first["next"], last["next"]) == (expected[2], None)


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


def test_trashing_again_changes_nothing(phone: Phone, trashed: str, clock: Clock) -> None:
    before = phone.seen(trashed)
    clock.advance(days=1)

    assert phone.trash(trashed).status == 204
    assert phone.seen(trashed) == before


def test_what_is_in_the_trash_can_be_deleted_for_good(
    phone: Phone, trashed: str, nothing_is_left: Callable[[Phone], bool]
) -> None:
    assert phone.delete_for_good(trashed).status == 204
    assert nothing_is_left(phone)
    assert phone.trash(trashed).status == 204
    assert phone.restore(trashed).code == "not_found"


def test_without_days_in_the_trash_a_deletion_is_for_good(
    phone: Phone, configure: Callable[..., None], nothing_is_left: Callable[[Phone], bool]
) -> None:
    configure(trash_days=0)
    id = phone.upload(SOUND)

    assert phone.trash(id).status == 204
    assert nothing_is_left(phone)
    assert phone.restore(id).code == "not_found"


def test_an_upload_under_way_does_not_go_to_the_trash(
    phone: Phone, nothing_is_left: Callable[[Phone], bool]
) -> None:
    id = phone.deliver(SOUND)

    assert phone.trash(id).status == 204
    assert nothing_is_left(phone)
    assert phone.restore(id).code == "not_found"


def test_what_was_never_there_cannot_be_trashed(phone: Phone) -> None:
    assert phone.trash(uuid7()).code == "not_found"


# Being there.


def test_a_trashed_recording_cannot_be_completed(phone: Phone, trashed: str) -> None:
    refused = phone.complete(trashed)

    assert (refused.status, refused.code) == (409, "not_ready")
    assert phone.seen(trashed)["status"] == "trashed"


def test_what_is_in_the_trash_can_be_changed_there(phone: Phone, trashed: str) -> None:
    before = phone.seen(trashed)
    changed = phone.patch(f"/recordings/{trashed}", {"notes": "said"}).json

    assert changed == before | {
        field: changed[field] for field in ("notes", "version", "updated_at")
    }
    assert (changed["notes"], changed["version"]) == ("said", before["version"] + 1)


def test_another_version_in_the_trash_is_not_changed(phone: Phone, trashed: str) -> None:
    change, seen_before = {"notes": "late"}, {"If-Match": '"2"'}
    refused = phone.patch(f"/recordings/{trashed}", change, headers=seen_before)

    assert (refused.status, refused.code) == (409, "version_conflict")
    assert refused.json["recording"] == phone.seen(trashed)
    assert refused.json["recording"]["status"] == "trashed"


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


@pytest.mark.parametrize("ask", [announce, send_directly])
def test_something_else_under_the_id_of_a_trashed_recording_is_a_conflict(
    phone: Phone, trashed: str, held: Held, ask: Callable[[Phone, str, bytes], Answer]
) -> None:
    before = phone.seen(trashed)
    refused = ask(phone, trashed, OTHER)

    assert (refused.status, refused.code) == (409, "id_conflict")
    assert phone.seen(trashed) == before
    assert held("recordings", phone.user_id) == {trashed: [SOUND]}


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


def test_purging_leaves_what_is_not_in_the_trash_or_not_yet_so_long(
    phone: Phone, trashed: str, clock: Clock, services: Services
) -> None:
    ready, later = phone.upload_directly(SOUND), phone.upload_directly(OTHER)
    clock.advance(days=29)
    phone.trash(later)
    clock.advance(days=2)
    services.upkeep.run()

    assert [phone.listed(status=status) for status in SHELVES] == [[ready], [], [later]]
    assert phone.get(f"/recordings/{trashed}").status == 404
    assert phone.download(ready).content == SOUND
    assert phone.restore(later).status == 200
    assert phone.download(later).content == OTHER


def test_a_purge_gives_the_quota_back_once(
    phone: Phone, trashed: str, clock: Clock, services: Services
) -> None:
    phone.upload_directly(b"another")
    clock.advance(days=31)
    for _ in range(3):
        services.upkeep.run()
    assert phone.delete_for_good(trashed).status == 204

    assert phone.usage() == (len(b"another"), 1)


def test_a_purge_whose_answer_was_lost_gives_the_quota_back_once(
    phone: Phone, trashed: str, clock: Clock, services: Services, faults: Faults, held: Held
) -> None:
    phone.upload_directly(b"another")
    clock.advance(days=31)
    faults.lose_the_answer("dynamodb", "TransactWriteItems")
    services.upkeep.run()
    assert faults.met == 1
    faults.clear()
    services.upkeep.run()

    assert phone.usage() == (len(b"another"), 1)
    assert trashed not in held("recordings", phone.user_id)


@pytest.mark.parametrize("quicker", ["a purge", "a deletion"])
def test_two_that_take_it_from_the_trash_at_once_give_the_quota_back_once(
    phone: Phone, trashed: str, clock: Clock, services: Services, faults: Faults, quicker: str
) -> None:
    phone.upload_directly(b"another")
    clock.advance(days=31)
    purged: list[int] = []

    def overtake() -> None:
        if quicker == "a deletion":
            phone.delete_for_good(trashed)
        else:
            purged.append(services.upkeep.run().purged)

    faults.meanwhile("dynamodb", "TransactWriteItems", overtake)
    assert services.upkeep.run().purged == 0
    assert purged in ([], [1])
    assert phone.usage() == (len(b"another"), 1)
    assert phone.get(f"/recordings/{trashed}").status == 404


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


@pytest.mark.parametrize("operation", ["BatchGetItem", "GetItem", "UpdateItem"])
def test_when_dynamodb_refuses_nothing_is_trashed_and_it_can_be_sent_again(
    phone: Phone, faults: Faults, operation: str
) -> None:
    id = phone.upload(SOUND)
    faults.refuse("dynamodb", operation, "ThrottlingException", 400)
    assert phone.trash(id).code == "unavailable"
    faults.clear()

    assert phone.download(id).content == SOUND
    assert phone.trash(id).status == 204
    assert phone.seen(id)["version"] == 3


@pytest.mark.parametrize("lose", [Faults.lose_the_answer, Faults.time_out])
def test_a_move_to_the_trash_whose_answer_was_lost_is_made_once(
    phone: Phone,
    faults: Faults,
    clock: Clock,
    invariants: Invariants,
    lose: Callable[[Faults, str, str], None],
) -> None:
    id = phone.upload(SOUND)
    lose(faults, "dynamodb", "UpdateItem")
    assert phone.trash(id).code == "unavailable"
    faults.clear()
    before = phone.seen(id)
    clock.advance(days=1)

    assert phone.trash(id).status == 204
    assert phone.seen(id) == before
    assert (before["status"], before["version"]) == ("trashed", 3)
    assert invariants.broken(phone.user_id) == []
