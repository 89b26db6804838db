"""Uploads in parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from tests.core.recordings.conftest import PART_BYTES
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.phone import Phone, send, send_part
from tests.support.s3_rules import accepts

# Three parts, each other than the rest, and the last of one byte.
SOUND = b"a" * PART_BYTES + b"b" * PART_BYTES + b"c"
OTHER = SOUND.upper()
SHORT = SOUND[:5]

pytestmark = pytest.mark.usefixtures("small_parts")

UnderWay = Callable[[Phone], list[str]]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def numbers(parts: list[dict[str, Any]]) -> list[int]:
    return [part["number"] for part in parts]


def begin(phone: Phone, data: bytes = SOUND, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Announce a recording that goes in parts; its id and how to send it."""
    begun = phone.announce(data, **{"upload_method": "multipart"} | fields).json
    return begun["recording"]["id"], begun["upload"]


@pytest.fixture
def upload_of(settings: Settings) -> Callable[[Phone, str, str], dict[str, Any]]:
    """What S3's client names a multipart upload by."""

    def name(phone: Phone, id: str, upload_id: str) -> dict[str, Any]:
        key = f"{phone.user_id}/{id}"
        return {"Bucket": settings.uploads_bucket, "Key": key, "UploadId": upload_id}

    return name


# What is signed. moto enforces none of it.


def test_each_part_is_signed_with_its_number_its_upload_and_its_exact_length(
    phone: Phone, under_way: UnderWay
) -> None:
    _, upload = begin(phone)

    [upload_id] = under_way(phone)
    for part in upload["parts"]:
        query = query_of(part["url"])
        assert (query["partNumber"], query["uploadId"]) == (str(part["number"]), upload_id)
        assert query["X-Amz-SignedHeaders"] == "content-length;host"
        assert accepts("PUT", part["url"], {"Content-Length": str(part["size"])})


def test_a_part_is_no_signature_for_another_length_number_upload_or_method(phone: Phone) -> None:
    _, upload = begin(phone)
    part = upload["parts"][0]
    url, length = part["url"], {"Content-Length": str(part["size"])}
    upload_id = query_of(url)["uploadId"]

    assert not accepts("PUT", url, {})
    assert not accepts("PUT", url, {"Content-Length": str(part["size"] + 1)})
    assert not accepts("PUT", url, {"Content-Length": str(part["size"] - 1)})
    assert not accepts("PUT", url.replace("partNumber=1", "partNumber=2"), length)
    assert not accepts("PUT", url.replace(upload_id, "another"), length)
    assert not accepts("PUT", url.replace("?", "0?", 1), length)
    assert not accepts("DELETE", url, length)


def test_the_parts_last_as_long_as_is_announced(phone: Phone) -> None:
    _, upload = begin(phone)

    for part in upload["parts"]:
        query = query_of(part["url"])
        signed_at = datetime.strptime(query["X-Amz-Date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
        expires = signed_at + timedelta(seconds=int(query["X-Amz-Expires"]))
        # A signature's time has no fraction of a second, and is taken a moment later.
        apart = expires - datetime.fromisoformat(upload["expires_at"])
        assert abs(apart) <= timedelta(seconds=1)


def test_the_parts_are_signed_for_the_public_address(
    phone: Phone, configure: Callable[..., None]
) -> None:
    configure(s3_public_url="http://10.0.2.2:9000")
    _, upload = begin(phone)

    assert all(part["url"].startswith("http://10.0.2.2:9000/") for part in upload["parts"])


# Going on.


def test_an_upload_in_parts_comes_back_byte_for_byte(phone: Phone) -> None:
    id = phone.upload(SOUND, upload_method="multipart")

    assert phone.download(id).content == SOUND
    assert phone.get(f"/recordings/{id}").json["sha256"] == sha256(SOUND)
    assert phone.download(id).headers["content-type"] == "audio/mp4"


def test_a_new_upload_has_every_part_to_send_and_none_that_arrived(phone: Phone) -> None:
    _, upload = begin(phone)

    assert numbers(upload["parts"]) == [1, 2, 3]
    assert upload["uploaded"] == []


def test_an_upload_goes_on_with_the_parts_that_s3_does_not_have(phone: Phone) -> None:
    id, upload = begin(phone)
    etag = send_part(upload, 2, SOUND)
    rest = phone.resume(id).json["upload"]

    assert rest["uploaded"] == [{"number": 2, "size": PART_BYTES, "etag": etag}]
    assert numbers(rest["parts"]) == [1, 3]
    send(rest, SOUND)
    assert phone.complete(id).json["status"] == "ready"
    assert phone.download(id).content == SOUND


def test_the_same_announcement_again_goes_on_with_the_parts_too(phone: Phone) -> None:
    id, upload = begin(phone, id=uuid7())
    send_part(upload, 1, SOUND)
    _, again = begin(phone, id=id)

    assert (numbers(again["uploaded"]), numbers(again["parts"])) == ([1], [2, 3])


def test_parts_are_found_on_every_page_of_them(phone: Phone, faults: Faults) -> None:
    id, upload = begin(phone)
    send_part(upload, 1, SOUND)
    send_part(upload, 2, SOUND)
    # S3 lists them by the thousand.
    faults.ask("s3", "ListParts", MaxParts=1)
    listed = faults.asked("s3", "ListParts")
    rest = phone.resume(id).json["upload"]

    assert len(listed) > 1
    assert (numbers(rest["uploaded"]), numbers(rest["parts"])) == ([1, 2], [3])
    send_part(upload, 3, SOUND)
    assert phone.complete(id).json["sha256"] == sha256(SOUND)


def test_a_part_of_another_size_has_not_arrived(
    phone: Phone, clients: Clients, under_way: UnderWay, upload_of: Callable[..., Any]
) -> None:
    id, upload = begin(phone)
    send(upload, SOUND)
    them = upload_of(phone, id, *under_way(phone))
    clients.s3.upload_part(**them, PartNumber=2, Body=SOUND[:6])
    rest = phone.resume(id).json["upload"]

    assert (numbers(rest["uploaded"]), numbers(rest["parts"])) == ([1, 3], [2])
    assert_incomplete(phone, id, "Part 2 has not arrived")
    send(rest, SOUND)
    assert phone.complete(id).json["sha256"] == sha256(SOUND)


def test_a_part_sent_again_takes_the_place_of_the_first(phone: Phone) -> None:
    id, upload = begin(phone)
    send(upload, SOUND)
    send_part(upload, 2, OTHER)

    assert phone.complete(id).status == 200
    mixed = SOUND[:PART_BYTES] + OTHER[PART_BYTES:-1] + SOUND[-1:]
    assert phone.download(id).content == mixed


# Completing.


def assert_incomplete(phone: Phone, id: str, *wrong: str, body: object = None) -> None:
    refused = phone.complete(id, body)

    assert (refused.status, refused.code) == (409, "upload_incomplete")
    errors = [{"field": "parts", "message": message} for message in wrong]
    assert refused.json["errors"] == errors


def test_parts_that_have_not_arrived_are_named_and_the_upload_goes_on(phone: Phone) -> None:
    id, upload = begin(phone)
    send_part(upload, 2, SOUND)
    assert_incomplete(phone, id, "Part 1 has not arrived", "Part 3 has not arrived")

    send_part(upload, 1, SOUND)
    send_part(upload, 3, SOUND)
    assert phone.complete(id).json["status"] == "ready"
    assert phone.download(id).content == SOUND


@pytest.mark.parametrize("quote", ['"', ""], ids=["quoted", "bare"])
def test_parts_may_be_named_with_etags_in_quotes_or_without(phone: Phone, quote: str) -> None:
    id, upload = begin(phone)
    etags = [send_part(upload, number, SOUND).strip('"') for number in (1, 2, 3)]
    # In any order.
    parts = [{"number": n, "etag": f"{quote}{etags[n - 1]}{quote}"} for n in (3, 1, 2)]

    assert phone.complete(id, {"parts": parts}).json["status"] == "ready"


def test_an_empty_list_of_parts_names_none(phone: Phone) -> None:
    id = phone.deliver(SHORT, upload_method="multipart")

    assert phone.complete(id, {"parts": []}).json["status"] == "ready"


WRONG: dict[str, tuple[dict[int, str | None], str]] = {
    "of another etag": ({2: "0" * 32}, "Part 2 is not the one that arrived"),
    "left out": ({2: None}, "Part 2 is not named"),
    "too many": ({4: "0" * 32}, "Part 4 is not the one that arrived"),
    "several": (
        {1: None, 3: "0" * 32},
        "Part 1 is not named; Part 3 is not the one that arrived",
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_parts_that_are_not_as_they_are_named_are_named_and_the_upload_goes_on(
    phone: Phone, mistake: str
) -> None:
    id, upload = begin(phone)
    arrived: dict[int, str | None] = {n: send_part(upload, n, SOUND) for n in (1, 2, 3)}
    changes, wrong = WRONG[mistake]
    named = [{"number": n, "etag": etag} for n, etag in (arrived | changes).items() if etag]
    assert_incomplete(phone, id, *wrong.split("; "), body={"parts": named})

    assert numbers(phone.resume(id).json["upload"]["uploaded"]) == [1, 2, 3]
    assert phone.complete(id).json["sha256"] == sha256(SOUND)


def test_a_part_that_is_named_but_has_not_arrived_is_named_once(phone: Phone) -> None:
    id, upload = begin(phone)
    named = [{"number": n, "etag": send_part(upload, n, SOUND)} for n in (1, 2)]
    named.append({"number": 3, "etag": "0" * 32})

    assert_incomplete(phone, id, "Part 3 has not arrived", body={"parts": named})


@pytest.mark.parametrize(
    "part",
    [{"number": 0, "etag": "x"}, {"number": 10_001, "etag": "x"}, {"number": 1, "etag": ""}, {}],
)
def test_a_part_that_no_upload_can_have_is_a_bad_request(
    phone: Phone, part: dict[str, object]
) -> None:
    id, _ = begin(phone, SHORT)

    assert phone.complete(id, {"parts": [part]}).status == 400


def test_a_part_sent_again_while_its_upload_is_completed_is_the_one_that_counts(
    phone: Phone, faults: Faults, invariants: Invariants
) -> None:
    id, upload = begin(phone, SHORT)
    send(upload, SHORT)
    again = OTHER[:5]
    faults.meanwhile("s3", "CompleteMultipartUpload", partial(send, upload, again))

    assert phone.complete(id).json["sha256"] == sha256(again)
    assert phone.download(id).content == again
    assert invariants.broken(phone.user_id) == []


def test_parts_that_never_stop_changing_can_be_completed_later(
    phone: Phone, faults: Faults
) -> None:
    id = phone.deliver(SHORT, upload_method="multipart")
    faults.refuse("s3", "CompleteMultipartUpload", "InvalidPart", 400)
    assert phone.complete(id).code == "unavailable"

    faults.clear()
    assert phone.complete(id).json["status"] == "ready"


def test_other_parts_than_announced_are_refused_removed_and_can_be_sent_again(
    phone: Phone, held: Held, under_way: UnderWay
) -> None:
    id, upload = begin(phone, SHORT, sha256=sha256(SHORT))
    send(upload, OTHER)
    refused = phone.complete(id)
    assert (refused.status, refused.code) == (409, "upload_mismatch")
    assert (held("uploads", phone.user_id), held("recordings", phone.user_id)) == ({}, {})
    assert under_way(phone) == []

    afresh = phone.resume(id).json["upload"]
    assert (numbers(afresh["parts"]), afresh["uploaded"]) == ([1], [])
    send(afresh, SHORT)
    assert phone.complete(id).json["sha256"] == sha256(SHORT)
