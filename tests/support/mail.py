"""Mail: what the embedded SES was given to send."""

from __future__ import annotations

import re

from chalicelib import wiring
from local.embedded.environment import REGION
from tests.support import leaks
from tests.support.moto.mailbox import mails
from tests.support.phone import Phone


def delivered_to(address: str) -> list[dict[str, str]]:
    """The mails that an address has got, once the post has been round; oldest first."""
    wiring.services().mail.deliver()
    return [mail for mail in mails(REGION) if mail["to"] == address]


def token_in(mail: dict[str, str]) -> str:
    """The token in the link in a mail."""
    (token,) = re.findall(r"^http://127\.0\.0\.1:8000/auth/\S+#(\S+)$", mail["text"], re.MULTILINE)
    leaks.learn({"token": token})
    return str(token)


def link_for(phone: Phone) -> str:
    """The token of a link to a new password, mailed just now."""
    assert phone.post("/auth/password/forgot", {"email": phone.email}).status == 202
    mails = delivered_to(phone.email)
    return token_in([mail for mail in mails if mail["subject"] == "Set a new password"][-1])
