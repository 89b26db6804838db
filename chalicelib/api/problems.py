"""Answers, and above all refusals: errors as problems (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from chalice.app import CORSConfig, HeadersType, Request, Response
from msgspec import UNSET, Struct, UnsetType

from chalicelib.errors import FieldError, MethodNotAllowed, RecorderError
from chalicelib.models.answers import Recording

# What every answer has. It is one person's, is what its content type says, is nothing to show in a
# browser but for the docs page, whose policy is its own, and came over TLS, as the next one shall.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
}
# Said with its charset, because clients that find none read Latin-1.
JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
PROBLEM = "application/problem+json; charset=utf-8"


class Cors(CORSConfig):
    """What answers tell browsers of other origins; preflights have nothing else.

    API Gateway answers those, as Chalice's document for it says, so the headers that every answer
    has go with these.
    """

    def get_access_control_headers(self) -> dict[str, str]:
        """The headers by their names."""
        # API Gateway takes a header's value in single quotes; a preflight shows nothing anyway.
        plain = {name: value for name, value in HEADERS.items() if "'" not in value}
        return super().get_access_control_headers() | plain


class Problem(Struct, kw_only=True, omit_defaults=True):
    """What went wrong (RFC 9457). `code` is stable; apps switch on it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] = []
    recording: Recording | UnsetType = UNSET
    """Of a version_conflict: the recording as it is now."""
    error: str | UnsetType = UNSET
    """The detail again, where upload libraries look for it."""


def cors(origin: str) -> Cors:
    """What a browser is told on every answer; `origin` is who may call."""
    return Cors(
        allow_origin=origin,
        # Besides those that Chalice allows itself: what clients add, and their tracing.
        allow_headers=[
            "If-Match",
            "Cache-Control",
            "X-Requested-With",
            "traceparent",
            "tracestate",
            "baggage",
            "sentry-trace",
        ],
        expose_headers=["ETag", "Retry-After", "WWW-Authenticate"],
        max_age=600,
    )


def refuse(error: RecorderError, request: Request | None, *, for_library: bool = False) -> Response:
    """An error, as it is answered; `for_library`, where upload libraries find it too."""
    body = describe(error, request_id(request), for_library=for_library)
    return respond(body, error.status, {"Content-Type": PROBLEM, **error.headers})


def describe(error: RecorderError, request_id: str, *, for_library: bool = False) -> str:
    """The problem document of an error."""
    ours = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    detail = error.title if ours else error.detail
    problem = Problem(
        # RFC 9457: the type is no more than the status and the code say.
        type="about:blank",
        title=error.title,
        status=error.status,
        # What is behind a fault of ours is for the log.
        detail=detail,
        code=error.code,
        request_id=request_id,
        errors=error.errors,
        recording=error.current or UNSET,
        error=detail if for_library else UNSET,
    )
    return msgspec.json.encode(problem).decode()


def refusals_of_our_own(cors: CORSConfig) -> Callable[[Request, Callable[..., Any]], Response]:
    """Middleware: what Chalice refuses before any view is answered in our form, CORS included.

    And what is answered to HEAD has no body.
    """

    def middleware(request: Request, get_response: Callable[..., Any]) -> Response:
        response: Response = get_response(request)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = response.headers["Allow"]
            response = refuse(MethodNotAllowed(f"Use {allowed}"), request)
            response.headers |= {"Allow": allowed} | cors.get_access_control_headers()
        if request.method == "HEAD":
            response.body = ""  # What follows it would be taken for the next answer.
        return response

    return middleware


def respond(body: str, status: int, headers: dict[str, str]) -> Response:
    """A response, with the headers that every one has."""
    everything: HeadersType = {**HEADERS, **headers}
    return Response(body=body, status_code=status, headers=everything)


def request_id(request: Request | None) -> str:
    """What the log and the caller know a request by: Lambda's own id of it."""
    return str(getattr(getattr(request, "lambda_context", None), "aws_request_id", ""))
