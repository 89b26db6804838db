"""What design.md promises of every failure, tried on every call to AWS, one at a time."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib import jobs, wiring
from chalicelib.aws.clients import Clients
from chalicelib.aws.items import Item, account_key, to_attributes
from chalicelib.core.ids import uuid7
from chalicelib.errors import RecorderError
from chalicelib.models import requests
from chalicelib.settings import Settings
from tests import shortcut
from tests.conftest import Clock
from tests.faults import Died, Faults
from tests.invariants import Invariants
from tests.phone import NO_TLS, PASSWORD, Answer, Phone, send

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

SOUND = b"some sound"
# Of another recording of the same user, which nothing that happens is about.
STAYING = b"what stays"


@dataclass(frozen=True)
class UseCase:
    """Something that happens: what comes before it, how it is asked for, and what is then true.

    `id` stands for a recording wherever there is one.
    """

    prepare: Callable[[Phone, Clock], str]
    request: Callable[[Phone, str], Answer]
    is_done: Callable[[Phone, str], bool]
    answers: tuple[int, ...] = (200,)


# What comes before.


def the_settings() -> Settings:
    return wiring.services().settings


def s3() -> S3Client:
    return wiring.services().clients.s3


def nothing(*_: object) -> str:
    return uuid7()


def two_ids(*_: object) -> str:
    return f"{uuid7()} {uuid7()}"


def sent(phone: Phone, _: Clock) -> str:
    return phone.deliver(SOUND)


def announced_in_parts(phone: Phone, _: Clock) -> str:
    return str(phone.announce(SOUND, upload_method="multipart").json["recording"]["id"])


def sent_in_parts(phone: Phone, _: Clock) -> str:
    return phone.deliver(SOUND, upload_method="multipart")


def given_up_by_s3(phone: Phone, clock: Clock) -> str:
    id = announced_in_parts(phone, clock)
    bucket, key = the_settings().uploads_bucket, f"{phone.user_id}/{id}"
    for upload in s3().list_multipart_uploads(Bucket=bucket, Prefix=key)["Uploads"]:
        s3().abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])
    return id


def ready(phone: Phone, _: Clock) -> str:
    return phone.upload_directly(SOUND)


def ready_long_ago(phone: Phone, clock: Clock) -> str:
    id = phone.upload_directly(SOUND)
    clock.advance(minutes=16)
    return id


def in_the_trash(phone: Phone, clock: Clock) -> str:
    id = ready(phone, clock)
    phone.delete(f"/recordings/{id}")
    return id


def rolled_back_and_sent_all_the_same(phone: Phone, _: Clock) -> str:
    begun = phone.announce(SOUND).json
    id = str(begun["recording"]["id"])
    phone.delete(f"/recordings/{id}")
    send(begun["upload"], SOUND)
    return id


def copied_after_the_deletion(phone: Phone, clock: Clock) -> str:
    id = rolled_back_and_sent_all_the_same(phone, clock)
    key = f"{phone.user_id}/{id}"
    s3().put_object(Bucket=the_settings().recordings_bucket, Key=key, Body=SOUND)
    return id


def one_settled_one_under_way(phone: Phone, clock: Clock) -> str:
    clock.advance(minutes=16)
    return sent_in_parts(phone, clock)


def closed(phone: Phone, clock: Clock) -> str:
    id = one_settled_one_under_way(phone, clock)
    close(phone, id)
    return id


def closed_and_buried(phone: Phone, clock: Clock) -> str:
    id = closed(phone, clock)
    upkeep(phone, id)
    return id


def later(
    prepare: Callable[[Phone, Clock], str], **duration: float
) -> Callable[[Phone, Clock], str]:
    """The same, so much later."""

    def prepared(phone: Phone, clock: Clock) -> str:
        id = prepare(phone, clock)
        clock.advance(**duration)
        return id

    return prepared


# How it is asked for.


def announce(phone: Phone, id: str) -> Answer:
    return phone.announce(SOUND, id=id)


def announce_in_parts(phone: Phone, id: str) -> Answer:
    return phone.announce(SOUND, id=id, upload_method="multipart")


def announce_two(phone: Phone, ids: str) -> Answer:
    announced = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": len(SOUND)}
    return phone.post(
        "/recordings/batch", {"recordings": [announced | {"id": i} for i in ids.split()]}
    )


def delete(phone: Phone, id: str) -> Answer:
    return phone.delete(f"/recordings/{id}")


def restore(phone: Phone, id: str) -> Answer:
    return phone.post(f"/recordings/{id}/restore")


def close(phone: Phone, _: str) -> Answer:
    return phone.delete("/me", body={"password": PASSWORD})


def export(phone: Phone, _: str) -> Answer:
    return phone.get("/me/export")


def notice(phone: Phone, id: str) -> Answer:
    object = {"key": f"{phone.user_id}/{id}", "etag": hashlib.md5(SOUND).hexdigest()}  # noqa: S324
    detail = {"bucket": {"name": the_settings().uploads_bucket}, "object": object}
    return answer_of(lambda: jobs.notice({"detail": detail}, None))


def upkeep(_: Phone, __: str) -> Answer:
    return answer_of(wiring.services().upkeep.run)


def answer_of(job: Callable[[], object]) -> Answer:
    """What a job would be answered if it were a request; Lambda repeats one that fails."""
    try:
        job()
    except RecorderError as error:
        return Answer(error.status, {}, "")
    return Answer(200, {}, "")


# What is then true.


def plays(phone: Phone, id: str) -> bool:
    return id in phone.listed() and phone.download(id).content == SOUND


def is_uploading(phone: Phone, id: str) -> bool:
    return phone.listed(status="uploading").count(id) == 1


def can_be_sent(phone: Phone, id: str) -> bool:
    if not is_uploading(phone, id):
        return False
    send(phone.resume(id).json["upload"], SOUND)
    return phone.complete(id).status == 200 and plays(phone, id)


def can_both_be_sent(phone: Phone, ids: str) -> bool:
    return all(can_be_sent(phone, id) for id in ids.split())


def is_gone(phone: Phone, id: str) -> bool:
    return phone.get(f"/recordings/{id}").status == 404


def is_in_the_trash(phone: Phone, id: str) -> bool:
    return phone.listed(status="trashed") == [id] and id not in phone.listed()


def is_closed(phone: Phone, _: str) -> bool:
    return phone.get("/me").status == phone.log_in().status == 401


def can_be_fetched(phone: Phone, id: str) -> bool:
    file = httpx.get(export(phone, id).json["url"], verify=NO_TLS).json()
    return id in [recording["id"] for recording in file["recordings"]]


USE_CASES = {
    "create": UseCase(nothing, announce, is_uploading, (201, 200)),
    "create a batch": UseCase(two_ids, announce_two, can_both_be_sent, (201,)),
    "create in parts": UseCase(nothing, announce_in_parts, can_be_sent, (201, 200)),
    "resume in parts": UseCase(announced_in_parts, Phone.resume, can_be_sent),
    "resume what S3 gave up": UseCase(given_up_by_s3, Phone.resume, can_be_sent),
    "complete": UseCase(sent, Phone.complete, plays),
    "complete in parts": UseCase(sent_in_parts, Phone.complete, plays),
    "direct upload": UseCase(
        nothing, lambda phone, id: phone.put_audio(id, SOUND), plays, (201, 200)
    ),
    "event": UseCase(sent, notice, plays),
    "event of what was rolled back": UseCase(rolled_back_and_sent_all_the_same, notice, is_gone),
    "roll back": UseCase(sent, delete, is_gone, (204,)),
    "roll back in parts": UseCase(sent_in_parts, delete, is_gone, (204,)),
    "trash": UseCase(ready, delete, is_in_the_trash, (204,)),
    "restore": UseCase(in_the_trash, restore, plays),
    "delete for good": UseCase(ready_long_ago, Phone.delete_for_good, is_gone, (204,)),
    "export": UseCase(ready, export, can_be_fetched),
    # Who sends it again is nobody any more.
    "close the account": UseCase(one_settled_one_under_way, close, is_closed, (204, 401)),
    "upkeep of an upload that arrived": UseCase(later(sent, days=8), upkeep, plays),
    "upkeep of parts that arrived": UseCase(later(sent_in_parts, days=8), upkeep, plays),
    "upkeep of an upload that did not": UseCase(later(announced_in_parts, days=8), upkeep, is_gone),
    "upkeep of the trash": UseCase(later(in_the_trash, days=31), upkeep, is_gone),
    "upkeep of what is owed": UseCase(
        later(copied_after_the_deletion, minutes=16), upkeep, is_gone
    ),
    "upkeep of a closed account": UseCase(closed, upkeep, is_closed),
    "upkeep of a closed account, later": UseCase(
        later(closed_and_buried, minutes=16), upkeep, is_closed
    ),
}

LOST = EndpointConnectionError(endpoint_url="http://gone")
DENIED = ClientError(
    {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}},  # type: ignore[typeddict-item]
    "AnyCall",
)

# What happens to a call, and whether AWS does what was asked before it happens. Dying before a call
# leaves what dying after the one before it leaves.
FAILURES: dict[str, tuple[BaseException, bool]] = {
    "AWS refuses": (DENIED, False),
    "the answer is lost": (LOST, True),
    "the process dies": (Died(), True),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("use_case", USE_CASES)
def test_whichever_call_fails_the_invariants_hold_and_a_retry_succeeds(
    faults: Faults,
    clock: Clock,
    invariants: Invariants,
    run_down: Callable[[], None],
    use_case: str,
    failure: str,
) -> None:
    case = USE_CASES[use_case]
    error, done = FAILURES[failure]
    users: list[tuple[str, str]] = []
    calls = calls_of(case, faults, clock)
    run_down()
    for number, call in enumerate(calls):
        phone, staying = somebody_with_a_recording()
        id = case.prepare(phone, clock)
        faults.fail_at(number, error, done=done)
        status = status_of(case, phone, id)
        assert faults.met == 1, call
        faults.clear()
        assert status in {None, 500, 503, *case.answers}, call
        assert invariants.broken(phone.user_id) == [], call

        if case.request is upkeep:
            run_down()
        else:
            assert case.request(phone, id).status in case.answers, call
        assert case.is_done(phone, id), call
        assert invariants.broken(phone.user_id) == [], call
        users.append((phone.user_id, staying))

    run_down()
    for user, call in zip(users, calls, strict=True):
        assert invariants.broken_at_rest(user[0]) == [], call
        assert case.is_done is is_closed or still_there(*user), call


def somebody_with_a_recording() -> tuple[Phone, str]:
    phone = Phone().sign_up()
    return phone, phone.upload_directly(STAYING)


def calls_of(case: UseCase, faults: Faults, clock: Clock) -> list[str]:
    """The calls that the use case makes when all goes well."""
    phone, _ = somebody_with_a_recording()
    id = case.prepare(phone, clock)
    calls = faults.record()
    assert case.request(phone, id).status in case.answers
    faults.clear()
    return [call.name for call in calls]


def status_of(case: UseCase, phone: Phone, id: str) -> int | None:
    """The status that a request was answered with; None if the process died on it."""
    try:
        return case.request(phone, id).status
    except Died:
        return None


def still_there(user_id: str, recording_id: str) -> bool:
    """Whether the recording that nothing was about is as it was."""
    bucket, key = the_settings().recordings_bucket, f"{user_id}/{recording_id}"
    return s3().get_object(Bucket=bucket, Key=key)["Body"].read() == STAYING


@pytest.fixture(autouse=True)
def _hundreds_of_failures(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    clients: Clients,
    onlookers: Clients,
) -> Iterator[None]:
    """Makes them cheap: no server, no log, and uploads in parts that have few bytes.

    The last part of an upload, which may be the only one, has as few as it likes.
    """
    monkeypatch.setattr(requests, "SMALLEST_PART", 1)
    caplog.set_level(logging.CRITICAL)
    with shortcut.to_moto(clients, onlookers):
        yield


@pytest.fixture
def stored(settings: Settings) -> Callable[..., list[Item]]:
    """What conftest's does, at once."""
    return partial(shortcut.items, settings.table)


@pytest.fixture
def invariants(settings: Settings, stored: Callable[..., list[Item]]) -> Invariants:
    """What conftest's does, at once."""
    buckets = {"uploads": settings.uploads_bucket, "recordings": settings.recordings_bucket}
    return Invariants(
        stored,
        lambda store, user_id: shortcut.objects(buckets[store], f"{user_id}/"),
        lambda user_id: shortcut.sent_in_parts(settings.uploads_bucket, f"{user_id}/"),
    )


# That what says so would also say if it were not so.


def test_a_ready_recording_without_its_bytes_breaks_i1(
    phone: Phone, invariants: Invariants, objects: dict[str, Any], clients: Clients
) -> None:
    clients.s3.delete_object(**objects)

    assert [broken[:2] for broken in invariants.broken(phone.user_id)] == ["I1"]


def test_a_ready_recording_with_other_bytes_breaks_i1(
    phone: Phone, invariants: Invariants, objects: dict[str, Any], clients: Clients
) -> None:
    clients.s3.put_object(**objects, Body=b"else sound")

    assert [broken[:2] for broken in invariants.broken(phone.user_id)] == ["I1"]


def test_an_object_of_no_recording_breaks_i2(
    phone: Phone, invariants: Invariants, objects: dict[str, Any], clients: Clients
) -> None:
    clients.s3.put_object(**objects | {"Key": f"{phone.user_id}/{uuid7()}"}, Body=b"x")

    assert [broken[:2] for broken in invariants.broken(phone.user_id)] == ["I2"]


def test_an_object_of_a_settled_tombstone_breaks_i2(
    phone: Phone,
    invariants: Invariants,
    objects: dict[str, Any],
    clients: Clients,
    clock: Clock,
) -> None:
    clock.advance(minutes=16)
    phone.delete_for_good(phone.listed()[0])
    clients.s3.put_object(**objects, Body=SOUND)

    assert [broken[:2] for broken in invariants.broken(phone.user_id)] == ["I2"]


def test_a_usage_that_is_not_the_sum_breaks_i3(
    phone: Phone, invariants: Invariants, settings: Settings, clients: Clients
) -> None:
    clients.dynamodb.update_item(
        TableName=settings.table,
        Key=to_attributes(account_key(phone.user_id)),
        UpdateExpression="ADD bytes_used :one",
        ExpressionAttributeValues=to_attributes({":one": 1}),
    )

    assert [broken[:2] for broken in invariants.broken(phone.user_id)] == ["I3"]


@pytest.fixture
def objects(phone: Phone, settings: Settings) -> dict[str, Any]:
    """Where the bytes of a recording are."""
    return {"Bucket": settings.recordings_bucket, "Key": f"{phone.user_id}/{phone.upload(SOUND)}"}
