"""Bounds: how many recordings a user has, and announces in an hour; the sizes of parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chalicelib.core.ids import uuid7
from tests.conftest import Clock
from tests.support.faults import Faults
from tests.support.phone import Answer, Phone

SOUND = b"some sound"
MIB = 1024**2
LARGEST = 5_000_000_000
Configure = Callable[..., None]


def batch(phone: Phone, count: int) -> Answer:
    announced = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": 10}
    return phone.post("/recordings/batch", {"recordings": [announced] * count})


def directly(phone: Phone) -> Answer:
    return phone.put_audio(uuid7(), SOUND)


def announced(phone: Phone) -> Answer:
    return phone.announce(SOUND)


ONE_MORE = [announced, directly, lambda phone: batch(phone, 1)]


@pytest.mark.parametrize("one_more", ONE_MORE)
def test_a_user_has_no_more_recordings_than_the_quota(
    phone: Phone, configure: Configure, one_more: Callable[[Phone], Answer]
) -> None:
    configure(quota_recordings=2)
    for _ in range(2):
        last = phone.upload_directly(SOUND)
    answer = one_more(phone)

    assert (answer.status, answer.code) == (403, "quota_exceeded")
    assert phone.get("/me").json["usage"] | {"bytes": 0, "quota_bytes": 0} == {
        "bytes": 0,
        "recordings": 2,
        "quota_bytes": 0,
        "quota_recordings": 2,
    }
    phone.delete_for_good(last)
    assert one_more(phone).status == 201


def test_a_batch_fits_whole_or_not_at_all(phone: Phone, configure: Configure) -> None:
    configure(quota_recordings=2, announced_per_hour=3)
    assert batch(phone, 3).code == "quota_exceeded"
    configure(quota_recordings=9, announced_per_hour=2)
    assert batch(phone, 3).code == "too_many_attempts"

    assert phone.usage() == (0, 0)
    assert batch(phone, 2).status == 201


@pytest.mark.parametrize("one_more", ONE_MORE)
def test_beyond_what_may_be_announced_in_an_hour_it_is_said_when_to_come_again(
    phone: Phone, configure: Configure, clock: Clock, one_more: Callable[[Phone], Answer]
) -> None:
    configure(announced_per_hour=2)
    assert one_more(phone).status == 201
    clock.advance(minutes=20)
    assert one_more(phone).status == 201
    answer = one_more(phone)

    assert (answer.status, answer.code) == (429, "too_many_attempts")
    wait = int(answer.headers["retry-after"])
    assert 39 * 60 < wait <= 40 * 60
    clock.advance(seconds=wait)
    assert [one_more(phone).status for _ in range(3)] == [201, 201, 429]


def test_what_is_repeated_is_not_announced_again(phone: Phone, configure: Configure) -> None:
    configure(announced_per_hour=1)
    id = uuid7()

    assert [phone.announce(SOUND, id=id).status for _ in range(3)] == [201, 200, 200]


def test_zero_is_no_limit_of_an_hour(phone: Phone, configure: Configure) -> None:
    configure(announced_per_hour=0)

    assert batch(phone, 25).status == 201


def test_an_announcement_that_meets_the_first_of_an_hour_is_counted_with_it(
    phone: Phone, configure: Configure, faults: Faults
) -> None:
    configure(announced_per_hour=2)
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: announced(phone))

    assert announced(phone).status == 201
    assert announced(phone).code == "too_many_attempts"


def test_the_bounds_take_no_call_of_their_own(phone: Phone, faults: Faults) -> None:
    announced(phone)

    assert faults.calls_of(lambda: announced(phone)) == [
        "dynamodb.BatchGetItem",
        "dynamodb.TransactWriteItems",
    ]


# What goes in parts, and in which.


@pytest.mark.parametrize(
    ("size", "named", "method"),
    [
        (100 * MIB, None, "put"),
        (100 * MIB + 1, None, "multipart"),
        (100 * MIB + 1, "put", "put"),
        (5 * MIB, "multipart", "multipart"),
    ],
)
def test_above_100_mib_or_by_name_an_upload_goes_in_parts(
    phone: Phone, size: int, named: str | None, method: str
) -> None:
    fields = {"upload_method": named} if named else {}

    assert phone.announce(b"", size=size, **fields).json["upload"]["method"] == method


@pytest.fixture
def roomy(phone: Phone, configure: Callable[..., None]) -> Phone:
    """A phone that may announce as large recordings as there are, as many as it likes."""
    configure(max_recording_bytes=LARGEST, quota_bytes=10**15)
    return phone


@hypothesis_settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(5 * MIB, LARGEST))
@example(5 * MIB)
@example(8 * MIB)
@example(8 * MIB + 1)
@example(800 * MIB)
@example(800 * MIB + 1)
@example(2 * 1024 * MIB)
@example(LARGEST)
def test_the_parts_of_every_size_are_within_the_limits_of_s3(roomy: Phone, size: int) -> None:
    upload = roomy.announce(b"", size=size, upload_method="multipart").json["upload"]
    sizes = [part["size"] for part in upload["parts"]]

    assert [part["number"] for part in upload["parts"]] == list(range(1, len(sizes) + 1))
    assert sum(sizes) == size
    assert len(sizes) <= 100
    assert all(each == upload["part_size"] >= 5 * MIB for each in sizes[:-1])
    assert 0 < sizes[-1] <= upload["part_size"] <= 5 * 1024**3
