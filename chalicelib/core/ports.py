"""What the use cases ask of storage, and what they may rely on.

Each method is one call to its store unless it says otherwise. Each raises Unavailable when the
store is busy or does not answer, and InternalError when it refuses for good. What was to be
written may or may not have been written by then, so every use case can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from chalicelib.models.entities import Account, Session, StoredObject, StoredRecording, Tombstone
from chalicelib.models.fields import Status, Store

Clock = Callable[[], datetime]
NewId = Callable[[], str]


class AccountStore(Protocol):
    """The accounts and their sessions."""

    def open(self, account: Account, session: Session) -> None:
        """Add an account with its first session, whole or not at all; EmailTaken."""

    def find(self, user_id: str) -> Account | None:
        """The account, as last written."""

    def owner_of(self, email: str) -> str | None:
        """The id of the user with this address, compared without case."""

    def rename(self, user_id: str, name: str | None) -> Account:
        """Set the name; NotAuthenticated when there is no such account."""

    def add_session(self, session: Session) -> None:
        """Add a session; the store forgets it some time after it expires."""

    def find_session(self, user_id: str, session_id: str) -> Session | None:
        """The session, as last written; it may have expired."""

    def rotate(self, session: Session) -> bool:
        """Write a session's new token and times if its token still is the one now replaced.

        False, and nothing written, if it is not or the session is gone.
        """

    def end_session(self, user_id: str, session_id: str) -> None:
        """Remove a session; one that is gone already is no error."""


class RecordingStore(Protocol):
    """The recordings. A recording is only found under the user who owns it."""

    def add(self, recording: StoredRecording, quota_bytes: int) -> None:
        """Add a recording and what it uses of the quota, both or neither.

        IdConflict when its owner has anything under its id, a tombstone too; QuotaExceeded;
        NotAuthenticated when there is no such account.
        """

    def find(self, user_id: str, recording_id: str) -> StoredRecording | Tombstone | None:
        """What stands under an id, as last written."""

    def mark_ready(
        self, recording: StoredRecording, sha256: str | None, now: datetime
    ) -> StoredRecording | None:
        """Make an upload ready; None when it is no longer the upload that `recording` was."""

    def revise(
        self,
        user_id: str,
        recording_id: str,
        changes: dict[str, str | list[str] | None],
        version: int | None,
        now: datetime,
    ) -> StoredRecording | None:
        """Set or (None) remove fields of a recording, if it is at `version` where one is given.

        None when it is not, or when there is no such recording.
        """

    def bury(self, recording: StoredRecording, tombstone: Tombstone) -> bool:
        """Put the tombstone in the recording's place and give its quota back, both or neither.

        False when the recording is no longer at the version given; NotAuthenticated when there is
        no such account.
        """

    def settle(self, tombstone: Tombstone, forget_at: datetime) -> None:
        """Note that nothing is owed any more; the store forgets the tombstone after `forget_at`."""

    def page(
        self, user_id: str, status: Status, limit: int, after: str | None, newest_first: bool
    ) -> list[StoredRecording]:
        """Up to `limit` recordings of one status in the order of their ids, after one of them.

        The id `after` itself need not exist any more. May take several calls, when the
        recordings are large.
        """


class AudioStore(Protocol):
    """The bytes: uploads land in one bucket, recordings stay in another, under the same keys."""

    def sign_put(self, recording: StoredRecording, seconds: int) -> tuple[str, dict[str, str]]:
        """URL and headers for one PUT of exactly this size, type and (if known) SHA-256."""

    def sign_post(self, recording: StoredRecording, seconds: int) -> tuple[str, dict[str, str]]:
        """URL and fields of a form for exactly this size, type and (if known) SHA-256."""

    def sign_get(self, recording: StoredRecording, seconds: int) -> str:
        """URL that plays the recording under its own file name and type."""

    def uploaded(self, recording: StoredRecording) -> StoredObject | None:
        """What has arrived in the uploads bucket."""

    def kept(self, recording: StoredRecording) -> StoredObject | None:
        """What stands in the recordings bucket."""

    def promote(self, recording: StoredRecording, uploaded: StoredObject) -> StoredObject:
        """Copy what was uploaded to the recordings bucket; says what the copy is.

        ObjectChanged, and nothing copied, when what was uploaded is gone or is something else by
        now, or when there already is an object in the recordings bucket.
        """

    def keep(self, recording: StoredRecording, body: bytes, sha256: str) -> None:
        """Put bytes into the recordings bucket, verified; ObjectChanged when there is an object."""

    def discard_upload(self, recording: StoredRecording, uploaded: StoredObject) -> None:
        """Delete what was uploaded, unless it is something else by now."""

    def discard_kept(self, recording: StoredRecording, kept: StoredObject) -> None:
        """Delete exactly this version from the recordings bucket."""

    def erase(self, user_id: str, recording_id: str, store: Store) -> None:
        """Delete every version of an object from one of the buckets, in a few calls."""
