"""Passwords: which will do, whether one is right, changing one, and doing without."""

from __future__ import annotations

import functools
import itertools
import logging
import re
from hmac import compare_digest

import bcrypt
from msgspec import Struct

from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.tokens import LinkSecret
from chalicelib.core.ports import Clock, ExportStore, Stores
from chalicelib.errors import (
    InternalError,
    InvalidCredentials,
    InvalidRequest,
    NotAuthenticated,
    NotReady,
    Unavailable,
)
from chalicelib.models.entities import Account, Caller
from chalicelib.models.fields import comparable, folded
from chalicelib.settings import Settings

log = logging.getLogger(__name__)

# "00000000", "12341234".
_REPEATED = re.compile(r"(\d{1,6})\1+")
# "12345678", "87654321", "12345678901", "abcdefgh".
_LINES = ("0123456789" * 3, "abcdefghijklmnopqrstuvwxyz")
# How often an account is looked at again when somebody else was quicker to change it: each time at
# least one of them is done.
LOOKS = 5


class Passwords(Struct, frozen=True):
    """The use cases of passwords.

    Setting another one counts up the account's `password_version`, by which the sessions that
    began with an earlier one are over: one write ends any number of them.
    """

    stores: Stores
    attempts: Attempts
    settings: Settings
    clock: Clock

    def check(self, account: Account, password: str, source: str) -> None:
        """Make sure that it is the account's password; InvalidCredentials, TooManyAttempts."""
        # Counted by the account, not its address: log-ins of strangers must not keep its owner out.
        self._check(account.id, account, password, source)

    def check_for(self, who: str, account: Account | None, password: str, source: str) -> Account:
        """The same for whoever has an address, after the same work if that is nobody.

        Guesses are counted against `who`. What is kept of the password comes to cost what is set,
        since only now it is known.
        """
        account = self._check(who, account, password, source)
        if _cost(account.password_hash or "") != self.settings.bcrypt_cost:
            self.stores.accounts.rehash(account, self._hash(password))
        return account

    def _check(self, who: str, account: Account | None, password: str, source: str) -> Account:
        # An account without a password takes as long as one with another, and as one that is not.
        password_hash = (account and account.password_hash) or self._nobodys_hash()
        with self.attempts.guess(who, source):
            if not (_matches(password, password_hash) and account):
                raise InvalidCredentials("No account has this address and this password")
        return account

    def hashed(self, field: str, password: str, email: str) -> str:
        """What is kept of a new password; InvalidRequest names the field when it will not do."""
        plain, address = folded(password), comparable(email)
        if plain == address.rpartition("@")[0] or comparable(password) == address:
            raise InvalidRequest("Not one's own address", field=field)
        if plain in _commonest() or _REPEATED.fullmatch(plain) or _is_a_run(plain):
            raise InvalidRequest("Among the passwords that are guessed first", field=field)
        return self._hash(password)

    def change(self, caller: Caller, current: str, new: str, source: str) -> None:
        """Set another password, and end every session but the caller's.

        InvalidCredentials when `current` is wrong, unless the change was made already: then it is
        a repetition. InvalidRequest, TooManyAttempts, NotAuthenticated; NotReady when there is no
        password to change.
        """
        account = caller.account
        password_hash = account.password_hash
        if password_hash is None:
            raise NotReady("The account has no password; a mailed link sets the first one")
        with self.attempts.guess(account.id, source):
            as_it_was = _matches(current, password_hash)
            if not (as_it_was or _matches(new, password_hash)):
                raise InvalidCredentials("The current password is another one")
        if not as_it_was:
            return
        password_hash = self.hashed("new_password", new, account.email)
        session_id = caller.session_id
        if not self.stores.accounts.change_password(
            account, password_hash, session_id, self.clock()
        ):
            raise NotAuthenticated("The password or the session was changed meanwhile")
        end_exports(self.stores.exports, account.id)

    def forgot(self, email: str, source: str) -> None:
        """Have a link mailed to whoever has the address; TooManyAttempts of the source.

        Nothing about the address is even looked at, so neither the answer nor its time can tell.
        """
        self.attempts.count("forgot_per_source", source)
        self.stores.outbox.put("reset", email, self.clock())

    def reset(self, token: str, new: str, source: str) -> None:
        """Set another password by a link that was mailed, and end every session.

        InvalidRequest when the link is not good, or no longer. Used again, it does nothing, and is
        refused unless the password is the one that it set; TooManyAttempts.
        """
        presented = LinkSecret.parse(token)
        for _ in range(LOOKS):
            account = self.stores.accounts.find(presented.user_id)
            if account is None or not compare_digest(presented.hash, account.reset_hash or ""):
                raise LinkSecret.refused()
            if account.reset_expires_at is None:
                self._check_again(account, new, source)
                return
            now = self.clock()
            if account.reset_expires_at <= now:
                raise LinkSecret.refused()
            password_hash = self.hashed("new_password", new, account.email)
            if self.stores.accounts.reset_password(account, password_hash, now):
                break
        else:
            raise Unavailable("The account keeps changing")
        self.attempts.forget_guesses(comparable(account.email))
        end_exports(self.stores.exports, account.id)

    def _check_again(self, account: Account, new: str, source: str) -> None:
        try:
            self.check(account, new, source)
        except InvalidCredentials as error:
            raise LinkSecret.refused() from error

    def _hash(self, password: str) -> str:
        salt = bcrypt.gensalt(self.settings.bcrypt_cost)
        return bcrypt.hashpw(password.encode(), salt).decode()

    def _nobodys_hash(self) -> str:
        # Well-formed, so that comparing with it costs what comparing with a real one does.
        return f"$2b${self.settings.bcrypt_cost:02d}$" + "." * 53


def end_exports(exports: ExportStore, user_id: str) -> None:
    """Delete what a user exported, whose URLs would outlast the access that they had.

    What S3 does not delete now, upkeep does within the hour.
    """
    try:
        exports.delete(user_id)
    except (Unavailable, InternalError) as error:
        log.warning("the exports of %s are not deleted yet: %s", user_id, error)


def _is_a_run(plain: str) -> bool:
    return any(plain in line or plain[::-1] in line for line in _LINES)


def _cost(password_hash: str) -> int:
    return int(password_hash.split("$")[2])


def _matches(password: str, password_hash: str) -> bool:
    return bcrypt.checkpw(password.encode(), password_hash.encode())


@functools.cache
def _commonest() -> frozenset[str]:
    # Not at the top: it takes 27 ms, and only a new password needs it.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    # Names and words too: its list of passwords leaves out what stands in the others.
    return frozenset(itertools.chain.from_iterable(FREQUENCY_LISTS.values()))
