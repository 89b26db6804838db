"""Direct uploads: a small recording, whole, in one request through the API."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from app import app
from chalicelib.aws.dynamodb.items import Item, account_key
from chalicelib.core.ids import uuid7
from tests.support.faults import Faults
from tests.support.invariants import Held
from tests.support.phone import Phone, send

# Every value that a byte can have, and not text in UTF-8.
SOUND = bytes(range(256))
OTHER = SOUND[::-1]
LIMIT = 4_500_000

# The contract's, so not what the app itself makes of it.
CONTENT_TYPES = [
    "audio/mp4",
    "audio/m4a",
    "audio/x-m4a",
    "audio/aac",
    "audio/aacp",
    "audio/mpeg",
    "audio/mp3",
    "audio/ogg",
    "audio/opus",
    "audio/webm",
    "audio/wav",
    "audio/x-wav",
    "audio/wave",
    "audio/vnd.wave",
    "audio/flac",
    "audio/x-flac",
    "audio/3gpp",
    "audio/3gpp2",
    "audio/amr",
    "audio/x-caf",
    "audio/aiff",
    "audio/x-aiff",
    "video/mp4",
    "video/webm",
]


@pytest.fixture
def nothing_stored(stored: Callable[..., list[Item]], held: Held) -> Callable[[Phone], bool]:
    """Says whether a user has no recording, no tombstone, no object, and uses nothing."""

    def check(phone: Phone) -> bool:
        items = stored(account_key(phone.user_id)["pk"])
        recordings = [item for item in items if item["sk"].startswith("REC#")]
        return not recordings and not held("recordings", phone.user_id) and phone.usage() == (0, 0)

    return check


def through_api_gateway(
    phone: Phone, recording_id: str, data: bytes, content_type: str | None, *, binary: bool = True
) -> Any:
    """The answer to a direct upload in the event that API Gateway makes of it.

    What it does not take for binary it reads as UTF-8.
    """
    headers = {"Authorization": f"Bearer {phone.tokens['access_token']}", "Host": "example.com"}
    if content_type is not None:
        headers["Content-Type"] = content_type
    event = {
        "resource": "/recordings/{id}/audio",
        "path": f"/recordings/{recording_id}/audio",
        "httpMethod": "PUT",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {"file_name": "clip.m4a"},
        "multiValueQueryStringParameters": {"file_name": ["clip.m4a"]},
        "pathParameters": {"id": recording_id},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/recordings/{id}/audio",
            "httpMethod": "PUT",
            "path": f"/api/recordings/{recording_id}/audio",
            "stage": "api",
            "identity": {"sourceIp": "192.0.2.1"},
        },
        "body": base64.b64encode(data).decode() if binary else data.decode(errors="replace"),
        "isBase64Encoded": binary,
    }
    return app(event, SimpleNamespace(aws_request_id="request-1"))


def test_a_direct_upload_is_ready_and_comes_back_byte_for_byte(phone: Phone) -> None:
    id = uuid7()
    answer = phone.put_audio(id, SOUND, file_name="회의 녹음.m4a")

    assert (answer.status, answer.json["status"]) == (201, "ready")
    assert (answer.json["id"], answer.json["file_name"]) == (id, "회의 녹음.m4a")
    assert phone.download(id).content == SOUND
    assert phone.usage() == (len(SOUND), 1)


def test_the_same_bytes_again_find_the_recording_they_made(phone: Phone, held: Held) -> None:
    id = uuid7()
    first = phone.put_audio(id, SOUND)
    again = phone.put_audio(id, SOUND)

    assert again.status == 200
    assert again.json == first.json
    assert held("recordings", phone.user_id) == {id: [SOUND]}
    assert phone.usage() == (len(SOUND), 1)


def test_other_bytes_under_a_taken_id_are_a_conflict_and_change_nothing(
    phone: Phone, held: Held
) -> None:
    id = phone.upload_directly(SOUND)
    before = phone.get(f"/recordings/{id}").json["version"]
    refused = phone.put_audio(id, OTHER)

    assert (refused.status, refused.code) == (409, "id_conflict")
    assert held("recordings", phone.user_id) == {id: [SOUND]}
    assert phone.get(f"/recordings/{id}").json["version"] == before


def test_the_bytes_of_a_signed_upload_are_found_too(phone: Phone) -> None:
    id = phone.upload(SOUND)

    assert phone.put_audio(id, SOUND).status == 200
    assert phone.put_audio(id, OTHER).code == "id_conflict"


def test_an_id_in_upper_case_is_the_same_id(phone: Phone) -> None:
    id = uuid7()

    assert phone.put_audio(id.upper(), SOUND).json["id"] == id
    assert phone.put_audio(id, SOUND).status == 200


def test_a_deleted_id_is_not_found(phone: Phone, held: Held) -> None:
    id = phone.upload_directly(SOUND)
    phone.delete_for_good(id)

    assert phone.put_audio(id, SOUND).code == "not_found"
    assert held("recordings", phone.user_id) == {}


def test_api_gateway_is_told_that_exactly_these_types_are_binary() -> None:
    assert sorted(app.api.binary_types) == sorted(CONTENT_TYPES)
    # More than API Gateway takes.
    assert len(app.api.binary_types) <= 25


def test_each_type_that_api_gateway_encodes_is_kept_byte_for_byte_and_played_as_it_is(
    phone: Phone,
) -> None:
    for content_type in CONTENT_TYPES:
        id = uuid7()
        answer = through_api_gateway(phone, id, SOUND, content_type)
        played = phone.download(id)

        assert (answer["statusCode"], json.loads(answer["body"])["size"]) == (201, len(SOUND))
        assert (played.content, played.headers["content-type"]) == (SOUND, content_type)


def test_another_content_type_is_refused_and_nothing_is_stored(
    phone: Phone, nothing_stored: Callable[[Phone], bool]
) -> None:
    for content_type in (
        "audio/basic",
        "audio/*",
        "audio/ogg, audio/ogg",
        "video/quicktime",
        "application/octet-stream",
        "application/json",
        "",
    ):
        refused = phone.put_audio(uuid7(), SOUND, content_type=content_type)
        assert (refused.status, refused.code) == (415, "unsupported_media_type"), content_type
    assert nothing_stored(phone)


def test_a_missing_content_type_is_refused(phone: Phone) -> None:
    answer = through_api_gateway(phone, uuid7(), SOUND, None)

    assert answer["statusCode"] == 415
    assert json.loads(answer["body"])["code"] == "unsupported_media_type"


@pytest.mark.parametrize("spelt", ["audio/mp4", "audio/mp4;codecs=mp4a.40.2", "Audio/MP4"])
def test_audio_that_api_gateway_spoilt_is_a_fault_of_ours_and_nothing_is_stored(
    phone: Phone, nothing_stored: Callable[[Phone], bool], spelt: str
) -> None:
    answer = through_api_gateway(phone, uuid7(), SOUND, spelt, binary=False)

    assert answer["statusCode"] == 500
    assert json.loads(answer["body"])["code"] == "internal_error"
    assert nothing_stored(phone)


def test_text_is_refused_by_its_type(phone: Phone, nothing_stored: Callable[[Phone], bool]) -> None:
    answer = through_api_gateway(phone, uuid7(), b"some text", "text/plain", binary=False)

    assert answer["statusCode"] == 415
    assert json.loads(answer["body"])["code"] == "unsupported_media_type"
    assert nothing_stored(phone)


def test_an_empty_body_is_refused_and_nothing_is_stored(
    phone: Phone, nothing_stored: Callable[[Phone], bool]
) -> None:
    refused = phone.put_audio(uuid7(), b"")

    assert (refused.status, refused.code, refused.fields) == (400, "invalid_request", ["body"])
    assert nothing_stored(phone)


def test_the_most_that_is_taken_directly_is_taken_whole(phone: Phone) -> None:
    data = SOUND * (LIMIT // len(SOUND)) + SOUND[: LIMIT % len(SOUND)]
    id = phone.upload_directly(data)

    assert len(data) == LIMIT
    assert phone.download(id).content == data


def test_a_byte_more_is_refused_with_the_way_that_takes_it(
    phone: Phone, nothing_stored: Callable[[Phone], bool]
) -> None:
    refused = phone.put_audio(uuid7(), bytes(LIMIT + 1))

    assert (refused.status, refused.code) == (413, "too_large")
    assert "POST /recordings" in refused.json["detail"]
    assert nothing_stored(phone)


def test_an_upload_whose_bytes_s3_refused_can_go_on_the_signed_way(
    phone: Phone, faults: Faults
) -> None:
    id = uuid7()
    faults.refuse("s3", "PutObject")
    assert phone.put_audio(id, SOUND).status == 503
    faults.clear()
    sha256 = hashlib.sha256(SOUND).hexdigest()
    announced = phone.announce(SOUND, id=id, sha256=sha256)
    assert announced.status == 200

    send(announced.json["upload"], SOUND)
    assert phone.complete(id).json["status"] == "ready"
    assert phone.download(id).content == SOUND


def test_two_at_once_with_the_same_bytes_make_one_recording(
    phone: Phone, faults: Faults, held: Held
) -> None:
    id = uuid7()
    faults.meanwhile("s3", "PutObject", lambda: phone.upload_directly(SOUND, id))

    assert phone.put_audio(id, SOUND).json["status"] == "ready"
    assert held("recordings", phone.user_id) == {id: [SOUND]}
    assert phone.usage() == (len(SOUND), 1)


@pytest.mark.deep
def test_of_20_at_once_one_makes_the_recording_and_the_others_find_it(
    phone: Phone, held: Held
) -> None:
    id = uuid7()
    at_once = threading.Barrier(20)

    def one_of_twenty(_: int) -> int:
        at_once.wait()
        return phone.put_audio(id, SOUND).status

    with ThreadPoolExecutor(20) as threads:
        statuses = sorted(threads.map(one_of_twenty, range(20)))

    assert statuses == [200] * 19 + [201]
    assert held("recordings", phone.user_id) == {id: [SOUND]}
    assert phone.usage() == (len(SOUND), 1)


def test_nothing_stays_in_the_uploads_bucket_of_an_upload_that_is_sent_again_directly(
    phone: Phone, held: Held
) -> None:
    id = phone.deliver(SOUND, sha256=hashlib.sha256(SOUND).hexdigest())
    assert held("uploads", phone.user_id) == {id: [SOUND]}

    assert phone.put_audio(id, SOUND).status == 201
    assert held("uploads", phone.user_id) == {}


def test_two_at_once_with_other_bytes_end_in_one_of_them(
    phone: Phone, faults: Faults, held: Held
) -> None:
    id = uuid7()
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: phone.upload_directly(OTHER, id))

    assert phone.put_audio(id, SOUND).code == "id_conflict"
    assert held("recordings", phone.user_id) == {id: [OTHER]}
