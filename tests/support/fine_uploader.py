"""What Fine Uploader 5.16.2 has signed for an upload to S3: its s3.fine-uploader.core.js."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

EMPTY = hashlib.sha256(b"").hexdigest()
NAME = "my%20clip.m4a"
CONTENT, DATE = "x-amz-content-sha256", "x-amz-date"


class FineUploader(Struct):
    """A page with it."""

    user_id: str
    endpoint: str
    """Where the page says that the bucket is, which is in its path where it is not in its host."""
    bucket: str
    access_key: str
    clock: Callable[[], datetime]

    @property
    def date(self) -> str:
        return f"{self.clock():%Y%m%dT%H%M%SZ}"

    @property
    def scope(self) -> str:
        return f"{self.date[:8]}/us-east-1/s3/aws4_request"

    def key(self, id: str) -> str:
        return f"{self.user_id}/{id}"

    def policy(self, id: str, size: int | None = None) -> dict[str, Any]:
        """What it has signed for a small file; with limits, if the page sets any."""
        conditions: list[Any] = [
            {"acl": "private"},
            {"bucket": self.bucket},
            {"Content-Type": "audio/mp4"},
            {"success_action_status": "200"},
            {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
            {"key": self.key(id)},
            {"x-amz-credential": f"{self.access_key}/{self.scope}"},
            {DATE: self.date},
            {"x-amz-meta-qqfilename": NAME},
        ]
        if size:
            conditions.append(["content-length-range", "0", str(size)])
        end = self.clock() + timedelta(minutes=5)
        return {"expiration": f"{end:%Y-%m-%dT%H:%M:%S}.123Z", "conditions": conditions}

    def form(self, asked: Any, signed: Any) -> dict[str, str]:
        """The fields of the form that it then sends, before the file."""
        fields = {name: value for each in asked["conditions"] for name, value in each.items()}
        del fields["bucket"]
        return fields | {"policy": signed["policy"], "x-amz-signature": signed["signature"]}

    def request(self, method: str, id: str, query: str, content: str = EMPTY, **more: str) -> str:
        """What it has signed for a request of an upload in parts."""
        headers = {
            "host": self.endpoint.partition("://")[2],
            **{name.replace("_", "-"): value for name, value in more.items() if "acl" in name},
            CONTENT: content,
            DATE: self.date,
            **{name.replace("_", "-"): value for name, value in more.items() if "meta" in name},
        }
        return "\n".join(
            [
                *("AWS4-HMAC-SHA256", self.date, self.scope),
                *(method, f"/{self.key(id)}", query),
                *(f"{name}:{value}" for name, value in headers.items()),
                *("", ";".join(headers), content),
            ]
        )

    def beginning(self, id: str) -> str:
        return self.request("POST", id, "uploads=", x_amz_acl="private", x_amz_meta_qqfilename=NAME)

    def headers(self, text: str, signed: Any) -> dict[str, str]:
        """The headers of the request that it then sends, but for those that a browser sets.

        The type is in the first request, and not signed.
        """
        said = dict(line.split(":", 1) for line in text.split("\n")[6:-3])
        del said["host"]
        names = text.split("\n")[-2]
        kind = {"Content-Type": "audio/mp4"} if "x-amz-acl" in said else {}
        return {
            **said,
            **kind,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self.access_key}/{self.scope},"
            f"SignedHeaders={names},Signature={signed['signature']}",
        }
