"""Fairness: whatever one user has due, or closed, another's is moved in the next run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chalicelib import wiring
from chalicelib.aws.dynamodb.items import account_key, due, recording_item
from chalicelib.core.upkeep import Tally
from chalicelib.models.fields import Status
from chalicelib.settings import Settings
from tests.conftest import DEEP, Clock
from tests.support import shortcut
from tests.support.faults import Faults
from tests.support.phone import PASSWORD, Phone

SOUND = b"some sound"
DUE, KEPT = (10_000, 3_000) if DEEP else (400, 120)


def run(batches: int) -> Tally:
    """A run of upkeep that has time for so many batches, and for no second round."""
    looks = iter([True] * batches)
    return wiring.services().upkeep.run(lambda: next(looks, False))


@pytest.fixture
def give(settings: Settings, clock: Clock) -> Callable[[Phone, Status, int], None]:
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
    give: Callable[[Phone, Status, int], None],
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
    phone: Phone, clock: Clock, give: Callable[[Phone, Status, int], None], settings: Settings
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
    phone: Phone, clock: Clock, faults: Faults, give: Callable[[Phone, Status, int], None]
) -> None:
    give(phone, "uploading", DUE)
    clock.advance(days=8)
    tallies: list[Tally] = []
    faults.meanwhile("dynamodb", "BatchGetItem", lambda: tallies.append(run(batches=1)))
    tallies.append(run(batches=1))

    # Of 400 both choose 50 by chance: some 6 are the same, and 20 are once in 10**8 times.
    assert sum(tally.expired for tally in tallies) > 80


@pytest.mark.parametrize(("status", "calls"), [("uploading", 5), ("trashed", 4)])
def test_what_is_due_takes_few_calls(
    phone: Phone,
    clock: Clock,
    faults: Faults,
    give: Callable[[Phone, Status, int], None],
    status: Status,
    calls: int,
) -> None:
    give(phone, status, 50)
    clock.advance(days=8)
    made = faults.calls_of(lambda: run(batches=1))

    assert phone.listed(status=status) == []
    assert len(made) / 50 <= calls
