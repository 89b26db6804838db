"""Closing an account: it ends at once, and upkeep removes what it had."""

from __future__ import annotations

from msgspec import Struct

from chalicelib.core.accounts.passwords import LOOKS, end_exports
from chalicelib.core.accounts.proofs import Proofs
from chalicelib.core.ports import Clock, Stores
from chalicelib.errors import Unavailable
from chalicelib.models.entities import Account
from chalicelib.models.requests import Proof


class Closing(Struct, frozen=True):
    """How accounts go."""

    stores: Stores
    proofs: Proofs
    clock: Clock

    def close(self, account: Account, proof: Proof, source: str) -> None:
        """End an account: nobody is logged in to it any more, and its address is free.

        What it had is due from now on. InvalidCredentials, TooManyAttempts. One that is closed by
        another call meanwhile is no error.
        """
        self.proofs.check(account, proof, source, "close")
        self.end(account)

    def end(self, account: Account) -> None:
        """The same without a proof, as operators do it; Unavailable."""
        proved = account.password_version
        for _ in range(LOOKS):
            if self.stores.accounts.close(account, self.clock()):
                break
            found = self.stores.accounts.find(account.id)
            if found is None:
                break
            if found.password_version != proved:
                raise Unavailable("The password was changed meanwhile")
            account = found
        else:
            raise Unavailable("The account keeps changing")
        end_exports(self.stores.exports, account.id)
