"""Recordings that are announced together."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from chalicelib import wiring
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, account_key
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from tests.conftest import Clock
from tests.support.faults import Faults
from tests.support.phone import PASSWORD, Answer, Phone, send

MIB = 1024**2
SOUND = b"some sound"
# What Lambda hands back at most (its quota of 6 MB for synchronous invocations).
LARGEST_ANSWER = 6 * MIB

UnderWay = Callable[[Phone], list[str]]


def a_recording(**fields: Any) -> dict[str, Any]:
    told = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": len(SOUND)}
    return told | {"id": uuid7()} | fields


def announce_all(phone: Phone, recordings: list[dict[str, Any]]) -> Answer:
    return phone.post("/recordings/batch", {"recordings": recordings})


def ids(answer: Answer) -> list[str]:
    return [each["recording"]["id"] for each in answer.json["recordings"]]


@pytest.fixture
def recordings_of(stored: Callable[..., list[Item]]) -> Callable[[Phone], list[Item]]:
    """A user's recordings and tombstones, as the table has them."""

    def read(phone: Phone) -> list[Item]:
        items = stored(account_key(phone.user_id)["pk"])
        return [item for item in items if item["sk"].startswith("REC#")]

    return read


# What is taken.


@pytest.mark.parametrize("number", [1, 25])
def test_up_to_25_recordings_are_announced_together(phone: Phone, number: int) -> None:
    told = [a_recording(file_name=f"{n}.m4a") for n in range(number)]
    begun = announce_all(phone, told)

    assert begun.status == 201
    assert ids(begun) == [each["id"] for each in told]
    assert sorted(phone.listed(status="uploading")) == sorted(ids(begun))
    assert phone.usage() == (number * len(SOUND), number)


@pytest.mark.parametrize("number", [0, 26])
def test_none_and_more_than_25_are_refused(phone: Phone, number: int) -> None:
    refused = announce_all(phone, [a_recording() for _ in range(number)])

    assert (refused.status, refused.fields) == (400, ["recordings"])
    assert phone.usage() == (0, 0)


def test_recordings_without_ids_are_given_some(phone: Phone) -> None:
    told = [a_recording(file_name=f"{n}.m4a", id=None) for n in range(3)]
    begun = announce_all(phone, told)

    assert len(set(ids(begun))) == 3
    names = [each["recording"]["file_name"] for each in begun.json["recordings"]]
    assert names == ["0.m4a", "1.m4a", "2.m4a"]


def test_each_way_of_uploading_may_be_in_one_batch(phone: Phone) -> None:
    long = b"l" * 5 * MIB
    told = [
        a_recording(),
        a_recording(upload_method="post"),
        a_recording(upload_method="multipart", size=len(long)),
    ]
    begun = announce_all(phone, told).json["recordings"]

    assert [each["upload"]["method"] for each in begun] == ["put", "post", "multipart"]
    for each, data in zip(begun, (SOUND, SOUND, long), strict=True):
        send(each["upload"], data)
        assert phone.complete(each["recording"]["id"]).json["status"] == "ready"
        assert phone.download(each["recording"]["id"]).content == data


def test_each_upload_is_signed_for_its_own_recording(phone: Phone, settings: Settings) -> None:
    begun = announce_all(phone, [a_recording(upload_method="post") for _ in range(3)])

    for each in begun.json["recordings"]:
        key = f"{phone.user_id}/{each['recording']['id']}"
        assert each["upload"]["fields"]["key"] == key
        assert each["upload"]["url"].rstrip("/").endswith(settings.uploads_bucket)


def test_a_batch_is_written_in_one_transaction(phone: Phone, faults: Faults) -> None:
    calls = faults.record()
    announce_all(phone, [a_recording() for _ in range(25)])

    writes = [call.name for call in calls if not call.name.endswith("GetItem")]
    assert writes == ["dynamodb.TransactWriteItems"]


# What is refused, all of it.


def a_taken_id(phone: Phone) -> dict[str, Any]:
    id = uuid7()
    phone.announce(SOUND, id=id)
    return {"id": id, "size": 9}


def a_deleted_id(phone: Phone) -> dict[str, Any]:
    id = phone.upload_directly(SOUND)
    phone.delete_for_good(id)
    return {"id": id}


BAD: dict[str, tuple[Callable[[Phone], dict[str, Any]], int, str, str]] = {
    "type": (
        lambda _: {"content_type": "text/html"},
        415,
        "unsupported_media_type",
        "recordings[1].content_type",
    ),
    "size": (lambda _: {"size": 2**40}, 413, "too_large", "recordings[1].size"),
    "quota": (lambda _: {"size": 980}, 403, "quota_exceeded", "recordings"),
    "taken": (a_taken_id, 409, "id_conflict", "recordings[1].id"),
    "deleted": (a_deleted_id, 404, "not_found", "recordings[1].id"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_batch_with_a_recording_that_is_refused_is_refused_whole(
    phone: Phone,
    configure: Callable[..., None],
    recordings_of: Callable[[Phone], list[Item]],
    bad: str,
) -> None:
    configure(quota_bytes=999)
    fields, status, code, field = BAD[bad]
    told = [a_recording(), a_recording(**fields(phone)), a_recording()]
    before, used = recordings_of(phone), phone.usage()
    refused = announce_all(phone, told)

    assert (refused.status, refused.code, refused.fields) == (status, code, [field])
    assert (recordings_of(phone), phone.usage()) == (before, used)


def test_a_batch_beyond_the_quota_is_told_what_is_left(
    phone: Phone, configure: Callable[..., None]
) -> None:
    configure(quota_bytes=25)
    phone.announce(SOUND)

    assert "15 of 25 bytes" in announce_all(phone, [a_recording(), a_recording()]).json["detail"]
    assert announce_all(phone, [a_recording()]).status == 201


@pytest.mark.parametrize("spelt", [str.lower, str.upper])
def test_an_id_that_is_there_twice_is_refused(phone: Phone, spelt: Callable[[str], str]) -> None:
    id = uuid7()
    refused = announce_all(phone, [a_recording(id=id), a_recording(), a_recording(id=spelt(id))])

    assert (refused.status, refused.fields) == (400, ["recordings[2].id"])
    assert phone.usage() == (0, 0)


def test_a_batch_of_an_account_that_is_closed_meanwhile_leaves_nothing(
    phone: Phone, faults: Faults, recordings_of: Callable[[Phone], list[Item]]
) -> None:
    closing = {"password": PASSWORD}
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: phone.call("DELETE", "/me", closing))
    refused = announce_all(phone, [a_recording(), a_recording()])

    assert (refused.status, refused.code) == (401, "not_authenticated")
    assert recordings_of(phone) == []


# Again, and at the same moment.


def test_the_same_batch_again_gives_fresh_uploads_and_nothing_twice(phone: Phone) -> None:
    told = [a_recording(), a_recording(upload_method="post"), a_recording()]
    first = announce_all(phone, told)
    ready = told[2]["id"]
    send(first.json["recordings"][2]["upload"], SOUND)
    phone.complete(ready)
    again = announce_all(phone, told)

    assert again.status == 201
    assert ids(again) == ids(first)
    assert phone.usage() == (3 * len(SOUND), 3)
    assert again.json["recordings"][2]["upload"] is None
    for each in again.json["recordings"][:2]:
        send(each["upload"], SOUND)
        assert phone.complete(each["recording"]["id"]).status == 200


def test_the_same_batch_again_goes_on_with_the_parts_that_arrived(
    phone: Phone, under_way: UnderWay
) -> None:
    told = [a_recording(upload_method="multipart", size=5 * MIB) for _ in range(2)]
    first = announce_all(phone, told).json["recordings"]
    send(first[0]["upload"], b"l" * 5 * MIB)
    again = announce_all(phone, told).json["recordings"]

    assert [len(each["upload"]["uploaded"]) for each in again] == [1, 0]
    assert [len(each["upload"]["parts"]) for each in again] == [0, 1]
    assert len(under_way(phone)) == 2


def test_what_is_known_and_what_is_new_may_be_in_one_batch(phone: Phone) -> None:
    known = a_recording()
    phone.post("/recordings", known)
    begun = announce_all(phone, [a_recording(), known, a_recording()])

    assert begun.status == 201
    assert phone.usage() == (3 * len(SOUND), 3)
    assert len(phone.listed(status="uploading")) == 3


def test_what_is_known_does_not_count_against_the_quota_again(
    phone: Phone, configure: Callable[..., None]
) -> None:
    configure(quota_bytes=2 * len(SOUND))
    known = a_recording()
    phone.post("/recordings", known)

    assert announce_all(phone, [known, a_recording()]).status == 201
    assert announce_all(phone, [known, a_recording()]).code == "quota_exceeded"


def test_the_same_batch_late_gives_each_upload_its_whole_time_again(
    phone: Phone, clock: Clock
) -> None:
    told = [a_recording(), a_recording()]
    announce_all(phone, told)
    clock.advance(days=6)
    again = announce_all(phone, told)

    for each in again.json["recordings"]:
        ends = datetime.fromisoformat(each["recording"]["upload_expires_at"])
        assert ends - clock() > timedelta(days=6)


@pytest.mark.parametrize("shared", [1, 2], ids=["one", "all"])
def test_two_batches_at_once_that_share_recordings_make_each_once(
    phone: Phone, faults: Faults, shared: int
) -> None:
    quicker, slower = [a_recording(), a_recording()], [a_recording(), a_recording()]
    slower[:shared] = quicker[:shared]
    answers: list[Answer] = []
    faults.meanwhile(
        "dynamodb", "TransactWriteItems", lambda: answers.append(announce_all(phone, quicker))
    )
    answers.append(announce_all(phone, slower))

    assert [answer.status for answer in answers] == [201, 201]
    assert ids(answers[1]) == [each["id"] for each in slower]
    assert phone.usage() == ((4 - shared) * len(SOUND), 4 - shared)
    assert len(phone.listed(status="uploading")) == 4 - shared


def all_at_once(phone: Phone, batches: list[list[dict[str, Any]]]) -> list[int]:
    at_once = threading.Barrier(len(batches))

    def one(told: list[dict[str, Any]]) -> int:
        at_once.wait()
        return announce_all(phone, told).status

    with ThreadPoolExecutor(len(batches)) as threads:
        return sorted(threads.map(one, batches))


@pytest.mark.deep
def test_20_equal_batches_at_once_all_succeed_and_make_each_recording_once(phone: Phone) -> None:
    told = [a_recording() for _ in range(5)]

    assert all_at_once(phone, [told] * 20) == [201] * 20
    assert phone.usage() == (5 * len(SOUND), 5)
    assert len(phone.listed(status="uploading")) == 5


@pytest.mark.deep
def test_20_batches_at_once_fill_the_quota_exactly_and_never_pass_it(
    phone: Phone, configure: Callable[..., None]
) -> None:
    configure(quota_bytes=7 * 3 * len(SOUND))
    batches = [[a_recording() for _ in range(3)] for _ in range(20)]

    assert all_at_once(phone, batches) == [201] * 7 + [403] * 13
    assert phone.usage() == (7 * 3 * len(SOUND), 7 * 3)


# The largest answer.


@pytest.fixture
def _signed_as_in_lambda(settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the app sign with a session token as long as those of a Lambda's role get."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t" * 1400)
    roomy = msgspec.structs.replace(settings, max_recording_bytes=5 * 10**9, quota_bytes=10**15)
    services = Services(roomy, clock, Clients(custom_s3=True))
    monkeypatch.setattr(wiring, "_services", services)


@pytest.mark.usefixtures("_signed_as_in_lambda")
def test_the_largest_batch_of_parts_is_answered_within_what_lambda_hands_back(
    phone: Phone,
) -> None:
    said = {"notes": "🎙" * 4000, "tags": ["🎙" * 100] * 50}
    told = [a_recording(size=5 * 10**9, **said) for _ in range(25)]
    begun = announce_all(phone, told)

    assert min(len(each["upload"]["parts"]) for each in begun.json["recordings"]) > 90
    # As the runtime encodes it for API Gateway, with S3's upload ids, which are longer than moto's.
    answer = json.dumps({"statusCode": 201, "body": begun.text}, ensure_ascii=False)
    longer = begun.text.count("uploadId=") * 100
    assert len(answer.encode()) + longer < LARGEST_ANSWER
