"""Bad input: refused by the name of what is wrong, with nothing stored, and never a 500."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chalicelib.api.http import Route
from chalicelib.aws.dynamodb.items import Item
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from tests.support.phone import Answer, Phone
from tests.support.routes import ROUTES, path_of

pytestmark = pytest.mark.usefixtures("quick")

Stored = Callable[..., list[Item]]
GOOD: dict[str, Any] = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": 3}
DEEP = b"[" * 100_000 + b"]" * 100_000
V4 = "019a8f3e-7c1d-4f00-8a3b-5c6d7e8f9a0b"
V7 = "019a8f3e-7c1d-7f00-8a3b-5c6d7e8f9a0b"


def announcement(**fields: bytes) -> bytes:
    """A good announcement, but for fields whose JSON is given as it is."""
    whole = {name: json.dumps(value).encode() for name, value in GOOD.items()} | fields
    return b"{" + b",".join(b'"%s":%s' % (k.encode(), v) for k, v in whole.items()) + b"}"


def assert_refused(answer: Answer, field: str) -> None:
    assert (answer.status, answer.code, answer.fields) == (400, "invalid_request", [field])


# Bodies that are no object in JSON

NOT_AN_OBJECT = {
    "empty": b"",
    "blank": b"  \n",
    "not JSON": b"file_name=clip.m4a",
    "cut short": announcement()[:-1],
    "something behind": announcement() + b"x",
    "list": b"[]",
    "string": b'"clip.m4a"',
    "number": b"3",
    "null": b"null",
    "true": b"true",
    "byte-order mark": b"\xef\xbb\xbf" + announcement(),
    "UTF-16": announcement().decode().encode("utf-16"),
    "invalid UTF-8": announcement(file_name=b'"\xff"'),
    "surrogate in UTF-8": announcement(file_name=b'"\xed\xa0\x80"'),
    "overlong UTF-8": announcement(file_name=b'"\xc0\xaf"'),
    "lone high surrogate": announcement(file_name=rb'"\ud800"'),
    "lone low surrogate": announcement(file_name=rb'"\udc00x"'),
    "raw newline in a string": announcement(file_name=b'"a\nb"'),
    "NaN": announcement(size=b"NaN"),
    "Infinity": announcement(size=b"Infinity"),
    "leading zero": announcement(size=b"03"),
    "single quotes": b"{'size': 3}",
    "trailing comma": b'{"size": 3,}',
    "comment": announcement() + b" // nothing",
    "100,000 brackets": DEEP,
    "100,000 brackets left open": b"[" * 100_000,
}


@pytest.mark.parametrize("body", NOT_AN_OBJECT.values(), ids=NOT_AN_OBJECT)
def test_a_body_that_is_no_json_object_is_refused(
    phone: Phone, stored: Stored, body: bytes
) -> None:
    before = stored(f"USER#{phone.user_id}")

    assert_refused(phone.post("/recordings", body), "body")
    assert stored(f"USER#{phone.user_id}") == before


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.body], ids=lambda route: route.name
)
@pytest.mark.parametrize("body", [b"{nope", b"[]", b"null", DEEP], ids=len)
def test_every_route_refuses_a_body_that_is_no_json_object(
    phone: Phone, route: Route, body: bytes
) -> None:
    assert_refused(phone.call(route.method, path_of(route, uuid7()), body), "body")


def test_an_object_nested_too_deep_is_refused_by_its_first_name(phone: Phone) -> None:
    assert_refused(phone.post("/recordings", b'{"a":' * 100_000), "a")


# Fields

HUGE = b"9" * 5000
BAD_FIELDS: list[tuple[str, str, bytes]] = [
    ("unknown", "colour", b'"red"'),
    ("unknown, nested deep", "colour", DEEP),
    ("unknown, huge", "colour", HUGE),
    ("unknown, in another case", "File_Name", b'"clip.m4a"'),
    ("a prototype", "__proto__", b"{}"),
    ("what the server says", "status", b'"ready"'),
    ("whose it is", "user_id", json.dumps(V7).encode()),
    ("number", "file_name", b"5"),
    ("null", "file_name", b"null"),
    ("list", "file_name", b'["clip.m4a"]'),
    ("nested deep", "file_name", DEEP),
    ("string", "size", b'"3"'),
    ("bool", "size", b"true"),
    ("null", "size", b"null"),
    ("fraction", "size", b"3.5"),
    ("negative exponent", "size", b"3e-1"),
    ("whole and negative", "size", b"-3.0"),
    ("out of any range", "size", b"1e400"),
    ("0", "size", b"0"),
    ("-1", "size", b"-1"),
    ("-0", "size", b"-0"),
    ("-10**30", "size", b"-1" + b"0" * 30),
    ("minus 5,000 digits", "size", b"-" + HUGE),
    ("number", "content_type", b"5"),
    ("null", "content_type", b"null"),
    ("-1", "duration_ms", b"-1"),
    ("fraction", "duration_ms", b"1.5"),
    ("2**53", "duration_ms", b"9007199254740992"),
    ("10**30", "duration_ms", b"1" + b"0" * 30),
    ("5,000 digits", "duration_ms", HUGE),
    ("string", "duration_ms", b'"1000"'),
    ("bool", "duration_ms", b"true"),
    ("upper case", "upload_method", b'"PUT"'),
    ("4001 characters", "notes", b'"%s"' % (b"x" * 4001)),
    ("number", "notes", b"5"),
    ("string", "tags", b'"work"'),
    ("object", "tags", b'{"0": "work"}'),
    ("51 of them", "tags", json.dumps(["x"] * 51).encode()),
]
BAD_FILE_NAMES = {
    "vertical tab": "a\vb",
    "form feed": "a\fb",
    "escape": "a\x1bb",
    "NUL": "a\0b",
    "DEL": "a\x7fb",
    "C1": "a\x85b",
    "last of C1": "a\x9fb",
    "empty": "",
    "256 characters": "x" * 256,
    "256 emoji": "\U0001f600" * 256,
}
BAD_SHA256 = {
    "63 digits": "a" * 63,
    "65 digits": "a" * 65,
    "last newline": "a" * 64 + "\n",
    "no digits": "g" * 64,
    "base64": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    "empty": "",
    "Arabic digits": "\u0661" * 64,
}
BAD_TIMES = {
    "no zone": "2026-01-02T03:04:05",
    "no time": "2026-01-02",
    "garbage": "yesterday",
    "empty": "",
    "number": 1767322800,
    "before year 1": "0001-01-01T00:00:00+14:00",
    "after year 9999": "9999-12-31T23:59:59-14:00",
    "year 0": "0000-01-01T00:00:00Z",
    "year 10000": "10000-01-01T00:00:00Z",
    "February 30": "2026-02-30T00:00:00Z",
    "24 o'clock": "2026-01-02T24:00:00Z",
    "zone beyond a day": "2026-01-02T03:04:05+25:00",
    "last newline": "2026-01-02T03:04:05Z\n",
}
BAD_IDS = {
    "garbage": "garbage",
    "empty": "",
    "number": 5,
    "version 4": V4,
    "another variant": "019a8f3e-7c1d-7f00-ca3b-5c6d7e8f9a0b",
    "no hyphens": V7.replace("-", ""),
    "braces": f"{{{V7}}}",
    "URN": f"urn:uuid:{V7}",
    "last newline": f"{V7}\n",
    "space": f" {V7}",
    "Arabic digits": V7.replace("0", "\u0660"),
    "key of another item": "PROFILE",
}
BAD_TAGS = {
    "empty": "",
    "101 characters": "x" * 101,
    "newline": "a\nb",
    "last newline": "a\n",
    "NUL": "\0",
    "number": 5,
    "null": None,
    "list": ["work"],
    "nested deep": json.loads("[" * 500 + "]" * 500),
}
BAD_TYPES = {
    "empty": "",
    "half": "audio/",
    "another video": "video/x-msvideo",
    "text": "text/plain",
    "no type": "; codecs=opus",
    "any": "audio/*",
    "two": "audio/mp4, audio/mp4",
    "last newline": "audio/mp4\n",
    "not ASCII": "audio/\u00e9",
    "300 characters": "audio/" + "x" * 294,
}
for values, named in (
    (BAD_FILE_NAMES, "file_name"),
    (BAD_SHA256, "sha256"),
    (BAD_TIMES, "recorded_at"),
    (BAD_IDS, "id"),
):
    BAD_FIELDS += [(what, named, json.dumps(value).encode()) for what, value in values.items()]


@pytest.mark.parametrize(
    ("field", "value"),
    [bad[1:] for bad in BAD_FIELDS],
    ids=[f"{field} {what}" for what, field, _ in BAD_FIELDS],
)
def test_a_bad_field_is_refused_by_its_name(
    phone: Phone, stored: Stored, field: str, value: bytes
) -> None:
    before = stored(f"USER#{phone.user_id}")

    assert_refused(phone.post("/recordings", announcement(**{field: value})), field)
    assert stored(f"USER#{phone.user_id}") == before


@pytest.mark.parametrize("tag", BAD_TAGS.values(), ids=BAD_TAGS)
def test_a_bad_tag_is_refused_by_its_place(phone: Phone, tag: object) -> None:
    assert_refused(phone.post("/recordings", GOOD | {"tags": ["work", tag]}), "tags[1]")


def test_tags_nested_deep_are_refused(phone: Phone) -> None:
    assert_refused(phone.post("/recordings", announcement(tags=DEEP)), "tags[0]")


@pytest.mark.parametrize("field", GOOD)
def test_a_missing_field_is_refused_by_its_name(phone: Phone, stored: Stored, field: str) -> None:
    before = stored(f"USER#{phone.user_id}")
    rest = {name: value for name, value in GOOD.items() if name != field}

    assert_refused(phone.post("/recordings", rest), field)
    assert stored(f"USER#{phone.user_id}") == before


@pytest.mark.parametrize("order", [[5, "clip.m4a"], ["clip.m4a", 5]], ids=str)
def test_a_field_that_is_given_twice_is_checked_twice(phone: Phone, order: list[object]) -> None:
    first, second = (json.dumps(name).encode() for name in order)
    twice = announcement()[:-1] + b',"file_name":' + first + b',"file_name":' + second + b"}"

    assert_refused(phone.post("/recordings", twice), "file_name")


@pytest.mark.parametrize(
    "size",
    [2 * 1024**3 + 1, 5_000_000_001, 2**63, 2**64, 10**30, 10**4000],
    ids=["by one byte", "5 GB", "2**63", "2**64", "10**30", "10**4000"],
)
def test_a_size_beyond_the_limit_is_too_large(phone: Phone, stored: Stored, size: int) -> None:
    before = stored(f"USER#{phone.user_id}")

    answer = phone.post("/recordings", announcement(size=str(size).encode()))

    assert (answer.status, answer.code, answer.fields) == (413, "too_large", ["size"])
    assert stored(f"USER#{phone.user_id}") == before


def test_a_size_that_no_number_holds_is_not_stored(phone: Phone, stored: Stored) -> None:
    before = stored(f"USER#{phone.user_id}")

    answer = phone.post("/recordings", announcement(size=HUGE))

    assert answer.status in {400, 413}
    assert answer.fields == ["size"]
    assert stored(f"USER#{phone.user_id}") == before


@pytest.mark.parametrize("content_type", BAD_TYPES.values(), ids=BAD_TYPES)
def test_a_content_type_that_is_not_listed_is_unsupported(
    phone: Phone, stored: Stored, content_type: str
) -> None:
    before = stored(f"USER#{phone.user_id}")

    answer = phone.post("/recordings", GOOD | {"content_type": content_type})

    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert stored(f"USER#{phone.user_id}") == before


# What is not bad


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "x" * 255,
        "\U0001f600" * 255,
        *("...", ".hidden", "a b", "~", "%2F", "\u202e", "CON"),
        *(".", "..", "/", "../clip.m4a", "9/12 a\\b"),
    ],
    ids=lambda name: ascii(name)[:12],
)
def test_an_unusual_file_name_is_kept_as_it_is(phone: Phone, name: str) -> None:
    begun = phone.post("/recordings", GOOD | {"file_name": name})

    assert (begun.status, begun.json["recording"]["file_name"]) == (201, name)


def test_an_id_in_upper_case_is_the_same_id(phone: Phone) -> None:
    begun = phone.post("/recordings", GOOD | {"id": V7.upper()})

    assert begun.json["recording"]["id"] == V7
    assert phone.get(f"/recordings/{V7.upper()}").json["id"] == V7


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04:05.678+14:00", "2026-01-01T13:04:05.678Z"),
        ("2026-01-02T03:04:05.6789999Z", "2026-01-02T03:04:05.678Z"),
        ("2026-01-02T03:04:05,6Z", "2026-01-02T03:04:05.600Z"),
        ("2026-01-02t03:04:05z", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04Z", "2026-01-02T03:04:00.000Z"),
        ("2026-01-02T03:04-0530", "2026-01-02T08:34:00.000Z"),
        ("2026-01-02T03:04:05+01", "2026-01-02T02:04:05.000Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
        ("0999-12-31T23:59:59Z", "0999-12-31T23:59:59.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_is_kept_in_utc(phone: Phone, given: str, kept: str) -> None:
    begun = phone.post("/recordings", GOOD | {"recorded_at": given}).json["recording"]

    assert begun["recorded_at"] == kept
    assert phone.get(f"/recordings/{begun['id']}").json["recorded_at"] == kept


@pytest.mark.parametrize("duration", [0, 2**53 - 1])
def test_a_duration_at_its_bound_is_kept(phone: Phone, duration: int) -> None:
    begun = phone.post("/recordings", GOOD | {"duration_ms": duration})

    assert begun.json["recording"]["duration_ms"] == duration


# Queries

BAD_QUERIES = {
    "limit=0": "limit",
    "limit=101": "limit",
    "limit=x": "limit",
    "limit=-1": "limit",
    "limit=": "limit",
    "limit=1.5": "limit",
    "limit=%201": "limit",
    "limit=%2B1": "limit",
    "limit=0x1": "limit",
    "limit=1_0": "limit",
    "limit=%D9%A1": "limit",
    "limit=%FF": "limit",
    "limit=true": "limit",
    "limit=null": "limit",
    "limit=1%00": "limit",
    f"limit={'9' * 30}": "limit",
    f"limit={'9' * 5000}": "limit",
    "limit=1&limit=2": "limit",
    "limit=1&limit=1": "limit",
    "limit[]=1": "limit[]",
    "Limit=1": "Limit",
    "after=": "after",
    "after=garbage": "after",
    f"after={V4}": "after",
    f"after={V7}%0A": "after",
    f"after={V7}&after={V7}": "after",
    "after=null": "after",
    "order=": "order",
    "order=up": "order",
    "order=DESC": "order",
    "order=asc&order=desc": "order",
    "status=": "status",
    "status=deleted": "status",
    "status=READY": "status",
    "status=ready%23": "status",
    "status=ready&status=ready": "status",
    "colour=red": "colour",
    "colour": "colour",
    "user_id=1": "user_id",
    "%24.x=1": "$.x",
    "a%60b=1": "a`b",
    "%00=1": "\0",
}


@pytest.mark.parametrize(("query", "field"), BAD_QUERIES.items(), ids=lambda text: text[:40])
def test_a_bad_query_is_refused_by_its_name(phone: Phone, query: str, field: str) -> None:
    assert_refused(phone.get(f"/recordings?{query}"), field)


@pytest.mark.parametrize(
    "query", [{}, {"limit": 1}, {"limit": 100}, {"after": V7.upper()}, {"order": "asc"}]
)
def test_a_good_query_is_answered(phone: Phone, query: dict[str, object]) -> None:
    assert phone.get("/recordings", query=query).json == {"recordings": [], "next": None}


@pytest.mark.parametrize("value", ["", "yes", "2", "null", "TRU"])
def test_a_deletion_that_is_not_clear_deletes_nothing(phone: Phone, value: str) -> None:
    kept = phone.upload_directly(b"some sound")

    answer = phone.delete(f"/recordings/{kept}", query={"permanent": value})

    assert_refused(answer, "permanent")
    assert phone.listed() == [kept]


# Paths


@pytest.mark.parametrize("what", [what for what in BAD_IDS if what != "empty"])
@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.parameters], ids=lambda route: route.name
)
def test_a_bad_id_in_the_path_is_refused_by_its_name(phone: Phone, route: Route, what: str) -> None:
    path = path_of(route, quote(str(BAD_IDS[what]), safe=""))

    assert_refused(phone.call(route.method, path), route.parameters[0])


@pytest.mark.parametrize("id", ["..", "%2E%2E%2F", "a%2Fb", "%00", "{id}", "%", "\u20ac", "%FF"])
def test_a_path_that_leads_elsewhere_is_refused(phone: Phone, id: str) -> None:
    assert_refused(phone.get(f"/recordings/{id}"), "id")


# Headers


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        "x",
        '"x"',
        '""',
        '"-1"',
        '"1',
        "W/1",
        "W/*",
        '"1", "2"',
        '"1"\n',
        '"\u0661"',
        HUGE.decode(),
    ],
    ids=lambda value: ascii(value)[:12],
)
def test_an_if_match_that_names_no_version_changes_nothing(phone: Phone, value: str) -> None:
    kept = phone.upload_directly(b"some sound")

    answer = phone.patch(f"/recordings/{kept}", {"notes": "x"}, headers={"If-Match": value})

    assert_refused(answer, "If-Match")
    assert "notes" not in phone.get(f"/recordings/{kept}").json


# Changes

BAD_CHANGES: list[tuple[str, object]] = [
    *(("file_name", name) for name in BAD_FILE_NAMES.values()),
    ("file_name", None),
    ("tags", None),
    ("tags", "work"),
    ("notes", "x" * 4001),
    ("size", 5),
    ("status", "ready"),
    ("version", 7),
]


@pytest.mark.parametrize(("field", "value"), BAD_CHANGES, ids=lambda value: ascii(value)[:12])
def test_a_bad_change_changes_nothing(phone: Phone, field: str, value: object) -> None:
    begun = phone.announce(b"some sound").json["recording"]

    answer = phone.patch(f"/recordings/{begun['id']}", {"notes": "x", field: value})

    assert_refused(answer, field)
    assert phone.get(f"/recordings/{begun['id']}").json == begun


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"size": 3}, "size"),
        ({"parts": {}}, "parts"),
        ({"parts": [{"number": 0, "etag": "x"}]}, "parts[0].number"),
        ({"parts": [{"number": 1}]}, "parts[0].etag"),
    ],
    ids=str,
)
def test_a_completion_takes_nothing_but_parts(
    phone: Phone, body: dict[str, object], field: str
) -> None:
    begun = phone.announce(b"some sound").json["recording"]

    assert_refused(phone.post(f"/recordings/{begun['id']}/complete", body), field)


def test_what_does_not_apply_may_be_null(phone: Phone) -> None:
    optional = ("id", "sha256", "recorded_at", "duration_ms", "tags", "notes", "upload_method")

    announced = phone.announce(b"some sound", **dict.fromkeys(optional))

    assert announced.status == 201
    assert announced.json["recording"]["tags"] == []
    assert announced.json["upload"]["method"] == "put"


# Direct uploads


@pytest.mark.parametrize("name", BAD_FILE_NAMES.values(), ids=BAD_FILE_NAMES)
def test_a_direct_upload_with_a_bad_name_is_not_stored(
    phone: Phone, stored: Stored, name: str
) -> None:
    before = stored(f"USER#{phone.user_id}")

    assert_refused(phone.put_audio(V7, b"some sound", file_name=name), "file_name")
    assert stored(f"USER#{phone.user_id}") == before


def test_a_direct_upload_without_a_name_is_refused(phone: Phone) -> None:
    answer = phone.call("PUT", f"/recordings/{V7}/audio", b"x")

    assert_refused(answer, "file_name")


def test_a_direct_upload_without_bytes_is_refused(phone: Phone, stored: Stored) -> None:
    before = stored(f"USER#{phone.user_id}")

    assert_refused(phone.put_audio(V7, b""), "body")
    assert stored(f"USER#{phone.user_id}") == before


def test_a_direct_upload_of_too_many_bytes_is_not_stored(
    phone: Phone, stored: Stored, settings: Settings
) -> None:
    before = stored(f"USER#{phone.user_id}")

    answer = phone.put_audio(V7, bytes(settings.direct_upload_bytes + 1))

    assert (answer.status, answer.code) == (413, "too_large")
    assert "POST /recordings" in answer.json["detail"]
    assert stored(f"USER#{phone.user_id}") == before


@pytest.mark.parametrize("content_type", BAD_TYPES.values(), ids=BAD_TYPES)
def test_a_direct_upload_of_another_type_is_not_stored(
    phone: Phone, stored: Stored, content_type: str
) -> None:
    before = stored(f"USER#{phone.user_id}")

    answer = phone.put_audio(V7, b"some sound", content_type=content_type)

    assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert stored(f"USER#{phone.user_id}") == before


# Accounts

BAD_ADDRESSES = {
    "no at": "ann",
    "two ats": "ann@example@com",
    "nobody": "@example.com",
    "nowhere": "ann@",
    "space": "ann @example.com",
    "newline within": "ann\n@example.com",
    "NUL": "ann\0@example.com",
    "C1": "ann\x85@example.com",
    "empty": "",
    "255 characters": "a" * 243 + "@example.com",
    # Each of these is 33 bytes in NFKC.
    "52 characters, 1332 bytes": "\ufdfa" * 40 + "@example.com",
    "number": 5,
    "null": None,
    "list": ["ann@example.com"],
}


@pytest.mark.parametrize("path", ["/auth/signup", "/auth/login"])
@pytest.mark.parametrize("email", BAD_ADDRESSES.values(), ids=BAD_ADDRESSES)
def test_what_is_no_address_is_refused_by_its_name(nobody: Phone, path: str, email: object) -> None:
    answer = nobody.post(path, {"email": email, "password": "correct horse"})

    assert_refused(answer, "email")
    assert_refused(nobody.post("/auth/password/forgot", {"email": email}), "email")


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize(
    "token", ["", "x" * 1001, 5, None, [], {}], ids=lambda token: str(token)[:9]
)
def test_what_is_no_refresh_token_is_refused_by_its_name(
    nobody: Phone, path: str, token: object
) -> None:
    assert_refused(nobody.post(path, {"refresh_token": token}), "refresh_token")


def test_a_refusal_does_not_repeat_a_password(nobody: Phone) -> None:
    secret = "correct horse battery staple " * 4

    for path in ("/auth/signup", "/auth/login"):
        answer = nobody.post(path, {"email": nobody.email, "password": secret})
        assert answer.status == 400
        assert secret[:8] not in answer.text


# Anything at all

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
# What a header can hold; the rest no HTTP server lets through.
HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))
IDS = st.sampled_from([V7, V7.upper(), V4]) | st.text(min_size=1)


def objects(fields: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of some of the fields that a struct has, and perhaps of some that it has not."""
    good: dict[str, Any] = {
        **GOOD,
        "id": V7,
        "email": "ann@example.com",
        "password": "correct horse",
        "name": "Ann",
        "recorded_at": "2026-01-02T03:04:05Z",
        "tags": ["work"],
        "limit": 50,
        "after": V7,
    }
    known = {name: VALUES | st.just(good.get(name, "")) for name in fields}
    return st.builds(
        lambda given, more: given | more,
        st.fixed_dictionaries({}, optional=known),
        st.just({}) | st.dictionaries(st.text(), VALUES, max_size=1),
    )


def fields_of(struct: type | None) -> tuple[str, ...]:
    return getattr(struct, "__struct_fields__", ())


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@hypothesis_settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_input_whatever_gets_a_500(phone: Phone, route: Route, data: st.DataObject) -> None:
    body = data.draw(objects(fields_of(route.body)).map(_json) | VALUES.map(_json) | st.binary())
    query = data.draw(objects(fields_of(route.query)) | st.just({}))
    names = st.sampled_from(["If-Match", "Content-Type", "Accept", "Origin", "X-Amz-Date"])
    headers = data.draw(st.dictionaries(names, HEADER_TEXT | st.just("audio/mp4"), max_size=3))
    path = path_of(route, quote(data.draw(IDS), safe=""))

    # The phone itself fails for an answer that is not documented.
    sent = urlencode(query, doseq=True, errors="replace")
    answer = phone.call(route.method, f"{path}?{sent}", body, headers=headers)

    assert answer.status < 500, answer.text


def _json(value: object) -> bytes:
    # With NaN and lone surrogates, which Python writes and JSON does not have.
    return json.dumps(value).encode()
