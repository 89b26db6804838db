"""What an audit reads of the stores: of each thing what its state is, and nothing personal."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from chalicelib.models.answers import Sound
from chalicelib.models.entities import Keyed, ObjectVersion
from chalicelib.models.fields import Debt, Provider, Status


class Known(Struct, frozen=True):
    """By what name a provider knows a user."""

    subject: str


class Way(Struct, frozen=True, kw_only=True):
    """That a provider's word for somebody signs in to an account."""

    provider: Provider
    subject: str
    user_id: str


class Balance(Struct, frozen=True, kw_only=True):
    """What an account's item says that its recordings come to."""

    user_id: str
    bytes_used: int = 0
    recordings_used: int = 0
    closed_at: datetime | None = None
    """When it was closed; upkeep removes all that has its name on it."""
    google: Known | None = None
    apple: Known | None = None

    @property
    def ways(self) -> list[Way]:
        """Who it says signs in to it."""
        known: list[tuple[Provider, Known | None]] = [
            ("google", self.google),
            ("apple", self.apple),
        ]
        return [
            Way(provider=provider, subject=each.subject, user_id=self.user_id)
            for provider, each in known
            if each
        ]


class Entry(Keyed, frozen=True, kw_only=True):
    """A recording, or its tombstone."""

    status: Status | Literal["deleted"]
    version: int
    updated_at: datetime
    size: int = 0
    sha256: str | None = None
    upload_id: str | None = None
    upload_expires_at: datetime | None = None
    purge_at: datetime | None = None
    owes: tuple[Debt, ...] = ()
    expired: bool = False
    sound: Sound | None = None

    @property
    def is_live(self) -> bool:
        """Whether it counts in its user's balance."""
        return self.status != "deleted"

    @property
    def is_heard(self) -> bool:
        """Whether somebody listened to it, and there was sound."""
        return self.sound is not None and self.sound.readable


class Drawn(Keyed, frozen=True, kw_only=True):
    """A waveform."""


class LinkEntry(Struct, frozen=True, kw_only=True):
    """A link to a recording, where it is listed or where it is found by its code."""

    pk: str
    sk: str
    user_id: str
    recording_id: str
    expires_at: datetime | None = None
    """From then on it is DynamoDB's to remove."""

    @property
    def key(self) -> str:
        """The key of its recording."""
        return f"{self.user_id}/{self.recording_id}"


class KeptVersion(ObjectVersion, frozen=True, kw_only=True):
    """One version of an object in the recordings bucket."""

    size: int | None
    """None for a version that marks a deletion and has no bytes."""
    is_current: bool


class Staged(Struct, frozen=True, kw_only=True):
    """An object of the uploads bucket, or a multipart upload that may become one."""

    key: str
    since: datetime
    upload_id: str | None = None
    """S3's name for the multipart upload."""
