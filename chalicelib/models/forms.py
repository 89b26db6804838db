"""The one form that each value is brought into before it is used, whatever it was sent as.

What is the same looks the same afterwards. Each form raises ValueError, which says what is wrong;
as InvalidField it says where in the value, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime

from chalicelib.models import media_types, titles
from chalicelib.models.fields import (
    DEVICE_CHARACTERS,
    EMAIL_BYTES,
    ID_TOKEN_CHARACTERS,
    LONGEST_LINE,
    NAME_CHARACTERS,
    NOTES_CHARACTERS,
    PASSWORD_BYTES,
    PASSWORD_CHARACTERS,
    SEARCH_CHARACTERS,
    TAG_CHARACTERS,
    TITLE_CHARACTERS,
    InvalidField,
    comparable,
)

_ADDRESS = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+")
# A plus sign that was put into a query as it is arrives as a space.
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)(?:([Zz])|([+ -])(\d\d):?(\d\d)?)",
    re.ASCII,
)
_LEAP = re.compile("(?<=:[0-5][0-9]):60")
_NO_INSTANT = "Not a time with its offset, such as 2026-11-28T20:51:39Z"


def composed(value: str) -> str:
    """The text in NFC."""
    # The same word typed on two keyboards may differ in code points: RFC 8265 has NFC for both.
    return unicodedata.normalize("NFC", value)


def trimmed(value: str) -> str:
    """The text without white space about it, nor the invisible marks that are copied with it."""
    blank = [_is_blank(character) for character in value]
    if all(blank):
        return ""
    return value[blank.index(False) : len(value) - blank[::-1].index(False)]


def typed_address(value: str) -> str:
    """What was typed for an e-mail address, trimmed and in NFC."""
    value = composed(trimmed(value))
    if not _ADDRESS.fullmatch(value):
        raise ValueError("Not an e-mail address")
    # NFKC makes eleven bytes of some, and what is stored under an address has a key of its bytes.
    for spelling in (value, comparable(value)):
        _check_bytes(spelling, EMAIL_BYTES)
    return value


def address(value: str) -> str:
    """An e-mail address that can be one, trimmed and in NFC."""
    # Not at the top: it takes 30 ms, and only a sign-up needs it.
    import email_validator

    value = typed_address(value)
    # Names such as `localhost` and `.test` are what development uses; the library asks those who
    # allow them to take them off its list.
    email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
    try:
        # Whether its domain takes mail is for the mail to find out.
        email_validator.validate_email(
            value, check_deliverability=False, globally_deliverable=False, strict=True
        )
    except email_validator.EmailNotValidError as error:
        # Its message quotes the address.
        raise ValueError("Not an e-mail address") from error
    return value


def password(value: str) -> str:
    """A password in NFC. White space is a part of it."""
    value = composed(value)
    _check_bytes(value, PASSWORD_BYTES)
    return value


def new_password(value: str) -> str:
    """A password that is to be set, in NFC."""
    value = password(value)
    # Composed, it may have fewer characters than were sent.
    if len(value) < PASSWORD_CHARACTERS:
        raise ValueError(f"Shorter than {PASSWORD_CHARACTERS} characters")
    return value


def name(value: str) -> str | None:
    """What somebody is called, on one line; None for nothing."""
    return _at_most(NAME_CHARACTERS, trimmed(titles.one_line(value))) or None


def former_token(value: str) -> str | None:
    """A token that was had before, trimmed; None for what can be none."""
    return (trimmed(value) or None) if len(value) <= LONGEST_LINE else None


def id_token(value: str) -> str:
    """An id token, trimmed; empty for what is too long to be one."""
    return trimmed(value) if len(value) <= ID_TOKEN_CHARACTERS else ""


def device(value: str) -> str | None:
    """What a device calls itself, on one line and cut to length; None for nothing."""
    # It may be the model's name as its maker has it, so that nobody could mend it.
    line = "".join(" " if _is_control(each) else each for each in value[:LONGEST_LINE])
    return trimmed(composed(trimmed(line))[:DEVICE_CHARACTERS]) or None


def title(value: str) -> str:
    """What a recording is called, on one line."""
    value = titles.one_line(value)
    if not value:
        raise ValueError("Empty")
    return _at_most(TITLE_CHARACTERS, value)


def tags(value: list[str]) -> list[str]:
    """Each of them as `tag` has it; InvalidField says which is none."""
    return [tag(each, f"[{place}]") for place, each in enumerate(value)]


def tag(value: str, place: str = "") -> str:
    """A tag in NFC and on one line, trimmed."""
    try:
        line = trimmed(titles.one_line(value))
    except ValueError as error:
        raise InvalidField(place, str(error)) from error
    if not line:
        raise InvalidField(place, "Empty")
    return _at_most(TAG_CHARACTERS, line, place)


def search(value: str) -> str:
    """What is searched for, in NFC."""
    return _at_most(SEARCH_CHARACTERS, composed(value))


def notes(value: str) -> str:
    """Notes in NFC."""
    return _at_most(NOTES_CHARACTERS, composed(value))


def media_type(value: str) -> str:
    """A media type, bare; what is none stays as it is, for whoever says which are taken."""
    return media_types.bare(value) or value


def lower(value: str) -> str:
    """The text in lower case."""
    return value.lower()


def instant(value: str | datetime) -> datetime:
    """A time in UTC, to the millisecond."""
    if isinstance(value, str):
        value = _read_instant(value)
    return in_utc(value).replace(microsecond=value.microsecond // 1000 * 1000)


def in_utc(value: datetime) -> datetime:
    """The same instant in UTC."""
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("Out of range") from error


def _read_instant(value: str) -> datetime:
    given = _INSTANT.fullmatch(value)
    if not given:
        raise ValueError(_NO_INSTANT)
    day, time, utc, sign, hours, minutes = given.groups()
    offset = "Z" if utc else f"{sign.replace(' ', '+')}{hours}:{minutes or '00'}"
    try:
        # A leap second has no other name here than the one before it.
        return datetime.fromisoformat(f"{day}T{_LEAP.sub(':59', time)}{offset}")
    except ValueError as error:
        raise ValueError(_NO_INSTANT) from error


def _check_bytes(value: str, most: int) -> None:
    if len(value.encode()) > most:
        raise ValueError(f"Longer than {most} bytes in UTF-8")


def _at_most(most: int, value: str, place: str = "") -> str:
    if len(value) > most:
        raise InvalidField(place, f"Longer than {most} characters")
    return value


def _is_blank(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == "Cf"


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Zl", "Zp"}


Form = Callable[..., object]
