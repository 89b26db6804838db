"""Uploads, the ways people send their bytes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, account_key, recording_key, to_attributes
from chalicelib.aws.s3.objects import Bucket
from chalicelib.aws.s3.recordings import RecordingsBucket
from chalicelib.aws.s3.signing import Signer
from chalicelib.aws.s3.uploads import UploadsBucket
from chalicelib.core.ids import uuid7
from chalicelib.models.entities import StoredRecording
from chalicelib.settings import Settings
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.phone import Answer, Phone, send
from tests.support.s3_rules import accepts, accepts_form

SOUND = b"some sound"
OTHER = b"else sound"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


@pytest.fixture
def deliver_to_s3(settings: Settings, clients: Clients) -> Callable[..., None]:
    """Puts bytes where an upload belongs, past what its URL would have S3 refuse."""

    def deliver(phone: Phone, recording_id: str, data: bytes, **arguments: Any) -> None:
        clients.s3.put_object(
            Bucket=settings.uploads_bucket,
            Key=f"{phone.user_id}/{recording_id}",
            Body=data,
            **({"ContentType": "audio/mp4"} | arguments),
        )

    return deliver


# The ways an upload goes.


def test_an_uploaded_recording_comes_back_byte_for_byte(phone: Phone) -> None:
    recording_id = phone.upload(SOUND)

    assert phone.download(recording_id).content == SOUND


def test_a_recording_sent_as_a_form_comes_back_byte_for_byte(phone: Phone) -> None:
    recording_id = phone.upload(SOUND, upload_method="post", sha256=sha256(SOUND))

    assert phone.download(recording_id).content == SOUND


def test_an_announced_recording_is_uploading_until_it_is_completed(phone: Phone) -> None:
    recording_id = phone.deliver(SOUND)

    assert phone.get(f"/recordings/{recording_id}").json["status"] == "uploading"
    assert "audio" not in phone.get(f"/recordings/{recording_id}").json
    assert phone.complete(recording_id).json["status"] == "ready"


def test_what_was_announced_is_what_is_kept(phone: Phone) -> None:
    told = {
        "file_name": "회의 녹음.m4a",
        "content_type": "audio/x-m4a",
        "recorded_at": "2026-02-03T04:05:06.000Z",
        "duration_ms": 1500,
        "tags": ["work"],
        "notes": "first",
    }
    recording = phone.get(f"/recordings/{phone.upload(SOUND, **told)}").json

    assert {field: recording[field] for field in told} == told
    assert recording["size"] == len(SOUND)


def test_the_sha256_of_a_ready_recording_is_known_even_if_it_was_not_announced(
    phone: Phone,
) -> None:
    recording_id = phone.upload(SOUND)

    assert phone.get(f"/recordings/{recording_id}").json["sha256"] == sha256(SOUND)


def test_ids_made_by_the_server_sort_newest_first(phone: Phone) -> None:
    ids = [phone.announce(SOUND).json["recording"]["id"] for _ in range(5)]

    assert phone.listed(status="uploading") == ids[::-1]


# What is signed. moto enforces none of it, so these look at the signature itself.


def test_a_put_signs_its_length_its_type_and_the_host_and_nothing_else(phone: Phone) -> None:
    upload = phone.announce(SOUND).json["upload"]

    assert upload["headers"] == {"Content-Type": "audio/mp4", "Content-Length": "10"}
    assert query_of(upload["url"])["X-Amz-SignedHeaders"] == "content-length;content-type;host"
    assert accepts("PUT", upload["url"], upload["headers"])


def test_a_put_signs_the_checksum_that_was_announced(phone: Phone) -> None:
    upload = phone.announce(SOUND, sha256=sha256(SOUND)).json["upload"]

    signed = query_of(upload["url"])["X-Amz-SignedHeaders"].split(";")
    assert signed == ["content-length", "content-type", "host", "x-amz-checksum-sha256"]
    assert upload["headers"]["x-amz-checksum-sha256"] == checksum(SOUND)
    assert accepts("PUT", upload["url"], upload["headers"])


@pytest.mark.parametrize(
    ("header", "other"),
    [
        ("Content-Type", "text/html"),
        ("Content-Length", "11"),
        ("x-amz-checksum-sha256", checksum(OTHER)),
    ],
)
def test_a_put_with_a_header_left_out_or_changed_has_another_signature(
    phone: Phone, header: str, other: str
) -> None:
    upload = phone.announce(SOUND, sha256=sha256(SOUND)).json["upload"]
    left_out = {name: value for name, value in upload["headers"].items() if name != header}

    assert not accepts("PUT", upload["url"], left_out)
    assert not accepts("PUT", upload["url"], upload["headers"] | {header: other})


def test_a_put_is_no_signature_for_reading_deleting_or_another_key(phone: Phone) -> None:
    upload = phone.announce(SOUND).json["upload"]
    elsewhere = upload["url"].replace("?", "0?", 1)

    assert not accepts("GET", upload["url"], upload["headers"])
    assert not accepts("DELETE", upload["url"], upload["headers"])
    assert not accepts("PUT", elsewhere, upload["headers"])


def test_a_put_lasts_as_long_as_is_announced(phone: Phone) -> None:
    upload = phone.announce(SOUND).json["upload"]

    assert query_of(upload["url"])["X-Amz-Expires"] == "3600"
    assert_seconds_apart(expiry(upload["url"]), upload["expires_at"])


def test_a_form_allows_one_key_one_type_one_size_and_one_checksum(
    phone: Phone, settings: Settings
) -> None:
    begun = phone.announce(SOUND, upload_method="post", sha256=sha256(SOUND)).json
    conditions = policy_of(begun["upload"])["conditions"]

    key = f"{phone.user_id}/{begun['recording']['id']}"
    for condition in (
        {"bucket": settings.uploads_bucket},
        {"key": key},
        {"Content-Type": "audio/mp4"},
        {"x-amz-checksum-sha256": checksum(SOUND)},
        ["content-length-range", len(SOUND), len(SOUND)],
    ):
        assert conditions.count(condition) == 1
    assert begun["upload"]["fields"]["key"] == key


def test_every_field_of_a_form_is_a_condition_of_its_policy(phone: Phone) -> None:
    upload = phone.announce(SOUND, upload_method="post", sha256=sha256(SOUND)).json["upload"]
    conditions = policy_of(upload)["conditions"]
    # The two that the policy cannot speak of.
    fields = {n: v for n, v in upload["fields"].items() if n not in {"policy", "x-amz-signature"}}

    exact = [condition for condition in conditions if isinstance(condition, dict)]
    assert all({name: value} in exact for name, value in fields.items())
    assert {name for condition in exact for name in condition} == {"bucket", *fields}


def test_a_forms_signature_is_that_of_its_policy(phone: Phone) -> None:
    fields = phone.announce(SOUND, upload_method="post").json["upload"]["fields"]
    looser = base64.b64encode(base64.b64decode(fields["policy"]).replace(b"10, 10", b"10, 99"))

    assert accepts_form(fields)
    assert looser.decode() != fields["policy"]
    assert not accepts_form(fields | {"policy": looser.decode()})


def test_a_form_lasts_as_long_as_is_announced(phone: Phone) -> None:
    upload = phone.announce(SOUND, upload_method="post").json["upload"]

    expires = datetime.fromisoformat(policy_of(upload)["expiration"])
    assert_seconds_apart(expires, upload["expires_at"])


def test_playing_is_signed_with_the_recordings_name_and_type(phone: Phone) -> None:
    recording_id = phone.upload(SOUND, file_name="talk.mp3", content_type="audio/mpeg")
    audio = phone.get(f"/recordings/{recording_id}").json["audio"]

    query = query_of(audio["url"])
    assert query["response-content-type"] == "audio/mpeg"
    assert 'filename="talk.mp3"' in query["response-content-disposition"]
    assert query["response-cache-control"] == "private"
    assert query["X-Amz-SignedHeaders"] == "host"
    assert accepts("GET", audio["url"], {})


def test_playing_is_no_signature_for_another_name_type_or_method(phone: Phone) -> None:
    url = phone.get(f"/recordings/{phone.upload(SOUND)}").json["audio"]["url"]

    assert not accepts("GET", url.replace("clip.m4a", "clip.exe"), {})
    assert not accepts("GET", url.replace("audio%2Fmp4", "text%2Fhtml"), {})
    assert not accepts("DELETE", url, {})


def test_playing_lasts_as_long_as_is_announced(phone: Phone) -> None:
    audio = phone.get(f"/recordings/{phone.upload(SOUND)}").json["audio"]

    assert query_of(audio["url"])["X-Amz-Expires"] == "900"
    assert_seconds_apart(expiry(audio["url"]), audio["expires_at"])


def policy_of(upload: dict[str, Any]) -> Any:
    return json.loads(base64.b64decode(upload["fields"]["policy"]))


def expiry(url: str) -> datetime:
    query = query_of(url)
    signed_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed_at + timedelta(seconds=int(query["X-Amz-Expires"]))


def assert_seconds_apart(expires: datetime, announced: str) -> None:
    # A signature's time has no fraction of a second, and is taken a moment later.
    assert abs(expires - datetime.fromisoformat(announced)) <= timedelta(seconds=1)


# Signed as boto3 signs, without its client.

PLACES = [
    ("http://127.0.0.1:9000", "us-east-1"),
    ("", "us-east-1"),
    ("", "eu-central-1"),
    ("", "cn-north-1"),
]


@pytest.fixture
def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2026, 2, 3, 12, 0, 0)  # noqa: DTZ001 - botocore's own has no zone
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: noon)


# Who signs asks no client.
NO_CLIENT: Any = None
UPLOADS, RECORDINGS = Bucket(NO_CLIENT, "uploads"), Bucket(NO_CLIENT, "recordings")


def signers(endpoint: str, region: str) -> tuple[Signer, Any]:
    """Ours, and boto3's with what design.md says of it; neither talks to anybody."""
    session = boto3.session.Session("AKID", "secret", "token", region_name=region)
    config = Config(
        signature_version="s3v4",
        s3={
            "addressing_style": "path" if endpoint else "virtual",
            "us_east_1_regional_endpoint": "regional",
        },
        request_checksum_calculation="when_required",
        ignore_configured_endpoint_urls=True,  # type: ignore[call-arg]
    )
    client = session.client("s3", config=config, endpoint_url=endpoint or None)
    return Signer(lambda: session, endpoint), client


def a_recording(**fields: Any) -> StoredRecording:
    now = datetime.now(UTC)
    told: dict[str, Any] = {
        "id": "r",
        "user_id": "u",
        "file_name": "회의 a+b.m4a",
        "content_type": "audio/mp4",
        "size": 10,
        "status": "uploading",
        "created_at": now,
        "updated_at": now,
        "version": 1,
        "fingerprint": "",
        "upload_method": "put",
    }
    return StoredRecording(**told | fields)


@pytest.mark.usefixtures("_frozen")
@pytest.mark.parametrize(("endpoint", "region"), PLACES)
@pytest.mark.parametrize("announced", [None, sha256(SOUND)])
def test_a_put_is_signed_as_boto3_signs_it(
    endpoint: str, region: str, announced: str | None
) -> None:
    ours, boto = signers(endpoint, region)
    url, _ = UploadsBucket(UPLOADS, ours).sign_put(a_recording(sha256=announced), 600)

    params = {"Bucket": "uploads", "Key": "u/r", "ContentType": "audio/mp4", "ContentLength": 10}
    if announced:
        params["ChecksumSHA256"] = checksum(SOUND)
    theirs = boto.generate_presigned_url("put_object", params, ExpiresIn=600)
    assert urlsplit(url)._replace(query="") == urlsplit(theirs)._replace(query="")
    assert query_of(url) == query_of(theirs)


@pytest.mark.usefixtures("_frozen")
@pytest.mark.parametrize(("endpoint", "region"), PLACES)
def test_playing_is_signed_as_boto3_signs_it(endpoint: str, region: str) -> None:
    ours, boto = signers(endpoint, region)
    kept = RecordingsBucket(RECORDINGS, UPLOADS.name, NO_CLIENT, ours, foreign=False)
    url = kept.sign_get(a_recording(), 600)

    params = {
        "Bucket": "recordings",
        "Key": "u/r",
        "ResponseCacheControl": "private",
        "ResponseContentDisposition": query_of(url)["response-content-disposition"],
        "ResponseContentType": "audio/mp4",
    }
    theirs = boto.generate_presigned_url("get_object", params, ExpiresIn=600)
    assert urlsplit(url)._replace(query="") == urlsplit(theirs)._replace(query="")
    assert query_of(url) == query_of(theirs)


@pytest.mark.usefixtures("_frozen")
@pytest.mark.parametrize(("endpoint", "region"), PLACES)
def test_a_form_is_addressed_and_signed_as_boto3_does_it(endpoint: str, region: str) -> None:
    ours, boto = signers(endpoint, region)
    url, fields = UploadsBucket(UPLOADS, ours).sign_post(a_recording(), 600)

    theirs = boto.generate_presigned_post(
        "uploads", "u/r", Fields={"Content-Type": "audio/mp4"}, ExpiresIn=600
    )
    # The policies differ in order and in the fraction of a second.
    varying = {"policy", "x-amz-signature"}
    assert url.rstrip("/") == theirs["url"].rstrip("/")
    assert fields.keys() == theirs["fields"].keys()
    assert all(fields[name] == theirs["fields"][name] for name in fields if name not in varying)


def test_the_public_address_of_s3_changes_the_host_of_signed_urls_alone(
    phone: Phone, configure: Callable[..., None]
) -> None:
    recording_id = phone.upload(SOUND)
    announced = {"id": uuid7()}

    def urls() -> list[str]:
        put, post = (
            phone.announce(SOUND, id=f"{announced['id'][:-1]}{n}", upload_method=method).json
            for n, method in enumerate(("put", "post"))
        )
        playing = phone.get(f"/recordings/{recording_id}").json
        return [put["upload"]["url"], post["upload"]["url"], playing["audio"]["url"]]

    before = urls()
    configure(s3_public_url="http://10.0.2.2:9000")
    for there, here in zip(urls(), before, strict=True):
        assert there.startswith("http://10.0.2.2:9000/")
        assert urlsplit(there).path == urlsplit(here).path
        unsigned = {"X-Amz-Signature", "X-Amz-Date"}
        assert {n: v for n, v in query_of(there).items() if n not in unsigned} == {
            n: v for n, v in query_of(here).items() if n not in unsigned
        }


def test_the_server_itself_does_not_use_the_public_address(
    phone: Phone, configure: Callable[..., None]
) -> None:
    recording_id = phone.deliver(SOUND)
    configure(s3_public_url="http://10.0.2.2:9000")

    assert phone.complete(recording_id).json["status"] == "ready"


# Announcing again.


def test_the_same_announcement_again_gives_a_fresh_upload(phone: Phone) -> None:
    id = uuid7()
    first = phone.announce(SOUND, id=id)
    again = phone.announce(SOUND, id=id)

    assert (first.status, again.status) == (201, 200)
    assert again.json["recording"] == first.json["recording"]
    send(again.json["upload"], SOUND)
    assert phone.complete(id).status == 200
    assert phone.usage() == (len(SOUND), 1)


def test_the_same_announcement_under_the_id_that_it_was_given_is_the_same(phone: Phone) -> None:
    first = phone.announce(SOUND)
    again = phone.announce(SOUND, id=first.json["recording"]["id"])

    assert (first.status, again.status) == (201, 200)
    assert again.json["recording"] == first.json["recording"]


def test_the_same_announcement_of_a_ready_recording_has_nothing_to_upload(phone: Phone) -> None:
    id = phone.upload(SOUND, id=uuid7())
    again = phone.announce(SOUND, id=id)

    assert again.status == 200
    assert again.json["upload"] is None
    assert again.json["recording"]["status"] == "ready"


@pytest.mark.parametrize(
    "other",
    [
        {"size": 11},
        {"content_type": "audio/aac"},
        {"sha256": sha256(OTHER)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_announcement_under_a_taken_id_is_a_conflict_and_changes_nothing(
    phone: Phone, stored: Callable[..., list[Item]], other: dict[str, object]
) -> None:
    id = uuid7()
    phone.announce(SOUND, id=id)
    before = stored(account_key(phone.user_id)["pk"])
    refused = phone.announce(SOUND, id=id, **other)

    assert (refused.status, refused.code) == (409, "id_conflict")
    assert stored(account_key(phone.user_id)["pk"]) == before


def test_an_id_in_upper_case_is_the_same_id(phone: Phone) -> None:
    id = uuid7()
    assert phone.upload(SOUND, id=id.upper()) == id

    assert phone.announce(SOUND, id=id).status == 200
    assert phone.get(f"/recordings/{id.upper()}").json["id"] == id
    assert phone.listed() == [id]


def test_a_deleted_id_is_not_found_when_it_is_announced_again(phone: Phone) -> None:
    id = phone.upload(SOUND, id=uuid7())
    phone.delete_for_good(id)
    again = phone.announce(SOUND, id=id)

    assert (again.status, again.code) == (404, "not_found")
    assert phone.usage() == (0, 0)


def test_the_same_id_of_two_users_is_two_recordings(phone: Phone, other: Phone) -> None:
    id = phone.upload(SOUND, id=uuid7())
    other.upload(OTHER, id=id)

    assert phone.download(id).content == SOUND
    assert other.download(id).content == OTHER


# Completing.


def test_an_upload_without_bytes_is_incomplete_and_can_go_on(phone: Phone) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    early = phone.complete(id)
    assert (early.status, early.code) == (409, "upload_incomplete")

    send(begun["upload"], SOUND)
    assert phone.complete(id).status == 200


MISTAKES: dict[str, tuple[bytes, dict[str, str]]] = {
    "size": (b"sound", {}),
    "type": (SOUND, {"ContentType": "audio/aac"}),
    "sha256 as S3 noted it": (OTHER, {"ChecksumAlgorithm": "SHA256"}),
    "sha256 known of the copy alone": (OTHER, {}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_other_bytes_than_announced_are_refused_and_removed(
    phone: Phone, held: Held, deliver_to_s3: Callable[..., None], mistake: str
) -> None:
    id = phone.announce(SOUND, sha256=sha256(SOUND)).json["recording"]["id"]
    data, arguments = MISTAKES[mistake]
    deliver_to_s3(phone, id, data, **arguments)
    refused = phone.complete(id)

    assert (refused.status, refused.code) == (409, "upload_mismatch")
    assert held("uploads", phone.user_id) == {}
    assert held("recordings", phone.user_id) == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_after_a_mismatch_the_right_bytes_complete_the_upload(
    phone: Phone, deliver_to_s3: Callable[..., None], mistake: str
) -> None:
    begun = phone.announce(SOUND, sha256=sha256(SOUND)).json
    id = begun["recording"]["id"]
    data, arguments = MISTAKES[mistake]
    deliver_to_s3(phone, id, data, **arguments)
    phone.complete(id)

    send(begun["upload"], SOUND)
    assert phone.complete(id).json["status"] == "ready"
    assert phone.download(id).content == SOUND


# But of another type: the same bytes have the same ETag, whatever their type.
@pytest.mark.parametrize("mistake", sorted(MISTAKES.keys() - {"type"}))
def test_the_right_bytes_that_arrive_while_others_are_removed_stay(
    phone: Phone, faults: Faults, deliver_to_s3: Callable[..., None], mistake: str
) -> None:
    begun = phone.announce(SOUND, sha256=sha256(SOUND)).json
    id = begun["recording"]["id"]
    data, arguments = MISTAKES[mistake]
    deliver_to_s3(phone, id, data, **arguments)
    faults.meanwhile("s3", "DeleteObject", partial(send, begun["upload"], SOUND))
    assert phone.complete(id).code == "upload_mismatch"

    assert phone.complete(id).json["status"] == "ready"
    assert phone.download(id).content == SOUND


def test_an_upload_in_parts_is_held_against_the_announced_sha256_as_a_whole(
    phone: Phone, clients: Clients, settings: Settings
) -> None:
    id = phone.announce(SOUND, sha256=sha256(SOUND)).json["recording"]["id"]
    it: Any = {"Bucket": settings.uploads_bucket, "Key": f"{phone.user_id}/{id}"}
    made = clients.s3.create_multipart_upload(
        **it, ContentType="audio/mp4", ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE"
    )
    it["UploadId"] = made["UploadId"]
    part = clients.s3.upload_part(**it, PartNumber=1, Body=SOUND, ChecksumAlgorithm="SHA256")
    done: Any = {"PartNumber": 1} | {name: part[name] for name in ("ETag", "ChecksumSHA256")}
    clients.s3.complete_multipart_upload(**it, MultipartUpload={"Parts": [done]})

    assert phone.complete(id).json["status"] == "ready"
    assert phone.download(id).content == SOUND


def test_what_a_client_says_beside_its_bytes_does_not_reach_who_plays_them(
    phone: Phone, onlookers: Clients, settings: Settings, deliver_to_s3: Callable[..., None]
) -> None:
    id = phone.announce(SOUND, content_type="audio/flac").json["recording"]["id"]
    said = {"CacheControl": "public", "ContentEncoding": "gzip", "ContentDisposition": "attachment"}
    deliver_to_s3(phone, id, SOUND, ContentType="audio/flac", Metadata={"by": "me"}, **said)
    phone.complete(id)

    key = f"{phone.user_id}/{id}"
    kept = onlookers.s3.head_object(Bucket=settings.recordings_bucket, Key=key)
    assert (kept["ContentType"], set(kept["Metadata"])) == ("audio/flac", {"upload"})
    assert not said.keys() & kept.keys()


def test_completing_twice_changes_nothing(phone: Phone, held: Held) -> None:
    id = phone.deliver(SOUND)
    first = phone.complete(id)
    second = phone.complete(id)

    assert second.status == 200
    assert second.json == first.json
    assert held("recordings", phone.user_id) == {id: [SOUND]}


def test_two_completes_at_once_both_say_that_it_is_ready(
    phone: Phone, faults: Faults, held: Held
) -> None:
    id = phone.deliver(SOUND)
    faults.meanwhile("s3", "CopyObject", lambda: phone.complete(id))
    slower = phone.complete(id)

    assert (slower.status, slower.json.get("status")) == (200, "ready")
    assert held("recordings", phone.user_id) == {id: [SOUND]}


def test_nothing_stays_in_the_uploads_bucket_of_a_completed_upload(
    phone: Phone, held: Held
) -> None:
    id = phone.deliver(SOUND)
    assert held("uploads", phone.user_id) == {id: [SOUND]}
    phone.complete(id)

    assert held("uploads", phone.user_id) == {}


def test_a_recording_is_ready_even_if_the_uploads_bucket_cannot_be_tidied(
    phone: Phone, faults: Faults
) -> None:
    id = phone.deliver(SOUND)
    faults.refuse("s3", "DeleteObjects", "AccessDenied", 403)

    assert phone.complete(id).json["status"] == "ready"
    assert faults.met == 1


def test_the_copy_is_bound_to_what_was_checked_and_overwrites_nothing(
    phone: Phone, faults: Faults
) -> None:
    id = phone.deliver(SOUND)
    calls = faults.record()
    phone.complete(id)

    (copy,) = [call.headers for call in calls if call.name == "s3.CopyObject"]
    etag = hashlib.md5(SOUND, usedforsecurity=False).hexdigest()
    assert copy["x-amz-copy-source-if-match"] == f'"{etag}"'
    assert copy["If-None-Match"] == "*"
    assert copy["x-amz-checksum-algorithm"] == "SHA256"


@pytest.mark.parametrize(
    "condition", [{"CopySourceIfMatch": '"0"'}, {"IfNoneMatch": "*"}], ids=lambda c: next(iter(c))
)
def test_this_s3_enforces_the_conditions_of_a_copy(
    phone: Phone, clients: Clients, settings: Settings, condition: dict[str, str]
) -> None:
    key = f"{phone.user_id}/{phone.upload(SOUND)}"
    itself = {"Bucket": settings.recordings_bucket, "Key": key}

    with pytest.raises(ClientError, match="PreconditionFailed"):
        clients.s3_copying.copy_object(**itself, CopySource=itself, **condition)  # type: ignore[arg-type]


def test_bytes_that_arrive_between_the_check_and_the_copy_are_not_what_was_checked(
    phone: Phone, faults: Faults, held: Held, deliver_to_s3: Callable[..., None]
) -> None:
    id = phone.deliver(SOUND)
    faults.meanwhile("s3", "CopyObject", lambda: deliver_to_s3(phone, id, b"a longer sound"))
    refused = phone.complete(id)

    assert (refused.status, refused.code) == (409, "upload_mismatch")
    assert held("recordings", phone.user_id) == {}


def test_a_copy_does_not_overwrite_that_of_a_quicker_complete(
    phone: Phone, faults: Faults, held: Held
) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    send(begun["upload"], SOUND)

    def complete_and_send_again() -> None:
        assert phone.complete(id).status == 200
        send(begun["upload"], SOUND)

    faults.meanwhile("s3", "CopyObject", complete_and_send_again)
    assert phone.complete(id).json["status"] == "ready"
    assert held("recordings", phone.user_id) == {id: [SOUND]}


def test_bytes_sent_again_before_any_call_of_complete_never_change_what_is_ready(
    phone: Phone, faults: Faults, invariants: Invariants
) -> None:
    calls = calls_of_complete(phone, faults)
    for service, operation in calls:
        begun = phone.announce(SOUND).json
        id = begun["recording"]["id"]
        send(begun["upload"], SOUND)
        faults.meanwhile(service, operation, partial(send, begun["upload"], OTHER))
        ready = phone.complete(id).json
        assert faults.met == 1
        faults.clear()

        data = phone.download(id).content
        assert sha256(data) == ready["sha256"], f"{service}.{operation}"
        send(begun["upload"], OTHER)
        assert phone.complete(id).json == ready
        assert phone.download(id).content == data
    assert invariants.broken(phone.user_id) == []


def test_other_bytes_sent_before_any_call_of_complete_are_never_kept_against_the_announced_sha256(
    phone: Phone, faults: Faults, invariants: Invariants
) -> None:
    for service, operation in calls_of_complete(phone, faults):
        begun = phone.announce(SOUND, sha256=sha256(SOUND)).json
        id = begun["recording"]["id"]
        send(begun["upload"], SOUND)
        faults.meanwhile(service, operation, partial(send, begun["upload"], OTHER))
        phone.complete(id)
        faults.clear()

        send(begun["upload"], SOUND)
        assert phone.complete(id).status == 200, f"{service}.{operation}"
        assert phone.download(id).content == SOUND
    assert invariants.broken(phone.user_id) == []


def calls_of_complete(phone: Phone, faults: Faults) -> list[tuple[str, str]]:
    id = phone.deliver(SOUND)
    calls = faults.record()
    phone.complete(id)
    faults.clear()
    named = [call.name.split(".") for call in calls]
    assert ["s3", "CopyObject"] in named
    return [(service, operation) for service, operation in named]


def test_a_url_that_is_still_valid_leaves_a_ready_recording_alone(phone: Phone) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    send(begun["upload"], SOUND)
    ready = phone.complete(id).json
    send(begun["upload"], OTHER)

    assert phone.complete(id).json == ready
    assert phone.download(id).content == SOUND


def test_a_copy_that_takes_too_long_is_found_by_a_retry(
    phone: Phone, faults: Faults, held: Held
) -> None:
    id = phone.deliver(SOUND)
    faults.time_out("s3", "CopyObject")
    failed = phone.complete(id)
    assert (failed.status, failed.code, faults.met) == (503, "unavailable", 1)

    assert phone.complete(id).json["status"] == "ready"
    assert held("recordings", phone.user_id) == {id: [SOUND]}


@pytest.mark.parametrize(
    ("service", "operation"), [("s3", "CopyObject"), ("dynamodb", "UpdateItem")]
)
def test_a_complete_that_died_after_the_copy_is_finished_by_a_retry(
    phone: Phone, faults: Faults, held: Held, service: str, operation: str
) -> None:
    id = phone.deliver(SOUND)
    faults.lose_the_answer(service, operation)
    failed = phone.complete(id)
    assert (failed.status, failed.code) == (503, "unavailable")
    assert held("recordings", phone.user_id) == {id: [SOUND]}

    faults.clear()
    assert phone.complete(id).json["status"] == "ready"
    assert held("recordings", phone.user_id) == {id: [SOUND]}


def test_a_complete_that_could_not_mark_its_recording_ready_is_finished_by_a_retry(
    phone: Phone, faults: Faults, held: Held
) -> None:
    id = phone.deliver(SOUND)
    faults.refuse("dynamodb", "UpdateItem", "ProvisionedThroughputExceededException", 400)
    assert phone.complete(id).status == 503

    faults.clear()
    assert phone.complete(id).json["sha256"] == sha256(SOUND)
    assert held("recordings", phone.user_id) == {id: [SOUND]}


def test_a_copy_is_enough_to_finish_once_the_upload_itself_has_expired(
    phone: Phone, faults: Faults, clients: Clients, settings: Settings
) -> None:
    id = phone.deliver(SOUND)
    faults.refuse("dynamodb", "UpdateItem")
    assert phone.complete(id).status == 503
    faults.clear()
    # As the bucket's lifecycle does.
    clients.s3.delete_object(Bucket=settings.uploads_bucket, Key=f"{phone.user_id}/{id}")

    assert phone.complete(id).json["status"] == "ready"
    assert phone.download(id).content == SOUND


def test_a_wrong_copy_that_could_not_be_removed_is_removed_by_a_retry(
    phone: Phone, faults: Faults, held: Held, deliver_to_s3: Callable[..., None]
) -> None:
    begun = phone.announce(SOUND, sha256=sha256(SOUND)).json
    id = begun["recording"]["id"]
    deliver_to_s3(phone, id, OTHER)
    faults.refuse("s3", "DeleteObject")
    assert phone.complete(id).status == 503
    assert held("recordings", phone.user_id) == {id: [OTHER]}

    faults.clear()
    assert phone.complete(id).code == "upload_mismatch"
    assert held("recordings", phone.user_id) == {}
    send(begun["upload"], SOUND)
    assert phone.complete(id).status == 200


def test_a_complete_does_not_make_another_upload_ready_that_took_its_place(
    phone: Phone, faults: Faults, clients: Clients, settings: Settings, held: Held
) -> None:
    id = phone.deliver(SOUND)

    def replace() -> None:
        clients.dynamodb.update_item(
            TableName=settings.table,
            Key=to_attributes(recording_key(phone.user_id, id)),
            UpdateExpression="SET fingerprint = :another",
            ExpressionAttributeValues=to_attributes({":another": "another"}),
        )

    faults.meanwhile("s3", "CopyObject", replace)
    assert phone.complete(id).code == "unavailable"
    assert phone.get(f"/recordings/{id}").json["status"] == "uploading"
    assert held("uploads", phone.user_id) == {id: [SOUND]}


def test_completing_what_does_not_exist_is_not_found(phone: Phone) -> None:
    assert phone.complete(uuid7()).code == "not_found"


# The quota.


def test_what_does_not_fit_the_quota_is_refused_with_what_is_left(
    phone: Phone, stored: Callable[..., list[Item]], configure: Callable[..., None]
) -> None:
    configure(quota_bytes=25)
    phone.upload(SOUND)
    before = stored(account_key(phone.user_id)["pk"])
    refused = phone.announce(b"sixteen bytes it")

    assert (refused.status, refused.code) == (403, "quota_exceeded")
    assert "15 of 25 bytes" in refused.json["detail"]
    assert stored(account_key(phone.user_id)["pk"]) == before


def test_what_fits_the_quota_exactly_is_taken(phone: Phone, configure: Callable[..., None]) -> None:
    configure(quota_bytes=len(SOUND))

    phone.upload(SOUND)
    assert phone.usage() == (len(SOUND), 1)
    assert phone.announce(b"1").code == "quota_exceeded"


def test_a_deletion_for_good_makes_room(phone: Phone, configure: Callable[..., None]) -> None:
    configure(quota_bytes=len(SOUND))
    phone.delete_for_good(phone.upload(SOUND))

    assert phone.announce(SOUND).status == 201


def test_usage_is_the_sum_over_what_the_user_has(phone: Phone, invariants: Invariants) -> None:
    uploaded = phone.upload(SOUND)
    direct = phone.upload_directly(b"direct")
    under_way = phone.announce(b"under way").json["recording"]["id"]
    assert phone.usage() == (10 + 6 + 9, 3)

    phone.delete(f"/recordings/{under_way}")
    assert phone.usage() == (10 + 6, 2)
    phone.delete_for_good(uploaded)
    phone.delete_for_good(uploaded)
    assert phone.usage() == (6, 1)
    phone.delete_for_good(direct)
    assert phone.usage() == (0, 0)
    assert invariants.broken(phone.user_id) == []


# DynamoDB under load.


def test_a_transaction_that_met_another_is_tried_again(phone: Phone, faults: Faults) -> None:
    conflict = [{"Code": "None"}, {"Code": "TransactionConflict"}]
    cancelled: dict[str, Any] = {"times": 3, "CancellationReasons": conflict}
    faults.refuse(
        "dynamodb", "TransactWriteItems", "TransactionCanceledException", 400, **cancelled
    )
    announced = phone.announce(SOUND)

    assert faults.met == 3
    assert announced.status == 201
    assert phone.usage() == (len(SOUND), 1)


@pytest.mark.parametrize("act", [Phone.trash, Phone.restore, Phone.complete])
def test_a_write_that_met_a_transaction_is_tried_again(
    phone: Phone, faults: Faults, act: Callable[[Phone, str], Answer]
) -> None:
    id = phone.upload(SOUND) if act != Phone.complete else phone.deliver(SOUND)
    if act == Phone.restore:
        phone.trash(id)
    faults.refuse("dynamodb", "UpdateItem", "TransactionConflictException", 400, times=3)

    assert act(phone, id).status in {200, 204}
    assert faults.met == 3


@pytest.mark.parametrize("reason", ["ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transaction_cancelled_by_throttling_can_be_sent_again(
    phone: Phone, faults: Faults, reason: str
) -> None:
    cancelled: dict[str, Any] = {"CancellationReasons": [{"Code": reason}, {"Code": "None"}]}
    faults.refuse(
        "dynamodb", "TransactWriteItems", "TransactionCanceledException", 400, **cancelled
    )
    refused = phone.announce(SOUND)

    assert (refused.status, refused.code) == (503, "unavailable")
    assert refused.headers["retry-after"]


def test_an_announcement_whose_answer_was_lost_is_found_by_the_next(
    phone: Phone, faults: Faults
) -> None:
    id = uuid7()
    faults.lose_the_answer("dynamodb", "TransactWriteItems")
    assert phone.announce(SOUND, id=id).status == 503

    faults.clear()
    assert phone.announce(SOUND, id=id).status == 200
    assert phone.usage() == (len(SOUND), 1)
