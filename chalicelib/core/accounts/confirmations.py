"""Confirmations: whether the user reads the mail that goes to the address."""

from __future__ import annotations

from hmac import compare_digest

from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.tokens import LinkSecret
from chalicelib.core.ports import AccountStore, Clock, Outbox
from chalicelib.errors import NotAuthenticated


class Confirmations:
    """The use cases of confirming an address. Signing up asks for the first mail."""

    def __init__(
        self, store: AccountStore, outbox: Outbox, attempts: Attempts, clock: Clock
    ) -> None:
        """Take what the use cases stand on."""
        self._store = store
        self._outbox = outbox
        self._attempts = attempts
        self._clock = clock

    def ask(self, user_id: str) -> None:
        """Have another link mailed, unless the address is confirmed.

        TooManyAttempts, NotAuthenticated.
        """
        account = self._store.find(user_id)
        if account is None:
            raise NotAuthenticated("The account is gone")
        if account.email_confirmed_at is None:
            self._attempts.check_mail("confirmation", account.email)
            self._outbox.put("confirmation", account.email, self._clock())

    def confirm(self, token: str) -> None:
        """Confirm an address by a link that was mailed, and again; InvalidRequest."""
        presented = LinkSecret.parse(token)
        account = self._store.find(presented.user_id)
        if account is None or not compare_digest(presented.hash, account.confirmation_hash or ""):
            raise LinkSecret.refused()
        if account.email_confirmed_at is None and not self._store.confirm(account, self._clock()):
            raise LinkSecret.refused()
