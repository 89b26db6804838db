"""Amazon SES, which sends mails."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from chalicelib.aws.clients import our_errors
from chalicelib.errors import Unavailable
from chalicelib.models.fields import in_ascii

if TYPE_CHECKING:
    from mypy_boto3_sesv2.client import SESV2Client

UTF_8 = "UTF-8"


class SesMailer(Struct, frozen=True):
    """Sends mails by Amazon SES."""

    client: Callable[[], SESV2Client]
    sender: str | None

    def send(self, to: str, subject: str, text: str) -> None:
        if not self.sender:
            raise Unavailable("RECORDER_MAIL_FROM is not set")
        with our_errors():
            self.client().send_email(
                FromEmailAddress=self.sender,
                Destination={"ToAddresses": [_deliverable(to)]},
                Content={
                    "Simple": {
                        "Subject": {"Data": subject, "Charset": UTF_8},
                        "Body": {"Text": {"Data": text, "Charset": UTF_8}},
                    }
                },
            )


def _deliverable(address: str) -> str:
    """An address as SES wants it, with its domain in Punycode."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{in_ascii(domain)}"
