"""Titles: what people call a recording, and what a file of that name is called when it is saved."""

from __future__ import annotations

import re
import unicodedata

# A title is one line. The line breaks are Unicode's, but for those that are control characters of
# no keyboard: \v, \f and \x85.
_BREAK = re.compile("\r\n|[\t\n\r\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# What Windows, macOS or Linux has for something else.
_NOT_IN_A_NAME = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|]')
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|(?:COM|LPT)[0-9\xb9\xb2\xb3])(?= *(?:\.|$))", re.I)
# In UTF-8, as most file systems count.
_NAME_BYTES = 255
# What is taken for an ending, and kept when the rest is cut: `.m4a`, `.webm`.
_ENDING = re.compile(r"\.\w{1,10}$", re.ASCII)
NAMELESS = "recording"


def one_line(title: str) -> str:
    """A title in NFC with its tabs and line breaks as spaces; ValueError for another control."""
    line = _BREAK.sub(" ", unicodedata.normalize("NFC", title))
    if _CONTROL.search(line):
        raise ValueError("No control characters")
    return line


def file_name(title: str) -> str:
    """What a file with this title is called: a name that no file system refuses or hides."""
    # Windows drops dots and spaces at the end; those at the beginning hide a file, or lead up.
    name = _NOT_IN_A_NAME.sub("_", title).strip(". ")
    ending = _ENDING.search(name)
    tail = ending[0] if ending else ""
    stem = _cut(name.removesuffix(tail), _NAME_BYTES - len(tail)).rstrip(". ")
    if _DEVICE.match(stem + tail):
        stem = f"_{stem}"
    return (stem or NAMELESS) + tail


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode(errors="ignore")
