"""A web app of another origin uploads by fetch, and reads what it needs to go on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.chromium import Browser
from tests.support.server import Server, User

pytestmark = pytest.mark.browser

# What a page does with an answer to POST /recordings; the bytes are as many as it announced.
SEND = """
const sound = new Uint8Array(size).map((_, index) => index % 251);
const etag = async (url, method, body, headers) => {
  const answer = await fetch(url, {method, body, headers});
  return [answer.status, answer.headers.get("ETag"), await answer.text()];
};
if (upload.method === "post") {
  const form = new FormData();
  for (const [name, value] of Object.entries(upload.fields)) form.append(name, value);
  form.append("file", new Blob([sound]));
  return [await etag(upload.url, "POST", form)];
}
if (upload.method === "multipart") {
  const sent = [];
  for (const {number, url, size: length} of upload.parts) {
    const start = (number - 1) * upload.part_size;
    sent.push(await etag(url, "PUT", sound.slice(start, start + length)));
  }
  return sent;
}
// A browser sets the length itself.
const {"Content-Length": _, ...headers} = {...upload.headers, ...more};
return [await etag(upload.url, "PUT", sound, headers)];
"""


@pytest.fixture
def user(server: Server) -> User:
    return server.sign_up()


def announce(user: User, size: int, method: str = "put") -> Any:
    body = {"file_name": "a.m4a", "content_type": "audio/mp4", "size": size}
    return user.ask("POST", "/recordings", json=body | {"upload_method": method}).json()


@pytest.mark.parametrize(
    ("method", "size", "pieces"), [("put", 1000, 1), ("post", 1000, 1), ("multipart", 9_000_000, 2)]
)
def test_a_page_of_another_origin_uploads_and_reads_the_etag(
    browser: Browser, user: User, method: str, size: int, pieces: int
) -> None:
    begun = announce(user, size, method)
    sent = browser.run(SEND, upload=begun["upload"], size=size, more={})

    assert [status for status, _, _ in sent] == [204 if method == "post" else 200] * pieces
    assert all(etag and etag.startswith('"') for _, etag, _ in sent)
    id = begun["recording"]["id"]
    assert user.ask("POST", f"/recordings/{id}/complete").json()["status"] == "ready"
    assert user.play(id).content == bytes(index % 251 for index in range(size))


def test_a_page_plays_what_it_sent(browser: Browser, user: User) -> None:
    id = user.upload(b"0123456789", "a.m4a", "audio/mp4", "put")
    audio = user.ask("GET", f"/recordings/{id}").json()["audio"]
    script = """
const answer = await fetch(url, {headers: {Range: "bytes=2-4"}});
return [answer.status, await answer.text(), answer.headers.get("Content-Range")];
"""
    assert browser.run(script, url=audio["url"]) == [206, "234", "bytes 2-4/10"]


MISTAKES = [
    ({"Authorization": "Bearer ours"}, 400, "InvalidArgument"),
    ({"Content-Type": "audio/ogg"}, 403, "SignatureDoesNotMatch"),
    ({"x-amz-meta-mood": "good"}, 403, "AccessDenied"),
]


@pytest.mark.parametrize(("more", "status", "code"), MISTAKES)
def test_a_page_reads_why_it_was_refused(
    browser: Browser, user: User, more: dict[str, str], status: int, code: str
) -> None:
    upload = announce(user, 1000)["upload"]
    [(answered, _, text)] = browser.run(SEND, upload=upload, size=1000, more=more)
    assert answered == status
    assert f"<Code>{code}</Code>" in text


def test_a_page_reads_that_its_time_was_over(browser: Browser, user: User) -> None:
    upload = announce(user, 1000)["upload"]
    # An hour is the most that the API signs; what is signed for less is refused as what is over.
    late = upload | {"url": upload["url"].replace("X-Amz-Expires=3600", "X-Amz-Expires=0")}
    [(status, _, text)] = browser.run(SEND, upload=late, size=1000, more={})
    assert (status, "Request has expired" in text) == (403, True)


def test_a_page_talks_to_the_api(browser: Browser, server: Server) -> None:
    script = """
const answer = await fetch(`${api}/me`, {headers: {Authorization: "Bearer wrong"}});
return [answer.status, (await answer.json()).code];
"""
    assert browser.run(script, api=server.url) == [401, "not_authenticated"]
