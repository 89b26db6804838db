"""The embedded backend: DynamoDB, S3 and SES on this machine, made from ops/template.yaml.

They live in the process that called start(). Their data is in a folder, or in memory alone.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.embedded.disk import Disk
from local.embedded.environment import ISOLATED, LOOPBACK, MAIL, REGION, apply, reachable
from local.embedded.server import Server
from local.embedded.template import resources

if TYPE_CHECKING:
    from local.embedded.services import Services

SENDER = "recorder@example.com"
LATELY = timedelta(minutes=15)


@dataclass
class Backend:
    """An embedded backend, which listens, and answers once it serves."""

    host: str
    public_host: str | None
    template: Mapping[str, dict[str, Any]]
    secret: str
    jwt_key: str
    server: Server
    disk: Disk | None
    services: Services | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """The address at which this machine reaches both S3 and DynamoDB."""
        return f"http://{self.host}:{self.server.server_port}"

    def environment(self) -> dict[str, str]:
        """What a process needs to use this backend and nothing else; hand it to apply()."""
        environment = {
            **ISOLATED,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            # To the app this is AWS, at another address.
            "RECORDER_BACKEND": "aws",
            "RECORDER_TABLE": self.template["Table"]["TableName"],
            "RECORDER_UPLOADS_BUCKET": self.template["UploadsBucket"]["BucketName"],
            "RECORDER_RECORDINGS_BUCKET": self.template["RecordingsBucket"]["BucketName"],
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
            environment["RECORDER_S3_PUBLIC_URL"] = (
                f"http://{self.public_host}:{self.server.server_port}"
            )
        return environment

    @property
    def mail_url(self) -> str:
        """The address at which the mails that were sent can be read."""
        return f"{self.url}{MAIL}"

    def serve(self, arrived: Callable[[dict[str, Any]], None]) -> None:
        """Answer, also what has asked already.

        `arrived` is told of what comes into a bucket, with S3's event as EventBridge hands it on,
        and of what EventBridge itself is told. The process gives up its own AWS settings for it,
        and can have one such backend at a time.
        """
        apply({**ISOLATED, "AWS_SECRET_ACCESS_KEY": self.secret}, os.environ)
        # Imported here because it takes half a second, and reads the environment.
        from local.embedded.services import Services

        self.services = Services(self.secret, dict(self.template), self.disk, arrived)
        self.server.serve(self.services.answer)

    def mails(self) -> list[dict[str, str]]:
        """The mails that were sent, oldest first."""
        return self.services.mailbox.mails if self.services else []

    def arrivals(self) -> list[dict[str, Any]]:
        """S3's events for who has heard of none: of all that waits, and of recordings of late.

        Those of before upkeep has had listened to, or is about to.
        """
        if not self.services:
            return []
        waiting, kept = (self.template[name] for name in ("UploadsBucket", "RecordingsBucket"))
        events_of, lately = self.services.s3.events_of, datetime.now(UTC) - LATELY
        return [*events_of(waiting["BucketName"]), *events_of(kept["BucketName"], lately)]

    def stop(self) -> None:
        """Stop listening and let go of the data, which stays where it was on a disk."""
        self.server.stop()
        if self.services:
            self.services.forget()
        if self.disk:
            self.disk.close()


def listen(
    host: str = "127.0.0.1", public_host: str | None = None, folder: Path | None = None
) -> Backend:
    """Make a backend that listens on a port of `host`, and does not answer yet.

    `public_host` is the name by which phones reach this machine, where that is another one.
    `folder` has the data; without it there is none before and after. Raises OSError when `host` is
    not an address of this machine, and NotUsable when the data cannot be used.
    """
    disk = Disk(folder) if folder else None
    return Backend(
        host=reachable(host),
        public_host=public_host,
        template=resources(REGION),
        secret=_setting(disk, "secret"),
        jwt_key=_setting(disk, "jwt_key"),
        server=_listen(host, disk),
        disk=disk,
    )


def _setting(disk: Disk | None, name: str) -> str:
    """A secret that stays as long as the data does: what it signed stays good."""
    return disk.setting(name, _secret) if disk else _secret()


def _secret() -> str:
    return secrets.token_urlsafe(48)


def _listen(host: str, disk: Disk | None) -> Server:
    """Listen on the port of the last time, so that what was signed then still leads here."""
    port = int(disk.setting("port", lambda: "0")) if disk else 0
    try:
        server = Server(host, port, disk)
    except OSError:
        server = Server(host, 0, disk)
    if disk and server.server_port != port:
        disk.save("setting", {"port": str(server.server_port)})
    return server
