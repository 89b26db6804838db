"""What API Gateway answers by itself is in the app's form, and a web app can read it."""

from __future__ import annotations

import json
import re

import pytest

from chalicelib.api.problems import HEADERS
from chalicelib.errors import catalogue
from ops.gateway import REFUSALS, answers
from tests.support import ROOT
from tests.support.phone import Phone

ORIGIN = "https://app.example.com"
ANSWERS = answers(ORIGIN)
each_kind = pytest.mark.parametrize("kind", REFUSALS)


def header(kind: str, name: str) -> str:
    """A header's value, without the quotes that API Gateway wants about it."""
    quoted = ANSWERS[kind].headers[name]
    assert quoted[0] == quoted[-1] == "'"
    return quoted[1:-1]


@each_kind
def test_a_refusal_is_a_problem_with_a_code_that_is_documented(kind: str) -> None:
    (template,) = ANSWERS[kind].templates.values()

    problem = json.loads(template)
    documented = {error.code: error.status for error in catalogue()}
    assert documented[problem["code"]] == problem["status"] == ANSWERS[kind].status
    assert header(kind, "Content-Type") == "application/problem+json; charset=utf-8"


@each_kind
def test_a_refusal_has_nothing_for_api_gateway_to_replace_but_the_requests_id(kind: str) -> None:
    (template,) = ANSWERS[kind].templates.values()

    assert re.findall(r"\$[\w.]+", template) == ["$context.requestId"]
    assert json.loads(template)["request_id"] == "$context.requestId"


@each_kind
def test_a_refusal_can_be_read_by_the_web_app(kind: str) -> None:
    assert header(kind, "Access-Control-Allow-Origin") == ORIGIN
    assert "Retry-After" in header(kind, "Access-Control-Expose-Headers").split(",")


@each_kind
def test_a_refusal_has_the_security_headers_of_every_answer(kind: str) -> None:
    assert {name: header(kind, name) for name in HEADERS} == HEADERS


@each_kind
def test_what_may_be_sent_again_says_when(kind: str) -> None:
    says = "Retry-After" in ANSWERS[kind].headers

    assert says == (ANSWERS[kind].status in {429, 503})


def test_a_refusal_has_the_headers_of_the_apps_own(nobody: Phone) -> None:
    own = nobody.get("/me").headers.keys() - {"www-authenticate"}

    assert {name.lower() for name in ANSWERS["DEFAULT_4XX"].headers} == own


def test_what_is_no_route_is_not_found_with_a_token_and_without() -> None:
    kinds = ["MISSING_AUTHENTICATION_TOKEN", "INVALID_SIGNATURE"]

    assert {ANSWERS[kind].status for kind in kinds} == {404}


def test_what_takes_too_long_may_be_tried_again() -> None:
    assert json.loads(ANSWERS["INTEGRATION_TIMEOUT"].templates["application/json"])["code"] == (
        "unavailable"
    )


@each_kind
def test_each_kind_is_documented(kind: str) -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")

    assert f"`{kind}`" in text
