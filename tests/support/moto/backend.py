"""moto's DynamoDB, S3 and SES, made from ops/template.yaml, in the place of AWS.

moto's server keeps them in the memory of the process that called start(), for as long as it lives.
"""

from __future__ import annotations

import logging
import os
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.embedded.backend import SENDER
from local.embedded.environment import ISOLATED, LOOPBACK, REGION, apply
from local.embedded.template import TEMPLATE
from tests.support.moto import dynamodb, mailbox, s3

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer


HOST = "127.0.0.1"


@dataclass(frozen=True)
class Backend:
    """A running moto."""

    host: str
    port: int
    stack: Mapping[str, str]
    jwt_key: str
    server: ThreadedMotoServer

    @property
    def url(self) -> str:
        """The address at which this machine reaches both S3 and DynamoDB."""
        return f"http://{self.host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """What a process needs to use this backend and nothing else; hand it to apply()."""
        return {
            **ISOLATED,
            # To the app this is AWS, at another address.
            "RECORDER_BACKEND": "aws",
            "RECORDER_TABLE": self.stack["Table"],
            "RECORDER_UPLOADS_BUCKET": self.stack["UploadsBucket"],
            "RECORDER_RECORDINGS_BUCKET": self.stack["RecordingsBucket"],
            "RECORDER_JWT_KEYS": f"local:{self.jwt_key}",
            "RECORDER_JWT_SECRET_ID": "",
            "RECORDER_MAIL_FROM": SENDER,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ENDPOINT_URL_DYNAMODB": self.url,
            "NO_PROXY": f"{LOOPBACK},{self.host}",
            "no_proxy": f"{LOOPBACK},{self.host}",
        }

    def stop(self) -> None:
        """Stop listening and forget the data."""
        from moto.moto_api._internal.models import moto_api_backend

        self.server.stop()
        # What moto keeps belongs to the process, not to the server that showed it.
        moto_api_backend.reset()


def start() -> Backend:
    """Start moto on a free port, with the table and the buckets made.

    The process gives up its own AWS settings for it, and can have one of it at a time.
    """
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
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    return Backend(
        host=HOST,
        port=port,
        stack=_make_stack(),
        jwt_key=secrets.token_urlsafe(48),
        server=server,
    )


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
