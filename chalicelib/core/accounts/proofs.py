"""Proofs: that it is the user who wants something, rather than somebody who has their phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.passwords import Passwords
from chalicelib.core.ports import AccountStore
from chalicelib.errors import InvalidCredentials, NotAuthenticated
from chalicelib.models.entities import Account
from chalicelib.models.requests import Proof

if TYPE_CHECKING:
    from chalicelib.core.accounts.id_tokens import IdTokens


class Proofs(Struct, frozen=True):
    """Checks proofs of both kinds."""

    store: AccountStore
    passwords: Passwords
    id_tokens: Callable[[], IdTokens]
    attempts: Attempts

    def check(self, account: Account, proof: Proof, source: str, purpose: str) -> None:
        """Make sure of it by the password, or by an id token of a way to sign in that there is.

        InvalidCredentials, TooManyAttempts, Unavailable. An id token with a nonce is good for one
        `purpose`, so that the same request can be repeated with it: what the request does has to
        stand in the purpose whole.
        """
        if proof.id_token is None:
            self.passwords.check(account, proof.password or "", source)
            return
        with self.attempts.token(source):
            person = self.id_tokens().prove(proof.id_token)
            if not person.signs_in_to(account):
                raise InvalidCredentials("The id token is of nobody who signs in to this account")
            used_for = f"{purpose} {account.id}"
            if person.nonce and not self.store.use_nonce(person.nonce, used_for):
                raise InvalidCredentials("The id token was used before")

    def still_good(self, account: Account) -> Account:
        """The account as it is now; NotAuthenticated when what was proved counts no more."""
        found = self.store.find(account.id)
        if found is None or found.password_version != account.password_version:
            raise NotAuthenticated("The password was changed meanwhile, or the account is gone")
        return found
