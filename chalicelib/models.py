"""Requests, responses and entities, as typed structs.

A request refuses unknown fields and values out of bounds while it is parsed, so what reaches
a use case is whole. Sizes are bytes, durations milliseconds, times UTC.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

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

# Python's `$` also matches before a final newline, which the lookahead rules out.
_END = r"$(?!\n)"
_PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*" + _END

Email = Annotated[
    str,
    Meta(
        max_length=EMAIL_BYTES,
        pattern=r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+" + _END,
        description="Compared without case.",
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

UploadMethod = Literal["put", "post"]
Status = Literal["uploading", "ready", "trashed"]


class InvalidField(ValueError):
    """A rule that no type can state was broken; names the field within its struct."""

    def __init__(self, field: str, message: str) -> None:
        """Say which field of the struct being parsed is wrong, and how."""
        super().__init__(message)
        self.field = field


class Request(Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of what people send."""


class SignUp(Request):
    """A new account."""

    email: Email
    password: NewPassword
    name: Name | None = None

    def __post_init__(self) -> None:
        """Bring address and password into the one form that is kept of each."""
        self.email = _normal("email", self.email, EMAIL_BYTES)
        self.password = _normal("password", self.password, PASSWORD_BYTES)
        if len(self.password) < PASSWORD_CHARACTERS:
            raise InvalidField("password", f"Shorter than {PASSWORD_CHARACTERS} characters")


class Credentials(Request):
    """Who wants to log in, and on which device."""

    email: Email
    password: Password
    device: Device | None = None

    def __post_init__(self) -> None:
        """Bring address and password into the one form that is kept of each."""
        self.email = _normal("email", self.email, EMAIL_BYTES)
        self.password = _normal("password", self.password, PASSWORD_BYTES)


class RefreshToken(Request):
    """The refresh token that the last sign-up, log-in or refresh gave."""

    refresh_token: Token


class ProfileChange(Request):
    """What people change about themselves; null takes the name away."""

    name: Name | None


class NewRecording(Request):
    """A recording to be uploaded: what it is, before its bytes arrive."""

    file_name: FileName
    content_type: ContentType
    size: Size
    id: RecordingId | None = None
    sha256: Sha256 | None = None
    recorded_at: Instant | None = None
    duration_ms: Milliseconds | None = None
    tags: Tags = []
    notes: Notes | None = None
    upload_method: UploadMethod = "put"

    def __post_init__(self) -> None:
        """Write the id and the time in their one form."""
        if self.id is not None:
            self.id = self.id.lower()
        if self.recorded_at is not None:
            self.recorded_at = _utc("recorded_at", self.recorded_at)


class DirectUpload(Request):
    """The query of a direct upload; its body is the bytes."""

    file_name: FileName


class Completion(Request):
    """Nothing to say: the server looks at what arrived."""


class RecordingChange(Request):
    """What changes; what is left out stays, and null takes the notes away."""

    file_name: FileName | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    notes: Notes | UnsetType | None = UNSET


class ShelfQuery(Request):
    """Which page of which shelf."""

    status: Status = "ready"
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    after: RecordingId | UnsetType = UNSET
    order: Literal["asc", "desc"] = "desc"

    def __post_init__(self) -> None:
        """Write the id in its one form."""
        if self.after is not UNSET:
            self.after = self.after.lower()


class DeletionQuery(Request):
    """How to delete."""

    permanent: Annotated[
        bool, Meta(description="Skip the trash. There is no trash yet: every deletion is for good.")
    ] = False


class Usage(Struct, kw_only=True, frozen=True):
    """What a user keeps, and may keep."""

    bytes: int
    recordings: int
    quota_bytes: int


class User(Struct, kw_only=True, frozen=True):
    """A user as they see themselves."""

    id: str
    email: str
    name: str | None
    created_at: Instant
    usage: Usage


class SignedIn(Struct, kw_only=True, frozen=True):
    """A session's tokens, and whose they are."""

    user: User
    access_token: str
    refresh_token: str
    expires_in: Annotated[int, Meta(description="Seconds the access token lasts.")]
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme's name, not a secret


class Recording(Struct, kw_only=True, frozen=True):
    """A recording as its owner sees it; what does not apply is left out."""

    id: RecordingId
    file_name: str
    content_type: str
    size: int
    status: Status
    created_at: Instant
    updated_at: Instant
    version: int
    tags: list[str]
    sha256: str | UnsetType = UNSET
    duration_ms: int | UnsetType = UNSET
    recorded_at: Instant | UnsetType = UNSET
    notes: str | UnsetType = UNSET
    upload_expires_at: Instant | UnsetType = UNSET
    purge_at: Instant | UnsetType = UNSET


class Audio(Struct, kw_only=True, frozen=True):
    """Where the bytes are to be had; the URL answers Range requests."""

    url: str
    expires_at: Instant


class PlayableRecording(Recording, kw_only=True, frozen=True):
    """A recording, with its audio when it is ready."""

    audio: Audio | UnsetType = UNSET


class PutUpload(Struct, kw_only=True, frozen=True, tag_field="method", tag="put"):
    """Send the file as the body, with exactly these headers."""

    url: str
    headers: dict[str, str]
    expires_at: Instant


class PostUpload(Struct, kw_only=True, frozen=True, tag_field="method", tag="post"):
    """Send a multipart/form-data form: these fields, then the file as `file`."""

    url: str
    fields: dict[str, str]
    expires_at: Instant


Upload = PutUpload | PostUpload


class BegunUpload(Struct, kw_only=True, frozen=True):
    """A recording and how to send its bytes; `upload` is null once it is ready."""

    recording: Recording
    upload: Upload | None


class RecordingPage(Struct, kw_only=True, frozen=True):
    """A page of recordings; `next` is what `after` takes for the next one, null on the last."""

    recordings: list[Recording]
    next: str | None


class Health(Struct, kw_only=True, frozen=True):
    """That the API answers, and which version of it."""

    status: Literal["ok"]
    version: str


class Account(Struct, kw_only=True, frozen=True):
    """A user as the table holds them."""

    id: str
    email: str
    password_hash: str
    created_at: datetime
    name: str | None = None
    bytes_used: int = 0
    recordings_used: int = 0


class Session(Struct, kw_only=True, frozen=True):
    """A logged-in device; no refresh token can be read from what is kept of them."""

    id: str
    user_id: str
    refresh_hash: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    token_key: str
    """What its refresh tokens are tagged with, to know an old one from one that was made up."""
    device: str | None = None
    replaced_hash: str | None = None
    """The hash of the token that was replaced last."""
    sealed_replacement: str | None = None
    """The token that replaced it, encrypted under the one that was replaced."""


class StoredRecording(Struct, kw_only=True, frozen=True):
    """A recording as the table holds it: what its owner sees, and what moves it along."""

    id: str
    user_id: str
    file_name: str
    content_type: str
    size: int
    status: Status
    created_at: datetime
    updated_at: datetime
    version: int
    fingerprint: str
    upload_method: Literal["put", "post", "direct"]
    tags: list[str] = []
    sha256: str | None = None
    duration_ms: int | None = None
    recorded_at: datetime | None = None
    notes: str | None = None
    upload_expires_at: datetime | None = None
    completed_at: datetime | None = None
    purge_at: datetime | None = None

    def seen(self) -> Recording:
        """The recording as its owner sees it."""
        given = {
            field: value
            for field in Recording.__struct_fields__
            if (value := getattr(self, field)) is not None
        }
        return Recording(**given)


Store = Literal["uploads", "recordings"]


class Tombstone(Struct, kw_only=True, frozen=True):
    """What is left of a deleted recording: its id, the time, and what is still owed to S3."""

    id: str
    user_id: str
    updated_at: datetime
    version: int
    owes: list[Store] = []
    """The buckets from which its bytes have yet to be deleted for certain."""
    due_at: datetime | None = None
    """When no function that was under way at the deletion can still be running."""
    status: Literal["deleted"] = "deleted"


class StoredObject(Struct, frozen=True, kw_only=True):
    """What S3 says of an object."""

    size: int
    content_type: str
    etag: str
    sha256: str | None
    """Lower-case hexadecimal; None when S3 was not asked to keep one."""
    version_id: str


def _normal(field: str, value: str, most_bytes: int) -> str:
    # The same word typed on two keyboards may differ in code points: RFC 8265 has NFC for both.
    value = unicodedata.normalize("NFC", value)
    if len(value.encode()) > most_bytes:
        raise InvalidField(field, f"Longer than {most_bytes} bytes in UTF-8")
    return value


def _utc(field: str, value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidField(field, "Out of range") from error
