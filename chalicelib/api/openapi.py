"""The OpenAPI 3.1 document, built from the declarations that parse the requests."""

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
from chalicelib.models.fields import RecordingId

DESCRIPTION = """\
Recordings are private speech: every call but those marked open wants the header
`Authorization: Bearer <access token>`. Bytes go straight to S3, by requests signed here. Every
call can be repeated. Errors are RFC 9457 problems, and apps switch on their `code`.
"""
REFERENCE = "#/components/schemas/{name}"
JSON = "application/json"
PROBLEM = "application/problem+json"

Document = dict[str, Any]


def document(app: Chalice) -> Document:
    """Describe every route of an app that was declared with api/http.py."""
    routes = list(_routes(app))
    kinds = [kind for route in routes for kind in (route.body, route.query, route.answer) if kind]
    _, schemas = msgspec.json.schema_components(
        [*kinds, Problem, RecordingId], ref_template=REFERENCE
    )
    paths: Document = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, schemas)
    for query in {route.query.__name__ for route in routes if route.query}:
        del schemas[query]  # Spelled out as parameters; no schema of their own.
    schemas["Problem"]["properties"]["code"]["enum"] = [error.code for error in catalogue()]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Recorder API",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Relative to this document, since API Gateway puts a stage in front of every path.
        "servers": [{"url": "."}],
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
        for entry in methods.values():
            if isinstance(entry.view_function, Endpoint):
                yield entry.view_function.route


def _operation(route: Route, schemas: Document) -> Document:
    summary, _, description = route.text.strip().partition("\n\n")
    operation: Document = {
        "operationId": route.name,
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
            "content": {JSON: _content(route.body)},
        }
    if route.body_types:
        operation["requestBody"] = {
            "required": True,
            "content": {kind: {} for kind in route.body_types},
        }
    return operation


def _parameters(route: Route, schemas: Document) -> Iterator[Document]:
    for name in route.parameters:
        schema = msgspec.json.schema(RecordingId)
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if route.query:
        shape = schemas[route.query.__name__]
        for name, schema in shape["properties"].items():
            required = name in shape.get("required", [])
            yield {"name": name, "in": "query", "required": required, "schema": schema}
    for name, kind in route.headers.items():
        yield {"name": name, "in": "header", "required": False, "schema": msgspec.json.schema(kind)}


def _answers(route: Route) -> Document:
    answers: Document = {}
    for status in route.statuses:
        answers[str(status)] = {"description": HTTPStatus(status).phrase}
        if route.answer is str:
            answers[str(status)]["content"] = {"text/html": {"schema": {"type": "string"}}}
        elif route.answer:
            answers[str(status)]["content"] = {JSON: _content(route.answer)}
    return answers


def _problems(route: Route) -> Document:
    by_status: dict[int, list[type[RecorderError]]] = defaultdict(list)
    for error in route.errors:
        by_status[error.status].append(error)
    return {
        str(status): {
            "description": "; ".join(f"`{error.code}`: {error.title}" for error in errors),
            "content": {
                PROBLEM: {
                    "schema": {
                        "allOf": [
                            {"$ref": REFERENCE.format(name="Problem")},
                            {"properties": {"code": {"enum": [error.code for error in errors]}}},
                        ]
                    }
                }
            },
        }
        for status, errors in sorted(by_status.items())
    }


def _content(kind: Any) -> Document:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=REFERENCE)
    return {"schema": schema}
