"""The embedded services, and which of them a request is for."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from local.embedded import events, lifecycle, mailbox
from local.embedded.disk import Disk
from local.embedded.dynamodb import TARGET, DynamoDB
from local.embedded.environment import MAIL, is_loopback
from local.embedded.events import EventBridge
from local.embedded.http import Answer, Request, refusal
from local.embedded.mailbox import Mailbox
from local.embedded.s3 import S3

Template = dict[str, dict[str, Any]]


class Services:
    """S3, DynamoDB and SES, with what the template makes and what is on the disk."""

    def __init__(
        self,
        secret: str,
        template: Template,
        disk: Disk | None,
        arrived: Callable[[dict[str, Any]], None],
    ) -> None:
        """`arrived` is told of what comes into a bucket, and of what EventBridge is told."""
        self.s3 = S3(secret, disk, arrived)
        self.events = EventBridge(secret, arrived)
        self.dynamodb = DynamoDB(secret, disk)
        self.mailbox = Mailbox(secret)
        self.dynamodb.make_table(template["Table"])
        self.s3.make_bucket(template["UploadsBucket"])
        self.s3.make_bucket(template["RecordingsBucket"])
        self.dynamodb.load()
        self.s3.load()
        if disk:
            disk.sweep()
        lifecycle.run(self.s3.expire)

    def answer(self, request: Request, asked_from: str) -> Answer:
        """Have the service that is meant answer a request from an address."""
        if request.path == MAIL:
            # Mails have links that log people in: they are for who sits at this machine, and for no
            # page that had a name of its own lead here.
            asked_for = urlsplit(f"//{request.headers.get('host', '')}").hostname
            if ip_address(asked_from).is_loopback and is_loopback(asked_for or ""):
                return self.mailbox.show()
            return refusal(403, "AccessDenied", "Access Denied")
        if request.path == mailbox.SEND:
            return self.mailbox.answer(request)
        if request.headers.get(TARGET) == events.PUT:
            return self.events.answer(request)
        return (self.dynamodb if TARGET in request.headers else self.s3).answer(request)

    def forget(self) -> None:
        """Forget what is in memory."""
        self.s3.forget()
        self.dynamodb.forget()
