"""The page at /docs runs the code we pinned, under a policy that allows nothing else."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from chalicelib.api.web import documents, files
from tests.support.phone import Phone

Element = tuple[str, dict[str, str]]


class _Page(HTMLParser):
    """The elements of a page, and their text as a browser would hash it."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.texts: list[tuple[str, str]] = []
        self.open, self.text = "", ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.open, self.text = tag, ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        if self.open == tag:
            self.texts.append((tag, self.text))

    def find(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each such element, in order."""
        return [attrs for name, attrs in self.elements if name == tag]

    def inside(self, tag: str) -> list[str]:
        """The text of each such element that is not empty, in order."""
        return [text for name, text in self.texts if name == tag and text]

    def loaded(self, tag: str) -> list[dict[str, str]]:
        """The scripts or the style sheets that come from elsewhere."""
        if tag == "script":
            return [attrs for attrs in self.find("script") if "src" in attrs]
        return [attrs for attrs in self.find("link") if "stylesheet" in attrs.get("rel", "")]


DOCS = documents.from_cdn()
PAGE, CONTENT_SECURITY_POLICY = str(DOCS.value), DOCS.headers["Content-Security-Policy"]
page = _Page(PAGE)
policy = {
    name: sources
    for name, *sources in (part.split() for part in CONTENT_SECURITY_POLICY.split("; "))
}
external = page.loaded("script") + page.loaded("style")


def _url(attrs: dict[str, str]) -> str:
    return attrs.get("src") or attrs["href"]


@pytest.mark.parametrize("attrs", external, ids=_url)
def test_what_comes_from_elsewhere_is_one_exact_version_with_its_hash(
    attrs: dict[str, str],
) -> None:
    algorithm, _, digest = attrs["integrity"].partition("-")

    exact = r"https://cdn\.jsdelivr\.net/npm/swagger-ui-dist@\d+\.\d+\.\d+/"
    assert re.match(exact, _url(attrs))
    assert (algorithm, len(b64decode(digest, validate=True))) == ("sha384", 48)
    assert attrs["crossorigin"] == "anonymous"


@pytest.mark.parametrize("kind", ["script", "style"])
def test_the_policy_allows_exactly_what_is_on_the_page(kind: str) -> None:
    urls = {_url(attrs) for attrs in page.loaded(kind)}
    hashes = {
        f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
        for text in page.inside(kind)
    }

    assert urls
    assert hashes
    assert set(policy[f"{kind}-src"]) == urls | hashes


def test_the_policy_is_one_header_line_and_has_no_way_around_it() -> None:
    assert CONTENT_SECURITY_POLICY.isascii()
    assert CONTENT_SECURITY_POLICY.isprintable()
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "*" not in CONTENT_SECURITY_POLICY
    for directive in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert policy[directive] == ["'none'"]
    assert policy["connect-src"] == ["'self'"]


def test_nothing_on_the_page_is_what_the_policy_would_refuse() -> None:
    names = {name for _, attrs in page.elements for name in attrs}

    assert [name for name in names if name.startswith("on") or name == "style"] == []
    assert page.find("base") == []


def test_the_description_is_found_under_any_stage_prefix_and_told_to_nobody() -> None:
    (script,) = page.inside("script")
    found = {"./openapi.json", "../openapi.json"}

    assert set(re.findall(r'"([^"]*openapi\.json)"', script)) == found
    assert [attrs["href"] for attrs in page.find("a")] == ["./openapi.json"] * 2
    assert set(re.findall(r"https?://[^/\"']+", PAGE)) == {"https://cdn.jsdelivr.net"}
    # A public validator would be sent the address.
    assert "validatorUrl: null" in script


def test_the_page_can_be_read_by_anybody() -> None:
    (viewport,) = [each["content"] for each in page.find("meta") if each.get("name") == "viewport"]
    (noscript,) = re.findall(r"<noscript>(.*?)</noscript>", PAGE, re.DOTALL)

    assert page.find("html") == [{"lang": "en"}]
    assert page.inside("title") == ["Recorder API"]
    assert "width=device-width" in viewport
    assert "maximum-scale" not in viewport
    assert 'href="./openapi.json"' in noscript


# Where it is installed


def test_a_laptop_has_the_renderer_from_its_own_api(phone: Phone) -> None:
    shown = phone.get("/docs")
    assert set(re.findall(r"https?://[^/\"']+", shown.text)) == set()
    policy = shown.headers["content-security-policy"]
    assert "script-src 'self' 'sha256-" in policy
    assert "style-src 'self' 'sha256-" in policy
    loaded = _Page(shown.text)
    for attrs in loaded.loaded("script") + loaded.loaded("style"):
        assert phone.get(_url(attrs)).status == 200


def test_where_it_is_not_installed_it_is_the_cdns(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "swagger_ui", lambda: None)
    assert phone.get("/docs").text == PAGE
