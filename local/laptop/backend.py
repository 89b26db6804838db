"""The embedded backend: DynamoDB, S3 and SES on this machine, made from ops/template.yaml.

They live in the process that called start(). Their data is in a folder, or in memory alone.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.laptop import schedules
from local.laptop.disk import Disk
from local.laptop.environment import ISOLATED, LOOPBACK, REGION, apply, reachable
from local.laptop.mailbox import PATH, SENDER, Mailbox
from local.laptop.template import resources

if TYPE_CHECKING:
    from local.laptop.dynamodb import DynamoDB
    from local.laptop.s3 import S3
    from local.laptop.server import Server


@dataclass(frozen=True)
class Backend:
    """A running embedded backend."""

    host: str
    port: int
    public_host: str | None
    names: Mapping[str, str]
    secret: str
    jwt_key: str
    server: Server
    services: tuple[S3, DynamoDB]
    mailbox: Mailbox
    disk: Disk | None

    @property
    def url(self) -> str:
        """The address at which this machine reaches both S3 and DynamoDB."""
        return f"http://{self.host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """What a process needs to use this backend and nothing else; hand it to apply()."""
        environment = {
            **ISOLATED,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            # To the app this is AWS, at another address.
            "RECORDER_BACKEND": "aws",
            "RECORDER_TABLE": self.names["Table"],
            "RECORDER_UPLOADS_BUCKET": self.names["UploadsBucket"],
            "RECORDER_RECORDINGS_BUCKET": self.names["RecordingsBucket"],
            "RECORDER_JWT_KEYS": f"local:{self.jwt_key}",
            "RECORDER_JWT_SECRET_ID": "",
            "RECORDER_MAIL_FROM": SENDER,
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
        return f"{self.url}{PATH}"

    def mails(self) -> list[dict[str, str]]:
        """The mails that were sent, oldest first."""
        return self.mailbox.mails

    def stop(self) -> None:
        """Stop listening and let go of the data, which stays where it was on a disk."""
        self.server.stop()
        for service in self.services:
            service.forget()
        if self.disk:
            self.disk.close()


def start(
    host: str = "127.0.0.1",
    public_host: str | None = None,
    folder: Path | None = None,
    arrived: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Backend:
    """Start a backend on a port of `host`, with the table and the buckets made.

    `public_host` is the name by which phones reach this machine, where that is another one.
    `folder` has the data; without it there is none before and after. `arrived` is told of what came
    into the uploads bucket. The process gives up its own AWS settings for it, and can have one
    backend at a time. Raises OSError when `host` is not an address of this machine, and NotUsable
    when the data cannot be used.
    """
    disk = Disk(folder) if folder else None
    secret = _setting(disk, "secret")
    apply({**ISOLATED, "AWS_SECRET_ACCESS_KEY": secret}, os.environ)
    # Imported here because it takes half a second, and reads the environment.
    from local.laptop.dynamodb import DynamoDB
    from local.laptop.s3 import S3

    template = resources(REGION)
    uploads = template["UploadsBucket"]["BucketName"]

    def tell(event: dict[str, Any]) -> None:
        if event["detail"]["bucket"]["name"] == uploads:
            arrived(event)

    s3, dynamodb, mailbox = S3(secret, disk, tell), DynamoDB(secret, disk), Mailbox(secret)
    names = {
        "Table": dynamodb.make_table(template["Table"]),
        "UploadsBucket": s3.make_bucket(template["UploadsBucket"]),
        "RecordingsBucket": s3.make_bucket(template["RecordingsBucket"]),
    }
    for service in (s3, dynamodb):
        service.load()
    if disk:
        disk.sweep()
    server = _listen(host, {"s3": s3, "dynamodb": dynamodb}, mailbox, disk)
    return Backend(
        host=reachable(host),
        port=server.server_port,
        public_host=public_host,
        names=names,
        secret=secret,
        jwt_key=_setting(disk, "jwt_key"),
        server=server,
        services=(s3, dynamodb),
        mailbox=mailbox,
        disk=disk,
    )


def start_in_process() -> Backend:
    """Start a backend for the app that runs in this very process, and make it use that backend.

    This is what a bare `chalice local` does. Its data is in memory: Chalice's reloader would take a
    change of a file in the project's folder for an edit.
    """
    jobs = schedules.Jobs()
    backend = start(arrived=jobs.arrived)
    apply(backend.environment(), os.environ)
    # Where `chalice local` listens, if it is not told otherwise.
    os.environ.setdefault("RECORDER_PUBLIC_URL", "http://127.0.0.1:8000")
    logging.getLogger(__name__).warning("mails can be read at %s", backend.mail_url)
    jobs.start()
    # botocore says where it found credentials and endpoints: always in what we gave it.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    return backend


def _setting(disk: Disk | None, name: str) -> str:
    """A secret that stays as long as the data does: what it signed stays good."""
    make = lambda: secrets.token_urlsafe(48)  # noqa: E731
    return disk.setting(name, make) if disk else make()


def _listen(
    host: str, services: dict[str, Any], mailbox: Mailbox, disk: Disk | None
) -> Server:
    """Listen on the port of the last time, so that what was signed then still leads here."""
    from local.laptop.server import Server

    port = int(disk.setting("port", lambda: "0")) if disk else 0
    try:
        server = Server((host, port), services, mailbox, disk)
    except OSError:
        server = Server((host, 0), services, mailbox, disk)
    if disk and server.server_port != port:
        disk.save("setting", {"port": str(server.server_port)})
    return server
