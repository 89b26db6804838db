"""What design.md promises of every failure, tried on every call to AWS, one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib import wiring
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import account_key, to_attributes
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from tests.conftest import Clock
from tests.support import shortcut
from tests.support.faults import Died, Faults
from tests.support.invariants import Invariants
from tests.support.phone import Phone
from tests.support.use_cases import SOUND, STAYING, USE_CASES, UseCase, is_closed, upkeep

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
    bucket = wiring.services().settings.recordings_bucket
    return shortcut.objects(bucket, f"{user_id}/").get(recording_id) == [STAYING]


@pytest.fixture(autouse=True)
def _hundreds_of_failures(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Makes them cheap: no log, and uploads in parts that have few bytes.

    The last part of an upload, which may be the only one, has as few as it likes.
    """
    caplog.set_level(logging.CRITICAL)


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


@pytest.mark.usefixtures("objects")
def test_what_is_owed_once_everything_was_due_breaks_i4(
    phone: Phone, invariants: Invariants
) -> None:
    phone.delete_for_good(phone.listed()[0])

    assert invariants.broken(phone.user_id) == []
    assert "I4" in {broken[:2] for broken in invariants.broken_at_rest(phone.user_id)}


@pytest.mark.parametrize("in_parts", [False, True])
def test_what_waits_in_the_uploads_bucket_for_nobody_breaks_i4(
    phone: Phone, invariants: Invariants, settings: Settings, clients: Clients, in_parts: bool
) -> None:
    where: dict[str, Any] = {"Bucket": settings.uploads_bucket, "Key": f"{phone.user_id}/{uuid7()}"}
    if in_parts:
        clients.s3.create_multipart_upload(**where)
    else:
        clients.s3.put_object(**where, Body=SOUND)

    assert [broken[:2] for broken in invariants.broken_at_rest(phone.user_id)] == ["I4"]


@pytest.fixture
def objects(phone: Phone, settings: Settings) -> dict[str, Any]:
    """Where the bytes of a recording are."""
    return {"Bucket": settings.recordings_bucket, "Key": f"{phone.user_id}/{phone.upload(SOUND)}"}
