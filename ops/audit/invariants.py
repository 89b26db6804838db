"""What is promised of everybody's recordings, as rules that can be held against what there is.

I1: every ready or trashed recording has its bytes. I2: every object in the recordings bucket
belongs to a live recording, or to something that owes its deletion. I3: a balance is the sum of its
user's recordings. I4: what time alone must move has been moved, and no link outlives its recording.
I5: who signs in to an account by a provider is who the account says does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from ops.audit.entries import Balance, Drawn, Entry, KeptVersion

Rule = Literal["I1", "I2", "I3", "I4", "I5"]

# Upkeep runs every 15 minutes, and what it fails at it tries again six times within this.
OVERDUE = timedelta(hours=6)


class Place(Struct, frozen=True):
    """What there is under one key: in the table, and in the recordings bucket."""

    key: str
    entry: Entry | None
    current: KeptVersion | None
    """The version that S3 shows, unless that is a mark of deletion."""
    versions: int
    """How many there are, marks of deletion too."""
    is_drawn: bool = False
    """Whether there is a waveform."""

    @classmethod
    def of(cls, key: str, found: Iterable[Entry | KeptVersion | Drawn]) -> Place:
        """The place where all of this was found."""
        entry: Entry | None = None
        is_drawn = False
        current: KeptVersion | None = None
        versions = 0
        for each in found:
            if isinstance(each, Entry):
                entry = each
            elif isinstance(each, Drawn):
                is_drawn = True
            else:
                versions += 1
                if each.is_current and each.size is not None:
                    current = each
        return cls(key, entry, current, versions, is_drawn)

    @property
    def is_kept(self) -> bool:
        """Whether a recording stands here that must have its bytes."""
        return self.entry is not None and self.entry.status in {"ready", "trashed"}

    def breaches(
        self, now: datetime, *, is_closed: bool, sha256: str | None = None
    ) -> Iterator[tuple[Rule, str]]:
        """The rules that do not hold here, each with a sentence that says why.

        An account that `is_closed` owes all that has its name on it. `sha256` is that of the
        current version, where it is known.
        """
        if self.is_kept:
            if lack := self._lack(sha256):
                yield "I1", lack
            if self.entry and self.entry.is_heard and not self.is_drawn:
                yield "I1", "Its waveform is gone"
        elif self.versions and not (self._is_owed or is_closed):
            belongs = "a deleted recording that owes nothing" if self.entry else "no recording"
            yield "I2", f"An object belongs to {belongs}"
        if self.is_drawn and not (is_closed or (self.entry and self.entry.is_live)):
            yield "I2", "A waveform belongs to no recording"
        if self.entry and (since := _due_since(self.entry)) and since < now - OVERDUE:
            state = "a tombstone that owes" if self.entry.owes else self.entry.status
            yield "I4", f"It is {state}, and upkeep should have moved it at {since:%F %R} UTC"

    @property
    def _is_owed(self) -> bool:
        return self.entry is not None and (self.entry.is_live or "recordings" in self.entry.owes)

    def _lack(self, sha256: str | None) -> str | None:
        """What is wrong with the bytes of a recording that must have them."""
        expected, current = self.entry, self.current
        if not self.versions or not expected:
            return "Its bytes are gone"
        if current is None:
            return "A mark of deletion hides its bytes"
        if current.size != expected.size:
            return f"{current.size} bytes stand where {expected.size} belong"
        if sha256 and expected.sha256 and sha256 != expected.sha256:
            return "Other bytes of the same size stand in their place"
        if self.versions > 1:
            return f"{self.versions} versions stand where one belongs"
        return None


class Census(Struct):
    """What one user has, counted as it passes by."""

    balance: Balance | None = None
    bytes: int = 0
    recordings: int = 0

    def counted(self, standing: Iterable[Balance | Entry]) -> Iterator[Entry]:
        """The recordings and tombstones among these."""
        for each in standing:
            if isinstance(each, Balance):
                self.balance = each
                continue
            if each.is_live:
                self.bytes += each.size
                self.recordings += 1
            yield each

    def breaches(self, now: datetime) -> Iterator[tuple[Rule, str]]:
        """The rules that do not hold for this user, each with a sentence that says why."""
        noted = self.balance or Balance(user_id="")
        if (noted.bytes_used, noted.recordings_used) != (self.bytes, self.recordings):
            are = f"there are {self.bytes} bytes in {self.recordings} recordings"
            if self.balance:
                said = f"{noted.bytes_used} bytes in {noted.recordings_used} recordings are noted"
            else:
                said = "There is no account"
            yield "I3", f"{said}, {are}"
        if (since := noted.closed_at) and since < now - OVERDUE:
            yield "I4", f"It was closed at {since:%F %R} UTC, and upkeep has not removed it"


def _due_since(entry: Entry) -> datetime | None:
    """The time from which upkeep is to move an entry, whatever has been put off since."""
    if entry.status == "uploading":
        return entry.upload_expires_at
    if entry.status == "trashed":
        return entry.purge_at
    return entry.updated_at if entry.owes else None
