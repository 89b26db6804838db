"""The suite on other engines than moto: what tests see and put there, by the engines' own calls.

`make engines` names a DynamoDB in TEST_DYNAMODB. The embedded S3 is one of this process's, and is
asked over HTTP as that of `make run` is.
"""

from __future__ import annotations

import math
import os
import pickle
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import boto3
import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, from_attributes, to_attributes
from chalicelib.settings import Settings
from local.embedded import backend
from local.embedded.environment import ISOLATED, REGION
from local.embedded.template import resources
from tests.support import shortcut
from tests.support.moto import mailbox

NAME = "TEST_DYNAMODB"
# Whether there are others, which enforce what moto does not.
THERE = NAME in os.environ
# What DynamoDB is told of the template's table.
TABLE_FIELDS = (
    "BillingMode",
    "AttributeDefinitions",
    "KeySchema",
    "LocalSecondaryIndexes",
    "GlobalSecondaryIndexes",
)
OF_S3 = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_SECRET_ACCESS_KEY",
    "RECORDER_UPLOADS_BUCKET",
    "RECORDER_RECORDINGS_BUCKET",
)


def take_small_parts(patch: pytest.MonkeyPatch, size: int = 1) -> None:
    """Have S3 put parts together that are smaller than 5 MiB, as S3 itself does not."""
    least = (
        "local.embedded.mended.LEAST_PART_BYTES"
        if THERE
        else "moto.s3.models.S3_UPLOAD_PART_MIN_SIZE"
    )
    patch.setattr(least, size)


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """Have an S3, and a table for this process alone; the environment that leads to them.

    It is empty where moto is to answer.
    """
    if not THERE:
        yield {}
        return
    s3, dynamodb = backend.listen(), os.environ[NAME]
    s3.serve(lambda _: None)
    template = resources(REGION)["Table"]
    table = f"{template['TableName']}-{os.getpid()}"
    made = {name: value for name, value in template.items() if name in TABLE_FIELDS}
    session = boto3.session.Session(ISOLATED["AWS_ACCESS_KEY_ID"], s3.secret, region_name=REGION)
    session.client("dynamodb", endpoint_url=dynamodb).create_table(TableName=table, **made)
    environment = {name: s3.environment()[name] for name in OF_S3}
    yield environment | {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb, "RECORDER_TABLE": table}
    s3.stop()


class Engines:
    """Looks into the engines, and empties them; stands in for what looks into moto."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        clients = Clients(custom_s3=True)
        self._table, self._s3 = clients.dynamodb, clients.s3
        for name in ("items", "objects", "sent_in_parts", "put", "snapshot", "contents"):
            setattr(shortcut, name, getattr(self, name))
        setattr(shortcut, "forget", self.expire)  # noqa: B010 - mypy forbids the assignment

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

    def expire(self, table: str, until: datetime) -> list[Item]:
        """Remove what was to be kept until then, as DynamoDB does some time; what that was."""
        past = [it for it in self.items(table) if it.get("ttl", math.inf) < until.timestamp()]
        self._remove(table, past)
        return past

    def snapshot(self, table: str, *buckets: str) -> Callable[[], None]:
        """What puts a table and buckets back as they are now, which have to be empty by then."""
        items, stored = self.items(table), pickle.dumps(_stored(buckets))

        def restore() -> None:
            from local.embedded.engine import s3 as engine

            self.put(table, items)
            objects, versions, uploads = pickle.loads(stored)  # noqa: S301 - our own
            for bucket in buckets:
                engine._buckets[bucket]["objects"].update(objects[bucket])
            engine._object_versions.update(versions)
            engine._multipart_uploads.update(uploads)
            # What is completed again is not what was completed before.
            engine._completed_multipart_uploads.clear()

        return restore

    def contents(self, table: str, *buckets: str) -> str:
        """All that a table and buckets hold, but for the names that S3 makes up by chance."""
        _, _, uploads = _stored(buckets)
        parts = [[each["parts"][n]["etag"] for n in each["parts"]] for each in uploads.values()]
        text = repr([self.items(table), [self.objects(bucket, "") for bucket in buckets], parts])
        for number, name in enumerate(uploads):
            text = text.replace(name, f"upload {number}")
        return text

    def forget(self) -> None:
        """Empty table and buckets, and the mailbox, which is moto's all the same."""
        mailbox.forget(REGION)
        table = self._settings.table
        self._remove(table, self.items(table))
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

    def _remove(self, table: str, items: Iterable[Item]) -> None:
        for item in items:
            key = to_attributes({"pk": item["pk"], "sk": item["sk"]})
            self._table.delete_item(TableName=table, Key=key)

    def _versions(self, bucket: str, folder: str) -> Any:
        pages: Any = self._s3.get_paginator("list_object_versions")
        return pages.paginate(Bucket=bucket, Prefix=folder)


def _stored(buckets: tuple[str, ...]) -> Any:
    """What the S3 of this process has: objects, versions, and uploads in parts."""
    # It reads the environment, and takes half a second.
    from local.embedded.engine import s3 as engine

    objects = {bucket: engine._buckets[bucket]["objects"] for bucket in buckets}
    return objects, dict(engine._object_versions.items()), dict(engine._multipart_uploads.items())
