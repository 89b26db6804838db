"""Deleting for good: the database first, then S3, and nothing forgotten in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from app import app
from chalicelib import wiring
from chalicelib.api import http
from chalicelib.api.http import Endpoint, Route
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import (
    DUE_SHARDS,
    Item,
    account_key,
    from_attributes,
    timestamp,
    to_attributes,
)
from chalicelib.models.fields import MIB, Store
from chalicelib.settings import Settings
from tests.conftest import Clock, Find
from tests.support import shortcut
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.phone import Phone, send

SOUND = b"some sound"


@pytest.fixture
def due(settings: Settings, clients: Clients) -> Callable[[Phone], dict[str, str]]:
    """Reads the `due` index: when which of a user's items is due."""

    def read(phone: Phone) -> dict[str, str]:
        items = [
            from_attributes(item)
            for shard in range(DUE_SHARDS)
            for item in clients.dynamodb.query(
                TableName=settings.table,
                IndexName="due",
                KeyConditionExpression="due_shard = :shard",
                ExpressionAttributeValues=to_attributes({":shard": f"DUE#{shard}"}),
            )["Items"]
        ]
        mine = account_key(phone.user_id)["pk"]
        return {item["sk"]: item["due_at"] for item in items if item["pk"] == mine}

    return read


def delete(phone: Phone, recording_id: str) -> int:
    return phone.delete_for_good(recording_id).status


def roll_back(phone: Phone, recording_id: str) -> int:
    """Delete an upload under way, which goes for good without being asked to."""
    return phone.delete(f"/recordings/{recording_id}").status


def is_gone(phone: Phone, recording_id: str) -> bool:
    found = phone.get(f"/recordings/{recording_id}").status
    return found == 404 and recording_id not in phone.listed()


def announced_in_parts(phone: Phone) -> str:
    """The id of a multipart upload under way."""
    begun = phone.announce(SOUND, size=6 * MIB, upload_method="multipart")
    return str(begun.json["recording"]["id"])


# What deleting does.


def test_a_deleted_recording_is_gone(phone: Phone, held: Held) -> None:
    id = phone.upload(SOUND)

    assert delete(phone, id) == 204
    assert is_gone(phone, id)
    assert held("recordings", phone.user_id) == {}
    assert phone.usage() == (0, 0)


def test_a_deletion_has_no_body(phone: Phone) -> None:
    assert phone.delete_for_good(phone.upload_directly(SOUND)).text == ""


def test_deleting_again_changes_nothing(phone: Phone, stored: Callable[..., list[Item]]) -> None:
    id = phone.upload_directly(SOUND)
    delete(phone, id)
    before = stored(account_key(phone.user_id)["pk"])

    assert delete(phone, id) == 204
    assert stored(account_key(phone.user_id)["pk"]) == before


def test_deleting_one_leaves_the_others(phone: Phone, other: Phone) -> None:
    mine, gone = phone.upload_directly(SOUND), phone.upload_directly(SOUND)
    theirs = other.upload_directly(SOUND, gone)
    delete(phone, gone)

    assert phone.download(mine).content == SOUND
    assert other.download(theirs).content == SOUND


def test_no_version_of_a_deleted_recording_stays(
    phone: Phone, held: Held, clients: Clients, settings: Settings
) -> None:
    id = phone.upload_directly(SOUND)
    bucket, key = settings.recordings_bucket, f"{phone.user_id}/{id}"
    # As a mistaken tool would.
    clients.s3.put_object(Bucket=bucket, Key=key, Body=b"overwritten")
    clients.s3.delete_object(Bucket=bucket, Key=key)
    assert len(held("recordings", phone.user_id)[id]) == 3

    delete(phone, id)
    assert held("recordings", phone.user_id) == {}


def test_deleting_an_upload_under_way_rolls_it_back(phone: Phone, held: Held) -> None:
    id = phone.deliver(SOUND)

    assert roll_back(phone, id) == 204
    assert phone.listed(status="uploading") == phone.listed(status="trashed") == []
    assert phone.complete(id).code == "not_found"
    assert held("uploads", phone.user_id) == {}
    assert phone.usage() == (0, 0)


# What is left.


def test_a_tombstone_holds_the_id_the_time_and_the_debt_alone(phone: Phone, find: Find) -> None:
    id = phone.upload(SOUND, notes="secret", tags=["secret"], duration_ms=5)
    delete(phone, id)

    tombstone = find(phone, id)
    assert tombstone.keys() == {
        *("pk", "sk", "id", "user_id", "status", "version"),
        *("updated_at", "changes"),
        *("owes", "due_at", "due_shard", "expired", "had_links"),
    }
    assert (tombstone["id"], tombstone["status"], tombstone["expired"]) == (id, "deleted", False)


def test_a_fresh_recordings_tombstone_owes_until_no_complete_can_be_under_way(
    phone: Phone, find: Find, due: Callable[[Phone], dict[str, str]]
) -> None:
    id = phone.upload_directly(SOUND)
    completed_at = phone.get(f"/recordings/{id}").json["updated_at"]
    delete(phone, id)

    tombstone = find(phone, id)
    assert tombstone["owes"] == ["uploads", "recordings"]
    assert due(phone) == {f"REC#{id}": tombstone["due_at"]}
    assert minutes_between(completed_at, tombstone["due_at"]) == 15
    assert "ttl" not in tombstone


def test_an_uploads_tombstone_owes_for_as_long_after_the_deletion(
    phone: Phone, find: Find, clock: Clock
) -> None:
    id = phone.deliver(SOUND)
    clock.advance(minutes=60)
    roll_back(phone, id)

    tombstone = find(phone, id)
    assert tombstone["owes"] == ["uploads", "recordings"]
    assert minutes_between(tombstone["updated_at"], tombstone["due_at"]) == 15


def test_the_tombstone_of_a_recording_completed_long_ago_is_settled_at_once(
    phone: Phone, find: Find, due: Callable[[Phone], dict[str, str]], clock: Clock
) -> None:
    id = phone.upload_directly(SOUND)
    clock.advance(minutes=15)
    delete(phone, id)

    tombstone = find(phone, id)
    assert tombstone["owes"] == []
    assert due(phone) == {}
    assert {"due_at", "due_shard"}.isdisjoint(tombstone)
    in_90_days = (clock() + timedelta(days=90)).timestamp()
    assert tombstone["ttl"] == pytest.approx(in_90_days, abs=30)


def test_one_completed_a_moment_less_long_ago_still_owes(
    phone: Phone, find: Find, clock: Clock
) -> None:
    id = phone.upload_directly(SOUND)
    clock.advance(minutes=14, seconds=30)
    delete(phone, id)

    assert find(phone, id)["owes"] == ["uploads", "recordings"]


def test_deleting_again_later_settles_the_tombstone(
    phone: Phone, find: Find, due: Callable[[Phone], dict[str, str]], clock: Clock
) -> None:
    id = phone.upload_directly(SOUND)
    delete(phone, id)
    clock.advance(minutes=16)

    assert delete(phone, id) == 204
    assert find(phone, id)["owes"] == []
    assert due(phone) == {}


def minutes_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)) / timedelta(minutes=1)


# The database first.


@pytest.mark.parametrize("operation", ["ListObjectVersions", "DeleteObjects"])
def test_the_tombstone_stands_before_s3_is_asked_to_delete(
    phone: Phone, faults: Faults, find: Find, operation: str
) -> None:
    id = phone.upload_directly(SOUND)
    seen: list[tuple[bool, str, tuple[int, int]]] = []

    def look() -> None:
        seen.append((is_gone(phone, id), find(phone, id)["status"], phone.usage()))

    faults.meanwhile("s3", operation, look)
    delete(phone, id)
    assert seen == [(True, "deleted", (0, 0))]


# Each call that deletes, and the bucket it is made to.
DELETIONS: list[tuple[str, Store]] = [
    ("DeleteObjects", "uploads"),
    ("ListObjectVersions", "recordings"),
    ("DeleteObjects", "recordings"),
]
# And what S3 answers. To DeleteObjects it may also answer 200 and say of each object how it went.
REFUSALS: list[tuple[str, Store, dict[str, Any]]] = [
    *(
        (operation, bucket, refusal)
        for operation, bucket in DELETIONS
        for refusal in ({}, {"code": "AccessDenied", "status": 403})
    ),
    ("DeleteObjects", "uploads", {"status": 200}),
    ("DeleteObjects", "recordings", {"status": 200}),
]


@pytest.fixture
def refused(
    phone: Phone, faults: Faults, clock: Clock, settings: Settings, request: pytest.FixtureRequest
) -> str:
    """The id of a recording that S3 refused to delete; it could have been settled at once."""
    operation, bucket, refusal = request.param
    id = phone.upload_directly(SOUND)
    clock.advance(minutes=16)
    errors = [{"Code": "AccessDenied", "Key": f"{phone.user_id}/{id}"}]
    buckets = {"uploads": settings.uploads_bucket, "recordings": settings.recordings_bucket}
    faults.refuse("s3", operation, **refusal, bucket=buckets[bucket], Errors=errors)
    assert delete(phone, id) == 204
    assert faults.met == 1
    return id


@pytest.mark.parametrize("refused", REFUSALS, indirect=True)
def test_what_s3_refuses_to_delete_is_owed_and_due_and_deleting_again_pays_it(
    phone: Phone,
    refused: str,
    faults: Faults,
    find: Find,
    due: Callable[[Phone], dict[str, str]],
    clock: Clock,
) -> None:
    id = refused
    assert is_gone(phone, id)
    assert find(phone, id)["owes"] == ["uploads", "recordings"]
    assert due(phone)[f"REC#{id}"] <= timestamp(clock())

    faults.clear()
    assert delete(phone, id) == 204
    assert find(phone, id)["owes"] == []
    assert shortcut.objects(wiring.services().settings.recordings_bucket, phone.user_id) == {}


def test_an_uploads_bucket_that_refuses_does_not_keep_the_bytes_in_the_other(
    phone: Phone, faults: Faults, held: Held, settings: Settings
) -> None:
    id = phone.upload_directly(SOUND)
    faults.refuse("s3", "DeleteObjects", bucket=settings.uploads_bucket)

    assert delete(phone, id) == 204
    assert faults.met == 1
    assert held("recordings", phone.user_id) == {}


@pytest.mark.parametrize("operation", ["ListObjectVersions", "DeleteObjects"])
def test_a_recordings_bucket_that_refuses_does_not_keep_the_bytes_in_the_other(
    phone: Phone, faults: Faults, held: Held, settings: Settings, operation: str
) -> None:
    id = phone.deliver(SOUND)
    faults.refuse("dynamodb", "UpdateItem")
    phone.complete(id)  # Which dies half-way, so that both buckets have the bytes.
    faults.clear()
    faults.refuse("s3", operation, bucket=settings.recordings_bucket)

    assert roll_back(phone, id) == 204
    assert faults.met == 1
    assert held("uploads", phone.user_id) == {}


@pytest.mark.parametrize("operation", ["ListMultipartUploads", "AbortMultipartUpload"])
def test_an_upload_in_parts_that_s3_would_not_abort_goes_on_being_owed(
    phone: Phone,
    faults: Faults,
    clock: Clock,
    find: Find,
    under_way: Callable[[Phone], list[str]],
    operation: str,
) -> None:
    id = announced_in_parts(phone)
    faults.refuse("s3", operation)
    assert roll_back(phone, id) == 204
    clock.advance(minutes=16)
    assert roll_back(phone, id) == 204
    assert find(phone, id)["owes"] == ["parts", "uploads", "recordings"]

    faults.clear()
    assert roll_back(phone, id) == 204
    assert under_way(phone) == find(phone, id)["owes"] == []


def test_a_tombstone_that_could_not_be_settled_goes_on_owing(
    phone: Phone, faults: Faults, find: Find, clock: Clock
) -> None:
    id = phone.upload_directly(SOUND)
    clock.advance(minutes=16)
    faults.refuse("dynamodb", "UpdateItem", "InternalServerError")

    assert delete(phone, id) == 204
    assert find(phone, id)["owes"] == ["uploads", "recordings"]
    faults.clear()
    delete(phone, id)
    assert find(phone, id)["owes"] == []


@pytest.mark.parametrize("operation", ["BatchGetItem", "TransactWriteItems"])
def test_when_dynamodb_refuses_nothing_is_deleted_and_it_can_be_sent_again(
    phone: Phone, faults: Faults, held: Held, operation: str
) -> None:
    id = phone.upload_directly(SOUND)
    faults.refuse("dynamodb", operation, "ThrottlingException", 400)
    refused = phone.delete_for_good(id)
    faults.clear()

    assert (refused.status, refused.code) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert phone.download(id).content == SOUND
    assert phone.usage() == (len(SOUND), 1)
    assert delete(phone, id) == 204
    assert held("recordings", phone.user_id) == {}


def test_when_dynamodb_never_stops_conflicting_nothing_is_deleted(
    phone: Phone, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = phone.upload_directly(SOUND)
    monkeypatch.setattr(http, "SECONDS", 6.2)  # There is no time for another try soon.
    conflict: dict[str, Any] = {"CancellationReasons": [{"Code": "TransactionConflict"}]}
    faults.refuse("dynamodb", "TransactWriteItems", "TransactionCanceledException", 400, **conflict)

    assert phone.delete_for_good(id).code == "unavailable"
    assert phone.download(id).content == SOUND


def test_a_deletion_that_met_another_transaction_is_tried_again(
    phone: Phone, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.aws.dynamodb.table.CONFLICT_SECONDS", (0, 0))
    id = phone.upload_directly(SOUND)
    cancelled: dict[str, Any] = {
        "times": 30,
        "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}],
    }
    faults.refuse(
        "dynamodb", "TransactWriteItems", "TransactionCanceledException", 400, **cancelled
    )

    assert delete(phone, id) == 204
    assert faults.met == 30
    assert phone.usage() == (0, 0)


# At the same moment.


def test_two_deletions_at_once_give_the_quota_back_once(
    phone: Phone, faults: Faults, held: Held
) -> None:
    phone.upload_directly(b"another")
    id = phone.upload_directly(SOUND)
    quicker: list[int] = []
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: quicker.append(delete(phone, id)))

    assert delete(phone, id) == 204
    assert quicker == [204]
    assert phone.usage() == (len(b"another"), 1)
    assert id not in held("recordings", phone.user_id)


def test_a_change_at_the_same_moment_does_not_keep_a_recording(
    phone: Phone, faults: Faults
) -> None:
    id = phone.upload_directly(SOUND)
    faults.meanwhile(
        "dynamodb",
        "TransactWriteItems",
        lambda: phone.patch(f"/recordings/{id}", {"notes": "late"}),
    )

    assert delete(phone, id) == 204
    assert is_gone(phone, id)


def test_a_copy_made_after_the_deletion_is_owed_until_it_is_paid(
    phone: Phone, faults: Faults, held: Held, invariants: Invariants
) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    send(begun["upload"], SOUND)

    def roll_back_and_send_again() -> None:
        roll_back(phone, id)
        send(begun["upload"], SOUND)

    faults.meanwhile("s3", "CopyObject", roll_back_and_send_again)
    assert phone.complete(id).code == "not_found"
    assert held("recordings", phone.user_id) == {id: [SOUND]}
    assert invariants.broken(phone.user_id) == []
    roll_back(phone, id)
    assert held("recordings", phone.user_id) == {}


# Somebody else's.


def routes_naming_a_recording() -> Iterator[Route]:
    """All but those that make a recording: an id is only taken for its owner."""
    for methods in app.routes.values():
        for entry in methods.values():
            endpoint = entry.view_function
            assert isinstance(endpoint, Endpoint)
            route = endpoint.route
            makes_one = 201 in route.statuses and "links" not in route.path
            if route.path.startswith("/recordings/{id}") and not makes_one:
                yield route


@pytest.mark.parametrize("status", ["ready", "uploading", "trashed", "deleted"])
def test_anothers_recording_is_not_found_by_any_route_and_not_touched(
    phone: Phone, other: Phone, find: Find, held: Held, status: str
) -> None:
    id = phone.deliver(SOUND) if status == "uploading" else phone.upload_directly(SOUND)
    if status == "trashed":
        phone.delete(f"/recordings/{id}")
    if status == "deleted":
        delete(phone, id)
    before = find(phone, id), held("uploads", phone.user_id), held("recordings", phone.user_id)
    for route in routes_naming_a_recording():
        path = route.path.format(id=id, number=1, code="00000-00000")
        answer = other.call(route.method, path, {} if route.body else None)
        assert (answer.status, answer.code) == (404, "not_found"), route.path
    after = find(phone, id), held("uploads", phone.user_id), held("recordings", phone.user_id)
    assert after == before


def test_every_way_to_a_recording_is_among_the_routes_tried_on_anothers() -> None:
    tried = {f"{route.method} {route.path}" for route in routes_naming_a_recording()}

    assert tried >= {
        "GET /recordings/{id}",
        "PATCH /recordings/{id}",
        "DELETE /recordings/{id}",
        "POST /recordings/{id}/complete",
        "POST /recordings/{id}/restore",
        "GET /recordings/{id}/upload",
    }


def test_a_direct_upload_under_anothers_id_makes_ones_own_recording(
    phone: Phone, other: Phone
) -> None:
    id = phone.upload_directly(SOUND)

    assert other.put_audio(id, b"not theirs").status == 201
    assert phone.download(id).content == SOUND
    assert other.download(id).content == b"not theirs"
