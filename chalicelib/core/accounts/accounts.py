"""Accounts: opening one, and what it says about its user."""

from __future__ import annotations

from msgspec import Struct

from chalicelib import telemetry
from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.passwords import Passwords
from chalicelib.core.accounts.sessions import Sessions
from chalicelib.core.ports import AccountStore, Clock, NewId
from chalicelib.errors import InvalidCredentials
from chalicelib.models.answers import SignedIn, User
from chalicelib.models.entities import Account
from chalicelib.models.fields import comparable
from chalicelib.models.requests import Credentials, SignUp
from chalicelib.settings import Settings

NOBODY = "00000000-0000-7000-8000-000000000000"


class Accounts(Struct, frozen=True):
    """The use cases of accounts."""

    store: AccountStore
    sessions: Sessions
    passwords: Passwords
    attempts: Attempts
    settings: Settings
    clock: Clock
    new_id: NewId

    def sign_up(self, new: SignUp, source: str) -> SignedIn:
        """Open an account and a first session; EmailTaken, InvalidRequest, TooManyAttempts."""
        self.attempts.count("signups_per_source", source)
        account = Account(
            id=self.new_id(),
            email=new.email,
            name=new.name,
            password_hash=self.passwords.hashed("password", new.password, new.email),
            created_at=self.clock(),
        )
        session, signed_in = self.sessions.new(account, device=None)
        self.store.open(account, session)
        return signed_in

    def log_in(self, credentials: Credentials, source: str) -> SignedIn:
        """Begin a session on a device.

        InvalidCredentials for an unknown address as for a wrong password, after the same work;
        TooManyAttempts. NotAuthenticated, after the right password alone, while it is suspended.
        """
        user_id = self.store.owner_of(credentials.email) or NOBODY
        account, device = self.sessions.owner_on(user_id, credentials.refresh_token)
        # Whom guesses are counted against. A device that was logged in before has its own count,
        # so that strangers' guesses at its address do not keep it out.
        who = device or comparable(credentials.email)
        try:
            account = self.passwords.check_for(who, account, credentials.password, source)
        except InvalidCredentials:
            telemetry.count(log_ins_failed=1)
            raise
        session, signed_in = self.sessions.new(account, credentials.device)
        # Without a condition: if the account was closed or has another password by now, the
        # session is over as it begins.
        self.store.add_session(session)
        return signed_in

    def profile(self, account: Account) -> User:
        """The account as its user sees it."""
        return account.seen(self.settings.quota, self.settings.providers)

    def rename(self, user_id: str, name: str | None) -> User:
        """Give the account another name, or none; NotAuthenticated when it is gone."""
        return self.profile(self.store.rename(user_id, name))
