"""What people send.

A request refuses unknown fields and values out of bounds while it is parsed, and brings what is
left into its one form, so what reaches a use case is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.models import forms
from chalicelib.models.fields import (
    ID_TOKEN_CHARACTERS,
    LARGEST_INTEGER,
    LONGEST_LINE,
    PIECE_BYTES,
    PIECES_AT_ONCE,
    AuthorizationCode,
    Conditions,
    ContentType,
    Cursor,
    Device,
    Email,
    FileName,
    FormerToken,
    GivenInstant,
    IdToken,
    InvalidField,
    LinkSeconds,
    Milliseconds,
    Name,
    NewPassword,
    Nonce,
    Notes,
    PartNumber,
    Password,
    RecordingId,
    RedirectUri,
    Search,
    Sha256,
    Size,
    Status,
    Tag,
    Tags,
    Token,
    UploadMethod,
)
from chalicelib.models.forms import Form

# Of what is said about a recording, wherever it is said.
TOLD: Mapping[str, Form] = MappingProxyType(
    {
        "file_name": forms.title,
        "recorded_at": forms.instant,
        "tags": forms.tags,
        "notes": forms.notes,
    }
)


class Request(Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of what people send."""

    forms: ClassVar[Mapping[str, Form]] = MappingProxyType({})
    """What brings each field into its one form; the others have but one."""
    repeatable: ClassVar[frozenset[str]] = frozenset()
    """Of a query: what may be given several times."""
    ignored: ClassVar[frozenset[str]] = frozenset()
    """Of a query: what libraries send and nothing is made of."""

    def __post_init__(self) -> None:
        """Bring each field that was given into its one form; InvalidField."""
        for field, form in self.forms.items():
            value = getattr(self, field)
            if value is not None and value is not UNSET:
                setattr(self, field, _formed(field, form, value))


def _formed(field: str, form: Form, value: object) -> object:
    try:
        return form(value)
    except ValueError as error:
        # A form may say which element of a list it is.
        place = error.field if isinstance(error, InvalidField) else ""
        raise InvalidField(f"{field}{place}", str(error)) from error


def _want_one(sent: Request, first: str, second: str) -> None:
    given = [name for name in (first, second) if getattr(sent, name) is not None]
    if not given:
        raise InvalidField(first, "Required")
    if len(given) > 1:
        raise InvalidField(second, f"Not together with {first}")


class SignUp(Request):
    """A new account."""

    forms = MappingProxyType(
        {"email": forms.address, "password": forms.new_password, "name": forms.name}
    )

    email: Email
    password: NewPassword
    name: Name | None = None


class Credentials(Request):
    """Who wants to log in, and on which device."""

    forms = MappingProxyType(
        {
            "email": forms.typed_address,
            "password": forms.password,
            "device": forms.device,
            "refresh_token": forms.former_token,
        }
    )

    email: Email
    password: Password
    device: Device | None = None
    refresh_token: FormerToken | None = None


class RefreshToken(Request):
    """The refresh token that the last sign-up, log-in or refresh gave."""

    forms = MappingProxyType({"refresh_token": forms.trimmed})

    refresh_token: Token


class PasswordChange(Request):
    """The password as it is, and as it is to be."""

    forms = MappingProxyType(
        {"current_password": forms.password, "new_password": forms.new_password}
    )

    current_password: Password
    new_password: NewPassword


class ForgottenPassword(Request):
    """Whose password was forgotten."""

    forms = MappingProxyType({"email": forms.typed_address})

    email: Email


class PasswordReset(Request):
    """What came by mail, and the password to be."""

    forms = MappingProxyType({"token": forms.trimmed, "new_password": forms.new_password})

    token: Token
    new_password: NewPassword


class Confirmation(Request):
    """What came by mail."""

    forms = MappingProxyType({"token": forms.trimmed})

    token: Token


class ProfileChange(Request):
    """What people change about themselves; null takes the name away."""

    forms = MappingProxyType({"name": forms.name})

    name: Name | None


class IdTokenSignIn(Request):
    """Who a provider says it is, and on which device."""

    # Of a name, as of a device's: what some app makes of it is to keep nobody out.
    forms = MappingProxyType(
        {"id_token": forms.id_token, "name": forms.device, "device": forms.device}
    )

    id_token: IdToken
    nonce: Nonce | None = None
    name: Device | None = None
    device: Device | None = None


class AppleSignIn(IdTokenSignIn):
    """Who Apple says it is. The name is one that Apple tells the app alone, and but once."""

    authorization_code: AuthorizationCode | None = None
    redirect_uri: RedirectUri | None = None


class ProviderAnswer(Request, forbid_unknown_fields=False):
    """What a provider has a browser bring back, by a form: an id token, or why there is none.

    What else stands in the form is not looked at.
    """

    state: Annotated[str, Meta(max_length=LONGEST_LINE)] = ""
    id_token: Annotated[IdToken, Meta(max_length=ID_TOKEN_CHARACTERS)] = ""
    code: Annotated[str, Meta(max_length=LONGEST_LINE)] = ""
    user: Annotated[
        str,
        Meta(max_length=4 * LONGEST_LINE, description="Apple's, the first time: JSON with a name."),
    ] = ""
    error: Annotated[str, Meta(max_length=LONGEST_LINE)] = ""


class Proof(Request):
    """Proof that it is the user who wants it: their password.

    An account that has none gives an `id_token` instead: ten minutes old at most, of a way to sign
    in that it has.
    """

    forms = MappingProxyType({"password": forms.password, "id_token": forms.id_token})

    password: Password | None = None
    id_token: IdToken | None = None

    def __post_init__(self) -> None:
        """Want the one or the other."""
        super().__post_init__()
        _want_one(self, "password", "id_token")


class NewWay(Request):
    """Another way to sign in, and the password; or an id token of a way that is there already."""

    forms = MappingProxyType(
        {
            "id_token": forms.id_token,
            "password": forms.password,
            "proof_id_token": forms.id_token,
        }
    )

    id_token: IdToken
    nonce: Nonce | None = None
    password: Password | None = None
    proof_id_token: IdToken | None = None

    def __post_init__(self) -> None:
        """Want the one proof or the other."""
        super().__post_init__()
        _want_one(self, "password", "proof_id_token")

    @property
    def proof(self) -> Proof:
        """The proof that it is the user who wants it."""
        return Proof(password=self.password, id_token=self.proof_id_token)


class NewAppleWay(NewWay):
    """Apple as another way to sign in, with such a proof, and what it gave beside the id token."""

    authorization_code: AuthorizationCode | None = None
    redirect_uri: RedirectUri | None = None


class EmailChange(Proof, kw_only=True):
    """The address that is to be, and the same proof as elsewhere."""

    forms = MappingProxyType({**Proof.forms, "email": forms.address})

    email: Email


class NewRecording(Request):
    """A recording to be uploaded: what it is, before its bytes arrive."""

    forms = MappingProxyType(
        {
            **TOLD,
            "content_type": forms.media_type,
            "id": forms.lower,
            "sha256": forms.lower,
        }
    )

    file_name: FileName
    content_type: ContentType
    size: Annotated[
        Size | None,
        Meta(description="Bytes. Needed, unless `upload_method` is `live`, which has none yet."),
    ] = None
    id: RecordingId | None = None
    sha256: Sha256 | None = None
    recorded_at: GivenInstant | None = None
    duration_ms: Milliseconds | None = None
    tags: Tags | None = None
    notes: Notes | None = None
    upload_method: UploadMethod | None = None

    def __post_init__(self) -> None:
        """Refuse what has no size, unless nobody can know it yet: that is told at the end."""
        super().__post_init__()
        if self.upload_method != "live" and self.size is None:
            raise InvalidField("size", "Required")
        for field in ("size", "sha256"):
            if self.upload_method == "live" and getattr(self, field) is not None:
                raise InvalidField(field, "Told when the recording is completed")


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
    """The query of a direct upload, whose body is the bytes: what is announced of another."""

    forms = MappingProxyType(
        {
            "file_name": forms.title,
            "recorded_at": forms.instant,
            "notes": forms.notes,
            "tag": forms.tags,
        }
    )
    repeatable = frozenset({"tag"})

    file_name: FileName
    recorded_at: GivenInstant | None = None
    duration_ms: Milliseconds | None = None
    notes: Notes | None = None
    tag: Tags | None = None


class CompletedPart(Request):
    """A part of an upload, as S3 named it when it arrived."""

    number: PartNumber
    etag: Annotated[str, Meta(min_length=1, max_length=100)]


class Completion(Request):
    """Nothing that needs saying: the server looks at what arrived.

    The parts of a multipart upload may be named all the same, to have them compared. A `live` one,
    whose size nobody announced, has to say it, and may say the SHA-256 of the whole.
    """

    forms = MappingProxyType({"sha256": forms.lower})

    parts: Annotated[list[CompletedPart], Meta(max_length=10_000)] | None = None
    size: Size | None = None
    sha256: Sha256 | None = None


class NewPiece(Request):
    """A piece of what is sent while it is recorded."""

    forms = MappingProxyType({"sha256": forms.lower})

    size: Annotated[int, Meta(ge=1, le=PIECE_BYTES, description="Bytes.")]
    sha256: Sha256 | None = None


class NewPieces(Request):
    """Pieces, each of which begins where the one before it ends, the first at `offset`."""

    offset: Annotated[int, Meta(ge=0, le=LARGEST_INTEGER, description="Bytes from the beginning.")]
    pieces: Annotated[list[NewPiece], Meta(min_length=1, max_length=PIECES_AT_ONCE)]


class RecordingChange(Request):
    """What changes; what is left out stays, and null takes away what need not be there."""

    forms = TOLD

    file_name: FileName | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    notes: Notes | UnsetType | None = UNSET
    recorded_at: GivenInstant | UnsetType | None = UNSET
    duration_ms: Milliseconds | UnsetType | None = UNSET


class NewLink(Request):
    """A link to be made. With an `id` of the app's, sending it again makes no other."""

    forms = MappingProxyType({"id": forms.lower})

    id: RecordingId | None = None
    expires_in_seconds: LinkSeconds | None = 604_800
    show_name: bool = False


class ToSign(Request):
    """What an upload library has signed: a policy, or a request of an upload in parts."""

    expiration: Annotated[str, Meta(max_length=LONGEST_LINE)] | UnsetType = UNSET
    conditions: Conditions | UnsetType = UNSET
    headers: Annotated[str, Meta(max_length=8192)] | UnsetType = UNSET


class ShelfQuery(Request):
    """Which page of which shelf."""

    forms = MappingProxyType(
        {
            "after": forms.lower,
            "q": forms.search,
            "tag": forms.tag,
            "recorded_from": forms.instant,
            "recorded_to": forms.instant,
        }
    )

    status: Status = "ready"
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    after: RecordingId | UnsetType = UNSET
    order: Literal["asc", "desc"] = "desc"
    q: Search | None = None
    tag: Tag | None = None
    recorded_from: GivenInstant | None = None
    recorded_to: GivenInstant | None = None


class ChangesQuery(Request):
    """Which page of what changed."""

    since: Cursor | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class DeletionQuery(Request):
    """How to delete."""

    ignored = frozenset({"key", "bucket"})

    permanent: Annotated[bool, Meta(description="Skip the trash.")] = False
