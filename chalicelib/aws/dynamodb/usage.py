"""What a user's recordings use of the quota, counted on the account's item as they are written."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from chalicelib.aws.dynamodb.items import OPEN, Item, timestamp
from chalicelib.aws.dynamodb.table import Increment
from chalicelib.errors import NotAuthenticated, QuotaExceeded, RecorderError, TooManyAttempts
from chalicelib.models.entities import Account, Quota, StoredRecording

HOUR = timedelta(hours=1)


class Usage(Struct, frozen=True):
    """What recordings use, together."""

    bytes: int
    recordings: int

    @classmethod
    def of(cls, recordings: list[StoredRecording]) -> Usage:
        """What these use."""
        return cls(sum(recording.size for recording in recordings), len(recordings))

    def added(self) -> Item:
        """The change that counts it."""
        return _counted(self.bytes, self.recordings)

    def given_back(self) -> Item:
        """The change that counts it no more."""
        return _counted(-self.bytes, -self.recordings)

    def announced(
        self, account: Account, quota: Quota, now: datetime
    ) -> tuple[Item, str, dict[str, Any]]:
        """The change that counts it as announced now; its condition, and the values in that.

        It holds if there is room for it, and `account` still is in the hour that it was read in.
        TooManyAttempts when it is more than any hour takes.
        """
        changes = self.added()
        condition = f"{OPEN} AND #bytes_used <= :room AND #recordings_used <= :places"
        values: dict[str, Any] = {
            "room": quota.bytes - self.bytes,
            "places": quota.recordings - self.recordings,
        }
        if not quota.announced_per_hour:
            return changes, condition, values
        if self.recordings > quota.announced_per_hour:
            raise TooManyAttempts(int(HOUR.total_seconds()))
        if account.announced_until is None:
            condition += " AND attribute_not_exists(#announced_until)"
        else:
            condition += " AND #announced_until = :hour"
            values["hour"] = timestamp(account.announced_until)
        if _is_over(account, now):
            changes |= {"announced": self.recordings, "announced_until": timestamp(now + HOUR)}
        else:
            changes["announced"] = Increment(self.recordings)
            condition += " AND #announced <= :others"
            values["others"] = quota.announced_per_hour - self.recordings
        return changes, condition, values

    def fitting(self, quota: Quota) -> tuple[Item, str, dict[str, Any]]:
        """The change that counts it where it is announced already; its condition and values."""
        return self.added(), f"{OPEN} AND #bytes_used <= :room", {"room": quota.bytes - self.bytes}

    def lack(self, account: Account | None, quota: Quota, field: str) -> RecorderError | None:
        """Why an account has no room for so many bytes; None when it has."""
        if account is None:
            return NotAuthenticated("The account is gone")
        left = quota.bytes - account.bytes_used
        if left < self.bytes:
            return QuotaExceeded(f"{max(0, left)} of {quota.bytes} bytes are left", field=field)
        return None

    def refusal(
        self, account: Account | None, quota: Quota, now: datetime, field: str
    ) -> RecorderError | None:
        """Why an account has no room for it; None when it has. `field` says how many bytes."""
        lack = self.lack(account, quota, field)
        if lack or account is None:
            return lack
        if account.recordings_used + self.recordings > quota.recordings:
            has = f"{account.recordings_used} of {quota.recordings} recordings are there"
            return QuotaExceeded(f"{has}; delete some for good")
        already = 0 if _is_over(account, now) else account.announced
        if quota.announced_per_hour and already + self.recordings > quota.announced_per_hour:
            rest = (account.announced_until or now + HOUR) - now
            return TooManyAttempts(max(1, math.ceil(rest.total_seconds())))
        return None


def _is_over(account: Account, now: datetime) -> bool:
    """Whether the hour is over in which an account announced last."""
    return account.announced_until is None or account.announced_until <= now


def _counted(size: int, count: int) -> Item:
    return {"bytes_used": Increment(size), "recordings_used": Increment(count)}
