"""The app's own routes, and a good request to each.

Whatever runs over them covers a new route as soon as it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from app import app
from chalicelib.api.http import Endpoint, Route
from chalicelib.api.openapi import document
from chalicelib.core.ids import uuid7
from tests.support.phone import Answer, Phone

ENDPOINTS = [
    entry.view_function
    for methods in app.routes.values()
    for method, entry in methods.items()
    # What answers GET answers HEAD too.
    if isinstance(entry.view_function, Endpoint) and method != "HEAD"
]
ROUTES = [endpoint.route for endpoint in ENDPOINTS]
GUARDED = [route for route in ROUTES if route.auth]
OPEN = [route for route in ROUTES if not route.auth]

# What is not needed of every kind.
OF_MOST: dict[str, dict[str, Any]] = {"NewRecording": {"size": 10}}

_document = document(app)


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route, id: str | Callable[[], str] = uuid7) -> str:
    """The route's path, with this id for each of its ids, or with ids of nothing."""
    path = route.path.replace("{number}", "1")
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", id if isinstance(id, str) else id())
    return path


def ask(
    phone: Phone,
    route: Route,
    headers: dict[str, str] | None = None,
    *,
    id: str | Callable[[], str] = uuid7,
    **fields: object,
) -> Answer:
    """Send a good request, as the document describes it; `fields` go into its body.

    An address in it is nobody's yet, so that one request does not stand in the way of the next.
    """
    operation = _document["paths"][route.path][route.method.lower()]
    query = {
        parameter["name"]: example(parameter["schema"])
        for parameter in operation["parameters"]
        if parameter["in"] == "query" and parameter["required"]
    }
    body: object = None
    sent = {"Accept": "application/json"}
    if route.body_types:
        body, sent["Content-Type"] = b"some sound", route.body_types[0]
    elif route.body:
        ((kind, content),) = operation["requestBody"]["content"].items()
        schema = content["schema"]
        whose = (
            {"email": f"{uuid7()}@example.com"} if "email" in route.body.__struct_fields__ else {}
        )
        proof = {"password": "x"} if "password" in route.body.__struct_fields__ else {}
        given = proof | example(schema) | whose | fields
        body, sent["Content-Type"] = urlencode(given).encode() if route.body_form else given, kind
    return phone.call(
        route.method, path_of(route, id), body, query=query, headers=sent | (headers or {})
    )


def example(schema: dict[str, Any]) -> Any:
    """The example that a schema gives, or the least that it allows."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        given = example(_document["components"]["schemas"][name])
        return given | OF_MOST[name] if name in OF_MOST else given
    if "anyOf" in schema:
        return example(schema["anyOf"][0])
    given = [*schema.get("examples", []), *schema.get("enum", [])]
    return given[0] if given else _least(schema)


def _least(schema: dict[str, Any]) -> Any:
    if schema["type"] == "object":
        required = schema.get("required", [])
        return {name: example(schema["properties"][name]) for name in required}
    if schema["type"] == "array":
        return [example(schema["items"])] * schema.get("minItems", 0)
    return {
        "string": "x" * schema.get("minLength", 1),
        "integer": schema.get("minimum", 1),
        "boolean": False,
    }.get(schema["type"])
