"""Accounts: opening one, and what it says about its user."""

from __future__ import annotations

from chalicelib import telemetry
from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.passwords import Passwords
from chalicelib.core.accounts.sessions import Sessions
from chalicelib.core.ports import AccountStore, Clock, NewId
from chalicelib.errors import InvalidCredentials, NotAuthenticated
from chalicelib.models.answers import SignedIn, User
from chalicelib.models.entities import Account
from chalicelib.models.requests import Credentials, SignUp
from chalicelib.settings import Settings

NOBODY = "00000000-0000-7000-8000-000000000000"


class Accounts:
    """The use cases of accounts."""

    def __init__(  # noqa: PLR0913, PLR0917 - opening an account takes a little of everything
        self,
        store: AccountStore,
        sessions: Sessions,
        passwords: Passwords,
        attempts: Attempts,
        settings: Settings,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        """Take what the use cases stand on."""
        self._store = store
        self._sessions = sessions
        self._passwords = passwords
        self._attempts = attempts
        self._settings = settings
        self._clock = clock
        self._new_id = new_id

    def sign_up(self, new: SignUp, source: str) -> SignedIn:
        """Open an account and a first session; EmailTaken, InvalidRequest, TooManyAttempts."""
        self._attempts.count("signups_per_source", source)
        account = Account(
            id=self._new_id(),
            email=new.email,
            name=new.name,
            password_hash=self._passwords.hashed("password", new.password, new.email),
            created_at=self._clock(),
        )
        session, signed_in = self._sessions.new(account, device=None)
        self._store.open(account, session)
        return signed_in

    def log_in(self, credentials: Credentials, source: str) -> SignedIn:
        """Begin a session on a device.

        InvalidCredentials for an unknown address as for a wrong password, after the same work;
        TooManyAttempts.
        """
        user_id = self._store.owner_of(credentials.email)
        try:
            account = self._passwords.check_for(
                credentials.email,
                self._store.find(user_id or NOBODY),
                credentials.password,
                source,
            )
        except InvalidCredentials:
            telemetry.count(log_ins_failed=1)
            raise
        session, signed_in = self._sessions.new(account, credentials.device)
        # Without a condition: if the account was closed or has another password by now, the
        # session is over as it begins.
        self._store.add_session(session)
        return signed_in

    def profile(self, user_id: str) -> User:
        """The account as its user sees it; NotAuthenticated when it is gone."""
        account = self._store.find(user_id)
        if account is None:
            raise NotAuthenticated("The account is gone")
        return account.seen(self._settings.quota_bytes)

    def rename(self, user_id: str, name: str | None) -> User:
        """Give the account another name, or none; NotAuthenticated when it is gone."""
        return self._store.rename(user_id, name).seen(self._settings.quota_bytes)
