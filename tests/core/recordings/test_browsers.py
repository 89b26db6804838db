"""Signing for Fine Uploader: what it sends is signed, and everything else is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from chalicelib import wiring
from chalicelib.aws.clients import Clients
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from tests.conftest import Clock
from tests.support.fine_uploader import EMPTY, FineUploader
from tests.support.invariants import Held
from tests.support.phone import NO_TLS, PASSWORD, Answer, Phone

MIB = 1024 * 1024
SOUND = b"some sound"
UPLOAD_ID = "VXBsb2FkIElE.abc_-~"
Conditions = list[Any]
Spoil = Callable[[Conditions], object]


class Page(FineUploader):
    """A page of whoever is logged in on a phone."""

    phone: Phone

    @classmethod
    def of(cls, phone: Phone, clock: Callable[[], datetime], settings: Settings) -> Page:
        bucket = settings.uploads_bucket
        endpoint = f"{settings.s3_endpoint}/{bucket}"
        return cls(phone.user_id, endpoint, bucket, "local", clock, phone)

    def part(self, id: str, number: int = 1, data: bytes = SOUND) -> str:
        query = f"partNumber={number}&uploadId={UPLOAD_ID}"
        return self.request("PUT", id, query, hashlib.sha256(data).hexdigest())

    def ending(self, id: str) -> str:
        digest = hashlib.sha256(b"<x/>").hexdigest()
        return self.request("POST", id, f"uploadId={UPLOAD_ID}", digest)

    def aborting(self, id: str) -> str:
        return self.request("DELETE", id, f"uploadId={UPLOAD_ID}")

    def sign(self, body: object) -> Answer:
        """Ask for a signature, as it does: with a query that says which version."""
        kind = {"Content-Type": "application/json; charset=utf-8"}
        return self.phone.post("/uploads/sign", body, query={"v4": "true"}, headers=kind)

    def sign_text(self, text: str) -> Answer:
        return self.sign({"headers": text})


@pytest.fixture
def page(phone: Phone, clock: Clock, settings: Settings) -> Page:
    return Page.of(phone, clock, settings)


@pytest.fixture
def id(phone: Phone) -> str:
    """An upload of three parts at most, of five MiB each, that is under way."""
    return announced(phone, 11 * MIB)


def announced(phone: Phone, size: int, **fields: object) -> str:
    body = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": size} | fields
    return str(phone.post("/recordings", body).json["recording"]["id"])


def refused(answer: Answer) -> bool:
    """Whether it is a problem, which the library finds in `error`."""
    if answer.status == 200:
        return False
    assert (answer.status, answer.code) == (400, "invalid_request"), answer.text
    assert answer.json["error"] == answer.json["detail"]
    assert "signature" not in answer.json
    return True


def decoded(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.text
    policy: dict[str, Any] = json.loads(base64.b64decode(answer.json["policy"]))
    return policy


# A policy


def test_a_policy_is_answered_with_ours_which_is_stricter(
    page: Page, phone: Phone, clock: Clock
) -> None:
    id = announced(phone, len(SOUND))

    policy = decoded(page.sign(page.policy(id, 1_000_000)))

    asked = page.policy(id)["conditions"]
    assert policy["conditions"] == [*asked, ["content-length-range", len(SOUND), len(SOUND)]]
    left = datetime.fromisoformat(policy["expiration"]) - clock()
    assert timedelta(minutes=4) < left <= timedelta(minutes=5)


def test_its_signature_is_that_of_signature_version_4(page: Page, id: str) -> None:
    answer = page.sign(page.policy(id)).json

    signer = SigV4Auth(Credentials("local", os.environ["AWS_SECRET_ACCESS_KEY"]), "s3", "us-east-1")
    request = AWSRequest()
    request.context["timestamp"] = page.date
    assert answer["signature"] == signer.signature(answer["policy"], request)


def test_a_form_with_it_is_a_recording_once_it_is_completed(page: Page, phone: Phone) -> None:
    id = announced(phone, len(SOUND))
    asked = page.policy(id)
    fields = page.form(asked, page.sign(asked).json)

    sent = httpx.post(page.endpoint, data=fields, files={"file": SOUND}, verify=NO_TLS)
    done = phone.call(
        "POST",
        f"/recordings/{id}/complete",
        b"key=" + page.key(id).encode() + b"&uuid=1&name=clip.m4a&bucket=x&etag=%22y%22",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert int(sent.status_code) == 200
    assert (done.status, done.json["status"]) == (200, "ready")
    assert phone.download(id).content == SOUND


def test_a_type_with_parameters_is_signed_as_it_is_sent(page: Page, phone: Phone) -> None:
    id = announced(phone, len(SOUND), content_type="audio/webm;codecs=opus")
    asked = page.policy(id)
    asked["conditions"][2] = {"Content-Type": "audio/WebM;codecs=opus"}

    assert {"Content-Type": "audio/WebM;codecs=opus"} in decoded(page.sign(asked))["conditions"]


@pytest.mark.parametrize("limits", [["10", "10"], [0, 10], ["0", "9007199254740992"]])
def test_limits_that_the_page_sets_may_be_any_that_it_fits_in(
    page: Page, phone: Phone, limits: list[object]
) -> None:
    asked = page.policy(announced(phone, 10))
    asked["conditions"].append(["content-length-range", *limits])

    assert page.sign(asked).status == 200


def put(place: int, **field: object) -> Spoil:
    """Has one field be another."""
    named = {name.replace("_", "-"): value for name, value in field.items()}
    return lambda conditions: conditions.__setitem__(place, named)


def add(*conditions: object) -> Spoil:
    return lambda there: there.extend(conditions)


SPOILT_POLICIES: dict[str, Spoil] = {
    "another access": put(0, acl="public-read"),
    "another bucket": put(1, bucket="somebody-elses"),
    "another type": put(2, Content_Type="audio/ogg"),
    "no type at all": put(2, Content_Type=""),
    "what is no type": put(2, Content_Type="audio/mp4\r\nx: y"),
    "another status": lambda each: each.__setitem__(3, {"success_action_status": "201"}),
    "another algorithm": put(4, x_amz_algorithm="AWS4-HMAC-SHA1"),
    "another name of a file": put(8, x_amz_meta_qqfilename="a\nb"),
    "a name too long": put(8, x_amz_meta_qqfilename="x" * 1901),
    "another field in place": put(0, tagging="private"),
    "an empty condition": lambda each: each.__setitem__(0, {}),
    "two in one": lambda each: each.__setitem__(0, {"acl": "private", "tagging": "x"}),
    "twice": add({"acl": "private"}),
    "twice, otherwise": add({"acl": "public-read"}),
    "a key twice": lambda each: each.append(each[5]),
    "one too many": add({"x-amz-storage-class": "REDUCED_REDUNDANCY"}),
    "another name of metadata": add({"x-amz-meta-more": "x"}),
    "a redirection": add({"success_action_redirect": "https://evil.example"}),
    "a session token": add({"x-amz-security-token": "x"}),
    "one with an operator": add(["starts-with", "$key", ""]),
    "a key by its beginning": lambda each: each.__setitem__(5, ["starts-with", "$key", ""]),
    "a key with an operator": lambda each: each.__setitem__(5, ["eq", "$key", "x"]),
    "fewer bytes": add(["content-length-range", "0", str(11 * MIB - 1)]),
    "more bytes": add(["content-length-range", str(11 * MIB + 1), str(12 * MIB)]),
    "two ranges": add(*[["content-length-range", "0", str(11 * MIB)]] * 2),
    "a range of one": add(["content-length-range", "0"]),
    "a range of words": add(["content-length-range", "some", "more"]),
    "a range below nothing": add(["content-length-range", "-1", str(11 * MIB)]),
    **{f"without {place}": lambda each, place=place: each.pop(place) for place in range(9)},  # type: ignore[misc]
    "none": list.clear,
}


@pytest.mark.parametrize(
    "conditions",
    [
        b'[{"acl":"public-read","acl":"private"}]',
        b'[],"conditions":[]',
        b"[" * 1000 + b"]" * 1000,
    ],
    ids=["a condition", "all of them", "nested"],
)
def test_what_is_said_twice_or_too_deep_is_refused(page: Page, conditions: bytes) -> None:
    assert refused(page.sign(b'{"expiration":"x","conditions":%s}' % conditions))


def test_every_other_policy_is_refused(page: Page, id: str) -> None:
    signed = []
    for how, spoil in SPOILT_POLICIES.items():
        asked = page.policy(id)
        spoil(asked["conditions"])
        if not refused(page.sign(asked)):
            signed.append(how)

    assert signed == []


OTHER_CREDENTIALS = [
    "local/{day}/eu-west-1/s3/aws4_request",
    "another/{day}/us-east-1/s3/aws4_request",
    "local/{day}/us-east-1/ec2/aws4_request",
    "local/20200101/us-east-1/s3/aws4_request",
    "local/{day}/us-east-1/s3/aws4_request/more",
    "local",
    "",
]
OTHER_DATES = ["{day}", "20200101T000000Z", "{day}T250000Z", "{day}T000000", ""]


def test_another_credential_or_date_is_refused(page: Page, id: str) -> None:
    others = [{"x-amz-credential": each} for each in OTHER_CREDENTIALS]
    others += [{"x-amz-date": each} for each in OTHER_DATES]
    signed = []
    for other in others:
        [(name, value)] = other.items()
        asked = page.policy(id)
        place = 6 if name == "x-amz-credential" else 7
        asked["conditions"][place] = {name: value.format(day=page.date[:8])}
        if not refused(page.sign(asked)):
            signed.append(other)

    assert signed == []


@pytest.mark.parametrize(
    ("minutes", "is_refused"), [(14, False), (-14, False), (16, True), (-16, True)]
)
def test_a_clock_may_be_off_by_as_much_as_s3_allows(
    page: Page, id: str, clock: Clock, minutes: int, is_refused: bool
) -> None:
    clock.advance(minutes=minutes)
    policy, request = page.policy(id), page.beginning(id)
    clock.advance(minutes=-minutes)

    assert refused(page.sign(policy)) is is_refused
    assert refused(page.sign_text(request)) is is_refused


def test_another_end_is_refused(page: Page, id: str) -> None:
    for end in ["", "soon", "2020-01-01T00:00:00Z", "2026-01-01T00:00:00", 5, None]:
        assert refused(page.sign(page.policy(id) | {"expiration": end})), end


def test_a_late_end_is_not_ours(page: Page, id: str, clock: Clock) -> None:
    policy = decoded(page.sign(page.policy(id) | {"expiration": "2999-01-01T00:00:00.000Z"}))

    assert datetime.fromisoformat(policy["expiration"]) < clock() + timedelta(minutes=6)


# Whose it is, and what it is


def of_another(_: Phone, other: Phone) -> str:
    return announced(other, 11 * MIB)


def ready(phone: Phone, _: Phone) -> str:
    return phone.upload(SOUND)


def in_the_trash(phone: Phone, other: Phone) -> str:
    phone.trash(id := ready(phone, other))
    return id


def rolled_back(phone: Phone, _: Phone) -> str:
    phone.delete(f"/recordings/{(id := announced(phone, 11 * MIB))}")
    return id


@pytest.mark.parametrize(
    "which",
    [of_another, ready, in_the_trash, rolled_back, lambda *_: uuid7(), lambda *_: "../x"],
)
@pytest.mark.parametrize("owner", ["phone", "other"])
def test_what_is_no_upload_of_ones_own_is_refused(
    page: Page, phone: Phone, other: Phone, which: Callable[..., str], owner: str
) -> None:
    id = which(phone, other)
    whose = phone if owner == "phone" else other
    asked = page.policy(id)
    asked["conditions"][5] = {"key": f"{whose.user_id}/{id}"}

    assert refused(page.sign(asked))
    text = page.beginning(id).replace(phone.user_id, whose.user_id)
    assert refused(page.sign_text(text))


OTHER_KEYS = ["", "x", "/", "exports/x", "{user}", "{user}/", "{user}/{id}/x"]


def test_another_key_is_refused(page: Page, phone: Phone, id: str) -> None:
    for key in OTHER_KEYS:
        named = key.format(user=phone.user_id, id=id)
        asked = page.policy(id)
        asked["conditions"][5] = {"key": named}

        assert refused(page.sign(asked)), key
        assert refused(page.sign_text(page.beginning(id).replace(page.key(id), named))), key


NEITHER: list[Any] = [
    {},
    {"headers": 5},
    {"headers": ""},
    {"headers": "x" * 8193},
    {"headers": "\n" * 20},
    {"expiration": "2026-11-28T00:00:00Z"},
    {"conditions": []},
    {"expiration": "x", "conditions": {}},
    {"expiration": "x", "conditions": [5]},
    {"expiration": "x", "conditions": [{"acl": 5}]},
    {"expiration": "x", "conditions": [{}] * 51},
    [],
    None,
]


def test_what_is_neither_is_refused(page: Page) -> None:
    assert [body for body in NEITHER if not refused(page.sign(body))] == []


def test_both_at_once_are_refused(page: Page, id: str) -> None:
    assert refused(page.sign(page.policy(id) | {"headers": page.beginning(id)}))
    assert refused(page.sign(page.policy(id) | {"more": 1}))


def test_nobody_is_signed_for_who_is_not_logged_in(page: Page, id: str) -> None:
    asked = page.policy(id)
    page.phone.tokens = {}

    answer = page.phone.post("/uploads/sign", asked)

    assert (answer.status, answer.code) == (401, "not_authenticated")


def test_a_closed_account_is_not_signed_for(page: Page, phone: Phone, id: str) -> None:
    asked = page.policy(id)
    phone.delete("/me", body={"password": PASSWORD})

    assert page.sign(asked).status == 401


# A request of an upload in parts


def expected(page: Page, text: str, bucket: str) -> str:
    """The signature that S3 computes of what the browser then sends."""
    lines = text.split("\n")
    lines[4] = f"/{bucket}{lines[4]}"
    lines[6] = f"host:{urlsplit(page.endpoint).netloc}"
    digest = hashlib.sha256("\n".join(lines[3:]).encode()).hexdigest()
    request = AWSRequest()
    request.context["timestamp"] = lines[1]
    signer = SigV4Auth(Credentials("local", os.environ["AWS_SECRET_ACCESS_KEY"]), "s3", "us-east-1")
    return str(signer.signature("\n".join([*lines[:3], digest]), request))


@pytest.mark.parametrize("kind", ["beginning", "part", "ending", "aborting"])
def test_each_request_is_signed_as_s3_will_see_it(page: Page, id: str, kind: str) -> None:
    text = getattr(page, kind)(id)

    answer = page.sign_text(text)

    assert answer.json == {"signature": expected(page, text, page.bucket)}


@pytest.mark.parametrize(
    ("number", "is_refused"), [(1, False), (3, False), (4, True), (10_000, True)]
)
def test_there_are_no_more_parts_than_five_mebibytes_make(
    page: Page, id: str, number: int, is_refused: bool
) -> None:
    assert refused(page.sign_text(page.part(id, number))) is is_refused


def test_an_upload_is_not_signed_for_without_end(page: Page, phone: Phone) -> None:
    id = announced(phone, len(SOUND))

    answers = [refused(page.sign_text(page.part(id))) for _ in range(17)]

    assert answers == [False] * 16 + [True]
    assert not refused(page.sign(page.policy(id)))


def swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def line(number: int, new: str) -> Callable[[str], str]:
    """Has one line be another."""

    def spoil(text: str) -> str:
        lines = text.split("\n")
        lines[number] = new
        return "\n".join(lines)

    return spoil


SPOILT_REQUESTS: dict[str, Callable[[str], str]] = {
    "another algorithm": line(0, "AWS4-HMAC-SHA1"),
    "another date": line(1, "20200101T000000Z"),
    "another region": swap("us-east-1", "eu-west-1"),
    "another service": swap("/s3/", "/ec2/"),
    "another day": line(2, "20200101/us-east-1/s3/aws4_request"),
    "another method": line(3, "GET"),
    "another method, with parts": line(3, "PUT"),
    "another bucket": swap("recorder-dev-uploads", "recorder-dev-recordings"),
    "another host": line(6, "host:evil.example"),
    "a path too long": lambda text: text.replace("uploads=", "x").replace("/", "//", 9),
    "a path without its slash": lambda text: text.replace("\n/", "\n", 1),
    "another query": line(5, "acl="),
    "a query too many": line(5, "uploads=&acl="),
    "no query": line(5, ""),
    "another access": swap("x-amz-acl:private", "x-amz-acl:public-read"),
    "no access": lambda text: text.replace("x-amz-acl:private\n", "").replace("x-amz-acl;", ""),
    "a header too many": lambda text: text.replace(
        "x-amz-content-sha256:", "x-amz-copy-source:/x/y\nx-amz-content-sha256:"
    ).replace("x-amz-acl;", "x-amz-acl;x-amz-copy-source;"),
    "a header that is not signed": swap("x-amz-acl;", ""),
    "a header that is not there": swap("x-amz-acl:private\n", ""),
    "a header twice": lambda text: text.replace(
        "x-amz-acl:private\n", "x-amz-acl:private\nx-amz-acl:private\n"
    ).replace("x-amz-acl;", "x-amz-acl;x-amz-acl;"),
    "headers in another order": lambda text: text.replace("host;x-amz-acl", "x-amz-acl;host"),
    "another name": swap("qqfilename:my", "qqfilename:m y"),
    "two dates": lambda text: text.replace("x-amz-date:2", "x-amz-date:1"),
    "two hashes": lambda text: text[:-64] + "a" * 64,
    "content where there is none": swap(EMPTY, "a" * 64),
    "no hash": swap(EMPTY, "UNSIGNED-PAYLOAD"),
    "a hash in upper case": swap(EMPTY, EMPTY.upper()),
    "a line too many": lambda text: text + "\n",
    "a line in front": lambda text: "\n" + text,
    "a line too few": lambda text: text.replace("\n\n", "\n"),
    "lines of Windows": swap("\n", "\r\n"),
    "its hash alone": lambda text: "\n".join([*text.split("\n")[:3], "a" * 64]),
    "a header with a space": swap("host:", "host: "),
}


def test_every_other_request_is_refused(page: Page, id: str) -> None:
    text = page.beginning(id)
    spoilt = {how: spoil(text) for how, spoil in SPOILT_REQUESTS.items()}
    assert text not in spoilt.values()

    assert [how for how, each in spoilt.items() if not refused(page.sign_text(each))] == []
    assert not refused(page.sign_text(text))


OTHER_PARTS = [
    *("partNumber=0&uploadId=x", "partNumber=01&uploadId=x", "partNumber=-1&uploadId=x"),
    *("uploadId=x&partNumber=1", "partNumber=1&uploadId=", "partNumber=1"),
    *("partNumber=1&uploadId=x&acl=", "partNumber=1&uploadId=x y", "partNumber=1&uploadId=x/y"),
    *("partNumber=1&partNumber=1&uploadId=x", "partNumber=\u0661&uploadId=x"),
]


def test_another_part_is_refused(page: Page, id: str) -> None:
    asked = {query: page.request("PUT", id, query) for query in OTHER_PARTS}

    assert [query for query, text in asked.items() if not refused(page.sign_text(text))] == []


# What is left of it


@pytest.mark.parametrize("end", ["rolled back", "expired", "completed otherwise"])
def test_parts_that_it_left_are_tidied(
    page: Page,
    clients: Clients,
    clear_away: Callable[[], None],
    clock: Clock,
    under_way: Callable[[Phone], list[str]],
    end: str,
) -> None:
    phone, id = page.phone, announced(page.phone, len(SOUND))
    assert page.sign_text(page.beginning(id)).status == 200
    clients.s3.create_multipart_upload(Bucket=page.bucket, Key=page.key(id))
    assert len(under_way(phone)) == 1

    if end == "rolled back":
        assert phone.delete(f"/recordings/{id}").status == 204
    elif end == "expired":
        clock.advance(days=8)
        clear_away()
    else:
        assert phone.put_audio(id, SOUND).status == 201

    assert under_way(phone) == []


def test_a_roll_back_under_way_as_parts_are_signed_for_knows_of_them(
    page: Page, phone: Phone, clients: Clients, faults: Any, under_way: Any
) -> None:
    id = announced(phone, len(SOUND))

    def begin() -> None:
        assert page.sign_text(page.beginning(id)).status == 200
        clients.s3.create_multipart_upload(Bucket=page.bucket, Key=page.key(id))

    faults.meanwhile("dynamodb", "TransactWriteItems", begin)

    assert phone.delete(f"/recordings/{id}").status == 204
    assert under_way(phone) == []


def test_an_upload_that_is_signed_for_lives_on(
    page: Page, phone: Phone, id: str, clock: Clock
) -> None:
    clock.advance(days=6)

    page.sign_text(page.part(id))

    left = datetime.fromisoformat(phone.seen(id)["upload_expires_at"]) - clock()
    assert left > timedelta(days=6)


# What else it does


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_form_says_nothing_of_a_completion(phone: Phone, kind: str) -> None:
    id = phone.deliver(SOUND)

    answer = phone.call(
        "POST", f"/recordings/{id}/complete", b"{nope", headers={"Content-Type": kind}
    )

    assert (answer.status, answer.json["status"]) == (200, "ready")


def test_what_cannot_be_completed_is_said_where_it_looks(phone: Phone) -> None:
    id = announced(phone, 10)

    answer = phone.complete(id)

    assert (answer.status, answer.code) == (409, "upload_incomplete")
    assert answer.json["error"] == answer.json["detail"]


def test_a_deletion_may_say_key_and_bucket(phone: Phone, held: Held) -> None:
    id = phone.deliver(SOUND)
    query = {"key": "somebody/else", "bucket": "x"}

    assert phone.delete(f"/recordings/{id}", query=query).status == 204
    assert held("uploads", phone.user_id) == {}
    assert phone.delete(f"/recordings/{id}", query={"color": "red"}).fields == ["color"]


def test_the_blank_page_is_blank(nobody: Phone) -> None:
    assert "<body></body>" in nobody.get("/blank").text


# Where nothing is set up


def test_on_aws_without_a_key_of_its_own_nothing_is_signed(
    page: Page, id: str, configure: Callable[..., None]
) -> None:
    configure(s3_endpoint=None)

    for body in (page.policy(id), {"headers": page.beginning(id)}):
        answer = page.sign(body)
        assert (answer.status, answer.code) == (404, "not_found")


SECRET = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "its secret"}


@pytest.fixture
def key_on_aws(
    clients: Clients, configure: Callable[..., None]
) -> Callable[[dict[str, str]], None]:
    """Puts a key into Secrets Manager, and has the app go by it."""
    secrets = clients.session.client("secretsmanager")
    name = secrets.create_secret(Name=f"key-{uuid7()}", SecretString=json.dumps(SECRET))["ARN"]
    configure(upload_key_secret_id=name, s3_endpoint=None)
    return lambda key: (
        secrets.put_secret_value(SecretId=name, SecretString=json.dumps(key)) and None
    )


def by(page: Page, id: str, access_key: str) -> dict[str, Any]:
    asked = page.policy(id)
    asked["conditions"][6] = {"x-amz-credential": f"{access_key}/{page.scope}"}
    return asked


@pytest.mark.usefixtures("key_on_aws")
def test_on_aws_it_is_signed_with_the_key_in_the_secret(page: Page, id: str) -> None:
    answer = page.sign(by(page, id, "AKIAEXAMPLE")).json

    signer = SigV4Auth(Credentials("AKIAEXAMPLE", "its secret"), "s3", "us-east-1")
    request = AWSRequest()
    request.context["timestamp"] = page.date
    assert answer["signature"] == signer.signature(answer["policy"], request)
    assert refused(page.sign(by(page, id, "local")))


@pytest.mark.usefixtures("key_on_aws")
def test_on_aws_the_host_has_the_bucket(page: Page, id: str) -> None:
    page.endpoint = f"https://{page.bucket}.s3.us-east-1.amazonaws.com"

    assert page.sign_text(page.beginning(id)).status == 200
    page.endpoint = "https://another.s3.us-east-1.amazonaws.com"
    assert refused(page.sign_text(page.beginning(id)))


def test_a_key_that_was_rotated_is_found_by_its_name(
    page: Page, id: str, key_on_aws: Callable[[dict[str, str]], None], monkeypatch: Any
) -> None:
    assert page.sign(by(page, id, "AKIAEXAMPLE")).status == 200
    key_on_aws(SECRET | {"access_key_id": "AKIAANOTHER"})
    assert refused(page.sign(by(page, id, "AKIAANOTHER")))

    monkeypatch.setattr("chalicelib.aws.s3.browsers.BETWEEN_READS_SECONDS", 0)

    assert page.sign(by(page, id, "AKIAANOTHER")).status == 200
    assert refused(page.sign(by(page, id, "AKIAEXAMPLE")))


@pytest.mark.parametrize("key", [{}, {"access_key_id": "x"}])
def test_a_secret_without_a_key_is_a_fault_of_ours(
    page: Page, id: str, key_on_aws: Callable[[dict[str, str]], None], key: dict[str, str]
) -> None:
    key_on_aws(key)

    assert page.sign(by(page, id, "AKIAEXAMPLE")).status == 500
    assert wiring.services().settings.upload_key_secret_id
