"""Mail: sends what the outbox holds, apart from the requests that asked for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from chalicelib import telemetry
from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.tokens import LinkSecret
from chalicelib.core.ports import Clock, Mailer, Stores
from chalicelib.errors import RecorderError, TooManyAttempts, Unavailable
from chalicelib.models.entities import Account, Letter
from chalicelib.models.fields import PROVIDERS, LetterKind

log = logging.getLogger(__name__)

# How long a link is good. A new password is urgent; an address may be confirmed the next day.
LIFETIMES: dict[LetterKind, timedelta] = {
    "reset": timedelta(minutes=30),
    "confirmation": timedelta(hours=24),
    "change": timedelta(hours=24),
}
PATHS: dict[LetterKind, str] = {
    "reset": "/auth/password/reset",
    "confirmation": "/auth/email/confirm",
    "change": "/auth/email/confirm",
}
SUBJECTS: dict[LetterKind, str] = {
    "reset": "Set a new password",
    "confirmation": "Confirm your address",
    "change": "Confirm your new address",
    "changing": "Your address is to change",
    "google_added": "Google was added",
    "apple_added": "Apple was added",
    "google_removed": "Google was removed",
    "apple_removed": "Apple was removed",
    "password_removed": "Your password was removed",
}
NAMES = {"google": "Google", "apple": "Apple"}
ADDED = """\
{name} now signs in to your Recorder account. If it was you, there is nothing to do.

If it was not you, remove it in the app, and set a new password there or by "forgotten password".
"""
REMOVED = """\
{name} does not sign in to your Recorder account any more. If it was you, there is nothing to do.

If it was not you, set a new password by "forgotten password": every device is logged out by that.
"""
TEXTS: dict[LetterKind, str] = {
    "reset": """\
Somebody asked for a new password to your Recorder account. To set one, open this within 30 minutes:

{link}

If it was not you, there is nothing to do: the password stays as it is.
{staying}""",
    "confirmation": """\
Somebody opened a Recorder account with this address. If it was you, open this within a day:

{link}

If it was not you, there is nothing to do.
""",
    "change": """\
Somebody asked that this be the address of their Recorder account. If it was you, open this within \
a day:

{link}

If it was not you, do not open it: the account is somebody else's.
""",
    "changing": """\
Somebody asked that your Recorder account have another address. It changes once a link is opened \
that was mailed there. If it was you, there is nothing to do here.

If it was not you, set a new password, in the app or by "forgotten password": then nothing changes.
""",
    "google_added": ADDED.format(name="Google"),
    "apple_added": ADDED.format(name="Apple"),
    "google_removed": REMOVED.format(name="Google"),
    "apple_removed": REMOVED.format(name="Apple"),
    "password_removed": REMOVED.format(name="Your password"),
}
STAYING = """
{names} signs in to this account too, and goes on doing so. What of that is not yours, remove in \
the app.
"""
# A letter that could not be sent is tried again after this, then after twice as long, and so on.
FIRST_WAIT = timedelta(minutes=1)
GIVE_UP = timedelta(days=1)


class MailDelivery(Struct, frozen=True):
    """Delivers letters, each at least once, but no more to an address than its limit allows."""

    stores: Stores
    mailer: Mailer
    attempts: Attempts
    public_url: str | None
    clock: Clock

    def deliver(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Send the letters that are due, the oldest first, for as long as `goes_on`.

        One that cannot be sent holds up no other, and none is noted as tried that was not.
        """
        now = self.clock()
        for letter in sorted(self.stores.outbox.due(now), key=_urgency):
            if not goes_on():
                return
            # Twice as long as it has waited: the next try is ours alone until then.
            later = now + FIRST_WAIT + (now - letter.asked_at)
            if self.stores.outbox.postpone(letter, later):
                self._try(letter, now)

    def _try(self, letter: Letter, now: datetime) -> None:
        try:
            self._send(letter, now)
        except TooManyAttempts:
            log.info("a mail is left out: its address was sent as many as it may be")
        except RecorderError as error:
            telemetry.count(mails_failed=1)
            if now - letter.asked_at < GIVE_UP:
                log.warning("a mail could not be sent, and is tried again: %s", error)
                return
            # Without its cause: SES says whose address it refused.
            log.error("a mail could not be sent in a day, and is given up: %s", error)  # noqa: TRY400
        self.stores.outbox.remove(letter)

    def _send(self, letter: Letter, now: datetime) -> None:
        if letter.kind == "changing":
            # To the address as it was, also when it is another by now.
            with self.attempts.mail(letter.kind, letter.email):
                self._deliver(letter.email, letter.kind, TEXTS[letter.kind])
            return
        account = self._account(letter)
        if account is None:
            return
        # To the address that was confirmed or signed up with, never to what was typed since: the
        # two may look alike and be different people's. Only what confirms a new one goes there.
        to = account.new_email or "" if letter.kind == "change" else account.email
        with self.attempts.mail(letter.kind, to):
            if text := self._text(letter.kind, account, now):
                self._deliver(to, letter.kind, text)

    def _deliver(self, to: str, kind: LetterKind, text: str) -> None:
        self.mailer.send(to, SUBJECTS[kind], text)
        telemetry.count(mails_sent=1)

    def _text(self, kind: LetterKind, account: Account, now: datetime) -> str | None:
        """What a letter says, with a link whose hash is kept, if it has one; None if it is void."""
        if kind not in PATHS:
            return TEXTS[kind]
        if not self.public_url:
            raise Unavailable("RECORDER_PUBLIC_URL is not set")
        secret = LinkSecret.new(account.id)
        if not self.stores.accounts.keep_link(account, kind, secret.hash, now + LIFETIMES[kind]):
            return None
        link = f"{self.public_url.rstrip('/')}{PATHS[kind]}#{secret.token}"
        return TEXTS[kind].format(link=link, staying=_staying(account))

    def _account(self, letter: Letter) -> Account | None:
        """Whom a letter is for; None when that is nobody, or when there is no need any more."""
        user_id = self.stores.accounts.owner_of(letter.email)
        account = self.stores.accounts.find(user_id) if user_id else None
        if account and letter.kind == "confirmation" and account.email_confirmed_at:
            return None
        if account and letter.kind == "change" and not account.new_email:
            return None
        return account


def _staying(account: Account) -> str:
    """What a new password leaves as it is; nothing of an account whose address is not confirmed."""
    names = [NAMES[each] for each in PROVIDERS if account.identity(each)]
    if not (names and account.email_confirmed_at):
        return ""
    return STAYING.format(names=" and ".join(names))


def _urgency(letter: Letter) -> tuple[datetime, bool, datetime]:
    """What letters are sorted by: of those of one minute, new passwords go before the rest."""
    minute = letter.asked_at.replace(second=0, microsecond=0)
    return minute, letter.kind != "reset", letter.asked_at
