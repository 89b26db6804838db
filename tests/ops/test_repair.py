"""What the audit mends, and that it harms nothing by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib.aws.items import Item, account_key
from chalicelib.core.ids import uuid7
from chalicelib.wiring import Services
from tests.audits import LONGER, SOUND, Run, Tool, close, deleted, expired, id_of, kept, key_of
from tests.conftest import Clock
from tests.faults import Faults
from tests.invariants import Held
from tests.phone import Phone

Orphan = Callable[[Phone, Clock], str]


def never_announced(phone: Phone, _: Clock) -> str:
    return key_of(phone, uuid7())


def of_nobody(_: Phone, __: Clock) -> str:
    return f"{uuid7()}/{uuid7()}"


@pytest.mark.parametrize("orphan", [never_announced, of_nobody, deleted, expired])
def test_an_orphaned_object_is_gone_after_repair_and_upkeep(
    phone: Phone, clock: Clock, services: Services, audit: Run, tool: Tool, orphan: Orphan
) -> None:
    plays, key = kept(phone, clock), orphan(phone, clock)
    tool.put(key)
    tool.put(key, LONGER)
    audited = audit("--repair")
    assert audited.found == [("I2", key)]
    assert audited.repaired == [True]

    services.upkeep.run()
    assert not tool.has(key)
    assert audit().lines == []
    assert phone.download(id_of(plays)).content == SOUND


def test_what_was_repaired_and_waits_for_upkeep_is_no_breach(
    phone: Phone, clock: Clock, audit: Run, tool: Tool
) -> None:
    tool.put(deleted(phone, clock))
    clock.advance(days=10)
    audit("--repair")

    assert audit().lines == []


def test_an_upload_that_expired_can_be_begun_again_after_a_repair(
    phone: Phone, clock: Clock, services: Services, audit: Run, tool: Tool
) -> None:
    key = expired(phone, clock)
    tool.put(key, LONGER)
    audit("--repair")
    phone.upload(SOUND, id=id_of(key))
    services.upkeep.run()

    assert phone.download(id_of(key)).content == SOUND
    assert audit().lines == []


@pytest.mark.parametrize("wrong", [{"bytes_used": 0}, {"recordings_used": 3}])
def test_a_balance_is_right_after_a_repair(
    phone: Phone, clock: Clock, audit: Run, tool: Tool, wrong: dict[str, int]
) -> None:
    kept(phone, clock)
    phone.announce(SOUND)
    tool.alter(account_key(phone.user_id), **wrong)
    assert audit("--repair").repaired == [True]

    assert phone.usage() == (20, 2)
    assert audit().lines == []


@pytest.fixture
def all_there_is(
    stored: Callable[..., list[Item]], held: Held, phone: Phone
) -> Callable[[], object]:
    """Reads the table, and the user's part of the recordings bucket."""
    return lambda: (stored(), held("recordings", phone.user_id))


def test_without_repair_nothing_is_changed(
    phone: Phone, clock: Clock, audit: Run, tool: Tool, all_there_is: Callable[[], object]
) -> None:
    tool.put(deleted(phone, clock))
    tool.put(never_announced(phone, clock))
    tool.lose(kept(phone, clock))
    tool.alter(account_key(phone.user_id), bytes_used=0)
    before = all_there_is()
    audited = audit("--checksums")

    assert ["repair" in line for line in audited.lines] == [True, True, False, True]
    assert all_there_is() == before


def test_a_repair_leaves_every_object_to_upkeep(
    phone: Phone, clock: Clock, audit: Run, tool: Tool, held: Held
) -> None:
    overwritten, hidden = kept(phone, clock), kept(phone, clock)
    tool.put(overwritten, LONGER)
    tool.hide(hidden)
    tool.put(deleted(phone, clock))
    tool.put(never_announced(phone, clock))
    before = held("recordings", phone.user_id)

    assert audit("--repair").repaired == [True, True]
    assert held("recordings", phone.user_id) == before


def test_a_repair_is_said_before_it_is_done(
    phone: Phone, clock: Clock, faults: Faults, audit: Run, tool: Tool
) -> None:
    key = never_announced(phone, clock)
    tool.put(key)
    tool.alter(account_key(phone.user_id), bytes_used=3)
    faults.refuse("dynamodb", "TransactWriteItems", times=1)
    audited = audit("--repair")

    assert [line.get("repaired") for line in audited.lines] == [None, False, None, True]
    assert audited.lines[0]["repair"].startswith("Write a tombstone")
    assert audited.lines[1]["says"] == "TransactWriteItems was refused: InternalError"
    assert audited.code == 1


# What changes between the look and the repair is left as it is.


@pytest.mark.parametrize("orphan", [never_announced, expired])
def test_a_recording_that_is_begun_before_the_repair_is_not_buried(
    phone: Phone, clock: Clock, faults: Faults, audit: Run, tool: Tool, orphan: Orphan
) -> None:
    key = orphan(phone, clock)
    tool.put(key)
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: phone.announce(SOUND, id=id_of(key)))
    audited = audit("--repair")

    assert audited.repaired == [False]
    assert phone.listed(status="uploading") == [id_of(key)]


def test_an_expired_upload_that_is_deleted_before_the_repair_stays_deleted(
    phone: Phone, clock: Clock, faults: Faults, audit: Run, tool: Tool
) -> None:
    key = expired(phone, clock)
    tool.put(key)
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: phone.delete_for_good(id_of(key)))

    assert audit("--repair").repaired == [False]
    assert phone.announce(SOUND, id=id_of(key)).code == "not_found"


def test_a_balance_that_changes_before_the_repair_is_repaired_the_next_time(
    phone: Phone, clock: Clock, faults: Faults, audit: Run, tool: Tool
) -> None:
    kept(phone, clock)
    tool.alter(account_key(phone.user_id), bytes_used=0)
    faults.meanwhile("dynamodb", "UpdateItem", lambda: phone.announce(SOUND))

    assert audit("--repair").repaired == [False]
    assert phone.usage() == (10, 2)
    assert audit("--repair").repaired == [True]
    assert phone.usage() == (20, 2)


def test_a_repair_and_an_account_that_is_being_closed_get_along(
    phone: Phone, clock: Clock, services: Services, faults: Faults, audit: Run, tool: Tool
) -> None:
    key = deleted(phone, clock)
    tool.put(key)
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: close(phone))
    audit("--repair")
    services.upkeep.run()

    assert not tool.has(key)
    assert audit().lines == []
