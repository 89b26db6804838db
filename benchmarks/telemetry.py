"""What a request's line in the log costs, against what the leanest list of recordings does.

The list is boto3's own Query of 50 items, answered at once and without a network: no request can
take less. Prints a ratio, since machines differ.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from chalicelib import telemetry
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import to_attributes
from chalicelib.aws.dynamodb.table import Table

ROUNDS = 1000
RECORDING = {
    "pk": "USER#01a1fe90-4d00-7458-83cb-40001b183ec1",
    "sk": "REC#01a1fe90-4d00-7458-83cb-40001b183ec2",
    "file_name": "A walk along the river.m4a",
    "content_type": "audio/mp4",
    "size": 12_345_678,
    "sha256": "0" * 64,
    "status": "ready",
    "tags": ["nature", "water"],
    "created_at": "2026-01-01T00:00:00.000Z",
}


def main() -> None:
    """Measure, and print."""
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    clients = Clients(custom_s3=False)
    answer = json.dumps({"Items": [to_attributes(RECORDING)] * 50, "ScannedCount": 50}).encode()
    respond: Callable[..., Any] = lambda **_: _response(answer)  # noqa: E731
    clients.dynamodb.meta.events.register("before-send", respond)
    table = Table(lambda: clients.dynamodb, "table")
    telemetry.write_json(io.StringIO())
    listing = _median(lambda: list(table.query("#pk = :pk", pk="x")))
    line = _median(_line)
    print(
        f"medians of {ROUNDS}: the list {listing * 1e6:.0f} us, its line {line * 1e6:.0f} us, ",
        end="",
    )
    print(f"{line / listing:.1%} more")


def _line() -> None:
    route, ids = "/recordings", {"request_id": "r" * 36, "gateway_request_id": "g" * 36}
    with telemetry.work(f"GET {route}", "prod", method="GET", route=route, **ids):
        telemetry.note_call("dynamodb.BatchGetItem")
        telemetry.note_call("dynamodb.Query")
        telemetry.note(user="u" * 36, status=200)


def _response(body: bytes) -> AWSResponse:
    class Raw(io.BytesIO):
        def stream(self, **_: Any) -> Any:
            yield self.read()

    return AWSResponse("", 200, HTTPHeaders(), Raw(body))


def _median(work: Callable[[], object]) -> float:
    return sorted(_seconds(work) for _ in range(ROUNDS))[ROUNDS // 2]


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
