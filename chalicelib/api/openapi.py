"""The OpenAPI 3.1 document, built from the declarations that parse the requests.

It is written for the generators of clients: see _readable and docs/clients.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec
from chalice.app import Chalice

from chalicelib import __version__
from chalicelib.api.http import Endpoint, Route
from chalicelib.api.problems import Problem
from chalicelib.errors import RecorderError, catalogue
from chalicelib.models.answers import Upload
from chalicelib.models.fields import IN_PATH, RecordingId
from chalicelib.models.media_types import FORM

DESCRIPTION = """\
Recordings are private speech: every call but those marked open wants the header
`Authorization: Bearer <access token>`. Bytes go straight to S3, by requests signed here. Every
call can be repeated. Errors are RFC 9457 problems, and apps switch on their `code`.
"""
REFERENCE = "#/components/schemas/{name}"
JSON = "application/json"
PROBLEM = "application/problem+json"
TEXT = {"schema": {"type": "string"}}
PAGE: dict[str, Any] = {"text/html": TEXT}
# Unions that have a name of their own: what stands within another schema gets one from each
# generator, and from some no type that tells its kinds apart.
UNIONS: dict[str, Any] = {"Upload": Upload}

Document = dict[str, Any]


def document(app: Chalice, server: str = "/") -> Document:
    """Describe every route of an app that was declared with api/http.py.

    `server` is what stands in front of every path.
    """
    routes = list(_routes(app))
    kinds = [kind for route in routes for kind in (route.body, route.query, route.answer) if kind]
    _, components = msgspec.json.schema_components([*kinds, Problem], ref_template=REFERENCE)
    schemas = _readable(components) | {name: _union(kind) for name, kind in UNIONS.items()}
    paths: Document = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, schemas)
    for query in {route.query.__name__ for route in routes if route.query}:
        del schemas[query]  # Spelled out as parameters; no schema of their own.
    # No enumeration: a client that was generated before a code was added has to read that too.
    schemas["Problem"]["properties"]["code"]["examples"] = [error.code for error in catalogue()]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Recorder API",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server}],
        "paths": dict(paths),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _routes(app: Chalice) -> Iterator[Route]:
    for methods in app.routes.values():
        for method, entry in methods.items():
            # HEAD is GET's, and no operation that a client would want.
            if isinstance(entry.view_function, Endpoint) and method != "HEAD":
                yield entry.view_function.route


def _readable(schema: Any) -> Any:
    """A schema as generators of clients read it; what it allows stays the same.

    Integers have 64 bits, where Kotlin's and Dart's would have 32. Enumerations have a type. No
    default is null, for which TypeScript's generators take a field to be there always. A union that
    has a name is named.
    """
    if isinstance(schema, list):
        return [_readable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    for name, kind in UNIONS.items():
        if schema == _content(kind)["schema"]:
            return {"$ref": REFERENCE.format(name=name)}
    readable = {
        name: _readable(each)
        for name, each in schema.items()
        if not (name == "default" and each is None)
    }
    if readable.get("type") == "integer":
        readable["format"] = "int64"
    if "enum" in readable:
        readable["type"] = "string"
    return readable


def _union(kind: Any) -> Document:
    """A union of structs with a tag: it is exactly one of them."""
    schema = _content(kind)["schema"]
    return {"oneOf": schema["anyOf"], "discriminator": schema["discriminator"]}


def _operation(route: Route, schemas: Document) -> Document:
    summary, _, description = route.text.strip().partition("\n\n")
    operation: Document = {
        "operationId": route.operation_id,
        "tags": [route.tag],
        "summary": summary,
        "security": [{"accessToken": []}] if route.auth else [],
        "parameters": list(_parameters(route, schemas)),
        "responses": _answers(route) | _problems(route),
    }
    if description:
        operation["description"] = " ".join(description.split())
    if route.body:
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {FORM if route.body_form else JSON: _content(route.body)},
        }
    if route.body_types:
        operation["requestBody"] = {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in route.body_types
            },
        }
    return operation


def _parameters(route: Route, schemas: Document) -> Iterator[Document]:
    for name in route.parameters:
        schema = _readable(msgspec.json.schema(IN_PATH.get(name, RecordingId)))
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if route.query:
        shape = schemas[route.query.__name__]
        for name, schema in shape["properties"].items():
            required = name in shape.get("required", [])
            # What is not given is left out; a query has no null.
            given = [each for each in schema.get("anyOf", [schema]) if each != {"type": "null"}]
            yield {"name": name, "in": "query", "required": required, "schema": given[0]}
    for name, kind in route.headers.items():
        yield {"name": name, "in": "header", "required": False, "schema": msgspec.json.schema(kind)}


def _answers(route: Route) -> Document:
    answers: Document = {}
    for status in route.statuses:
        answers[str(status)] = {"description": HTTPStatus(status).phrase}
        if route.answer is str:
            answers[str(status)]["content"] = dict.fromkeys(route.texts, TEXT)
        elif route.answer:
            answers[str(status)]["content"] = {JSON: _content(route.answer)} | _page(route)
    return answers


def _problems(route: Route) -> Document:
    by_status: dict[int, list[type[RecorderError]]] = defaultdict(list)
    for error in route.errors:
        by_status[error.status].append(error)
    return {
        str(status): {
            "description": "; ".join(f"`{error.code}`: {error.title}" for error in errors),
            "content": {PROBLEM: {"schema": {"$ref": REFERENCE.format(name="Problem")}}}
            | _page(route),
        }
        for status, errors in sorted(by_status.items())
    }


def _page(route: Route) -> Document:
    """What is answered to whoever does not ask for JSON."""
    return PAGE if route.page else {}


def _content(kind: Any) -> Document:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=REFERENCE)
    return {"schema": schema}
