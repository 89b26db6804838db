"""The page of a link: it plays without its script, and nothing in it is anybody else's HTML."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.phone import Answer, Phone

SOUND = b"some sound"


def shown(phone: Phone, title: str = "clip.m4a", **fields: object) -> Answer:
    id = phone.upload(SOUND, file_name=title, **fields)
    code = phone.post(f"/recordings/{id}/links", {"show_name": True}).json["code"]
    return Phone().get(f"/s/{code}")


def policy(answer: Answer) -> dict[str, list[str]]:
    directives = answer.headers["content-security-policy"].split("; ")
    return {name: sources for name, *sources in map(str.split, directives)}


def sound(answer: Answer) -> str:
    (source,) = re.findall(r'<audio [^>]*src="([^"]+)"', answer.text)
    return html.unescape(source)


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/html, application/json;q=0.9", False),
        ("application/json;q=0", False),
        ("application/jsonx", False),
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/json, text/plain, */*", True),
        ("application/problem+json", True),
        ("text/html;q=0.5, application/json", True),
        ("application/json;q=many", True),
    ],
)
def test_json_is_for_whoever_asks_for_it_by_its_name(
    nobody: Phone, accept: str | None, json: bool
) -> None:
    answer = nobody.get("/s/nope", headers={} if accept is None else {"Accept": accept})

    kind = "application/problem+json" if json else "text/html"
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"


def test_the_page_plays_without_its_script(phone: Phone) -> None:
    answer = shown(phone)

    assert re.search(r'<audio [^>]*controls preload="metadata"', answer.text)
    assert "X-Amz-Signature" in sound(answer)
    assert '<div id="player" role="group" aria-label="Player" hidden>' in answer.text


def test_the_page_may_load_the_sound_and_its_own_address_and_nothing_else(phone: Phone) -> None:
    answer = shown(phone)
    allowed = policy(answer)
    address = urlsplit(sound(answer))

    assert allowed["media-src"] == [f"{address.scheme}://{address.netloc}"]
    assert allowed["default-src"] == allowed["frame-ancestors"] == ["'none'"]
    for tag in ("script", "style"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert allowed[f"{tag}-src"] == [f"'sha256-{digest}'"]


@pytest.mark.parametrize(
    "title",
    [
        "</title><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{sound}} {{title}} {{nothing}}",
        "'-alert(1)-'",
        "\\1 \\g<0>",
    ],
)
def test_a_title_is_text_whatever_stands_in_it(phone: Phone, title: str) -> None:
    answer = shown(phone, title)

    assert answer.text.count(f"<h1>{html.escape(title)}</h1>") == 1
    assert answer.text.count(f"<title>{html.escape(title)}</title>") == 1
    assert answer.text.count("<script") == 1
    assert answer.text.count("<img") == 0


@pytest.mark.parametrize(
    ("milliseconds", "length"), [(61_000, "1:01"), (3_600_000, "1:00:00"), (400, "0:00")]
)
def test_the_length_is_said(phone: Phone, milliseconds: int, length: str) -> None:
    assert f"<noscript><p>{length}</p></noscript>" in shown(phone, duration_ms=milliseconds).text


def test_nothing_in_it_has_to_be_filled_in_any_more(phone: Phone) -> None:
    assert "{{" not in shown(phone).text
    assert "{{" not in Phone().get("/s/nope").text


@pytest.mark.parametrize("status", [404, 429])
def test_what_cannot_be_heard_is_said_in_plain_text(
    status: int, configure: Any, nobody: Phone
) -> None:
    configure(wrong_codes_per_source=1)
    answers = [nobody.get("/s/nope") for _ in range(2)]

    answer = next(each for each in answers if each.status == status)

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert ("retry-after" in answer.headers) == (status == 429)
    assert re.search(r"<h1>\w[^<]+</h1>\n<p>[A-Z][^<]+\.</p>", answer.text)
    assert policy(answer)["default-src"] == ["'none'"]


def test_a_page_is_not_kept_for_whoever_asks_next(phone: Phone) -> None:
    first, second = shown(phone, "one.m4a"), shown(phone, "two.m4a")

    assert ("one.m4a" in second.text, "two.m4a" in first.text) == (False, False)
    assert first.headers["vary"] == "Accept"
