"""The pages that links in mails open, for people whose phone does not open the app itself.

Each posts what it was given to its own address. The token stands behind the `#` of the link, which
a browser sends to nobody: not to us, so it is in no log, and not to who is linked to. A button
sends it, since programs that check mails for viruses open every link.
"""

from __future__ import annotations

from chalicelib.api.http import Reply
from chalicelib.api.web.pages import page

_FIELD = (
    '<input name="new_password" type="password" autocomplete="new-password" minlength="8" required'
    ' aria-label="New password" placeholder="New password, 8 characters or more">'
)


def reset() -> Reply:
    """Where another password is set."""
    return page(
        "mail_link",
        title="Set a new password",
        field=_FIELD,
        button="Set",
        done="It is set. Every device was logged out: log in with it.",
    )


def confirmation() -> Reply:
    """Where an address is confirmed."""
    return page(
        "mail_link",
        title="Confirm your address",
        field="",
        button="Confirm",
        done="It is confirmed.",
    )
