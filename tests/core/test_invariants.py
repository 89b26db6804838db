"""What design.md promises of every failure, tried on every call to AWS, one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import account_key, to_attributes
from chalicelib.aws.s3 import pieces
from chalicelib.core.ids import uuid7
from chalicelib.core.recordings import slices
from chalicelib.settings import Settings
from tests.conftest import Clock
from tests.core.conftest import Store
from tests.support import engines
from tests.support.faults import LOST, REFUSED, Faults
from tests.support.invariants import Invariants
from tests.support.phone import Phone
from tests.support.use_cases import SOUND, STAYING, USE_CASES, UseCase, is_closed, upkeep


class Prepared(NamedTuple):
    """A use case and what comes before it; `staying` is a recording that it is not about."""

    case: UseCase
    id: str
    staying: str


# They make the calls of others that are here, one after the other.
LONG = {
    *("event of the last piece", "upkeep of a closed account"),
    *("upkeep of what fell silent", "upkeep of what fell silent after long"),
}
NAMES = [pytest.param(name, marks=[pytest.mark.deep] * (name in LONG)) for name in USE_CASES]


@pytest.fixture(params=NAMES)
def prepared(request: pytest.FixtureRequest, phone: Phone, clock: Clock) -> Prepared:
    staying = phone.upload_directly(STAYING)
    case = USE_CASES[request.param]
    return Prepared(case, case.prepare(phone, clock), staying)


def test_whichever_call_fails_the_invariants_hold_and_a_retry_succeeds(
    phone: Phone,
    prepared: Prepared,
    faults: Faults,
    invariants: Invariants,
    run_down: Callable[[], None],
    store: Store,
) -> None:
    (case, id, staying), restore = prepared, store.snapshot()
    # What a failure leads to depends on what it left alone: each of those is gone on from once.
    followed: set[str] = set()

    def go_on(what: str) -> None:
        assert invariants.broken(phone.user_id) == [], what
        if (left := store.contents()) in followed:
            return
        followed.add(left)
        if case.request is upkeep:
            run_down()
        else:
            assert case.request(phone, id).status in case.answers, what
        assert case.is_done(phone, id), what
        assert invariants.broken(phone.user_id) == [], what
        run_down()
        assert invariants.broken_at_rest(phone.user_id) == [], what
        assert case.is_done is is_closed or phone.download(staying).content == STAYING, what

    # A process that dies leaves what there is after its last call.
    deaths: list[Callable[[], None]] = []
    faults.after_each(lambda: deaths.append(store.snapshot()))
    calls = faults.calls_of(lambda: case.request(phone, id))
    for call, death in zip(calls, deaths, strict=True):
        death()
        go_on(f"the process dies after {call}")
    for number, call in enumerate(calls):
        for failure in (REFUSED, LOST):
            restore()
            faults.fail_at(number, **failure)
            status = case.request(phone, id).status
            assert (faults.met, status in {500, 503, *case.answers}) == (1, True), call
            faults.clear()
            go_on(f"{call}: {failure['error']}")


@pytest.fixture(autouse=True)
def _hundreds_of_failures(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Makes them cheap: no log, and uploads in parts that have few bytes.

    The last part of an upload, which may be the only one, has as few as it likes. Pieces are put
    together in parts of five bytes, and read one after the other, so that calls have an order.
    """
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(slices, "LEAST_PART", 5)
    engines.take_small_parts(monkeypatch)
    monkeypatch.setattr(pieces, "AT_ONCE", 1)


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
