"""Uppy 5 and 6, unmodified, on a page of another origin, as docs/clients.md sets them up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser import npm
from tests.browser.chromium import Browser
from tests.support import documented
from tests.support.server import Server, eventually

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(npm.missing()), reason="there is no npm"),
]

SMALL, LARGE = 1000, 17 * 1024 * 1024
PARTS = 3
# Of an app: how it asks the API, and an id for each recording.
TOOLS = """
window.uuid7 = () => {
  const time = Date.now().toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`;
};
window.api = async (method, path, body) => {
  const answer = await fetch(url + path, {
    method,
    headers: {Authorization: `Bearer ${token}`, ...(body && {"Content-Type": "application/json"})},
    body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
};
"""
APP = """
window.uppy = example.recorderUppy(api, uuid7);
window.done = [];
window.sent = 0;
uppy.on("complete", ({successful, failed}) => done.push(successful.length, failed.length));
uppy.on("error", (error) => done.push(String(error)));
uppy.on("s3-multipart:part-uploaded", () => sent++);
"""
ADD = """
const data = new Blob([new Uint8Array(size).map((_, at) => at % 251)], {type: "audio/mpeg"});
uppy.addFile({name: "talk.mp3", type: "audio/mpeg", data});
await new Promise((resolve) => setTimeout(resolve, 100));
uppy.upload().catch(() => {});
return uppy.getFiles()[0].meta.recording;
"""


class Uploader:
    """A page with Uppy on it, and whose it is."""

    def __init__(self, tab: Browser, elsewhere: str, server: Server, version: int) -> None:
        self.tab, self.version, self._elsewhere = tab, version, elsewhere
        self.server, self.user = server, server.sign_up()
        self.open()

    def open(self) -> None:
        self.tab.open(self._elsewhere)
        code = documented.example(f"Uppy {self.version}:")
        self.tab.load(npm.bundled(code, f"uppy{self.version}"))
        self.tab.run(TOOLS + APP, url=self.server.url, token=self.user.token)

    def add(self, size: int) -> str:
        return str(self.tab.run(ADD, size=size))

    def slowly(self) -> None:
        """So that there is a middle of it."""
        self.tab.slow(6_000_000)

    def ends(self) -> None:
        self.tab.until("return done.length > 0", 40)
        assert self.tab.run("return done") == [1, 0]

    def has(self, id: str, size: int) -> None:
        """That the recording is whole, and ready."""
        recording = self.user.ask("GET", f"/recordings/{id}").json()
        assert (recording["status"], recording["size"]) == ("ready", size)
        assert self.user.play(id).content == bytes(at % 251 for at in range(size))

    def parts_sent(self) -> int:
        return int(self.tab.run("return sent"))


@pytest.fixture(params=[5, 6])
def uploader(chrome: Browser, elsewhere: str, server: Server, request: Any) -> Any:
    tab = chrome.tab(fresh=True)
    yield Uploader(tab, elsewhere, server, request.param)
    tab.close()


def test_what_an_app_has_to_write_is_short() -> None:
    for title in ("Uppy 5:", "Uppy 6:", "Fine Uploader"):
        assert len(documented.example(title).splitlines()) <= 40


def test_a_small_file_is_sent_whole(uploader: Uploader) -> None:
    id = uploader.add(SMALL)
    uploader.ends()
    uploader.has(id, SMALL)


def test_a_large_one_goes_in_parts_paused_and_resumed(uploader: Uploader) -> None:
    uploader.slowly()
    id = uploader.add(LARGE)
    uploader.tab.until("return sent > 0")
    uploader.tab.run("uppy.pauseAll()")
    assert uploader.parts_sent() < PARTS
    assert uploader.user.ask("GET", f"/recordings/{id}").json()["status"] == "uploading"
    uploader.tab.run("uppy.resumeAll()")
    uploader.ends()
    uploader.has(id, LARGE)
    assert uploader.parts_sent() == PARTS


def test_after_a_reload_it_goes_on_where_it_was(uploader: Uploader) -> None:
    uploader.slowly()
    id = uploader.add(LARGE)
    uploader.tab.until("return sent > 0")
    # What is to be restored is written down by and by.
    uploader.tab.run("await new Promise((resolve) => setTimeout(resolve, 1000))")
    before = uploader.parts_sent()
    uploader.open()
    uploader.ends()
    uploader.has(id, LARGE)
    assert before + uploader.parts_sent() == PARTS


def test_what_is_cancelled_is_gone(uploader: Uploader) -> None:
    uploader.slowly()
    id = uploader.add(LARGE)
    uploader.tab.until("return sent > 0")
    uploader.tab.run("uppy.cancelAll()")
    path = f"/recordings/{id}"
    assert eventually(lambda: uploader.user.ask("GET", path).status_code == 404)
