"""Mail: the outbox in the table, and Amazon SES, which sends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from chalicelib.aws.clients import our_errors
from chalicelib.aws.dynamodb.items import Item, letter_key, timestamp, to_item
from chalicelib.aws.dynamodb.table import Table
from chalicelib.errors import Unavailable
from chalicelib.models.entities import Letter
from chalicelib.models.fields import LetterKind, in_ascii

if TYPE_CHECKING:
    from mypy_boto3_sesv2.client import SESV2Client

UTF_8 = "UTF-8"
# What no post takes away, since it runs no more.
KEPT = timedelta(days=7)


class OutboxTable:
    """Stores mails until they are sent; see core/ports.py for what each method promises."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    def put(self, kind: LetterKind, email: str, now: datetime) -> None:
        """Have a mail sent, in place of one that waits."""
        self._table.put(letter_item(kind, email, now))

    def due(self, now: datetime) -> list[Letter]:
        """The mails that are due."""
        items = self._table.query(
            "#pk = :pk",
            only="#due_at <= :now",
            pk=letter_key("reset", "")["pk"],
            now=timestamp(now),
        )
        return [msgspec.convert(item, Letter) for item in items]

    def postpone(self, letter: Letter, due_at: datetime) -> bool:
        """Have a mail tried later; False when somebody else has done so, or it is gone."""
        postponed = self._table.try_update(
            letter_key(letter.kind, letter.email),
            {"due_at": timestamp(due_at)},
            "#due_at = :due_then",
            due_then=timestamp(letter.due_at),
        )
        return postponed is not None

    def remove(self, letter: Letter) -> None:
        """Forget a mail, unless it was asked for again meanwhile."""
        self._table.delete(
            letter_key(letter.kind, letter.email),
            "#asked_at = :asked_then",
            asked_then=timestamp(letter.asked_at),
        )


class SesMailer:
    """Sends mails by Amazon SES."""

    def __init__(self, client: Callable[[], SESV2Client], sender: str | None) -> None:
        """`client` is asked for whenever it is needed; without a sender nothing can be sent."""
        self._client = client
        self._sender = sender

    def send(self, to: str, subject: str, text: str) -> None:
        """Hand a mail over to be delivered."""
        if not self._sender:
            raise Unavailable("RECORDER_MAIL_FROM is not set")
        with our_errors():
            self._client().send_email(
                FromEmailAddress=self._sender,
                Destination={"ToAddresses": [_deliverable(to)]},
                Content={
                    "Simple": {
                        "Subject": {"Data": subject, "Charset": UTF_8},
                        "Body": {"Text": {"Data": text, "Charset": UTF_8}},
                    }
                },
            )


def letter_item(kind: LetterKind, email: str, now: datetime) -> Item:
    """A mail as the table holds it."""
    letter = Letter(kind=kind, email=email, asked_at=now, due_at=now)
    return letter_key(kind, email) | to_item(letter) | {"ttl": int((now + KEPT).timestamp())}


def _deliverable(address: str) -> str:
    """An address as SES wants it, with its domain in Punycode."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{in_ascii(domain)}"
