"""What the use cases ask of storage, and what they may rely on.

Each method is one call to its store unless it says otherwise. Each raises Unavailable when the
store is busy or does not answer, and InternalError when it refuses for good. What was to be
written may or may not have been written by then, so every use case can be repeated.

What this version cannot read is an InternalError where it is asked for by its name. Where several
are asked for it is left out and logged, unless the answer may have it as Unreadable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import IO, Protocol

from msgspec import Struct

from chalicelib.models.answers import Recording, UploadedPart
from chalicelib.models.entities import (
    Account,
    Attempt,
    ClosedAccount,
    Due,
    FullWindow,
    Grant,
    Heard,
    Identity,
    Keyed,
    Letter,
    Link,
    Nonce,
    ObjectVersion,
    Piece,
    PublishedKeys,
    Quota,
    Session,
    SigningPlace,
    Slice,
    Standing,
    StoredObject,
    StoredRecording,
    Tombstone,
    Unreadable,
    Waveform,
)
from chalicelib.models.fields import LetterKind, Provider, Status, Told, Way

Clock = Callable[[], datetime]
NewId = Callable[[], str]


class AccountStore(Protocol):
    """The accounts and their sessions."""

    def open(self, account: Account, session: Session, nonce: Nonce | None = None) -> None:
        """Add an account, its first session, and a mail that has its address confirmed, if need be.

        All of them or nothing. EmailTaken when somebody has its address, or an identity that signs
        in to it; InvalidCredentials when the nonce was used.
        """

    def find(self, user_id: str) -> Account | None:
        """The account, as last written."""

    def owner_of(self, email: str) -> str | None:
        """The id of the user with this address, however it is spelt."""

    def signs_in(self, provider: Provider, subject: str) -> str | None:
        """The id of the user whom a provider knows by this name."""

    def use_nonce(self, nonce: Nonce, purpose: str) -> bool:
        """Note that a nonce is used for this; False when it was used for anything else."""

    def add_way(
        self,
        account: Account,
        provider: Provider,
        identity: Identity,
        now: datetime,
        *,
        confirmed: bool,
        entering: tuple[Session, Nonce | None] | None = None,
    ) -> bool:
        """Have an identity sign in to an account, in place of the provider's that did, and mail so.

        With it, if it is `confirmed`, the address is; and a session begins, if somebody is
        `entering`. False, and nothing done, when what signs in to the account is not what `account`
        has, or the identity is another's by now. InvalidCredentials when the nonce was used.
        """

    def take_over(
        self,
        account: Account,
        provider: Provider,
        identity: Identity,
        now: datetime,
        *,
        name: str | None,
        entering: tuple[Session, Nonce | None],
    ) -> bool:
        """Have an identity be all that signs in to an account, whose address it confirms.

        Its password goes, every other identity, the links that were mailed, and every session but
        the one that begins. False and InvalidCredentials as above; False, too, when the address is
        confirmed by now.
        """

    def keep_identity(self, account: Account, provider: Provider, identity: Identity) -> bool:
        """Note more of an identity that signs in to an account; False as above."""

    def remove_way(self, account: Account, way: Way, now: datetime) -> bool:
        """Have a password or an identity sign in no more, and mail so; False as above.

        What Apple gave for it is to be revoked then, and so it is wherever an identity goes.
        """

    def ask_for_address(self, account: Account, email: str, now: datetime) -> bool:
        """Note what the account's address is to become; have a link mailed there, and word of it.

        A link that was mailed before is good no more. False when its address is another by now, or
        something else signs in to it: whose proof was good may have lost the account meanwhile.
        """

    def change_address(self, account: Account, now: datetime) -> bool:
        """Make the change that the link in `account` is for, and use it up.

        The links that were mailed to the old address are good no more. False, and nothing done,
        when it no longer is that link, or is used or expired; EmailTaken.
        """

    def rename(self, user_id: str, name: str | None) -> Account:
        """Set the name; NotAuthenticated when there is no such account."""

    def change_password(
        self, account: Account, password_hash: str, session_id: str, now: datetime
    ) -> bool:
        """Set another password, which ends every session but this one, and links to reset it.

        False, and nothing done, when the password is no longer that of `account` or the session
        is over.
        """

    def rehash(self, account: Account, password_hash: str) -> None:
        """Keep another hash of the same password, unless it is another password by now."""

    def reset_password(self, account: Account, password_hash: str, now: datetime) -> bool:
        """Set another password, which ends every session, and use up the link to do so.

        False, and nothing done, when it no longer is the link in `account`, or is used or expired.
        The address is confirmed by it too. If it was not, every other way to sign in goes: whoever
        added it had never proved that the address was theirs.
        """

    def confirm(self, account: Account, now: datetime) -> bool:
        """Note that the address is confirmed, if it still is by the link in `account`."""

    def keep_link(
        self, account: Account, kind: LetterKind, link_hash: str, expires_at: datetime
    ) -> bool:
        """Keep the hash of a link, in place of an earlier one.

        False when the account is gone, or has another address by now, or is to have another.
        """

    def add_session(self, session: Session, nonce: Nonce | None = None) -> None:
        """Add a session; the store forgets it some time after it expires.

        InvalidCredentials, and nothing done, when the nonce was used.
        """

    def find_with_session(
        self, user_id: str, session_id: str, recording_id: str | None = None
    ) -> tuple[Account | None, Session | None, Standing | None]:
        """The account, one session of it, which may have expired, and what stands under an id.

        All as last written.
        """

    def rotate(self, session: Session) -> bool:
        """Write a session's new token and times if its token still is the one now replaced.

        False, and nothing written, if it is not or the session is over.
        """

    def note_use(self, session: Session) -> None:
        """Note that the access token of a session's last rotation was used, if it is the last."""

    def end_session(self, user_id: str, session_id: str, now: datetime) -> bool:
        """Have a session expire; False when there is none, not even one that has.

        One that expired is remembered for a month.
        """

    def sessions(self, user_id: str, password_version: int, now: datetime) -> list[Session]:
        """The sessions that go on, newest first.

        Of a user with thousands, those among the newest megabyte.
        """

    def close(self, account: Account, now: datetime) -> bool:
        """Close an account, and free its address and its identities, all or nothing.

        It is due from `now` on. False when it is closed already, or has another password by now, or
        other ways to sign in.
        """

    def find_closed(self, user_id: str) -> ClosedAccount | None:
        """The account, if it is closed."""

    def note_export(self, user_id: str, due_at: datetime) -> None:
        """Have what the user exports be due to be deleted, in place of an earlier time."""

    def forget_export(self, user_id: str, due_at: datetime) -> None:
        """Have none be due any more, unless another time was noted since."""

    def forget_rest(self, user_id: str, most: int) -> int:
        """Remove what is kept under the user besides the account and the recordings.

        `most` of it, of 100 at most; how much there was, which is less once that was all. Two
        calls.
        """

    def forget(self, account: ClosedAccount) -> None:
        """Remove what is left of a closed account."""


class AttemptStore(Protocol):
    """How often somebody tried something, within a window of time."""

    def count(self, attempts: Sequence[Attempt], now: datetime) -> FullWindow | None:
        """Count attempts together; if there is no room for one of them, count none and say whose.

        The first one opens a window. One call; another one where a window is over; but for races.
        """

    def full(self, kind: str, who: str, most: int, now: datetime) -> FullWindow | None:
        """Whether there were `most` attempts already; as last written."""

    def note_failure(self, kind: str, who: str) -> None:
        """Note that one of those counted failed: no room is to be expected of it."""

    def take_back(self, attempts: Sequence[Attempt]) -> None:
        """Uncount attempts, where there are windows; one that has no others is closed.

        One call, where none has others.
        """

    def forget(self, kind: str, who: str) -> None:
        """Close a window."""


class Outbox(Protocol):
    """Mails that are yet to be sent: of each kind one to an address."""

    def put(self, kind: LetterKind, email: str, now: datetime) -> None:
        """Have a mail sent, in place of one that waits."""

    def due(self, now: datetime) -> list[Letter]:
        """The mails that are due. Takes a call for each megabyte of what waits.

        And one for each that cannot be read, to put it off for an hour.
        """

    def postpone(self, letter: Letter, due_at: datetime) -> bool:
        """Have a mail tried later; False when somebody else has done so, or it is gone."""

    def remove(self, letter: Letter) -> None:
        """Forget a mail, unless it was asked for again meanwhile."""


class KeyPublisher(Protocol):
    """A provider, which publishes the keys that verify its id tokens."""

    def fetch(self) -> PublishedKeys:
        """The keys as they are now; takes some seconds at most.

        Unavailable for whatever is not a set of keys as providers have them.
        """


class GrantStore(Protocol):
    """What Apple gave, until it is exchanged or revoked."""

    def put(self, grant: Grant) -> None:
        """Have something exchanged or revoked."""

    def due(self, now: datetime) -> list[Grant]:
        """What is due. Takes calls as the outbox does."""

    def postpone(self, grant: Grant, due_at: datetime) -> bool:
        """Have it tried later; False when somebody else has done so, or it is gone."""

    def exchanged(self, grant: Grant, refresh_token: str, now: datetime) -> None:
        """Have what came of a code be revoked, as of now."""

    def remove(self, grant: Grant) -> None:
        """Forget it."""


class Revoker(Protocol):
    """Apple, to whom what it gave is shown and taken back."""

    def exchange(self, code: str, client_id: str, redirect_uri: str | None = None) -> str | None:
        """A refresh token for a code; None when Apple takes the code for none of its, or no more.

        `redirect_uri` is where Apple sent the browser with it, if it did.
        Unavailable when it does not answer so; the same for the next.
        """

    def revoke(self, refresh_token: str, client_id: str) -> None:
        """Take back what somebody allowed our apps; one that is none any more is no error."""


class Mailer(Protocol):
    """Sends mails."""

    def send(self, to: str, subject: str, text: str) -> None:
        """Hand a mail over to be delivered."""


class RecordingStore(Protocol):
    """The recordings. A recording is only found under the user who owns it."""

    def add(
        self, account: Account, recordings: list[StoredRecording], quota: Quota, now: datetime
    ) -> None:
        """Add a user's recordings and what they use of the quota, all of it or nothing.

        A recording of a version past the first takes the place of the expired tombstone at the
        version before. IdConflict when anything else stands under an id; QuotaExceeded, and
        TooManyAttempts beyond what may be announced in an hour; NotAuthenticated when there is no
        such account, or it is closed. One call where `account` still is as it was read.
        """

    def find(self, user_id: str, recording_id: str) -> StoredRecording | Tombstone | None:
        """What stands under an id, as last written; InternalError when it cannot be read."""

    def find_all(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Standing]:
        """What stands under up to 100 pairs of a user's id and a recording's, as last written."""

    def begin_parts(self, recording: StoredRecording, upload_id: str) -> StoredRecording | None:
        """Note a multipart upload in place of the one that `recording` notes, or of none.

        None when it notes another by now, or is no longer that upload.
        """

    def announce_again(
        self, recording: StoredRecording, changes: dict[str, Told], now: datetime
    ) -> StoredRecording | None:
        """Set fields of an upload that is at the version which its announcement made.

        None when it is at another by now, or no longer that upload.
        """

    def extend(
        self, recording: StoredRecording, size: int, pieces: int, quota: Quota, until: datetime
    ) -> StoredRecording | None:
        """Have a live upload go on for so many bytes, and count them, both or neither.

        It has time until then. None when it is not as `recording` was any more. QuotaExceeded;
        NotAuthenticated when there is no such account, or it is closed. Another call when there
        is no room, to say how much there is.
        """

    def sign_again(
        self, recording: StoredRecording, pieces: int, until: datetime
    ) -> StoredRecording | None:
        """Note that pieces of a live upload are signed another time, and give it time until then.

        None when it is no longer that upload.
        """

    def end(self, recording: StoredRecording, ended: StoredRecording) -> StoredRecording | None:
        """Have a live upload be all there is, as `ended` says. What it announced stays counted.

        None when it is not as `recording` was any more.
        """

    def take_up_again(
        self, recording: StoredRecording, refused: str | None, until: datetime
    ) -> StoredRecording | None:
        """Have a live upload that was ended go on, until then; `refused` is the hash it has not.

        None when it is no longer that upload.
        """

    def settle_hash(self, recording: StoredRecording, sha256: str) -> StoredRecording | None:
        """Have an upload be of bytes with this hash alone; None when it is of others."""

    def prolong(self, recording: StoredRecording, until: datetime) -> StoredRecording | None:
        """Give an upload time until then; None when it is no longer that upload."""

    def count_signature(self, recording: StoredRecording, most: int) -> bool:
        """Count that something was signed for an upload in parts; False when it was `most` times.

        Or when it is no longer that upload.
        """

    def mark_ready(
        self, recording: StoredRecording, sha256: str | None, now: datetime, due_at: datetime
    ) -> StoredRecording | None:
        """Make an upload ready, and give back what it does not use of its quota, both or neither.

        None when it is no longer the upload that `recording` was, or when it is one of bytes with
        another hash than `sha256`. It is due at `due_at`, unless it was listened to by then.
        """

    def revise(
        self,
        user_id: str,
        recording_id: str,
        changes: dict[str, Told],
        version: int | None,
        now: datetime,
    ) -> StoredRecording | None:
        """Set or (None) remove fields of a recording, if it is at `version` where one is given.

        Or if listening alone has made another of it since.

        None when it is not, or when there is no such recording.
        """

    def trash(
        self, recording: StoredRecording, now: datetime, purge_at: datetime
    ) -> StoredRecording | None:
        """Move a ready recording to the trash; None when it changed since."""

    def restore(
        self, recording: StoredRecording, now: datetime, due_at: datetime
    ) -> StoredRecording | None:
        """Bring a recording back from the trash; None when it changed since or its time is over.

        It is due at `due_at`, unless it was listened to by then.
        """

    def bury(self, recording: StoredRecording | Unreadable, tombstone: Tombstone) -> bool:
        """Put the tombstone in the recording's place and give its quota back, both or neither.

        Its waveform goes with it.
        False when the recording changed since, or was given more time. NotAuthenticated when
        there is no such account.
        """

    def seal(self, tombstone: Tombstone) -> bool:
        """Have an expired upload be a deleted one; False when it stands no more."""

    def settle(self, tombstone: Tombstone, forget_at: datetime) -> bool:
        """Note that nothing is owed any more; the store forgets the tombstone after `forget_at`.

        False when it stands no more.
        """

    def forget(self, tombstone: Tombstone) -> None:
        """Remove a tombstone; one that stands no more is no error."""


class LinkStore(Protocol):
    """The links to recordings, by their codes and by their recordings."""

    def add(self, link: Link, recording: StoredRecording) -> bool:
        """Add a link to a recording that is ready.

        False, and nothing done, when the recording is not ready any more or a link to it was made
        since it was read, and when the link's id or its code is taken.
        """

    def find(
        self, code: str, watched: Attempt | None, now: datetime
    ) -> tuple[Link | None, FullWindow | None]:
        """The link with a code, and the window of what is watched if it is full; as last written.

        The link may be over, and its recording may be gone.
        """

    def target(self, link: Link) -> tuple[Account | None, Standing | None, Waveform | None]:
        """The account and the recording that a link leads to, and its waveform, as last written."""

    def of(self, user_id: str, recording_id: str | None = None) -> Iterator[Link | Unreadable]:
        """The links of a recording, or of all of a user's, those that are over too.

        Read by the page, as they are asked for, in the order of the recordings' ids.
        """

    def remove(self, links: Iterable[Link | Unreadable]) -> None:
        """Remove links, 50 a call; those that are gone already are no error."""

    def note_opens(self, link: Link, opens: int, now: datetime, until: datetime) -> None:
        """Add to how often a link was opened in its window, or begin one until then.

        A link that is gone stays so. At most two calls.
        """


class SoundStore(Protocol):
    """What was heard in recordings, and their waveforms, which no list has to carry."""

    def find(
        self, user_id: str, recording_id: str
    ) -> tuple[StoredRecording | Tombstone | None, Waveform | None]:
        """What stands under an id, and its waveform, both as last written."""

    def waveform(self, recording: StoredRecording) -> Waveform | None:
        """The waveform of a recording, as last written."""

    def note(self, recording: StoredRecording, heard: Heard, listener: int, now: datetime) -> bool:
        """Note what was heard by this version of the listener, and keep the waveform, or neither.

        False when the recording is another by now, or has changed, or so new a version has
        listened to it already. It is due no more, but for the trash.
        """

    def note_again(self, recording: StoredRecording, listener: int) -> bool:
        """Note that this version of the listener heard the same; False as above."""

    def waveforms(self, user_id: str) -> Iterator[tuple[str, Waveform | Unreadable]]:
        """The ids of a user's recordings that have one, each with it, by the page."""


class Ear(Protocol):
    """What listens to bytes, whatever they are."""

    def hear(self, url: str, kept: StoredObject, seconds: float) -> Heard:
        """What is to be heard in an object; the same again, of the same bytes.

        Unavailable when its bytes cannot be had, or are others by now, or this is not over in so
        many seconds.
        """


class EventBus(Protocol):
    """What has jobs started."""

    def tell_of_kept(self, recordings: Iterable[Keyed]) -> None:
        """Tell of recordings as S3 did when they were kept; a call for each 10."""


class ShelfStore(Protocol):
    """The recordings in their orders."""

    def page(
        self, user_id: str, status: Status, limit: int, after: str | None, newest_first: bool
    ) -> list[Recording]:
        """Up to `limit` recordings of one status in the order of their ids, after one of them.

        The id `after` itself need not exist any more. May take several calls, when the
        recordings are large. What cannot be read is left out, and logged; so it is below.
        """

    def search(
        self,
        user_id: str,
        status: Status,
        matches: Callable[[Recording], bool],
        limit: int,
        after: str | None,
        newest_first: bool,
    ) -> tuple[list[Recording], str | None]:
        """Up to `limit` of those that match, among the next megabyte of them, in the same order.

        And the id after which there is more to look at; None when there is none. One call.
        """

    def changed(
        self, user_id: str, limit: int, after: tuple[datetime, str]
    ) -> list[StoredRecording | Tombstone]:
        """Up to `limit` of what changed after a time and id, oldest first."""

    def all_of(self, user_id: str) -> Iterator[Standing]:
        """All that stands under a user's recordings' keys, read by the page as it is asked for."""


class DueStore(Protocol):
    """What time alone must move."""

    def due(self, now: datetime) -> Iterator[Due]:
        """What is due at `now`, as of some seconds ago, the oldest first.

        Read by the page as it is asked for.
        """

    def postpone(self, due: Due, until: datetime) -> bool:
        """Have it due later; False when it is due at another time by now, or not at all."""


class UploadStore(Protocol):
    """The bytes that arrived, in the uploads bucket, under their recordings' keys."""

    def sign_put(self, recording: StoredRecording, seconds: int) -> tuple[str, dict[str, str]]:
        """URL and headers for one PUT of exactly this size, type and (if known) SHA-256."""

    def sign_post(self, recording: StoredRecording, seconds: int) -> tuple[str, dict[str, str]]:
        """URL and fields of a form for exactly this size, type and (if known) SHA-256."""

    def find(self, recording: Keyed) -> StoredObject | None:
        """What has arrived."""

    def discard(self, key: str, etag: str) -> None:
        """Delete what was uploaded, unless it is something else by now."""

    def delete(self, keys: Iterable[str]) -> set[str]:
        """Delete whatever has these keys, 1,000 a call; those that S3 would not delete."""

    def arrived(self, recording: Keyed) -> Iterator[tuple[str, str]]:
        """Key and ETag of what has arrived of a recording, whole or in pieces, as `keys` does."""

    def keys(self, user_id: str, recording_id: str | None = None) -> Iterator[str]:
        """The keys of what a user has uploaded, or of a recording's pieces; a call for each 1,000.

        Those of a recording are of every upload of it, also of one that expired.
        """


class PieceStore(Protocol):
    """The pieces that arrived of live uploads, in the uploads bucket."""

    def sign(
        self, recording: StoredRecording, offset: int, size: int, sha256: str | None, seconds: int
    ) -> tuple[str, dict[str, str]]:
        """URL and headers for one PUT of exactly this size and (if known) SHA-256."""

    def arrived(self, recording: StoredRecording) -> list[Piece]:
        """The pieces of this upload that S3 has, in a call for each 1,000."""

    def read(self, recording: StoredRecording, slices: list[Slice]) -> bytes:
        """The bytes of some slices, one after the other; a call for each. ObjectChanged."""

    def put_last(self, recording: StoredRecording, *, again: bool) -> None:
        """Have S3 tell that this upload is to be put together, by a last piece of no bytes.

        Nothing if that is there, unless `again`.
        """


class AudioStore(Protocol):
    """The bytes of recordings, in the recordings bucket, under their recordings' keys."""

    def sign_get(self, recording: StoredRecording, seconds: int) -> str:
        """URL that plays the recording under its own file name and type."""

    def sign_read(self, recording: StoredRecording, seconds: int) -> str:
        """URL by which we read the recording ourselves, past whatever phones reach S3 through."""

    def find(self, recording: StoredRecording) -> StoredObject | None:
        """What is kept."""

    def promote(self, recording: StoredRecording, uploaded: StoredObject) -> StoredObject:
        """Copy what was uploaded; says what the copy is, with its SHA-256.

        ObjectChanged, and nothing copied, when what was uploaded is gone or is something else by
        now, or when there already is an object in the recordings bucket.
        """

    def keep(self, recording: StoredRecording, body: bytes, sha256: str) -> None:
        """Write bytes, verified by their SHA-256; ObjectChanged when there is an object."""

    def discard(self, recording: StoredRecording, kept: StoredObject) -> None:
        """Delete exactly this version."""

    def versions(self, user_id: str, recording_id: str | None = None) -> Iterator[ObjectVersion]:
        """Every version of a recording's object, or of all of a user's; a call for each 1,000."""

    def delete(self, versions: Iterable[ObjectVersion]) -> set[str]:
        """Delete exactly these, 1,000 a call; the keys of those that S3 would not delete."""


class ExportStore(Protocol):
    """The exports that users asked for, in the uploads bucket, where its lifecycle ends them."""

    def publish(self, user_id: str, export: IO[bytes], seconds: int) -> str:
        """Put a user's export where only a signed URL finds it; such a URL."""

    def delete(self, user_id: str) -> set[str]:
        """Delete a user's exports; the keys of those that S3 would not delete."""


class PartStore(Protocol):
    """The multipart uploads that are to become objects of the uploads bucket."""

    def begin(self, recording: StoredRecording) -> str:
        """Begin a multipart upload; S3's name for it."""

    def sign(self, recording: StoredRecording, number: int, size: int, seconds: int) -> str:
        """URL for one PUT of one part of exactly this size."""

    def arrived(self, recording: StoredRecording) -> list[UploadedPart] | None:
        """The parts that S3 has, in a call for each 1,000; None when it has no such upload."""

    def write(self, recording: StoredRecording, number: int, data: bytes) -> UploadedPart:
        """Send a part ourselves; ObjectChanged when S3 has no such upload (any more)."""

    def copy(self, recording: StoredRecording, number: int, slice: Slice) -> UploadedPart:
        """Have S3 copy a part from a piece, of 5 MiB at least.

        ObjectChanged when S3 has no such piece, or no such upload (any more).
        """

    def assemble(self, recording: StoredRecording, parts: list[UploadedPart]) -> None:
        """Make an object of the parts; ObjectChanged when one of them is another by now.

        An upload that is gone, perhaps because it was assembled before, is no error.
        """

    def under_way(self, user_id: str, recording_id: str | None = None) -> list[tuple[str, str]]:
        """Key and name of every multipart upload of a recording's, or of all of a user's."""

    def abort(self, key: str, upload_id: str) -> None:
        """Abort one multipart upload; one that is gone already is no error."""


class BrowserSigner(Protocol):
    """Signs what upload libraries in browsers send to the uploads bucket."""

    def place(self, access_key: str | None = None) -> SigningPlace | None:
        """Where they send to, and with what they are signed; None where nothing is set up.

        By the key of this name, if there is one by now.
        """


class Stores(Struct, frozen=True):
    """All of them."""

    accounts: AccountStore
    attempts: AttemptStore
    outbox: Outbox
    grants: GrantStore
    recordings: RecordingStore
    links: LinkStore
    sounds: SoundStore
    shelves: ShelfStore
    due: DueStore
    uploads: UploadStore
    pieces: PieceStore
    parts: PartStore
    audio: AudioStore
    exports: ExportStore
    events: EventBus
