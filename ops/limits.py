"""What a stage may cost before AWS refuses, or somebody is told: its `limits` in config.json."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Some = Annotated[int, Meta(ge=1)]
SomeOrOff = Annotated[int, Meta(ge=0)]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """One stage's; where 0 is allowed, it is none."""

    requests_per_second: Some
    """Of each route, by all callers together. Beyond it API Gateway answers 429."""
    requests_at_once: Some
    """Of each route, before the rate counts: phones come in bursts."""
    notice_at_once: SomeOrOff
    """How many runs of `notice` there are at most, and always room for."""
    listen_at_once: SomeOrOff
    """The same of `listen`: what is beyond it is listened to later."""
    dollars_a_month: SomeOrOff
    """What the whole AWS account may cost before somebody is told."""
    downloaded_bytes: SomeOrOff
    """How many bytes of recordings may leave S3 in a quarter of an hour before somebody is."""
    mails_an_hour: Some
    """How many mails may be sent in an hour before somebody is."""

    @property
    def at_once(self) -> dict[str, int]:
        """The functions that have concurrency of their own, with how much."""
        return {"notice": self.notice_at_once, "listen": self.listen_at_once}

    def parameters(self) -> dict[str, str]:
        """Those that the template is made with."""
        return {
            "DollarsAMonth": str(self.dollars_a_month),
            "DownloadedBytes": str(self.downloaded_bytes),
            "MailsAnHour": str(self.mails_an_hour),
        }
