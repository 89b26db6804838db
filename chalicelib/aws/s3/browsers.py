"""Signing for upload libraries in browsers, with a key that lasts: they send no session token.

On AWS it is that of a user who may only put into the uploads bucket, and is kept in Secrets
Manager. Another S3 has but the keys that it is called with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from chalicelib.aws.s3.signing import Signer, host_of, signature
from chalicelib.aws.secrets import read_secret
from chalicelib.models.entities import SigningPlace
from chalicelib.settings import SettingsError, variable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

# How long a process goes by what it read, and how soon it reads again for a name it does not know.
CACHE_SECONDS = 300
BETWEEN_READS_SECONDS = 30


class Key(Struct, frozen=True):
    """A key: its name, and its secret."""

    access_key_id: str
    secret_access_key: str


class KeySecret:
    """The key that Secrets Manager has, as of some minutes ago at most."""

    def __init__(self, client: Callable[[], SecretsManagerClient], secret_id: str) -> None:
        """Read nothing yet."""
        self._client = client
        self._secret_id = secret_id
        self._lock = threading.Lock()
        self._key: Key | None = None
        self._read_at = 0.0

    def key(self, named: str | None) -> Key:
        """The key; read again if it is `named` otherwise. SettingsError when there is none."""
        with self._lock:
            age = time.monotonic() - self._read_at
            other = named is not None and self._key is not None and named != self._key.access_key_id
            if self._key is None or age > (BETWEEN_READS_SECONDS if other else CACHE_SECONDS):
                self._key, self._read_at = self._read(), time.monotonic()
            return self._key

    def _read(self) -> Key:
        text = read_secret(self._client, self._secret_id, "upload_key_secret_id")
        try:
            return msgspec.json.decode(text, type=Key)
        except msgspec.DecodeError as error:
            name = variable("upload_key_secret_id")
            raise SettingsError(f"{name}: names a secret that has no such key") from error


class BrowserKey(Struct, frozen=True):
    """See core/ports.py for what each method promises."""

    signer: Signer
    bucket: str
    secret: KeySecret | None
    foreign: bool
    """Whether this S3 is not AWS's own, where what the app is called with has no session."""

    def place(self, access_key: str | None = None) -> SigningPlace | None:
        if self.secret:
            key = self.secret.key(access_key)
        elif self.foreign and not (own := self.signer.credentials()).token:
            key = Key(own.access_key or "", own.secret_key or "")
        else:
            return None
        address = urlsplit(self.signer.bucket_url(self.bucket))
        return SigningPlace(
            access_key=key.access_key_id,
            bucket=self.bucket,
            netloc=host_of(address),
            path=address.path,
            region=self.signer.region(),
            sign=lambda text, scope: signature(key.secret_access_key, scope, text),
        )
