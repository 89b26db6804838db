"""What the embedded services are asked and answer, as HTTP has it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from local.embedded.disk import Blob

# Status, headers and body.
Answer: TypeAlias = tuple[int, dict[str, str], "bytes | Blob"]


@dataclass(frozen=True)
class Request:
    """A request, read whole. Headers have lower-case names; `raw_path` is as it was sent."""

    method: str
    raw_path: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes | Blob


def refusal(status: int, code: str, message: str) -> Answer:
    """A refusal in S3's form."""
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, {"Content-Type": "application/xml"}, error.encode()


def finished(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of a coroutine that waits for nothing, as those of ministack's that we call."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    coroutine.close()
    raise asyncio.InvalidStateError("It waits for something")
