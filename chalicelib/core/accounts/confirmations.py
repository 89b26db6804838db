"""Confirmations: whether the user reads the mail that goes to the address."""

from __future__ import annotations

from hmac import compare_digest

from msgspec import Struct

from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.proofs import Proofs
from chalicelib.core.accounts.tokens import LinkSecret
from chalicelib.core.ports import AccountStore, Clock, Outbox
from chalicelib.errors import EmailTaken, Unavailable
from chalicelib.models.entities import Account
from chalicelib.models.fields import comparable
from chalicelib.models.requests import EmailChange


class Confirmations(Struct, frozen=True):
    """The use cases of confirming an address. Signing up asks for the first mail."""

    store: AccountStore
    outbox: Outbox
    proofs: Proofs
    attempts: Attempts
    clock: Clock

    def ask(self, account: Account) -> None:
        """Have another link mailed, unless the address is confirmed.

        TooManyAttempts.
        """
        if account.email_confirmed_at is None:
            self.attempts.check_mail("confirmation", account.email)
            self.outbox.put("confirmation", account.email, self.clock())

    def change(self, account: Account, new: EmailChange, source: str) -> None:
        """Have a link mailed to the address that is to be, and word of it to the one that is.

        InvalidCredentials, TooManyAttempts; EmailTaken.
        """
        self.proofs.check(account, new, source, f"email {comparable(new.email)}")
        # By the account: each of them may be to another address, of people who asked for nothing.
        self.attempts.count("mails_per_address", f"change {account.id}")
        if self.store.owner_of(new.email) not in {None, account.id}:
            raise EmailTaken("Somebody already has an account with this address")
        if not self.store.ask_for_address(account, new.email, self.clock()):
            raise Unavailable("The account keeps changing")

    def confirm(self, token: str) -> None:
        """Confirm an address by a link that was mailed, and again; InvalidRequest.

        With the link that was mailed to a new address it becomes the account's; EmailTaken.
        """
        presented = LinkSecret.parse(token)
        account = self.store.find(presented.user_id)
        if account is None:
            raise LinkSecret.refused()
        if compare_digest(presented.hash, account.change_hash or ""):
            done = account.new_email is None or self.store.change_address(account, self.clock())
        elif compare_digest(presented.hash, account.confirmation_hash or ""):
            done = bool(account.email_confirmed_at) or self.store.confirm(account, self.clock())
        else:
            done = False
        if not done:
            raise LinkSecret.refused()
