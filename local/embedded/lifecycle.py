"""What S3 removes by itself, once it is old: by the template's rules."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

# S3 looks once a day. A laptop may not be on for as long.
SECONDS = 3600


def run(remove: Callable[[datetime], object]) -> None:
    """Call `remove` with the time, now and every hour, in a thread that ends with the process."""

    def again() -> None:
        while True:
            remove(datetime.now(UTC))
            time.sleep(SECONDS)

    threading.Thread(target=again, daemon=True).start()


def expired(rules: list[dict[str, Any]], objects: dict[str, Any], now: datetime) -> Iterator[str]:
    """The keys of objects that a rule is over for."""
    for rule in rules:
        if days := rule.get("ExpirationInDays"):
            for key, each in objects.items():
                if key.startswith(rule.get("Prefix", "")) and _over(
                    each["last_modified"], days, now
                ):
                    yield key


def abandoned(rules: list[dict[str, Any]], uploads: dict[str, Any], now: datetime) -> Iterator[str]:
    """The ids of uploads in parts that were begun too long ago."""
    for rule in rules:
        if days := rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation"):
            yield from (id for id, each in uploads.items() if _over(each["created"], days, now))


def replaced(
    rules: list[dict[str, Any]], versions: list[dict[str, Any]], now: datetime
) -> Iterator[str]:
    """The ids of a key's versions, oldest first, that another took the place of too long ago."""
    for rule in rules:
        if days := rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"):
            for version, next_one in pairwise(versions):
                if _over(next_one["last_modified"], days, now):
                    yield version["version_id"]


def _over(since: str, days: str | int, now: datetime) -> bool:
    return datetime.fromisoformat(since) + timedelta(days=int(days)) < now
