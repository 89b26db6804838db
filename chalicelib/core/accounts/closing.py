"""Closing an account: it ends at once, and upkeep removes what it had."""

from __future__ import annotations

from msgspec import Struct

from chalicelib.core.accounts.passwords import Passwords
from chalicelib.core.ports import Clock, Stores
from chalicelib.errors import NotAuthenticated, Unavailable


class Closing(Struct, frozen=True):
    """How accounts go."""

    stores: Stores
    passwords: Passwords
    clock: Clock

    def close(self, user_id: str, password: str, source: str) -> None:
        """End an account: nobody is logged in to it any more, and its address is free.

        What it had is due from now on. InvalidCredentials, TooManyAttempts; NotAuthenticated when
        it is gone already. One that is closed by another call meanwhile is no error.
        """
        account = self.stores.accounts.find(user_id)
        if account is None:
            raise NotAuthenticated("The account is gone")
        self.passwords.check(account, password, source)
        closed = self.stores.accounts.close(account, self.clock())
        if not closed and self.stores.accounts.find(account.id):
            raise Unavailable("The account keeps changing")
