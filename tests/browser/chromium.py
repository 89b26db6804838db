"""A browser without a window: Chromium, driven by the protocol of its own developer tools."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simple_websocket import Client

from tests.support.server import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# No sandbox, since root may have none; it opens pages of ours alone.
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--no-proxy-server", "--remote-debugging-port=0"),
)


def program() -> str | None:
    """Where Chromium is on this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def open(self, url: str) -> None:
        """Open a page, and wait until it and what it loads are there."""
        self._call("Page.navigate", url=url)
        loaded = "location.href !== 'about:blank' && document.readyState === 'complete'"
        assert eventually(lambda: bool(self._evaluate(loaded))), f"{url} does not load"

    def run(self, script: str, **given: Any) -> Any:
        """Run the body of an async function in the page, with these as its variables; its result.

        Fails with the script's own error if it throws.
        """
        names = ", ".join(given)
        return self._evaluate(f"(async ({{{names}}}) => {{{script}}})({json.dumps(given)})")

    def _evaluate(self, expression: str) -> Any:
        answer = self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]["exception"]
        return answer["result"].get("value")

    def _call(self, method: str, **parameters: Any) -> Any:
        number = next(self._ids)
        session = getattr(self, "_session", {})
        asked = {"id": number, "method": method, "params": parameters} | session
        self._connection.send(json.dumps(asked))
        while True:
            # What is not the answer are events, which nobody waits for.
            said = json.loads(self._connection.receive(timeout=60) or '{"error": "no answer"}')
            if "error" in said:
                raise RuntimeError(f"{method}: {said['error']}")
            if said.get("id") == number:
                return said["result"]


@contextmanager
def running() -> Iterator[Browser]:
    """Run a browser that knows nothing from before."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [str(program()), *OPTIONS, f"--user-data-dir={profile}"]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                said = Path(profile, "DevToolsActivePort")
                assert eventually(lambda: said.exists() and said.read_text().count("\n") >= 1)
                port, path = said.read_text().split()
                connection = Client(f"ws://127.0.0.1:{port}{path}")
                yield Browser(connection)
                connection.close()
            finally:
                process.terminate()
