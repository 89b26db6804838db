"""The mailbox: every mail that the embedded SES was given, to whomever it was sent."""

from __future__ import annotations

import json

from local.embedded import signatures
from local.embedded.http import Answer, Request

# Where SES takes a mail.
SEND = "/v2/email/outbound-emails"


class Mailbox:
    """Takes mails as SES does, and keeps them for as long as it lives."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self.mails: list[dict[str, str]] = []

    def answer(self, request: Request) -> Answer:
        """Take a mail."""
        refusal = signatures.refusal_of_header(request, "ses", self._secret)
        if refusal:
            return 403, {"Content-Type": "application/json"}, _json({"message": refusal.message})
        mail = json.loads(bytes(request.body))
        content = mail["Content"]["Simple"]
        self.mails.append(
            {
                "to": mail["Destination"]["ToAddresses"][0],
                "subject": content["Subject"]["Data"],
                "text": content["Body"]["Text"]["Data"],
            }
        )
        return 200, {"Content-Type": "application/json"}, _json({"MessageId": str(len(self.mails))})

    def show(self) -> Answer:
        """All mails, for people to read."""
        text = json.dumps(self.mails, indent=2, ensure_ascii=False)
        return 200, {"Content-Type": "application/json; charset=utf-8"}, f"{text}\n".encode()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
