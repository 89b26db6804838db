"""Fine Uploader, unmodified, on a page of another origin, as docs/clients.md sets it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import npm
from tests.browser.chromium import Browser
from tests.browser.test_uppy import LARGE, SMALL, TOOLS
from tests.support import documented
from tests.support.server import Server, eventually

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(npm.missing()), reason="there is no npm"),
]

LIBRARY = "fine-uploader/s3.fine-uploader/s3.fine-uploader.core.js"
PARTS = 4  # of 5 MiB
APP = """
const {upload} = await api("POST", "/recordings", {
  file_name: "a", content_type: "audio/mpeg", size: 1, upload_method: "post",
});
const [accessKey,, region] = upload.fields["x-amz-credential"].split("/");
const endpoint = upload.url.replace(/\\/$/, "");
const headers = () => ({Authorization: `Bearer ${token}`});
window.uploader = example.recorderUploader(qq, {
  url, api, uuid7, headers, accessKey, region, endpoint, bucket: endpoint.split("/").pop(),
});
window.done = [];
window.sent = 0;

uploader._options.callbacks.onComplete = (id, name, {success, error}) => {
  done.push(success ? uploader.getUuid(id) : error);
};
uploader._options.callbacks.onUploadChunkSuccess = () => sent++;
window.moved = 0;
uploader._options.callbacks.onProgress = (id, name, bytes) => (moved = bytes);
"""
# A part is on its way, and not the first: it fails when it is paused while one is being signed.
ON_ITS_WAY = "return sent > 0 && moved > sent * 5 * 1024 * 1024 + 100_000"
ADD = """
const bytes = new Uint8Array(size).map((_, at) => at % 251);
uploader.addFiles([new File([bytes], "talk.mp3", {type: "audio/mpeg", lastModified: 1})]);
"""


class Uploader:
    """A page with Fine Uploader on it, and whose it is."""

    def __init__(self, tab: Browser, elsewhere: str, server: Server) -> None:
        self.tab, self._elsewhere, self._server = tab, elsewhere, server
        self.user = server.sign_up()
        self.open()

    def open(self) -> None:
        self.tab.open(self._elsewhere)
        self.tab.load((npm.installed("uppy6") / LIBRARY).read_text(encoding="utf-8"))
        self.tab.load(npm.bundled(documented.example("Fine Uploader"), "uppy6"))
        given = {"url": self._server.url, "token": self.user.token}
        self.tab.run(TOOLS + APP, **given)

    def add(self, size: int) -> None:
        self.tab.run(ADD, size=size)

    def ends(self) -> str:
        """The id of what was sent."""
        self.tab.until("return done.length > 0", 40)
        [id] = self.tab.run("return done")
        return str(id)

    def has(self, id: str, size: int) -> None:
        recording = self.user.ask("GET", f"/recordings/{id}").json()
        assert (recording["status"], recording["size"]) == ("ready", size)
        assert self.user.play(id).content == bytes(at % 251 for at in range(size))


@pytest.fixture
def uploader(chrome: Browser, elsewhere: str, server: Server) -> Iterator[Uploader]:
    tab = chrome.tab(fresh=True)
    yield Uploader(tab, elsewhere, server)
    tab.close()


def test_a_small_file_is_sent_by_a_form_and_deleted_again(uploader: Uploader) -> None:
    uploader.add(SMALL)
    id = uploader.ends()
    uploader.has(id, SMALL)
    uploader.tab.run("uploader.deleteFile(0)")
    path = f"/recordings/{id}"
    assert eventually(lambda: uploader.user.ask("GET", path).json()["status"] == "trashed")


def test_a_large_one_goes_in_parts_paused_and_resumed(uploader: Uploader) -> None:
    uploader.tab.slow(4_000_000)
    uploader.add(LARGE)
    uploader.tab.until(ON_ITS_WAY)
    assert uploader.tab.run("return uploader.pauseUpload(0)")
    assert uploader.tab.run("return sent") < PARTS
    uploader.tab.run("uploader.continueUpload(0)")
    uploader.has(uploader.ends(), LARGE)


def test_after_a_reload_it_goes_on_where_it_was(uploader: Uploader) -> None:
    uploader.tab.slow(4_000_000)
    uploader.add(LARGE)
    uploader.tab.until(ON_ITS_WAY)
    uploader.tab.run("uploader.pauseUpload(0)")
    id = uploader.tab.run("return uploader.getUuid(0)")
    before = uploader.tab.run("return sent")
    uploader.open()
    uploader.add(LARGE)
    assert uploader.ends() == id
    uploader.has(id, LARGE)
    assert before + uploader.tab.run("return sent") == PARTS


def test_what_is_cancelled_is_gone(uploader: Uploader) -> None:
    uploader.tab.slow(4_000_000)
    uploader.add(LARGE)
    uploader.tab.until(ON_ITS_WAY)
    id = uploader.tab.run("return uploader.getUuid(0)")
    uploader.tab.run("uploader.cancel(0)")
    path = f"/recordings/{id}"
    assert eventually(lambda: uploader.user.ask("GET", path).status_code == 404)
