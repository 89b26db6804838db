"""EventBridge: each event that it is given goes where S3's go."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from local.embedded import signatures
from local.embedded.http import Answer, Request

# Where EventBridge takes events: the header that says what is asked.
PUT = "AWSEvents.PutEvents"


class EventBridge:
    """Takes events as EventBridge does; who hears of them looks for what concerns them."""

    def __init__(self, secret: str, arrived: Callable[[dict[str, Any]], None]) -> None:
        self._secret = secret
        self._arrived = arrived

    def answer(self, request: Request) -> Answer:
        """Take some events."""
        refusal = signatures.refusal_of_header(request, "events", self._secret)
        if refusal:
            return _json(403, {"message": refusal.message})
        entries = json.loads(bytes(request.body))["Entries"]
        for entry in entries:
            event = {"source": entry["Source"], "detail-type": entry["DetailType"]}
            self._arrived(event | {"detail": json.loads(entry["Detail"])})
        taken = [{"EventId": str(number)} for number, _ in enumerate(entries)]
        return _json(200, {"FailedEntryCount": 0, "Entries": taken})


def _json(status: int, value: object) -> Answer:
    body = json.dumps(value).encode()
    return status, {"Content-Type": "application/x-amz-json-1.1"}, body
