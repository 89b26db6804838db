"""The pages that the API serves: HTML files beside this one, each with the policy that it needs.

A page names nothing absolute of ours, so that it is the same under every stage's prefix.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from chalicelib.api.http import Reply


@cache
def page(name: str, **texts: str) -> Reply:
    """The page of this file, with each `{{name}}` in it replaced by the text of that name."""
    html, policy = _file(name)
    return Reply(_filled(html, texts), headers={"Content-Security-Policy": policy})


def page_about(name: str, *, sound: str = "", **said: object) -> Reply:
    """The page of this file with what somebody said in it, none of which is taken for HTML.

    `sound` is the address of what it may play.
    """
    html, policy = _file(name)
    if sound:
        address = urlsplit(sound)
        policy += f"; media-src {address.scheme}://{address.netloc}"
    texts = {place: escape(str(text)) for place, text in {**said, "sound": sound}.items()}
    return Reply(_filled(html, texts), headers={"Content-Security-Policy": policy})


@cache
def _file(name: str) -> tuple[str, str]:
    """A page's HTML, and its policy, which nothing that is filled in has a part in."""
    html = Path(__file__).with_name(f"{name}.html").read_text(encoding="utf-8")
    return html, _policy(html)


def _filled(html: str, texts: Mapping[str, str]) -> str:
    """The HTML with each of its places filled in at once, so that no text has places itself."""
    return re.sub(r"{{(\w+)}}", lambda place: texts[place[1]], html)


def _policy(html: str) -> str:
    """What allows exactly the scripts and styles that a page has, and calls to this API alone."""
    # A page from elsewhere would be an attack's, so all that it may load is named or hashed.
    scripts = re.findall(r'<script src="(https:[^"]+)"', html)
    styles = re.findall(r'<link rel="stylesheet" href="(https:[^"]+)"', html)
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(["script-src", *scripts, *_hashes("script", html)]),
            " ".join(["style-src", *styles, *_hashes("style", html)]),
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hashes(tag: str, html: str) -> list[str]:
    inline = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in inline]
