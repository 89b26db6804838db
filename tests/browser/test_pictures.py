"""What the recorder looks like: docs/pictures, made anew by `make browser ARGS=--pictures`."""

from __future__ import annotations

import io
import math
import random
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.core.ids import uuid7
from tests.browser.chromium import Browser
from tests.support import ROOT
from tests.support.phone import PASSWORD
from tests.support.server import Server, User

pytestmark = pytest.mark.browser

DESKTOP, PHONE = (1200, 800), (390, 844)
# Title, what day and minute of November it was, seconds, tags.
KEPT = [
    ("Talk with Grandma about the farm", "12T16:20", 187, ["family"]),
    ("회의 녹음", "19T09:00", 1840, ["work"]),
    ("Lecture 7: shortest paths", "23T10:15", 5421, ["uni", "algorithms"]),
    ("Tune in the shower", "26T07:48", 24, []),
    ("Interview with Mara", "28T14:05", 68, ["radio", "to cut"]),
]
NOTES = "The bit about the lighthouse begins at 0:31. Ask her for the photographs."


def speech(seconds: int) -> bytes:
    """Something that looks as speech does: words, breaths and sentences, as a WAV."""
    chance = random.Random(7)  # noqa: S311 - it is a picture
    rate, samples = 8000, bytearray()
    while len(samples) < seconds * rate:
        loud, length = chance.uniform(0.15, 1), int(chance.uniform(0.06, 0.3) * rate)
        pause = int(rate * (chance.uniform(0.5, 0.9) if chance.random() < 0.1 else 0.04))
        for at in range(length):
            swell = math.sin(math.pi * at / length) * loud
            samples.append(128 + int(100 * swell * chance.uniform(-1, 1)))
        samples.extend(b"\x80" * pause)
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(1)
        written.setframerate(rate)
        written.writeframes(bytes(samples[: seconds * rate]))
    return file.getvalue()


@pytest.fixture(scope="module")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they go: docs/ if that is what was asked for."""
    if request.config.getoption("--pictures"):
        return ROOT / "docs" / "pictures"
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def library(chrome: Browser, server: Server) -> Iterator[Browser]:
    """The recorder of somebody who has used it for a while."""
    user = server.sign_up()
    user.ask("PATCH", "/me", json={"name": "Ann"}).raise_for_status()
    for title, when, seconds, tags in KEPT:
        data = speech(seconds) if seconds < 100 else bytes(seconds * 700)
        user.ask(
            "PUT",
            f"/recordings/{uuid7()}/audio",
            params={
                "file_name": title,
                "recorded_at": f"2026-11-{when}:00Z",
                "duration_ms": str(seconds * 1000),
                "tag": tags,
                "notes": NOTES if "Mara" in title else "",
            },
            content=data,
            headers={"Content-Type": "audio/wav"},
        ).raise_for_status()
    tab = chrome.tab(fresh=True)
    tab.look(*DESKTOP)
    tab.open(f"{server.url}/")
    log_in(tab, user)
    yield tab
    tab.close()


def log_in(tab: Browser, user: User) -> None:
    tab.type("E-mail address", user.email)
    tab.type("Password", PASSWORD)
    tab.click("Log in")
    tab.shows("Interview with Mara")


def opened(tab: Browser) -> None:
    """One card is open, in the middle of what it plays, and nothing else moves."""
    if not tab.run("return Boolean(document.querySelector('.card.open'))"):
        tab.click("Details of Interview with Mara")
    tab.point_nowhere()
    tab.until("return document.querySelector('.position')?.disabled === false")
    tab.until("return document.querySelector('.shape > div')?.shadowRoot != null")
    tab.run(
        "const slider = document.querySelector('.position'); slider.value = 26;"
        "slider.dispatchEvent(new Event('input')); scrollTo(0, 0);"
        "document.activeElement.blur()"
    )
    tab.until("return document.querySelector('.times').innerText.startsWith('0:26')")


def test_a_desktop(library: Browser, pictures: Path) -> None:
    opened(library)
    library.picture(pictures / "desktop.png")


def test_a_desktop_at_night(library: Browser, pictures: Path) -> None:
    library.look(*DESKTOP, dark=True)
    library.click("Details of Interview with Mara")
    opened(library)
    library.picture(pictures / "dark.png")


def test_a_phone_that_records(library: Browser, pictures: Path) -> None:
    library.click("Details of Interview with Mara")
    library.look(*PHONE)
    library.click("Record")
    library.until("return document.querySelector('.clock').innerText >= '0:04'", 30)
    library.run("document.getElementById('toasts').replaceChildren(); scrollTo(0, 0)")
    library.picture(pictures / "phone.png")
    library.click("Discard")
    library.click("Discard")
    library.shows("Press to record")
    assert library.mishaps() == []
