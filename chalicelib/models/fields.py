"""What the fields of requests and answers may hold. Sizes are bytes, durations milliseconds."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

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
# The largest piece of what is sent while it is recorded: from 5 MiB on S3 puts pieces together by
# itself, and smaller ones have to fit into the memory of a function, some at a time.
PIECE_BYTES = 8 * MIB
# What one call announces: five minutes of pieces of six seconds, or an answer of 100 kB.
PIECES_AT_ONCE = 50
# The longest text that has one line and is neither a title nor a name: an address, a token.
LONGEST_LINE = 1000
# Providers' have one or two thousand; what no provider would make is not looked at.
ID_TOKEN_CHARACTERS = 16_384
TITLE_CHARACTERS = 255
TAG_CHARACTERS = 100
NAME_CHARACTERS = 100
NOTES_CHARACTERS = 4000
DEVICE_CHARACTERS = 100
SEARCH_CHARACTERS = 200

# The combining marks that letters are composed with, and those of Hebrew and Arabic that say how
# they are spoken; Arabic also draws words out.
_ACCENT = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670]"
)
# Letters whose mark Unicode does not take for one, and what is written for them without it.
_UNMARKED = str.maketrans(
    {
        "ø": "o",
        "đ": "d",
        "ħ": "h",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
        "ł": "l",
        "ŧ": "t",
        "æ": "ae",
        "œ": "oe",
    }
)

# What a waveform has at most, so that a screen's width is drawn of two or three each.
MOST_PAIRS = 2000

# Python's `$` also matches before a final newline, which the lookahead rules out.
_END = r"$(?!\n)"

# What is checked only once it is brought into its one form is not said by a type, but in what is
# published: white space about an address, for one, is no part of it.
Email = Annotated[
    str,
    Meta(
        max_length=LONGEST_LINE,
        description="As RFC 5321 and 6531 allow; every spelling is the same address.",
        examples=["ann@example.com"],
        extra_json_schema={"maxLength": EMAIL_BYTES},
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
Name = Annotated[str, Meta(extra_json_schema={"maxLength": NAME_CHARACTERS})]
Device = Annotated[
    str, Meta(description=f"What is beyond {DEVICE_CHARACTERS} characters is cut off.")
]
Token = Annotated[str, Meta(min_length=1, max_length=LONGEST_LINE)]
FormerToken = Annotated[str, Meta(description="What is none counts for nothing.")]
# What is none is answered with 401 rather than 400, so its type does not refuse it.
IdToken = Annotated[
    str,
    Meta(
        description="What the provider's own library gave the app.",
        extra_json_schema={"maxLength": ID_TOKEN_CHARACTERS},
    ),
]
Nonce = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_LINE,
        description="What the app had put into the id token: for Google this very text, for Apple "
        "its SHA-256 in hexadecimal.",
    ),
]
AuthorizationCode = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_LINE,
        description="What Apple gave beside the id token; with it Apple is told, in the end, that "
        "the account was deleted.",
    ),
]
RedirectUri = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_LINE,
        description="Where Apple sent the browser with the `authorization_code`, if one was sent: "
        "Apple takes the code with that alone.",
    ),
]
# Generators make nothing that compiles of a union of an object and an array, nor of no word on it.
Conditions = Annotated[
    list[Any],
    Meta(
        max_length=50,
        description='Each an object with one field, or `["content-length-range", least, most]`.',
        extra_json_schema={"items": {}},
    ),
]
LinkSeconds = Annotated[int, Meta(ge=60, le=365 * 86_400, description="Seconds from now.")]
LinkCode = Annotated[
    str,
    Meta(
        description="Ten characters of Crockford's base 32; case and hyphens do not matter.",
        examples=["7k2mq-x04bd"],
    ),
]
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
        description="A title, of one line; no path.",
        examples=["meeting.m4a"],
        extra_json_schema={"minLength": 1, "maxLength": TITLE_CHARACTERS},
    ),
]
# What is none that is taken is answered with 415 rather than 400, so its type does not refuse it.
ContentType = Annotated[
    str,
    Meta(
        description="Any `audio/...`, or one of `video/mp4`, `video/webm`, `video/3gpp`, "
        "`video/3gpp2`, `video/quicktime` and `application/ogg`. Neither case nor parameters "
        "matter.",
        examples=["audio/mp4"],
    ),
]
Size = Annotated[int, Meta(ge=1, description="Bytes.")]
Sha256 = Annotated[
    str,
    Meta(pattern=r"^[0-9a-fA-F]{64}" + _END, description="64 hexadecimal digits."),
]
PartNumber = Annotated[int, Meta(ge=1, le=10_000)]
WebName = Annotated[str, Meta(description="As a page says it.", examples=["main.js"])]
# What stands in a path and is no id. A string may be anything there: what is none finds nothing.
IN_PATH: dict[str, Any] = {
    "number": PartNumber,
    "code": LinkCode,
    "folder": WebName,
    "name": WebName,
}
Milliseconds = Annotated[int, Meta(ge=0, le=LARGEST_INTEGER, description="Milliseconds.")]
Instant = Annotated[
    str,
    Meta(
        description="RFC 3339 in UTC, with three decimals.",
        examples=["2026-11-28T20:51:39.000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
if TYPE_CHECKING:
    GivenInstant = datetime
else:
    # A text until its form is made of it: msgspec itself reads none without seconds.
    GivenInstant = Annotated[
        str,
        Meta(
            description="RFC 3339, with an offset; seconds and fraction may be left out.",
            examples=["2026-11-28T20:51:39Z"],
            extra_json_schema={"format": "date-time"},
        ),
    ]
Tag = Annotated[
    str,
    Meta(min_length=1, extra_json_schema={"maxLength": TAG_CHARACTERS}),
]
Tags = Annotated[list[Tag], Meta(max_length=50)]
Search = Annotated[
    str,
    Meta(
        description="Words, each of which stands in the file name, the notes or a tag, in whatever "
        "case and accent form.",
        extra_json_schema={"maxLength": SEARCH_CHARACTERS},
    ),
]
Notes = Annotated[str, Meta(extra_json_schema={"maxLength": NOTES_CHARACTERS})]
# RFC 9110, section 13.1.1, of which one version is enough.
IfMatch = Annotated[
    str,
    Meta(
        # Gateways that compress an answer on its way have its ETag weak.
        pattern=r'^(\*|(W/)?"[0-9]{1,15}")' + _END,
        description="The version that is to be changed; `*` is any.",
        examples=['"3"'],
    ),
]
# What a process says that met hostile bytes: as long as such words are.
Word = Annotated[str, Meta(max_length=40)]
# Whose events they are that the app puts on the bus; AWS's own have names that are theirs alone.
EVENT_SOURCE = "recorder"
# What people say about a recording; None takes it away.
Told = str | int | datetime | list[str] | None
UploadMethod = Literal["put", "post", "multipart", "live"]
Store = Literal["uploads", "recordings"]
Debt = Literal["parts", "uploads", "recordings"]
Provider = Literal["google", "apple"]
PROVIDERS: tuple[Provider, ...] = ("google", "apple")
Way = Literal["password", "google", "apple"]
LetterKind = Literal[
    "confirmation",
    "reset",
    "change",
    "changing",
    "google_added",
    "apple_added",
    "google_removed",
    "apple_removed",
    "password_removed",
]
Status = Literal["uploading", "ready", "trashed"]


class InvalidField(ValueError):
    """A rule that no type can state was broken; names the field within its struct."""

    def __init__(self, field: str, message: str) -> None:
        """Say which field of the struct being parsed is wrong, and how."""
        super().__init__(message)
        self.field = field


def rfc3339(at: datetime) -> str:
    """A time as answers have it. Always with three decimals: clients' parsers take one shape."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def end_of_url(now: datetime, seconds: int) -> str:
    """When a URL that is signed now is good no more: a signature has whole seconds."""
    return rfc3339(now.replace(microsecond=0) + timedelta(seconds=seconds))


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


def searchable(text: str) -> str:
    """What is the same for every spelling of a text that people take for the same in a search.

    Of the marks that letters are composed with it drops those of Latin, Greek and Cyrillic, and of
    Hebrew and Arabic the vowels; in other scripts they make another letter.
    """
    if text.isascii():
        return text.lower()
    bare = _ACCENT.sub("", unicodedata.normalize("NFD", folded(text)))
    return unicodedata.normalize("NFC", bare.translate(_UNMARKED))


def in_ascii(domain: str) -> str:
    """A domain as DNS knows it, by A-labels (IDNA 2008); one that it cannot know in lower case."""
    if not domain.isascii():
        # Not at the top, since few domains need it. Python's own codec is of 2003, and takes some
        # domains for others: "straße.de" for "strasse.de".
        import idna

        with suppress(idna.IDNAError):
            domain = idna.encode(domain, uts46=True).decode()
    return domain.lower().rstrip(".")
