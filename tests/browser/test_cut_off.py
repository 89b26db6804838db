"""What is sent while it is recorded may end anywhere: it plays, and is as long as it says."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.chromium import Browser
from tests.support import ROOT
from tests.support.phone import PASSWORD
from tests.support.server import Server, User, eventually, http

pytestmark = pytest.mark.browser

SOUNDS = ROOT / "tests" / "data" / "sounds"
# Two seconds each, made by ffmpeg; AMR is none of what Chromium knows.
FORMATS = {
    "adts.aac": "audio/aac",
    "constant.mp3": "audio/mpeg",
    "fragmented.mp4": "audio/mp4",
    "length-most.wav": "audio/wav",
    "media-recorder.webm": "audio/webm",
    "opus.ogg": "audio/ogg",
}
CUTS = 3
# All at once, to their ends; where each is then, and what it was decoded to.
PLAY = """
return Promise.all(urls.map(async (url) => {
  const audio = new Audio(url);
  audio.muted = true;
  await audio.play();
  await new Promise((done) => (audio.onended = audio.onerror = done));
  const context = new OfflineAudioContext(1, 1, 48000);
  const bytes = await (await fetch(url, {cache: "no-store"})).arrayBuffer();
  return {
    played: audio.currentTime, error: audio.error?.message,
    decoded: await context.decodeAudioData(bytes).then(({duration}) => duration, String),
  };
}));
"""


def ends(data: bytes) -> Iterator[int]:
    """Where it may be cut off; Chromium opens no MP4 that ends within what tells of a fragment."""
    told = [slice_of(data, found.start() - 4) for found in re.finditer(b"moof", data)]
    for end in range(len(data) * 6 // 10, len(data)):
        if not any(end in each for each in told):
            yield end


def slice_of(data: bytes, box: int) -> range:
    """What is within the box that begins there."""
    return range(box + 1, box + int.from_bytes(data[box : box + 4]))


def sent_live(user: User, name: str, data: bytes, chance: random.Random) -> str:
    """Send it in pieces, and say that this is all; the recording's id."""
    new = {"file_name": name, "content_type": FORMATS[name], "upload_method": "live"}
    id = str(user.ask("POST", "/recordings", json=new).json()["recording"]["id"])
    at = 0
    while at < len(data):
        size = min(len(data) - at, chance.randrange(1, 3000))
        announced = {"offset": at, "pieces": [{"size": size}]}
        [piece] = user.ask("POST", f"/recordings/{id}/pieces", json=announced).json()["pieces"]
        sent = http.put(piece["url"], headers=piece["headers"], content=data[at : at + size])
        assert sent.status_code == 200
        at += size
    assert user.ask("POST", f"/recordings/{id}/complete", json={"size": at}).status_code == 200
    return id


def listened_to(user: User, id: str) -> dict[str, Any]:
    assert eventually(lambda: "sound" in user.ask("GET", f"/recordings/{id}").json())
    return dict(user.ask("GET", f"/recordings/{id}").json())


# Chromium learns how long these are when it has all of them, which of hours it has not.
ENDLESS = """
const {Audio} = window;
window.Audio = class extends Audio {
  constructor() { super(); window.made = this; }
  get duration() { return Infinity; }
};
"""
# Where Chromium decodes a frame more or less; and an Ogg page of the file here has a second.
NEARLY = 0.06


def test_what_is_cut_off_anywhere_plays_and_is_as_long_as_it_says(
    request: pytest.FixtureRequest, chrome: Browser, server: Server
) -> None:
    user = server.sign_up()
    seed = random.randrange(10**6)  # noqa: S311 - it is shown
    chance = random.Random(seed)  # noqa: S311
    cut = []
    for name in FORMATS:
        data = (SOUNDS / name).read_bytes()
        for _ in range(CUTS if request.config.getoption("--long") else 1):
            length = chance.choice([*ends(data)])
            cut.append((name, length, sent_live(user, name, data[:length], chance)))
    there = [listened_to(user, id) for _, _, id in cut]
    tab = chrome.tab(fresh=True)
    tab.open(f"{server.url}/")
    heard = tab.run(PLAY, urls=[each["audio"]["url"] for each in there])
    tab.close()
    for (name, length, _), recording, played in zip(cut, there, heard, strict=True):
        said = recording["sound"]["duration_ms"] / 1000
        seen = seed, name, length, said, played
        assert recording["duration_ms"] == recording["sound"]["duration_ms"], seen
        assert abs(said - played["decoded"]) < NEARLY, seen
        # A frame that is not whole ends it, some tenths of a second before it would be heard.
        assert played["played"] > said - (0.4 if played.get("error") else NEARLY), seen


@pytest.fixture
def listener(chrome: Browser, server: Server) -> Iterator[tuple[Browser, User]]:
    """Somebody at the recorder, and what else is theirs."""
    user = server.sign_up()
    tab = chrome.tab(fresh=True)
    tab.open(f"{server.url}/")
    tab.type("E-mail address", user.email)
    tab.type("Password", PASSWORD)
    tab.click("Log in")
    tab.shows("Press to record")
    yield tab, user
    assert tab.mishaps() == []
    tab.close()


def listed(tab: Browser, user: User, name: str, data: bytes) -> None:
    """Have it be listed with its length, as the API has heard it."""
    listened_to(user, sent_live(user, name, data, random.Random(1)))  # noqa: S311
    tab.open(tab.run("return location.href"))
    tab.shows(name)
    tab.run(ENDLESS)


def test_what_does_not_say_how_long_it_is_plays_and_seeks(
    listener: tuple[Browser, User],
) -> None:
    tab, user = listener
    name = "media-recorder.webm"
    listed(tab, user, name, (SOUNDS / name).read_bytes())
    tab.shows("0:02")
    tab.click(f"Play {name}")
    tab.until("return window.made?.currentTime > 0.1")
    assert tab.run("return document.querySelector('.position').max") == "2"
    tab.run("""
const position = document.querySelector(".position");
position.value = 1.5;
position.dispatchEvent(new Event("input"));
""")
    tab.until("return window.made?.currentTime > 1.6")
    tab.until("return window.made?.ended")


def test_what_ends_amid_a_frame_can_be_played_again(listener: tuple[Browser, User]) -> None:
    tab, user = listener
    name = "adts.aac"
    listed(tab, user, name, (SOUNDS / name).read_bytes()[:6936])
    for _ in range(2):
        tab.click(f"Play {name}")
        tab.until("return window.made?.currentTime > 1")
        tab.until("return window.made?.paused")
