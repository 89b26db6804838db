"""A backlog: ten thousand due items, and runs of upkeep that have time for some of them each."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import (
    Item,
    account_key,
    due,
    recording_item,
    to_item,
    tombstone_item,
)
from chalicelib.core.ids import uuid7
from chalicelib.core.recordings.deletion import LONGEST_FUNCTION
from chalicelib.models.entities import Account, StoredRecording, Tombstone
from chalicelib.models.fields import Debt
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from tests.conftest import DEEP, Clock
from tests.support import shortcut
from tests.support.faults import Faults
from tests.support.invariants import Invariants

# moto takes a minute or two for ten thousand: that is for `make deep`.
FEW, MANY = (1_000, 10_000) if DEEP else (500, 2_000)
# No divisor of the number of kinds, so that each user has some of every kind.
USERS = 9
# How often a run looks at the time before it is over: once for each page, once for each item.
LOOKS = 2_550 if DEEP else 1_020
# To list the versions of one object moto copies the whole bucket: so it has few.
OBJECTS = 5

Entity = StoredRecording | Tombstone


class Done(NamedTuple):
    """What became of a backlog."""

    backlog: list[Entity]
    """What was due, the oldest first."""
    runs: list[list[str]]
    """The ids that each run read, until one read none."""
    calls: Counter[str]
    """All calls that were made, by their names."""
    left: list[Item]
    broken: list[str]


def tombstone(user_id: str, due_at: datetime, owes: Sequence[Debt] = ("uploads",)) -> Tombstone:
    return Tombstone(
        id=uuid7(),
        user_id=user_id,
        updated_at=due_at - LONGEST_FUNCTION,
        version=2,
        owes=[*owes],
        due_at=due_at,
    )


def tombstone_of_an_object(user_id: str, due_at: datetime) -> Tombstone:
    return tombstone(user_id, due_at, ("uploads", "recordings"))


def trashed(user_id: str, due_at: datetime) -> StoredRecording:
    return shortcut.recording(user_id, "trashed", purge_at=due_at)


def uploading(user_id: str, due_at: datetime) -> StoredRecording:
    return shortcut.recording(user_id, "uploading", upload_expires_at=due_at)


# Few of those that take many calls: 10,000 of them would take moto minutes.
KINDS: list[Callable[[str, datetime], Entity]] = [
    *[tombstone] * 13,
    *[tombstone_of_an_object] * 4,
    *[trashed] * 2,
    uploading,
]


def make(size: int) -> list[Entity]:
    users = [uuid7() for _ in range(USERS)]
    first = datetime.now(UTC) - timedelta(hours=12)
    return [
        KINDS[number % len(KINDS)](users[number % USERS], first + timedelta(seconds=number))
        for number in range(size)
    ]


def item_of(entity: Entity) -> Item:
    if isinstance(entity, Tombstone):
        return tombstone_item(entity)
    return recording_item(entity) | (due(entity.id, entity.purge_at) if entity.purge_at else {})


def may_have_an_object(entity: Entity) -> bool:
    if isinstance(entity, Tombstone):
        return "recordings" in entity.owes
    return entity.status == "trashed"


def account_item(user_id: str, backlog: list[Entity]) -> Item:
    """An account whose counters fit what its user has."""
    recordings = [each for each in backlog if isinstance(each, StoredRecording)]
    sizes = [each.size for each in recordings if each.user_id == user_id]
    account = Account(
        id=user_id,
        email=f"{user_id}@example.com",
        password_hash="",
        created_at=datetime.now(UTC),
        bytes_used=sum(sizes),
        recordings_used=len(sizes),
    )
    return account_key(user_id) | to_item(account)


def limited() -> Callable[[], bool]:
    looks = itertools.count(1)
    return lambda: next(looks) <= LOOKS


class Worker:
    """Works through backlogs, each in a table and buckets that hold nothing else."""

    def __init__(self, settings: Settings, clients: Clients, invariants: Invariants) -> None:
        self._invariants = invariants
        self._settings = settings
        self._clients = clients
        self._faults = Faults(clients)

    def work_through(self, backlog: list[Entity]) -> Done:
        settings, clock = self._settings, Clock()
        users = {each.user_id for each in backlog}
        shortcut.put(settings.table, [account_item(user, backlog) for user in users])
        shortcut.put(settings.table, [item_of(each) for each in backlog])
        may_have_one = [each for each in backlog if may_have_an_object(each)]
        for each in may_have_one[:: len(may_have_one) // OBJECTS]:
            self._clients.s3.put_object(
                Bucket=settings.recordings_bucket, Key=each.key, Body=b"some sound"
            )
        upkeep = Services(settings, clock, self._clients).upkeep
        calls, read = self._faults.record(), self._faults.asked("dynamodb", "GetItem")
        runs: list[list[str]] = []
        while not runs or runs[-1]:
            read.clear()
            upkeep.run(limited())
            runs.append([params["Key"]["sk"]["S"].removeprefix("REC#") for params in read])
        # What was buried as an upload owes for that long.
        clock.advance(seconds=LONGEST_FUNCTION.total_seconds() + 60)
        for _ in range(0, len(backlog), LOOKS):
            upkeep.run(limited())
        self._faults.clear()
        names = Counter(call.name for call in calls)
        broken = [each for user in users for each in self._invariants.broken_at_rest(user)]
        return Done(backlog, runs, names, shortcut.items(settings.table), broken)


@pytest.fixture(scope="module")
def worker(settings: Settings, clients: Clients, invariants: Invariants) -> Worker:
    return Worker(settings, clients, invariants)


@pytest.fixture(scope="module")
def few(worker: Worker, forget: Callable[[], None]) -> Done:
    done = worker.work_through(make(FEW))
    forget()
    return done


@pytest.fixture(scope="module")
def many(worker: Worker, forget: Callable[[], None]) -> Done:
    done = worker.work_through(make(MANY))
    forget()
    return done


def test_nothing_stays_due(many: Done) -> None:
    recordings = [item for item in many.left if item["sk"].startswith("REC#")]

    assert len(recordings) == MANY
    assert [item for item in recordings if item["status"] != "deleted" or item["owes"]] == []
    assert [item for item in many.left if "due_at" in item] == []


def test_all_that_is_promised_holds_afterwards(many: Done) -> None:
    assert many.broken == []


def test_each_run_does_as_much_as_it_has_time_for_and_no_more(many: Done) -> None:
    *full, last, none = [len(set(run)) for run in many.runs]

    assert none == 0
    assert 0 < last <= full[0]
    # Every page of fifty takes another look.
    assert set(full) == {LOOKS * 50 // 51}


def test_each_run_goes_on_where_the_last_one_stopped(many: Done) -> None:
    found = [id for run in many.runs for id in dict.fromkeys(run)]

    assert found == [each.id for each in many.backlog]


def test_the_work_for_an_item_does_not_grow_with_their_number(few: Done, many: Done) -> None:
    for name in many.calls.keys() | few.calls.keys():
        # Each run asks what is due, and so does the one that finds nothing.
        assert many.calls[name] / MANY == pytest.approx(few.calls[name] / FEW, rel=0.01, abs=0.02)
