"""The pages that the API serves: HTML files beside this one, each with the policy that it needs.

A page names nothing absolute of ours, so that it is the same under every stage's prefix.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

from chalicelib.api.http import Reply


@cache
def page(name: str, **texts: str) -> Reply:
    """The page of this file, with each `{{name}}` in it replaced by the text of that name."""
    html = Path(__file__).with_name(f"{name}.html").read_text(encoding="utf-8")
    for place, text in texts.items():
        html = html.replace(f"{{{{{place}}}}}", text)
    return Reply(html, headers={"Content-Security-Policy": _policy(html)})


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
