"""Uploads in parts that end otherwise than their phone meant: given up, cut off, rolled back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from chalicelib.aws.clients import Clients
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from tests.core.recordings.conftest import PART_BYTES
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.phone import NO_TLS, Phone, send, send_part

# Two parts, and one.
SOUND = b"a" * PART_BYTES + b"b"
SHORT = SOUND[:5]

pytestmark = pytest.mark.usefixtures("small_parts")

UnderWay = Callable[[Phone], list[str]]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def numbers(parts: list[dict[str, Any]]) -> list[int]:
    return [part["number"] for part in parts]


def upload_id_of(upload: dict[str, Any]) -> str:
    """S3's name for the upload that the first part's URL belongs to."""
    return parse_qs(urlsplit(str(upload["parts"][0]["url"])).query)["uploadId"][0]


def begin(phone: Phone, data: bytes = SHORT, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Announce a recording that goes in parts; its id and how to send it."""
    begun = phone.announce(data, **{"upload_method": "multipart"} | fields).json
    return begun["recording"]["id"], begun["upload"]


@pytest.fixture
def object_of(settings: Settings) -> Callable[[Phone, str], dict[str, Any]]:
    """What S3's client names the object by that is to be uploaded."""
    return lambda phone, id: {"Bucket": settings.uploads_bucket, "Key": f"{phone.user_id}/{id}"}


@pytest.fixture
def stray(
    clients: Clients, object_of: Callable[[Phone, str], dict[str, Any]]
) -> Callable[[Phone, str], None]:
    """Leaves another upload, as a process does that dies before it has noted what it began."""

    def begin(phone: Phone, id: str) -> None:
        clients.s3.create_multipart_upload(**object_of(phone, id))

    return begin


@pytest.fixture
def give_up(
    clients: Clients, under_way: UnderWay, object_of: Callable[[Phone, str], dict[str, Any]]
) -> Callable[[Phone, str], None]:
    """Has S3 give up a multipart upload, as its lifecycle does after some weeks."""

    def abort(phone: Phone, id: str) -> None:
        [upload_id] = under_way(phone)
        clients.s3.abort_multipart_upload(**object_of(phone, id), UploadId=upload_id)

    return abort


def test_an_upload_that_s3_gave_up_begins_anew(
    phone: Phone, give_up: Callable[[Phone, str], None], under_way: UnderWay
) -> None:
    id, upload = begin(phone, SOUND)
    send_part(upload, 1, SOUND)
    give_up(phone, id)
    refused = phone.complete(id)
    assert (refused.code, len(refused.json["errors"])) == ("upload_incomplete", 2)

    afresh = phone.resume(id).json["upload"]
    assert (numbers(afresh["parts"]), afresh["uploaded"]) == ([1, 2], [])
    assert [upload_id_of(afresh)] == under_way(phone)
    send(afresh, SOUND)
    assert phone.complete(id).json["sha256"] == sha256(SOUND)


def assembled(phone: Phone, faults: Faults, service: str, operation: str) -> str:
    """An upload whose complete died at a call after it had assembled the parts; its id."""
    id = phone.deliver(SHORT, id=uuid7(), upload_method="multipart")
    faults.lose_the_answer(service, operation)
    assert phone.complete(id).status == 503
    faults.clear()
    return id


@pytest.mark.parametrize(
    ("service", "operation"),
    [("s3", "CompleteMultipartUpload"), ("s3", "CopyObject"), ("dynamodb", "UpdateItem")],
)
@pytest.mark.parametrize("asked_by", ["resume", "complete", "announcement"])
def test_what_a_complete_that_died_had_assembled_is_completed_by_the_next_call(
    phone: Phone, faults: Faults, service: str, operation: str, asked_by: str
) -> None:
    id = assembled(phone, faults, service, operation)
    if asked_by == "complete":
        assert phone.complete(id).json["status"] == "ready"
    else:
        again = partial(phone.announce, SHORT, id=id, upload_method="multipart")
        answer = (phone.resume(id) if asked_by == "resume" else again()).json
        assert (answer["recording"]["status"], answer["upload"]) == ("ready", None)
    assert phone.download(id).content == SHORT


@pytest.mark.parametrize("call", ["GET", "POST"])
def test_two_calls_at_once_begin_one_upload(
    phone: Phone,
    faults: Faults,
    give_up: Callable[[Phone, str], None],
    under_way: UnderWay,
    call: str,
) -> None:
    id, _ = begin(phone, id=uuid7())
    give_up(phone, id)
    ask = partial(phone.resume, id) if call == "GET" else partial(begin, phone, id=id)
    faults.meanwhile("s3", "CreateMultipartUpload", ask)
    slower = phone.resume(id).json["upload"]

    [upload_id] = under_way(phone)
    assert upload_id_of(slower) == upload_id
    send(slower, SHORT)
    assert phone.complete(id).json["sha256"] == sha256(SHORT)


def test_nothing_of_other_uploads_stays_of_what_was_completed(
    phone: Phone, held: Held, under_way: UnderWay, stray: Callable[[Phone, str], None]
) -> None:
    id = phone.deliver(SHORT, upload_method="multipart")
    stray(phone, id)
    phone.complete(id)

    assert (under_way(phone), held("uploads", phone.user_id)) == ([], {})


# Rolling back.


def test_a_rollback_aborts_every_upload_of_the_recordings_and_no_others(
    phone: Phone, under_way: UnderWay, stray: Callable[[Phone, str], None]
) -> None:
    other, _ = begin(phone)
    before = under_way(phone)
    id, _ = begin(phone)
    stray(phone, id)
    assert len(under_way(phone)) == 3

    assert phone.delete(f"/recordings/{id}").status == 204
    assert under_way(phone) == before
    assert phone.listed(status="uploading") == [other]
    assert phone.usage() == (len(SHORT), 1)


def test_a_part_that_arrives_after_the_rollback_leaves_nothing(
    phone: Phone, held: Held, under_way: UnderWay
) -> None:
    id, upload = begin(phone)
    phone.delete(f"/recordings/{id}")
    late = httpx.put(upload["parts"][0]["url"], content=SHORT, verify=NO_TLS)

    assert not late.is_success
    assert (under_way(phone), held("uploads", phone.user_id)) == ([], {})


@pytest.mark.parametrize(
    ("service", "operation"), [("s3", "CreateMultipartUpload"), ("dynamodb", "UpdateItem")]
)
def test_an_upload_that_is_begun_while_its_recording_is_deleted_is_aborted(
    phone: Phone,
    faults: Faults,
    give_up: Callable[[Phone, str], None],
    under_way: UnderWay,
    service: str,
    operation: str,
) -> None:
    id, _ = begin(phone)
    give_up(phone, id)
    faults.meanwhile(service, operation, lambda: phone.delete(f"/recordings/{id}"))

    assert phone.resume(id).code == "not_found"
    assert under_way(phone) == []


@pytest.mark.parametrize("operation", ["ListParts", "CompleteMultipartUpload", "CopyObject"])
def test_a_complete_under_way_when_its_parts_are_rolled_back_is_not_found(
    phone: Phone, faults: Faults, invariants: Invariants, operation: str
) -> None:
    id = phone.deliver(SHORT, upload_method="multipart")
    faults.meanwhile("s3", operation, lambda: phone.delete(f"/recordings/{id}"))

    assert phone.complete(id).code == "not_found"
    assert phone.usage() == (0, 0)
    assert invariants.broken(phone.user_id) == []
