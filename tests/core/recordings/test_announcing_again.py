"""The same announcement again: a recording is known by its bytes, and the rest revises it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import recording_key, to_attributes
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from tests.conftest import Find
from tests.support.faults import Faults
from tests.support.invariants import Invariants
from tests.support.phone import Answer, Phone, send

SOUND = b"some sound"
OTHER = b"else sound"
TOLD: list[tuple[str, Any]] = [
    ("file_name", "renamed.m4a"),
    ("duration_ms", 1500),
    ("recorded_at", "2026-02-03T04:05:06.000Z"),
    ("tags", ["work"]),
    ("notes", "said"),
]
each_field = pytest.mark.parametrize(("field", "value"), TOLD, ids=lambda told: str(told)[:12])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@each_field
def test_what_else_it_says_revises_an_upload_under_way(
    phone: Phone, field: str, value: object
) -> None:
    id = phone.deliver(SOUND, id=uuid7())
    before = phone.seen(id)

    again = phone.announce(SOUND, id=id, **{field: value})

    revised = before | {field: value, "version": 2}
    assert again.status == 200
    assert {n: v for n, v in again.json["recording"].items() if n != "updated_at"} == {
        n: v for n, v in revised.items() if n != "updated_at"
    }
    assert phone.complete(id).json[field] == value


def test_what_it_does_not_say_stays(phone: Phone) -> None:
    id = uuid7()
    phone.announce(SOUND, id=id, **dict(TOLD))

    again = phone.announce(SOUND, id=id).json["recording"]

    assert {**again, "file_name": "renamed.m4a"} == {**phone.seen(id), "file_name": "renamed.m4a"}
    assert (again["notes"], again["duration_ms"], again["tags"]) == ("said", 1500, ["work"])


def test_it_revises_again_and_again(phone: Phone) -> None:
    id = uuid7()
    for name in ("a", "b", "c"):
        recording = phone.announce(SOUND, id=id, file_name=name).json["recording"]
        assert recording["file_name"] == name

    assert recording["version"] == 3


def test_what_says_nothing_new_writes_nothing(phone: Phone, find: Find) -> None:
    id = uuid7()
    phone.announce(SOUND, id=id, **dict(TOLD))
    before = find(phone, id)

    assert phone.announce(SOUND, id=id, **dict(TOLD)).status == 200
    assert find(phone, id) == before


def test_a_title_in_another_normal_form_says_nothing_new(phone: Phone) -> None:
    id, title = uuid7(), "회의 Caf\u00e9.m4a"
    phone.announce(SOUND, id=id, file_name=title)

    again = phone.announce(SOUND, id=id, file_name=unicodedata.normalize("NFD", title))

    assert (again.status, again.json["recording"]["version"]) == (200, 1)
    assert again.json["recording"]["file_name"] == title


@each_field
def test_what_its_owner_changed_is_not_revised(phone: Phone, field: str, value: object) -> None:
    id = uuid7()
    phone.announce(SOUND, id=id)
    changed = phone.patch(f"/recordings/{id}", {"notes": "mine"}).json

    again = phone.announce(SOUND, id=id, **{field: value})

    assert (again.status, again.json["recording"]) == (200, changed)


def test_what_its_owner_changed_after_a_revision_is_not_revised(phone: Phone) -> None:
    id = uuid7()
    for name in ("a", "b"):
        phone.announce(SOUND, id=id, file_name=name)
    changed = phone.patch(f"/recordings/{id}", {"file_name": "mine"}).json

    assert phone.announce(SOUND, id=id, file_name="c").json["recording"] == changed


def test_a_change_between_our_read_and_our_revision_is_kept(phone: Phone, faults: Faults) -> None:
    id = uuid7()
    phone.announce(SOUND, id=id)
    faults.meanwhile(
        "dynamodb", "UpdateItem", lambda: phone.patch(f"/recordings/{id}", {"notes": "mine"})
    )

    again = phone.announce(SOUND, id=id, notes="announced")

    assert (again.status, again.json["recording"]["notes"]) == (200, "mine")


@each_field
@pytest.mark.parametrize("trashed", [False, True])
def test_what_is_no_upload_any_more_is_not_revised(
    phone: Phone, field: str, value: object, trashed: bool
) -> None:
    id = phone.upload(SOUND, id=uuid7())
    if trashed:
        phone.trash(id)
    before = phone.seen(id)

    again = phone.announce(SOUND, id=id, **{field: value})

    assert (again.status, again.json) == (200, {"recording": before, "upload": None})


def test_what_began_again_is_revised_until_its_owner_changes_it(
    phone: Phone, expire: Callable[[Phone, str], None]
) -> None:
    id = str(phone.announce(SOUND).json["recording"]["id"])
    expire(phone, id)
    phone.announce(SOUND, id=id)
    assert phone.announce(SOUND, id=id, notes="a").json["recording"]["notes"] == "a"

    phone.patch(f"/recordings/{id}", {"notes": "mine"})
    assert phone.announce(SOUND, id=id, notes="b").json["recording"]["notes"] == "mine"


def test_a_batch_revises_what_is_under_way_and_adds_the_rest(phone: Phone) -> None:
    old, new = uuid7(), uuid7()
    common = {"content_type": "audio/mp4", "size": len(SOUND)}
    phone.announce(SOUND, id=old)

    begun = phone.post(
        "/recordings/batch",
        {"recordings": [common | {"id": id, "file_name": "b"} for id in (old, new)]},
    ).json["recordings"]

    assert [each["recording"]["file_name"] for each in begun] == ["b", "b"]
    assert [each["recording"]["version"] for each in begun] == [2, 1]


# Another way to send it


def test_what_goes_in_parts_after_all_has_parts_as_any_other(phone: Phone) -> None:
    body = {"id": uuid7(), "file_name": "a", "content_type": "audio/mp4", "size": 20_000_000}
    phone.post("/recordings", body | {"upload_method": "put"})

    upload = phone.post("/recordings", body | {"upload_method": "multipart"}).json["upload"]

    assert [part["size"] for part in upload["parts"]] == [8_388_608, 8_388_608, 3_222_784]


WAYS = ["put", "post", "multipart"]


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
def test_another_way_to_send_it_is_taken(
    phone: Phone,
    first: str,
    second: str,
    invariants: Invariants,
    run_down: Callable[[], None],
    under_way: Callable[[Phone], list[str]],
) -> None:
    id = phone.deliver(SOUND, id=uuid7(), upload_method=first)

    again = phone.announce(SOUND, id=id, upload_method=second)

    assert (again.status, again.json["upload"]["method"]) == (200, second)
    send(again.json["upload"], SOUND)
    assert phone.complete(id).status == 200
    assert under_way(phone) == []
    run_down()
    assert invariants.broken_at_rest(phone.user_id) == []


def test_no_part_of_another_way_outlives_the_recording(
    phone: Phone, under_way: Callable[[Phone], list[str]], clear_away: Callable[[], None]
) -> None:
    id = phone.deliver(SOUND, id=uuid7(), upload_method="multipart")
    phone.announce(SOUND, id=id, upload_method="put")
    assert len(under_way(phone)) == 1

    phone.delete(f"/recordings/{id}")
    clear_away()

    assert under_way(phone) == []


# What an earlier version of the app stored


@pytest.fixture
def age(settings: Settings, clients: Clients) -> Callable[[Phone, str], None]:
    """Makes a recording one that was announced before announcements were told apart so."""

    def age(phone: Phone, id: str) -> None:
        clients.dynamodb.update_item(
            TableName=settings.table,
            Key=to_attributes(recording_key(phone.user_id, id)),
            UpdateExpression="SET fingerprint = :old REMOVE announced_version",
            ExpressionAttributeValues=to_attributes({":old": "a" * 64}),
        )

    return age


Age = Callable[[Phone, str], None]


@pytest.mark.parametrize("hashed", [{}, {"sha256": sha256(SOUND)}], ids=["", "hashed"])
def test_an_upload_of_an_earlier_version_is_known_and_revised(
    phone: Phone, age: Age, hashed: dict[str, str]
) -> None:
    id = phone.deliver(SOUND, id=uuid7(), **hashed)
    age(phone, id)

    again = phone.announce(SOUND, id=id, file_name="renamed", **hashed)

    assert (again.status, again.json["recording"]["file_name"]) == (200, "renamed")
    assert phone.complete(id).status == 200


@pytest.mark.parametrize("hashed", [{}, {"sha256": sha256(SOUND)}], ids=["", "hashed"])
def test_a_recording_of_an_earlier_version_is_known(
    phone: Phone, age: Age, hashed: dict[str, str]
) -> None:
    id = phone.upload(SOUND, id=uuid7())
    age(phone, id)

    assert phone.announce(SOUND, id=id, **hashed).status == 200
    assert phone.announce(SOUND, id=id, sha256=sha256(OTHER)).code == "id_conflict"


# Sending directly what was announced


def put(phone: Phone, id: str, data: bytes, **query: object) -> Answer:
    return phone.call(
        "PUT",
        f"/recordings/{id}/audio",
        data,
        query={"file_name": "clip.m4a", **query},
        headers={"Content-Type": "audio/mp4"},
    )


def test_a_direct_upload_takes_what_an_announcement_says(phone: Phone) -> None:
    id = uuid7()
    path = f"/recordings/{id}/audio?file_name=a&tag=work&tag=a%20b&notes=said&duration_ms=1500.0"

    recorded = f"{path}&recorded_at=2026-02-03T04:05Z"
    answer = phone.call("PUT", recorded, SOUND, headers={"Content-Type": "audio/mp4"})

    told = {
        "tags": ["work", "a b"],
        "notes": "said",
        "duration_ms": 1500,
        "recorded_at": "2026-02-03T04:05:00.000Z",
    }
    assert answer.status == 201
    assert {field: answer.json[field] for field in told} == told


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"recorded_at": "2026-02-03T04:05"}, "recorded_at"),
        ({"duration_ms": "-1"}, "duration_ms"),
        ({"tag": ""}, "tag[0]"),
        ({"notes": "x" * 4001}, "notes"),
        ({"size": "3"}, "size"),
    ],
    ids=str,
)
def test_a_direct_upload_that_says_what_cannot_be_is_refused(
    phone: Phone, query: dict[str, object], field: str
) -> None:
    id = uuid7()
    answer = put(phone, id, SOUND, **query)

    assert (answer.status, answer.fields) == (400, [field])
    assert phone.get(f"/recordings/{id}").status == 404


@pytest.mark.parametrize("method", WAYS)
@pytest.mark.parametrize("hashed", [{}, {"sha256": sha256(SOUND)}], ids=["", "hashed"])
def test_what_was_announced_may_be_sent_directly(
    phone: Phone,
    method: str,
    hashed: dict[str, str],
    invariants: Invariants,
    run_down: Callable[[], None],
) -> None:
    id = uuid7()
    phone.announce(SOUND, id=id, upload_method=method, recorded_at="2026-02-03T04:05Z", **hashed)

    answer = put(phone, id, SOUND, duration_ms=1500)

    assert (answer.status, answer.json["status"]) == (201, "ready")
    assert answer.json["recorded_at"] == "2026-02-03T04:05:00.000Z"
    assert answer.json["duration_ms"] == 1500
    assert phone.download(id).content == SOUND
    run_down()
    assert invariants.broken_at_rest(phone.user_id) == []


@pytest.mark.parametrize(
    ("announced", "sent"),
    [
        ({"sha256": sha256(OTHER)}, SOUND),
        ({}, b"other length"),
        ({"content_type": "audio/aac"}, SOUND),
    ],
    ids=["hash", "size", "type"],
)
def test_what_was_not_announced_is_not_sent_directly(
    phone: Phone, find: Find, announced: dict[str, str], sent: bytes
) -> None:
    id = uuid7()
    phone.announce(SOUND, id=id, **announced)
    before = find(phone, id)

    assert put(phone, id, sent).code == "id_conflict"
    assert find(phone, id) == before


def test_of_two_that_send_other_bytes_directly_one_has_announced_its_own(
    phone: Phone, faults: Faults
) -> None:
    id = uuid7()
    phone.announce(SOUND, id=id)
    faults.meanwhile("s3", "PutObject", lambda: put(phone, id, OTHER))

    answer = put(phone, id, SOUND)

    assert (answer.status, answer.json["sha256"]) == (201, sha256(SOUND))
    assert phone.download(id).content == SOUND


@pytest.mark.parametrize("call", ["PutObject", "UpdateItem"])
def test_bytes_that_arrive_in_s3_meanwhile_are_not_taken_for_those_that_were_sent(
    phone: Phone, faults: Faults, call: str
) -> None:
    id = phone.deliver(OTHER, id=uuid7())
    service = "s3" if call == "PutObject" else "dynamodb"
    faults.meanwhile(service, call, lambda: phone.complete(id))

    answer = put(phone, id, SOUND)

    kept = phone.download(id).content
    assert phone.seen(id)["sha256"] == sha256(kept)
    assert (answer.status == 201) == (kept == SOUND)


def test_bytes_that_were_sent_meanwhile_are_not_taken_for_those_in_s3(
    phone: Phone, faults: Faults
) -> None:
    id = phone.deliver(OTHER, id=uuid7())
    faults.meanwhile("dynamodb", "UpdateItem", lambda: put(phone, id, SOUND))

    phone.complete(id)

    kept = phone.download(id).content
    assert phone.seen(id)["sha256"] == sha256(kept)


# Changing what was announced


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"recorded_at": "2026-02-03T04:05Z"}, "2026-02-03T04:05:00.000Z"),
        ({"duration_ms": 0}, 0),
        ({"duration_ms": 1500.0}, 1500),
        ({"duration_ms": None}, None),
        ({"recorded_at": None}, None),
    ],
    ids=str,
)
def test_when_and_how_long_can_be_changed_and_taken_away(
    phone: Phone, change: dict[str, object], kept: object
) -> None:
    (field,) = change
    id = phone.upload(SOUND, duration_ms=7, recorded_at="2020-01-01T00:00Z")

    changed = phone.patch(f"/recordings/{id}", change)

    assert (changed.status, changed.json.get(field)) == (200, kept)
    assert phone.seen(id).get(field) == kept
