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
ROUTES = {
    f"{method} {path}"
    for path, methods in app.routes.items()
    for method in methods
    if method != "HEAD"
}


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
            # What is accepted may have nothing to say yet.
            assert bool(contents) == (status != "204") or status == "202", (name, status)


# Of the languages that clients are generated in, as method names.
RESERVED = {"delete", "export", "import", "default", "return", "in", "is", "as", "new", "find"}


def test_every_operation_is_called_by_a_verb_and_what_it_is_done_to() -> None:
    for operation in OPERATIONS.values():
        name = operation["operationId"]
        assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", name)
        assert name not in RESERVED


def nodes(schema: object, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything in the document that may be a schema, and where it is."""
    if isinstance(schema, dict):
        yield at, schema
        for name, inner in schema.items():
            yield from nodes(inner, f"{at}/{name}")
    elif isinstance(schema, list):
        for inner in schema:
            yield from nodes(inner, at)


def test_every_integer_has_64_bits_and_every_enumeration_a_type() -> None:
    found = [(at, node) for at, node in nodes(DOCUMENT) if "/examples" not in at]

    assert len(found) > 500
    for at, node in found:
        assert node.get("type") != "integer" or node["format"] == "int64", at
        assert "enum" not in node or node["type"] == "string", at
        assert "default" not in node or node["default"] is not None, at


def test_no_query_is_null() -> None:
    for operation in OPERATIONS.values():
        for parameter in operation["parameters"]:
            assert "null" not in json.dumps(parameter["schema"])


def test_a_way_to_upload_is_a_component_of_its_own_that_tells_its_kinds_apart() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    kinds = ["PutUpload", "PostUpload", "MultipartUpload", "LiveUpload"]
    reference = "#/components/schemas/{}".format

    assert schemas["Upload"]["oneOf"] == [{"$ref": reference(kind)} for kind in kinds]
    assert schemas["Upload"]["discriminator"]["propertyName"] == "method"
    assert {"$ref": reference("Upload")} in schemas["BegunUpload"]["properties"]["upload"]["anyOf"]


def test_every_refusal_is_the_one_problem() -> None:
    problem = {"$ref": "#/components/schemas/Problem"}
    refusals = [
        answer["content"]["application/problem+json"]["schema"]
        for operation in OPERATIONS.values()
        for status, answer in operation["responses"].items()
        if status >= "400"
    ]

    assert len(refusals) > 100
    assert all(refusal == problem for refusal in refusals)


def test_a_body_of_bytes_is_described_as_such() -> None:
    contents = OPERATIONS["PUT /recordings/{id}/audio"]["requestBody"]["content"]

    assert len(contents) == 24
    assert all(each["schema"]["format"] == "binary" for each in contents.values())


@pytest.mark.parametrize(
    ("asked_for", "server"),
    [("/openapi.json", "/"), ("/api/openapi.json", "/api"), (None, "/")],
    ids=str,
)
def test_the_served_document_knows_the_stage_in_front_of_it(
    asked_for: str | None, server: str
) -> None:
    event = {
        "requestContext": {
            "httpMethod": "GET",
            "resourcePath": "/openapi.json",
            "identity": {"sourceIp": "192.0.2.1"},
        },
        "headers": {},
        "multiValueQueryStringParameters": None,
        "pathParameters": {},
        "stageVariables": {},
        "body": None,
    }
    if asked_for:
        event["requestContext"] |= {"path": asked_for}  # type: ignore[operator]

    answer = json.loads(app(event, None)["body"])

    assert answer["servers"] == [{"url": server}]


def test_every_operation_can_fail_as_any_can() -> None:
    for name, operation in OPERATIONS.items():
        expected = {"500", "503"} | ({"401"} if operation["security"] else set())
        assert expected <= set(operation["responses"]), name


def test_what_is_open_is_what_the_contract_marks_open() -> None:
    assert {name for name, operation in OPERATIONS.items() if not operation["security"]} == {
        "POST /auth/signup",
        "POST /auth/login",
        "POST /auth/google",
        "POST /auth/apple",
        "POST /auth/refresh",
        "POST /auth/logout",
        "POST /auth/email/confirm",
        "GET /auth/email/confirm",
        "POST /auth/password/forgot",
        "POST /auth/password/reset",
        "GET /auth/password/reset",
        "GET /auth/return",
        "POST /auth/return",
        "GET /health",
        "GET /openapi.json",
        "GET /config",
        "GET /blank",
        "GET /s/{code}",
        "GET /docs",
        "GET /",
        "GET /web/{folder}/{name}",
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
