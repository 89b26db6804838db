"""What design.md promises of every failure, tried on every call to AWS, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.aws.clients import Clients
from chalicelib.aws.items import account_key, to_attributes
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from tests.conftest import Clock
from tests.faults import Died, Faults
from tests.invariants import Invariants
from tests.phone import Answer, Phone

SOUND = b"some sound"


@dataclass(frozen=True)
class UseCase:
    """Something a phone asks for: what comes before it, the request, and what is then true."""

    prepare: Callable[[Phone, Clock], str]
    request: Callable[[Phone, str], Answer]
    is_done: Callable[[Phone, str], bool]
    answers: tuple[int, ...]


def is_uploading(phone: Phone, id: str) -> bool:
    return phone.listed(status="uploading").count(id) == 1


def plays(phone: Phone, id: str) -> bool:
    return id in phone.listed() and phone.download(id).content == SOUND


def is_gone(phone: Phone, id: str) -> bool:
    shelves = phone.listed() + phone.listed(status="uploading")
    return id not in shelves and phone.get(f"/recordings/{id}").status == 404


def a_recording_of_long_ago(phone: Phone, clock: Clock) -> str:
    id = phone.upload_directly(SOUND)
    clock.advance(minutes=16)
    return id


def request_deletion(phone: Phone, id: str) -> Answer:
    return phone.delete(f"/recordings/{id}")


USE_CASES = {
    "create": UseCase(
        lambda *_: uuid7(), lambda phone, id: phone.announce(SOUND, id=id), is_uploading, (201, 200)
    ),
    "complete": UseCase(
        lambda phone, _: phone.deliver(SOUND), lambda phone, id: phone.complete(id), plays, (200,)
    ),
    "direct upload": UseCase(
        lambda *_: uuid7(), lambda phone, id: phone.put_audio(id, SOUND), plays, (201, 200)
    ),
    "delete": UseCase(a_recording_of_long_ago, request_deletion, is_gone, (204,)),
    "roll back": UseCase(lambda phone, _: phone.deliver(SOUND), request_deletion, is_gone, (204,)),
}

UNREACHABLE = EndpointConnectionError(endpoint_url="http://gone")
DENIED = ClientError(
    {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}},  # type: ignore[typeddict-item]
    "AnyCall",
)

# What happens to a call, and whether AWS does what was asked before it happens. Dying before a call
# leaves what dying after the one before it leaves.
FAILURES: dict[str, tuple[BaseException, bool]] = {
    "AWS is not reached": (UNREACHABLE, False),
    "AWS refuses": (DENIED, False),
    "the answer is lost": (UNREACHABLE, True),
    "the process dies": (Died(), True),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("use_case", USE_CASES)
def test_whichever_call_fails_the_invariants_hold_and_a_retry_succeeds(
    faults: Faults, invariants: Invariants, clock: Clock, use_case: str, failure: str
) -> None:
    case = USE_CASES[use_case]
    error, done = FAILURES[failure]
    for number, call in enumerate(calls_of(case, faults, clock)):
        phone = Phone().sign_up()
        id = case.prepare(phone, clock)
        faults.fail_at(number, error, done=done)
        status = status_of(case, phone, id)
        assert faults.met == 1, call
        faults.clear()
        assert status in {None, 500, 503, *case.answers}, call
        assert invariants.broken(phone.user_id) == [], call

        assert case.request(phone, id).status in case.answers, call
        assert case.is_done(phone, id), call
        assert invariants.broken(phone.user_id) == [], call


def calls_of(case: UseCase, faults: Faults, clock: Clock) -> list[str]:
    """The calls that the use case makes when all goes well."""
    phone = Phone().sign_up()
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
    phone.delete(f"/recordings/{phone.listed()[0]}")
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
