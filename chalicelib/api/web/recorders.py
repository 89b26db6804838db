"""The page of the web recorder: recorder.html, what it loads, and all that it says.

Every text is in recorder/texts.json, which a translation replaces.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from typing import Any

import msgspec
from msgspec import Struct

from chalicelib.api.http import Reply
from chalicelib.api.web import files
from chalicelib.api.web.pages import page
from chalicelib.models.fields import Provider

# Of the style that wavesurfer.js makes itself; make browser fails when it is another one.
WAVEFORM_STYLE = "'sha256-XGW/cX2BkTPWNNT3NdyASrPEWZfPnKdPJaJ2aN7R+v8='"

# What is loaded when somebody plays, or looks at their account; providers.js where it is of use.
LATER = ("account.js", "player.js")
IN_HTML = ("language", "title", "description", "needs_javascript", "messages")


class Door(Struct, frozen=True):
    """Where the page sends people who sign in with a provider, and as which of our apps."""

    provider: Provider
    url: str
    client_id: str


def recorder(root: str, stores: tuple[str, ...], doors: tuple[Door, ...] = ()) -> Reply:
    """The page; `root` is what stands before every path, `stores` where recordings are."""
    at = escape(f"{root}/web/{files.recorder()}")
    later = LATER if doors else (*LATER, "providers.js")
    preloads = "\n".join(
        f'<link rel="modulepreload" href="{at}/{name}">'
        for name in files.modules()
        if name not in later
    )
    return page(
        "recorder",
        stores=stores,
        styles=(WAVEFORM_STYLE,),
        at=at,
        preloads=preloads,
        doors=_in_script(doors),
        **_texts(),
    )


@cache
def _texts() -> dict[str, str]:
    """Those that stand in the HTML, and all of them for the script, in what cannot end it."""
    texts: dict[str, Any] = json.loads((files.RECORDER / "texts.json").read_text(encoding="utf-8"))
    inside = {name: escape(texts[name]) for name in IN_HTML}
    return inside | {"texts": _in_script(texts)}


def _in_script(value: object) -> str:
    """It as JSON, in which nothing can end the script that it is in."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")
