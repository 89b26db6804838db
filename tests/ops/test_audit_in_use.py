"""The audit while the app goes on, over more than fits into memory, and when it cannot go on."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import account_key
from chalicelib.core.ids import uuid7
from chalicelib.models.answers import Sound
from chalicelib.settings import Settings
from chalicelib.wiring import Services, now
from ops.audit.entries import Balance, Drawn, Entry, KeptVersion, LinkEntry, Staged
from ops.audit.inventory import Inventory
from ops.audit.search import Audit, Tally
from tests.conftest import Clock
from tests.support.audits import SOUND, Run, Tool, close, id_of, kept, key_of
from tests.support.faults import Faults
from tests.support.phone import Phone

# What changes between two looks is no breach.


@pytest.mark.parametrize("after", [0, 1], ids=["listed", "listed again"])
def test_a_recording_that_is_deleted_before_its_bytes_are_is_not_lost(
    phone: Phone, key: str, faults: Faults, audit: Run, after: int
) -> None:
    def delete() -> None:
        phone.delete_for_good(id_of(key))

    faults.meanwhile("s3", "ListObjectVersions", delete, after)

    assert audit("--checksums").found == []
    assert faults.met == 1


def test_a_recording_that_is_made_after_its_user_was_listed_is_not_orphaned(
    phone: Phone, faults: Faults, audit: Run
) -> None:
    faults.meanwhile("s3", "ListObjectVersions", lambda: phone.upload(SOUND))

    assert audit().found == []
    assert faults.met == 1


def test_a_recording_that_is_made_during_the_second_look_is_not_orphaned(
    phone: Phone, faults: Faults, audit: Run, tool: Tool
) -> None:
    key = key_of(phone, uuid7())
    tool.put(key)
    # Between the two times that the second look reads the table.
    begin = partial(phone.announce, SOUND, id=id_of(key))
    faults.meanwhile("s3", "ListObjectVersions", begin, after=1)

    assert audit().found == []
    assert faults.met == 1


def test_an_account_that_goes_during_the_second_look_leaves_nothing_behind(
    phone: Phone, key: str, services: Services, faults: Faults, audit: Run, tool: Tool
) -> None:
    tool.hide(key)

    def go() -> None:
        close(phone)
        services.upkeep.run()

    faults.meanwhile("s3", "ListObjectVersions", go, after=1)

    assert audit().found == []
    assert faults.met == 1


def test_an_upload_that_is_completed_while_it_is_looked_up_was_no_leftover(
    phone: Phone, clock: Clock, faults: Faults, audit: Run
) -> None:
    id = phone.deliver(SOUND)
    clock.advance(days=2)
    faults.meanwhile("dynamodb", "GetItem", lambda: phone.complete(id))

    assert audit().found == []
    assert phone.listed() == [id]


def test_an_object_that_the_closing_of_an_account_will_remove_is_not_orphaned(
    phone: Phone, audit: Run, tool: Tool
) -> None:
    tool.put(key_of(phone, uuid7()))
    close(phone)

    assert audit().found == []


@pytest.mark.usefixtures("in_pages_of_one")
def test_a_balance_that_changes_while_its_recordings_are_listed_is_not_wrong(
    phone: Phone, clock: Clock, faults: Faults, audit: Run
) -> None:
    kept(phone, clock)
    # The account was listed by then, and what is uploaded now is listed later.
    faults.meanwhile("s3", "ListObjectVersions", lambda: phone.upload(SOUND))

    assert audit().found == []
    assert faults.met == 1


def test_a_difference_is_the_same_whatever_is_uploaded_while_it_is_counted(
    phone: Phone, clock: Clock, faults: Faults, audit: Run, tool: Tool
) -> None:
    kept(phone, clock)
    tool.alter(account_key(phone.user_id), bytes_used=7)
    faults.meanwhile("dynamodb", "Query", lambda: phone.upload(SOUND))

    assert audit().lines[0]["says"] == (
        "17 bytes in 2 recordings are noted, there are 20 bytes in 2 recordings"
    )


def test_what_keeps_changing_is_no_breach_and_is_mentioned(
    phone: Phone, key: str, faults: Faults, audit: Run, tool: Tool
) -> None:
    tool.hide(key)

    def change() -> None:
        phone.patch(f"/recordings/{id_of(key)}", {"notes": uuid7()})

    for number in range(10):
        faults.meanwhile("s3", "ListObjectVersions", change, after=number)

    audited = audit()
    assert audited.found == [("note", key)]
    assert audited.code == 0


def test_a_balance_that_keeps_changing_is_no_breach_and_is_mentioned(
    phone: Phone, clock: Clock, faults: Faults, audit: Run, tool: Tool
) -> None:
    kept(phone, clock)
    tool.alter(account_key(phone.user_id), bytes_used=7)
    for number in range(10):
        faults.meanwhile("dynamodb", "Query", lambda: phone.upload_directly(SOUND), after=number)

    assert audit().found == [("note", phone.user_id)]


# As much as there is.


@pytest.mark.usefixtures("in_pages_of_one")
@pytest.mark.parametrize(
    "stream",
    [
        lambda inventory, _: inventory.standing(),
        lambda inventory, phone: inventory.versions(phone.user_id),
        lambda inventory, _: inventory.prefixes(),
        lambda inventory, _: inventory.staged(),
    ],
    ids=["standing", "versions", "prefixes", "staged"],
)
def test_a_page_is_asked_for_when_the_one_before_was_read(
    phone: Phone,
    other: Phone,
    clients: Clients,
    settings: Settings,
    faults: Faults,
    stream: Callable[[Inventory, Phone], Iterator[object]],
) -> None:
    for each in (phone, phone, other):
        each.upload(SOUND)
        each.deliver(SOUND)
    calls = faults.record()

    asked = [len(calls) for _ in stream(Inventory(clients, settings), phone)]
    assert len(asked) > 1
    assert all(sooner < later for sooner, later in pairwise(asked))


LONG_AGO = datetime.fromtimestamp(0, UTC)


class Plenty(Inventory):
    """As many users as wanted, with as many recordings each as wanted, all of them sound."""

    def __init__(self, users: int, recordings: int) -> None:
        self._users, self._recordings = users, recordings

    def standing(self) -> Iterator[Balance | Entry]:
        for user in range(self._users):
            yield Balance(
                user_id=str(user),
                bytes_used=self._recordings,
                recordings_used=self._recordings,
            )
            for id in range(self._recordings):
                yield Entry(
                    id=f"{id:09}",
                    user_id=str(user),
                    status="ready",
                    version=1,
                    updated_at=datetime.now(UTC),
                    size=1,
                    sound=Sound(readable=True),
                )

    def waveforms(self, user_id: str) -> Iterator[Drawn]:
        return (Drawn(user_id=user_id, id=f"{id:09}") for id in range(self._recordings))

    def versions(self, user_id: str, recording_id: str | None = None) -> Iterator[KeptVersion]:
        assert recording_id is None, "Nothing is to be looked at again"
        for id in range(self._recordings):
            key = f"{user_id}/{id:09}"
            yield KeptVersion(key=key, version_id=str(id), size=1, is_current=True)

    def prefixes(self) -> Iterator[str]:
        return (f"{user}/" for user in range(self._users))

    def balance(self, user_id: str) -> Balance | None:
        return Balance(user_id=user_id)

    def links(self) -> Iterator[LinkEntry]:
        for number in range(self._users * self._recordings):
            keys = {"pk": f"LINK#{number}", "sk": "LINK"}
            yield LinkEntry(**keys, user_id="0", recording_id="0", expires_at=LONG_AGO)

    def staged(self) -> Iterator[Staged]:
        for number in range(self._users * self._recordings):
            yield Staged(key=str(number), since=datetime.now(UTC))


def peak(users: int, recordings: int) -> int:
    """The most memory that an audit takes, when no other thread takes some at the same time."""
    return min(_peak(users, recordings) for _ in range(2))


def _peak(users: int, recordings: int) -> int:
    tally = Tally()
    tracemalloc.start()
    try:
        assert list(Audit(Plenty(users, recordings), now).run(tally)) == []
        assert tally == Tally(users, users * recordings)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("users", "recordings"), [(1, 800), (800, 1)])
def test_memory_does_not_grow_with_what_there_is(users: int, recordings: int) -> None:
    assert peak(users, recordings) < 2 * peak(10, 10)


# What the operator's machine sees, and when it sees nothing.


def test_nothing_personal_is_read_or_said(
    phone: Phone, clock: Clock, faults: Faults, audit: Run, tool: Tool
) -> None:
    id = phone.upload(SOUND, file_name="diary of ann.m4a", notes="my secret")
    phone.patch("/me", {"name": "Ann Example"})
    tool.lose(key_of(phone, id))
    tool.put(key_of(phone, uuid7()))
    tool.alter(account_key(phone.user_id), bytes_used=0)
    clock.advance(days=40)
    asked = faults.asked("dynamodb", "Scan")

    audited = audit("--checksums")
    assert [rule for rule, _ in audited.found] == ["I1", "I2", "I3"]
    assert not any(
        word in audited.text for word in ("@", "diary", "secret", "Ann Example", phone.email)
    )
    [scan, links] = asked
    read = {*scan["ExpressionAttributeNames"].values(), *links["ProjectionExpression"].split(", ")}
    assert not read & {"code", "email", "password_hash", "name", "file_name", "notes", "tags"}


@pytest.mark.deep
def test_the_command_works_from_its_environment_alone(key: str, tool: Tool) -> None:
    tool.lose(key)
    command = [sys.executable, "-m", "ops.audit"]
    run = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)

    assert run.returncode == 1, run.stderr
    assert key in run.stdout
    assert run.stderr == "audit: 1 breaches; looked at 1 recordings in 1 accounts\n"


@pytest.mark.parametrize("call", ["dynamodb.Scan", "s3.ListObjectVersions", "s3.ListObjectsV2"])
@pytest.mark.usefixtures("phone")
def test_an_audit_that_is_refused_something_is_not_a_clean_one(
    faults: Faults, audit: Run, call: str
) -> None:
    service, operation = call.split(".")
    faults.refuse(service, operation, "AccessDenied", 403)

    audited = audit()
    assert audited.code == 2
    assert "could not be finished" in audited.text
    assert "AccessDenied" in audited.text


def test_an_item_that_makes_no_sense_is_named(
    phone: Phone, clock: Clock, audit: Run, tool: Tool
) -> None:
    id = id_of(kept(phone, clock))
    tool.alter({"pk": f"USER#{phone.user_id}", "sk": f"REC#{id}"}, status="lost")

    audited = audit()
    assert audited.code == 2
    assert f"REC#{id} of USER#{phone.user_id} cannot be read" in audited.text


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("RECORDER_BACKEND", "embedded", "RECORDER_BACKEND is not aws"),
        ("RECORDER_TABLE", "", "RECORDER_TABLE: is not set"),
    ],
)
def test_an_audit_that_is_not_told_where_to_look_says_so(
    audit: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, why: str
) -> None:
    monkeypatch.setenv(variable, value)

    audited = audit()
    assert audited.code == 2
    assert why in audited.text


def test_a_bug_does_not_pass_for_a_breach(audit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Audit, "run")

    assert audit().code == 2
