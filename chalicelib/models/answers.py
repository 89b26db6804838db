"""What people are answered."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from chalicelib.models.fields import (
    LARGEST_INTEGER,
    MOST_PAIRS,
    PIECE_BYTES,
    Instant,
    LinkCode,
    Milliseconds,
    Provider,
    RecordingId,
    Status,
    Way,
    Word,
)


class Usage(Struct, kw_only=True, frozen=True):
    """What a user keeps, and may keep."""

    bytes: int
    recordings: int
    quota_bytes: int
    quota_recordings: int


class User(Struct, kw_only=True, frozen=True):
    """A user as they see themselves."""

    id: str
    email: str
    email_confirmed: bool
    name: str | None
    created_at: Instant
    usage: Usage
    sign_in: Annotated[list[Way], Meta(description="What logs in to the account.")]


class SignedIn(Struct, kw_only=True, frozen=True):
    """A session's tokens, and whose they are."""

    user: User
    access_token: str
    refresh_token: str
    expires_in: Annotated[int, Meta(description="Seconds the access token lasts.")]
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme's name, not a secret


class ListedSession(Struct, kw_only=True, frozen=True):
    """A session: a device that is logged in."""

    id: str
    device: Annotated[str | None, Meta(description="What it called itself when it logged in.")]
    created_at: Instant
    last_used_at: Annotated[Instant, Meta(description="When it last refreshed its tokens.")]
    current: Annotated[bool, Meta(description="Whether it is the session that asks.")]


class SessionList(Struct, kw_only=True, frozen=True):
    """Every session of a user, newest first."""

    sessions: list[ListedSession]


class Sound(Struct, kw_only=True, frozen=True):
    """What the bytes themselves say: that alone which can be read, if any can."""

    readable: bool
    duration_ms: Milliseconds | UnsetType = UNSET
    container: Word | UnsetType = UNSET
    codec: Word | UnsetType = UNSET
    sample_rate_hz: Annotated[int, Meta(ge=1, le=LARGEST_INTEGER)] | UnsetType = UNSET
    channels: Annotated[int, Meta(ge=1, le=LARGEST_INTEGER)] | UnsetType = UNSET


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
    sound: Sound | UnsetType = UNSET
    upload_expires_at: Instant | UnsetType = UNSET
    purge_at: Instant | UnsetType = UNSET
    interrupted: Annotated[
        bool | UnsetType,
        Meta(description="True of what its app stopped sending: it is what had arrived by then."),
    ] = UNSET

    def __post_init__(self) -> None:
        """Where the app said no duration, have it be the one that was heard."""
        if self.duration_ms is UNSET and self.sound is not UNSET:
            structs.force_setattr(self, "duration_ms", self.sound.duration_ms)


class Audio(Struct, kw_only=True, frozen=True):
    """Where the bytes are to be had; the URL answers Range requests."""

    url: str
    expires_at: Instant


class PlayableRecording(Recording, kw_only=True, frozen=True):
    """A recording, with its audio when it is ready."""

    audio: Audio | UnsetType = UNSET


class Waveform(Struct, kw_only=True, frozen=True):
    """What audiowaveform writes as JSON, of version 2: `length` pairs of lowest and highest."""

    version: Annotated[int, Meta(description="2, of the form.")]
    channels: Annotated[int, Meta(description="1: all of them are mixed.")]
    sample_rate: int
    samples_per_pixel: int
    bits: Annotated[int, Meta(description="8, of each number.")]
    length: Annotated[int, Meta(le=MOST_PAIRS)]
    data: list[Annotated[int, Meta(ge=-128, le=127)]]


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


class SignedPart(Struct, kw_only=True, frozen=True):
    """A part that is still to be sent: PUT exactly this many bytes to the URL."""

    number: int
    size: int
    url: str


class PartUpload(SignedPart, kw_only=True, frozen=True):
    """One part, wherever it is: PUT exactly this many bytes to the URL."""

    expires_at: Instant


class UploadedPart(Struct, kw_only=True, frozen=True):
    """A part that S3 has."""

    number: int
    size: int
    etag: str


class MultipartUpload(Struct, kw_only=True, frozen=True, tag_field="method", tag="multipart"):
    """PUT each of `parts`, in any order; part N begins at byte (N - 1) * `part_size`.

    That is 8 MiB, or the size divided by 100 MiB, rounded up to whole MiB, if that is more.
    """

    part_size: int
    parts: list[SignedPart]
    uploaded: list[UploadedPart]
    expires_at: Instant


class SignedPiece(Struct, kw_only=True, frozen=True):
    """A piece that is to be sent: PUT exactly these bytes, with exactly these headers."""

    offset: int
    size: int
    url: str
    headers: dict[str, str]


class AnnouncedPieces(Struct, kw_only=True, frozen=True):
    """Where pieces are to be sent; the next one begins at `offset`."""

    offset: int
    pieces: list[SignedPiece]
    expires_at: Instant


class LiveUpload(Struct, kw_only=True, frozen=True, tag_field="method", tag="live"):
    """Announce pieces from `offset` on, as they are recorded, and send each.

    `missing` has not arrived of what was announced before it: the first 1,000 gaps, cut to pieces;
    in a batch of several they have so many together. Ask again once these were sent.
    """

    offset: int
    missing: list[SignedPiece]
    expires_at: Instant
    largest_piece: int = PIECE_BYTES


Upload = PutUpload | PostUpload | MultipartUpload | LiveUpload


class BegunUpload(Struct, kw_only=True, frozen=True):
    """A recording and how to send its bytes; `upload` is null once it is ready."""

    recording: Recording
    upload: Upload | None


class BegunUploads(Struct, kw_only=True, frozen=True):
    """Recordings that were announced together, in the order in which they were."""

    recordings: list[BegunUpload]


class ChangedRecording(Struct, kw_only=True, frozen=True):
    """A recording as it is now; one that is deleted has the first four of these alone."""

    id: RecordingId
    status: Literal[Status, "deleted"]
    updated_at: Instant
    version: int
    file_name: str | UnsetType = UNSET
    content_type: str | UnsetType = UNSET
    size: int | UnsetType = UNSET
    created_at: Instant | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    sha256: str | UnsetType = UNSET
    duration_ms: int | UnsetType = UNSET
    recorded_at: Instant | UnsetType = UNSET
    notes: str | UnsetType = UNSET
    sound: Sound | UnsetType = UNSET
    upload_expires_at: Instant | UnsetType = UNSET
    purge_at: Instant | UnsetType = UNSET
    interrupted: bool | UnsetType = UNSET


class Changes(Struct, kw_only=True, frozen=True):
    """What changed, oldest first; `cursor` is what `since` takes for what changes next.

    `more` says that there is more already.
    """

    changes: list[ChangedRecording]
    cursor: str
    more: bool


class DataExport(Struct, kw_only=True, frozen=True):
    """Where a JSON file of all of a user's data is to be had."""

    url: str
    expires_at: Instant


class RecordingPage(Struct, kw_only=True, frozen=True):
    """A page of recordings; `next` is what `after` takes for the next one, null on the last."""

    recordings: list[Recording]
    next: str | None


class Link(Struct, kw_only=True, frozen=True):
    """A link that plays a recording to whoever has it."""

    id: RecordingId
    code: LinkCode
    url: Annotated[str, Meta(description="The page that plays it.")]
    show_name: Annotated[bool, Meta(description="Whether that tells the title.")]
    created_at: Instant
    expires_at: Annotated[Instant | None, Meta(description="Null for no end.")]


class LinkList(Struct, kw_only=True, frozen=True):
    """The links of a recording that open, newest first."""

    links: list[Link]


class SharedRecording(Struct, kw_only=True, frozen=True):
    """What a link tells of a recording; its title only if the link is to show it."""

    content_type: str
    size: int
    audio: Audio
    duration_ms: int | UnsetType = UNSET
    file_name: str | UnsetType = UNSET


class Signature(Struct, kw_only=True, frozen=True):
    """What an upload library sends along: a signature, and the policy that it is of."""

    signature: str
    policy: str | UnsetType = UNSET


class SignInWay(Struct, kw_only=True, frozen=True):
    """A way to sign in without a password, and the app's names with who provides it."""

    provider: Provider
    client_ids: list[str]


class Limits(Struct, kw_only=True, frozen=True):
    """What one recording may have, and one user; in bytes, but for the number of recordings."""

    recording_bytes: int
    direct_upload_bytes: int
    quota_bytes: int
    quota_recordings: int


class AcceptedTypes(Struct, kw_only=True, frozen=True):
    """Content types that are taken, where not every `audio/...` is."""

    direct: Annotated[list[str], Meta(description="Those of direct uploads.")]


class Config(Struct, kw_only=True, frozen=True):
    """What an app needs to know before anybody is logged in."""

    sign_in: list[SignInWay]
    limits: Limits
    content_types: AcceptedTypes


class Health(Struct, kw_only=True, frozen=True):
    """That the API answers, and which version of it."""

    status: Literal["ok"]
    version: str
