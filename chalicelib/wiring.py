"""Builds each service once, when it is first needed. The only place that joins core to aws."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from chalicelib import settings as settings_module
from chalicelib import telemetry
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.accounts import AccountsTable
from chalicelib.aws.dynamodb.attempts import AttemptsTable
from chalicelib.aws.dynamodb.due import DueIndex
from chalicelib.aws.dynamodb.grants import GrantsTable
from chalicelib.aws.dynamodb.links import LinksTable
from chalicelib.aws.dynamodb.outbox import OutboxTable
from chalicelib.aws.dynamodb.recordings import RecordingsTable
from chalicelib.aws.dynamodb.shelves import Shelves
from chalicelib.aws.dynamodb.sounds import SoundsTable
from chalicelib.aws.dynamodb.table import Table
from chalicelib.aws.email import SesMailer
from chalicelib.aws.events import EventBus
from chalicelib.aws.s3.browsers import BrowserKey, KeySecret
from chalicelib.aws.s3.exports import Exports
from chalicelib.aws.s3.objects import Bucket
from chalicelib.aws.s3.parts import Parts
from chalicelib.aws.s3.pieces import Pieces
from chalicelib.aws.s3.recordings import RecordingsBucket
from chalicelib.aws.s3.signing import Signer
from chalicelib.aws.s3.uploads import UploadsBucket
from chalicelib.aws.secrets import SigningKeySecret
from chalicelib.core.accounts.accounts import Accounts
from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.closing import Closing
from chalicelib.core.accounts.confirmations import Confirmations
from chalicelib.core.accounts.export import Exporting
from chalicelib.core.accounts.mail import MailDelivery
from chalicelib.core.accounts.passwords import Passwords
from chalicelib.core.accounts.proofs import Proofs
from chalicelib.core.accounts.sessions import Sessions
from chalicelib.core.accounts.signing_keys import SigningKeys
from chalicelib.core.accounts.tokens import AccessTokens
from chalicelib.core.ids import link_code, uuid7
from chalicelib.core.ports import Clock, Stores
from chalicelib.core.recordings.announcing import Announcing
from chalicelib.core.recordings.browsers import Browsers
from chalicelib.core.recordings.completion import Completion
from chalicelib.core.recordings.deletion import Deletion
from chalicelib.core.recordings.direct import DirectUploads
from chalicelib.core.recordings.feed import Feed
from chalicelib.core.recordings.library import Library
from chalicelib.core.recordings.links import Links, Opens
from chalicelib.core.recordings.listening import Listening
from chalicelib.core.recordings.live_uploads import LiveUploads
from chalicelib.core.recordings.multipart import Multipart
from chalicelib.core.recordings.promotion import Promotion
from chalicelib.core.recordings.sending import Sending
from chalicelib.core.upkeep import Upkeep
from chalicelib.models.signing_keys import SigningKey
from chalicelib.settings import Settings, SettingsError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from chalicelib.core.accounts.grants import Grants
    from chalicelib.core.accounts.id_tokens import IdTokens
    from chalicelib.core.accounts.sign_in import SignIn


def now() -> datetime:
    """The time, in UTC, to the millisecond."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


class Services:
    """The use cases, on AWS or what stands in for it; each is built when it is first asked for."""

    def __init__(
        self, settings: Settings, clock: Clock = now, clients: Clients | None = None
    ) -> None:
        self.settings = settings
        self.clients = clients or Clients(custom_s3=bool(settings.s3_endpoint))
        self._clock = clock

    # Accounts

    @cached_property
    def accounts(self) -> Accounts:
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
        return Sessions(
            self._stores.accounts, self.tokens, self._attempts, self.settings, self._clock, uuid7
        )

    @cached_property
    def passwords(self) -> Passwords:
        return Passwords(self._stores, self._attempts, self.settings, self._clock)

    @cached_property
    def proofs(self) -> Proofs:
        return Proofs(self._stores.accounts, self.passwords, lambda: self.id_tokens, self._attempts)

    @cached_property
    def sign_in(self) -> SignIn:
        # Not at the top, nor is what verifies id tokens: whoever does without pays nothing for it.
        from chalicelib.core.accounts.sign_in import SignIn

        return SignIn(
            self._stores,
            self.sessions,
            self.id_tokens,
            self.proofs,
            self._attempts,
            self.settings,
            self._clock,
            uuid7,
        )

    @cached_property
    def grants(self) -> Grants:
        from chalicelib.aws.secrets import ClientSecretsSecret
        from chalicelib.core.accounts.grants import Grants
        from chalicelib.providers.apple import AppleServer

        settings = self.settings
        secret = settings.apple_secret_id
        apple = AppleServer(
            settings.apple_url.rstrip("/"),
            ClientSecretsSecret(self._secrets_manager, secret).read
            if secret
            else lambda: settings.client_secrets,
        )
        return Grants(self._stores, apple, self._clock)

    @cached_property
    def id_tokens(self) -> IdTokens:
        from chalicelib.core.accounts.id_tokens import IdTokens
        from chalicelib.core.accounts.provider_keys import ProviderKeys
        from chalicelib.providers.published import Published

        settings = self.settings
        urls = {"google": settings.google_keys_url, "apple": settings.apple_keys_url}
        keys = {
            each: ProviderKeys(Published(each, urls[each]), self._clock)
            for each in settings.providers
        }
        ids = {each: settings.client_ids(each) for each in settings.providers}
        return IdTokens(keys, ids, self._clock)

    @cached_property
    def confirmations(self) -> Confirmations:
        stores = self._stores
        return Confirmations(
            stores.accounts, stores.outbox, self.proofs, self._attempts, self._clock
        )

    @cached_property
    def mail(self) -> MailDelivery:
        mailer = SesMailer(lambda: self.clients.ses, self.settings.mail_from)
        return MailDelivery(
            self._stores, mailer, self._attempts, self.settings.public_url, self._clock
        )

    @cached_property
    def closing(self) -> Closing:
        return Closing(self._stores, self.proofs, self._clock)

    @cached_property
    def exporting(self) -> Exporting:
        return Exporting(self._stores, self.proofs, self._attempts, self.settings, self._clock)

    @cached_property
    def tokens(self) -> AccessTokens:
        issuer = f"recorder-{self.settings.stage}"
        return AccessTokens(self._signing_keys, issuer, self.settings.access_token_seconds)

    @cached_property
    def _signing_keys(self) -> SigningKeys:
        """Read as soon as something is built that needs them: without any, nothing is begun."""
        if self.settings.jwt_secret_id:
            secret = SigningKeySecret(self._secrets_manager, self.settings.jwt_secret_id)
            return SigningKeys(secret.read, self._clock)
        given = [SigningKey(kid=kid, secret=text) for kid, text in self.settings.keys.items()]
        return SigningKeys(lambda: given, self._clock)

    @cached_property
    def _attempts(self) -> Attempts:
        return Attempts(self._stores.attempts, self.settings, self._clock)

    # Recordings

    @cached_property
    def announcing(self) -> Announcing:
        return Announcing(self._stores.recordings, self.sending, self.settings, self._clock, uuid7)

    @cached_property
    def sending(self) -> Sending:
        return Sending(
            self._stores,
            self._multipart,
            self.live_uploads,
            self.completion,
            self.settings,
            self._clock,
        )

    @cached_property
    def live_uploads(self) -> LiveUploads:
        return LiveUploads(self._stores, self._multipart, self.settings, self._clock)

    @cached_property
    def direct_uploads(self) -> DirectUploads:
        return DirectUploads(self.announcing, self.completion, self.settings)

    @cached_property
    def completion(self) -> Completion:
        return Completion(
            self._stores,
            self._multipart,
            self.live_uploads,
            Promotion(self._stores),
            self._clock,
        )

    @cached_property
    def library(self) -> Library:
        return Library(self._stores, self.settings, self._clock)

    @cached_property
    def links(self) -> Links:
        return Links(
            self._stores, self._attempts, Opens(), self.settings, self._clock, uuid7, link_code
        )

    @cached_property
    def feed(self) -> Feed:
        return Feed(self._stores.shelves, self._clock)

    @cached_property
    def deletion(self) -> Deletion:
        return Deletion(self._stores, self.settings, self._clock)

    @cached_property
    def listening(self) -> Listening:
        # Not at the top: one job needs it, and the API should not wait for what that imports.
        from chalicelib.sound.process import ListenerProcess

        ear = ListenerProcess(settings_module.without_secrets)
        return Listening(self._stores, ear, self._clock, time.sleep)

    @cached_property
    def upkeep(self) -> Upkeep:
        return Upkeep(self._stores, self.completion, self.deletion, self._clock)

    @cached_property
    def browsers(self) -> Browsers:
        secret = self.settings.upload_key_secret_id
        signer = BrowserKey(
            self._signer,
            self.settings.uploads_bucket,
            KeySecret(self._secrets_manager, secret) if secret else None,
            bool(self.settings.s3_endpoint),
        )
        return Browsers(self._stores.recordings, signer, self.sending, self._clock)

    @cached_property
    def _multipart(self) -> Multipart:
        return Multipart(self._stores)

    # What they stand on

    @cached_property
    def storage_origins(self) -> tuple[str, ...]:
        """The origins that browsers send recordings to, and play them from."""
        buckets = self.settings.uploads_bucket, self.settings.recordings_bucket
        return tuple(dict.fromkeys(map(self._signer.origin, buckets)))

    def _secrets_manager(self) -> SecretsManagerClient:
        """The client, which is built when it is needed."""
        return self.clients.secretsmanager

    @cached_property
    def _signer(self) -> Signer:
        return self._signer_at(self.settings.s3_public_url or self.settings.s3_endpoint)

    def _signer_at(self, address: str | None) -> Signer:
        return Signer(lambda: self.clients.session, (address or "").rstrip("/"))

    @cached_property
    def _stores(self) -> Stores:
        settings, clients, signer = self.settings, self.clients, self._signer
        table = Table(lambda: clients.dynamodb, settings.table)
        uploads = Bucket(lambda: clients.s3, settings.uploads_bucket)
        recordings = Bucket(lambda: clients.s3, settings.recordings_bucket)
        return Stores(
            accounts=AccountsTable(table),
            attempts=AttemptsTable(table),
            outbox=OutboxTable(table),
            grants=GrantsTable(table),
            recordings=RecordingsTable(table),
            links=LinksTable(table),
            sounds=SoundsTable(table),
            shelves=Shelves(table),
            due=DueIndex(table),
            uploads=UploadsBucket(uploads, signer),
            pieces=Pieces(uploads, signer),
            parts=Parts(uploads, clients.copier, signer),
            audio=RecordingsBucket(
                recordings,
                uploads.name,
                clients.copier,
                signer,
                self._signer_at(settings.s3_endpoint),
            ),
            exports=Exports(uploads, signer),
            events=EventBus(lambda: clients.events, settings.recordings_bucket),
        )


_lock = threading.Lock()
_services: Services | None = None
_start_embedded: Callable[[], None] | None = None


def embed(start: Callable[[], None]) -> None:
    """Say what starts the embedded backend, for when the first service is asked for on a laptop."""
    global _start_embedded  # noqa: PLW0603 - one per process
    _start_embedded = start


def services() -> Services:
    """The services of this process; the embedded backend starts here, if it is to be used."""
    global _services  # noqa: PLW0603 - one per process, and `chalice local` has many threads
    with _lock:
        if _services is None:
            settings = settings_module.load()
            if settings.backend == "embedded":
                if _start_embedded is None:
                    raise SettingsError("RECORDER_BACKEND: what is embedded comes with the app")
                _start_embedded()
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
