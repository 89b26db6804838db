"""A browser without a window: Chromium, driven by the protocol of its own developer tools."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simple_websocket import Client

from tests.support.server import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# No sandbox, since root may have none; it opens pages of ours alone. Its microphone beeps.
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--no-proxy-server", "--remote-debugging-port=0"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    # Nothing that a page loads may come from anywhere but this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    *("--mute-audio", "--disable-background-timer-throttling", "--hide-scrollbars"),
)
LEFT = re.compile("navigated or closed|context (with|was)")
# What a page did that a good one does not, kept in the page for `Browser.mishaps`.
WATCH = """
window.mishaps = [];
window.shifted = 0;
addEventListener("securitypolicyviolation", (event) =>
  mishaps.push(`refused: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
addEventListener("error", (event) => mishaps.push(`error: ${event.message}`));
addEventListener("unhandledrejection", (event) => mishaps.push(`rejected: ${event.reason}`));
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  if (!entry.hadRecentInput) shifted += entry.value;
})).observe({type: "layout-shift", buffered: true});
"""
# The control that people know by a name: what is read out, what stands on it, or its label.
FIND = """
const named = (element) => [
  element.getAttribute("aria-label"), element.innerText,
  ...[...element.labels ?? []].map((label) => label.innerText),
].some((each) => each?.trim() === name);
const fields = "input, select, textarea";
const among = document.querySelectorAll(typing ? fields : `${fields}, button, a, summary`);
const shown = [...among].filter((each) => each.checkVisibility({visibilityProperty: true}));
const open = document.querySelector("dialog[open]:last-of-type");
const found = shown.find((each) => named(each) && (!open || open.contains(each)));
"""


def program() -> str | None:
    """Where Chromium is on this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Left(Exception):
    """The tab went to another page before what was run in it had ended."""


class Browser:
    """One tab."""

    def __init__(self, address: str, whose: dict[str, str] | None = None) -> None:
        """Open a tab, with what others of the same person have stored; a new person's without."""
        self._connection = Client(address)
        self._ids = itertools.count(1)
        self._address = address
        self._crashed = False
        self._whose = self._call("Target.createBrowserContext") if whose is None else whose
        made = self._call("Target.createTarget", url="about:blank", **self._whose)
        self._target = made["targetId"]
        attached = self._call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self._call("Page.enable")
        self._call("Network.enable")
        self._call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)

    def tab(self, *, fresh: bool = False) -> Browser:
        """Another tab beside this one; a `fresh` one shares nothing with it."""
        return Browser(self._address, None if fresh else self._whose)

    def open(self, url: str) -> None:
        """Open a page, and wait until it and what it loads are there."""
        self._call("Page.navigate", url=url)
        self.until("return location.href !== 'about:blank' && document.readyState === 'complete'")

    def run(self, script: str, **given: Any) -> Any:
        """Run the body of an async function in the page, with these as its variables; its result.

        Fails with the script's own error if it throws.
        """
        names = ", ".join(given)
        return self._evaluate(f"(async ({{{names}}}) => {{{script}}})({json.dumps(given)})")

    def load(self, script: str) -> None:
        """Run a whole script, as a developer would in the console: under no page's policy."""
        self._call("Runtime.evaluate", expression=script)

    def until(self, script: str, seconds: float = 20, **given: Any) -> Any:
        """Run it again and again until it returns something; fails with what the page shows."""
        found: list[Any] = []

        def tried() -> bool:
            try:
                found.append(self.run(script, **given))
            except Left:
                return False
            return bool(found[-1])

        assert eventually(tried, seconds), f"{script}\n\n{self.text()}\n\n{self.mishaps()}"
        return found[-1]

    def text(self) -> str:
        """What can be read on the page."""
        return str(self.run("return document.body?.innerText ?? ''"))

    def shows(self, text: str, seconds: float = 20) -> None:
        """Wait until this can be read on the page."""
        self.until("return document.body?.innerText.includes(text)", seconds, text=text)

    def hides(self, text: str) -> None:
        """Wait until this cannot be read there any more."""
        self.until("return !document.body.innerText.includes(text)", text=text)

    def click(self, name: str) -> None:
        """Press what has this name, where it is; fails when something else is in the way."""
        where = """
if (!found) return null;
found.scrollIntoView({block: "center", behavior: "instant"});
const box = found.getBoundingClientRect();
const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
const hit = document.elementFromPoint(x, y);
return found.contains(hit) || hit?.contains(found) ? [x, y] : null;
"""
        x, y = self.until(FIND + where, name=name, typing=False)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def point_nowhere(self) -> None:
        """Take the mouse away from whatever it is on."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)

    def type(self, name: str, text: str) -> None:
        """Type into the field of this name, in place of what is in it."""
        focus = "found?.focus(); found?.select?.(); return Boolean(found)"
        self.until(FIND + focus, name=name, typing=True)
        self._call("Input.insertText", text=text)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key; `code` is what Windows calls it."""
        for kind in ("keyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **({"text": text} if text and kind == "keyDown" else {}),
            )

    def offline(self, whether: bool) -> None:
        """Take the network away from this tab, or give it back."""
        self._network(offline=whether)

    def block(self, *urls: str) -> None:
        """Have what is asked of such addresses get no answer, until this is said anew."""
        self._call("Network.setBlockedURLs", urls=list(urls))

    def slow(self, upload: int) -> None:
        """Have it send so many bytes a second."""
        self._network(uploadThroughput=upload)

    def _network(self, **conditions: Any) -> None:
        plain = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self._call("Network.emulateNetworkConditions", **{**plain, **conditions})

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Be a screen of that size, of somebody who likes nothing to move."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self._call("Emulation.setEmulatedMedia", features=[scheme, still])

    def picture(self, file: Path) -> None:
        """Take a picture of what is on the screen."""
        file.write_bytes(b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def mishaps(self) -> list[str]:
        """What the page did that a good one does not."""
        return [] if self._crashed else list(self.run("return window.mishaps ?? []"))

    def crash(self) -> None:
        """Have the tab die, as one does that has no memory left."""
        # It is not there any more to answer.
        self._send("Page.crash")
        self._connection.close()
        self._crashed = True

    def close(self) -> None:
        """Close the tab."""
        if self._crashed:
            return
        self._call("Target.closeTarget", targetId=self._target)
        self._connection.close()

    def _evaluate(self, expression: str) -> Any:
        answer = self._call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]["exception"]
        return answer["result"].get("value")

    def _send(self, method: str, **parameters: Any) -> int:
        number = next(self._ids)
        session = getattr(self, "_session", {})
        self._connection.send(
            json.dumps({"id": number, "method": method, "params": parameters} | session)
        )
        return number

    def _call(self, method: str, **parameters: Any) -> Any:
        number = self._send(method, **parameters)
        while True:
            # What is not the answer are events, which nobody waits for.
            said = json.loads(self._connection.receive(timeout=60) or '{"error": "no answer"}')
            if said.get("method") == "Page.javascriptDialogOpening":
                self._send("Page.handleJavaScriptDialog", accept=True)
            if "error" in said and said.get("id", number) == number:
                if LEFT.search(str(said["error"])):
                    raise Left
                raise RuntimeError(f"{method}: {said['error']}")
            if said.get("id") == number:
                return said["result"]


@contextmanager
def running(profile: Path | None = None) -> Iterator[Browser]:
    """Run a browser that knows nothing from before but what is in `profile`, and open a tab."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        profile = profile or Path(folder)
        command = [str(program()), *OPTIONS, f"--user-data-dir={profile}"]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                said = profile / "DevToolsActivePort"
                assert eventually(lambda: said.exists() and said.read_text().count("\n") >= 1)
                port, path = said.read_text().split()
                yield Browser(f"ws://127.0.0.1:{port}{path}")
            finally:
                os.killpg(process.pid, signal.SIGTERM)
