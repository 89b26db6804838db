"""Sessions: beginning one, staying in it, ending it."""

from __future__ import annotations

import logging
import secrets
from datetime import datetime, timedelta
from hmac import compare_digest

import msgspec
from msgspec import Struct

from chalicelib import telemetry
from chalicelib.core.accounts.attempts import Attempts, seconds_until
from chalicelib.core.accounts.tokens import AccessTokens, RefreshSecret, Subject
from chalicelib.core.ports import AccountStore, Clock, NewId
from chalicelib.errors import (
    EmailNotConfirmed,
    NotAuthenticated,
    NotFound,
    RefreshTokenReused,
    TooManyAttempts,
)
from chalicelib.models.answers import ListedSession, SignedIn
from chalicelib.models.entities import Account, Caller, Replaced, Session, Standing
from chalicelib.settings import Settings

log = logging.getLogger(__name__)

# Threads of one app refresh at once, each with the token that they had.
REUSE_GRACE = timedelta(seconds=60)
# How many may be replaced within that time: each is remembered, and the session is read on each
# request.
MOST_REPLACED = 60


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

    def authenticate(
        self, token: str, recording_id: str | None = None, *, unconfirmed: bool = True
    ) -> Caller:
        """Who calls with an access token, and what stands under the recording's id they name.

        TokenExpired, or NotAuthenticated: for a token that is not ours, and for one whose session
        or account is no more. EmailNotConfirmed when that is wanted, and the call is not one of
        those (`unconfirmed`) that are open to everybody.
        """
        subject = self.tokens.verify(token)
        telemetry.note(user=subject.user_id)
        account, session, standing = self._alive(subject.user_id, subject.session_id, recording_id)
        _check_admitted(account)
        if subject.rotation == session.rotation > session.used_rotation:
            self.store.note_use(session)
        may = unconfirmed or self.settings.unconfirmed_may == "everything"
        if not (may or account.email_confirmed_at):
            raise EmailNotConfirmed("Open the link that was mailed, or ask for another one")
        return Caller(account, session, standing)

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

        NotAuthenticated when the session is over. A token that was replaced is answered with its
        replacement again, since that answer may have been lost: for REUSE_GRACE, and then until
        the replacement, or the access token that came with it, was seen in use. After that it is
        somebody else's, so the session ends: RefreshTokenReused. TooManyAttempts instead of either
        when the source had too many, and when MOST_REPLACED were replaced within REUSE_GRACE.
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

    def owner_on(self, user_id: str, token: str | None) -> tuple[Account | None, str | None]:
        """An account, and what stands for a device with a refresh token of its, good or ended.

        No device for a token that is none, or whose session is forgotten.
        """
        try:
            presented, tag = RefreshSecret.parse(token or "")
        except NotAuthenticated:
            return self.store.find(user_id), None
        account, session, _ = self.store.find_with_session(user_id, presented.session_id)
        known = account and session and compare_digest(tag, presented.tag(session.token_key))
        return account, f"device {presented.session_id}" if known else None

    def _alive(
        self, user_id: str, session_id: str, recording_id: str | None = None
    ) -> tuple[Account, Session, Standing | None]:
        """An account, a session of it that goes on, what stands under an id; NotAuthenticated."""
        found = self.store.find_with_session(user_id, session_id, recording_id)
        account, session, standing = found
        if account is None or session is None or session.expires_at <= self.clock():
            raise NotAuthenticated("The session is over")
        if session.password_version != account.password_version:
            raise NotAuthenticated("The password was changed since; log in again")
        return account, session, standing

    def _refresh(self, token: str) -> SignedIn:
        account, session, presented = self._session_of(token)
        _check_admitted(account)
        if not compare_digest(presented.hash, session.refresh_hash):
            return self._signed_in(account, session, self._current(session, presented))
        salt = secrets.token_urlsafe(32)
        replacement = presented.replacement(self._server_keys()[0], salt)
        rotated = self._rotated(session, presented, replacement, salt)
        if not self.store.rotate(rotated):
            return self._refresh(token)  # Another refresh was quicker: give its answer.
        return self._signed_in(account, rotated, replacement)

    def _session_of(self, token: str) -> tuple[Account, Session, RefreshSecret]:
        """The session that issued a token, now or earlier, and the secret in the token."""
        presented, tag = RefreshSecret.parse(token)
        account, session, _ = self._alive(presented.user_id, presented.session_id)
        if not compare_digest(tag, presented.tag(session.token_key)):
            raise NotAuthenticated("The refresh token is not valid")
        return account, session, presented

    def _rotated(
        self, session: Session, presented: RefreshSecret, replacement: RefreshSecret, salt: str
    ) -> Session:
        now = self.clock()
        recent = [each for each in session.replaced if now - each.at <= REUSE_GRACE]
        if len(recent) >= MOST_REPLACED:
            raise TooManyAttempts(seconds_until(recent[0].at + REUSE_GRACE, now))
        return msgspec.structs.replace(
            session,
            refresh_hash=replacement.hash,
            replaced_hash=presented.hash,
            replacement_salt=salt,
            earlier=recent,
            rotation=session.rotation + 1,
            last_used_at=now,
            expires_at=self._expiry(),
        )

    def _current(self, session: Session, presented: RefreshSecret) -> RefreshSecret:
        """The session's secret as it is now, for whoever has one that it replaced."""
        replaced = session.replaced
        while replaced and not compare_digest(presented.hash, replaced[0].hash):
            del replaced[0]
        if not (replaced and self._is_good(session, replaced)):
            self.store.end_session(session.user_id, session.id, self.clock())
            log.warning("session %s ended: a replaced refresh token was used", session.id)
            telemetry.count(refresh_token_reused=1)
            raise RefreshTokenReused("The refresh token was replaced before; the session is over")
        secret = presented
        hashes = [*(each.hash for each in replaced[1:]), session.refresh_hash]
        for each, hash in zip(replaced, hashes, strict=True):
            secret = self._replacement_again(secret, each.salt, hash)
        return secret

    def _is_good(self, session: Session, replaced: list[Replaced]) -> bool:
        """Whether the first of these, which all were replaced one after the other, is good yet."""
        if self.clock() - replaced[0].at <= REUSE_GRACE:
            return True
        return len(replaced) == 1 and session.used_rotation < session.rotation

    def _replacement_again(self, secret: RefreshSecret, salt: str, hash: str) -> RefreshSecret:
        for key in self._server_keys():
            replacement = secret.replacement(key, salt)
            if compare_digest(replacement.hash, hash):
                return replacement
        raise NotAuthenticated("The key that this session was refreshed with is gone")

    def _signed_in(self, account: Account, session: Session, secret: RefreshSecret) -> SignedIn:
        telemetry.note(user=account.id)
        subject = Subject(account.id, session.id, session.rotation)
        return SignedIn(
            user=account.seen(self.settings.quota, self.settings.providers),
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
