"""Requests, parsed: what they lack or have too much of is an error that names the field."""

from __future__ import annotations

import codecs
import json
import re
from decimal import Decimal
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote

import msgspec
from chalice.app import MultiDict, Request

from chalicelib.errors import (
    InternalError,
    InvalidRequest,
    NotAuthenticated,
    UnsupportedMediaType,
)
from chalicelib.models import media_types
from chalicelib.models.fields import IN_PATH, InvalidField, RecordingId
from chalicelib.models.requests import Request as Sent

BEARER = re.compile(r"Bearer +([\w.~+/=-]+)", re.ASCII | re.IGNORECASE)
_WEIGHT = re.compile(r"[01](?:\.[0-9]{0,3})?", re.ASCII)
# A string, closed or not, is passed over whole; what is no number to JSON is left as it is.
_STRING_OR_NUMBER = re.compile(
    rb'"(?:[^"\\]++|\\.)*+"?'
    rb"|(?<![0-9.eE+-])"
    rb"(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++|(?=[eE]))(?:[eE][+-]?[0-9]{1,3})?)"
    rb"(?![0-9.eE+-])",
    re.DOTALL,
)
# More strings and numbers than any request has: what is beyond takes no time.
_MOST_TOKENS = 100_000
# Beyond it no whole number is taken anyway.
_LARGEST = 10**18

S = TypeVar("S", bound=Sent)


def bearer_token(request: Request) -> str:
    """The access token that the request carries; NotAuthenticated when it has none."""
    match = BEARER.fullmatch(request.headers.get("authorization", "").strip())
    if not match:
        raise NotAuthenticated("Send the header Authorization: Bearer <access token>")
    return match[1]


def source(request: Request) -> str:
    """The network that the request came from, as API Gateway saw it, never as a header says."""
    said = str(request.context["identity"]["sourceIp"])
    try:
        address = ip_address(said)
    except ValueError:
        return said  # Such as "test-invoke-source-ip", which is its console.
    if isinstance(address, IPv6Address):
        # Whoever has IPv6 has at least so many addresses to choose from (RFC 6177).
        return str(IPv6Network((address, 64), strict=False))
    return str(address)


def in_path(value: str, name: str) -> str | int:
    """What the path has: an id in its one form, or what IN_PATH says; InvalidRequest names it."""
    # API Gateway hands the paths of REST APIs on as they were sent.
    value = unquote(value)
    if name in IN_PATH:
        other: str | int = _convert(value, IN_PATH[name], whole=name)
        return other
    identifier: str = _convert(value, RecordingId, whole=name)
    return identifier.lower()


def query(request: Request, kind: type[S]) -> S:
    """The query as a struct; InvalidRequest names a parameter that is wrong or repeated."""
    given = request.query_params or MultiDict({})
    values = {name: given.getlist(name) for name in given if name not in kind.ignored}
    for name, listed in values.items():
        if len(listed) > 1 and name not in kind.repeatable:
            raise InvalidRequest("Given more than once", field=name)
    converted: S = _convert(
        {name: listed if name in kind.repeatable else listed[0] for name, listed in values.items()},
        kind,
        "query",
    )
    return converted


def wants_json(request: Request) -> bool:
    """Whether JSON was asked for by its name, and a page not before it (RFC 9110, 12.5.1)."""
    wanted: dict[str, float] = {}
    for each in request.headers.get("accept", "").lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        weights = [part[2:].strip() for part in parameters if part.startswith("q=")]
        wanted[kind] = float(weights[0]) if weights and _WEIGHT.fullmatch(weights[0]) else 1
    json = max(wanted.get(kind, 0) for kind in ("application/json", "application/problem+json"))
    return json > 0 and json >= wanted.get("text/html", 0)


def header(request: Request, name: str, kind: Any) -> Any:
    """A header by its type, None when it is not there; InvalidRequest names it when it is wrong."""
    value = request.headers.get(name)
    # White space about it is no part of it (RFC 9110, section 5.5).
    return None if value is None else _convert(value.strip(" \t"), kind, whole=name)


def body(request: Request, kind: type[S], *, optional: bool, or_form: bool = False) -> S:
    """The JSON body as a struct; InvalidRequest names a field that is wrong, or `body`.

    One that may be left out may be a form, too (`or_form`), of which nothing is read.
    """
    raw = _whole(request).removeprefix(codecs.BOM_UTF8)
    if optional and (not raw or (or_form and _is_form(request))):
        return kind()
    try:
        parsed = msgspec.json.decode(_with_whole_numbers(raw), type=kind)
        json.loads(raw, object_pairs_hook=_each_once)
    except msgspec.ValidationError as error:
        raise _invalid(error, "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest("The body is not JSON in UTF-8", field="body") from error
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply", field="body") from error
    return parsed


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    """InvalidRequest for a name that an object has twice: which of the two counts, nobody says."""
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise InvalidRequest("Given more than once", field=name)
        names.add(name)


def form(request: Request, kind: type[S]) -> S:
    """The body of a form that a page sent; InvalidRequest names a field that is wrong or repeated.

    UnsupportedMediaType when it is none. Fields that it has besides are left out: what a page of
    somebody else's sends is theirs to add to.
    """
    if media_types.bare(request.headers.get("content-type", "")) != media_types.FORM:
        raise UnsupportedMediaType(f"Use {media_types.FORM}", field="Content-Type")
    try:
        given = parse_qsl(_whole(request).decode(), True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise InvalidRequest("The body is not a form in UTF-8", field="body") from error
    known = [(name, value) for name, value in given if name in kind.__struct_fields__]
    _each_once(known)
    converted: S = _convert(dict(known), kind, "body")
    return converted


def _is_form(request: Request) -> bool:
    kind = media_types.bare(request.headers.get("content-type", ""))
    return kind in {media_types.FORM, "multipart/form-data"}


def raw_body(request: Request, types: tuple[str, ...]) -> bytes:
    """The body as it was sent; InternalError when it was not handed on as bytes though it should.

    UnsupportedMediaType unless it is of one of `types`, which API Gateway is told are binary, and
    InvalidRequest when it is cut short, as it is by a phone that dies while it sends.
    """
    event = request.to_original_event()
    content_type = media_types.bare(request.headers.get("content-type", ""))
    # First, because of any other type there is but what is left of it, read as UTF-8 on its way.
    if content_type not in types:
        raise UnsupportedMediaType(f"Use one of {', '.join(types)}", field="Content-Type")
    if isinstance(event["body"], str) and not event.get("isBase64Encoded"):
        raise InternalError(f"API Gateway does not know {content_type} as a binary type")
    raw = _whole(request)
    announced = request.headers.get("content-length", "").strip()
    if announced and int(announced) != len(raw):
        raise InvalidRequest("The body does not have its Content-Length", field="body")
    return raw


def _whole(request: Request) -> bytes:
    """The body, which is all of something and no encoding of it.

    UnsupportedMediaType when it is encoded, InvalidRequest when it is a part of something.
    """
    encoding = request.headers.get("content-encoding", "")
    if encoding.strip().lower() not in {"", "identity"}:
        raise UnsupportedMediaType("Send the body without Content-Encoding", field="body")
    if "content-range" in request.headers:
        raise InvalidRequest("Send the body whole", field="Content-Range")
    if not re.fullmatch(r" *[0-9]{0,18} *", request.headers.get("content-length", ""), re.ASCII):
        raise InvalidRequest("Not a number of bytes", field="Content-Length")
    return cast(bytes, request.raw_body)  # Whatever Chalice's own type says.


def _with_whole_numbers(raw: bytes) -> bytes:
    """The same JSON with `1234.0` and `1.234e3` as `1234`: some languages have but one number."""
    return _STRING_OR_NUMBER.sub(_with_whole_number, raw, count=_MOST_TOKENS)


def _with_whole_number(found: re.Match[bytes]) -> bytes:
    if not found[1]:
        return found[0]
    number = Decimal(found[1].decode())
    whole = abs(number) < _LARGEST and number == number.to_integral_value()
    return str(int(number)).encode() if whole else found[0]


def _convert(value: object, kind: Any, whole: str) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, whole) from error


def _invalid(error: msgspec.ValidationError, whole: str) -> InvalidRequest:
    """Which field is wrong and how, from msgspec's message: `what - at `$.where``.

    `whole` is what to name when it is no field but all of it.
    """
    message, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if named := re.fullmatch(r"Object (missing required|contains unknown) field `(.*)`", message):
        field = f"{field}.{named[2]}".lstrip(".")
        message = "Required" if named[1] == "missing required" else "Unknown field"
    elif isinstance(error.__cause__, InvalidField):
        field = f"{field}.{error.__cause__.field}".lstrip(".")
    elif "matching regex" in message:
        message = "Does not have the documented form"
    elif message.startswith("Invalid enum value"):
        message = "Not one of the documented values"
    return InvalidRequest(message.replace("`", ""), field=field or whole)
