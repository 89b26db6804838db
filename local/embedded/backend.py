"""The embedded backend: DynamoDB and S3 on this machine, made from ops/template.yaml.

moto's server keeps them in the memory of the process that called start(), for as long as it lives.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import warnings
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local.embedded import dynamodb, mailbox, s3, schedules

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer

TEMPLATE = Path(__file__).parents[2] / "ops" / "template.yaml"
REGION = "us-east-1"
LOOPBACK = "localhost,127.0.0.1,::1"
# Listening on it means on every address; calling it does not work everywhere.
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  compared with, and bound to only if asked for

# What keeps botocore on this machine, whatever is configured here.
ISOLATED = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    # Programs differ in which of the two they read.
    "NO_PROXY": LOOPBACK,
    "no_proxy": LOOPBACK,
}


@dataclass(frozen=True)
class Backend:
    """A running embedded backend."""

    host: str
    port: int
    public_host: str | None
    stack: Mapping[str, str]
    jwt_key: str
    server: ThreadedMotoServer

    @property
    def url(self) -> str:
        """The address at which this machine reaches both S3 and DynamoDB."""
        return f"http://{self.host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """What a process needs to use this backend and nothing else; hand it to apply()."""
        environment = {
            **ISOLATED,
            # To the app this is AWS, at another address.
            "RECORDER_BACKEND": "aws",
            "RECORDER_TABLE": self.stack["Table"],
            "RECORDER_UPLOADS_BUCKET": self.stack["UploadsBucket"],
            "RECORDER_RECORDINGS_BUCKET": self.stack["RecordingsBucket"],
            "RECORDER_JWT_KEYS": f"local:{self.jwt_key}",
            "RECORDER_JWT_SECRET_ID": "",
            "RECORDER_MAIL_FROM": mailbox.SENDER,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ENDPOINT_URL_DYNAMODB": self.url,
            "NO_PROXY": f"{LOOPBACK},{self.host}",
            "no_proxy": f"{LOOPBACK},{self.host}",
        }
        if self.public_host:
            environment["RECORDER_S3_PUBLIC_URL"] = f"http://{self.public_host}:{self.port}"
        return environment

    @property
    def mail_url(self) -> str:
        """The address at which the mails that were sent can be read."""
        return f"{self.url}{mailbox.PATH}"

    def mails(self) -> list[dict[str, str]]:
        """The mails that were sent, oldest first."""
        return mailbox.mails(REGION)

    def stop(self) -> None:
        """Stop listening and forget the data."""
        from moto.moto_api._internal.models import moto_api_backend

        self.server.stop()
        # What moto keeps belongs to the process, not to the server that showed it.
        moto_api_backend.reset()


def start(host: str = "127.0.0.1", public_host: str | None = None) -> Backend:
    """Start a backend on a free port of `host`, with the table and the buckets made.

    `public_host` is the name by which phones reach this machine, where that is another one. The
    process gives up its own AWS settings for it, and can have one backend at a time. Raises OSError
    when `host` is not an address of this machine.
    """
    # moto's thread would die of an address that is not ours, and leave us waiting for it.
    with socket.create_server((host, 0)):
        pass
    # moto makes a botocore session as it is imported, and a profile that is not there breaks that.
    apply(ISOLATED, os.environ)
    # Read when moto is imported. Without it, moto takes "my-laptop" in http://my-laptop.local/key
    # for the name of a bucket.
    os.environ["S3_IGNORE_SUBDOMAIN_BUCKETNAME"] = "true"
    # Imported here for the two lines above, and because it takes a second.
    from moto.server import ThreadedMotoServer

    # A line for every call drowns the app's own log.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    dynamodb.answer_one_at_a_time()
    dynamodb.confine_transactions()
    s3.keep_promises()
    mailbox.open_mailbox(REGION)
    server = ThreadedMotoServer(ip_address=host, port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    return Backend(
        host=reachable(host),
        port=port,
        public_host=public_host,
        stack=_make_stack(),
        jwt_key=secrets.token_urlsafe(48),
        server=server,
    )


def reachable(host: str) -> str:
    """The address at which this machine reaches what listens on `host`."""
    return "127.0.0.1" if host == EVERY_ADDRESS else host


def start_in_process(deliver_mail: Callable[[], object], upkeep: Callable[[], object]) -> Backend:
    """Start a backend for the app that runs in this very process, and make it use that backend.

    This is what a bare `chalice local` does. The two are what AWS would run by schedule.
    """
    backend = start()
    apply(backend.environment(), os.environ)
    # Where `chalice local` listens, if it is not told otherwise.
    os.environ.setdefault("RECORDER_PUBLIC_URL", "http://127.0.0.1:8000")
    logging.getLogger(__name__).warning("mails can be read at %s", backend.mail_url)
    schedules.start(deliver_mail, upkeep)
    # botocore says where it found credentials and endpoints: always in what we gave it.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    return backend


def apply(environment: Mapping[str, str], target: MutableMapping[str, str]) -> None:
    """Make `target`, which is os.environ or a copy of it, lead to the backend and nowhere else.

    Every AWS_* variable in it goes first: a profile, a session token, an endpoint or a switch of
    this machine's own must not reach the backend's clients. NO_PROXY is added to.
    """
    forget_aws(target)
    bypass = _hosts(environment, target)
    target.update(environment)
    target["NO_PROXY"] = target["no_proxy"] = bypass


def forget_aws(target: MutableMapping[str, str]) -> None:
    """Remove what configures AWS's clients from `target`."""
    for name in [name for name in target if name.startswith("AWS_")]:
        del target[name]


def _hosts(*environments: Mapping[str, str]) -> str:
    """Every host that one of the environments exempts from its proxy."""
    values = [each.get(name, "") for each in environments for name in ("NO_PROXY", "no_proxy")]
    hosts = dict.fromkeys(host.strip() for host in ",".join(values).split(",") if host.strip())
    # It has this meaning only when it stands alone.
    return "*" if "*" in hosts else ",".join(hosts)


def _make_stack() -> dict[str, str]:
    """Make the template's resources, and return the stack's outputs.

    moto is called, not asked over HTTP: with no client there is no AWS configuration to get wrong.
    """
    from moto.cloudformation.models import cloudformation_backends
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    stacks = cloudformation_backends[DEFAULT_ACCOUNT_ID][REGION]
    # It makes neither bucket policies nor secrets nor alarms, and says so twice. Here there is no
    # TLS to insist on, nobody to alarm, and start() makes the key.
    logging.getLogger("moto").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        kinds = "S3::BucketPolicy|SecretsManager::Secret|CloudWatch::Alarm|SNS::Subscription"
        unmade = f"Tried to parse AWS::({kinds}) "
        warnings.filterwarnings("ignore", unmade, UserWarning)
        stack = stacks.create_stack("recorder", TEMPLATE.read_text(encoding="utf-8"), parameters={})
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.outputs or []}
    # The one property that the app can see and that moto does not take from the template.
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_bucket_versioning(
        outputs["RecordingsBucket"], "Enabled"
    )
    return outputs
