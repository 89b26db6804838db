"""Promotion, step by step: whatever happens between two of its calls, once ready stays ready.

The simplest of these, by PUT and `complete` alone, are in test_uploads.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import httpx
import pytest

from chalicelib import jobs, wiring
from chalicelib.errors import Unavailable
from chalicelib.wiring import Services
from tests.conftest import LAMBDA, Clock
from tests.core.recordings.conftest import PutIn
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.phone import NO_TLS, Phone, send

SOUND, OTHER = b"some sound", b"else sound"
# One part each.
LONG, OTHER_LONG = b"in parts", b"by parts"

pytestmark = pytest.mark.usefixtures("small_parts")

Door = Callable[[Phone, str], object]


def complete(phone: Phone, id: str) -> None:
    phone.complete(id)


def notice(phone: Phone, id: str) -> None:
    """What S3's event does, once; the ETag matters only when the recording waits for nothing."""
    bucket = {"name": wiring.services().settings.uploads_bucket}
    found = {"key": f"{phone.user_id}/{id}", "etag": "0" * 32}
    with suppress(Unavailable):  # Then Lambda calls again.
        jobs.notice({"detail": {"bucket": bucket, "object": found}}, LAMBDA)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def begin(phone: Phone, data: bytes, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Announce and send a recording, in parts if it is long; its id and how it was sent."""
    method = "multipart" if data in {LONG, OTHER_LONG} else "put"
    begun = phone.announce(data, upload_method=method, **fields).json
    send(begun["upload"], data)
    return begun["recording"]["id"], begun["upload"]


def write(upload: dict[str, Any], data: bytes) -> None:
    """Use an upload's URL once more; the part of an upload that S3 has put together is refused."""
    if upload["method"] == "put":
        send(upload, data)
    else:
        httpx.put(upload["parts"][0]["url"], content=data, verify=NO_TLS)


@pytest.mark.parametrize("door", [complete, notice])
def test_bytes_sent_again_before_any_call_never_change_what_is_ready(
    phone: Phone, faults: Faults, invariants: Invariants, door: Door
) -> None:
    for number, call in enumerate(faults.calls_of(partial(door, phone, begin(phone, SOUND)[0]))):
        id, upload = begin(phone, SOUND)
        faults.interrupt_at(number, partial(write, upload, OTHER))
        door(phone, id)
        assert faults.met == 1
        faults.clear()

        ready = phone.complete(id).json
        data = phone.download(id).content
        assert sha256(data) == ready["sha256"], call
        write(upload, OTHER)
        door(phone, id)
        assert phone.complete(id).json == ready, call
        assert phone.download(id).content == data, call
    assert invariants.broken(phone.user_id) == []


@pytest.mark.parametrize(
    ("doors", "sounds"),
    [
        pytest.param((complete, complete), (SOUND, OTHER), id="complete, complete"),
        pytest.param((complete, notice), (SOUND, OTHER), id="complete, event"),
        pytest.param((notice, complete), (SOUND, OTHER), id="event, complete"),
        pytest.param((notice, notice), (SOUND, OTHER), id="event, event"),
        pytest.param((complete, complete), (LONG, OTHER_LONG), id="complete, complete, of parts"),
    ],
)
def test_of_two_completions_with_other_bytes_written_between_them_one_wins(
    phone: Phone, faults: Faults, held: Held, doors: tuple[Door, Door], sounds: tuple[bytes, bytes]
) -> None:
    (first, second), (data, other) = doors, sounds
    for number, call in enumerate(faults.calls_of(partial(first, phone, begin(phone, data)[0]))):
        id, upload = begin(phone, data)

        def meanwhile(id: str = id, upload: dict[str, Any] = upload) -> None:
            write(upload, other)
            second(phone, id)

        faults.interrupt_at(number, meanwhile)
        first(phone, id)
        assert faults.met == 1
        faults.clear()

        winner = phone.complete(id).json["sha256"]
        assert winner in {sha256(data), sha256(other)}, call
        [kept] = held("recordings", phone.user_id)[id]
        assert kept is not None
        assert sha256(kept) == winner, call
        write(upload, other)
        second(phone, id)
        assert held("recordings", phone.user_id)[id] == [kept], call
        phone.delete_for_good(id)


@pytest.mark.parametrize(("data", "other"), [(SOUND, OTHER), (LONG, OTHER_LONG)])
def test_other_bytes_sent_before_any_call_are_never_kept_against_the_announced_sha256(
    phone: Phone,
    faults: Faults,
    invariants: Invariants,
    put_in: PutIn,
    data: bytes,
    other: bytes,
) -> None:
    announced = {"sha256": sha256(data)}
    id, _ = begin(phone, data, **announced)
    for number, call in enumerate(faults.calls_of(partial(complete, phone, id))):
        id, upload = begin(phone, data, **announced)
        # S3 takes them by no URL that was signed for the announced ones, but for those of parts.
        in_parts = upload["method"] == "multipart"
        meanwhile = partial(write, upload) if in_parts else partial(put_in, phone, id)
        faults.interrupt_at(number, partial(meanwhile, other))
        complete(phone, id)
        faults.clear()

        if resumed := phone.resume(id).json["upload"]:
            write(resumed, data)
        assert phone.complete(id).json["sha256"] == sha256(data), call
        assert phone.download(id).content == data, call
        phone.delete_for_good(id)
    assert invariants.broken(phone.user_id) == []


def test_the_url_of_a_part_is_worth_nothing_once_its_recording_is_ready(
    phone: Phone, held: Held, under_way: Callable[[Phone], list[str]]
) -> None:
    id, upload = begin(phone, LONG)
    ready = phone.complete(id).json
    write(upload, OTHER_LONG)

    assert (held("uploads", phone.user_id), under_way(phone)) == ({}, [])
    assert phone.complete(id).json == ready
    assert phone.download(id).content == LONG


# What a completion that is slow may meet: its upload has expired, and its id has begun again.


Again = Callable[[Phone, str], object]


def send_something_else(phone: Phone, id: str) -> None:
    phone.deliver(b"another sound", id=id)


def upload_something_else(phone: Phone, id: str) -> None:
    phone.upload(b"another sound", id=id)


@pytest.fixture
def expire_and(clock: Clock, services: Services) -> Callable[[Again, Phone, str], None]:
    """Lets an upload's time pass, and begins again under its id."""

    def go(begin_again: Again, phone: Phone, id: str) -> None:
        clock.advance(days=8)
        services.upkeep.run()
        begin_again(phone, id)

    return go


@pytest.mark.parametrize("door", [complete, notice])
@pytest.mark.parametrize("arrived", [b"", b"more than was announced"], ids=["nothing", "others"])
@pytest.mark.parametrize("begin_again", [send_something_else, upload_something_else])
def test_a_completion_deletes_nothing_of_what_began_again_meanwhile(
    expire_and: Callable[[Again, Phone, str], None],
    faults: Faults,
    put_in: PutIn,
    door: Door,
    arrived: bytes,
    begin_again: Again,
) -> None:
    def about_to_expire() -> tuple[Phone, str]:
        phone = Phone().sign_up()
        id = str(phone.announce(SOUND).json["recording"]["id"])
        if arrived:
            put_in(phone, id, arrived)
        return phone, id

    for number, call in enumerate(faults.calls_of(partial(door, *about_to_expire()))):
        phone, id = about_to_expire()
        faults.interrupt_at(number, partial(expire_and, begin_again, phone, id))
        door(phone, id)
        assert faults.met == 1
        faults.clear()

        assert phone.complete(id).status == 200, call
        assert phone.download(id).content == b"another sound", call


def at_the_beginning(faults: Faults) -> None:
    """An S3 that looks at the conditions of a copy before it copies: here as moto is mended."""
    faults.time_out("s3", "CopyObject")


def never(faults: Faults) -> None:
    """An S3 that answers no copy, and makes each."""
    faults.lose_the_answer("s3", "CopyObject")


@pytest.mark.parametrize("answers", [at_the_beginning, never])
def test_a_copy_that_nobody_waited_for_is_found(
    phone: Phone, faults: Faults, answers: Callable[[Faults], None]
) -> None:
    id = phone.deliver(SOUND)
    answers(faults)

    assert phone.complete(id).status == 503
    assert phone.complete(id).status == 200
    assert phone.download(id).content == SOUND


def test_a_finished_copy_is_found_before_another_is_begun(phone: Phone, faults: Faults) -> None:
    id = phone.deliver(SOUND)
    never(faults)
    phone.complete(id)
    faults.clear()

    assert "s3.CopyObject" not in faults.calls_of(partial(phone.complete, id))
