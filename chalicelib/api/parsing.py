"""Requests, parsed: what they lack or have too much of is an error that names the field."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any, TypeVar

import msgspec
from chalice.app import Request
from msgspec import Struct

from chalicelib.errors import InternalError, InvalidRequest, NotAuthenticated
from chalicelib.models.fields import InvalidField, RecordingId

BEARER = re.compile(r"Bearer +([\w.~+/=-]+)", re.ASCII | re.IGNORECASE)

S = TypeVar("S", bound=Struct)


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


def identifier(value: str, name: str) -> str:
    """An id from the path, in its one form; InvalidRequest naming it when it is no UUIDv7."""
    converted: str = _convert(value, RecordingId, whole=name)
    return converted.lower()


def query(request: Request, kind: type[S]) -> S:
    """The query as a struct; InvalidRequest names a parameter that is wrong or repeated."""
    given = request.query_params
    values = {name: given.getlist(name) for name in given} if given else {}
    for name, listed in values.items():
        if len(listed) > 1:
            raise InvalidRequest("Given more than once", field=name)
    converted: S = _convert({name: listed[0] for name, listed in values.items()}, kind, "query")
    return converted


def header(request: Request, name: str, kind: Any) -> Any:
    """A header by its type, None when it is not there; InvalidRequest names it when it is wrong."""
    value = request.headers.get(name)
    return None if value is None else _convert(value, kind, whole=name)


def body(request: Request, kind: type[S], *, optional: bool) -> S:
    """The JSON body as a struct; InvalidRequest names a field that is wrong, or `body`."""
    raw = request.raw_body
    if not raw and optional:
        return kind()
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(error, "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest("The body is not JSON in UTF-8", field="body") from error


def raw_body(request: Request, types: tuple[str, ...]) -> bytes | str:
    """The body as it was sent; InternalError when it was not handed on as bytes though it should.

    InvalidRequest when it is cut short, as it is by a phone that dies while it sends. `types` are
    the content types that API Gateway is told are binary.
    """
    event = request.to_original_event()
    content_type = request.headers.get("content-type")
    if (
        isinstance(event["body"], str)
        and not event.get("isBase64Encoded")
        and content_type in types
    ):
        # It was read as UTF-8 on its way, and what is not UTF-8 is lost.
        raise InternalError(f"API Gateway does not know {content_type} as a binary type")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) != len(request.raw_body):
        raise InvalidRequest("The body does not have its Content-Length", field="body")
    return request.raw_body


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
