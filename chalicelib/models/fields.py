"""What the fields of requests and answers may hold. Sizes are bytes, durations milliseconds."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta

AUDIO_TYPES = (
    "audio/mp4",
    "audio/m4a",
    "audio/x-m4a",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/opus",
    "audio/webm",
    "audio/wav",
    "audio/x-wav",
    "audio/flac",
    "audio/3gpp",
    "audio/amr",
    "audio/x-caf",
)
# bcrypt looks at 72 bytes and no further.
PASSWORD_BYTES = 72
PASSWORD_CHARACTERS = 8
# RFC 5321, section 4.5.3.1.3: a path has 256 octets, of which its brackets take two.
EMAIL_BYTES = 254
# The largest integer that every JSON parser keeps exactly (RFC 8259, section 6).
LARGEST_INTEGER = 2**53 - 1

MIB = 1024 * 1024
# Above this an upload goes in parts unless it is asked for otherwise: a lost connection then costs
# a part, and parts go side by side.
LARGEST_WHOLE = 100 * MIB
# S3's own limit for each part but the last.
SMALLEST_PART = 5 * MIB

# Python's `$` also matches before a final newline, which the lookahead rules out.
_END = r"$(?!\n)"
_PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*" + _END

Email = Annotated[
    str,
    Meta(
        max_length=EMAIL_BYTES,
        pattern=r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+" + _END,
        description="As RFC 5321 and 6531 allow; every spelling is the same address.",
        examples=["ann@example.com"],
    ),
]
# Before it is composed, a character may be several: the bytes are counted afterwards.
_MOST_CODE_POINTS = 4 * PASSWORD_BYTES
Password = Annotated[str, Meta(min_length=1, max_length=_MOST_CODE_POINTS)]
NewPassword = Annotated[
    str,
    Meta(
        min_length=PASSWORD_CHARACTERS,
        max_length=_MOST_CODE_POINTS,
        description="8 characters to 72 bytes in UTF-8.",
        examples=["correct horse battery"],
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=_PLAIN)]
Device = Annotated[str, Meta(min_length=1, max_length=100, pattern=_PLAIN)]
Token = Annotated[str, Meta(min_length=1, max_length=1000)]
Cursor = Annotated[
    str, Meta(max_length=300, description="The `cursor` of the last answer; all there is without.")
]
RecordingId = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}"
        r"-[0-9a-fA-F]{12}" + _END,
        description="A UUIDv7 (RFC 9562).",
        examples=["019a8f3e-7c1d-7f00-8a3b-5c6d7e8f9a0b"],
    ),
]
FileName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=r"^(?!\.{1,2}$)[^\x00-\x1f\x7f-\x9f/\\]+" + _END,
        description="No control characters, no path.",
        examples=["meeting.m4a"],
    ),
]
# Any other string is answered with 415 rather than 400, so the type alone does not refuse it.
ContentType = Annotated[str, Meta(extra_json_schema={"enum": list(AUDIO_TYPES)})]
Size = Annotated[int, Meta(ge=1, description="Bytes.")]
Sha256 = Annotated[
    str,
    Meta(pattern=r"^[0-9a-f]{64}" + _END, description="64 lower-case hexadecimal digits."),
]
Milliseconds = Annotated[int, Meta(ge=0, le=LARGEST_INTEGER, description="Milliseconds.")]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339.")]
Tag = Annotated[str, Meta(min_length=1, max_length=100, pattern=_PLAIN)]
Tags = Annotated[list[Tag], Meta(max_length=50)]
Notes = Annotated[str, Meta(max_length=4000)]
# RFC 9110, section 13.1.1, of which one version is enough.
IfMatch = Annotated[
    str,
    Meta(
        pattern=r'^(\*|"[0-9]{1,15}")' + _END,
        description="The version that is to be changed; `*` is any.",
        examples=['"3"'],
    ),
]
UploadMethod = Literal["put", "post", "multipart"]
Store = Literal["uploads", "recordings"]
Debt = Literal["parts", "uploads", "recordings"]
LetterKind = Literal["confirmation", "reset"]
Status = Literal["uploading", "ready", "trashed"]


class InvalidField(ValueError):
    """A rule that no type can state was broken; names the field within its struct."""

    def __init__(self, field: str, message: str) -> None:
        """Say which field of the struct being parsed is wrong, and how."""
        super().__init__(message)
        self.field = field


def normal_form(field: str, value: str, most_bytes: int) -> str:
    """The value in NFC; InvalidField when that has more bytes in UTF-8 than allowed."""
    # The same word typed on two keyboards may differ in code points: RFC 8265 has NFC for both.
    value = unicodedata.normalize("NFC", value)
    if len(value.encode()) > most_bytes:
        raise InvalidField(field, f"Longer than {most_bytes} bytes in UTF-8")
    return value


def typed_address(field: str, value: str) -> str:
    """What was typed for an e-mail address, in NFC; InvalidField when it is too long for one."""
    value = normal_form(field, value, EMAIL_BYTES)
    # NFKC makes eleven bytes of some, and what is stored under an address has a key of its bytes.
    normal_form(field, comparable(value), EMAIL_BYTES)
    return value


def address(field: str, value: str) -> str:
    """An e-mail address in NFC; InvalidField when there can be no such address."""
    # Not at the top: it takes 30 ms, and only a sign-up needs it.
    import email_validator

    value = typed_address(field, value)
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
        raise InvalidField(field, "Not an e-mail address") from error
    return value


def comparable(email: str) -> str:
    """What is the same for every spelling of an address."""
    local, at, domain = email.rpartition("@")
    return f"{folded(local)}{at}{in_ascii(domain)}"


def folded(text: str) -> str:
    """What is the same for every spelling of a text (Unicode 16, definition D146)."""
    text = unicodedata.normalize("NFD", text)
    for _ in range(2):  # What is composed or replaced may have another case to be folded.
        text = unicodedata.normalize("NFKC", text.casefold())
    return text


def in_ascii(domain: str) -> str:
    """A domain as DNS knows it, by A-labels (IDNA 2008); one that it cannot know in lower case."""
    if not domain.isascii():
        # Not at the top, since few domains need it. Python's own codec is of 2003, and takes some
        # domains for others: "straße.de" for "strasse.de".
        import idna

        with suppress(idna.IDNAError):
            domain = idna.encode(domain, uts46=True).decode()
    return domain.lower().rstrip(".")


def in_utc(field: str, value: datetime) -> datetime:
    """The same instant in UTC; InvalidField when UTC has no such year."""
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidField(field, "Out of range") from error
