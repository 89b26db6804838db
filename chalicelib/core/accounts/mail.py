"""The post: sends what the outbox holds, apart from the requests that asked for it."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.tokens import LinkSecret
from chalicelib.core.ports import AccountStore, Clock, Mailer, Outbox
from chalicelib.errors import RecorderError, TooManyAttempts, Unavailable
from chalicelib.models.entities import Account, Letter
from chalicelib.models.fields import LetterKind

log = logging.getLogger(__name__)

# How long a link is good. A new password is urgent; an address may be confirmed the next day.
LIFETIMES: dict[LetterKind, timedelta] = {
    "reset": timedelta(minutes=30),
    "confirmation": timedelta(hours=24),
}
PATHS: dict[LetterKind, str] = {
    "reset": "/auth/password/reset",
    "confirmation": "/auth/email/confirm",
}
SUBJECTS: dict[LetterKind, str] = {
    "reset": "Set a new password",
    "confirmation": "Confirm your address",
}
TEXTS: dict[LetterKind, str] = {
    "reset": """\
Somebody asked for a new password to your Recorder account. To set one, open this within 30 minutes:

{link}

If it was not you, there is nothing to do: the password stays as it is.
""",
    "confirmation": """\
Somebody opened a Recorder account with this address. If it was you, open this within a day:

{link}

If it was not you, there is nothing to do.
""",
}
# A letter that could not be sent is tried again after this, then after twice as long, and so on.
FIRST_WAIT = timedelta(minutes=1)
GIVE_UP = timedelta(days=1)


class Post:
    """Delivers letters, each at least once, but no more to an address than its limit allows."""

    def __init__(
        self,
        store: AccountStore,
        outbox: Outbox,
        mailer: Mailer,
        attempts: Attempts,
        public_url: str | None,
        clock: Clock,
    ) -> None:
        """Take what delivering stands on, and the address that links begin with."""
        self._store = store
        self._outbox = outbox
        self._mailer = mailer
        self._attempts = attempts
        self._public_url = public_url
        self._clock = clock

    def deliver(self) -> None:
        """Send every letter that is due; one that cannot be sent holds up no other."""
        now = self._clock()
        for letter in self._outbox.due(now):
            # Twice as long as it has waited: the next try is ours alone until then.
            later = now + FIRST_WAIT + (now - letter.asked_at)
            if self._outbox.postpone(letter, later):
                self._try(letter, now)

    def _try(self, letter: Letter, now: datetime) -> None:
        try:
            self._send(letter, now)
        except TooManyAttempts:
            log.info("a mail is left out: its address was sent as many as it may be")
        except RecorderError as error:
            if now - letter.asked_at < GIVE_UP:
                log.warning("a mail could not be sent, and is tried again: %s", error)
                return
            # Without its cause: SES says whose address it refused.
            log.error("a mail could not be sent in a day, and is given up: %s", error)  # noqa: TRY400
        self._outbox.remove(letter)

    def _send(self, letter: Letter, now: datetime) -> None:
        account = self._account(letter)
        if account is None:
            return
        if not self._public_url:
            raise Unavailable("RECORDER_PUBLIC_URL is not set")
        url = f"{self._public_url.rstrip('/')}{PATHS[letter.kind]}"
        with self._attempts.mail(letter.kind, letter.email):
            secret = LinkSecret.new(account.id)
            expires_at = now + LIFETIMES[letter.kind]
            if self._store.keep_link(account, letter.kind, secret.hash, expires_at):
                # To the address that was confirmed or signed up with, never to what was typed
                # since: the two may look alike and be different people's.
                text = TEXTS[letter.kind].format(link=f"{url}#{secret.token}")
                self._mailer.send(account.email, SUBJECTS[letter.kind], text)

    def _account(self, letter: Letter) -> Account | None:
        """Whom a letter is for; None when that is nobody, or when there is no need any more."""
        user_id = self._store.owner_of(letter.email)
        account = self._store.find(user_id) if user_id else None
        if account and letter.kind == "confirmation" and account.email_confirmed_at:
            return None
        return account
