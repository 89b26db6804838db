"""A pytest plugin that fails each test in which a secret is logged or printed."""

from __future__ import annotations

import logging
from collections.abc import Generator

import pytest

from chalicelib.telemetry import JsonLine
from tests.support import leaks


class _Listener(logging.Handler):
    """Keeps what is logged, as it would be printed here and on AWS, traces and all."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [self.format(record), JsonLine().format(record)]


_listener = _Listener()


def pytest_configure() -> None:
    logging.getLogger().addHandler(_listener)
    # Also what a deployment would not print by default.
    logging.getLogger("chalicelib").setLevel(logging.DEBUG)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "teardown":
        texts = [*_listener.lines, *(text for _, text in report.sections)]
        _listener.lines.clear()
        lines = [line for text in texts for line in leaks.leaked(text)]
        if lines and report.passed:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} leaked secrets:\n" + "\n".join(lines)
    return report
