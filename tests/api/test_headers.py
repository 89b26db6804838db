"""What every answer of every route has in its headers, whatever it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from chalice.config import Config
from chalice.deploy.swagger import CFNSwaggerGenerator
from chalice.local import LocalGateway

from app import app
from chalicelib.api.http import Endpoint
from chalicelib.api.problems import HEADERS
from chalicelib.core.ids import uuid7
from chalicelib.errors import Unavailable
from tests.support import ROOT
from tests.support.phone import Answer, Phone
from tests.support.routes import ENDPOINTS, GUARDED, OPEN, ask, named, path_of

ORIGIN = "https://app.example.com"
# What clients of browsers send, and what is added by what traces them.
SENT = {"Authorization", "Content-Type", "If-Match", "Cache-Control", "X-Requested-With"}
TRACING = {"traceparent", "tracestate", "baggage", "sentry-trace"}
YEAR = 365 * 24 * 3600
BY_NAME = {named(endpoint.route): endpoint for endpoint in ENDPOINTS}
Patch = pytest.MonkeyPatch
Way = Callable[[Phone, Endpoint, Patch], Answer]


def failing(error: Exception) -> Way:
    """Has the view fail."""

    def way(phone: Phone, endpoint: Endpoint, patch: Patch) -> Answer:
        def view(**_: object) -> None:
            raise error

        patch.setattr(endpoint, "_view", view)
        return ask(phone, endpoint.route)

    return way


# Each way in which a route can be answered, by the status of PATCH /me.
WAYS: dict[int, Way] = {
    200: lambda phone, endpoint, _: ask(phone, endpoint.route),
    400: lambda phone, *_: phone.patch("/me", b"{nope", query={"nope": 1}),
    401: lambda phone, *_: phone.patch("/me", headers={"Authorization": "Bearer garbage"}),
    405: lambda phone, *_: phone.call("BREW", "/me"),
    500: failing(ZeroDivisionError()),
    503: failing(Unavailable("busy")),
}
# Each way once, and every route in the one way in which its view has a say.
every_answer = pytest.mark.parametrize(
    ("name", "way"), [("PATCH /me", way) for way in WAYS] + [(name, 200) for name in BY_NAME]
)


def test_every_route_is_answered_by_what_adds_the_headers() -> None:
    entries = [entry for methods in app.routes.values() for entry in methods.values()]

    assert len(entries) > 20
    assert all(type(entry.view_function) is Endpoint for entry in entries)
    assert all(entry.cors is app.api.cors for entry in entries)


@pytest.mark.parametrize("way", WAYS)
def test_the_ways_are_answered_as_they_are_called(
    phone: Phone, way: int, monkeypatch: Patch
) -> None:
    assert WAYS[way](phone, BY_NAME["PATCH /me"], monkeypatch).status == way


@every_answer
def test_every_answer_has_every_security_header(
    phone: Phone, name: str, way: int, monkeypatch: Patch
) -> None:
    headers = WAYS[way](phone, BY_NAME[name], monkeypatch).headers

    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    age, _, subdomains = headers["strict-transport-security"].partition("; ")
    assert int(age.removeprefix("max-age=")) >= YEAR
    assert subdomains == "includeSubDomains"


@every_answer
def test_every_answer_with_content_says_its_charset(
    phone: Phone, name: str, way: int, monkeypatch: Patch
) -> None:
    answer = WAYS[way](phone, BY_NAME[name], monkeypatch)

    media_type, _, charset = answer.headers["content-type"].partition("; ")
    problem = "application/problem+json" if answer.status >= 400 else "application/json"
    assert media_type in {problem, "text/html"}
    assert charset == "charset=utf-8"


def test_what_is_open_answers_head_as_it_answers_get(nobody: Phone) -> None:
    for route in OPEN:
        if route.method == "GET":
            got, head = nobody.get(route.path), nobody.call("HEAD", route.path)
            # A link of that name opens nothing.
            status = 404 if route.parameters else 200
            assert (head.status, head.text, head.headers) == (status, "", got.headers), route.path


def test_what_is_not_open_does_not(phone: Phone) -> None:
    for route in GUARDED:
        head = phone.call("HEAD", path_of(route))
        assert (head.status, head.text) == (405, ""), route.path
        assert "HEAD" not in head.headers["allow"], route.path


@every_answer
def test_every_answer_but_a_page_is_nothing_to_a_browser(
    phone: Phone, name: str, way: int, monkeypatch: Patch
) -> None:
    answer = WAYS[way](phone, BY_NAME[name], monkeypatch)

    policy = answer.headers["content-security-policy"].split("; ")
    nothing = {"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"}
    if answer.headers["content-type"].startswith("text/html"):
        assert nothing | {"form-action 'none'"} < set(policy)
        assert not any("unsafe" in directive or "*" in directive for directive in policy)
    else:
        assert set(policy) == nothing


@every_answer
def test_every_answer_can_be_read_from_any_origin_and_by_no_cookie(
    phone: Phone, name: str, way: int, monkeypatch: Patch
) -> None:
    headers = WAYS[way](phone, BY_NAME[name], monkeypatch).headers

    assert headers["access-control-allow-origin"] == "*"
    assert {"ETag", "Retry-After", "WWW-Authenticate"} <= set(
        headers["access-control-expose-headers"].split(",")
    )
    assert "access-control-allow-credentials" not in headers
    assert "set-cookie" not in headers


# Preflights

# What every answer has, but for the policy, which has quotes.
IN_A_PREFLIGHT = {name: value for name, value in HEADERS.items() if "'" not in value}


@pytest.fixture(scope="module")
def preflights() -> dict[str, dict[str, str]]:
    """The headers of the answer to each path's preflight."""
    gateway = LocalGateway(app, Config.create())
    answers: dict[str, Any] = {
        path: gateway.handle_request(
            "OPTIONS", path.replace("{id}", uuid7()).replace("{number}", "1"), {}, b""
        )
        for path in app.routes
    }
    assert {answer["statusCode"] for answer in answers.values()} == {200}
    return {path: answer["headers"] for path, answer in answers.items()}


def test_a_preflight_allows_what_the_route_takes(preflights: dict[str, dict[str, str]]) -> None:
    assert {
        path: set(headers["Access-Control-Allow-Methods"].split(","))
        for path, headers in preflights.items()
    } == {path: {*methods, "OPTIONS"} for path, methods in app.routes.items()}
    for headers in preflights.values():
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in headers
        allowed = set(headers["Access-Control-Allow-Headers"].split(","))
        assert {*SENT, *TRACING} <= allowed


def test_a_preflight_has_the_security_headers(preflights: dict[str, dict[str, str]]) -> None:
    assert len(IN_A_PREFLIGHT) == 4
    assert [
        path
        for path, headers in preflights.items()
        if not headers.items() >= IN_A_PREFLIGHT.items()
    ] == []


def test_api_gateway_is_told_of_them_in_a_form_that_it_takes() -> None:
    quoted = {
        f"method.response.header.{name}": f"'{IN_A_PREFLIGHT[name]}'" for name in IN_A_PREFLIGHT
    }

    for operations in CFNSwaggerGenerator().generate_swagger(app)["paths"].values():
        mock = operations["options"]["x-amazon-apigateway-integration"]
        told = mock["responses"]["default"]["responseParameters"]
        assert all("'" not in value.strip("'") for value in told.values())
        assert told.items() >= quoted.items()


# One origin

# In a process of its own, because app.py is built once. Nothing in it reaches a store.
SCRIPT = """
import json
from chalice.config import Config
from chalice.local import LocalGateway
from chalice.test import Client
from app import app
sent = {"Origin": "https://evil.example"}
preflight = LocalGateway(app, Config.create()).handle_request("OPTIONS", "/me", sent, b"")
asked = [("GET", "/health"), ("PATCH", "/me"), ("BREW", "/me")]
answers = [Client(app).http.request(method, path, sent, b"").headers for method, path in asked]
print(json.dumps([preflight["headers"], *map(dict, answers)]))
"""


def test_an_origin_that_is_set_is_the_only_one_on_every_answer() -> None:
    environ = os.environ | {"RECORDER_CORS_ORIGIN": ORIGIN}
    command = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=True)

    answers = json.loads(run.stdout)
    assert len(answers) == 4
    for headers in answers:
        assert headers["Access-Control-Allow-Origin"] == ORIGIN
        # It is the same whoever asks, so no cache has to tell askers apart.
        assert {"Access-Control-Allow-Credentials", "Vary"}.isdisjoint(headers)
