"""Sessions over HTTP."""

from __future__ import annotations

from chalicelib.api.http import Blueprint
from chalicelib.errors import NotAuthenticated, NotFound, RefreshTokenReused
from chalicelib.models.answers import SessionList, SignedIn
from chalicelib.models.entities import Caller
from chalicelib.models.requests import RefreshToken
from chalicelib.wiring import services

blueprint = Blueprint(__name__, tag="Sessions", unconfirmed=True)


@blueprint.endpoint(
    "POST",
    "/auth/refresh",
    SignedIn,
    auth=False,
    limited=True,
    body=RefreshToken,
    raises=(NotAuthenticated, RefreshTokenReused),
    operation="refreshTokens",
)
def refresh(body: RefreshToken, source: str) -> SignedIn:
    """Get a new access token, and a new refresh token in place of this one.

    When the answer was lost, send the same token again: the answer is the same new refresh token,
    for a minute whatever happens, and then until it, or the access token that came with it, is
    used. Used later, the old token must have been stolen, and the session ends.
    """
    return services().sessions.refresh(body.refresh_token, source)


@blueprint.endpoint("POST", "/auth/logout", None, 204, auth=False, body=RefreshToken)
def log_out(body: RefreshToken) -> None:
    """End a session; one that is over already is no error."""
    services().sessions.log_out(body.refresh_token)


@blueprint.endpoint("GET", "/me/sessions", SessionList)
def list_sessions(caller: Caller) -> SessionList:
    """The devices that are logged in, newest log-in first."""
    return SessionList(sessions=services().sessions.listed(caller))


@blueprint.endpoint("DELETE", "/me/sessions/{session_id}", None, 204, raises=(NotFound,))
def end_session(caller: Caller, session_id: str) -> None:
    """Log a device out, at once; again 204 when repeated within a day."""
    services().sessions.end(caller.user_id, session_id)
