"""The Blueprint that every route is declared with.

One declaration says what a route needs and gives. From it the request is parsed, the errors are
answered, and the OpenAPI document is built, so that none of them can differ from the others.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from chalice.app import Blueprint as ChaliceBlueprint
from chalice.app import Request, Response
from msgspec import Struct

from chalicelib import wiring
from chalicelib.api.problems import refuse, request_id, respond
from chalicelib.errors import (
    InternalError,
    InvalidRequest,
    NotAuthenticated,
    RecorderError,
    TokenExpired,
    Unavailable,
)
from chalicelib.models.fields import InvalidField, RecordingId

log = logging.getLogger(__name__)

BEARER = re.compile(r"Bearer +([\w.~+/=-]+)", re.ASCII | re.IGNORECASE)

View = Callable[..., object]


class Reply(Struct, frozen=True):
    """An answer that is not just the first of the declared statuses and a body."""

    value: object
    status: int | None = None
    headers: dict[str, str] = {}


class Route(Struct, frozen=True, kw_only=True):
    """What is declared of a route."""

    method: str
    path: str
    answer: Any
    """The type of what a view returns; None for an empty answer, `str` for a page of HTML."""
    statuses: tuple[int, ...]
    auth: bool = True
    body: type[Struct] | None = None
    body_types: tuple[str, ...] = ()
    """The content types of a body that is taken as it is, as bytes."""
    body_optional: bool = False
    query: type[Struct] | None = None
    headers: dict[str, str] = {}
    """Request headers that the view reads, and what they are for."""
    raises: tuple[type[RecorderError], ...] = ()
    tag: str
    name: str
    text: str

    @property
    def parameters(self) -> list[str]:
        """The names in the path; each stands for an id."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def errors(self) -> tuple[type[RecorderError], ...]:
        """Everything that can go wrong: what the view raises, and what the declaration implies."""
        errors: list[type[RecorderError]] = []
        if self.parameters or self.query or self.body or self.body_types:
            errors.append(InvalidRequest)
        if self.auth:
            errors += [NotAuthenticated, TokenExpired]
        return (*dict.fromkeys([*errors, *self.raises]), InternalError, Unavailable)


class Blueprint(ChaliceBlueprint):
    """Routes that belong together; `tag` is what the documentation calls them."""

    def __init__(self, import_name: str, tag: str) -> None:
        """Begin with no routes."""
        super().__init__(import_name)
        self._tag = tag

    def endpoint(
        self, method: str, path: str, answer: Any = None, *statuses: int, **declared: Any
    ) -> Callable[[View], Endpoint]:
        """Declare a route; see Route for what can be declared.

        The first of `statuses` is what a view's answer gets, unless it returns a Reply that
        names another of them. The view is called with what it needs, by name: `caller` unless
        `auth` is off, `body`, `query`, `headers`, and the ids of the path.
        """

        def register(view: View) -> Endpoint:
            route = Route(
                method=method,
                path=path,
                answer=answer,
                statuses=statuses or (200,),
                tag=self._tag,
                name=view.__name__,
                text=view.__doc__ or "",
                **declared,
            )
            endpoint = Endpoint(self, route, view)
            # No content types: Chalice would refuse others in its own words, not as a problem.
            self.route(path, methods=[method], content_types=[])(endpoint)
            return endpoint

        return register


class Endpoint:
    """A view behind its declaration: what Chalice calls for a request."""

    def __init__(self, blueprint: Blueprint, route: Route, view: View) -> None:
        """Look like the view, as Chalice names handlers after it."""
        functools.update_wrapper(self, view)
        self._blueprint = blueprint
        self._view = view
        self.route = route

    def __call__(self, **path: str) -> Response:
        """Answer the current request; whatever goes wrong is answered as a problem."""
        request = self._blueprint.current_request
        try:
            return self._present(self._view(**self._arguments(request, path)))
        except RecorderError as error:
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                log.exception("%s: %s", request_id(request), error.detail)
            return refuse(error, request)
        except Exception:
            log.exception("%s: unforeseen", request_id(request))
            return refuse(InternalError("The fault is on our side"), request)

    def _arguments(self, request: Request, path: dict[str, str]) -> dict[str, Any]:
        route = self.route
        arguments: dict[str, Any] = {}
        if route.auth:
            arguments["caller"] = wiring.services().tokens.verify(_bearer_token(request))
        for name in route.parameters:
            arguments[name] = _convert(path[name], RecordingId, whole=name).lower()
        if route.query:
            arguments["query"] = _convert(_query(request), route.query)
        if route.body:
            arguments["body"] = self._body(request, route.body)
        if route.body_types:
            arguments["content_type"] = request.headers.get("content-type", "")
            arguments["body"] = self._bytes(request, arguments["content_type"])
        for header in route.headers:
            arguments[header.lower().replace("-", "_")] = request.headers.get(header)
        return arguments

    def _body(self, request: Request, kind: type[Struct]) -> Struct:
        raw = request.raw_body
        if not raw and self.route.body_optional:
            return kind()
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.ValidationError as error:
            raise _invalid(error) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest("The body is not JSON in UTF-8", field="body") from error

    def _bytes(self, request: Request, content_type: str) -> Any:
        event = request.to_original_event()
        as_text = isinstance(event["body"], str) and not event.get("isBase64Encoded")
        if as_text and content_type in self.route.body_types:
            # It was read as UTF-8 on its way, and what is not UTF-8 is lost.
            raise InternalError(f"API Gateway does not know {content_type} as a binary type")
        return request.raw_body

    def _present(self, answer: object) -> Response:
        reply = answer if isinstance(answer, Reply) else Reply(answer)
        status = reply.status or self.route.statuses[0]
        if status not in self.route.statuses:
            raise RuntimeError(f"{self.route.name} answers {status}, which it does not declare")
        if isinstance(reply.value, str):
            return respond(
                reply.value, status, {"Content-Type": "text/html; charset=utf-8"} | reply.headers
            )
        body = "" if reply.value is None else msgspec.json.encode(reply.value).decode()
        return respond(body, status, {"Content-Type": "application/json"} | reply.headers)


def _bearer_token(request: Request) -> str:
    match = BEARER.fullmatch(request.headers.get("authorization", "").strip())
    if not match:
        raise NotAuthenticated("Send the header Authorization: Bearer <access token>")
    return match[1]


def _query(request: Request) -> dict[str, str]:
    given = request.query_params
    values = {name: given.getlist(name) for name in given} if given else {}
    for name, listed in values.items():
        if len(listed) > 1:
            raise InvalidRequest("Given more than once", field=name)
    return {name: listed[0] for name, listed in values.items()}


def _convert(value: object, kind: Any, whole: str = "query") -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, whole) from error


def _invalid(error: msgspec.ValidationError, whole: str = "body") -> InvalidRequest:
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
