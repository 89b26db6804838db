"""Codes of links: ten characters of Crockford's base 32, which are easy to read out.

https://www.crockford.com/base32.html: no I, L, O or U is among them, and what is mistaken for
another character is read as that one.
"""

from __future__ import annotations

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 10
# In place of what somebody may have heard or read.
_READ_AS = str.maketrans({"o": "0", "i": "1", "l": "1", "-": None})
PATTERN = "^[0-9A-TV-Za-tv-z]{5}-?[0-9A-TV-Za-tv-z]{5}$"


def read(text: str) -> str | None:
    """The ten characters that a code is kept by, however it was typed; None when it is none."""
    code = text.strip().lower().translate(_READ_AS)
    return code if len(code) == LENGTH and set(code) <= set(ALPHABET) else None


def shown(code: str) -> str:
    """A code as people see it."""
    return f"{code[:5]}-{code[5:]}"
