"""Accounts over HTTP."""

from __future__ import annotations

from chalicelib.api.http import Blueprint
from chalicelib.core.tokens import Caller
from chalicelib.errors import EmailTaken, InvalidCredentials, NotAuthenticated, RefreshTokenReused
from chalicelib.models.answers import Export, SignedIn, User
from chalicelib.models.requests import Credentials, Farewell, ProfileChange, RefreshToken, SignUp
from chalicelib.wiring import services

blueprint = Blueprint(__name__, tag="Accounts")


@blueprint.endpoint(
    "POST", "/auth/signup", SignedIn, 201, auth=False, body=SignUp, raises=(EmailTaken,)
)
def sign_up(body: SignUp) -> SignedIn:
    """Open an account, and log in to it."""
    return services().accounts.sign_up(body)


@blueprint.endpoint(
    "POST", "/auth/login", SignedIn, auth=False, body=Credentials, raises=(InvalidCredentials,)
)
def log_in(body: Credentials) -> SignedIn:
    """Begin a session on a device."""
    return services().accounts.log_in(body)


@blueprint.endpoint(
    "POST",
    "/auth/refresh",
    SignedIn,
    auth=False,
    body=RefreshToken,
    raises=(NotAuthenticated, RefreshTokenReused),
)
def refresh(body: RefreshToken) -> SignedIn:
    """Get a new access token, and a new refresh token in place of this one.

    When the answer was lost, send the same token again within a minute: the answer is the same
    new refresh token. Used later than that, the token must have been stolen, and the session
    ends.
    """
    return services().accounts.refresh(body.refresh_token)


@blueprint.endpoint("POST", "/auth/logout", None, 204, auth=False, body=RefreshToken)
def log_out(body: RefreshToken) -> None:
    """End a session; one that is over already is no error."""
    services().accounts.log_out(body.refresh_token)


@blueprint.endpoint("GET", "/me", User)
def me(caller: Caller) -> User:
    """Who is logged in, and what they use of their quota."""
    accounts = services().accounts
    return accounts.seen(accounts.profile(caller.user_id))


@blueprint.endpoint("GET", "/me/export", Export)
def export(caller: Caller) -> Export:
    """Where a JSON file of all of one's data is to be had: profile, recordings, and their bytes."""
    accounts = services().accounts
    return services().exporting.export(accounts.seen(accounts.profile(caller.user_id)))


@blueprint.endpoint("DELETE", "/me", None, 204, body=Farewell, raises=(InvalidCredentials,))
def close(caller: Caller, body: Farewell) -> None:
    """Delete one's account, and all its recordings with it.

    All sessions end, and the address is free again. It cannot be taken back.
    """
    account = services().accounts.proven(caller.user_id, body.password)
    services().closing.close(account)


@blueprint.endpoint("PATCH", "/me", User, body=ProfileChange)
def rename(caller: Caller, body: ProfileChange) -> User:
    """Change one's name; null takes it away."""
    accounts = services().accounts
    return accounts.seen(accounts.rename(caller.user_id, body.name))
