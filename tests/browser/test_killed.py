"""A browser that is killed while it records: what had arrived is there, and so is what was kept.

`make browser ARGS='--long -k killed'` kills ten at random moments of two minutes, and waits until
the server takes what arrived for all there is. It takes a quarter of an hour.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.browser import chromium
from tests.browser.chromium import Browser
from tests.browser.test_recorder import KEPT, record, sign_up
from tests.support import ROOT
from tests.support.phone import PASSWORD
from tests.support.server import BIN, Server, eventually, http

pytestmark = pytest.mark.browser

# A piece of the recorder's, and what was on its way.
PIECE, ON_ITS_WAY = 5.1, 1.5
# What it keeps on the device, likewise.
SECOND, BEING_WRITTEN = 1.02, 1.0
BEGINS = """
const start = MediaRecorder.prototype.start;
MediaRecorder.prototype.start = function (...given) {
  window.began = performance.now();
  return start.apply(this, given);
};
"""
PLAYS = """
const audio = new Audio(url);
await audio.play();
const plays = (from) => new Promise((resolve) => {
  audio.ontimeupdate = () => audio.currentTime > from + 0.2 && resolve();
});
await plays(0);
audio.currentTime = length / 2;
await plays(length / 2);
audio.pause();
return true;
"""


class Killed(Struct):
    """One who recorded until their browser was killed."""

    email: str
    profile: Path
    recorded: float


def test_what_had_arrived_is_there_however_a_browser_is_killed(
    request: pytest.FixtureRequest,
    impatient: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for_real = request.config.getoption("--long")
    seed = random.randrange(10**6)  # noqa: S311 - it is printed
    chance = random.Random(seed)  # noqa: S311
    killings = 10 if for_real else 1
    killed = [
        _killed(impatient, tmp_path / str(number), chance.uniform(6, 120 if for_real else 9))
        for number in range(killings)
    ]
    said = [f"seed {seed}", "| recorded | arrived | kept on the device |", "| --- | --- | --- |"]
    for each in killed:
        arrived = _ended(impatient, each, by_itself=for_real)
        kept = _rescued(impatient, each)
        said.append(f"| {each.recorded:.1f} s | {arrived:.1f} s | {kept:.1f} s |")
        assert -0.5 < each.recorded - arrived < PIECE + ON_ITS_WAY, said
        assert -0.5 < each.recorded - kept < SECOND + BEING_WRITTEN, said
    if for_real:
        with capsys.disabled():
            print("", *said, sep="\n")  # noqa: T201 - for docs/performance.md


def _killed(server: Server, profile: Path, seconds: float) -> Killed:
    with chromium.running(profile) as browser:
        browser.open(f"{server.url}/")
        email = sign_up(browser)
        browser.run(BEGINS)
        record(browser, 1)
        now = "return (performance.now() - began) / 1000"
        time.sleep(max(0, seconds - browser.run(now)))
        recorded = browser.run(now)
        browser.kill()
    return Killed(email, profile, recorded)


def _ended(server: Server, killed: Killed, *, by_itself: bool) -> float:
    """How long what arrived is, once nobody goes on with it; it plays, from any place on."""
    login = {"email": killed.email, "password": PASSWORD}
    token = http.post(f"{server.url}/auth/login", json=login).json()["access_token"]

    def ask(method: str, path: str = "", **given: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{server.url}/recordings{path}"
        return http.request(method, url, headers=headers, **given).raise_for_status().json()

    if not by_itself:
        [recording] = ask("GET", params={"status": "uploading"})["recordings"]
        upload = ask("GET", f"/{recording['id']}/upload")["upload"]
        size = min([upload["offset"], *[piece["offset"] for piece in upload["missing"]]])
        ask("POST", f"/{recording['id']}/complete", json={"size": size})
    elif not ask("GET")["recordings"]:
        # A minute after the last sign of it, of which one was perhaps still on its way.
        assert eventually(lambda: _upkeep(server) and ask("GET")["recordings"], 90)
    [recording] = ask("GET")["recordings"]
    assert recording.get("interrupted", False) == by_itself
    there = f"/{recording['id']}"
    assert eventually(lambda: "sound" in ask("GET", there))
    recording = ask("GET", there)
    length = recording["sound"]["duration_ms"] / 1000
    with chromium.running() as browser:
        browser.open(f"{server.url}/")
        assert browser.run(PLAYS, url=recording["audio"]["url"], length=length)
    return float(length)


def _upkeep(server: Server) -> bool:
    attached = [str(BIN / "python"), "-m", "local.attach", server.url.rpartition(":")[2]]
    # Those of the tests lead to another table.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RECORDER_")}
    environ = ours | {"RECORDER_LIVE_SILENCE_SECONDS": "60"}
    subprocess.run([*attached, "local.upkeep"], cwd=ROOT, env=environ, check=True)
    time.sleep(1)
    return True


def _rescued(server: Server, killed: Killed) -> float:
    """How long what its device sends is, when the browser is opened again; it plays."""
    with chromium.running(killed.profile) as browser:
        browser.open(f"{server.url}/")
        _log_in(browser, killed.email)
        # Another one, unless all that was kept had arrived.
        browser.until(KEPT + "return mine.length === 0", 60)
        return float(browser.run(LONGEST))


LONGEST = """
const api = await import(document.querySelector("script[src]").src.replace("main", "api"));
for (;;) {
  const {recordings} = await api.list("ready");
  const {id, sound} = recordings.reduce((one, other) => one.size > other.size ? one : other);
  if (!sound) continue;
  const audio = new Audio((await api.find(id)).audio.url);
  await audio.play();
  await new Promise((resolve) => audio.ontimeupdate = () => audio.currentTime > 0.2 && resolve());
  audio.pause();
  return sound.duration_ms / 1000;
}
"""


def _log_in(browser: Browser, email: str) -> None:
    """Log in, if the browser forgot that somebody had."""
    browser.until("return /Press to record|Forgot your password/.test(document.body.innerText)")
    if "Forgot" in browser.text():
        browser.type("E-mail address", email)
        browser.type("Password", PASSWORD)
        browser.click("Log in")
