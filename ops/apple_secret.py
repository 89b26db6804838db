"""Makes what Apple knows a stage by: `make apple-secret STAGE=prod ARGS='--key AuthKey_….p8 …'`.

Apple wants to be told when somebody who signed in with it deletes their account, and wants each of
our apps to say who it is by a token, signed by the key that you made at Apple. No such token lasts
longer than six months, so this is to be run again before: it says when. The key goes nowhere.

The tokens go into the secret `recorder-<stage>-apple` of Secrets Manager, and its name into the
stage's RECORDER_APPLE_SECRET_ID; `make deploy` then lets the one function read it that needs to.
AWS is reached as botocore is configured to.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from datetime import timedelta
from pathlib import Path

import boto3
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from chalicelib.settings import SettingsError, load
from chalicelib.wiring import now
from ops.provision import KNOWN_TO_APPLE
from ops.stages import Refused, Stage, carry_out

# Apple's most is 15,777,000 seconds, some 182 days.
LIFE = timedelta(days=180)
AUDIENCE = "https://appleid.apple.com"


def main(arguments: list[str] | None = None) -> int:
    """Make the tokens, and return the process's exit code."""
    parser = argparse.ArgumentParser(prog="make apple-secret")
    parser.add_argument("--key", required=True, help="the file that Apple gave: AuthKey_….p8")
    parser.add_argument("--key-id", required=True, help="the Key ID that Apple shows for it")
    parser.add_argument("--team-id", required=True, help="the Team ID of your membership at Apple")
    return carry_out(parser, _make, arguments)


def _make(stage: Stage, given: argparse.Namespace) -> None:
    for name in ("key_id", "team_id"):
        _check_id(name, getattr(given, name))
    client_ids = _client_ids(stage)
    key, at = _key(given.key), now()
    tokens = {each: _token(key, given, each, int(at.timestamp())) for each in client_ids}
    name = stage.apple_secret
    client = boto3.session.Session().client("secretsmanager")
    try:
        client.put_secret_value(SecretId=name, SecretString=json.dumps(tokens))
    except client.exceptions.ResourceNotFoundException:
        client.create_secret(Name=name, SecretString=json.dumps(tokens))
    stage.set_environment(stage.environment() | {KNOWN_TO_APPLE: name})
    print(f"{name}: for {', '.join(client_ids)}, until {at + LIFE:%F}; now make deploy")


def _check_id(name: str, text: str) -> None:
    if not re.fullmatch("[A-Z0-9]{10}", text):
        raise Refused(f"--{name.replace('_', '-')} is ten capital letters and digits, not {text!r}")


def _client_ids(stage: Stage) -> list[str]:
    try:
        settings = load(stage.environment() | {"RECORDER_BACKEND": "embedded"})
    except SettingsError as error:
        raise Refused(str(error)) from error
    ids = settings.client_ids("apple")
    if not ids:
        raise Refused(f"{stage.name} has no RECORDER_APPLE_CLIENT_IDS to make tokens for")
    return ids


def _key(file: str) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(Path(file).read_bytes(), password=None)
    # A TypeError when it is encrypted by a passphrase.
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Refused(f"{file} is no key that can be read: {error}") from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise Refused(f"{file} is another kind of key than Apple's")
    return key


def _token(key: EllipticCurvePrivateKey, given: argparse.Namespace, client_id: str, at: int) -> str:
    claims = {"iss": given.team_id, "iat": at, "exp": at + int(LIFE.total_seconds())}
    claims |= {"aud": AUDIENCE, "sub": client_id}
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": given.key_id})


if __name__ == "__main__":
    sys.exit(main())
