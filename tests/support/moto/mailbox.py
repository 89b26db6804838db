"""Every mail that moto's SES was given, to whomever it was sent."""

from __future__ import annotations

from local.embedded.backend import SENDER


def open_mailbox(region: str) -> None:
    """Let SENDER send."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.ses.models import ses_backends

    ses_backends[DEFAULT_ACCOUNT_ID][region].verify_email_identity(SENDER)


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


def forget(region: str) -> None:
    """Forget them."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.ses.models import ses_backends

    ses_backends[DEFAULT_ACCOUNT_ID][region].sent_messages.clear()
