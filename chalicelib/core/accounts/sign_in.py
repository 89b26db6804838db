"""Signing in with Google and Apple: whose account it is, and the ways to sign in that one has.

The provider's name for somebody tells who they are, never their address: that changes hands. What
an address decides is only whether somebody new is the one who has an account with it already.
"""

from __future__ import annotations

import logging

from msgspec import Struct, structs

from chalicelib import telemetry
from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.id_tokens import IdTokens, Person
from chalicelib.core.accounts.passwords import LOOKS, end_exports
from chalicelib.core.accounts.proofs import Proofs
from chalicelib.core.accounts.sessions import Sessions
from chalicelib.core.ports import Clock, NewId, Stores
from chalicelib.errors import (
    EmailNotConfirmed,
    EmailTaken,
    InvalidCredentials,
    LastSignIn,
    RecorderError,
    Unavailable,
)
from chalicelib.models.answers import SignedIn
from chalicelib.models.entities import Account, Grant
from chalicelib.models.fields import Provider, Way, comparable
from chalicelib.models.requests import AppleSignIn, IdTokenSignIn, NewAppleWay, NewWay
from chalicelib.settings import Settings

log = logging.getLogger(__name__)


class SignIn(Struct, frozen=True):
    """The use cases."""

    stores: Stores
    sessions: Sessions
    id_tokens: IdTokens
    proofs: Proofs
    attempts: Attempts
    settings: Settings
    clock: Clock
    new_id: NewId

    def sign_in(
        self, provider: Provider, given: IdTokenSignIn, source: str
    ) -> tuple[SignedIn, bool]:
        """Begin a session of whom an id token is about; whether their account is new.

        InvalidCredentials, EmailNotConfirmed, TooManyAttempts, Unavailable. EmailTaken when
        somebody has an account with the address who need not be the same. NotAuthenticated while
        the account is suspended.
        """
        try:
            with self.attempts.token(source):
                person = self.id_tokens.verify(provider, given.id_token, given.nonce)
                for _ in range(LOOKS):
                    if entered := self._enter(person, given, source):
                        self._keep_code(entered[0].user.id, person, given)
                        return entered
        except InvalidCredentials:
            telemetry.count(log_ins_failed=1)
            raise
        raise Unavailable("The account keeps changing")

    def add(self, account: Account, provider: Provider, new: NewWay, source: str) -> None:
        """Have whom an id token is about sign in to an account; again is no error.

        The provider's other identity that did, if there is one, does no more. InvalidCredentials,
        EmailNotConfirmed, TooManyAttempts, Unavailable; EmailTaken when it is another account's.
        """
        with self.attempts.token(source):
            person = self.id_tokens.verify(provider, new.id_token, new.nonce)
            # Who it is that comes, so that one proof lets in nobody besides.
            purpose = f"add {provider} {person.identity.subject}"
            nonce, used_for = person.nonce, f"{purpose} {account.id}"
            if nonce and not self.stores.accounts.use_nonce(nonce, used_for):
                raise InvalidCredentials("The id token was used before")
        self.proofs.check(account, new.proof, source, purpose)
        for _ in range(LOOKS):
            owner = self.stores.accounts.signs_in(provider, person.identity.subject)
            if owner and owner != account.id:
                raise EmailTaken(f"This is how somebody signs in to another account ({provider})")
            if owner or self._add(account, person):
                self._keep_code(account.id, person, new)
                return
            account = self.proofs.still_good(account)
        raise Unavailable("The account keeps changing")

    def remove(self, account: Account, way: Way) -> None:
        """Have a way sign in no more, and again; LastSignIn when nothing else would be left."""
        for _ in range(LOOKS):
            there = account.password_hash if way == "password" else account.identity(way)
            if not there:
                return
            if set(account.ways(self.settings.providers)) <= {way}:
                raise LastSignIn("Add another way to sign in first")
            if self.stores.accounts.remove_way(account, way, self.clock()):
                return
            account = self.proofs.still_good(account)
        raise Unavailable("The account keeps changing")

    def _enter(
        self, person: Person, given: IdTokenSignIn, source: str
    ) -> tuple[SignedIn, bool] | None:
        """Begin a session; None when what was found is no longer so."""
        accounts = self.stores.accounts
        if user_id := accounts.signs_in(person.provider, person.identity.subject):
            account = accounts.find(user_id)
            # What led to it may have been taken from it since, by whose account it is.
            if account is None or not person.signs_in_to(account):
                return None
            session, signed_in = self.sessions.new(account, given.device)
            accounts.add_session(session, person.nonce)
            return signed_in, False
        if person.email is None:
            raise EmailNotConfirmed("The provider tells no address: ask it for one, too")
        if user_id := accounts.owner_of(person.email):
            account = accounts.find(user_id)
            # Nor need it be the address's any more.
            if account is None or comparable(account.email) != comparable(person.email):
                return None
            return self._join(account, person, given)
        return self._open(person, given, source)

    def _open(
        self, person: Person, given: IdTokenSignIn, source: str
    ) -> tuple[SignedIn, bool] | None:
        """Open an account for somebody new."""
        self.attempts.check("signups_per_source", source)
        now = self.clock()
        account = structs.replace(
            Account(
                id=self.new_id(),
                email=person.email or "",
                name=given.name or person.name,
                created_at=now,
                email_confirmed_at=now,
            ),
            **{person.provider: person.identity},
        )
        session, signed_in = self.sessions.new(account, given.device)
        try:
            self.stores.accounts.open(account, session, person.nonce)
        except EmailTaken:
            return None  # Another of their devices was quicker, perhaps.
        self.attempts.note("signups_per_source", source)
        return signed_in, True

    def _join(
        self, account: Account, person: Person, given: IdTokenSignIn
    ) -> tuple[SignedIn, bool] | None:
        """Sign somebody in to the account that has their address, if it is theirs."""
        if person.signs_in_to(account):
            return None  # Another of their devices has just opened it.
        if not person.is_authority:
            raise EmailTaken("Log in to the account with this address, and add this way to it")
        if account.email_confirmed_at is None:
            return self._take_over(account, person, given)
        if account.identity(person.provider):
            # The provider knows somebody else by the same address: it has changed hands.
            raise EmailTaken("Somebody else signs in to the account with this address")
        joined = structs.replace(account, **{person.provider: person.identity})
        session, signed_in = self.sessions.new(joined, given.device)
        done = self.stores.accounts.add_way(
            account,
            person.provider,
            person.identity,
            self.clock(),
            confirmed=False,
            entering=(session, person.nonce),
        )
        return (signed_in, False) if done else None

    def _take_over(
        self, account: Account, person: Person, given: IdTokenSignIn
    ) -> tuple[SignedIn, bool] | None:
        """Leave nothing of an account to who opened it: the address was never proved to be theirs.

        Its recordings stay, since it may have been the same person.
        """
        now, name = self.clock(), given.name or person.name
        ways = {"google": None, "apple": None, "password_hash": None}
        taken = structs.replace(
            account,
            **ways | {person.provider: person.identity},
            name=name,
            password_version=account.password_version + 1,
            email_confirmed_at=now,
        )
        session, signed_in = self.sessions.new(taken, given.device)
        # First, so that what fails here is done again: once they are in, nothing is taken over.
        self._end_links(account.id)
        done = self.stores.accounts.take_over(
            account,
            person.provider,
            person.identity,
            now,
            name=name,
            entering=(session, person.nonce),
        )
        if not done:
            return None
        self._end_links(account.id)
        end_exports(self.stores.exports, account.id)
        return signed_in, False

    def _keep_code(self, user_id: str, person: Person, given: IdTokenSignIn | NewWay) -> None:
        """Have what Apple gave beside the token exchanged, where that is of use."""
        if not (isinstance(given, AppleSignIn | NewAppleWay) and given.authorization_code):
            return
        if not self.settings.tells_apple:
            return
        now = self.clock()
        grant = Grant(
            id=self.new_id(),
            user_id=user_id,
            subject=person.identity.subject,
            client_id=person.client_id,
            code=given.authorization_code,
            redirect_uri=given.redirect_uri,
            asked_at=now,
            due_at=now,
        )
        try:
            self.stores.grants.put(grant)
        except RecorderError as error:
            # It is done, by a token that may not be good again; the next sign-in brings another.
            log.warning("a code of Apple's is lost: %s", error)

    def _end_links(self, user_id: str) -> None:
        """Take back every link that was made to the user's recordings."""
        self.stores.links.remove(self.stores.links.of(user_id))

    def _add(self, account: Account, person: Person) -> bool:
        same = comparable(person.email or "") == comparable(account.email)
        confirmed = account.email_confirmed_at is None and person.is_authority and same
        return self.stores.accounts.add_way(
            account, person.provider, person.identity, self.clock(), confirmed=confirmed
        )
