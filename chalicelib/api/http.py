"""The Blueprint that every route is declared with.

One declaration says what a route needs and gives. From it the request is parsed, the errors are
answered, and the OpenAPI document is built, so that none of them can differ from the others.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec
from chalice.app import Blueprint as ChaliceBlueprint
from chalice.app import Request, Response
from msgspec import Struct

from chalicelib import deadline, wiring
from chalicelib.api import parsing
from chalicelib.api.problems import HTML, JSON, refuse, request_id, respond
from chalicelib.errors import (
    EmailNotConfirmed,
    InternalError,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    RecorderError,
    TokenExpired,
    TooManyAttempts,
    Unavailable,
    UnsupportedMediaType,
)
from chalicelib.models.requests import Request as Sent
from chalicelib.telemetry import Work

# API Gateway gives up at 29 s, and Lambda may have needed some of them to start.
SECONDS = 26

View = Callable[..., object]


class Reply(Struct, frozen=True):
    """An answer that is not just the first of the declared statuses and a body."""

    value: object
    status: int | None = None
    headers: dict[str, str] = {}
    shown: object = None
    """What the route's page shows, where that is more than the answer."""


class Route(Struct, frozen=True, kw_only=True):
    """What is declared of a route."""

    method: str
    path: str
    answer: Any
    """The type of what a view returns; None for an empty answer, `str` for text."""
    statuses: tuple[int, ...]
    texts: tuple[str, ...] = ("text/html",)
    """The media types of an answer that is text; a view says which, if it is not HTML."""
    auth: bool = True
    unconfirmed: bool = False
    """Whether it is open before the address is confirmed, whatever is set."""
    wants: str = ""
    """The setting without which there is no such route."""
    standing: bool = False
    """Whether the view is given, in place of the path's `id`, what stands under it: `standing`.

    That is read in the same call as who calls.
    """
    limited: bool = False
    """Whether its attempts are counted; the view is then given their `source`."""
    body: type[Sent] | None = None
    body_form: bool = False
    """Whether the body is a form's in place of JSON: what a provider has a browser send."""
    body_types: tuple[str, ...] = ()
    """The media types of a body that is taken as it is, as bytes."""
    body_optional: bool = False
    for_library: bool = False
    """Whether upload libraries call it: a form says nothing, if the body may be left out, and a
    refusal has an `error` that they look for."""
    query: type[Sent] | None = None
    headers: dict[str, Any] = {}
    """Request headers that the view reads, each with the type of its value; None without it."""
    page: Callable[[Any], Reply] | None = None
    """What shows the answer, or an error, to whoever does not ask for JSON by its name."""
    raises: tuple[type[RecorderError], ...] = ()
    tag: str
    name: str
    text: str
    operation: str = ""
    """What clients' generators call it, where that is not the view's name."""

    @property
    def parameters(self) -> list[str]:
        """The names in the path; each stands for an id, but for those in fields.IN_PATH."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def operation_id(self) -> str:
        """The name of the method that a generated client has for it."""
        first, *rest = self.name.split("_")
        return self.operation or first + "".join(word.capitalize() for word in rest)

    @property
    def errors(self) -> tuple[type[RecorderError], ...]:
        """Everything that can go wrong: what the view raises, and what the declaration implies."""
        errors: list[type[RecorderError]] = []
        if self.parameters or self.query or self.body or self.body_types or self.headers:
            errors.append(InvalidRequest)
        if self.body or self.body_types:
            errors.append(UnsupportedMediaType)
        if self.auth:
            errors += [NotAuthenticated, TokenExpired]
        if self.auth and not self.unconfirmed:
            errors.append(EmailNotConfirmed)
        if self.wants:
            errors.append(NotFound)
        if self.limited:
            errors.append(TooManyAttempts)
        return (*dict.fromkeys([*errors, *self.raises]), InternalError, Unavailable)


class Blueprint(ChaliceBlueprint):
    """Routes that belong together; `tag` is what the documentation calls them."""

    def __init__(self, import_name: str, tag: str, *, unconfirmed: bool = False) -> None:
        """Begin with no routes; see Route for `unconfirmed`."""
        super().__init__(import_name)
        self._tag = tag
        self._unconfirmed = unconfirmed

    @property
    def root(self) -> str:
        """What stood before the path of the current request: a stage, or what a domain maps."""
        request = self.current_request
        asked_for = str(request.context.get("path", "")).rstrip("/").split("/")
        return "/".join(asked_for[: len(asked_for) - request.path.rstrip("/").count("/")])

    @property
    def address(self) -> str:
        """What begins the URLs of this API: as it is set, or else as it was asked for."""
        # API Gateway's word, and no header of the caller's.
        domain = self.current_request.context.get("domainName")
        here = f"https://{domain}{self.root}" if domain else ""
        return wiring.services().settings.address or here

    def endpoint(
        self, method: str, path: str, answer: Any = None, *statuses: int, **declared: Any
    ) -> Callable[[View], Endpoint]:
        """Declare a route; see Route for what can be declared.

        The first of `statuses` is what a view's answer gets, unless it returns a Reply that
        names another of them. The view is called with what it needs, by name: `caller` unless
        `auth` is off, `source` if it is `limited`, `body`, `query`, `headers`, and the ids of the
        path, or what is `standing` there.
        """

        def register(view: View) -> Endpoint:
            route = Route(
                method=method,
                path=path,
                answer=answer,
                statuses=statuses or (200,),
                unconfirmed=self._unconfirmed,
                tag=self._tag,
                name=view.__name__,
                text=view.__doc__ or "",
                **declared,
            )
            endpoint = Endpoint(self, route, view)
            # What is open is looked at by link checkers and previews, which ask for its head.
            methods = [method, "HEAD"] if method == "GET" and not route.auth else [method]
            # No content types: Chalice would refuse others in its own words, not as a problem.
            self.route(path, methods=methods, content_types=[])(endpoint)
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
        """Answer the current request; whatever goes wrong is answered as a problem, and logged."""
        request = self._blueprint.current_request
        work = wiring.work(
            f"{request.method} {self.route.path}",
            method=request.method,
            route=self.route.path,
            request_id=request_id(request),
            gateway_request_id=request.context.get("requestId"),
        )
        with work as doing, deadline.within(SECONDS):
            try:
                answer = self._view(**self._arguments(request, path))
                response = self._present(answer, request)
            except RecorderError as error:
                response = self._refuse(error, error, request, doing)
            except Exception as error:  # noqa: BLE001 - it is logged with its work
                response = self._refuse(error, InternalError("Unforeseen"), request, doing)
            doing.facts["status"] = response.status_code
        if self.route.page:
            response.headers["Vary"] = "Accept"
        return response

    def _arguments(self, request: Request, path: dict[str, str]) -> dict[str, Any]:
        route = self.route
        arguments = self._who_and_what(request, path) if route.auth else {}
        if route.wants and not getattr(wiring.services().settings, route.wants):
            raise NotFound("This service does not offer it")
        if route.limited:
            arguments["source"] = parsing.source(request)
        arguments |= self._ids(path)
        if route.query:
            arguments["query"] = parsing.query(request, route.query)
        if route.body and route.body_form:
            arguments["body"] = parsing.form(request, route.body)
        elif route.body:
            arguments["body"] = parsing.body(
                request, route.body, optional=route.body_optional, or_form=route.for_library
            )
        if route.body_types:
            arguments["content_type"] = request.headers.get("content-type", "")
            arguments["body"] = parsing.raw_body(request, route.body_types)
        for name, kind in route.headers.items():
            arguments[name.lower().replace("-", "_")] = parsing.header(request, name, kind)
        return arguments

    def _who_and_what(self, request: Request, path: dict[str, str]) -> dict[str, Any]:
        """Who calls, and what stands under the recording's id that they name, if that is wanted."""
        token = parsing.bearer_token(request)
        sessions, unconfirmed = wiring.services().sessions, self.route.unconfirmed
        if not self.route.standing:
            return {"caller": sessions.authenticate(token, unconfirmed=unconfirmed)}
        named = None
        # An id that is none is refused once it is known who calls.
        with suppress(InvalidRequest):
            named = str(parsing.in_path(path["id"], "id"))
        caller = sessions.authenticate(token, named, unconfirmed=unconfirmed)
        return {"caller": caller, "standing": caller.standing}

    def _ids(self, path: dict[str, str]) -> dict[str, Any]:
        """The ids in the path, but for that of which the view is given what stands there."""
        ids = {name: parsing.in_path(path[name], name) for name in self.route.parameters}
        return {name: id for name, id in ids.items() if not (self.route.standing and name == "id")}

    def _present(self, answer: object, request: Request) -> Response:
        reply = answer if isinstance(answer, Reply) else Reply(answer)
        status = reply.status or self.route.statuses[0]
        if status not in self.route.statuses:
            raise RuntimeError(f"{self.route.name} answers {status}, which it does not declare")
        if shown := self._shown(reply.shown or reply.value, request):
            return _html(shown, status, reply.headers)
        if isinstance(reply.value, str):
            return _html(reply, status)
        body = "" if reply.value is None else msgspec.json.encode(reply.value).decode()
        return respond(body, status, {"Content-Type": JSON} | reply.headers)

    def _refuse(
        self, cause: Exception, error: RecorderError, request: Request, doing: Work
    ) -> Response:
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            doing.error = cause
        doing.facts["code"] = error.code
        if error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}:
            # Whoever attacks can be told from the rest, and nobody's address is in the log.
            with suppress(RecorderError):
                doing.facts["source"] = wiring.services().tokens.pseudonym(parsing.source(request))
        shown = self._shown(error, request)
        if shown:
            return _html(shown, error.status, error.headers)
        return refuse(error, request, for_library=self.route.for_library)

    def _shown(self, value: object, request: Request) -> Reply | None:
        """The page of what there is to say, for whoever wants one of a route that has it."""
        page = self.route.page
        return page(value) if page and not parsing.wants_json(request) else None


def _html(page: Reply, status: int, more: Mapping[str, str] = MappingProxyType({})) -> Response:
    return respond(str(page.value), status, {"Content-Type": HTML, **page.headers, **more})
