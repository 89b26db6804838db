"""Accounts over HTTP."""

from __future__ import annotations

from chalicelib.api.http import Blueprint, Reply
from chalicelib.api.web import mail_links
from chalicelib.errors import EmailTaken, InvalidCredentials, NotAuthenticated, TooManyAttempts
from chalicelib.models.answers import DataExport, SignedIn, User
from chalicelib.models.entities import Caller
from chalicelib.models.requests import (
    Confirmation,
    Credentials,
    EmailChange,
    ProfileChange,
    Proof,
    SignUp,
)
from chalicelib.wiring import services

blueprint = Blueprint(__name__, tag="Accounts", unconfirmed=True)


@blueprint.endpoint(
    "POST",
    "/auth/signup",
    SignedIn,
    201,
    auth=False,
    limited=True,
    body=SignUp,
    raises=(EmailTaken,),
)
def sign_up(body: SignUp, source: str) -> SignedIn:
    """Open an account, and log in to it.

    A link that confirms the address is mailed.
    """
    return services().accounts.sign_up(body, source)


@blueprint.endpoint(
    "POST",
    "/auth/login",
    SignedIn,
    auth=False,
    limited=True,
    body=Credentials,
    raises=(InvalidCredentials, NotAuthenticated),
)
def log_in(body: Credentials, source: str) -> SignedIn:
    """Begin a session on a device."""
    return services().accounts.log_in(body, source)


@blueprint.endpoint(
    "POST",
    "/auth/email/confirm",
    None,
    204,
    auth=False,
    body=Confirmation,
    raises=(EmailTaken,),
)
def confirm_email(body: Confirmation) -> None:
    """Confirm an address, by the token in the link that was mailed.

    A new address becomes the account's by it; `email_taken` when somebody has it by now.
    """
    services().confirmations.confirm(body.token)


@blueprint.endpoint("GET", "/auth/email/confirm", str, auth=False, operation="showConfirmationPage")
def confirmation_page() -> Reply:
    """The page that the link in the mail opens; the token stands behind its `#`."""
    return mail_links.confirmation()


@blueprint.endpoint("GET", "/me", User, operation="getProfile")
def me(caller: Caller) -> User:
    """Who is logged in, and what they use of their quota."""
    return services().accounts.profile(caller.account)


@blueprint.endpoint(
    "POST",
    "/me/export",
    DataExport,
    limited=True,
    body=Proof,
    raises=(InvalidCredentials,),
    operation="exportData",
)
def export(caller: Caller, body: Proof, source: str) -> DataExport:
    """Where a JSON file of all of one's data is to be had: profile, recordings, and their bytes.

    Its URLs are good for some minutes, and end with a changed password and with the account.
    """
    return services().exporting.export(caller.account, body, source, blueprint.address)


@blueprint.endpoint(
    "DELETE",
    "/me",
    None,
    204,
    limited=True,
    body=Proof,
    raises=(InvalidCredentials,),
    operation="deleteAccount",
)
def close(caller: Caller, body: Proof, source: str) -> None:
    """Delete one's account, and all its recordings with it.

    All sessions end, and the address is free again. It cannot be taken back.
    """
    services().closing.close(caller.account, body, source)


@blueprint.endpoint("PATCH", "/me", User, body=ProfileChange, operation="updateProfile")
def rename(caller: Caller, body: ProfileChange) -> User:
    """Change one's name; null takes it away."""
    return services().accounts.rename(caller.user_id, body.name)


@blueprint.endpoint(
    "POST",
    "/me/email",
    None,
    202,
    limited=True,
    body=EmailChange,
    raises=(InvalidCredentials, EmailTaken),
    operation="changeEmail",
)
def change_email(caller: Caller, body: EmailChange, source: str) -> None:
    """Change one's address, once the link is opened that is mailed to the new one.

    Word of it is mailed to the old one, and until then nothing changes. A new password takes it
    back.
    """
    services().confirmations.change(caller.account, body, source)


@blueprint.endpoint(
    "POST",
    "/me/email/confirmation",
    None,
    202,
    raises=(TooManyAttempts,),
    operation="requestConfirmation",
)
def ask_for_confirmation(caller: Caller) -> None:
    """Have the link that confirms the address mailed again; nothing is, once it is confirmed."""
    services().confirmations.ask(caller.account)
