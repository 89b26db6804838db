"""What a closed account had: upkeep removes all of it, however it is interrupted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib import wiring
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import account_key, recording_item
from chalicelib.core.accounts import closing
from chalicelib.core.ids import uuid7
from chalicelib.errors import Unavailable
from chalicelib.settings import Settings
from tests.conftest import DEEP, Clock, Left
from tests.support import shortcut
from tests.support.audits import Tool
from tests.support.faults import Faults
from tests.support.phone import PASSWORD, Answer, Phone, send_part

SOUND = b"some sound"

Act = Callable[[Phone], object]

# moto takes a minute or two for three thousand: that is for `make deep`.
MANY = 3_000 if DEEP else 600


def close(phone: Phone) -> None:
    assert phone.delete("/me", body={"password": PASSWORD}).status == 204


def export(phone: Phone) -> None:
    assert phone.export().status == 200


def send_one_part(phone: Phone) -> None:
    sent = SOUND * 10
    upload = phone.announce(sent, upload_method="multipart").json["upload"]
    send_part(upload, 1, sent)


KINDS: dict[str, Act] = {
    "a recording": lambda phone: phone.upload(SOUND),
    "a small one": lambda phone: phone.upload_directly(SOUND),
    "one in the trash": lambda phone: phone.trash(phone.upload(SOUND)),
    "one deleted for good": lambda phone: phone.delete_for_good(phone.upload(SOUND)),
    "an upload announced": lambda phone: phone.announce(SOUND),
    "an upload sent": lambda phone: phone.deliver(SOUND),
    "an upload in parts announced": lambda phone: phone.announce(SOUND, upload_method="multipart"),
    "an upload in parts sent": send_one_part,
    "an export": export,
    "another session": lambda phone: phone.on_another_device(),
}


@pytest.mark.parametrize("minutes", [0, 60], ids=["just now", "long ago"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_a_closed_account(
    phone: Phone, kind: str, minutes: int, clock: Clock, clear_away: Callable[[], None], left: Left
) -> None:
    bare = len(left(phone))
    KINDS[kind](phone)
    assert len(left(phone)) > bare
    clock.advance(minutes=minutes)
    if minutes:
        phone = phone.on_another_device()
    close(phone)
    clear_away()

    assert left(phone) == []


def test_nobody_elses_is_touched(
    phone: Phone, other: Phone, clear_away: Callable[[], None], left: Left
) -> None:
    for prepare in KINDS.values():
        prepare(phone)
        prepare(other)
    id = other.upload(SOUND)
    before = left(other)
    close(phone)
    clear_away()

    assert left(phone) == []
    # Some of the tombstone's debt was paid, as of everybody's.
    assert len(left(other)) == len(before)
    assert other.log_in().status == 200
    other.tokens = other.log_in().json
    assert other.download(id).content == SOUND


def test_every_version_of_an_object_goes(
    phone: Phone, tool: Tool, clear_away: Callable[[], None], left: Left
) -> None:
    key = f"{phone.user_id}/{phone.upload(SOUND)}"
    tool.put(key, b"overwritten")
    tool.hide(key)
    tool.put(f"{phone.user_id}/{uuid7()}", b"nobody knows of it")
    close(phone)
    clear_away()

    assert left(phone) == []


def test_an_upload_in_parts_that_no_recording_knows_of_goes(
    phone: Phone,
    onlookers: Clients,
    settings: Settings,
    clear_away: Callable[[], None],
    left: Left,
) -> None:
    key = f"{phone.user_id}/{uuid7()}"
    onlookers.s3.create_multipart_upload(Bucket=settings.uploads_bucket, Key=key)
    close(phone)
    clear_away()

    assert left(phone) == []


def test_an_export_goes_with_the_first_run(phone: Phone, left: Left) -> None:
    phone.delete_for_good(phone.upload(SOUND))
    before = left(phone)
    export(phone)
    (exported,) = [each for each in left(phone) if each not in before]
    close(phone)
    wiring.services().upkeep.run()

    assert exported not in left(phone)


# What was under way.


def batch(phone: Phone) -> Answer:
    announced = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": len(SOUND)}
    return phone.post("/recordings/batch", {"recordings": [announced]})


@pytest.mark.parametrize(
    "ask",
    [lambda phone: phone.announce(SOUND), batch, lambda phone: phone.put_audio(uuid7(), SOUND)],
    ids=["announce", "batch", "direct"],
)
def test_what_is_begun_while_the_account_closes_is_refused(
    phone: Phone, ask: Callable[[Phone], Answer], faults: Faults, left: Left
) -> None:
    before = len(left(phone))
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: close(phone))
    refused = ask(phone)

    assert (refused.status, refused.code) == (401, "not_authenticated")
    assert len(left(phone)) == before


def in_parts(phone: Phone) -> Answer:
    return phone.announce(SOUND, upload_method="multipart")


def complete(phone: Phone) -> Answer:
    return phone.complete(phone.deliver(SOUND))


UNDER_WAY: dict[str, tuple[Act, str, str]] = {
    "a complete that is to copy": (complete, "s3", "CopyObject"),
    "a complete that has copied": (complete, "dynamodb", "UpdateItem"),
    "a direct upload": (lambda phone: phone.put_audio(uuid7(), SOUND), "s3", "PutObject"),
    "an upload in parts": (in_parts, "s3", "CreateMultipartUpload"),
    "a log-in": (lambda phone: phone.log_in(), "dynamodb", "PutItem"),
    "an export": (lambda phone: phone.export(), "s3", "PutObject"),
}


@pytest.mark.parametrize("is_cleared", [False, True], ids=["closed", "and cleared"])
@pytest.mark.parametrize("what", UNDER_WAY)
def test_what_was_under_way_when_the_account_closed_leaves_nothing(
    phone: Phone,
    what: str,
    is_cleared: bool,
    faults: Faults,
    clear_away: Callable[[], None],
    left: Left,
) -> None:
    act, service, operation = UNDER_WAY[what]

    def go() -> None:
        close(phone)
        if is_cleared:
            wiring.services().upkeep.run()

    faults.meanwhile(service, operation, go)
    act(phone)
    assert faults.met == 1
    clear_away()

    assert left(phone) == []


def test_a_copy_that_is_made_when_its_recording_is_gone_does_not_stay(
    phone: Phone, tool: Tool, clear_away: Callable[[], None], left: Left
) -> None:
    id = phone.deliver(SOUND)
    close(phone)
    wiring.services().upkeep.run()
    tool.put(f"{phone.user_id}/{id}")
    clear_away()

    assert left(phone) == []


# Bit by bit.


def test_a_closed_account_is_cleared_by_runs_that_are_interrupted(
    phone: Phone,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    left: Left,
) -> None:
    monkeypatch.setattr(closing, "PAGE", 1)
    for _ in range(7):
        phone.upload_directly(SOUND)
    clock.advance(minutes=16)
    close(phone.on_another_device())
    counts = [len(left(phone))]
    while counts[-1]:
        # Two looks of upkeep's own, and three of the closing's, each before one recording.
        looks = iter([True] * 5)
        wiring.services().upkeep.run(lambda: next(looks, False))  # noqa: B023 - run before the next
        counts.append(len(left(phone)))
        clock.advance(minutes=16)

    # A recording is an item and an object.
    assert counts[0] - counts[1] == counts[1] - counts[2] == 3 * 2
    assert len(counts) == 4


FAILING = [
    "dynamodb.Query",
    "dynamodb.GetItem",
    "dynamodb.TransactWriteItems",
    "dynamodb.DeleteItem",
    "s3.ListObjectVersions",
    "s3.ListObjectsV2",
    "s3.ListMultipartUploads",
    "s3.AbortMultipartUpload",
    "s3.DeleteObjects",
]


@pytest.mark.parametrize("call", FAILING)
def test_a_closed_account_stays_until_all_of_it_could_be_removed(
    phone: Phone,
    call: str,
    faults: Faults,
    clear_away: Callable[[], None],
    run_down: Callable[[], None],
    left: Left,
) -> None:
    for prepare in KINDS.values():
        prepare(phone)
    close(phone)
    service, operation = call.split(".")
    faults.refuse(service, operation)
    with contextlib.suppress(Unavailable):
        clear_away()
    assert faults.met
    faults.clear()
    assert is_being_cleared(left(phone))
    run_down()

    assert left(phone) == []


def is_being_cleared(left: list[Any]) -> bool:
    return "PROFILE" in [each["sk"] for each in left if isinstance(each, dict)]


@pytest.mark.parametrize("bucket", ["uploads", "recordings"])
def test_a_closed_account_stays_while_s3_keeps_an_object_of_it(
    phone: Phone,
    bucket: str,
    faults: Faults,
    clear_away: Callable[[], None],
    run_down: Callable[[], None],
    left: Left,
) -> None:
    key = f"{phone.user_id}/{phone.upload(SOUND)}"
    export(phone)
    close(phone)
    refused: Any = {"Errors": [{"Key": key, "Code": "AccessDenied"}]}
    name = getattr(wiring.services().settings, f"{bucket}_bucket")
    faults.refuse("s3", "DeleteObjects", status=200, bucket=name, **refused)
    clear_away()
    assert is_being_cleared(left(phone))
    faults.clear()
    run_down()

    assert left(phone) == []


def test_a_closed_account_stays_while_s3_keeps_an_export_of_it(
    phone: Phone, clock: Clock, faults: Faults, run_down: Callable[[], None], left: Left
) -> None:
    export(phone)
    close(phone)
    clock.advance(minutes=16)
    kept: Any = {"Errors": [{"Key": f"exports/{phone.user_id}/", "Code": "AccessDenied"}]}
    faults.refuse("s3", "DeleteObjects", status=200, times=1, **kept)

    assert wiring.services().upkeep.run().closed == 0
    faults.clear()
    run_down()
    assert left(phone) == []


def test_thousands_of_recordings_are_removed(
    phone: Phone, clock: Clock, settings: Settings, tool: Tool, left: Left
) -> None:
    recordings = [shortcut.recording(phone.user_id) for _ in range(MANY)]
    shortcut.put(settings.table, map(recording_item, recordings))
    tool.alter(account_key(phone.user_id), bytes_used=10 * MANY, recordings_used=MANY)
    for recording in recordings[:: MANY // 6]:
        tool.put(recording.key)
    assert phone.usage() == (10 * MANY, MANY)
    close(phone)

    wiring.services().upkeep.run()
    # The last step waits for what was under way.
    assert len(left(phone)) == len(["the account", "its session"])
    clock.advance(minutes=16)
    wiring.services().upkeep.run()
    assert left(phone) == []
