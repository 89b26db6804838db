"""Signing in with Google and Apple over HTTP."""

from __future__ import annotations

from chalicelib.api.http import Blueprint, Reply
from chalicelib.api.web import returns
from chalicelib.errors import (
    EmailNotConfirmed,
    EmailTaken,
    InvalidCredentials,
    LastSignIn,
    NotAuthenticated,
)
from chalicelib.models.answers import SignedIn
from chalicelib.models.entities import Caller
from chalicelib.models.fields import Provider
from chalicelib.models.requests import (
    AppleSignIn,
    IdTokenSignIn,
    NewAppleWay,
    NewWay,
    ProviderAnswer,
)
from chalicelib.wiring import services

blueprint = Blueprint(__name__, tag="Sign in", unconfirmed=True)

SIGNING_IN = (InvalidCredentials, NotAuthenticated, EmailNotConfirmed, EmailTaken)
ADDING = (InvalidCredentials, EmailNotConfirmed, EmailTaken)


@blueprint.endpoint(
    "POST",
    "/auth/google",
    SignedIn,
    201,
    200,
    auth=False,
    limited=True,
    wants="google_client_ids",
    body=IdTokenSignIn,
    raises=SIGNING_IN,
)
def sign_in_with_google(body: IdTokenSignIn, source: str) -> Reply:
    """Begin a session by Google's id token; 201 with a new account.

    An id token is good for ten minutes from when Google made it, and one with a nonce once. Where
    somebody has an account with the same address, and Google need not know that it is the same
    person, the answer is `email_taken`: log in to it, and add Google.
    """
    return _signed_in("google", body, source)


@blueprint.endpoint(
    "POST",
    "/auth/apple",
    SignedIn,
    201,
    200,
    auth=False,
    limited=True,
    wants="apple_client_ids",
    body=AppleSignIn,
    raises=SIGNING_IN,
)
def sign_in_with_apple(body: AppleSignIn, source: str) -> Reply:
    """Begin a session by Apple's id token; 201 with a new account.

    An id token is good for ten minutes from when Apple made it, and one with a nonce once. The name
    is Apple's first answer's alone, so send it along then.
    """
    return _signed_in("apple", body, source)


@blueprint.endpoint(
    "POST",
    "/me/sign-in/google",
    None,
    204,
    limited=True,
    wants="google_client_ids",
    body=NewWay,
    raises=ADDING,
    operation="addGoogle",
)
def add_google(caller: Caller, body: NewWay, source: str) -> None:
    """Have a Google account sign in to one's account, in place of another that did.

    Word of it is mailed.
    """
    services().sign_in.add(caller.account, "google", body, source)


@blueprint.endpoint(
    "POST",
    "/me/sign-in/apple",
    None,
    204,
    limited=True,
    wants="apple_client_ids",
    body=NewAppleWay,
    raises=ADDING,
    operation="addApple",
)
def add_apple(caller: Caller, body: NewAppleWay, source: str) -> None:
    """Have an Apple account sign in to one's account, in place of another that did.

    Word of it is mailed.
    """
    services().sign_in.add(caller.account, "apple", body, source)


@blueprint.endpoint("DELETE", "/me/sign-in/google", None, 204, raises=(LastSignIn,))
def remove_google(caller: Caller) -> None:
    """Have Google sign in no more; word of it is mailed, and no session ends."""
    services().sign_in.remove(caller.account, "google")


@blueprint.endpoint("DELETE", "/me/sign-in/apple", None, 204, raises=(LastSignIn,))
def remove_apple(caller: Caller) -> None:
    """Have Apple sign in no more; word of it is mailed, and no session ends."""
    services().sign_in.remove(caller.account, "apple")


@blueprint.endpoint("DELETE", "/me/sign-in/password", None, 204, raises=(LastSignIn,))
def remove_password(caller: Caller) -> None:
    """Do without a password; word of it is mailed, and no session ends."""
    services().sign_in.remove(caller.account, "password")


@blueprint.endpoint(
    "GET", "/auth/return", str, auth=False, wants="providers", operation="showReturnPage"
)
def return_page() -> Reply:
    """The page that a provider sends a browser back to, with what it says behind the `#`."""
    return returns.page_of(ProviderAnswer())


@blueprint.endpoint(
    "POST",
    "/auth/return",
    str,
    auth=False,
    wants="providers",
    body=ProviderAnswer,
    body_form=True,
    operation="showReturnPageOfForm",
)
def return_page_of_form(body: ProviderAnswer) -> Reply:
    """The same page, for a provider that has the browser bring what it says by a form, as Apple.

    What is in it counts for nothing but with what the recorder has kept in that browser.
    """
    return returns.page_of(body)


def _signed_in(provider: Provider, body: IdTokenSignIn, source: str) -> Reply:
    signed_in, is_new = services().sign_in.sign_in(provider, body, source)
    return Reply(signed_in, 201 if is_new else 200)
