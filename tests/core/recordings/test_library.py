"""The library: recordings listed, renamed and played."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.message import Message

import pytest
from werkzeug.http import parse_options_header

from chalicelib import wiring
from chalicelib.aws.dynamodb.items import recording_item
from chalicelib.core.ids import uuid7
from tests.support import shortcut
from tests.support.faults import Faults
from tests.support.phone import Phone, send

SOUND = b"some sound"


def announced(phone: Phone, count: int, **fields: object) -> list[str]:
    """The ids of so many uploads under way, oldest first."""
    ends = datetime.now(UTC) + timedelta(days=7)
    made = [
        shortcut.recording(phone.user_id, "uploading", upload_expires_at=ends, **fields)
        for _ in range(count)
    ]
    shortcut.put(wiring.services().settings.table, map(recording_item, made))
    return [recording.id for recording in made]


def pages(phone: Phone, **query: object) -> Iterator[list[str]]:
    """The ids on each page of a shelf, as `next` leads from one to the next."""
    while True:
        page = phone.get("/recordings", query=query).json
        yield [recording["id"] for recording in page["recordings"]]
        if page["next"] is None:
            return
        query["after"] = page["next"]


# Listing.


def test_recordings_are_listed_newest_first(phone: Phone) -> None:
    ids = [phone.upload_directly(SOUND) for _ in range(3)]

    assert phone.listed() == ids[::-1]
    assert phone.listed(order="desc") == ids[::-1]


def test_a_recording_made_offline_is_listed_at_the_time_it_was_made(phone: Phone) -> None:
    offline, online = uuid7(), uuid7()
    phone.upload_directly(SOUND, online)
    phone.upload_directly(SOUND, offline)

    assert phone.listed() == [online, offline]


def test_each_status_has_its_own_shelf(phone: Phone) -> None:
    ready = phone.upload_directly(SOUND)
    uploading = phone.deliver(SOUND)
    trashed = phone.upload_directly(SOUND)
    phone.trash(trashed)

    assert phone.listed() == phone.listed(status="ready") == [ready]
    assert phone.listed(status="uploading") == [uploading]
    assert phone.listed(status="trashed") == [trashed]


def test_a_deleted_recording_is_on_no_shelf(phone: Phone) -> None:
    phone.delete_for_good(phone.upload_directly(SOUND))

    assert [phone.listed(status=s) for s in ("ready", "uploading", "trashed")] == [[], [], []]


def test_nobody_sees_the_recordings_of_another(phone: Phone, other: Phone) -> None:
    phone.upload_directly(SOUND)

    assert other.listed() == []


def test_a_list_does_not_say_where_recordings_play(phone: Phone) -> None:
    phone.upload_directly(SOUND)

    assert "audio" not in phone.get("/recordings").json["recordings"][0]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_recordings_page_in_either_order_with_no_one_missing_or_twice(
    phone: Phone, order: str
) -> None:
    ids = announced(phone, 12)[:: 1 if order == "asc" else -1]

    paged = list(pages(phone, limit=5, status="uploading", order=order))
    assert paged == [ids[:5], ids[5:10], ids[10:]]


def test_120_recordings_page_by_50_also_while_some_are_deleted_and_others_arrive(
    phone: Phone,
) -> None:
    ids = announced(phone, 120)[::-1]
    assert list(pages(phone, status="uploading")) == [ids[:50], ids[50:100], ids[100:]]

    paging = pages(phone, status="uploading")
    first = next(paging)
    # Seen ones, the very one that the next page begins after, and some that are not seen yet.
    gone = {first[10], first[-1], *ids[60:63], ids[119]}
    for id in gone:
        phone.delete(f"/recordings/{id}")
    announced(phone, 3)
    second = next(paging)
    phone.delete(f"/recordings/{second[-1]}")

    assert first == ids[:50]
    rest = [*second, *(id for page in paging for id in page)]
    assert rest == [id for id in ids[50:] if id not in gone]


def test_what_arrives_while_paging_from_the_oldest_comes_last(phone: Phone) -> None:
    ids = announced(phone, 4)
    paging = pages(phone, limit=2, status="uploading", order="asc")
    first = next(paging)
    phone.delete(f"/recordings/{ids[1]}")
    late = announced(phone, 1)

    assert [first, *paging] == [ids[:2], ids[2:], late]


def test_next_is_null_on_the_last_page_and_on_no_other(phone: Phone) -> None:
    for sizes in ([0], [1], [2], [2, 1], [2, 2]):
        assert [len(page) for page in pages(phone, limit=2, status="uploading")] == sizes
        announced(phone, 1)


def test_a_page_holds_50_unless_it_is_asked_for_another_number(phone: Phone) -> None:
    announced(phone, 51)

    assert len(phone.listed(status="uploading")) == 50
    assert len(phone.listed(status="uploading", limit=1)) == 1


def test_recordings_too_large_for_one_answer_of_dynamodb_page_exactly(phone: Phone) -> None:
    # Each of some 16 kB, so that the 1 MB DynamoDB gives at a time is used up in mid-page.
    ids = announced(phone, 105, notes="🎙" * 4000)[::-1]

    paged = list(pages(phone, limit=100, status="uploading"))
    assert paged == [ids[:100], ids[100:]]


def test_an_id_in_upper_case_is_a_place_in_the_list(phone: Phone) -> None:
    old, new = announced(phone, 2)

    assert phone.listed(status="uploading", after=new.upper()) == [old]


# Changing what people say about a recording.


@pytest.mark.parametrize(
    ("field", "value"),
    [("file_name", "회의.m4a"), ("tags", ["work", "한국어"]), ("tags", []), ("notes", "said")],
)
def test_what_is_changed_changes_and_the_rest_stays(
    phone: Phone, field: str, value: object
) -> None:
    id = phone.upload(SOUND, tags=["old"], notes="old")
    before = phone.get(f"/recordings/{id}").json
    changed = phone.patch(f"/recordings/{id}", {field: value}).json

    varying = {"version", "updated_at", "audio"}
    expected = before | {field: value}
    assert changed[field] == value
    assert all(changed[name] == expected[name] for name in expected if name not in varying)
    assert changed["version"] == before["version"] + 1
    assert changed["updated_at"] > before["updated_at"]


def test_null_takes_the_notes_away(phone: Phone) -> None:
    id = phone.upload(SOUND, notes="old")

    assert "notes" not in phone.patch(f"/recordings/{id}", {"notes": None}).json
    assert "notes" not in phone.get(f"/recordings/{id}").json


def test_a_change_of_nothing_changes_nothing(phone: Phone) -> None:
    id = phone.upload_directly(SOUND)
    before = phone.get(f"/recordings/{id}").json
    changed = phone.patch(f"/recordings/{id}", {}).json

    assert changed == {name: before[name] for name in changed}


@pytest.mark.parametrize(
    "change", [{"file_name": None}, {"tags": None}, {"size": 1}, {"file_name": "a\0b"}, []]
)
def test_a_change_that_cannot_be_is_refused(phone: Phone, change: object) -> None:
    id = phone.upload_directly(SOUND)
    refused = phone.patch(f"/recordings/{id}", change)

    assert (refused.status, refused.code) == (400, "invalid_request")
    assert phone.get(f"/recordings/{id}").json["version"] == 2


def test_the_etag_is_the_version(phone: Phone) -> None:
    id = phone.upload_directly(SOUND)
    found = phone.get(f"/recordings/{id}")
    changed = phone.patch(f"/recordings/{id}", {"notes": "said"})

    assert found.headers["etag"] == f'"{found.json["version"]}"'
    assert changed.headers["etag"] == f'"{found.json["version"] + 1}"'


@pytest.mark.parametrize("version", ["the etag", "*"])
def test_a_change_of_the_version_that_was_seen_is_made(phone: Phone, version: str) -> None:
    id = phone.upload_directly(SOUND)
    seen = phone.get(f"/recordings/{id}").headers["etag"]
    if_match = {"If-Match": version.replace("the etag", seen)}

    assert phone.patch(f"/recordings/{id}", {"notes": "said"}, headers=if_match).status == 200


def test_a_change_of_a_version_that_is_past_is_a_conflict(phone: Phone) -> None:
    id = phone.upload_directly(SOUND)
    seen = {"If-Match": phone.get(f"/recordings/{id}").headers["etag"]}
    phone.patch(f"/recordings/{id}", {"notes": "theirs"})
    refused = phone.patch(f"/recordings/{id}", {"notes": "ours"}, headers=seen)

    assert (refused.status, refused.code) == (409, "version_conflict")
    assert phone.get(f"/recordings/{id}").json["notes"] == "theirs"


def test_a_conflict_brings_the_recording_as_it_is_now(phone: Phone) -> None:
    id = phone.upload_directly(SOUND)
    theirs = phone.patch(f"/recordings/{id}", {"notes": "theirs"}).json
    ours = phone.patch(f"/recordings/{id}", {"notes": "ours"}, headers={"If-Match": '"2"'})

    assert ours.json["recording"] == theirs
    again = {"If-Match": f'"{ours.json["recording"]["version"]}"'}
    assert phone.patch(f"/recordings/{id}", {"notes": "ours"}, headers=again).status == 200


def test_a_change_of_nothing_is_held_against_the_version_too(phone: Phone) -> None:
    id = phone.upload_directly(SOUND)

    assert phone.patch(f"/recordings/{id}", {}, headers={"If-Match": '"2"'}).status == 200
    assert phone.patch(f"/recordings/{id}", {}, headers={"If-Match": '"1"'}).status == 409


def test_a_change_made_between_our_read_and_our_write_is_a_conflict(
    phone: Phone, faults: Faults
) -> None:
    id = phone.upload_directly(SOUND)
    seen = {"If-Match": phone.get(f"/recordings/{id}").headers["etag"]}
    faults.meanwhile(
        "dynamodb", "UpdateItem", lambda: phone.patch(f"/recordings/{id}", {"notes": "theirs"})
    )

    assert phone.patch(f"/recordings/{id}", {"notes": "ours"}, headers=seen).status == 409
    assert phone.get(f"/recordings/{id}").json["notes"] == "theirs"


def test_two_changes_at_once_are_both_made(phone: Phone, faults: Faults) -> None:
    id = phone.upload_directly(SOUND)
    faults.meanwhile(
        "dynamodb", "UpdateItem", lambda: phone.patch(f"/recordings/{id}", {"tags": ["theirs"]})
    )
    changed = phone.patch(f"/recordings/{id}", {"notes": "ours"}).json

    assert (changed["tags"], changed["notes"], changed["version"]) == (["theirs"], "ours", 4)


def test_a_change_of_what_is_announced_meanwhile_is_made(phone: Phone, faults: Faults) -> None:
    id = uuid7()
    faults.meanwhile("dynamodb", "GetItem", lambda: phone.announce(SOUND, id=id))
    changed = phone.patch(f"/recordings/{id}", {"notes": "said"})

    assert (faults.met, changed.status) == (1, 200)
    assert phone.get(f"/recordings/{id}").json["notes"] == "said"


@pytest.mark.deep
def test_20_changes_at_once_are_all_made(phone: Phone) -> None:
    id = phone.upload_directly(SOUND)
    at_once = threading.Barrier(20)

    def one_of_twenty(_: int) -> int:
        at_once.wait()
        return phone.patch(f"/recordings/{id}", {"notes": "said"}).status

    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(one_of_twenty, range(20))) == [200] * 20
    assert phone.get(f"/recordings/{id}").json["version"] == 22


@pytest.mark.parametrize(("others", "status"), [(9, 200), (10, 503)])
def test_a_change_is_tried_ten_times_while_others_are_quicker(
    phone: Phone, faults: Faults, others: int, status: int
) -> None:
    id = phone.upload_directly(SOUND)
    faults.refuse("dynamodb", "UpdateItem", "ConditionalCheckFailedException", 400, times=others)

    assert phone.patch(f"/recordings/{id}", {"notes": "said"}).status == status
    assert faults.met == others


@pytest.mark.parametrize(("others", "status"), [(9, 204), (10, 503)])
def test_what_is_deleted_is_looked_at_ten_times_while_others_are_quicker(
    phone: Phone, faults: Faults, others: int, status: int
) -> None:
    id = phone.upload_directly(SOUND)
    faults.refuse("dynamodb", "UpdateItem", "ConditionalCheckFailedException", 400, times=others)

    assert phone.delete(f"/recordings/{id}").status == status


def test_an_if_match_that_is_no_version_is_refused(phone: Phone) -> None:
    id = phone.upload_directly(SOUND)
    for garbage in ("3", '"x"', 'w/"2"', '"2", "3"', '""', '"-1"', '"2'):
        refused = phone.patch(f"/recordings/{id}", {"notes": "x"}, headers={"If-Match": garbage})
        assert (refused.status, refused.fields) == (400, ["If-Match"]), garbage


def test_a_change_does_not_disturb_an_upload_under_way(phone: Phone) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    phone.patch(f"/recordings/{id}", {"notes": "said", "file_name": "new.m4a"})
    send(begun["upload"], SOUND)

    completed = phone.complete(id).json
    assert (completed["status"], completed["notes"]) == ("ready", "said")
    assert completed["file_name"] == "new.m4a"


def test_a_change_in_the_midst_of_a_complete_is_kept(phone: Phone, faults: Faults) -> None:
    id = phone.deliver(SOUND)
    faults.meanwhile(
        "s3", "CopyObject", lambda: phone.patch(f"/recordings/{id}", {"notes": "said"})
    )

    assert phone.complete(id).json["notes"] == "said"


def test_a_change_does_not_make_the_same_announcement_a_conflict(phone: Phone) -> None:
    id = uuid7()
    phone.announce(SOUND, id=id)
    phone.patch(f"/recordings/{id}", {"file_name": "new.m4a", "tags": ["new"], "notes": "new"})
    again = phone.announce(SOUND, id=id)

    assert again.status == 200
    assert again.json["recording"]["file_name"] == "new.m4a"


def test_an_unknown_recording_is_not_found(phone: Phone) -> None:
    assert phone.get(f"/recordings/{uuid7()}").code == "not_found"
    assert phone.patch(f"/recordings/{uuid7()}", {"notes": "x"}).code == "not_found"


@pytest.mark.parametrize("headers", [{}, {"If-Match": '"2"'}], ids=["any version", "the version"])
def test_a_deleted_recording_cannot_be_changed(phone: Phone, headers: dict[str, str]) -> None:
    id = phone.upload_directly(SOUND)
    phone.delete_for_good(id)

    changed = phone.patch(f"/recordings/{id}", {"notes": "x"}, headers=headers)
    assert (changed.status, changed.code) == (404, "not_found")


# Playing. The bytes come from S3, which does as the signed URL says.


def by_python(header: str) -> str | None:
    message = Message()
    message["Content-Disposition"] = header
    return message.get_filename()


def by_werkzeug(header: str) -> str | None:
    return parse_options_header(header)[1].get("filename")


@pytest.mark.parametrize(
    "file_name",
    ["clip.m4a", "회의 녹음.m4a", "a,b;c.m4a", "100% + 'x'.m4a", "naïve.m4a", "a=b, c.m4a"],
)
def test_a_recording_plays_under_its_own_name(phone: Phone, file_name: str) -> None:
    id = uuid7()
    phone.put_audio(id, SOUND, file_name=file_name)
    disposition = phone.download(id).headers["content-disposition"]

    assert by_python(disposition) == by_werkzeug(disposition) == file_name


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("9/12 a\\b.m4a", "9_12 a_b.m4a"),
        ('a"b*c?d<e>f|g:h.wav', "a_b_c_d_e_f_g_h.wav"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "recording"),
        (" . ", "recording"),
        (".hidden", "hidden"),
        ("talk. ", "talk"),
        ("con.m4a", "_con.m4a"),
        ("COM1", "_COM1"),
        ("Console.m4a", "Console.m4a"),
        ("x" * 255, "x" * 255),
        ("\u00e9" * 200 + ".m4a", "\u00e9" * 125 + ".m4a"),
        ("\U0001f600" * 255, "\U0001f600" * 63),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_a_download_is_called_what_any_file_system_takes(
    phone: Phone, title: str, name: str
) -> None:
    id = uuid7()
    phone.put_audio(id, SOUND, file_name=title)

    audio = phone.get(f"/recordings/{id}").json
    assert audio["file_name"] == title
    assert by_python(phone.download(id).headers["content-disposition"]) == name


def test_a_recording_plays_under_the_name_it_has_now(phone: Phone) -> None:
    id = phone.upload(SOUND)
    phone.patch(f"/recordings/{id}", {"file_name": "new.m4a"})

    assert by_python(phone.download(id).headers["content-disposition"]) == "new.m4a"


def test_a_recording_plays_as_its_own_type_and_privately(phone: Phone) -> None:
    played = phone.download(phone.upload(SOUND, content_type="audio/flac"))

    assert played.headers["content-type"] == "audio/flac"
    assert played.headers["cache-control"] == "private"
    assert played.headers["content-disposition"].startswith("inline")


def test_a_part_of_a_recording_plays_by_range(phone: Phone) -> None:
    played = phone.download(phone.upload(SOUND), Range="bytes=2-5")

    assert (played.status_code, played.content) == (206, SOUND[2:6])
    assert played.headers["content-range"] == "bytes 2-5/10"


def test_an_upload_under_way_does_not_play(phone: Phone) -> None:
    assert "audio" not in phone.get(f"/recordings/{phone.deliver(SOUND)}").json
