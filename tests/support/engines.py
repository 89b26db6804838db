"""The suite on other engines than moto: what tests see and put there, by the engines' own calls.

`make engines` names them in TEST_ENGINES, as JSON: the environment that leads there.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, from_attributes, to_attributes
from chalicelib.settings import Settings
from local.embedded.environment import REGION
from tests.support import shortcut
from tests.support.moto import mailbox

NAME = "TEST_ENGINES"


def environment() -> dict[str, str]:
    """The environment that leads to the engines; empty where moto is to answer."""
    return dict(json.loads(os.environ.get(NAME, "{}")))


class Engines:
    """Looks into the engines, and empties them; stands in for what looks into moto."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        clients = Clients(custom_s3=True)
        self._table, self._s3 = clients.dynamodb, clients.s3
        for name in ("items", "objects", "sent_in_parts", "put"):
            setattr(shortcut, name, getattr(self, name))

    def items(self, table: str, pk: str | None = None) -> list[Item]:
        """What a table holds under one partition key, or all there is."""
        named: dict[str, Any] = {"TableName": table, "ConsistentRead": True}
        if pk is None:
            pages = self._table.get_paginator("scan").paginate(**named)
        else:
            pages = self._table.get_paginator("query").paginate(
                **named,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues=to_attributes({":pk": pk}),
            )
        return [from_attributes(item) for page in pages for item in page["Items"]]

    def put(self, table: str, items: Iterable[Item]) -> None:
        """Write items, whatever stands there."""
        for item in items:
            self._table.put_item(TableName=table, Item=to_attributes(item))

    def objects(self, bucket: str, folder: str) -> dict[str, list[bytes | None]]:
        """What a bucket has in a folder: all versions of each, None for a mark of deletion."""
        held: dict[str, list[bytes | None]] = defaultdict(list)
        for page in self._versions(bucket, folder):
            for each in page.get("Versions", []):
                got = self._s3.get_object(
                    Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"]
                )
                held[each["Key"].removeprefix(folder)].append(got["Body"].read())
            for each in page.get("DeleteMarkers", []):
                held[each["Key"].removeprefix(folder)].append(None)
        return dict(held)

    def sent_in_parts(self, bucket: str, folder: str) -> set[str]:
        """What is on its way to a folder of a bucket in parts."""
        listed = self._s3.list_multipart_uploads(Bucket=bucket, Prefix=folder)
        return {each["Key"].removeprefix(folder) for each in listed.get("Uploads", [])}

    def forget(self) -> None:
        """Empty table and buckets, and the mailbox, which is moto's all the same."""
        mailbox.forget(REGION)
        table = self._settings.table
        for item in self.items(table):
            key = to_attributes({"pk": item["pk"], "sk": item["sk"]})
            self._table.delete_item(TableName=table, Key=key)
        for bucket in (self._settings.uploads_bucket, self._settings.recordings_bucket):
            for page in self._versions(bucket, ""):
                for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    self._s3.delete_object(
                        Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"]
                    )
            for each in self._s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
                self._s3.abort_multipart_upload(
                    Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"]
                )

    def _versions(self, bucket: str, folder: str) -> Any:
        pages: Any = self._s3.get_paginator("list_object_versions")
        return pages.paginate(Bucket=bucket, Prefix=folder)
