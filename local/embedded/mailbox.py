"""The mailbox: every mail that the embedded SES was given, to whomever it was sent."""

from __future__ import annotations

import json
from typing import Any

PATH = "/moto-api/mail"
SENDER = "recorder@example.com"


def open_mailbox(region: str) -> None:
    """Let SENDER send, and show what it sent at PATH of moto's server."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.moto_api._internal.urls import url_paths
    from moto.ses.models import ses_backends

    ses = ses_backends[DEFAULT_ACCOUNT_ID][region]
    ses.verify_email_identity(SENDER)

    def show(*_: Any) -> tuple[int, dict[str, str], str]:
        text = json.dumps(mails(region), indent=2, ensure_ascii=False)
        return 200, {"Content-Type": "application/json; charset=utf-8"}, text + "\n"

    paths: dict[str, Any] = url_paths
    paths["{0}" + PATH + "$"] = show


def mails(region: str) -> list[dict[str, str]]:
    """The mails that were sent, oldest first."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.ses.models import Message, ses_backends

    sent = ses_backends[DEFAULT_ACCOUNT_ID][region].sent_messages
    return [
        {"to": mail.destinations["ToAddresses"][0], "subject": mail.subject, "text": mail.body}
        for mail in sent
        if isinstance(mail, Message)
    ]
