"""Accounts: signing up, logging in, staying logged in."""

from __future__ import annotations

import logging
import secrets
from datetime import datetime, timedelta
from hmac import compare_digest

import bcrypt
import msgspec

from chalicelib.core.ports import AccountStore, Clock, NewId
from chalicelib.core.tokens import AccessTokens, Caller, RefreshSecret
from chalicelib.errors import InvalidCredentials, NotAuthenticated, RefreshTokenReused
from chalicelib.models.answers import SignedIn, Usage, User
from chalicelib.models.entities import Account, Session
from chalicelib.models.requests import Credentials, SignUp
from chalicelib.settings import Settings

log = logging.getLogger(__name__)

# A phone that lost the answer to a refresh asks again with the same token.
REUSE_GRACE = timedelta(seconds=60)
NOBODY = "00000000-0000-7000-8000-000000000000"


class Accounts:
    """The use cases of accounts."""

    def __init__(
        self,
        store: AccountStore,
        tokens: AccessTokens,
        settings: Settings,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        """Take what the use cases stand on."""
        self._store = store
        self._tokens = tokens
        self._settings = settings
        self._clock = clock
        self._new_id = new_id

    def sign_up(self, new: SignUp) -> SignedIn:
        """Open an account and a first session; EmailTaken."""
        account = Account(
            id=self._new_id(),
            email=new.email,
            name=new.name,
            password_hash=self._hash(new.password),
            created_at=self._clock(),
        )
        session, secret = self._new_session(account.id, device=None)
        self._store.open(account, session)
        return self._signed_in(account, session, secret)

    def log_in(self, credentials: Credentials) -> SignedIn:
        """Begin a session on a device.

        InvalidCredentials for an unknown address as for a wrong password, after the same work.
        """
        user_id = self._store.owner_of(credentials.email)
        account = self._store.find(user_id or NOBODY)
        password_hash = account.password_hash if account else self._nobodys_hash()
        matches = bcrypt.checkpw(credentials.password.encode(), password_hash.encode())
        if not (account and matches):
            raise InvalidCredentials("No account has this address and this password")
        session, secret = self._new_session(account.id, credentials.device)
        self._store.add_session(session)
        return self._signed_in(account, session, secret)

    def refresh(self, token: str) -> SignedIn:
        """Replace a refresh token, and give a new access token with it.

        NotAuthenticated when the session is over. For REUSE_GRACE the token that was replaced
        last is answered with its replacement again, since that answer may have been lost. Any
        other use of a token that was replaced is somebody else's, so the session ends:
        RefreshTokenReused.
        """
        session, presented = self._session_of(token)
        if compare_digest(presented.hash, session.refresh_hash):
            salt = secrets.token_urlsafe(32)
            replacement = presented.replacement(self._server_keys()[0], salt)
            if not self._rotate(session, presented, replacement, salt):
                return self.refresh(token)  # Another refresh was quicker: give its answer.
        else:
            replacement = self._replacement_again(session, presented)
        return self._signed_in(self.profile(session.user_id), session, replacement)

    def authenticate(self, token: str) -> Caller:
        """Who calls with an access token.

        TokenExpired, or NotAuthenticated: for a token that is not ours, and for one whose session
        or account is no more.
        """
        caller = self._tokens.verify(token)
        account, session = self._store.standing(caller.user_id, caller.session_id)
        if account is None or session is None or session.expires_at <= self._clock():
            raise NotAuthenticated("The session is over")
        return caller

    def log_out(self, token: str) -> None:
        """End the session that a refresh token belongs to; one that is over is no error."""
        try:
            session, _ = self._session_of(token)
        except NotAuthenticated:
            return
        self._store.end_session(session.user_id, session.id)

    def proven(self, user_id: str, password: str) -> Account:
        """The account, given its password; InvalidCredentials, NotAuthenticated when it is gone."""
        account = self.profile(user_id)
        if not bcrypt.checkpw(password.encode(), account.password_hash.encode()):
            raise InvalidCredentials("The password is wrong")
        return account

    def profile(self, user_id: str) -> Account:
        """The account of somebody who is logged in; NotAuthenticated when it is gone."""
        account = self._store.find(user_id)
        if account is None:
            raise NotAuthenticated("The account is gone")
        return account

    def rename(self, user_id: str, name: str | None) -> Account:
        """Give the account another name, or none; NotAuthenticated when it is gone."""
        return self._store.rename(user_id, name)

    def seen(self, account: Account) -> User:
        """The account as its user sees it."""
        usage = Usage(
            bytes=account.bytes_used,
            recordings=account.recordings_used,
            quota_bytes=self._settings.quota_bytes,
        )
        return User(
            id=account.id,
            email=account.email,
            name=account.name,
            created_at=account.created_at,
            usage=usage,
        )

    def _signed_in(self, account: Account, session: Session, secret: RefreshSecret) -> SignedIn:
        caller = Caller(account.id, session.id)
        return SignedIn(
            user=self.seen(account),
            access_token=self._tokens.issue(caller, self._clock()),
            refresh_token=secret.token(session.token_key),
            expires_in=self._tokens.seconds,
        )

    def _new_session(self, user_id: str, device: str | None) -> tuple[Session, RefreshSecret]:
        now = self._clock()
        secret = RefreshSecret.new(user_id, self._new_id())
        session = Session(
            id=secret.session_id,
            user_id=user_id,
            token_key=secrets.token_urlsafe(32),
            refresh_hash=secret.hash,
            device=device,
            created_at=now,
            last_used_at=now,
            expires_at=self._expiry(),
        )
        return session, secret

    def _session_of(self, token: str) -> tuple[Session, RefreshSecret]:
        """The session that issued a token, now or earlier, and the secret in the token."""
        presented, tag = RefreshSecret.parse(token)
        session = self._store.find_session(presented.user_id, presented.session_id)
        if session is None or session.expires_at <= self._clock():
            raise NotAuthenticated("The session is over")
        if not compare_digest(tag, presented.tag(session.token_key)):
            raise NotAuthenticated("The refresh token is not valid")
        return session, presented

    def _rotate(
        self, session: Session, presented: RefreshSecret, replacement: RefreshSecret, salt: str
    ) -> bool:
        rotated = msgspec.structs.replace(
            session,
            refresh_hash=replacement.hash,
            replaced_hash=presented.hash,
            replacement_salt=salt,
            last_used_at=self._clock(),
            expires_at=self._expiry(),
        )
        return self._store.rotate(rotated)

    def _replacement_again(self, session: Session, presented: RefreshSecret) -> RefreshSecret:
        just_replaced = compare_digest(presented.hash, session.replaced_hash or "")
        if not just_replaced or self._clock() - session.last_used_at > REUSE_GRACE:
            self._store.end_session(session.user_id, session.id)
            log.warning("session %s ended: a replaced refresh token was used", session.id)
            raise RefreshTokenReused("The refresh token was replaced before; the session is over")
        for key in self._server_keys():
            replacement = presented.replacement(key, session.replacement_salt or "")
            if compare_digest(replacement.hash, session.refresh_hash):
                return replacement
        raise NotAuthenticated("The key that this session was refreshed with is gone")

    def _server_keys(self) -> list[str]:
        return list(self._settings.keys.values())

    def _expiry(self) -> datetime:
        return self._clock() + timedelta(days=self._settings.refresh_token_days)

    def _hash(self, password: str) -> str:
        salt = bcrypt.gensalt(self._settings.bcrypt_cost)
        return bcrypt.hashpw(password.encode(), salt).decode()

    def _nobodys_hash(self) -> str:
        # Well-formed, so that comparing with it costs what comparing with a real one does.
        return f"$2b${self._settings.bcrypt_cost:02d}$" + "." * 53
