"""Confirmations: whether the user reads the mail that goes to the address."""

from __future__ import annotations

from hmac import compare_digest

from msgspec import Struct

from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.tokens import LinkSecret
from chalicelib.core.ports import AccountStore, Clock, Outbox
from chalicelib.models.entities import Account


class Confirmations(Struct, frozen=True):
    """The use cases of confirming an address. Signing up asks for the first mail."""

    store: AccountStore
    outbox: Outbox
    attempts: Attempts
    clock: Clock

    def ask(self, account: Account) -> None:
        """Have another link mailed, unless the address is confirmed.

        TooManyAttempts.
        """
        if account.email_confirmed_at is None:
            self.attempts.check_mail("confirmation", account.email)
            self.outbox.put("confirmation", account.email, self.clock())

    def confirm(self, token: str) -> None:
        """Confirm an address by a link that was mailed, and again; InvalidRequest."""
        presented = LinkSecret.parse(token)
        account = self.store.find(presented.user_id)
        if account is None or not compare_digest(presented.hash, account.confirmation_hash or ""):
            raise LinkSecret.refused()
        if account.email_confirmed_at is None and not self.store.confirm(account, self.clock()):
            raise LinkSecret.refused()
