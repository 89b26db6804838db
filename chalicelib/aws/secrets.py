"""The server's keys, as Secrets Manager holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import ClientError
from msgspec import Struct

from chalicelib.aws.clients import error_code, our_errors
from chalicelib.errors import Unavailable
from chalicelib.models import signing_keys as form
from chalicelib.models.signing_keys import SigningKey
from chalicelib.settings import SettingsError, variable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient


class SigningKeySecret(Struct, frozen=True):
    """One secret, which holds all the keys."""

    client: Callable[[], SecretsManagerClient]
    secret_id: str

    def read(self) -> list[SigningKey]:
        """The keys, the newest first; SettingsError when the secret is not there or will not do."""
        with our_errors():
            try:
                answer = self.client().get_secret_value(SecretId=self.secret_id)
            except ClientError as error:
                if error_code(error) == "ResourceNotFoundException":
                    raise _refused("names no secret, or one that has no value yet") from error
                raise
        try:
            return form.parse(answer.get("SecretString", ""))
        except msgspec.DecodeError as error:
            raise _refused(f"names a secret that will not do: {error}") from error

    def write(self, keys: list[SigningKey]) -> None:
        """Replace the keys; of two that do so at once, one is lost."""
        with our_errors():
            self.client().put_secret_value(SecretId=self.secret_id, SecretString=form.write(keys))


class ClientSecretsSecret(Struct, frozen=True):
    """One secret, which holds the secrets of our apps with Apple as JSON, by their client ids."""

    client: Callable[[], SecretsManagerClient]
    secret_id: str

    def read(self) -> dict[str, str]:
        """The secrets; Unavailable when they are not there, or will not do."""
        with our_errors():
            answer = self.client().get_secret_value(SecretId=self.secret_id)
        try:
            return msgspec.json.decode(answer.get("SecretString", ""), type=dict[str, str])
        except msgspec.DecodeError as error:
            raise Unavailable(
                f"{variable('apple_secret_id')} names a secret that will not do"
            ) from error


def _refused(why: str) -> SettingsError:
    return SettingsError(f"{variable('jwt_secret_id')}: {why}")
