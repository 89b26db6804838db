"""Sessions: beginning one, staying in it, ending it."""

from __future__ import annotations

import logging
import secrets
from datetime import datetime, timedelta
from hmac import compare_digest

import msgspec
from msgspec import Struct

from chalicelib import telemetry
from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.tokens import AccessTokens, RefreshSecret, Subject
from chalicelib.core.ports import AccountStore, Clock, NewId
from chalicelib.errors import EmailNotConfirmed, NotAuthenticated, NotFound, RefreshTokenReused
from chalicelib.models.answers import ListedSession, SignedIn
from chalicelib.models.entities import Account, Caller, Session
from chalicelib.settings import Settings

log = logging.getLogger(__name__)

# A phone that lost the answer to a refresh asks again with the same token.
REUSE_GRACE = timedelta(seconds=60)


class Sessions(Struct, frozen=True):
    """The use cases of sessions.

    A session goes on until it expires, which is when it is ended too, and for as long as the
    account's password is the one that it began with.
    """

    store: AccountStore
    tokens: AccessTokens
    attempts: Attempts
    settings: Settings
    clock: Clock
    new_id: NewId

    def authenticate(self, token: str, *, unconfirmed: bool = True) -> Caller:
        """Who calls with an access token.

        TokenExpired, or NotAuthenticated: for a token that is not ours, and for one whose session
        or account is no more. EmailNotConfirmed when that is wanted, and the call is not one of
        those (`unconfirmed`) that are open to everybody.
        """
        subject = self.tokens.verify(token)
        telemetry.note(user=subject.user_id)
        account, session = self._alive(subject.user_id, subject.session_id)
        _check_admitted(account)
        may = unconfirmed or self.settings.unconfirmed_may == "everything"
        if not (may or account.email_confirmed_at):
            raise EmailNotConfirmed("Open the link that was mailed, or ask for another one")
        return Caller(account, session)

    def new(self, account: Account, device: str | None) -> tuple[Session, SignedIn]:
        """A session that is yet to be stored, and what its device is answered.

        NotAuthenticated when the account is suspended, however its user proved who they are.
        """
        _check_admitted(account)
        now = self.clock()
        secret = RefreshSecret.new(account.id, self.new_id())
        session = Session(
            id=secret.session_id,
            user_id=account.id,
            token_key=secrets.token_urlsafe(32),
            refresh_hash=secret.hash,
            password_version=account.password_version,
            device=device,
            created_at=now,
            last_used_at=now,
            expires_at=self._expiry(),
        )
        return session, self._signed_in(account, session, secret)

    def refresh(self, token: str, source: str) -> SignedIn:
        """Replace a refresh token, and give a new access token with it.

        NotAuthenticated when the session is over. For REUSE_GRACE the token that was replaced
        last is answered with its replacement again, since that answer may have been lost. Any
        other use of a token that was replaced is somebody else's, so the session ends:
        RefreshTokenReused. TooManyAttempts instead of either when the source had too many.
        """
        try:
            return self._refresh(token)
        except (NotAuthenticated, RefreshTokenReused):
            self.attempts.count("refresh_failures_per_source", source)
            raise

    def log_out(self, token: str) -> None:
        """End the session that a refresh token belongs to; one that is over is no error."""
        try:
            _, session, _ = self._session_of(token)
        except NotAuthenticated:
            return
        self.store.end_session(session.user_id, session.id, self.clock())

    def listed(self, caller: Caller) -> list[ListedSession]:
        """The sessions that go on, newest first."""
        now = self.clock()
        version = caller.account.password_version
        sessions = self.store.sessions(caller.user_id, version, now)
        return [session.seen(caller.session_id) for session in sessions]

    def end(self, user_id: str, session_id: str) -> None:
        """End a session, and again; NotFound when the user never had such a one."""
        if not self.store.end_session(user_id, session_id, self.clock()):
            raise NotFound("There is no such session")

    def device_of(self, account: Account, token: str) -> str | None:
        """What stands for a device that has a refresh token of this account's, good or ended.

        None for a token that is none, or whose session is forgotten.
        """
        try:
            presented, tag = RefreshSecret.parse(token)
        except NotAuthenticated:
            return None
        _, session = self.store.find_with_session(account.id, presented.session_id)
        known = session and compare_digest(tag, presented.tag(session.token_key))
        return f"device {presented.session_id}" if known else None

    def _alive(self, user_id: str, session_id: str) -> tuple[Account, Session]:
        """An account and a session of it that goes on; NotAuthenticated."""
        account, session = self.store.find_with_session(user_id, session_id)
        if account is None or session is None or session.expires_at <= self.clock():
            raise NotAuthenticated("The session is over")
        if session.password_version != account.password_version:
            raise NotAuthenticated("The password was changed since; log in again")
        return account, session

    def _refresh(self, token: str) -> SignedIn:
        account, session, presented = self._session_of(token)
        _check_admitted(account)
        if compare_digest(presented.hash, session.refresh_hash):
            salt = secrets.token_urlsafe(32)
            replacement = presented.replacement(self._server_keys()[0], salt)
            if not self._rotate(session, presented, replacement, salt):
                return self._refresh(token)  # Another refresh was quicker: give its answer.
        else:
            replacement = self._replacement_again(session, presented)
        return self._signed_in(account, session, replacement)

    def _session_of(self, token: str) -> tuple[Account, Session, RefreshSecret]:
        """The session that issued a token, now or earlier, and the secret in the token."""
        presented, tag = RefreshSecret.parse(token)
        account, session = self._alive(presented.user_id, presented.session_id)
        if not compare_digest(tag, presented.tag(session.token_key)):
            raise NotAuthenticated("The refresh token is not valid")
        return account, session, presented

    def _rotate(
        self, session: Session, presented: RefreshSecret, replacement: RefreshSecret, salt: str
    ) -> bool:
        rotated = msgspec.structs.replace(
            session,
            refresh_hash=replacement.hash,
            replaced_hash=presented.hash,
            replacement_salt=salt,
            last_used_at=self.clock(),
            expires_at=self._expiry(),
        )
        return self.store.rotate(rotated)

    def _replacement_again(self, session: Session, presented: RefreshSecret) -> RefreshSecret:
        just_replaced = compare_digest(presented.hash, session.replaced_hash or "")
        if not just_replaced or self.clock() - session.last_used_at > REUSE_GRACE:
            self.store.end_session(session.user_id, session.id, self.clock())
            log.warning("session %s ended: a replaced refresh token was used", session.id)
            telemetry.count(refresh_token_reused=1)
            raise RefreshTokenReused("The refresh token was replaced before; the session is over")
        for key in self._server_keys():
            replacement = presented.replacement(key, session.replacement_salt or "")
            if compare_digest(replacement.hash, session.refresh_hash):
                return replacement
        raise NotAuthenticated("The key that this session was refreshed with is gone")

    def _signed_in(self, account: Account, session: Session, secret: RefreshSecret) -> SignedIn:
        telemetry.note(user=account.id)
        subject = Subject(account.id, session.id)
        return SignedIn(
            user=account.seen(self.settings.quota),
            access_token=self.tokens.issue(subject, self.clock()),
            refresh_token=secret.token(session.token_key),
            expires_in=self.tokens.seconds,
        )

    def _server_keys(self) -> list[str]:
        return self.tokens.keys.secrets()

    def _expiry(self) -> datetime:
        return self.clock() + timedelta(days=self.settings.refresh_token_days)


def _check_admitted(account: Account) -> None:
    """NotAuthenticated while the account is suspended; logging out needs no admittance."""
    if account.suspended_at:
        raise NotAuthenticated("The account is suspended; ask whoever runs this service")
