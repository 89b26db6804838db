"""The same by the resolver of Powertools for AWS Lambda."""

from __future__ import annotations

import base64
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from benchmarks.handlers import bare

app = APIGatewayRestResolver()


def _caller() -> str:
    return bare.caller(app.current_event.headers["Authorization"].partition(" ")[2])


@app.get("/recordings")
def list_recordings() -> dict[str, Any]:
    return bare.list_recordings(_caller(), int(app.current_event.query_string_parameters["limit"]))


@app.get("/recordings/<id>")
def find(id: str) -> dict[str, Any]:
    return bare.find(_caller(), id)


@app.post("/recordings")
def announce() -> dict[str, Any]:
    return bare.announce(_caller(), [app.current_event.json_body])[0]


@app.post("/recordings/batch")
def announce_all() -> dict[str, Any]:
    return {"recordings": bare.announce(_caller(), app.current_event.json_body["recordings"])}


@app.post("/recordings/<id>/complete")
def complete(id: str) -> dict[str, Any]:
    return bare.complete(_caller(), id)


@app.put("/recordings/<id>/audio")
def receive(id: str) -> dict[str, Any]:
    return bare.receive(_caller(), id, base64.b64decode(app.current_event.body or ""))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """What Lambda calls."""
    return app.resolve(event, context)
