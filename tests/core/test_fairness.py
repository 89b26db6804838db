"""Fairness: whatever one user has due, or closed, another's is moved in the next run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chalicelib import wiring
from chalicelib.aws.dynamodb.items import (
    DUE_SHARDS,
    Item,
    account_key,
    due,
    recording_item,
    session_key,
    tombstone_item,
)
from chalicelib.core import upkeep
from chalicelib.core.ids import uuid7
from chalicelib.core.upkeep import Tally
from chalicelib.models.entities import Tombstone
from chalicelib.models.fields import Status
from chalicelib.settings import Settings
from tests.conftest import DEEP, Clock, Left
from tests.support import shortcut
from tests.support.faults import Faults
from tests.support.phone import PASSWORD, Phone

SOUND = b"some sound"
Give = Callable[[Phone, Status, int], None]
DUE, KEPT = (10_000, 3_000) if DEEP else (200, 60)


def run(batches: int) -> Tally:
    """A run of upkeep that has time for so many batches, and for no second round."""
    looks = iter([True] * batches)
    return wiring.services().upkeep.run(lambda: next(looks, False))


@pytest.fixture
def give(settings: Settings, clock: Clock) -> Give:
    """Gives a phone's user so many recordings of a status, whose time will be over in 8 days.

    None of them has bytes.
    """

    def give(phone: Phone, status: Status, count: int) -> None:
        soon = clock() + timedelta(days=7)
        until = {"uploading": "upload_expires_at", "trashed": "purge_at"}.get(status)
        times: dict[str, Any] = {until: soon} if until else {}
        made = [shortcut.recording(phone.user_id, status, **times) for _ in range(count)]
        when = {each.id: due(each.id, soon) if until else {} for each in made}
        key = account_key(phone.user_id)
        [account] = [
            item for item in shortcut.items(settings.table, key["pk"]) if item["sk"] == key["sk"]
        ]
        used = {"bytes_used": 10 * count, "recordings_used": count}
        shortcut.put(settings.table, [account | used])
        shortcut.put(settings.table, (recording_item(each) | when[each.id] for each in made))

    return give


@pytest.mark.parametrize("close", [False, True], ids=["due", "closed"])
def test_what_one_user_leaves_does_not_delay_anothers(
    phone: Phone,
    other: Phone,
    clock: Clock,
    give: Give,
    close: bool,
) -> None:
    give(phone, "uploading", DUE)
    theirs = other.deliver(SOUND)
    clock.advance(days=8)
    if close:
        phone.delete("/me", body={"password": PASSWORD})
    run(batches=2)

    assert other.listed() == [theirs]


def test_a_closed_account_goes_in_two_runs(
    phone: Phone, clock: Clock, give: Give, settings: Settings
) -> None:
    give(phone, "ready", KEPT)
    phone.delete("/me", body={"password": PASSWORD})
    first = wiring.services().upkeep.run()
    clock.advance(minutes=16)
    second = wiring.services().upkeep.run()

    assert first.purged == KEPT
    assert (first.settled + second.settled, second.closed) == (KEPT, 1)
    assert shortcut.items(settings.table, account_key(phone.user_id)["pk"]) == []


def test_runs_at_once_share_the_work(
    phone: Phone, clock: Clock, faults: Faults, give: Give
) -> None:
    give(phone, "uploading", DUE)
    clock.advance(days=8)
    tallies: list[Tally] = []
    faults.meanwhile("dynamodb", "BatchGetItem", lambda: tallies.append(run(batches=1)))
    tallies.append(run(batches=1))

    # Of 400 both choose 50 by chance: some 6 are the same, and 20 are once in 10**8 times.
    assert sum(tally.expired for tally in tallies) > 80


def test_runs_at_once_begin_with_different_users(clock: Clock, settings: Settings) -> None:
    times = [clock() + timedelta(milliseconds=number) for number in range(2 * upkeep.BATCH)]
    tombstones = [
        Tombstone(id=uuid7(), user_id=uuid7(), updated_at=at, version=2, due_at=at) for at in times
    ]
    shortcut.put(settings.table, map(tombstone_item, tombstones))
    clock.advance(minutes=1)
    run(batches=1)

    # Half of them, by chance: that it is the older half happens once in 10**29 times.
    left = {item["pk"] for item in shortcut.items(settings.table) if "due_shard" in item}
    assert len(left) == upkeep.BATCH
    assert left != {f"USER#{each.user_id}" for each in tombstones[upkeep.BATCH :]}


def test_each_round_has_twice_as_much_of_what_a_user_has_due(
    phone: Phone, clock: Clock, faults: Faults, give: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SHARE", 2)
    give(phone, "uploading", 2 + 4 + 8)
    clock.advance(days=8)
    calls = faults.calls_of(wiring.services().upkeep.run)

    assert phone.listed(status="uploading") == []
    rounds = 1 + len(["2", "4", "8"])
    assert calls.count("dynamodb.Query") == rounds * DUE_SHARDS


# A closed account that somebody logged in to very often.


@pytest.fixture
def closed_with_sessions(
    phone: Phone, clock: Clock, settings: Settings, stored: Callable[..., list[Item]]
) -> Callable[[], int]:
    """Says how many are left of a thousand sessions, whose account is closed and all else gone."""
    pk, begins = account_key(phone.user_id)["pk"], session_key(phone.user_id, "")["sk"]
    [one] = [item for item in stored(pk) if item["sk"].startswith(begins)]
    shortcut.put(settings.table, (one | {"sk": f"{begins}{n:04}"} for n in range(999)))
    phone.delete("/me", body={"password": PASSWORD})
    clock.advance(minutes=16)
    return lambda: len([item for item in stored(pk) if item["sk"].startswith(begins)])


def test_a_closed_accounts_sessions_are_a_share_of_a_round_too(
    closed_with_sessions: Callable[[], int],
) -> None:
    assert run(batches=1).forgotten == upkeep.SHARE
    assert closed_with_sessions() == 1000 - upkeep.SHARE


def test_a_run_ends_in_the_midst_of_a_closed_accounts_sessions(
    closed_with_sessions: Callable[[], int],
) -> None:
    # Two rounds, with one and two portions, and the first of a third. It looks after each.
    assert run(batches=8).forgotten == 4 * upkeep.BATCH
    assert closed_with_sessions() == 1000 - 4 * upkeep.BATCH


def test_a_closed_account_with_many_sessions_goes_in_one_run_and_few_calls(
    phone: Phone, closed_with_sessions: Callable[[], int], faults: Faults, left: Left
) -> None:
    calls = faults.calls_of(wiring.services().upkeep.run)

    assert closed_with_sessions() == 0
    assert left(phone) == []
    assert len(calls) < 100


# How many calls it takes.


EXPIRED = {"put": (3, 3), "post": (3, 3), "multipart": (4, 5), "live": (2, 4)}


@pytest.mark.parametrize("method", EXPIRED)
def test_an_upload_that_expired_takes_few_calls_and_few_to_be_paid_for(
    phone: Phone, clock: Clock, faults: Faults, method: str
) -> None:
    first, second = EXPIRED[method]
    for _ in range(12):
        is_live = method == "live"
        begun = phone.announce_live() if is_live else phone.announce(SOUND, upload_method=method)
        assert begun.status == 201
    clock.advance(days=8)
    calls = faults.calls_of(lambda: run(batches=1))
    clock.advance(minutes=16)
    paying = faults.calls_of(lambda: run(batches=1))

    # And fewer than another one of each, for all of them together.
    assert (len(calls) // 12, len(paying) // 12) == (first, second)
    assert phone.usage() == (0, 0)


def test_what_leaves_the_trash_takes_four_calls(
    phone: Phone, clock: Clock, faults: Faults, give: Give
) -> None:
    give(phone, "trashed", 50)
    clock.advance(days=8)
    made = faults.calls_of(lambda: run(batches=1))

    assert phone.listed(status="trashed") == []
    assert len(made) / 50 <= 4
