"""The embedded S3 takes and refuses what S3 does, of all that the app signs and asks."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from botocore.exceptions import ClientError

from chalicelib.aws.s3.browsers import BrowserKey
from chalicelib.core.recordings.browsers import NAME, Described
from tests.support.embedded import Embedded, embedded
from tests.support.phone import NO_TLS

SOUND = os.urandom(3000)
TYPE = {"Content-Type": "audio/mp4"}
SIGNED = TYPE | {"Content-Length": str(len(SOUND))}
FIVE_MIB = 5 * 1024 * 1024
ORIGIN = "https://app.example"
_numbers = count(1)


def sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


HASHED = SIGNED | {"x-amz-checksum-sha256": sha256(SOUND)}
OTHER_HASH = {"x-amz-checksum-sha256": sha256(b"another")}


@pytest.fixture(scope="module")
def s3() -> Iterator[Embedded]:
    """The embedded S3, or another that `make engines` holds to the same rules."""
    if other := os.environ.get("TEST_S3"):
        yield Embedded(json.loads(other))
    else:
        with embedded() as running:
            yield running


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, verify=NO_TLS) as client:
        yield client


@pytest.fixture
def key() -> str:
    return f"user/{next(_numbers)}"


@pytest.fixture
def an_hour_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has all be signed as it would have been then."""
    then = (datetime.now(UTC) - timedelta(hours=1)).replace(tzinfo=None)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: then)
    monkeypatch.setattr("chalicelib.aws.s3.signing._now", lambda: then)


def said(answer: httpx.Response) -> str:
    """Status and code of an answer."""
    code = re.search(r"<Code>(\w+)</Code>", answer.text)
    return f"{answer.status_code} {code[1] if code else ''}".strip()


def refused(call: Callable[..., Any], **arguments: Any) -> str:
    """Status and code of what boto3 is refused."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return f"{response['ResponseMetadata']['HTTPStatusCode']} {response['Error']['Code']}"


# A URL to put an object


@pytest.mark.parametrize("headers", [SIGNED, HASHED], ids=["plain", "hashed"])
def test_what_is_sent_as_it_was_signed_is_taken(
    s3: Embedded, http: httpx.Client, key: str, headers: dict[str, str]
) -> None:
    url = s3.signer.url("PUT", s3.uploads, key, 60, headers=headers)
    assert said(http.put(url, content=SOUND, headers=headers)) == "200"
    assert s3.s3.get_object(Bucket=s3.uploads, Key=key)["Body"].read() == SOUND


MISMATCH = "403 SignatureDoesNotMatch"
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "another signature": ({"url": (r"\w$", "x")}, MISMATCH),
    "another key": ({"url": ("/user/", "/userx/")}, MISMATCH),
    "another access key": ({"url": ("=local%2F", "=other%2F")}, "403 InvalidAccessKeyId"),
    "more time": ({"url": ("Expires=60", "Expires=61")}, MISMATCH),
    "no signature": ({"url": (r"\?.*", "")}, "403 AccessDenied"),
    "another method": ({"method": "GET"}, MISMATCH),
    "another type": ({"headers": {"Content-Type": "text/html"}}, MISMATCH),
    "no type": ({"headers": {"Content-Type": None}}, MISMATCH),
    "more bytes": ({"content": SOUND + b"x"}, MISMATCH),
    "other bytes": ({"content": SOUND[::-1]}, "400 BadDigest"),
    "another hash": ({"headers": OTHER_HASH}, MISMATCH),
    "no hash": ({"headers": {"x-amz-checksum-sha256": None}}, MISMATCH),
    "a header more": ({"headers": {"x-amz-acl": "public-read"}}, "403 AccessDenied"),
    "a token of ours": ({"headers": {"Authorization": "Bearer ours"}}, "400 InvalidArgument"),
    "bytes by chunks": ({"content": iter([SOUND])}, "501 NotImplemented"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_put_that_is_not_as_it_was_signed_is_refused(
    s3: Embedded, http: httpx.Client, key: str, mistake: str
) -> None:
    change, expected = MISTAKES[mistake]
    url = s3.signer.url("PUT", s3.uploads, key, 60, headers=HASHED)
    if "url" in change:
        found, other = change["url"]
        url = re.sub(found, other, url)
    content = change.get("content", SOUND)
    length = {"Content-Length": str(len(content)) if isinstance(content, bytes) else None}
    headers = HASHED | length | change.get("headers", {})
    sent = {name: value for name, value in headers.items() if value}

    answer = http.request(change.get("method", "PUT"), url, content=content, headers=sent)
    assert said(answer) == expected
    assert "Contents" not in s3.s3.list_objects_v2(Bucket=s3.uploads, Prefix=key)


@pytest.mark.usefixtures("an_hour_ago")
def test_a_url_has_its_time(s3: Embedded, http: httpx.Client, key: str) -> None:
    url = s3.signer.url("PUT", s3.uploads, key, 60, headers=SIGNED)
    answer = http.put(url, content=SOUND, headers=SIGNED)
    assert said(answer) == "403 AccessDenied"
    assert "Request has expired" in answer.text


def test_a_url_lives_a_week_at_most(s3: Embedded, http: httpx.Client, key: str) -> None:
    url = s3.signer.url("GET", s3.uploads, key, 604_801)
    assert said(http.get(url)) == "400 AuthorizationQueryParametersError"


# A URL to get one


def test_a_download_is_called_what_was_signed(s3: Embedded, http: httpx.Client, key: str) -> None:
    s3.s3.put_object(Bucket=s3.recordings, Key=key, Body=SOUND, ContentType="audio/mp4")
    called = {"response-content-disposition": "inline; filename*=UTF-8''%ED%9A%8C.m4a"}
    url = s3.signer.url("GET", s3.recordings, key, 60, query=called)

    whole, part = http.get(url), http.get(url, headers={"Range": "bytes=100-199"})
    assert [whole.headers["Content-Disposition"]] == [*called.values()]
    assert (part.status_code, part.content) == (206, SOUND[100:200])
    assert part.headers["Content-Range"] == "bytes 100-199/3000"
    assert said(http.get(url, headers={"Range": "bytes=9000-"})) == "416 InvalidRange"
    for none in ("bytes=0-1,5-6", "bytes=5-2", "bytes=abc", "items=0-1"):
        assert http.get(url, headers={"Range": none}).content == whole.content
    assert said(http.get(url.replace("inline", "attachment"))) == MISMATCH
    assert http.head(url).status_code == 403
    assert said(http.get(f"{s3.url}/{s3.recordings}/{key}")) == "403 AccessDenied"


def test_a_call_with_another_secret_is_refused(s3: Embedded) -> None:
    stranger = s3.with_secret("a guess").client("s3", endpoint_url=s3.url)
    assert refused(stranger.list_objects_v2, Bucket=s3.uploads) == MISMATCH


def test_dynamodb_refuses_another_secret_too(s3: Embedded) -> None:
    table = s3.with_secret("a guess").client("dynamodb", endpoint_url=s3.url)
    assert "UnrecognizedClientException" in refused(table.list_tables)


def test_eventbridge_takes_events_of_whoever_has_the_secret(s3: Embedded) -> None:
    entry: Any = {"Source": "recorder", "DetailType": "Object Created", "Detail": "{}"}
    bus, strangers = (
        session.client("events", endpoint_url=s3.url)
        for session in (s3.session, s3.with_secret("a guess"))
    )

    assert bus.put_events(Entries=[entry])["FailedEntryCount"] == 0
    assert refused(strangers.put_events, Entries=[entry])


# A form


def post(
    s3: Embedded, http: httpx.Client, key: str, data: bytes = SOUND, **fields: str | None
) -> httpx.Response:
    """Send a form for some sound; a field that is None is left out."""
    hashed = TYPE | {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": sha256(SOUND)}
    size = len(SOUND)
    bounds: list[Any] = [["content-length-range", size, size]]
    url, signed = s3.signer.form(s3.uploads, key, 60, hashed, bounds)
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    sent = {name: value for name, value in (signed | named).items() if value is not None}
    return http.post(url, data=sent, files={"file": ("a", data, "image/png")})


def test_a_form_is_taken_with_its_type_and_hash(s3: Embedded, http: httpx.Client, key: str) -> None:
    answer = post(s3, http, key)

    assert answer.status_code == 204
    assert unquote(answer.headers["Location"]) == f"{s3.url}/{s3.uploads}/{key}"
    there = s3.s3.head_object(Bucket=s3.uploads, Key=key, ChecksumMode="ENABLED")
    assert (there["ContentType"], there["ContentLength"]) == ("audio/mp4", len(SOUND))
    assert there["ChecksumSHA256"] == sha256(SOUND)


OTHER_POLICY = base64.b64encode(
    b'{"expiration": "2099-01-01T00:00:00Z", "conditions": []}'
).decode()
FORMS: dict[str, tuple[dict[str, Any], str]] = {
    "more bytes": ({"data": SOUND + b"x"}, "400 EntityTooLarge"),
    "fewer bytes": ({"data": SOUND[1:]}, "400 EntityTooSmall"),
    "other bytes": ({"data": SOUND[::-1]}, "400 BadDigest"),
    "another type": ({"Content_Type": "text/html"}, "403 AccessDenied"),
    "no type": ({"Content_Type": None}, "403 AccessDenied"),
    "a field more": ({"acl": "public-read"}, "403 AccessDenied"),
    "another signature": ({"x_amz_signature": "0" * 64}, MISMATCH),
    "another policy": ({"policy": OTHER_POLICY}, MISMATCH),
    "no signature": ({"x_amz_signature": None}, "400 InvalidArgument"),
}


@pytest.mark.parametrize("mistake", FORMS)
def test_a_form_that_is_not_as_it_was_signed_is_refused(
    s3: Embedded, http: httpx.Client, key: str, mistake: str
) -> None:
    change, expected = FORMS[mistake]
    assert said(post(s3, http, key, **change)) == expected
    assert "Contents" not in s3.s3.list_objects_v2(Bucket=s3.uploads, Prefix=key)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, "403 AccessDenied"), ({"policy": OTHER_POLICY}, "400 InvalidArgument")],
    ids=["no policy", "a policy"],
)
def test_a_form_that_is_not_signed_at_all_is_refused(
    s3: Embedded, http: httpx.Client, key: str, fields: dict[str, str], expected: str
) -> None:
    unsigned = {"key": key, **fields}
    answer = http.post(f"{s3.url}/{s3.uploads}/", data=unsigned, files={"file": ("a", SOUND)})
    assert said(answer) == expected


def test_a_form_for_another_key_is_refused(s3: Embedded, http: httpx.Client, key: str) -> None:
    url, fields = s3.signer.form(s3.uploads, key, 60, TYPE, [])
    answer = http.post(url, data=fields | {"key": "user/other"}, files={"file": ("a", SOUND)})
    assert said(answer) == "403 AccessDenied"


def test_a_form_has_its_time(s3: Embedded, http: httpx.Client, key: str) -> None:
    url, fields = s3.signer.form(s3.uploads, key, -60, TYPE, [])
    answer = http.post(url, data=fields, files={"file": ("a", SOUND)})
    assert said(answer) == "403 AccessDenied"
    assert "Policy expired" in answer.text


# Conditions


def test_what_is_there_is_not_put_over(s3: Embedded, key: str) -> None:
    put = {"Bucket": s3.recordings, "Key": key, "IfNoneMatch": "*"}
    s3.s3.put_object(**put, Body=b"first")
    assert refused(s3.s3.put_object, **put, Body=b"second") == "412 PreconditionFailed"
    assert s3.s3.get_object(Bucket=s3.recordings, Key=key)["Body"].read() == b"first"


@pytest.fixture
def copy(s3: Embedded, key: str) -> dict[str, Any]:
    """How the app copies an upload to the recordings."""
    etag = s3.s3.put_object(Bucket=s3.uploads, Key=key, Body=SOUND)["ETag"]
    return {
        "Bucket": s3.recordings,
        "Key": f"{key}/copy",
        "CopySource": {"Bucket": s3.uploads, "Key": key},
        "CopySourceIfMatch": etag,
        "IfNoneMatch": "*",
        "MetadataDirective": "REPLACE",
        "Metadata": {"upload": "n"},
        "ContentType": "audio/mp4",
        "ChecksumAlgorithm": "SHA256",
    }


def test_a_copy_is_hashed_and_happens_once(s3: Embedded, copy: dict[str, Any]) -> None:
    made = s3.s3.copy_object(**copy)
    assert made["CopyObjectResult"]["ChecksumSHA256"] == sha256(SOUND)
    there = s3.s3.head_object(Bucket=copy["Bucket"], Key=copy["Key"], ChecksumMode="ENABLED")
    assert (there["ChecksumSHA256"], there["ChecksumType"]) == (sha256(SOUND), "FULL_OBJECT")
    assert (there["VersionId"], there["Metadata"]) == (made["VersionId"], {"upload": "n"})
    assert refused(s3.s3.copy_object, **copy) == "412 PreconditionFailed"


def test_a_copy_with_metadata_of_its_own_has_nothing_of_its_sources(
    s3: Embedded, copy: dict[str, Any]
) -> None:
    said = {"ContentEncoding": "gzip", "CacheControl": "private", "Metadata": {"mood": "good"}}
    made = s3.s3.put_object(**copy["CopySource"], Body=SOUND, **said)
    s3.s3.copy_object(**copy | {"CopySourceIfMatch": made["ETag"]})
    there = s3.s3.head_object(Bucket=copy["Bucket"], Key=copy["Key"])
    assert there["Metadata"] == {"upload": "n"}
    assert not {"ContentEncoding", "CacheControl"} & there.keys()


def test_a_copy_is_of_what_was_meant(s3: Embedded, copy: dict[str, Any]) -> None:
    other = {"CopySourceIfMatch": f'"{"0" * 32}"'}
    assert refused(s3.s3.copy_object, **copy | other) == "412 PreconditionFailed"
    nowhere = {"CopySource": {"Bucket": s3.uploads, "Key": "user/none"}}
    assert refused(s3.s3.copy_object, **copy | nowhere) == "404 NoSuchKey"


def test_a_copy_may_go_where_something_was_deleted(s3: Embedded, copy: dict[str, Any]) -> None:
    s3.s3.copy_object(**copy)
    s3.s3.delete_object(Bucket=copy["Bucket"], Key=copy["Key"])
    s3.s3.copy_object(**copy)
    there = s3.s3.list_object_versions(Bucket=copy["Bucket"], Prefix=copy["Key"])
    assert (len(there["Versions"]), len(there["DeleteMarkers"])) == (2, 1)


def test_only_what_was_meant_is_deleted(s3: Embedded, key: str) -> None:
    etag = s3.s3.put_object(Bucket=s3.uploads, Key=key, Body=SOUND)["ETag"]
    it = {"Bucket": s3.uploads, "Key": key}
    assert refused(s3.s3.delete_object, **it, IfMatch='"other"') == "412 PreconditionFailed"
    assert s3.s3.head_object(**it)["ETag"] == etag
    s3.s3.delete_object(**it, IfMatch=etag)
    assert refused(s3.s3.delete_object, **it, IfMatch=etag) == "404 NoSuchKey"


# Versions


def test_versions_are_listed_in_pages_and_deleted_one_by_one(s3: Embedded, key: str) -> None:
    for number in range(3):
        s3.s3.put_object(Bucket=s3.recordings, Key=f"{key}/{number}", Body=b"x")
        s3.s3.delete_object(Bucket=s3.recordings, Key=f"{key}/{number}")
    where: dict[str, Any] = {"Bucket": s3.recordings, "Prefix": f"{key}/"}
    pages = s3.s3.get_paginator("list_object_versions").paginate(
        **where, PaginationConfig={"PageSize": 1}
    )
    found = [
        {"Key": each["Key"], "VersionId": each["VersionId"]}
        for page in pages
        for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    ]
    assert len(found) == 6

    deleted = {"Objects": [*found, {"Key": f"{key}/none"}], "Quiet": True}
    assert "Errors" not in s3.s3.delete_objects(Bucket=s3.recordings, Delete=deleted)
    left = s3.s3.list_object_versions(**where)
    assert "Versions" not in left
    # What was never there has a mark of its deletion, as on S3.
    assert [each["Key"] for each in left["DeleteMarkers"]] == [f"{key}/none"]


def test_folders_of_versions_are_listed_in_pages(s3: Embedded, key: str) -> None:
    for folder in "abc":
        s3.s3.put_object(Bucket=s3.recordings, Key=f"{key}/{folder}/x", Body=b"x")
    pages = s3.s3.get_paginator("list_object_versions").paginate(
        Bucket=s3.recordings, Prefix=f"{key}/", Delimiter="/", PaginationConfig={"PageSize": 1}
    )
    found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
    assert found == [f"{key}/{folder}/" for folder in "abc"]


# Parts


class Parts:
    """An upload in parts, with what a phone is given to send each."""

    def __init__(self, s3: Embedded, http: httpx.Client, key: str) -> None:
        where = {"Bucket": s3.uploads, "Key": key}
        begun = s3.s3.create_multipart_upload(**where, ContentType="audio/mp4")
        self.of = where | {"UploadId": begun["UploadId"]}
        self._s3 = s3
        self._http = http

    def send(self, number: int, data: bytes, size: int = 0, md5: str = "") -> str:
        query = {"partNumber": str(number), "uploadId": self.of["UploadId"]}
        length = {"Content-Length": str(size or len(data))}
        url = self._s3.signer.url(
            "PUT", self.of["Bucket"], self.of["Key"], 60, headers=length, query=query
        )
        answer = self._http.put(url, content=data, headers={"Content-MD5": md5} if md5 else {})
        return answer.headers["ETag"] if answer.is_success else said(answer)

    def complete(self, *etags: str) -> Any:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        return self._s3.s3.complete_multipart_upload(**self.of, MultipartUpload={"Parts": parts})


def test_a_checksum_of_parts_checksums_says_so_of_each_version(s3: Embedded, key: str) -> None:
    where: Any = {"Bucket": s3.recordings, "Key": key}
    begun = s3.s3.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")
    it = where | {"UploadId": begun["UploadId"]}
    part = s3.s3.upload_part(**it, PartNumber=1, Body=SOUND, ChecksumAlgorithm="SHA256")
    named = {"PartNumber": 1} | {name: part[name] for name in ("ETag", "ChecksumSHA256")}
    done = s3.s3.complete_multipart_upload(**it, MultipartUpload={"Parts": [named]})

    for version in ({}, {"VersionId": done["VersionId"]}):
        head = s3.s3.head_object(**where, **version, ChecksumMode="ENABLED")
        assert head["ChecksumType"] == "COMPOSITE"


@pytest.fixture
def parts(s3: Embedded, http: httpx.Client, key: str) -> Parts:
    return Parts(s3, http, key)


def test_parts_become_an_object_that_is_copied_with_the_hash_of_the_whole(
    s3: Embedded, parts: Parts, copy: dict[str, Any]
) -> None:
    first, second = os.urandom(FIVE_MIB), b"the end"
    etags = [parts.send(1, first), parts.send(2, second)]
    assert etags[0].strip('"') == hashlib.md5(first, usedforsecurity=False).hexdigest()
    listed = s3.s3.list_parts(**parts.of)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in listed] == [(1, FIVE_MIB), (2, 7)]
    assert refused(lambda: parts.complete()) == "400 MalformedXML"
    assert refused(lambda: parts.complete(etags[0], '"other"')) == "400 InvalidPart"

    made = parts.complete(*etags)
    assert made["ETag"].endswith('-2"')
    assert refused(s3.s3.list_parts, **parts.of) == "404 NoSuchUpload"
    whole = copy | {"CopySourceIfMatch": made["ETag"]}
    copied = s3.s3.copy_object(**whole)["CopyObjectResult"]["ChecksumSHA256"]
    assert copied == sha256(first + second)


def test_a_part_is_as_long_as_was_signed(parts: Parts) -> None:
    assert parts.send(1, SOUND, size=len(SOUND) - 1) == MISMATCH
    assert parts.send(1, SOUND, md5="AAAAAAAAAAAAAAAAAAAAAA==") == "400 BadDigest"


def test_only_the_last_part_may_be_small(parts: Parts) -> None:
    etags = parts.send(1, b"small"), parts.send(2, b"small")
    assert refused(lambda: parts.complete(*etags)) == "400 EntityTooSmall"


def test_a_part_of_an_upload_that_is_gone_is_refused(s3: Embedded, parts: Parts) -> None:
    assert [each["UploadId"] for each in _uploads(s3, parts)] == [parts.of["UploadId"]]
    s3.s3.abort_multipart_upload(**parts.of)
    assert parts.send(1, SOUND) == "404 NoSuchUpload"
    assert _uploads(s3, parts) == []


def _uploads(s3: Embedded, parts: Parts) -> list[Any]:
    listed = s3.s3.list_multipart_uploads(Bucket=s3.uploads, Prefix=parts.of["Key"])
    return list(listed.get("Uploads", []))


# Browsers


def preflight(s3: Embedded, http: httpx.Client, bucket: str, method: str) -> httpx.Response:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type,x-amz-checksum-sha256",
    }
    return http.options(f"{s3.url}/{bucket}/user/x", headers=asked)


def test_browsers_may_send_to_the_uploads_and_read_the_etag(
    s3: Embedded, http: httpx.Client, key: str
) -> None:
    allowed = preflight(s3, http, s3.uploads, "PUT")
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "*"
    assert "PUT" in allowed.headers["Access-Control-Allow-Methods"]
    assert allowed.headers["Access-Control-Max-Age"] == "3600"
    url = s3.signer.url("PUT", s3.uploads, key, 60, headers=SIGNED)
    for content in (SOUND, SOUND[1:]):
        answer = http.put(url, content=content, headers=TYPE | {"Origin": ORIGIN})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "ETag" in answer.headers["Access-Control-Expose-Headers"]


def test_browsers_may_not_send_to_the_recordings(s3: Embedded, http: httpx.Client) -> None:
    assert said(preflight(s3, http, s3.recordings, "PUT")) == "403 AccessForbidden"
    assert preflight(s3, http, s3.recordings, "GET").status_code == 200


def test_browsers_may_list_and_abort_what_they_send_in_parts(
    s3: Embedded, http: httpx.Client
) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert preflight(s3, http, s3.uploads, method).status_code == 200
    assert said(preflight(s3, http, s3.recordings, "DELETE")) == "403 AccessForbidden"


# What upload libraries in browsers sign in a header


def as_a_browser(
    s3: Embedded, http: httpx.Client, request: tuple[str, str, bytes]
) -> httpx.Response:
    """A request of an upload in parts, as Fine Uploader has it signed here, and sends it."""
    method, url, content = request
    place = BrowserKey(s3.signer, s3.uploads, None, foreign=True).place()
    assert place
    path, _, query = url.partition("?")
    date, digest = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", hashlib.sha256(content).hexdigest()
    more = {"x-amz-acl": "private", NAME: "my%20clip"} if query == "uploads=" else {}
    headers = {"host": "x", "x-amz-content-sha256": digest, "x-amz-date": date, **more}
    headers = dict(sorted(headers.items()))
    described = Described(date, place.scope(date), method, f"/{path}", query, headers, digest)
    signature = place.sign(described.to_sign(place, path), place.scope(date))
    names = ";".join(headers)
    scope = f"{place.access_key}/{place.scope(date)}"
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={names},Signature={signature}"
    )
    sent = {name: value for name, value in headers.items() if name != "host"}
    return http.request(
        method,
        f"{s3.url}/{s3.uploads}/{url}",
        content=content,
        headers=sent | {"Authorization": authorization},
    )


def test_an_upload_in_parts_that_is_signed_for_a_browser_is_taken(
    s3: Embedded, http: httpx.Client, key: str
) -> None:
    begun = as_a_browser(s3, http, ("POST", f"{key}?uploads=", b""))
    [upload] = re.findall("<UploadId>(.*?)</UploadId>", begun.text)
    part = as_a_browser(s3, http, ("PUT", f"{key}?partNumber=1&uploadId={upload}", SOUND))
    etag = part.headers["ETag"]
    whole = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    )
    assert as_a_browser(s3, http, ("POST", f"{key}?uploadId={upload}", whole.encode())).is_success

    assert s3.s3.get_object(Bucket=s3.uploads, Key=key)["Body"].read() == SOUND


def test_one_that_is_aborted_so_is_gone(s3: Embedded, http: httpx.Client, key: str) -> None:
    begun = as_a_browser(s3, http, ("POST", f"{key}?uploads=", b""))
    [upload] = re.findall("<UploadId>(.*?)</UploadId>", begun.text)

    assert as_a_browser(s3, http, ("DELETE", f"{key}?uploadId={upload}", b"")).status_code == 204
    listed = s3.s3.list_multipart_uploads(Bucket=s3.uploads, Prefix=key)
    assert "Uploads" not in listed
