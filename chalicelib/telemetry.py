"""Telemetry: a line in the log for each request and each job, which metrics are made of too.

Whatever goes on below such a piece of work can add to its line, without knowing whose it is.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, Any

NAMESPACE = "Recorder"
# Of the metrics that are not just counted, in CloudWatch's own words.
UNITS = {"bytes_completed": "Bytes", "upkeep_overdue_seconds": "Seconds"}

log = logging.getLogger(__name__)


class Work:
    """A request or a job, and what is to be said of it; as text, that is a line for people."""

    def __init__(self, name: str, stage: str, facts: dict[str, Any]) -> None:
        """Begin with what is known from the beginning."""
        self._name = name
        self._stage = stage
        self._began = time.perf_counter()
        self._milliseconds = 0.0
        self.facts = facts
        self.calls: Counter[str] = Counter()
        self.numbers: Counter[str] = Counter()
        self.error: BaseException | None = None
        """The fault of ours that it ended with."""

    def end(self) -> None:
        """Log it."""
        self._milliseconds = round((time.perf_counter() - self._began) * 1000, 1)
        log.log(logging.ERROR if self.error else logging.INFO, self, exc_info=self.error)

    def line(self) -> dict[str, Any]:
        """All that there is to say, as CloudWatch reads metrics out of it."""
        facts = {name: fact for name, fact in self.facts.items() if fact is not None}
        took = {"milliseconds": self._milliseconds, "aws": self.calls}
        return {"stage": self._stage, **facts, **took, **self.numbers} | _metrics(self.numbers)

    def __str__(self) -> str:
        outcome = [str(self.facts[name]) for name in ("status", "code") if name in self.facts]
        if self.error:
            outcome.append(f"({self.facts.get('request_id')})")
        calls = [f"{number} {name}" for name, number in self.calls.items()]
        took = ", ".join([f"{self._milliseconds:.0f} ms", *calls])
        return f"{' '.join([self._name, *outcome])}: {took}"


_current: ContextVar[Work | None] = ContextVar("work", default=None)


@contextmanager
def work(name: str, stage: str, **facts: Any) -> Iterator[Work]:
    """Log what is done meanwhile as one line in the end, however it ends.

    The line has `facts` and what was noted since, the milliseconds it took, how often each call to
    AWS was made, what was counted, and the cause of the error that it ended with, if any.
    """
    doing = Work(name, stage, facts)
    token = _current.set(doing)
    try:
        yield doing
    except BaseException as error:
        doing.error = error
        raise
    finally:
        _current.reset(token)
        doing.end()


def note(**facts: Any) -> None:
    """Add facts to the work that goes on, if any does."""
    if doing := _current.get():
        doing.facts.update(facts)


def count(**numbers: int) -> None:
    """Add to numbers of the work that goes on; each of them is a metric of that name."""
    if doing := _current.get():
        doing.numbers.update(numbers)


def note_call(name: str) -> None:
    """Add a call to AWS to the work that goes on."""
    if doing := _current.get():
        doing.calls[name] += 1


def write_json(stream: IO[str] | None = None) -> None:
    """Have all that is logged in this process written as lines of JSON, to the standard output."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLine())
    # In place of Lambda's own handler, which would write each line again in its own form.
    logging.basicConfig(handlers=[handler], force=True)
    logging.getLogger("chalicelib").setLevel(logging.INFO)


class JsonLine(logging.Formatter):
    """Whatever is logged, as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Such a line, with the error's whole trace in it."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname}
        if isinstance(record.msg, Work):
            line |= record.msg.line()
        else:
            line |= {"logger": record.name, "message": record.getMessage()}
            if doing := _current.get():
                line["request_id"] = doing.facts.get("request_id")
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _metrics(numbers: Counter[str]) -> dict[str, Any]:
    """What tells CloudWatch which members of a line are metrics, if any are.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    if not numbers:
        return {}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["stage"]],
        "Metrics": [{"Name": name, "Unit": UNITS.get(name, "Count")} for name in numbers],
    }
    return {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}}
