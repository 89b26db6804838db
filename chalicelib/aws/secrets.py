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


def read_secret(client: Callable[[], SecretsManagerClient], secret_id: str, setting: str) -> str:
    """The text of a secret; SettingsError names the setting when it names none."""
    with our_errors():
        try:
            answer = client().get_secret_value(SecretId=secret_id)
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                why = "names no secret, or one that has no value yet"
                raise SettingsError(f"{variable(setting)}: {why}") from error
            raise
    return answer.get("SecretString", "")


class SigningKeySecret(Struct, frozen=True):
    """One secret, which holds all the keys."""

    client: Callable[[], SecretsManagerClient]
    secret_id: str

    def read(self) -> list[SigningKey]:
        """The keys, the newest first; SettingsError when the secret is not there or will not do."""
        text = read_secret(self.client, self.secret_id, "jwt_secret_id")
        try:
            return form.parse(text)
        except msgspec.DecodeError as error:
            why = f"names a secret that will not do: {error}"
            raise SettingsError(f"{variable('jwt_secret_id')}: {why}") from error

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
