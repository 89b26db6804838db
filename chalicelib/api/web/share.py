"""The page of a link: it plays a recording to whoever has the link, or says that it does not."""

from __future__ import annotations

from http import HTTPStatus
from itertools import pairwise

from chalicelib.api.http import Reply
from chalicelib.api.web.pages import page_about
from chalicelib.errors import RecorderError
from chalicelib.models.entities import Opened

# What keeps it out of search engines: whoever posts a link shares it with those who read that.
UNSEEN = {"X-Robots-Tag": "noindex, nofollow, noarchive"}
# Title and text of the page that plays nothing, by the status of what is answered.
SILENT = {
    HTTPStatus.NOT_FOUND: (
        "Nothing to be heard here",
        "This link plays nothing, or not any more. Check its spelling, or ask whoever sent it.",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: (
        "Not right now",
        "Too much was asked for from here, or this link is opened too often. Try again later.",
    ),
}
# As many as are told apart on a phone.
BARS = 200
OTHERWISE = ("Not right now", "Something went wrong here. Try again in a moment.")


def page_of(told: Opened | RecorderError) -> Reply:
    """What is told by a link, as a page."""
    return _silent(told) if isinstance(told, RecorderError) else _player(told)


def _player(opened: Opened) -> Reply:
    shared = opened.shared
    return page_about(
        "share",
        sound=shared.audio.url,
        title=shared.file_name or "A recording",
        type=shared.content_type,
        duration=shared.duration_ms or "",
        length=_length(shared.duration_ms or 0),
        drawn="" if opened.waveform else "hidden",
        wave=_drawn(opened.waveform.seen().data) if opened.waveform else "",
    )


def _silent(error: RecorderError) -> Reply:
    title, text = SILENT.get(HTTPStatus(error.status), OTHERWISE)
    return page_about("silent", title=title, text=text)


def _drawn(pairs: list[int]) -> str:
    """A waveform as the path of an SVG: BARS lines, each from the highest to the lowest there."""
    lowest, highest = pairs[::2], pairs[1::2]
    edges = [len(lowest) * bar // BARS for bar in range(BARS + 1)]
    lines = []
    for bar, (start, end) in enumerate(pairwise(edges)):
        stretch = slice(start, max(end, start + 1))
        top, bottom = max(highest[stretch], default=0), min(lowest[stretch], default=0)
        # Silence is to be seen, too.
        lines.append(f"M{bar} {-top - 1}V{1 - bottom}")
    return "".join(lines)


def _length(milliseconds: int) -> str:
    """A duration as people read it; nothing where it is not known."""
    if not milliseconds:
        return ""
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
