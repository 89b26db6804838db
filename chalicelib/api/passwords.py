"""Passwords over HTTP."""

from __future__ import annotations

from chalicelib.api.http import Blueprint, Reply
from chalicelib.api.web import mail_links
from chalicelib.errors import InvalidCredentials, NotReady
from chalicelib.models.entities import Caller
from chalicelib.models.requests import ForgottenPassword, PasswordChange, PasswordReset
from chalicelib.wiring import services

blueprint = Blueprint(__name__, tag="Passwords", unconfirmed=True)


@blueprint.endpoint(
    "POST",
    "/me/password",
    None,
    204,
    limited=True,
    body=PasswordChange,
    raises=(InvalidCredentials, NotReady),
)
def change_password(caller: Caller, body: PasswordChange, source: str) -> None:
    """Change one's password; every other session ends.

    `not_ready` of an account that has none: a mailed link sets the first one.
    """
    services().passwords.change(caller, body.current_password, body.new_password, source)


@blueprint.endpoint(
    "POST", "/auth/password/forgot", None, 202, auth=False, limited=True, body=ForgottenPassword
)
def forgot_password(body: ForgottenPassword, source: str) -> None:
    """Have a link mailed that sets a new password, if there is an account with this address.

    The answer does not say whether there is. The mail may take a minute.
    """
    services().passwords.forgot(body.email, source)


@blueprint.endpoint(
    "POST", "/auth/password/reset", None, 204, auth=False, limited=True, body=PasswordReset
)
def reset_password(body: PasswordReset, source: str) -> None:
    """Set a new password, by the token in the link that was mailed; every session ends.

    The token is good for 30 minutes, and once. When the answer was lost, send the same again: with
    the password that it has set the answer is the same, and with another it is refused.
    """
    services().passwords.reset(body.token, body.new_password, source)


@blueprint.endpoint(
    "GET", "/auth/password/reset", str, auth=False, operation="showPasswordResetPage"
)
def reset_page() -> Reply:
    """The page that the link in the mail opens; the token stands behind its `#`."""
    return mail_links.reset()
