"""A browser with a page of another origin open, and `make run`."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Browser
from tests.support.server import Server, eventually, free_port, running


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make browser ARGS=--pictures` makes docs/pictures anew, ARGS=--long is at full length."""
    parser.addoption("--pictures", action="store_true")
    parser.addoption("--long", action="store_true")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`make run`; more people sign up than one household has."""
    yield from _run(tmp_path_factory.mktemp("run") / "log", RECORDER_SIGNUPS_PER_SOURCE="0")


@pytest.fixture(scope="session")
def federated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`make run PROVIDER=1`: people may sign in with Google and Apple."""
    log = tmp_path_factory.mktemp("run") / "log"
    yield from _run(log, "PROVIDER=1", RECORDER_SIGNUPS_PER_SOURCE="0")


@pytest.fixture(scope="session")
def provider(federated: Server) -> str:
    """The address of the provider that came with that server."""
    assert eventually(lambda: "Its provider" in federated.printed())
    (url,) = re.findall(r"Its provider +(\S+)", federated.printed())
    return str(url)


@pytest.fixture(scope="session")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`make run`, whose access tokens last for seconds."""
    yield from _run(tmp_path_factory.mktemp("run") / "log", RECORDER_ACCESS_TOKEN_SECONDS="3")


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`make run`, where a recording has ended when nothing was heard of it for a minute."""
    yield from _run(tmp_path_factory.mktemp("run") / "log", RECORDER_LIVE_SILENCE_SECONDS="60")


def _run(log: Path, *options: str, **settings: str) -> Iterator[Server]:
    port = free_port()
    # People sign up in each test, and what their passwords cost is tested elsewhere.
    environ = {"RECORDER_BCRYPT_COST": "4", **settings}
    command = ["make", "run", f"PORT={port}", *options]
    with running(*command, log=log, port=port, environ=environ) as started:
        yield started


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    """A browser; tests open tabs beside its own."""
    with chromium.running() as browser:
        yield browser


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The address of an empty page of somebody else's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as pages:
        threading.Thread(target=pages.serve_forever, args=(0.1,), daemon=True).start()
        yield f"http://127.0.0.1:{pages.server_port}/"
        pages.shutdown()


@pytest.fixture(scope="module")
def browser(chrome: Browser, elsewhere: str) -> Browser:
    """A tab that shows that page."""
    tab = chrome.tab(fresh=True)
    tab.open(elsewhere)
    return tab


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>An app</title>")

    def log_message(self, *_: object) -> None:
        pass
