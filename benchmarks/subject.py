"""One handler in a process of its own: `python -m benchmarks.subject HANDLER ROUNDS`.

With 0 rounds it answers a list once, and prints the processor time since the process began; with
more it answers each request so often, and prints the medians, and the calls to AWS of one of each.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import replay

KEY = "k" * 48
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "t" * 400,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "RECORDER_BACKEND": "aws",
    "RECORDER_STAGE": "dev",
    "RECORDER_TABLE": "table",
    "RECORDER_UPLOADS_BUCKET": "uploads",
    "RECORDER_RECORDINGS_BUCKET": "recordings",
    "RECORDER_JWT_KEYS": f"k:{KEY}",
    "RECORDER_LOG": "json",
}


class Context:
    """What Lambda hands to a function."""

    aws_request_id = "6b7931c2-5e6d-41d0-a831-a7119d0acabf"
    function_name = "api"
    memory_limit_in_mb = 1769
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:api"

    def get_remaining_time_in_millis(self) -> int:
        """As at the beginning."""
        return 29_000


def events(token: str) -> dict[str, dict[str, Any]]:
    """A request of each kind, as API Gateway hands it on."""
    new = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": 9}
    ids = [f"019a8f3e-7c1d-7f00-8a3b-5c6d7e8f{n:04x}" for n in range(25)]
    batch = {"recordings": [new | {"id": id} for id in ids]}
    sound, shelf = base64.b64encode(replay.SOUND).decode(), {"limit": "50"}
    one = f"/recordings/{replay.READY}"

    def event(method: str, path: str, resource: str, **more: Any) -> dict[str, Any]:
        query = more.get("query")
        id = path.split("/")[2] if "{id}" in resource else None
        sent = {
            "Authorization": f"Bearer {token}",
            "Content-Type": more.get("kind", "application/json"),
            "Host": "api.example.com",
        }
        return {
            "resource": resource,
            "path": path,
            "httpMethod": method,
            "headers": sent,
            "multiValueHeaders": {name: [value] for name, value in sent.items()},
            "queryStringParameters": query,
            "multiValueQueryStringParameters": query and {k: [v] for k, v in query.items()},
            "pathParameters": id and {"id": id},
            "stageVariables": None,
            "requestContext": {
                "requestId": "r",
                "stage": "dev",
                "httpMethod": method,
                "resourcePath": resource,
                "identity": {"sourceIp": "192.0.2.1"},
            },
            "body": more.get("body"),
            "isBase64Encoded": "kind" in more,
        }

    collection, item = "/recordings", "/recordings/{id}"
    done, audio = f"/recordings/{replay.SENT}/complete", f"/recordings/{replay.NEW}/audio"
    named = {"file_name": "clip.m4a"}
    return {
        "list": event("GET", collection, collection, query=shelf),
        "find": event("GET", one, item),
        "announce": event("POST", collection, collection, body=json.dumps(new | {"id": ids[0]})),
        "batch": event("POST", "/recordings/batch", "/recordings/batch", body=json.dumps(batch)),
        "complete": event("POST", done, f"{item}/complete", body=""),
        "direct": event("PUT", audio, f"{item}/audio", query=named, kind="audio/mp4", body=sound),
    }


def main() -> None:
    """Measure, and print JSON."""
    name, rounds = sys.argv[1], int(sys.argv[2])
    os.environ.update(ENVIRONMENT)
    replay.begin()
    module, _, attribute = name.partition(":")
    # What is logged goes nowhere, and is written all the same.
    out, sys.stdout = sys.stdout, Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    handler: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    asked = events(_token())
    answer = handler(asked["list"], Context())
    cold = time.process_time()
    assert len(json.loads(answer["body"])["recordings"]) == 50, answer  # noqa: S101, PLR2004
    measured: dict[str, Any] = {"cold": cold * 1000}
    if rounds:
        measured["calls"] = {kind: _calls(handler, event) for kind, event in asked.items()}
        for kind, event in asked.items():
            times = [_seconds(handler, event) for _ in range(rounds)]
            measured[kind] = statistics.median(times) * 1000
    print(json.dumps(measured), file=out)


def _token() -> str:
    import jwt

    claims = {
        "iss": "recorder-dev",
        "sub": replay.USER,
        "sid": replay.SESSION,
        "iat": int(time.time()),
        "exp": int(time.time()) + 900,
    }
    return str(jwt.encode(claims, KEY, algorithm="HS256", headers={"kid": "k"}))


def _calls(handler: Callable[..., Any], event: dict[str, Any]) -> int:
    replay.calls.clear()
    answer = handler(event, Context())
    assert answer["statusCode"] in {200, 201}, answer  # noqa: S101
    return replay.calls.total()


def _seconds(handler: Callable[..., Any], event: dict[str, Any]) -> float:
    # Of all threads: FastAPI has views answer in others.
    begun = time.process_time()
    handler(event, Context())
    return time.process_time() - begun


if __name__ == "__main__":
    main()
