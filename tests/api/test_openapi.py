"""The documents and the code say the same: OpenAPI, errors, settings and the README's routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from app import app
from chalicelib.api.openapi import document
from chalicelib.errors import catalogue
from chalicelib.settings import Settings, variable
from local import openapi
from tests.support import ROOT
from tests.support.phone import Phone

DOCUMENT = document(app)
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
ROUTES = {f"{method} {path}" for path, methods in app.routes.items() for method in methods}


def rows(name: str) -> dict[str, list[str]]:
    """The cells of a document's table rows, by what stands in backquotes in the first."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells if re.fullmatch("`[^`]+`", row[0])}


# OpenAPI


def test_the_committed_document_is_what_the_code_says() -> None:
    committed = (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")

    assert committed == openapi.text(), "docs/openapi.json is out of date: run `make openapi`"


def test_the_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_the_document_is_served(nobody: Phone) -> None:
    answer = nobody.get("/openapi.json")

    assert answer.status == 200
    assert answer.json == json.loads(openapi.text())


def test_the_document_is_built_once(nobody: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    first = nobody.get("/openapi.json")
    monkeypatch.delattr("chalicelib.api.openapi.document")

    assert nobody.get("/openapi.json").text == first.text


def test_every_route_is_described_and_nothing_else() -> None:
    assert set(OPERATIONS) == ROUTES


def test_every_operation_has_an_id_of_its_own_and_says_what_it_does() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]

    assert len(ids) == len(set(ids))
    for name, operation in OPERATIONS.items():
        assert operation["summary"].endswith("."), name
        assert operation["tags"], name


def test_every_parameter_and_every_answer_with_content_has_a_schema() -> None:
    for name, operation in OPERATIONS.items():
        for parameter in operation["parameters"]:
            assert {"type", "enum"} & parameter["schema"].keys(), (name, parameter["name"])
        for status, answer in operation["responses"].items():
            contents = answer.get("content", {}).values()
            assert answer["description"], (name, status)
            assert all(content["schema"] for content in contents), (name, status)
            assert bool(contents) == (status not in {"202", "204"}), (name, status)


def test_every_operation_can_fail_as_any_can() -> None:
    for name, operation in OPERATIONS.items():
        expected = {"500", "503"} | ({"401"} if operation["security"] else set())
        assert expected <= set(operation["responses"]), name


def test_what_is_open_is_what_the_contract_marks_open() -> None:
    assert {name for name, operation in OPERATIONS.items() if not operation["security"]} == {
        "POST /auth/signup",
        "POST /auth/login",
        "POST /auth/refresh",
        "POST /auth/logout",
        "POST /auth/email/confirm",
        "GET /auth/email/confirm",
        "POST /auth/password/forgot",
        "POST /auth/password/reset",
        "GET /auth/password/reset",
        "GET /health",
        "GET /openapi.json",
        "GET /docs",
    }


def _examples(schema: object) -> Iterator[tuple[dict[str, Any], object]]:
    if isinstance(schema, dict):
        yield from ((schema, example) for example in schema.get("examples", []))
        for inner in schema.values():
            yield from _examples(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _examples(inner)


def test_every_example_is_an_example() -> None:
    examples = list(_examples(DOCUMENT))

    assert examples
    for schema, example in examples:
        Draft202012Validator(schema).validate(example)


# Errors


def test_every_error_is_documented_with_its_status_and_nothing_else() -> None:
    documented = {code: int(cells[0]) for code, cells in rows("docs/errors.md").items()}

    assert documented == {error.code: error.status for error in catalogue()}


def test_every_error_can_be_met() -> None:
    described = json.dumps(DOCUMENT["paths"])
    # What the path alone decides is no operation's answer.
    elsewhere = {"method_not_allowed"}

    for error in catalogue():
        assert (f"`{error.code}`" in described) == (error.code not in elsewhere), error.code


# Settings


def test_every_setting_is_documented_and_nothing_else() -> None:
    documented = set(rows("docs/settings.md"))

    assert documented == {variable(field) for field in Settings.__struct_fields__}


def test_every_number_is_documented_with_its_default() -> None:
    documented = rows("docs/settings.md")
    defaults = msgspec.structs.asdict(Settings(backend="embedded"))
    numbers = {variable(f): value for f, value in defaults.items() if isinstance(value, int)}

    assert len(numbers) > 5
    assert {name: int(documented[name][0]) for name in numbers} == numbers


def test_the_readme_names_no_setting_that_is_not_there() -> None:
    named = set(re.findall(r"\bRECORDER_\w+", (ROOT / "README.md").read_text(encoding="utf-8")))

    client = (ROOT / "examples" / "recorder_client.py").read_text(encoding="utf-8")
    of_the_client = set(re.findall(r"\bRECORDER_\w+", client))
    assert named - of_the_client
    assert named - of_the_client <= {variable(field) for field in Settings.__struct_fields__}


# Routes


def test_the_readme_lists_every_route_and_nothing_else() -> None:
    listed = {name for name in rows("README.md") if " /" in name}

    assert listed == ROUTES
