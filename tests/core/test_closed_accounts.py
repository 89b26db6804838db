"""What a closed account had: upkeep removes all of it, as due now, and the account goes last."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from chalicelib import wiring
from chalicelib.aws.clients import Clients
from chalicelib.core import upkeep
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from tests.conftest import Clock, Left
from tests.core.test_upkeep import close, keep
from tests.support.audits import Tool
from tests.support.faults import Faults
from tests.support.invariants import Held
from tests.support.listening import SILENCE, listen_instantly
from tests.support.phone import Answer, Phone, send_part

SOUND = b"some sound"

Act = Callable[[Phone], object]


def fill(phone: Phone) -> None:
    """Leave something of each kind."""
    phone.upload(SOUND)
    phone.upload_directly(SOUND)
    phone.trash(phone.upload(SOUND))
    phone.delete_for_good(phone.upload(SOUND))
    phone.announce(SOUND)
    phone.deliver(SOUND)
    phone.announce(SOUND, upload_method="multipart")
    send_part(phone.announce(SOUND, upload_method="multipart").json["upload"], 1, SOUND)
    assert phone.export().status == 200
    phone.on_another_device()


@pytest.mark.parametrize("minutes", [0, 60], ids=["just now", "long ago"])
def test_all_of_a_closed_account_goes_and_nothing_of_anothers(
    phone: Phone,
    other: Phone,
    minutes: int,
    clock: Clock,
    clear_away: Callable[[], None],
    left: Left,
) -> None:
    for each in (phone, other):
        fill(each)
    id, there = other.upload(SOUND), len(left(other))
    clock.advance(minutes=minutes)
    close(phone.on_another_device())
    clear_away()

    assert left(phone) == []
    # Its export has its own end, and some tombstones may be paid by then.
    assert there - 2 <= len(left(other)) <= there
    assert other.on_another_device().download(id).content == SOUND


def test_what_no_recording_knows_of_goes_too(
    phone: Phone,
    tool: Tool,
    clients: Clients,
    settings: Settings,
    clear_away: Callable[[], None],
    left: Left,
) -> None:
    key, unknown = f"{phone.user_id}/{phone.upload(SOUND)}", f"{phone.user_id}/{uuid7()}"
    tool.put(key, b"overwritten")
    tool.hide(key)
    tool.put(unknown, b"nobody knows of it")
    clients.s3.put_object(Bucket=settings.uploads_bucket, Key=unknown, Body=SOUND)
    clients.s3.create_multipart_upload(Bucket=settings.uploads_bucket, Key=unknown)
    close(phone)
    clear_away()

    assert left(phone) == []


def test_it_is_counted_what_went_and_the_account_once(phone: Phone, clock: Clock) -> None:
    phone.upload(SOUND)
    phone.trash(phone.upload(SOUND))
    phone.delete_for_good(phone.upload(SOUND))
    clock.advance(minutes=14)
    close(phone.on_another_device())
    first = wiring.services().upkeep.run()
    clock.advance(minutes=16)
    last = wiring.services().upkeep.run()

    assert (first.purged, first.closed, last.purged, last.closed) == (2, 0, 0, 1)
    assert first.settled + last.settled == 3
    assert wiring.services().upkeep.run() == upkeep.Tally()


# What was under way.


@pytest.mark.parametrize(
    "ask",
    [lambda phone: phone.announce(SOUND), lambda phone: phone.put_audio(uuid7(), SOUND)],
    ids=["announce", "direct"],
)
def test_what_is_begun_while_the_account_closes_is_refused(
    phone: Phone, ask: Callable[[Phone], Answer], faults: Faults, left: Left
) -> None:
    before = len(left(phone))
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: close(phone))
    refused = ask(phone)

    assert (refused.status, refused.code) == (401, "not_authenticated")
    assert len(left(phone)) == before


def complete(phone: Phone) -> object:
    return phone.complete(phone.deliver(SOUND))


UNDER_WAY: dict[str, tuple[Act, str, str]] = {
    "a complete that is to copy": (complete, "s3", "CopyObject"),
    "a complete that has copied": (complete, "dynamodb", "UpdateItem"),
    "a direct upload": (lambda phone: phone.put_audio(uuid7(), SOUND), "s3", "PutObject"),
    "an upload in parts": (
        lambda phone: phone.announce(SOUND, upload_method="multipart"),
        "s3",
        "CreateMultipartUpload",
    ),
    "a log-in": (Phone.log_in, "dynamodb", "PutItem"),
    "an export": (Phone.export, "s3", "PutObject"),
}


@pytest.mark.parametrize("runs", [0, 1], ids=["closed", "and cleared"])
@pytest.mark.parametrize("what", UNDER_WAY)
def test_what_was_under_way_when_the_account_closed_leaves_nothing(
    phone: Phone, what: str, runs: int, faults: Faults, clear_away: Callable[[], None], left: Left
) -> None:
    act, service, operation = UNDER_WAY[what]

    def go() -> None:
        close(phone)
        for _ in range(runs):
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


# Bit by bit, and what cannot be removed.


def test_a_closed_account_goes_in_runs_that_have_little_time(
    phone: Phone, clock: Clock, monkeypatch: pytest.MonkeyPatch, left: Left
) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 3)
    for _ in range(7):
        listen_instantly(phone, phone.upload_directly(SOUND), SILENCE)
    clock.advance(minutes=16)
    close(phone.on_another_device())

    def runs() -> Iterator[int]:
        while left(phone):
            looks = iter([True])
            wiring.services().upkeep.run(lambda: next(looks, False))  # noqa: B023 - run before the next
            clock.advance(minutes=16)
            yield len(left(phone))

    # A recording is an item and an object; the account and its sessions go last.
    rest = len(["account", "session", "session"])
    assert list(runs()) == [4 * 2 + rest, 1 * 2 + rest, rest, 0]


@pytest.mark.parametrize("operation", ["TransactWriteItems", "DeleteItem"])
def test_what_cannot_be_written_stops_nothing_else_from_leaving_a_closed_account(
    phone: Phone, clock: Clock, faults: Faults, held: Held, left: Left, operation: str
) -> None:
    for _ in range(3):
        phone.upload_directly(SOUND)
    # Their debts may be paid at once.
    clock.advance(minutes=16)
    close(phone.on_another_device())
    faults.refuse("dynamodb", operation, times=1)
    wiring.services().upkeep.run()

    assert (faults.met, len(held("recordings", phone.user_id))) == (1, operation[0] == "T")
    clock.advance(hours=1)
    wiring.services().upkeep.run()
    clock.advance(hours=1)
    wiring.services().upkeep.run()
    assert left(phone) == []


@pytest.mark.parametrize("store", ["uploads", "recordings", "exports"])
def test_a_closed_account_stays_while_s3_keeps_something_of_it(
    phone: Phone,
    store: str,
    faults: Faults,
    clear_away: Callable[[], None],
    run_down: Callable[[], None],
    left: Left,
) -> None:
    key = f"{phone.user_id}/{phone.upload(SOUND)}"
    assert phone.export().status == 200
    close(phone)
    keep(faults, f"exports/{phone.user_id}/" if store == "exports" else key)
    clear_away()
    assert "PROFILE" in [each["sk"] for each in left(phone) if isinstance(each, dict)]
    faults.clear()
    run_down()

    assert left(phone) == []
