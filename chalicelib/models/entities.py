"""What the stores hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from msgspec import Meta, Struct, ValidationError, convert, structs

from chalicelib.models import answers, link_codes
from chalicelib.models.answers import ListedSession, Recording, Sound, Usage, User
from chalicelib.models.fields import (
    MOST_PAIRS,
    PROVIDERS,
    Debt,
    LetterKind,
    Provider,
    Status,
    Way,
    rfc3339,
)

T = TypeVar("T")


class Identity(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Somebody as a provider knows them, who may sign in to an account."""

    subject: str
    """Who it is, to the provider: one person's for ever, whatever becomes of their address."""
    added_at: datetime
    email: str | None = None
    """The address that the provider had then."""
    refresh_tokens: dict[str, str] = {}
    """What Apple gave each of our apps, by its client id, and is to revoke in the end.

    They are of no use without our secrets with Apple.
    """


class Account(Struct, kw_only=True, frozen=True):
    """A user as the table holds them."""

    id: str
    email: str
    created_at: datetime
    password_hash: str | None = None
    """None of an account that is signed in to by a provider alone."""
    google: Identity | None = None
    apple: Identity | None = None
    name: str | None = None
    bytes_used: int = 0
    recordings_used: int = 0
    announced: int = 0
    """How many recordings were announced since the hour began that ends at `announced_until`."""
    announced_until: datetime | None = None
    password_version: int = 0
    """How often the password was changed; a session begun under an earlier one is over."""
    email_confirmed_at: datetime | None = None
    confirmation_hash: str | None = None
    """The hash of the secret in the link that was mailed last, to confirm the address."""
    confirmation_expires_at: datetime | None = None
    reset_hash: str | None = None
    """The same for the link that sets another password; no longer good without its time."""
    reset_expires_at: datetime | None = None
    new_email: str | None = None
    """What its address is to become, once the link that is mailed there is opened."""
    change_hash: str | None = None
    """The hash of the secret in that link; no longer good without its time."""
    change_expires_at: datetime | None = None
    suspended_at: datetime | None = None
    """Since when an operator lets nobody in to it, whatever else goes on."""

    def identity(self, provider: Provider) -> Identity | None:
        """Who signs in to it by a provider."""
        identity: Identity | None = getattr(self, provider)
        return identity

    def ways(self, providers: Collection[Provider]) -> list[Way]:
        """What logs in to it, where these are the providers by which people may sign in."""
        password: list[Way] = ["password"] if self.password_hash else []
        return password + [each for each in PROVIDERS if each in providers and self.identity(each)]

    def seen(self, quota: Quota, providers: Collection[Provider]) -> User:
        """The account as its user sees it."""
        usage = Usage(
            bytes=self.bytes_used,
            recordings=self.recordings_used,
            quota_bytes=quota.bytes,
            quota_recordings=quota.recordings,
        )
        return User(
            id=self.id,
            email=self.email,
            email_confirmed=self.email_confirmed_at is not None,
            name=self.name,
            created_at=rfc3339(self.created_at),
            usage=usage,
            sign_in=self.ways(providers),
        )


class ClosedAccount(Struct, kw_only=True, frozen=True):
    """What is left of an account that was deleted, until all it had is gone."""

    id: str
    closed_at: datetime
    due_at: datetime


class Due(Struct, frozen=True, kw_only=True):
    """Something that time alone must move."""

    what: Literal["recording", "account", "export"]
    user_id: str
    due_at: datetime
    recording_id: str | None = None
    """That of a recording; an account has one of each of the others at most."""
    postponed: int = 0
    """How many times it could not be moved and was put off."""
    closed: bool = False
    """It is due because its account is closed: the two times above are the account's."""

    @property
    def key(self) -> tuple[str, str]:
        """The ids under which a recording stands."""
        return self.user_id, self.recording_id or ""

    def of_closed(self, recording_id: str) -> Due:
        """The same of a recording of this account, which is closed."""
        return structs.replace(self, what="recording", recording_id=recording_id, closed=True)


class Replaced(Struct, kw_only=True, frozen=True):
    """A refresh token that was replaced."""

    hash: str
    salt: str
    """What went into the making of the token that replaced it."""
    at: datetime


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
    password_version: int = 0
    """That of the account when the session began."""
    device: str | None = None
    replaced_hash: str | None = None
    """The hash of the token that was replaced last."""
    replacement_salt: str | None = None
    """What went into the making of the token that replaced it, at `last_used_at`."""
    earlier: list[Replaced] = []
    """Those that were replaced shortly before that one, the oldest first."""
    rotation: int = 0
    """How often its refresh token was replaced."""
    used_rotation: int = 0
    """The rotation of which an access token was seen in use last."""

    @property
    def replaced(self) -> list[Replaced]:
        """The tokens whose replacement can still be made, the oldest first."""
        if not (self.replaced_hash and self.replacement_salt):
            return []
        last = Replaced(hash=self.replaced_hash, salt=self.replacement_salt, at=self.last_used_at)
        return [*self.earlier, last]

    def seen(self, current: str) -> ListedSession:
        """The session as its user sees it, who is in the session `current`."""
        return ListedSession(
            id=self.id,
            device=self.device,
            created_at=rfc3339(self.created_at),
            last_used_at=rfc3339(self.last_used_at),
            current=self.id == current,
        )


class Caller(Struct, frozen=True):
    """Who calls: an account and a session of it, both as they were when the call began."""

    account: Account
    session: Session
    standing: Standing | None = None
    """What stood then under the recording's id that the call names, if it names one."""

    @property
    def user_id(self) -> str:
        """The user's id."""
        return self.account.id

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.session.id


class Quota(Struct, frozen=True):
    """What one user may keep, and may announce in an hour; 0 announcements are no limit."""

    bytes: int
    recordings: int
    announced_per_hour: int


class Grant(Struct, kw_only=True, frozen=True):
    """What Apple gave of somebody to one of our apps: a code to be exchanged, or what is to go."""

    id: str
    user_id: str
    subject: str
    client_id: str
    asked_at: datetime
    due_at: datetime
    """When to try next."""
    code: str | None = None
    """Good once, for five minutes."""
    redirect_uri: str | None = None
    """Where Apple sent the browser with it, if it was one: the code is good with that alone."""
    refresh_token: str | None = None
    """What is to be revoked."""


class Nonce(Struct, kw_only=True, frozen=True):
    """What makes an id token good for one thing only."""

    provider: Provider
    subject: str
    value: str
    until: datetime
    """When the token that has it is too old for anything."""


class PublicKey(Struct, kw_only=True, frozen=True):
    """A key of RSA, by which what its owner signed can be told."""

    modulus: int
    exponent: int


class PublishedKeys(Struct, kw_only=True, frozen=True):
    """The keys that a provider signs with, by their names."""

    keys: dict[str, PublicKey]
    good_for: timedelta
    """How long they may be used without asking again."""


class Attempt(Struct, kw_only=True, frozen=True):
    """Something that is tried, of which there may be `most` in a window of time."""

    kind: str
    who: str
    """Who tries it, or at whom it is tried."""
    most: int
    until: datetime
    """When the window ends that it opens, if none is open."""


class FullWindow(Struct, kw_only=True, frozen=True):
    """A window of time in which no attempt is left."""

    ends_at: datetime
    failed: bool
    """Whether all its attempts failed; otherwise some are under way, and may yet make room."""


class Letter(Struct, kw_only=True, frozen=True):
    """A mail that is to be sent; what it says is made when it is sent."""

    kind: LetterKind
    email: str
    asked_at: datetime
    due_at: datetime
    """When to try next."""


# A time as keys have it.
_DIGITS = "%Y%m%d%H%M%S%f"
# What follows the recording is a piece of it: see StoredRecording.piece_key.
_KEY = re.compile(r"([0-9a-f-]{36})/([0-9a-f-]{36})(?:/\d{20}/\d{10,20}-\d+)?", re.ASCII)


class Keyed(Struct, kw_only=True, frozen=True):
    """What S3 holds, or held, the bytes of."""

    id: str
    user_id: str

    @property
    def key(self) -> str:
        """Where the bytes are, in both buckets."""
        return f"{self.user_id}/{self.id}"

    @staticmethod
    def at(key: str) -> Keyed | None:
        """What has its bytes there, or a piece of them; None for a key that is none of ours."""
        named = _KEY.fullmatch(key)
        return Keyed(user_id=named[1], id=named[2]) if named else None


class StoredRecording(Keyed, kw_only=True, frozen=True):
    """A recording as the table holds it: what its owner sees, and what moves it along."""

    file_name: str
    content_type: str
    size: int
    status: Status
    created_at: datetime
    updated_at: datetime
    version: int
    upload_method: Literal["put", "post", "multipart", "direct", "live"]
    fingerprint: str = ""
    """What tells it, with the time, from another upload under the same id."""
    announced_version: int = 1
    """The version that its announcement made; at a later one its owner has changed it otherwise."""
    upload_id: str | None = None
    """S3's name for the multipart upload under way."""
    part_size: int | None = None
    tags: list[str] = []
    sha256: str | None = None
    duration_ms: int | None = None
    recorded_at: datetime | None = None
    notes: str | None = None
    upload_expires_at: datetime | None = None
    completed_at: datetime | None = None
    purge_at: datetime | None = None
    sound: Sound | None = None
    """What its bytes say."""
    listener: int = 0
    """The version of what listened to them; 0 if nothing has."""
    heard_version: int = 0
    """The version of the recording that listening made, of which nobody need know."""
    begun_again: bool = False
    """Another upload of it came before this one: it expired, or was to go another way."""
    links_made: int | None = None
    """How many links to it were made, all of them; whoever makes one has counted on no other."""
    signatures: int | None = None
    """How many requests of uploads in parts were signed for a browser's library."""
    pieces: int | None = None
    """Of a live upload how many pieces were announced; until it is ready `size` is how far."""
    signed_again: int | None = None
    """How many were signed another time."""
    ended_at: datetime | None = None
    """Since when a live upload takes no more pieces, and is to be put together."""
    ended_size: int | None = None
    """How many bytes it is to have; what was announced beyond is counted until it is ready."""
    gaps: list[list[int]] | None = None
    """Where nothing had arrived of one that fell silent: from which offset to which."""
    interrupted: bool | None = None
    """Whether it ended because its app was silent."""
    cut: str | None = None
    """What tells the pieces that its multipart upload is made of from others."""
    refused: str | None = None
    """The SHA-256 that it was said to have when it was ended, and had not. Nobody was told yet."""

    @property
    def upload_name(self) -> str:
        """What tells an upload from one under the same id before it, and from its earlier end.

        So what is kept under this name can only be what was announced under it.
        """
        begun = self.created_at.isoformat()
        return f"{begun} {self.ended_at.isoformat()}" if self.ended_at else begun

    @property
    def whole_size(self) -> int:
        """How many bytes it is to have; of a live upload that goes on, those announced so far."""
        return self.size if self.ended_size is None else self.ended_size

    @property
    def in_pieces(self) -> bool:
        """Whether it is a live upload, or came by one."""
        return self.upload_method == "live"

    @property
    def may_have_parts(self) -> bool:
        """Whether S3 may have parts or pieces of it, be it of an upload that expired."""
        in_several = self.upload_method in {"multipart", "live"} or self.signatures is not None
        return in_several or self.begun_again

    @property
    def folder(self) -> str:
        """Where the pieces of this upload are, and none of one that expired before it."""
        return f"{self.key}/{self.created_at:{_DIGITS}}/"

    def waits_for(self, key: str) -> bool:
        """Whether what is there in the uploads bucket may be sent for it."""
        is_its_own = key == self.key or key.startswith(self.folder)
        return self.status == "uploading" and is_its_own

    def ends_with(self, key: str) -> bool:
        """Whether that is the last piece of a live upload, which has no bytes."""
        return self.ended_at is not None and key == self.last_key

    @property
    def last_key(self) -> str:
        """Where the last piece is, which has the pieces put together; of each end it is another."""
        return f"{self.folder}{self.ended_at:{_DIGITS}}-0"

    def piece_key(self, offset: int, size: int) -> str:
        """Where a piece is."""
        # The largest recording has ten digits: so their order is that of the pieces.
        return f"{self.folder}{offset:010}-{size}"

    def seen(self) -> Recording:
        """The recording as its owner sees it."""
        given: dict[str, Any] = {
            field: rfc3339(value) if isinstance(value, datetime) else value
            for field in Recording.__struct_fields__
            if (value := getattr(self, field)) is not None
        }
        return Recording(**given)


class Waveform(Struct, kw_only=True, frozen=True):
    """The waveform of a recording; it stands beside it, so that no list has to carry it."""

    sample_rate: Annotated[int, Meta(ge=1)]
    samples_per_pixel: Annotated[int, Meta(ge=2)]
    data: Annotated[bytes, Meta(max_length=2 * MOST_PAIRS)]
    """The lowest and the highest sample of each stretch, a byte with its sign for each."""

    def seen(self) -> answers.Waveform:
        """The waveform as it is answered."""
        return answers.Waveform(
            version=2,
            channels=1,
            sample_rate=self.sample_rate,
            samples_per_pixel=self.samples_per_pixel,
            bits=8,
            length=len(self.data) // 2,
            data=memoryview(self.data).cast("b").tolist(),
        )


class Heard(Struct, kw_only=True, frozen=True):
    """What somebody heard who listened to a recording."""

    sound: Sound
    waveform: Waveform | None = None


class Tombstone(Keyed, kw_only=True, frozen=True):
    """What is left of a deleted recording: its id, the time, and what is still owed to S3."""

    updated_at: datetime
    version: int
    owes: list[Debt] = []
    """Where its bytes have yet to be deleted from for certain: a bucket, or an upload in parts."""
    due_at: datetime | None = None
    """When no function that was under way at the deletion can still be running."""
    expired: bool = False
    """Nobody deleted it: its upload took too long, and may be begun again."""
    had_links: bool = False
    """Links to it were made, which go when it is settled; nobody can open them by now."""
    status: Literal["deleted"] = "deleted"


class Opened(Struct, kw_only=True, frozen=True):
    """What a link opens, and what a page draws of it."""

    shared: answers.SharedRecording
    waveform: Waveform | None


class Link(Struct, kw_only=True, frozen=True):
    """A way in to one recording, for whoever has its code."""

    id: str
    code: str
    user_id: str
    recording_id: str
    created_at: datetime
    expires_at: datetime | None = None
    show_name: bool = False
    opens: int = 0
    """How often it was opened since the hour began that ends at `opens_until`, as far as noted."""
    opens_until: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether its time is; the table may have it for some days more."""
        return self.expires_at is not None and self.expires_at <= now

    def opened(self, now: datetime) -> int:
        """How often it was opened within the hour, as far as that is noted."""
        return self.opens if self.opens_until and self.opens_until > now else 0

    def seen(self, address: str) -> answers.Link:
        """The link as its owner sees it, where the API has this address."""
        shown = link_codes.shown(self.code)
        return answers.Link(
            id=self.id,
            code=shown,
            url=f"{address}/s/{shown}",
            show_name=self.show_name,
            created_at=rfc3339(self.created_at),
            expires_at=rfc3339(self.expires_at) if self.expires_at else None,
        )


class Unreadable(Keyed, kw_only=True, frozen=True):
    """A recording that this version of the app cannot read, or something that stands beside one.

    It can be deleted by its key: what more has to be known for that is told as far as it can be.
    """

    item: dict[str, Any]
    """It, as it stands in the table."""
    completed_at: ClassVar[None] = None
    links_made: ClassVar[int] = 1
    may_have_parts: ClassVar[bool] = True

    @property
    def status(self) -> str:
        """What its status is called."""
        return self._told("status", str, "")

    @property
    def version(self) -> int:
        """Its version; 0 where that is none."""
        return self._told("version", int, 0)

    @property
    def size(self) -> int:
        """How many bytes of the quota it has."""
        return self._told("size", int, 0)

    @property
    def code(self) -> str | None:
        """A link's code."""
        return self._told("code", str | None, None)

    @property
    def due_at(self) -> datetime | None:
        """When it is due."""
        return self._told("due_at", datetime | None, None)

    def _told(self, field: str, kind: Any, otherwise: T) -> T:
        try:
            told: T = convert(self.item.get(field), kind)
        except ValidationError:
            return otherwise
        return told


Standing = StoredRecording | Tombstone | Unreadable


class Piece(Struct, frozen=True):
    """A piece that has arrived of a recording."""

    offset: int
    size: int
    arrived_at: datetime

    @property
    def end(self) -> int:
        """Where what follows it begins."""
        return self.offset + self.size


class Slice(Struct, frozen=True):
    """Some of a piece: `size` bytes of it from its `start` on."""

    piece: Piece
    start: int
    size: int


class StoredObject(Struct, frozen=True, kw_only=True):
    """What S3 says of an object."""

    size: int
    content_type: str
    etag: str
    sha256: str | None
    """Lower-case hexadecimal; None when S3 was not asked to keep one."""
    version_id: str
    upload: str | None = None
    """Which upload of the recording it is of; None of what a phone has put there itself."""


class ObjectVersion(Struct, frozen=True, kw_only=True):
    """One version of an object, by what S3 needs to delete exactly that."""

    key: str
    version_id: str


class SigningPlace(Struct, frozen=True, kw_only=True):
    """Where browsers send to, and the key that signs for it."""

    access_key: str
    """The key's name, which is no secret."""
    bucket: str
    netloc: str
    path: str
    """What stands in front of a key's slash; empty where the host's name has the bucket."""
    region: str
    sign: Callable[[str, str], str]
    """The signature of a text, in hexadecimal, by the key of a scope."""

    @property
    def hosts(self) -> set[str]:
        """What is taken for the host: the library takes all of the bucket's address for it."""
        return {self.netloc, self.netloc + self.path}

    def scope(self, date: str) -> str:
        """What a signature of a date as `20261128T205139Z` is good for."""
        return f"{date[:8]}/{self.region}/s3/aws4_request"
