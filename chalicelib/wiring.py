"""Builds each service once, when it is first needed. The only place that joins core to aws."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any

from chalicelib import settings as settings_module
from chalicelib import telemetry
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.accounts import AccountsTable
from chalicelib.aws.dynamodb.attempts import AttemptsTable
from chalicelib.aws.dynamodb.due import DueIndex
from chalicelib.aws.dynamodb.outbox import OutboxTable, SesMailer
from chalicelib.aws.dynamodb.recordings import RecordingsTable
from chalicelib.aws.dynamodb.shelves import Shelves
from chalicelib.aws.dynamodb.table import Table
from chalicelib.aws.s3.audio import AudioBuckets
from chalicelib.aws.s3.parts import Parts
from chalicelib.aws.s3.signing import Signer
from chalicelib.aws.secrets import KeyStore
from chalicelib.core.accounts.accounts import Accounts
from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.closing import Closing
from chalicelib.core.accounts.confirmations import Confirmations
from chalicelib.core.accounts.export import Exporting
from chalicelib.core.accounts.mail import Post
from chalicelib.core.accounts.passwords import Passwords
from chalicelib.core.accounts.sessions import Sessions
from chalicelib.core.accounts.signing_keys import Keys
from chalicelib.core.accounts.tokens import AccessTokens
from chalicelib.core.ids import uuid7
from chalicelib.core.ports import Clock, Stores
from chalicelib.core.recordings.completion import Completion
from chalicelib.core.recordings.deletion import Deletion
from chalicelib.core.recordings.feed import Feed
from chalicelib.core.recordings.library import Library
from chalicelib.core.recordings.multipart import Multipart
from chalicelib.core.recordings.uploads import Uploads
from chalicelib.core.upkeep import Upkeep
from chalicelib.models.fields import Store
from chalicelib.models.signing_keys import Key
from chalicelib.settings import Settings


def now() -> datetime:
    """The time, in UTC, to the millisecond."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


class Services:
    """The use cases, on AWS or what stands in for it."""

    def __init__(
        self, settings: Settings, clock: Clock = now, clients: Clients | None = None
    ) -> None:
        """Build nothing yet."""
        self.settings = settings
        self.clients = clients or Clients(custom_s3=bool(settings.s3_endpoint))
        self._clock = clock

    @cached_property
    def tokens(self) -> AccessTokens:
        """Access tokens."""
        issuer = f"recorder-{self.settings.stage}"
        return AccessTokens(self._keys, issuer, self.settings.access_token_seconds)

    @cached_property
    def accounts(self) -> Accounts:
        """Accounts."""
        return Accounts(
            self._stores.accounts,
            self.sessions,
            self.passwords,
            self._attempts,
            self.settings,
            self._clock,
            uuid7,
        )

    @cached_property
    def sessions(self) -> Sessions:
        """Sessions."""
        return Sessions(
            self._stores.accounts, self.tokens, self._attempts, self.settings, self._clock, uuid7
        )

    @cached_property
    def passwords(self) -> Passwords:
        """Passwords."""
        return Passwords(
            self._stores.accounts, self._outbox, self._attempts, self.settings, self._clock
        )

    @cached_property
    def confirmations(self) -> Confirmations:
        """Confirmations of addresses."""
        return Confirmations(self._stores.accounts, self._outbox, self._attempts, self._clock)

    @cached_property
    def mail(self) -> Post:
        """The post."""
        mailer = SesMailer(lambda: self.clients.ses, self.settings.mail_from)
        public_url = self.settings.public_url
        return Post(
            self._stores.accounts, self._outbox, mailer, self._attempts, public_url, self._clock
        )

    @cached_property
    def uploads(self) -> Uploads:
        """Uploads."""
        return Uploads(
            self._stores, self._multipart, self.completion, self.settings, self._clock, uuid7
        )

    @cached_property
    def completion(self) -> Completion:
        """Completing uploads."""
        return Completion(self._stores, self._multipart, self._clock)

    @cached_property
    def library(self) -> Library:
        """Recordings."""
        return Library(self._stores, self.settings, self._clock)

    @cached_property
    def feed(self) -> Feed:
        """What changed."""
        return Feed(self._stores, self._clock)

    @cached_property
    def deletion(self) -> Deletion:
        """The trash, and deleting for good."""
        return Deletion(self._stores, self.settings, self._clock)

    @cached_property
    def closing(self) -> Closing:
        """Deleting accounts."""
        return Closing(self._stores, self.deletion, self.passwords, self._clock)

    @cached_property
    def exporting(self) -> Exporting:
        """Taking one's data along."""
        return Exporting(self._stores, self._clock)

    @cached_property
    def upkeep(self) -> Upkeep:
        """The scheduled job."""
        return Upkeep(self._stores, self.completion, self.deletion, self.closing, self._clock)

    @cached_property
    def _multipart(self) -> Multipart:
        return Multipart(self._stores)

    @cached_property
    def _keys(self) -> Keys:
        """Read as soon as something is built that needs them: without any, nothing is begun."""
        if self.settings.jwt_secret_id:
            store = KeyStore(lambda: self.clients.secretsmanager, self.settings.jwt_secret_id)
            return Keys(store.read, self._clock)
        given = [Key(kid=kid, secret=secret) for kid, secret in self.settings.keys.items()]
        return Keys(lambda: given, self._clock)

    @cached_property
    def _attempts(self) -> Attempts:
        return Attempts(AttemptsTable(self._table), self.settings, self._clock, time.sleep)

    @cached_property
    def _outbox(self) -> OutboxTable:
        return OutboxTable(self._table)

    @cached_property
    def _table(self) -> Table:
        return Table(lambda: self.clients.dynamodb, self.settings.table)

    @cached_property
    def _stores(self) -> Stores:
        clients = lambda: self.clients.s3, self.clients.copier
        address = self.settings.s3_public_url or self.settings.s3_endpoint or ""
        signer = Signer(lambda: self.clients.session, address)
        buckets: dict[Store, str] = {
            "uploads": self.settings.uploads_bucket,
            "recordings": self.settings.recordings_bucket,
        }
        return Stores(
            accounts=AccountsTable(self._table),
            recordings=RecordingsTable(self._table),
            shelves=Shelves(self._table),
            audio=AudioBuckets(*clients, signer, buckets),
            parts=Parts(*clients, signer, self.settings.uploads_bucket),
            due=DueIndex(self._table),
        )


_lock = threading.Lock()
_services: Services | None = None


def services() -> Services:
    """The services of this process; the embedded backend starts here, if it is to be used."""
    global _services  # noqa: PLW0603 - one per process, and `chalice local` has many threads
    with _lock:
        if _services is None:
            settings = settings_module.load()
            if settings.backend == "embedded":
                _start_embedded_backend()
                settings = settings_module.load()
            _services = Services(settings)
        return _services


def work(name: str, **facts: Any) -> AbstractContextManager[telemetry.Work]:
    """A request or a job, to be logged as this process's settings say; see telemetry.work."""
    return telemetry.work(name, _stage(), **facts)


@cache
def _stage() -> str:
    """The stage's name; the log is taken over here, if it is to be."""
    settings = settings_module.load()
    if settings.log == "json":
        telemetry.write_json()
    return settings.stage


def _start_embedded_backend() -> None:
    # Chalice's reloader watches the whole project folder, .venv too, and takes a fresh .pyc for an
    # edit: it would restart the process and lose the data that lives in it. Importing the backend
    # writes one already.
    sys.dont_write_bytecode = True
    # Never packaged, so it is there on a developer's machine only.
    from local.embedded import backend

    backend.start_in_process(
        deliver_mail=lambda: services().mail.deliver(), upkeep=lambda: services().upkeep.run()
    )
