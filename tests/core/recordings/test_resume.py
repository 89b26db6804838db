"""Uploads that are interrupted: going on, and running out of time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.ids import uuid7
from chalicelib.wiring import Services
from tests.conftest import Clock
from tests.core.recordings.conftest import PART_BYTES, PutIn
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.phone import Answer, Phone, send, send_part
from tests.support.s3_rules import accepts, accepts_form

LIFE = timedelta(days=7)
SHORT = b"some sound"
LONG = b"in parts"
SOUNDS = {"put": SHORT, "post": SHORT, "multipart": LONG}

pytestmark = pytest.mark.usefixtures("small_parts")


def announce(phone: Phone, method: str, **fields: Any) -> Answer:
    return phone.announce(SOUNDS[method], upload_method=method, **fields)


def begin(phone: Phone, method: str = "put", **fields: Any) -> str:
    """Announce a recording and send nothing; its id."""
    return str(announce(phone, method, **fields).json["recording"]["id"])


def ends(answer: Answer) -> datetime:
    return datetime.fromisoformat(answer.json["recording"]["upload_expires_at"])


# Going on.


@pytest.mark.parametrize("method", SOUNDS)
def test_an_id_is_all_that_is_needed_to_go_on_after_the_urls_have_expired(
    phone: Phone, clock: Clock, method: str
) -> None:
    id = begin(phone, method)
    clock.advance(hours=2)
    resumed = phone.resume(id).json

    assert resumed["upload"]["method"] == method
    assert datetime.fromisoformat(resumed["upload"]["expires_at"]) > clock()
    send(resumed["upload"], SOUNDS[method])
    assert phone.complete(id).json["status"] == "ready"
    assert phone.download(id).content == SOUNDS[method]


def test_what_is_signed_to_go_on_is_what_was_signed_to_begin(phone: Phone) -> None:
    announced = {"sha256": hashlib.sha256(SHORT).hexdigest(), "content_type": "audio/flac"}
    put = announce(phone, "put", **announced).json
    again = phone.resume(put["recording"]["id"]).json["upload"]
    assert again["headers"] == put["upload"]["headers"]
    assert accepts("PUT", again["url"], again["headers"])

    post = announce(phone, "post", **announced).json
    fields = phone.resume(post["recording"]["id"]).json["upload"]["fields"]
    signed = {"policy", "x-amz-signature", "x-amz-date"}
    assert accepts_form(fields)
    assert {n: v for n, v in fields.items() if n not in signed} == {
        n: v for n, v in post["upload"]["fields"].items() if n not in signed
    }


def test_an_upload_lives_for_its_whole_time_from_the_last_call(phone: Phone, clock: Clock) -> None:
    clock.stop(clock())
    id = begin(phone)
    for _ in range(3):
        clock.advance(days=6)
        assert ends(phone.resume(id)) == clock() + LIFE


def test_an_upload_lives_as_long_as_is_set(
    phone: Phone, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(upload_days=30)
    clock.stop(clock())
    announced = announce(phone, "put")

    assert ends(announced) == clock() + timedelta(days=30)
    clock.advance(days=1)
    id = announced.json["recording"]["id"]
    assert ends(phone.resume(id)) == clock() + timedelta(days=30)


def test_going_on_is_no_change_of_the_recording(phone: Phone, clock: Clock) -> None:
    begun = announce(phone, "put").json["recording"]
    clock.advance(days=1)
    resumed = phone.resume(begun["id"]).json["recording"]

    assert resumed.pop("upload_expires_at") != begun.pop("upload_expires_at")
    assert resumed == begun


@pytest.mark.parametrize(("days", "moves"), [(3, False), (4, True)])
def test_the_same_announcement_gives_more_time_once_half_of_it_is_over(
    phone: Phone, clock: Clock, days: int, moves: bool
) -> None:
    clock.stop(clock())
    id = uuid7()
    first = ends(announce(phone, "put", id=id))
    clock.advance(days=days)

    assert ends(announce(phone, "put", id=id)) == (clock() + LIFE if moves else first)


def test_a_ready_recording_has_nothing_to_go_on_with(phone: Phone) -> None:
    resumed = phone.resume(phone.upload(SHORT)).json

    assert (resumed["recording"]["status"], resumed["upload"]) == ("ready", None)
    assert "upload_expires_at" not in resumed["recording"]


# The end of an upload's time.


@pytest.mark.parametrize("method", SOUNDS)
def test_bytes_that_arrived_are_completed_when_the_time_is_over(
    phone: Phone, clock: Clock, services: Services, held: Held, method: str
) -> None:
    id = phone.deliver(SOUNDS[method], upload_method=method)
    clock.advance(days=8)
    done = services.upkeep.run()

    assert (done.completed, done.expired) == (1, 0)
    assert phone.listed() == [id]
    assert phone.download(id).content == SOUNDS[method]
    assert held("uploads", phone.user_id) == {}


def test_a_direct_upload_whose_process_died_is_completed_when_the_time_is_over(
    phone: Phone, clock: Clock, services: Services, faults: Faults
) -> None:
    id = uuid7()
    faults.lose_the_answer("s3", "PutObject")
    phone.put_audio(id, SHORT)
    faults.clear()
    clock.advance(days=8)
    services.upkeep.run()

    assert phone.listed() == [id]
    assert phone.download(id).content == SHORT


@pytest.mark.parametrize("method", SOUNDS)
def test_an_upload_past_its_end_goes_on_until_upkeep_ends_it(
    phone: Phone, clock: Clock, services: Services, method: str
) -> None:
    id = begin(phone, method)
    clock.advance(days=8)
    send(phone.resume(id).json["upload"], SOUNDS[method])
    services.upkeep.run()

    assert phone.complete(id).json["status"] == "ready"


def test_an_upload_that_is_resumed_while_upkeep_ends_it_goes_on(
    phone: Phone, clock: Clock, services: Services, faults: Faults
) -> None:
    id = begin(phone)
    clock.advance(days=8)
    resumed: list[Any] = []
    faults.meanwhile(
        "dynamodb", "TransactWriteItems", lambda: resumed.append(phone.resume(id).json["upload"])
    )
    services.upkeep.run()

    send(resumed[0], SHORT)
    assert phone.complete(id).json["status"] == "ready"


@pytest.mark.parametrize("method", SOUNDS)
def test_without_bytes_an_upload_expires_and_gives_its_quota_back(
    phone: Phone, expire: Callable[..., None], invariants: Invariants, method: str
) -> None:
    expire(phone, begin(phone, method))

    assert phone.usage() == (0, 0)
    assert phone.listed(status="uploading") == []
    assert invariants.broken(phone.user_id) == []


def test_parts_that_are_not_all_there_expire_and_are_aborted(
    phone: Phone,
    clock: Clock,
    services: Services,
    expire: Callable[..., None],
    under_way: Callable[[Phone], list[str]],
) -> None:
    begun = announce(phone, "multipart", size=PART_BYTES + 1).json
    send_part(begun["upload"], 1, b"a" * PART_BYTES)
    expire(phone, begun["recording"]["id"])
    clock.advance(minutes=16)
    services.upkeep.run()

    assert under_way(phone) == []
    assert phone.usage() == (0, 0)


def test_other_bytes_than_announced_expire(
    phone: Phone, expire: Callable[..., None], held: Held, put_in: PutIn
) -> None:
    announced = phone.announce(SHORT, sha256=hashlib.sha256(b"else sound").hexdigest())
    id = announced.json["recording"]["id"]
    put_in(phone, id, SHORT)
    expire(phone, id)

    assert held("uploads", phone.user_id) == {}
    assert held("recordings", phone.user_id) == {}


def test_an_expired_upload_is_not_found_but_can_be_deleted(
    phone: Phone, expire: Callable[..., None]
) -> None:
    id = begin(phone)
    expire(phone, id)

    path = f"/recordings/{id}"
    answers = [
        phone.get(path),
        phone.resume(id),
        phone.complete(id),
        phone.patch(path, {"notes": "late"}),
        phone.post(f"{path}/restore"),
    ]
    assert [answer.code for answer in answers] == ["not_found"] * 5
    assert [phone.delete(path).status for _ in range(2)] == [204, 204]
    assert phone.usage() == (0, 0)
