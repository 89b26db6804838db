"""Bad input: refused by the name of what is wrong, with nothing stored, and never a 500.

Each table has what is refused of one field; all of a table is sent in one test.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chalicelib.api.http import Route
from chalicelib.aws.dynamodb.items import Item
from chalicelib.core.ids import uuid7
from chalicelib.models.media_types import FORM
from chalicelib.settings import Settings
from tests.conftest import DEEP as HAS_TIME
from tests.support.phone import Answer, Phone
from tests.support.routes import ROUTES, named, path_of

Stored = Callable[..., list[Item]]
Refusal = tuple[int, str, list[str]]
Send = Callable[[Phone, Any], Answer]
# How something is sent, values of which each is refused, and what is blamed or the whole refusal.
Case = tuple[Send, Iterable[Any], str | Refusal]
GOOD: dict[str, Any] = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": 3}
DEEP = b"[" * 100_000 + b"]" * 100_000
HUGE = b"9" * 5000
V4 = "019a8f3e-7c1d-4f00-8a3b-5c6d7e8f9a0b"
V7 = "019a8f3e-7c1d-7f00-8a3b-5c6d7e8f9a0b"


def announcement(**fields: bytes) -> bytes:
    """A good announcement, but for fields whose JSON is given as it is."""
    whole = {name: json.dumps(value).encode() for name, value in GOOD.items()} | fields
    return b"{" + b",".join(b'"%s":%s' % (k.encode(), v) for k, v in whole.items()) + b"}"


def refusal(answer: Answer) -> Refusal:
    return answer.status, answer.code if answer.status >= 400 else "", answer.fields


# What is refused of each thing that can be sent

NOT_AN_OBJECT = [
    *(b"", b"  \n", b"file_name=clip.m4a", b"[]", b'"clip.m4a"', b"3", b"null", b"true"),
    *(announcement()[:-1], announcement() + b"x", announcement() + b" // nothing"),
    announcement().decode().encode("utf-16"),
    # What is not UTF-8: a stray byte, a surrogate, an overlong slash.
    *(announcement(file_name=name) for name in (b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\xaf"')),
    *(announcement(file_name=name) for name in (rb'"\ud800"', rb'"\udc00x"', b'"a\nb"')),
    *(announcement(size=size) for size in (b"NaN", b"Infinity", b"03")),
    *(b"{'size': 3}", b'{"size": 3,}', DEEP, b"[" * 100_000),
]
BAD_FILE_NAMES = [
    *("", "a\vb", "a\fb", "a\x1bb", "a\0b", "a\x7fb", "a\x85b", "a\x9fb"),
    *("x" * 256, "\U0001f600" * 256),
]
BAD_IDS = [
    *("garbage", V4, V7.replace("-", ""), f"{{{V7}}}", f"urn:uuid:{V7}", f"{V7}\n", f" {V7}"),
    *("019a8f3e-7c1d-7f00-ca3b-5c6d7e8f9a0b", V7.replace("0", "\u0660"), "PROFILE"),
]
BAD_TIMES = [
    *("2026-01-02T03:04:05", "2026-01-02", "yesterday", "", 1767322800),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0000-01-01T00:00:00Z"),
    *("10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-02T24:00:00Z"),
    *("2026-01-02T03:04:05+25:00", "2026-01-02T03:04:05Z\n"),
]
BAD_SHA256 = [
    *("a" * 63, "a" * 65, "a" * 64 + "\n", "g" * 64, "", "\u0661" * 64),
    "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
]


def as_json(values: Iterable[object]) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


# What is refused of each field of an announcement, as JSON.
BAD_FIELDS: dict[str, list[bytes]] = {
    # Names that it has not, some of which other things have.
    "colour": [b'"red"', DEEP, HUGE],
    "File_Name": [b'"clip.m4a"'],
    "__proto__": [b"{}"],
    "status": [b'"ready"'],
    "user_id": as_json([V7]),
    "file_name": [b"5", b"null", b'["clip.m4a"]', DEEP, *as_json(BAD_FILE_NAMES)],
    "size": [
        *(b'"3"', b"true", b"null", b"3.5", b"3e-1", b"-3.0", b"1e400", b"0", b"-1", b"-0"),
        *(b"-1" + b"0" * 30, b"-" + HUGE),
    ],
    "content_type": [b"5", b"null"],
    "duration_ms": [
        *(b"-1", b"1.5", b"9007199254740992", b"1" + b"0" * 30, HUGE, b'"1000"', b"true"),
    ],
    "upload_method": [b'"PUT"'],
    "notes": [b'"%s"' % (b"x" * 4001), b"5"],
    "tags": [b'"work"', b'{"0": "work"}', *as_json([["x"] * 51])],
    "sha256": as_json(BAD_SHA256),
    "recorded_at": as_json(BAD_TIMES),
    "id": as_json([*BAD_IDS, "", 5]),
}
BAD_TAGS = ["", " ", "x" * 101, "a\vb", "\0", 5, None, ["x"], json.loads("[" * 500 + "]" * 500)]
BAD_TYPES = [
    *("", "audio/", "video/x-msvideo", "text/plain", "; codecs=opus", "audio/*"),
    *("audio/mp4, audio/mp4", "audio/mp4\n", "audio/\u00e9", "audio/" + "x" * 294),
]
BAD_PATHS = ["..", "%2E%2E%2F", "a%2Fb", "%00", "{id}", "%", "\u20ac", "%FF"]
BAD_TOKENS = ["", "x" * 1001, 5, None, [], {}]
TOO_LARGE = as_json([2 * 1024**3 + 1, 5_000_000_001, 2**63, 2**64, 10**30, 10**4000])
UNSUPPORTED: Refusal = (415, "unsupported_media_type", ["content_type"])


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in GOOD.items() if name != field}).encode()


# What is refused of the whole, by what is blamed.
BAD_BODIES: dict[str, list[bytes]] = {
    **{field: [without(field)] for field in ("content_type", "size")},
    "file_name": [
        without("file_name"),
        announcement()[:-1] + b',"file_name":5,"file_name":"clip.m4a"}',
        announcement()[:-1] + b',"file_name":"clip.m4a","file_name":5}',
    ],
    "tags[0]": [announcement(tags=DEEP)],
    "tags[1]": [announcement(tags=tags) for tags in as_json(["work", tag] for tag in BAD_TAGS)],
    "a": [b'{"a":' * 100_000],
}
BAD_QUERIES = {
    "limit": [
        *("limit=0", "limit=101", "limit=x", "limit=-1", "limit=", "limit=1.5", "limit=%201"),
        *("limit=%2B1", "limit=0x1", "limit=1_0", "limit=%D9%A1", "limit=%FF", "limit=true"),
        *("limit=null", "limit=1%00", f"limit={'9' * 30}", f"limit={'9' * 5000}"),
        *("limit=1&limit=2", "limit=1&limit=1"),
    ],
    "after": [
        *("after=", "after=garbage", "after=null", f"after={V4}", f"after={V7}%0A"),
        f"after={V7}&after={V7}",
    ],
    "order": ["order=", "order=up", "order=DESC", "order=asc&order=desc"],
    "status": [
        *("status=", "status=deleted", "status=READY", "status=ready%23"),
        "status=ready&status=ready",
    ],
    # Names that it has not.
    "colour": ["colour=red", "colour"],
    "user_id": ["user_id=1"],
    "limit[]": ["limit[]=1"],
    "Limit": ["Limit=1"],
    "$.x": ["%24.x=1"],
    "a`b": ["a%60b=1"],
    "\0": ["%00=1"],
}
BAD_VERSIONS = [
    *("", "1", "x", '"x"', '""', '"-1"', '"1', '"1", "2"', '"1"\n', '"\u0661"'),
    HUGE.decode(),
]
BAD_CHANGES: dict[str, list[object]] = {
    "file_name": [*BAD_FILE_NAMES, None],
    "tags": [None, "work"],
    "notes": ["x" * 4001],
    "size": [5],
    "status": ["ready"],
    "version": [7],
}
BAD_COMPLETIONS: dict[str, object] = {
    "size": {"size": 3},
    "sha256": {"sha256": "0" * 64},
    "parts": {"parts": {}},
    "parts[0].number": {"parts": [{"number": 0, "etag": "x"}]},
    "parts[0].etag": {"parts": [{"number": 1}]},
}
# Of what a provider has a browser bring; another field is no error there.
BAD_FORMS: dict[str, list[bytes]] = {
    "body": [b"\xff", b"state=%FF", b"state=%ED%A0%80", b"&".join([b"a=1"] * 101)],
    "state": [b"state=" + b"x" * 1001, b"state=a&state=a", b"state=&id_token=x&state=b"],
    "id_token": [b"id_token=" + b"x" * 16_385],
    "code": [b"code=" + b"x" * 1001],
    "user": [b"user=" + b"x" * 4001],
    "error": [b"error=" + b"x" * 1001],
}
BAD_ADDRESSES = [
    *("ann", "ann@example@com", "@example.com", "ann@", "ann @example.com", "", 5, None),
    *("ann\0@example.com", "ann\x85@example.com", ["ann@example.com"]),
    "a" * 243 + "@example.com",
    # Each of these is 33 bytes in NFKC.
    "\ufdfa" * 40 + "@example.com",
]


def announce(phone: Phone, body: object) -> Answer:
    return phone.post("/recordings", body)


def come_back(phone: Phone, body: bytes, kind: str = FORM) -> Answer:
    return phone.call("POST", "/auth/return", body, headers={"Content-Type": kind})


def in_field(field: str) -> Send:
    return lambda phone, value: announce(phone, announcement(**{field: value}))


def to(path: str, field: str, **rest: object) -> Send:
    """Posts a value in a field, with `rest`."""
    return lambda phone, value: phone.post(path, {field: value} | rest)


def mine(phone: Phone) -> str:
    """The path of the one upload that the phone's user has."""
    return f"/recordings/{phone.listed(status='uploading')[0]}"


CASES: dict[str, Case] = {
    "a body": (announce, NOT_AN_OBJECT, "body"),
    **{f"what lacks or has {what}": (announce, BAD_BODIES[what], what) for what in BAD_BODIES},
    **{f"the field {name}": (in_field(name), BAD_FIELDS[name], name) for name in BAD_FIELDS},
    "a size beyond the limit": (in_field("size"), TOO_LARGE, (413, "too_large", ["size"])),
    "a type": (in_field("content_type"), as_json(BAD_TYPES), UNSUPPORTED),
    **{
        f"the query {name!a}": (
            lambda phone, query: phone.get(f"/recordings?{query}"),
            BAD_QUERIES[name],
            name,
        )
        for name in BAD_QUERIES
    },
    "a path": (lambda phone, id: phone.get(f"/recordings/{id}"), BAD_PATHS, "id"),
    "a deletion": (
        lambda phone, value: phone.delete(mine(phone), query={"permanent": value}),
        ["", "yes", "2", "null", "TRU"],
        "permanent",
    ),
    "a version": (
        lambda phone, value: phone.patch(mine(phone), {"notes": "x"}, headers={"If-Match": value}),
        BAD_VERSIONS,
        "If-Match",
    ),
    **{
        f"a change of {name}": (
            lambda phone, value, name=name: phone.patch(mine(phone), {"notes": "x", name: value}),  # type: ignore[misc]
            BAD_CHANGES[name],
            name,
        )
        for name in BAD_CHANGES
    },
    **{
        f"a completion's {name}": (
            lambda phone, body: phone.post(f"{mine(phone)}/complete", body),
            [BAD_COMPLETIONS[name]],
            name,
        )
        for name in BAD_COMPLETIONS
    },
    "a direct upload's name": (
        lambda phone, name: phone.put_audio(V7, b"some sound", file_name=name),
        BAD_FILE_NAMES,
        "file_name",
    ),
    "a direct upload without a name": (
        lambda phone, data: phone.call("PUT", f"/recordings/{V7}/audio", data),
        [b"x"],
        "file_name",
    ),
    "a direct upload's type": (
        lambda phone, kind: phone.put_audio(V7, b"some sound", content_type=kind),
        BAD_TYPES,
        (415, "unsupported_media_type", ["Content-Type"]),
    ),
    "a direct upload without bytes": (lambda phone, data: phone.put_audio(V7, data), [b""], "body"),
    "a sign-up": (to("/auth/signup", "email", password="correct horse"), BAD_ADDRESSES, "email"),
    "a log-in": (to("/auth/login", "email", password="correct horse"), BAD_ADDRESSES, "email"),
    "a forgotten password": (to("/auth/password/forgot", "email"), BAD_ADDRESSES, "email"),
    "a refresh": (to("/auth/refresh", "refresh_token"), BAD_TOKENS, "refresh_token"),
    **{
        f"what a provider says, its {name}": (come_back, BAD_FORMS[name], name)
        for name in BAD_FORMS
    },
    "what a provider says, by its type": (
        lambda phone, kind: come_back(phone, b"state=x", kind),
        ["application/json", "multipart/form-data", "text/plain", ""],
        (415, "unsupported_media_type", ["Content-Type"]),
    ),
    "logging out": (to("/auth/logout", "refresh_token"), BAD_TOKENS, "refresh_token"),
}


Refused = Callable[[Send, Iterable[Any], str | Refusal], None]


@pytest.fixture
def refused(phone: Phone, stored: Stored) -> Refused:
    """Sends each of some values: all have to be refused, and nothing of the user's may change."""

    def check(send: Send, values: Iterable[Any], expected: str | Refusal) -> None:
        if isinstance(expected, str):
            expected = (400, "invalid_request", [expected])
        before = stored(f"USER#{phone.user_id}")
        answers = [(ascii(value)[:50], refusal(send(phone, value))) for value in values]
        assert [(value, answer) for value, answer in answers if answer != expected] == []
        assert stored(f"USER#{phone.user_id}") == before

    return check


@pytest.mark.parametrize("what", CASES)
def test_what_is_bad_is_refused_by_its_name_and_nothing_is_stored(
    phone: Phone, refused: Refused, what: str
) -> None:
    phone.announce(b"some sound")

    refused(*CASES[what])


WITH_JSON = [route for route in ROUTES if route.body and not route.body_form]


@pytest.mark.parametrize("route", WITH_JSON, ids=named)
def test_every_route_refuses_a_body_that_is_no_json_object(refused: Refused, route: Route) -> None:
    path = path_of(route, uuid7())

    refused(
        lambda phone, body: phone.call(route.method, path, body),
        [b"{nope", b"[]", b"null", DEEP],
        "body",
    )


# A code and a file's name are no ids: what is none finds nothing, as any other that is unknown.
@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if {*route.parameters} - {"code", "folder", "name"}],
    ids=named,
)
def test_a_bad_id_in_the_path_is_refused_by_its_name(refused: Refused, route: Route) -> None:
    refused(
        lambda phone, id: phone.call(route.method, path_of(route, quote(id, safe=""))),
        BAD_IDS,
        route.parameters[0],
    )


def test_a_direct_upload_of_too_many_bytes_is_not_stored(
    phone: Phone, settings: Settings, refused: Refused
) -> None:
    data = bytes(settings.direct_upload_bytes + 1)

    refused(lambda phone, data: phone.put_audio(V7, data), [data], (413, "too_large", ["body"]))
    assert "POST /recordings" in phone.put_audio(V7, data).json["detail"]


def test_a_refusal_does_not_repeat_a_password(nobody: Phone) -> None:
    secret = "correct horse battery staple " * 4

    for path in ("/auth/signup", "/auth/login"):
        answer = nobody.post(path, {"email": nobody.email, "password": secret})
        assert answer.status == 400
        assert secret[:8] not in answer.text


# What is not bad

# What is kept of a field, by how it is given.
KEPT: dict[str, dict[Any, object]] = {
    "file_name": {
        name: name
        for name in (
            *("x", "x" * 255, "\U0001f600" * 255, "...", ".hid", "a b", "~", "%2F", "\u202e"),
            *("CON", ".", "..", "/", "../clip.m4a", "9/12 a\\b"),
        )
    },
    "id": {V7.upper(): V7},
    "duration_ms": {0: 0, 2**53 - 1: 2**53 - 1},
    "recorded_at": {
        "2026-01-02T03:04:05Z": "2026-01-02T03:04:05.000Z",
        "2026-01-02T03:04:05.678+14:00": "2026-01-01T13:04:05.678Z",
        "2026-01-02T03:04:05.6789999Z": "2026-01-02T03:04:05.678Z",
        "2026-01-02T03:04:05,6Z": "2026-01-02T03:04:05.600Z",
        "2026-01-02t03:04:05z": "2026-01-02T03:04:05.000Z",
        "2026-01-02T03:04Z": "2026-01-02T03:04:00.000Z",
        "2026-01-02T03:04-0530": "2026-01-02T08:34:00.000Z",
        "2026-01-02T03:04:05+01": "2026-01-02T02:04:05.000Z",
        "9999-12-31T23:59:59Z": "9999-12-31T23:59:59.000Z",
        "0999-12-31T23:59:59Z": "0999-12-31T23:59:59.000Z",
        "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000Z",
    },
}


@pytest.mark.parametrize("field", KEPT)
def test_what_is_unusual_is_kept_in_its_one_form(phone: Phone, field: str) -> None:
    for given_as, kept in KEPT[field].items():
        begun = announce(phone, GOOD | {field: given_as}).json["recording"]
        found = phone.get(f"/recordings/{begun['id'].upper()}").json
        assert (begun[field], found[field]) == (kept, kept)


def test_what_does_not_apply_may_be_null(phone: Phone) -> None:
    optional = ("id", "sha256", "recorded_at", "duration_ms", "tags", "notes", "upload_method")

    announced = phone.announce(b"some sound", **dict.fromkeys(optional))

    assert announced.status == 201
    assert announced.json["recording"]["tags"] == []
    assert announced.json["upload"]["method"] == "put"


def test_a_good_query_is_answered(phone: Phone) -> None:
    for query in ("", "limit=1", "limit=100", f"after={V7.upper()}", "order=asc"):
        assert phone.get(f"/recordings?{query}").json == {"recordings": [], "next": None}


# Anything at all

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
# What a header can hold; the rest no HTTP server lets through.
HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))
HEADERS = st.sampled_from(["If-Match", "Content-Type", "Accept", "Origin", "X-Amz-Date"])
IDS = st.sampled_from([V7, V7.upper(), V4]) | st.text(min_size=1)
NEARLY_GOOD: dict[str, Any] = {
    **GOOD,
    **{"id": V7, "after": V7, "limit": 50, "tags": ["work"], "name": "Ann"},
    **{"email": "ann@example.com", "password": "correct horse"},
    "recorded_at": "2026-01-02T03:04:05Z",
}


def objects(struct: type | None) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of some of the fields that a struct has, and perhaps of one that it has not."""
    fields = getattr(struct, "__struct_fields__", ())
    known = {name: VALUES | st.just(NEARLY_GOOD.get(name, "")) for name in fields}
    return st.builds(
        lambda given, more: given | more,
        st.fixed_dictionaries({}, optional=known),
        st.just({}) | st.dictionaries(st.text(), VALUES, max_size=1),
    )


def _form(value: dict[str, Any]) -> bytes:
    return urlencode(value, doseq=True, errors="replace").encode()


def _json(value: object) -> bytes:
    # With NaN and lone surrogates, which Python writes and JSON does not have.
    return json.dumps(value).encode()


@pytest.mark.parametrize("route", ROUTES, ids=named)
@hypothesis_settings(
    max_examples=400 if HAS_TIME else 5,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_input_whatever_gets_a_500(phone: Phone, route: Route, data: st.DataObject) -> None:
    body = data.draw(objects(route.body).map(_json) | VALUES.map(_json) | st.binary())
    query = data.draw(objects(route.query) | st.just({}))
    texts = HEADER_TEXT | st.just("audio/mp4")
    headers = data.draw(st.dictionaries(HEADERS, texts, max_size=3))
    if route.body_form:
        body = data.draw(objects(route.body).map(_form) | st.binary())
        headers = {"Content-Type": FORM} | headers
    path = path_of(route, quote(data.draw(IDS), safe=""))

    # The phone itself fails for an answer that is not documented.
    sent = urlencode(query, doseq=True, errors="replace")
    answer = phone.call(route.method, f"{path}?{sent}", body, headers=headers)

    assert answer.status < 500, answer.text
