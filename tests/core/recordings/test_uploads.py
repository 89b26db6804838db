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
from tests.support.invariants import Held
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


def test_a_form_allows_one_key_one_type_one_size_and_one_checksum(
    phone: Phone, settings: Settings
) -> None:
    begun = phone.announce(SOUND, upload_method="post", sha256=sha256(SOUND)).json
    conditions = policy_of(begun["upload"])["conditions"]

    exact = {
        name: value for each in conditions if isinstance(each, dict) for name, value in each.items()
    }
    # All but the two that a policy cannot speak of.
    fields = {
        n: v for n, v in begun["upload"]["fields"].items() if n not in {"policy", "x-amz-signature"}
    }
    assert exact == fields | {"bucket": settings.uploads_bucket}
    assert len(conditions) == len(exact) + 1
    assert ["content-length-range", len(SOUND), len(SOUND)] in conditions
    assert fields["key"] == f"{phone.user_id}/{begun['recording']['id']}"
    assert fields["Content-Type"] == "audio/mp4"
    assert fields["x-amz-checksum-sha256"] == checksum(SOUND)


def test_a_forms_signature_is_that_of_its_policy(phone: Phone) -> None:
    fields = phone.announce(SOUND, upload_method="post").json["upload"]["fields"]
    looser = base64.b64encode(base64.b64decode(fields["policy"]).replace(b"10, 10", b"10, 99"))

    assert accepts_form(fields)
    assert looser.decode() != fields["policy"]
    assert not accepts_form(fields | {"policy": looser.decode()})


def test_playing_is_signed_with_the_recordings_name_and_type(phone: Phone) -> None:
    recording_id = phone.upload(SOUND, file_name="talk.mp3", content_type="audio/mpeg")
    audio = phone.get(f"/recordings/{recording_id}").json["audio"]

    query = query_of(audio["url"])
    assert query["response-content-type"] == "audio/mpeg"
    assert 'filename="talk.mp3"' in query["response-content-disposition"]
    assert query["response-cache-control"] == "private"
    assert query["X-Amz-SignedHeaders"] == "host"
    assert accepts("GET", audio["url"], {})


def test_what_is_signed_lasts_as_long_as_is_announced(phone: Phone) -> None:
    put = phone.announce(SOUND).json["upload"]
    form = phone.announce(SOUND, upload_method="post").json["upload"]
    audio = phone.get(f"/recordings/{phone.upload(SOUND)}").json["audio"]

    assert query_of(put["url"])["X-Amz-Expires"] == "3600"
    assert query_of(audio["url"])["X-Amz-Expires"] == "900"
    assert_seconds_apart(expiry(put["url"]), put["expires_at"])
    assert_seconds_apart(expiry(audio["url"]), audio["expires_at"])
    expires = datetime.fromisoformat(policy_of(form)["expiration"])
    assert_seconds_apart(expires, form["expires_at"])


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
    monkeypatch.setattr("chalicelib.aws.s3.signing._now", lambda: noon)


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
    kept = RecordingsBucket(RECORDINGS, UPLOADS.name, NO_CLIENT, ours, ours)
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
def test_other_bytes_than_announced_are_refused_and_removed_and_the_right_ones_still_taken(
    phone: Phone, held: Held, deliver_to_s3: Callable[..., None], mistake: str
) -> None:
    begun = phone.announce(SOUND, sha256=sha256(SOUND)).json
    id = begun["recording"]["id"]
    data, arguments = MISTAKES[mistake]
    deliver_to_s3(phone, id, data, **arguments)
    refused = phone.complete(id)

    assert (refused.status, refused.code) == (409, "upload_mismatch")
    assert held("uploads", phone.user_id) == held("recordings", phone.user_id) == {}

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
    phone: Phone, faults: Faults, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.api.http.SECONDS", 7)
    cancelled: dict[str, Any] = {"CancellationReasons": [{"Code": reason}, {"Code": "None"}]}
    faults.refuse(
        "dynamodb", "TransactWriteItems", "TransactionCanceledException", 400, **cancelled
    )
    refused = phone.announce(SOUND)

    assert (refused.status, refused.code) == (503, "unavailable")
    assert refused.headers["retry-after"]
