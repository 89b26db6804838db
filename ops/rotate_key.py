"""Replaces the key that signs a stage's access tokens: `make rotate-key STAGE=prod`.

A new key is put into the stage's secret. It signs an hour from now, when every running process
knows it; until then the one before it does. That one is kept until the last token it signed has
expired, so nobody is logged out. Keys that were replaced before, and signed nothing that is still
good, are dropped.

`--leaked` (`make rotate-key STAGE=prod ARGS=--leaked`) is for a key that somebody may have: only
the new key stays. Each process takes the old keys for at most as long as it keeps what it read;
from then on every app has to log in again with what it got before.

`--uploads` (`make rotate-key STAGE=prod ARGS=--uploads`) replaces the key that signs for upload
libraries in browsers instead, where there is one. The old one ends at once, so pages that name it
have to name the new one, which is said.

AWS is reached as botocore is configured to. It needs to read and to write that one secret; for
uploads, to update the stage's stack.
"""

from __future__ import annotations

import argparse
import re
import sys

import boto3

from chalicelib.aws.clients import Clients
from chalicelib.aws.secrets import SigningKeySecret
from chalicelib.core.accounts import signing_keys as core_keys
from chalicelib.errors import RecorderError
from chalicelib.models.signing_keys import SigningKey
from chalicelib.settings import SettingsError
from chalicelib.wiring import now
from ops.policies import APP
from ops.provision import SERIAL
from ops.stacks import Stack
from ops.stages import Refused, plainly


def main(arguments: list[str] | None = None) -> int:
    """Rotate, say what was done, and return the process's exit code."""
    parser = argparse.ArgumentParser(prog="make rotate-key")
    parser.add_argument("--stage", required=True, help="the deployment's name")
    parser.add_argument("--leaked", action="store_true", help="drop every key but the new one")
    parser.add_argument("--uploads", action="store_true", help="the key of upload libraries")
    given = parser.parse_args(arguments)
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,14}", given.stage):
        parser.error(f"STAGE is the name of a deployment, not {given.stage!r}")
    if given.uploads:
        return _rotate_upload_key(f"{APP}-{given.stage}")
    name = f"recorder-{given.stage}-jwt-keys"
    clients = Clients(custom_s3=False)
    store = SigningKeySecret(lambda: clients.secretsmanager, name)
    try:
        before = store.read()
        after = core_keys.rotate([] if given.leaked else before, now())
        store.write(after)
    except (RecorderError, SettingsError) as error:
        print(f"make rotate-key: {name}: {error.__cause__ or error}", file=sys.stderr)
        return 1
    print(_report(name, before, after))
    return 0


def _rotate_upload_key(name: str) -> int:
    """Have CloudFormation make another key, and remove the old one."""
    try:
        with plainly():
            stack = Stack(boto3.session.Session().client("cloudformation"), name)
            serial = int(stack.parameter(SERIAL) or 0)
            if not serial:
                raise Refused("there is none; make deploy ARGS='--upload-key on' makes one")
            stack.bring_up_to_date({SERIAL: str(serial + 1)}, replace_data=False)
            print(f"{name}: {stack.outputs()['UploadKeyId']} signs for upload libraries now")
    except Refused as error:
        print(f"make rotate-key: {name}: {error}", file=sys.stderr)
        return 1
    return 0


def _report(name: str, before: list[SigningKey], after: list[SigningKey]) -> str:
    new, *kept = after
    dropped = [key.kid for key in before if key not in after]
    signs = f"{new.created_at + core_keys.LAST:%H:%M} UTC" if kept else "now"
    return (
        f"{name}: added {new.kid}, which signs from {signs} on; "
        f"kept {_listed([key.kid for key in kept])}; dropped {_listed(dropped)}"
    )


def _listed(kids: list[str]) -> str:
    return ", ".join(kids) or "none"


if __name__ == "__main__":
    sys.exit(main())
