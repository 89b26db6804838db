"""Builds each service once, when it is first needed. The only place that joins core to aws."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime
from functools import cached_property

from chalicelib import settings as settings_module
from chalicelib.aws.accounts import AccountsTable
from chalicelib.aws.audio import AudioBuckets
from chalicelib.aws.clients import Clients
from chalicelib.aws.recordings import RecordingsTable
from chalicelib.aws.signing import Signer
from chalicelib.aws.table import Table
from chalicelib.core.accounts import Accounts
from chalicelib.core.ids import uuid7
from chalicelib.core.library import Library
from chalicelib.core.ports import Clock
from chalicelib.core.tokens import AccessTokens
from chalicelib.core.uploads import Uploads
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
        return AccessTokens(self.settings.keys, issuer, self.settings.access_token_seconds)

    @cached_property
    def accounts(self) -> Accounts:
        """Accounts and sessions."""
        store = AccountsTable(self._table)
        return Accounts(store, self.tokens, self.settings, self._clock, uuid7)

    @cached_property
    def uploads(self) -> Uploads:
        """Uploads."""
        return Uploads(self._recordings, self._audio, self.settings, self._clock, uuid7)

    @cached_property
    def library(self) -> Library:
        """Recordings."""
        return Library(self._recordings, self._audio, self.settings, self._clock)

    @cached_property
    def _table(self) -> Table:
        return Table(lambda: self.clients.dynamodb, self.settings.table)

    @cached_property
    def _recordings(self) -> RecordingsTable:
        return RecordingsTable(self._table)

    @cached_property
    def _audio(self) -> AudioBuckets:
        address = self.settings.s3_public_url or self.settings.s3_endpoint or ""
        return AudioBuckets(
            lambda: self.clients.s3,
            lambda: self.clients.s3_copying,
            Signer(lambda: self.clients.session, address),
            {
                "uploads": self.settings.uploads_bucket,
                "recordings": self.settings.recordings_bucket,
            },
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


def _start_embedded_backend() -> None:
    # Chalice's reloader watches the whole project folder, .venv too, and takes a fresh .pyc for an
    # edit: it would restart the process and lose the data that lives in it. Importing the backend
    # writes one already.
    sys.dont_write_bytecode = True
    # Never packaged, so it is there on a developer's machine only.
    from local import backend

    backend.start_in_process()
