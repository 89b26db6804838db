"""What every answer of every route has in its headers, whatever it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from chalice.config import Config
from chalice.deploy.swagger import CFNSwaggerGenerator
from chalice.local import LocalGateway

from app import app
from chalicelib.api.http import Endpoint, Route
from chalicelib.api.problems import HEADERS
from chalicelib.core.ids import uuid7
from chalicelib.errors import Unavailable
from tests.support import ROOT
from tests.support.phone import Answer, Phone
from tests.support.routes import ENDPOINTS, GUARDED, OPEN, ROUTES, ask, named, path_of

pytestmark = pytest.mark.usefixtures("quick")

ORIGIN = "https://app.example.com"
# What clients of browsers send, and what is added by what traces them.
SENT = {"Authorization", "Content-Type", "If-Match", "Cache-Control", "X-Requested-With"}
TRACING = {"traceparent", "tracestate", "baggage", "sentry-trace"}
YEAR = 365 * 24 * 3600
Patch = pytest.MonkeyPatch


def crashing(phone: Phone, endpoint: Endpoint, patch: Patch) -> Answer:
    patch.setattr(endpoint, "_view", lambda **_: 1 / 0)
    return ask(phone, endpoint.route)


def unavailable(phone: Phone, endpoint: Endpoint, patch: Patch) -> Answer:
    def view(**_: object) -> object:
        raise Unavailable("busy")

    patch.setattr(endpoint, "_view", view)
    return ask(phone, endpoint.route)


def another_method(phone: Phone, endpoint: Endpoint, _: Patch) -> Answer:
    return phone.call("BREW", path_of(endpoint.route))


def garbage(phone: Phone, endpoint: Endpoint, _: Patch) -> Answer:
    route = endpoint.route
    return phone.call(route.method, path_of(route), b"{nope", query={"nope": 1})


# Every way in which a route can be answered.
WAYS: dict[str, Callable[[Phone, Endpoint, Patch], Answer]] = {
    "good": lambda phone, endpoint, _: ask(phone, endpoint.route),
    "garbage": garbage,
    "not authenticated": lambda phone, endpoint, _: ask(
        phone, endpoint.route, {"Authorization": "Bearer garbage"}
    ),
    "another method": another_method,
    "crash": crashing,
    "unavailable": unavailable,
}
every_answer = pytest.mark.parametrize("way", WAYS)
every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: named(each.route))


@every_answer
@every_endpoint
def test_every_answer_has_every_security_header(
    phone: Phone, endpoint: Endpoint, way: str, monkeypatch: Patch
) -> None:
    headers = WAYS[way](phone, endpoint, monkeypatch).headers

    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    age, _, subdomains = headers["strict-transport-security"].partition("; ")
    assert int(age.removeprefix("max-age=")) >= YEAR
    assert subdomains == "includeSubDomains"


@every_answer
@every_endpoint
def test_every_answer_with_content_says_its_charset(
    phone: Phone, endpoint: Endpoint, way: str, monkeypatch: Patch
) -> None:
    answer = WAYS[way](phone, endpoint, monkeypatch)

    media_type, _, charset = answer.headers["content-type"].partition("; ")
    problem = "application/problem+json" if answer.status >= 400 else "application/json"
    assert media_type in {problem, "text/html"}
    assert charset == "charset=utf-8"


@pytest.mark.parametrize("route", [route for route in OPEN if route.method == "GET"], ids=named)
def test_what_is_open_answers_head_as_it_answers_get(nobody: Phone, route: Route) -> None:
    got, head = nobody.get(route.path), nobody.call("HEAD", route.path)

    assert (head.status, head.text) == (200, "")
    assert head.headers == got.headers


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_what_is_not_open_does_not(phone: Phone, route: Route) -> None:
    head = phone.call("HEAD", path_of(route))

    assert (head.status, head.text) == (405, "")
    assert "HEAD" not in head.headers["allow"]


@every_answer
@every_endpoint
def test_every_answer_but_a_page_is_nothing_to_a_browser(
    phone: Phone, endpoint: Endpoint, way: str, monkeypatch: Patch
) -> None:
    answer = WAYS[way](phone, endpoint, monkeypatch)

    policy = answer.headers["content-security-policy"].split("; ")
    nothing = {"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"}
    if answer.headers["content-type"].startswith("text/html"):
        assert nothing | {"form-action 'none'"} < set(policy)
        assert not any("unsafe" in directive or "*" in directive for directive in policy)
    else:
        assert set(policy) == nothing


@every_answer
@every_endpoint
def test_every_answer_can_be_read_from_any_origin_and_by_no_cookie(
    phone: Phone, endpoint: Endpoint, way: str, monkeypatch: Patch
) -> None:
    headers = WAYS[way](phone, endpoint, monkeypatch).headers

    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in headers
    assert "set-cookie" not in headers


@pytest.mark.parametrize("way", [*WAYS])
def test_the_ways_are_answered_as_they_are_called(
    phone: Phone, way: str, monkeypatch: Patch
) -> None:
    (endpoint,) = [each for each in ENDPOINTS if named(each.route) == "PATCH /me"]

    status = WAYS[way](phone, endpoint, monkeypatch).status

    expected = {"good": 200, "garbage": 400, "not authenticated": 401, "another method": 405}
    assert status == (expected | {"crash": 500, "unavailable": 503})[way]


@pytest.mark.parametrize("header", ["ETag", "Retry-After", "WWW-Authenticate"])
def test_scripts_may_read_the_headers_that_matter(phone: Phone, header: str) -> None:
    exposed = phone.get("/me").headers["access-control-expose-headers"]

    assert header in exposed.split(",")


@pytest.mark.parametrize("path", app.routes)
def test_a_preflight_allows_what_the_route_takes(path: str) -> None:
    gateway = LocalGateway(app, Config.create())
    answer = gateway.handle_request(
        "OPTIONS", path.replace("{id}", uuid7()).replace("{number}", "1"), {}, b""
    )

    allowed = answer["headers"]
    assert answer["statusCode"] == 200
    assert allowed["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in allowed
    assert {*SENT, *TRACING} <= set(allowed["Access-Control-Allow-Headers"].split(","))
    assert set(allowed["Access-Control-Allow-Methods"].split(",")) == {*app.routes[path], "OPTIONS"}


# What every answer has, but for the policy, which has quotes.
IN_A_PREFLIGHT = {name: value for name, value in HEADERS.items() if "'" not in value}


@pytest.mark.parametrize("path", app.routes)
def test_a_preflight_has_the_security_headers(path: str) -> None:
    gateway = LocalGateway(app, Config.create())
    answer = gateway.handle_request(
        "OPTIONS", path.replace("{id}", uuid7()).replace("{number}", "1"), {}, b""
    )

    assert len(IN_A_PREFLIGHT) == 4
    assert answer["headers"].items() >= IN_A_PREFLIGHT.items()


@pytest.mark.parametrize("path", app.routes)
def test_api_gateway_is_told_of_them_in_a_form_that_it_takes(path: str) -> None:
    document = CFNSwaggerGenerator().generate_swagger(app)
    mock = document["paths"][path]["options"]["x-amazon-apigateway-integration"]
    told = mock["responses"]["default"]["responseParameters"]

    assert all(value.strip("'").count("'") == 0 for value in told.values())
    for name, value in IN_A_PREFLIGHT.items():
        assert told[f"method.response.header.{name}"] == f"'{value}'"


# One origin

# In a process of its own, because app.py is built once. Nothing in it reaches a store.
SCRIPT = """
import json
from chalice.config import Config
from chalice.local import LocalGateway
from chalice.test import Client
from app import app
from tests.support.routes import ENDPOINTS, named, path_of
http = Client(app).http
def crash(**_):
    raise ZeroDivisionError
answers = {}
for endpoint in ENDPOINTS:
    route = endpoint.route
    name, path = named(route), path_of(route)
    sent = {"Origin": "https://evil.example", "Content-Type": "application/json"}
    answers[name, "refused"] = http.request(route.method, path, sent, b"{nope").headers
    answers[name, "another method"] = http.request("BREW", path, sent).headers
    endpoint._view, endpoint._arguments = crash, lambda *_: {}
    answers[name, "crash"] = http.request(route.method, path, sent).headers
    preflight = LocalGateway(app, Config.create()).handle_request("OPTIONS", path, sent, b"")
    answers[name, "preflight"] = preflight["headers"]
print(json.dumps([[*key, dict(headers)] for key, headers in answers.items()]))
"""


@pytest.fixture(scope="module")
def with_one_origin() -> dict[tuple[str, str], dict[str, str]]:
    """The headers of the answers of an app with RECORDER_CORS_ORIGIN, by route and way."""
    environ = os.environ | {"RECORDER_CORS_ORIGIN": ORIGIN}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environ, capture_output=True, check=True
    )
    answers = json.loads(run.stdout)
    return {
        (name, way): {header.lower(): value for header, value in headers.items()}
        for name, way, headers in answers
    }


@pytest.mark.parametrize("way", ["refused", "another method", "crash", "preflight"])
@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_an_origin_that_is_set_is_the_only_one_on_every_answer(
    with_one_origin: dict[tuple[str, str], dict[str, str]], route: Route, way: str
) -> None:
    headers = with_one_origin[named(route), way]

    assert headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-credentials" not in headers
    # It is the same whoever asks, so no cache has to tell askers apart.
    assert "vary" not in headers
