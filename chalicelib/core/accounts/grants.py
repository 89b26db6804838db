"""What Apple gave with a sign-in: kept to be taken back, as Apple wants it, when an account goes.

An app sends the code that Apple gave it, once. It is exchanged for a refresh token, which does
nothing but wait: when the identity goes that it is of, it is revoked, and so is that of each other
app. All of it waits here, apart from the requests, so that a provider that is down delays nobody's
deletion.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct, structs

from chalicelib import telemetry
from chalicelib.core.accounts.passwords import LOOKS
from chalicelib.core.ports import Clock, Revoker, Stores
from chalicelib.errors import RecorderError, Unavailable
from chalicelib.models.entities import Grant

log = logging.getLogger(__name__)

# What cannot be done is tried again after this, then after twice as long, and so on.
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(days=1)
# Apple takes a code for five minutes. A revocation is owed until it is done; a month is for a
# secret that ran out without anybody noticing.
CODE_LIFE = timedelta(minutes=5)
GIVE_UP = timedelta(days=30)


class Grants(Struct, frozen=True):
    """Exchanges and revokes."""

    stores: Stores
    apple: Revoker
    clock: Clock

    def settle(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Do what is due, the oldest first, for as long as `goes_on`; one holds up no other."""
        now = self.clock()
        for grant in sorted(self.stores.grants.due(now), key=lambda each: each.asked_at):
            if not goes_on():
                return
            later = now + min(FIRST_WAIT + (now - grant.asked_at), LONGEST_WAIT)
            if self.stores.grants.postpone(grant, later):
                self._try(grant, now)

    def _try(self, grant: Grant, now: datetime) -> None:
        try:
            if grant.code:
                if not self._exchange(grant, now):
                    return
            else:
                self.apple.revoke(grant.refresh_token or "", grant.client_id)
                telemetry.count(revocations_done=1)
        except RecorderError as error:
            telemetry.count(revocations_failed=1)
            if now - grant.asked_at < (CODE_LIFE if grant.code else GIVE_UP):
                log.warning("Apple could not be told, and is tried again: %s", error)
                return
            log.error("Apple could not be told, which is given up: %s", error)  # noqa: TRY400
        self.stores.grants.remove(grant)

    def _exchange(self, grant: Grant, now: datetime) -> bool:
        """Exchange a code; False when what came of it is to be revoked."""
        token = self.apple.exchange(grant.code or "", grant.client_id, grant.redirect_uri)
        if token is None:
            return True
        for _ in range(LOOKS):
            account = self.stores.accounts.find(grant.user_id)
            if account is None or account.apple is None or account.apple.subject != grant.subject:
                # It went meanwhile, so this goes too.
                self.stores.grants.exchanged(grant, token, now)
                return False
            # In place of what Apple gave this app before. That is not revoked: it would take from
            # the app what it has just been given (docs/decisions/83).
            tokens = account.apple.refresh_tokens | {grant.client_id: token}
            identity = structs.replace(account.apple, refresh_tokens=tokens)
            if self.stores.accounts.keep_identity(account, "apple", identity):
                return True
        raise Unavailable("The account keeps changing")
