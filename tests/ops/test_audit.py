"""The audit finds what is wrong, and finds nothing where nothing is."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from chalicelib import wiring
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, account_key, waveform_key
from chalicelib.core import upkeep
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from ops.audit.inventory import Inventory
from tests.conftest import Clock
from tests.support import shortcut
from tests.support.audits import (
    LONGER,
    OTHER,
    SOUND,
    Run,
    Tool,
    close,
    deleted,
    expired,
    id_of,
    kept,
    key_of,
)
from tests.support.faults import Faults
from tests.support.listening import SILENCE, listen_instantly
from tests.support.phone import Phone

# Nothing is found where nothing is wrong.


@pytest.fixture
def every_state(
    clock: Clock,
    services: Services,
    faults: Faults,
    stored: Callable[..., list[Item]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A system in use, in which something is in each state that it may be in."""
    ann, bob, cy = (Phone().sign_up() for _ in range(3))
    expired(ann, clock)
    deleted(ann, clock)
    ann.upload(SOUND)
    listen_instantly(ann, ann.upload(SOUND))
    listen_instantly(ann, ann.upload_directly(SOUND), SILENCE)
    for expiry in (60, None):
        ann.post(f"/recordings/{ann.listed()[0]}/links", {"expires_in_seconds": expiry})
    shared = ann.upload(SOUND)
    ann.post(f"/recordings/{shared}/links", {"expires_in_seconds": None})
    ann.delete(f"/recordings/{ann.upload(SOUND)}")
    owed = ann.upload(SOUND)
    faults.refuse("s3", "DeleteObjects")
    ann.post(f"/recordings/{owed}/links", {"expires_in_seconds": None})
    ann.delete_for_good(owed)
    faults.clear()
    ann.announce(SOUND)
    ann.deliver(SOUND)
    ann.announce(bytes(5 * 1024**2), upload_method="multipart")
    ann.export()
    half_complete = ann.deliver(SOUND)
    faults.refuse("dynamodb", "UpdateItem")
    assert ann.complete(half_complete).status == 503
    faults.clear()

    for phone in (bob, cy):
        listen_instantly(phone, phone.upload(SOUND))
        phone.upload(SOUND)
        close(phone)
    # Time for one recording of one of them.
    monkeypatch.setattr(upkeep, "BATCH", 1)
    time_left = iter([True, True])
    services.upkeep.run(lambda: next(time_left, False))

    states = {(item["status"], bool(item.get("owes"))) for item in stored() if "status" in item}
    assert states == {
        *((status, False) for status in ("uploading", "ready", "trashed", "deleted")),
        ("deleted", True),
    }


@pytest.mark.usefixtures("every_state")
def test_nothing_is_found_where_nothing_is_wrong(
    audit: Run, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in ([], ["--checksums"]):
        audited = audit(*arguments)
        assert (audited.lines, audited.code) == ([], 0)
        assert re.search(r"0 breaches; looked at [1-9]\d* recordings in 3 accounts", audited.text)

    in_order = Inventory.standing
    monkeypatch.setattr(Inventory, "standing", lambda self: reversed(list(in_order(self))))
    assert audit().found == []

    request.getfixturevalue("in_pages_of_one")
    assert audit().lines == []


def test_an_empty_system_is_sound(audit: Run) -> None:
    assert audit().code == 0


# What was heard.


def test_a_waveform_that_is_gone_is_found(
    phone: Phone, clock: Clock, audit: Run, tool: Tool
) -> None:
    key = kept(phone, clock)
    listen_instantly(phone, id_of(key))
    assert audit().found == []
    tool.remove(waveform_key(phone.user_id, id_of(key)))

    assert audit().found == [("I1", key)]


@pytest.mark.parametrize("what", [deleted, expired])
def test_a_waveform_that_belongs_to_no_recording_is_found(
    phone: Phone, clock: Clock, audit: Run, tool: Tool, what: Callable[[Phone, Clock], str]
) -> None:
    key = what(phone, clock)
    tool.alter(waveform_key(phone.user_id, id_of(key)), sample_rate=1)

    assert audit().found == [("I2", key)]


# I1: every ready or trashed recording has its bytes.


@pytest.mark.parametrize("trash", [False, True])
def test_a_recording_that_lost_its_bytes_is_found(
    phone: Phone, clock: Clock, audit: Run, tool: Tool, trash: bool
) -> None:
    kept(phone, clock)
    key = kept(phone, clock)
    if trash:
        phone.trash(id_of(key))
    tool.lose(key)

    audited = audit()
    assert audited.found == [("I1", key)]
    assert audited.lines[0]["says"] == "Its bytes are gone; no version has its bytes"
    assert audited.code == 1


def test_a_version_that_has_the_bytes_of_an_overwritten_recording_is_named(
    key: str, audit: Run, tool: Tool
) -> None:
    version = tool.version(key)
    tool.put(key, LONGER)

    audited = audit()
    assert audited.found == [("I1", key)]
    assert audited.lines[0]["says"] == (
        f"17 bytes stand where 10 belong; version {version} has its bytes"
    )


def test_a_recording_that_a_mark_of_deletion_hides_is_found(
    key: str, audit: Run, tool: Tool
) -> None:
    tool.hide(key)

    audited = audit()
    assert audited.found == [("I1", key)]
    assert audited.lines[0]["says"].startswith("A mark of deletion hides its bytes; version ")


def test_what_may_be_the_bytes_is_not_said_to_be(key: str, audit: Run, tool: Tool) -> None:
    tool.lose(key)
    tool.put(key, SOUND)
    version = tool.version(key)
    tool.put(key, LONGER)

    assert audit().lines[0]["says"].endswith(f"; version {version} has as many bytes")


def test_a_second_version_is_found(key: str, audit: Run, tool: Tool) -> None:
    tool.put(key)

    audited = audit()
    assert audited.found == [("I1", key)]
    assert audited.lines[0]["says"].startswith("2 versions stand where one belongs; version ")
    assert ", the current one, has" in audited.lines[0]["says"]


def test_other_bytes_of_the_same_size_are_found_by_their_checksum(
    phone: Phone, clock: Clock, audit: Run, tool: Tool
) -> None:
    kept(phone, clock)
    key = kept(phone, clock)
    tool.lose(key)
    tool.put(key, OTHER, ChecksumAlgorithm="SHA256")

    assert audit().found == []
    assert audit("--checksums").found == [("I1", key)]


def test_bytes_that_were_put_back_in_parts_are_not_taken_for_others(
    key: str, audit: Run, tool: Tool
) -> None:
    tool.lose(key)
    tool.put_in_parts(key)

    assert audit("--checksums").found == []


# I2: every object belongs to a live recording, or to something that owes its deletion.


@pytest.mark.parametrize(
    "key_of_nothing", [lambda phone, _: key_of(phone, uuid7()), deleted, expired]
)
def test_an_object_of_nothing_that_there_is_is_found(
    phone: Phone,
    clock: Clock,
    audit: Run,
    tool: Tool,
    key_of_nothing: Callable[[Phone, Clock], str],
) -> None:
    key = key_of_nothing(phone, clock)
    tool.put(key)

    assert audit().found == [("I2", key)]


def test_an_object_that_was_marked_as_deleted_is_still_an_object(
    phone: Phone, audit: Run, tool: Tool
) -> None:
    key = key_of(phone, uuid7())
    tool.put(key)
    tool.hide(key)

    assert audit().found == [("I2", key)]


def test_a_mark_of_deletion_that_nothing_is_left_of_is_an_object_too(
    phone: Phone, audit: Run, tool: Tool
) -> None:
    key = key_of(phone, uuid7())
    tool.put(key)
    version = tool.version(key)
    tool.hide(key)
    tool.lose(key, version)

    assert audit().found == [("I2", key)]


def test_an_object_of_a_user_who_is_gone_is_found(
    phone: Phone, clock: Clock, services: Services, audit: Run, tool: Tool
) -> None:
    key = kept(phone, clock)
    close(phone)
    services.upkeep.run()
    clock.advance(minutes=16)
    services.upkeep.run()
    tool.put(key)

    assert audit().found == [("I2", key)]


@pytest.mark.parametrize("key", ["clip.m4a", "tmp/clip.m4a", "/clip.m4a", "{user}/cover.jpg"])
def test_an_object_under_no_key_of_ours_is_found_and_left_to_the_operator(
    phone: Phone, clock: Clock, audit: Run, tool: Tool, key: str
) -> None:
    kept(phone, clock)
    key = key.format(user=phone.user_id)
    tool.put(key)

    assert audit().found == [("I2", key)]


def test_an_object_whose_key_would_be_none_of_the_table_is_not_looked_up(
    audit: Run, tool: Tool, faults: Faults
) -> None:
    key = "t/" + "x" * 1022
    tool.put(key)
    asked = faults.asked("dynamodb", "GetItem")

    assert audit().found == [("I2", key)]
    # DynamoDB takes sort keys of up to 1,024 bytes, and moto any.
    assert all(len(each["Key"]["sk"]["S"]) <= 1024 for each in asked)


@pytest.mark.usefixtures("in_pages_of_one")
def test_each_of_many_is_found_in_pages_of_one(
    phone: Phone, other: Phone, clock: Clock, audit: Run, tool: Tool
) -> None:
    lost, orphaned = kept(phone, clock), key_of(phone, uuid7())
    kept(phone, clock)
    kept(other, clock)
    strangers = {f"{uuid7()}/{uuid7()}" for _ in range(2)}
    tool.lose(lost)
    for key in (orphaned, *strangers):
        tool.put(key)

    expected = {("I1", lost), ("I2", orphaned), *(("I2", key) for key in strangers)}
    assert sorted(audit().found) == sorted(expected)


# I3: a balance is the sum of its user's recordings.


@pytest.mark.parametrize("wrong", [{"bytes_used": 0}, {"recordings_used": 2}])
def test_a_balance_that_is_not_the_sum_is_found(
    phone: Phone,
    clock: Clock,
    audit: Run,
    tool: Tool,
    wrong: dict[str, int],
) -> None:
    kept(phone, clock)
    deleted(phone, clock)
    tool.alter(account_key(phone.user_id), **wrong)

    audited = audit()
    assert audited.found == [("I3", phone.user_id)]
    assert audited.code == 1


def test_recordings_without_an_account_are_found(
    phone: Phone, clock: Clock, audit: Run, tool: Tool
) -> None:
    kept(phone, clock)
    tool.remove(account_key(phone.user_id))

    audited = audit()
    assert audited.found == [("I3", phone.user_id)]
    assert audited.lines[0]["says"] == "There is no account, there are 10 bytes in 1 recordings"
    assert len(audited.lines) == 1


# I4: what time alone must move has been moved.


def test_what_is_long_overdue_is_found(phone: Phone, clock: Clock, audit: Run) -> None:
    trashed, owing = phone.upload(SOUND), phone.upload(SOUND)
    upload = phone.announce(SOUND).json["recording"]["id"]
    phone.delete(f"/recordings/{trashed}")
    phone.delete_for_good(owing)
    clock.advance(days=31)

    assert audit().found == [("I4", key_of(phone, id)) for id in (trashed, owing, upload)]


@pytest.mark.parametrize("left", ["LINK", "USER"])
def test_a_link_that_outlived_its_recording_is_found(
    phone: Phone,
    clock: Clock,
    audit: Run,
    stored: Callable[..., list[Item]],
    left: str,
) -> None:
    key = kept(phone, clock)
    phone.post(f"/recordings/{id_of(key)}/links", {"expires_in_seconds": 3600})
    links = [item for item in stored() if "LINK" in item["sk"] and item["pk"].startswith(left)]
    assert audit().found == []
    phone.delete_for_good(id_of(key))
    shortcut.put(wiring.services().settings.table, links)

    assert audit().found == [("I4", key)]
    clock.advance(hours=1)
    assert audit().found == []


def test_what_was_put_off_again_and_again_is_overdue(
    phone: Phone, clock: Clock, services: Services, faults: Faults, audit: Run
) -> None:
    id = phone.upload(SOUND)
    phone.delete_for_good(id)
    faults.refuse("s3", "DeleteObjects")
    for _ in range(8):
        clock.advance(hours=1)
        services.upkeep.run()
    faults.clear()

    assert audit().found == [("I4", key_of(phone, id))]


def test_a_closed_account_that_stays_is_found(phone: Phone, clock: Clock, audit: Run) -> None:
    close(phone)
    assert audit().found == []

    clock.advance(hours=7)
    assert audit().found == [("I4", phone.user_id)]


def test_what_upkeep_has_moved_is_not_overdue(
    phone: Phone, clock: Clock, services: Services, audit: Run
) -> None:
    phone.delete(f"/recordings/{phone.upload(SOUND)}")
    phone.announce(SOUND)
    clock.advance(days=31)
    services.upkeep.run()
    clock.advance(hours=7)
    services.upkeep.run()

    assert audit().found == []


# What waits in the uploads tool.


def test_what_lies_in_the_uploads_bucket_for_nothing_is_mentioned(
    phone: Phone,
    clock: Clock,
    audit: Run,
    onlookers: Clients,
    settings: Settings,
) -> None:
    key = deleted(phone, clock)
    onlookers.s3.put_object(Bucket=settings.uploads_bucket, Key=key, Body=SOUND)
    assert audit().found == []

    clock.advance(days=2)
    audited = audit()
    assert audited.found == [("note", key)]
    assert audited.code == 0


def test_a_multipart_upload_for_nothing_is_mentioned(
    phone: Phone, clock: Clock, audit: Run, onlookers: Clients, settings: Settings
) -> None:
    key = deleted(phone, clock)
    onlookers.s3.create_multipart_upload(Bucket=settings.uploads_bucket, Key=key)
    clock.advance(days=2)

    assert audit().found == [("note", key)]


def test_what_still_waits_in_the_uploads_bucket_is_not_mentioned(
    phone: Phone, clock: Clock, audit: Run
) -> None:
    phone.deliver(SOUND)
    phone.announce(bytes(5 * 1024**2), upload_method="multipart")
    phone.export()
    clock.advance(days=2)

    assert audit().found == []
