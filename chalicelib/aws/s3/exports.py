"""Exports: in the uploads bucket, under a prefix that its lifecycle empties after a day."""

from __future__ import annotations

import uuid
from typing import IO

from msgspec import Struct

from chalicelib.aws.clients import our_errors
from chalicelib.aws.s3.objects import Bucket
from chalicelib.aws.s3.signing import Signer

# See the lifecycle of the uploads bucket in ops/template.yaml.
PREFIX = "exports/"


class Exports(Struct, frozen=True):
    """See core/ports.py for what each method promises."""

    bucket: Bucket
    signer: Signer

    def publish(self, user_id: str, export: IO[bytes], seconds: int) -> str:
        key = f"{PREFIX}{user_id}/{uuid.uuid4()}.json"
        with our_errors():
            self.bucket.client().put_object(
                Bucket=self.bucket.name, Key=key, Body=export, ContentType="application/json"
            )
        query = {
            "response-cache-control": "private",
            "response-content-disposition": 'attachment; filename="recordings.json"',
        }
        return self.signer.url("GET", self.bucket.name, key, seconds, query=query)

    def delete(self, user_id: str) -> set[str]:
        return self.bucket.delete({"Key": key} for key in self.bucket.keys(f"{PREFIX}{user_id}/"))
