"""Media types (RFC 9110, section 8.3.1): how they are read and compared, and which are taken.

Neither case nor parameters matter here, so a type is compared and answered bare: `audio/webm` is
what `Audio/WebM;codecs=opus` is, which a browser's recorder says.
"""

from __future__ import annotations

import re

# What a form of a page is sent as.
FORM = "application/x-www-form-urlencoded"
# What a direct upload may have, and API Gateway is told is binary: of such it knows 25 at most.
DIRECT = (
    "audio/mp4",
    "audio/m4a",
    "audio/x-m4a",
    "audio/aac",
    "audio/aacp",
    "audio/mpeg",
    "audio/mp3",
    "audio/ogg",
    "audio/opus",
    "audio/webm",
    "audio/wav",
    "audio/x-wav",
    "audio/wave",
    "audio/vnd.wave",
    "audio/flac",
    "audio/x-flac",
    "audio/3gpp",
    "audio/3gpp2",
    "audio/amr",
    "audio/x-caf",
    "audio/aiff",
    "audio/x-aiff",
    "video/mp4",
    "video/webm",
)
# What recorders call sound, besides `audio/...`, since the container is a film's too.
OF_RECORDERS = (
    "video/mp4",
    "video/webm",
    "video/3gpp",
    "video/3gpp2",
    "video/quicktime",
    "application/ogg",
)

# What a file of a type is called, of those that recorders make; others have no ending.
_ENDINGS = {
    "audio/mp4": "m4a",
    "audio/m4a": "m4a",
    "audio/x-m4a": "m4a",
    "audio/aac": "aac",
    "audio/aacp": "aac",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/webm": "webm",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/3gpp": "3gp",
    "audio/3gpp2": "3g2",
    "audio/amr": "amr",
    "audio/x-caf": "caf",
    "audio/aiff": "aiff",
    "audio/x-aiff": "aiff",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/3gpp": "3gp",
    "video/3gpp2": "3g2",
    "video/quicktime": "mov",
    "application/ogg": "ogg",
}

# RFC 6838, section 4.2, has names without the wildcard that RFC 9110's have. What follows them is
# not looked into: browsers write `codecs=vp8,opus`, which RFC 9110 would have in quotes.
_NAME = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
_TYPE = re.compile(rf"[ \t]*({_NAME}/{_NAME})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?", re.ASCII)


def bare(media_type: str) -> str | None:
    """The type and subtype alone, in lower case; None for what is no media type."""
    named = _TYPE.fullmatch(media_type.lower())
    return named[1] if named else None


def same(one: str, other: str) -> bool:
    """Whether two media types differ in no more than case and parameters."""
    return bare(one) is not None and bare(one) == bare(other)


def is_of_sound(media_type: str) -> bool:
    """Whether a recording may be announced with this type."""
    named = bare(media_type) or ""
    return named.startswith("audio/") or named in OF_RECORDERS


def ending(media_type: str) -> str:
    """How the name of a file of this type ends, `.m4a`; nothing for one that is not known."""
    known = _ENDINGS.get(bare(media_type) or "")
    return f".{known}" if known else ""
