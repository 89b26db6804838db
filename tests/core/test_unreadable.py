"""What a later version wrote and this one cannot read: it keeps nothing else from anybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from chalicelib import jobs, wiring
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import (
    Item,
    account_key,
    due,
    grant_key,
    identity_key,
    link_key,
    listed_link_key,
    recording_key,
    session_key,
    timestamp,
    to_attributes,
    waveform_key,
)
from chalicelib.settings import Settings
from tests.conftest import LAMBDA, Clock, Left
from tests.core.test_upkeep import Edit, close, edit
from tests.support import shortcut
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.listening import listen_instantly
from tests.support.mail import delivered_to
from tests.support.phone import NO_TLS, Phone

SOUND = b"some sound"
LATER: dict[str, object] = {"upload_method": "carrier pigeon"}

Stored = Callable[..., list[Item]]

__all__ = ["edit"]


@pytest.fixture
def shared(phone: Phone, clock: Clock) -> tuple[str, str]:
    """A recording that has a waveform and a link, and the link's code."""
    id = phone.upload(SOUND)
    listen_instantly(phone, id)
    clock.advance(minutes=16)
    phone.tokens = phone.log_in().json
    return id, str(phone.post(f"/recordings/{id}/links").json["code"])


def listed_link(phone: Phone, id: str) -> Any:
    [link] = phone.get(f"/recordings/{id}/links").json["links"]
    return listed_link_key(phone.user_id, id, link["id"])


# Lists, and what is handed over.


def test_a_session_that_cannot_be_read_keeps_no_other_from_the_list(
    phone: Phone, edit: Edit
) -> None:
    other = phone.on_another_device()
    edit(session_key(phone.user_id, other.session_id), rotation="new")

    assert [each["id"] for each in phone.get("/me/sessions").json["sessions"]] == [phone.session_id]


def test_a_link_that_cannot_be_read_keeps_no_other_from_the_list(
    phone: Phone, shared: tuple[str, str], edit: Edit
) -> None:
    id, code = shared
    key, another = listed_link(phone, id), phone.post(f"/recordings/{id}/links").json["code"]
    edit(key, show_name="maybe")

    listed = phone.get(f"/recordings/{id}/links").json["links"]
    assert [link["code"] for link in listed] == [another]
    assert phone.delete(f"/recordings/{id}/links/{code}").status == 204
    assert Phone().get(f"/s/{code}", headers={"Accept": "application/json"}).status == 404


def test_a_link_opens_whose_waveform_cannot_be_read(
    phone: Phone, shared: tuple[str, str], edit: Edit
) -> None:
    id, code = shared
    edit(waveform_key(phone.user_id, id), data="new")

    assert Phone().get(f"/s/{code}", headers={"Accept": "text/html"}).status == 200
    assert phone.get(f"/recordings/{id}/waveform").status == 500


def test_an_export_has_as_it_stands_what_cannot_be_read(
    phone: Phone, shared: tuple[str, str], edit: Edit
) -> None:
    id, _ = shared
    edit(listed_link(phone, id), show_name="maybe")
    edit(waveform_key(phone.user_id, id), data="new")
    edit(recording_key(phone.user_id, id), **LATER)

    export = httpx.get(phone.export().json["url"], verify=NO_TLS).json()
    [link], [recording] = export["links"], export["recordings"]
    assert (link["show_name"], recording["upload_method"]) == ("maybe", "carrier pigeon")
    assert export["waveforms"][id]["data"] == "new"


NEW_KINDS: list[Any] = [{"SS": ["a", "b"]}, {"B": b"bytes"}, {"N": "1.5"}, {"NS": ["1"]}]


@pytest.mark.parametrize("value", NEW_KINDS, ids=lambda value: next(iter(value)))
@pytest.mark.parametrize("field", ["size", "new"])
def test_a_kind_of_value_that_is_new_is_in_nobodys_way(
    phone: Phone, clients: Clients, settings: Settings, stored: Stored, value: Any, field: str
) -> None:
    good, other = phone.upload_directly(SOUND), phone.upload_directly(SOUND)
    key = recording_key(phone.user_id, other)
    [item] = [item for item in stored(key["pk"]) if item["sk"] == key["sk"]]
    clients.dynamodb.put_item(TableName=settings.table, Item=to_attributes(item) | {field: value})

    assert phone.listed() == ([other] if field == "new" else []) + [good]
    assert phone.export().status == 200


# What is to be deleted.


def test_what_cannot_be_read_can_be_deleted_with_all_that_is_of_it(
    phone: Phone,
    shared: tuple[str, str],
    edit: Edit,
    stored: Stored,
    held: Held,
    invariants: Invariants,
) -> None:
    id, code = shared
    edit(recording_key(phone.user_id, id), **LATER, had="something new")
    assert phone.delete(f"/recordings/{id}").status == 500  # It is to come back.
    assert phone.delete_for_good(id).status == 204

    assert phone.get(f"/recordings/{id}").status == 404
    assert (phone.usage(), held("recordings", phone.user_id)) == ((0, 0), {})
    assert not [item for item in stored() if {"LINK", "WAVEFORM"} & {*item["sk"].split("#")}]
    assert Phone().get(f"/s/{code}", headers={"Accept": "application/json"}).status == 404
    assert invariants.broken(phone.user_id) == []


@pytest.mark.parametrize("permanent", [True, False])
def test_an_upload_that_cannot_be_read_is_rolled_back(
    phone: Phone, edit: Edit, permanent: bool, run_down: Callable[[], None], invariants: Invariants
) -> None:
    id = phone.record(SOUND)
    edit(recording_key(phone.user_id, id), upload_expires_at="soon")
    path = f"/recordings/{id}"
    query = {"permanent": "true"} if permanent else {}

    assert phone.delete(path, query=query).status == 204
    assert phone.usage() == (0, 0)
    run_down()
    assert invariants.broken_at_rest(phone.user_id) == []


def test_the_quota_of_a_tombstone_that_cannot_be_read_is_given_back_once(
    phone: Phone, edit: Edit, run_down: Callable[[], None], invariants: Invariants
) -> None:
    phone.upload_directly(SOUND)
    id = phone.upload(SOUND)
    assert phone.delete_for_good(id).status == 204
    edit(recording_key(phone.user_id, id), owes="everything", size=len(SOUND))

    assert phone.delete(f"/recordings/{id}").status == 204
    assert phone.usage() == (len(SOUND), 1)
    run_down()
    assert invariants.broken_at_rest(phone.user_id) == []


def test_what_has_changed_since_it_was_not_read_is_not_deleted(
    phone: Phone, edit: Edit, faults: Faults
) -> None:
    id = phone.upload_directly(SOUND)
    key = recording_key(phone.user_id, id)
    edit(key, **LATER)
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: edit(key, version=7))

    assert phone.delete(f"/recordings/{id}", query={"permanent": "true"}).status == 500
    assert phone.usage() == (len(SOUND), 1)
    assert phone.delete_for_good(id).status == 204
    assert phone.usage() == (0, 0)


@pytest.mark.parametrize("is_back", [False, True])
def test_what_cannot_be_read_leaves_the_trash_when_its_time_is_over_and_not_before(
    phone: Phone,
    clock: Clock,
    edit: Edit,
    held: Held,
    is_back: bool,
    clear_away: Callable[[], None],
) -> None:
    id = phone.upload_directly(SOUND)
    phone.trash(id)
    if is_back:
        phone.restore(id)
    # As the index still has it, if it is back.
    edit(recording_key(phone.user_id, id), **LATER, **due(id, clock()) if is_back else {})
    clock.advance(days=29)
    wiring.services().upkeep.run()
    assert list(held("recordings", phone.user_id)) == [id]
    clock.advance(days=2)
    clear_away()

    assert list(held("recordings", phone.user_id)) == [id] * is_back


UNREADABLE: dict[str, Callable[[Phone, str, Edit], None]] = {
    "recording": lambda phone, id, edit: edit(recording_key(phone.user_id, id), **LATER),
    "recording of no status": lambda phone, id, edit: edit(
        recording_key(phone.user_id, id), status=None, size="large", version="one"
    ),
    "session": lambda phone, _, edit: edit(
        session_key(phone.user_id, phone.on_another_device().session_id), rotation="new"
    ),
    "link": lambda phone, id, edit: edit(listed_link(phone, id), expires_at="never"),
    "waveform": lambda phone, id, edit: edit(waveform_key(phone.user_id, id), data="new"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_goes_with_its_account_within_half_an_hour(
    phone: Phone,
    shared: tuple[str, str],
    what: str,
    edit: Edit,
    clear_away: Callable[[], None],
    left: Left,
) -> None:
    id, code = shared
    UNREADABLE[what](phone, id, edit)
    close(phone)
    clear_away()

    assert left(phone) == []
    assert (
        shortcut.items(wiring.services().settings.table, link_key(code.replace("-", ""))["pk"])
        == []
    )


def test_a_closed_account_that_cannot_be_read_keeps_nothing_from_another(
    phone: Phone, other: Phone, clock: Clock, edit: Edit
) -> None:
    theirs = other.deliver(SOUND)
    clock.advance(days=8)
    phone.tokens = phone.log_in().json
    close(phone)
    edit(account_key(phone.user_id), closed_at="today")
    tally = wiring.services().upkeep.run()

    assert (other.listed(), tally.closed, tally.failed) == ([theirs], 0, 1)


# Mail, and what Apple gave.


@pytest.fixture
def waits(edit: Edit, clock: Clock) -> Callable[..., None]:
    """Has something wait to be done that this version knows nothing of."""

    def wait(pk: str, sk: str, **fields: object) -> None:
        edit({"pk": pk, "sk": sk}, due_at=timestamp(clock()), **fields)

    return wait


def test_a_mail_that_cannot_be_read_stops_no_other_and_is_left_for_an_hour(
    phone: Phone, clock: Clock, waits: Callable[..., None], stored: Stored,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    waits("OUTBOX", "welcome#ann@example.com", kind="welcome", email="ann@example.com")

    assert len(delivered_to(phone.email)) == 1
    assert "welcome of OUTBOX cannot be read" in caplog.text
    assert "ann@example.com" not in caplog.text
    caplog.clear()
    clock.advance(minutes=59)
    delivered_to(phone.email)
    assert "cannot be read" not in caplog.text
    clock.advance(minutes=2)
    delivered_to(phone.email)
    assert "cannot be read" in caplog.text
    [item] = [item for item in stored("OUTBOX") if item["kind"] == "welcome"]
    assert item["ttl"] < clock().timestamp() + 7 * 24 * 3600


def account(phone: Phone, edit: Edit) -> None:
    edit(account_key(phone.user_id), password_version="seven")


def owner(phone: Phone, edit: Edit) -> None:
    edit(identity_key(phone.email), user_id=None)


@pytest.mark.parametrize("unreadable", [account, owner])
def test_an_account_that_cannot_be_read_keeps_no_mail_from_another(
    phone: Phone, other: Phone, edit: Edit, unreadable: Callable[[Phone, Edit], None]
) -> None:
    unreadable(phone, edit)

    assert len(delivered_to(other.email)) == 1
    assert delivered_to(phone.email) == []


def test_a_grant_that_cannot_be_read_stops_no_mail(
    waits: Callable[..., None], stored: Stored, configure: Callable[..., None]
) -> None:
    configure(apple_client_secrets="an.app=its-secret")
    waits(**grant_key("some-id"), kind="new")
    jobs.deliver_mail({}, LAMBDA)
    jobs.deliver_mail({}, LAMBDA)

    [grant] = stored("GRANTS")
    assert "ttl" in grant
