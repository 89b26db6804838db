"""The page of the web recorder: recorder.html, what it loads, and all that it says.

Every text is in recorder/texts.json, which a translation replaces.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from typing import Any

from chalicelib.api.http import Reply
from chalicelib.api.web import files
from chalicelib.api.web.pages import page

# Of the style that wavesurfer.js makes itself; make browser fails when it is another one.
WAVEFORM_STYLE = "'sha256-XGW/cX2BkTPWNNT3NdyASrPEWZfPnKdPJaJ2aN7R+v8='"

# What is loaded when somebody opens a recording, or looks at their account.
LATER = ("account.js", "player.js", "details.js")
IN_HTML = ("language", "title", "description", "needs_javascript", "messages")


def recorder(root: str, stores: tuple[str, ...]) -> Reply:
    """The page; `root` is what stands before every path, `stores` where recordings are."""
    at = escape(f"{root}/web/{files.recorder()}")
    preloads = "\n".join(
        f'<link rel="modulepreload" href="{at}/{name}">'
        for name in files.modules()
        if name not in LATER
    )
    return page(
        "recorder",
        stores=stores,
        styles=(WAVEFORM_STYLE,),
        at=at,
        preloads=preloads,
        **_texts(),
    )


@cache
def _texts() -> dict[str, str]:
    """Those that stand in the HTML, and all of them for the script, in what cannot end it."""
    texts: dict[str, Any] = json.loads((files.RECORDER / "texts.json").read_text(encoding="utf-8"))
    inside = {name: escape(texts[name]) for name in IN_HTML}
    everything = json.dumps(texts, ensure_ascii=False, separators=(",", ":")).replace(
        "<", "\\u003c"
    )
    return inside | {"texts": everything}
