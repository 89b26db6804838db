"""The pages that the API serves: HTML files beside this one, each with the policy that it needs.

A page names nothing absolute of ours, so that it is the same under every stage's prefix.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache, lru_cache
from hashlib import sha256
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from chalicelib.api.http import Reply


# Some of them have what the request says in them, such as the stage.
@lru_cache(maxsize=32)
def page(
    name: str, /, *, stores: tuple[str, ...] = (), styles: tuple[str, ...] = (), **texts: str
) -> Reply:
    """The page of this file, with each `{{name}}` in it replaced by the text of that name.

    `stores` are the origins that it sends recordings to and plays them from, `styles` the hashes of
    what its libraries make. The texts are ours, and may say what is loaded.
    """
    html = _filled(_html(name), texts)
    return Reply(html, headers={"Content-Security-Policy": _policy(html, stores, styles)})


def page_about(name: str, *, sound: str = "", **said: object) -> Reply:
    """The page of this file with what somebody said in it, none of which is taken for HTML.

    `sound` is the address of what it may play.
    """
    html, policy = _html(name), _policy_of(name)
    if sound:
        address = urlsplit(sound)
        policy += f"; media-src {address.scheme}://{address.netloc}"
    texts = {place: escape(str(text)) for place, text in {**said, "sound": sound}.items()}
    return Reply(_filled(html, texts), headers={"Content-Security-Policy": policy})


@cache
def _html(name: str) -> str:
    return Path(__file__).with_name(f"{name}.html").read_text(encoding="utf-8")


@cache
def _policy_of(name: str) -> str:
    """A page's policy, which nothing that is filled in has a part in."""
    return _policy(_html(name))


def _filled(html: str, texts: Mapping[str, str]) -> str:
    """The HTML with each of its places filled in at once, so that no text has places itself."""
    return re.sub(r"{{(\w+)}}", lambda place: texts[place[1]], html)


def _policy(html: str, stores: tuple[str, ...] = (), styles: tuple[str, ...] = ()) -> str:
    """What allows exactly the scripts and styles that a page has, and calls to this API alone."""
    # A page from elsewhere would be an attack's, so all that it may load is named or hashed.
    scripts = re.findall(r'<script [^>]*?src="([^"]+)"', html)
    sheets = re.findall(r'<link rel="stylesheet" href="([^"]+)"', html)
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(["script-src", *_sources(scripts), *_hashes("script", html)]),
            " ".join(["style-src", *_sources(sheets), *_hashes("style", html), *styles]),
            "img-src 'self' data:",
            " ".join(["connect-src 'self'", *stores]),
            *([" ".join(["media-src blob:", *stores])] if stores else []),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _sources(urls: list[str]) -> list[str]:
    """What is elsewhere, by its address; what is here, by the word for here."""
    return list(dict.fromkeys(url if url.startswith("https:") else "'self'" for url in urls))


def _hashes(tag: str, html: str) -> list[str]:
    inline = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in inline]
