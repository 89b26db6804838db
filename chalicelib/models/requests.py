"""What people send.

A request refuses unknown fields and values out of bounds while it is parsed, so what reaches a
use case is whole.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.models.fields import (
    LARGEST_WHOLE,
    PASSWORD_BYTES,
    PASSWORD_CHARACTERS,
    SMALLEST_PART,
    ContentType,
    Cursor,
    Device,
    Email,
    FileName,
    Instant,
    InvalidField,
    Milliseconds,
    Name,
    NewPassword,
    Notes,
    Password,
    RecordingId,
    Sha256,
    Size,
    Status,
    Tags,
    Token,
    UploadMethod,
    address,
    in_utc,
    normal_form,
    typed_address,
)


class Request(Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of what people send."""


class SignUp(Request):
    """A new account."""

    email: Email
    password: NewPassword
    name: Name | None = None

    def __post_init__(self) -> None:
        """Bring address and password into the one form that is kept of each."""
        self.email = address("email", self.email)
        self.password = _new_password("password", self.password)


class Credentials(Request):
    """Who wants to log in, and on which device."""

    email: Email
    password: Password
    device: Device | None = None
    refresh_token: Token | None = None

    def __post_init__(self) -> None:
        """Bring address and password into the one form that is kept of each."""
        self.email = typed_address("email", self.email)
        self.password = normal_form("password", self.password, PASSWORD_BYTES)


def _new_password(field: str, value: str) -> str:
    value = normal_form(field, value, PASSWORD_BYTES)
    # Composed, it may have fewer characters than were sent.
    if len(value) < PASSWORD_CHARACTERS:
        raise InvalidField(field, f"Shorter than {PASSWORD_CHARACTERS} characters")
    return value


class RefreshToken(Request):
    """The refresh token that the last sign-up, log-in or refresh gave."""

    refresh_token: Token


class PasswordChange(Request):
    """The password as it is, and as it is to be."""

    current_password: Password
    new_password: NewPassword

    def __post_init__(self) -> None:
        """Bring both into the one form that is kept."""
        self.current_password = normal_form(
            "current_password", self.current_password, PASSWORD_BYTES
        )
        self.new_password = _new_password("new_password", self.new_password)


class ForgottenPassword(Request):
    """Whose password was forgotten."""

    email: Email

    def __post_init__(self) -> None:
        """Bring the address into the one form that is kept."""
        self.email = typed_address("email", self.email)


class PasswordReset(Request):
    """What came by mail, and the password to be."""

    token: Token
    new_password: NewPassword

    def __post_init__(self) -> None:
        """Bring the password into the one form that is kept."""
        self.new_password = _new_password("new_password", self.new_password)


class Confirmation(Request):
    """What came by mail."""

    token: Token


class ProfileChange(Request):
    """What people change about themselves; null takes the name away."""

    name: Name | None


class PasswordProof(Request):
    """Proof that it is the user who wants it: their password."""

    password: Password

    def __post_init__(self) -> None:
        """Bring the password into the form that is kept of it."""
        self.password = normal_form("password", self.password, PASSWORD_BYTES)


class NewRecording(Request):
    """A recording to be uploaded: what it is, before its bytes arrive."""

    file_name: FileName
    content_type: ContentType
    size: Size
    id: RecordingId | None = None
    sha256: Sha256 | None = None
    recorded_at: Instant | None = None
    duration_ms: Milliseconds | None = None
    tags: Tags | None = None
    notes: Notes | None = None
    upload_method: UploadMethod | None = None

    def __post_init__(self) -> None:
        """Write each in its one form, so that what is the same looks the same."""
        self.tags = self.tags or []
        if self.upload_method is None:
            self.upload_method = "multipart" if self.size > LARGEST_WHOLE else "put"
        elif self.upload_method == "multipart" and self.size < SMALLEST_PART:
            raise InvalidField("upload_method", f"Parts are for {SMALLEST_PART} bytes or more")
        if self.id is not None:
            self.id = self.id.lower()
        if self.recorded_at is not None:
            self.recorded_at = in_utc("recorded_at", self.recorded_at)


class NewRecordings(Request):
    """Recordings to be announced together."""

    recordings: Annotated[list[NewRecording], Meta(min_length=1, max_length=25)]

    def __post_init__(self) -> None:
        """Refuse an id that is there twice."""
        seen = set()
        for index, new in enumerate(self.recordings):
            if new.id and new.id in seen:
                raise InvalidField(f"recordings[{index}].id", "Given more than once")
            seen.add(new.id)


class DirectUpload(Request):
    """The query of a direct upload; its body is the bytes."""

    file_name: FileName


class Part(Request):
    """A part of an upload, as S3 named it when it arrived."""

    number: Annotated[int, Meta(ge=1, le=10_000)]
    etag: Annotated[str, Meta(min_length=1, max_length=100)]


class Completion(Request):
    """Nothing that needs saying: the server looks at what arrived.

    The parts of a multipart upload may be named all the same, to have them compared.
    """

    parts: Annotated[list[Part], Meta(max_length=10_000)] | None = None


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


class ChangesQuery(Request):
    """Which page of what changed."""

    since: Cursor | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class DeletionQuery(Request):
    """How to delete."""

    permanent: Annotated[bool, Meta(description="Skip the trash.")] = False
