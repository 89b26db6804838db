"""All that the table and the buckets hold, of everybody: for audits, which nothing in the app is.

The one place with a Scan, but for `make listen`. The app's own permissions do not cover it: see
docs/operations.md.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec
from botocore.exceptions import ClientError

from chalicelib.aws.clients import Clients, error_code, our_errors
from chalicelib.aws.dynamodb.items import (
    LISTED,
    Item,
    account_key,
    from_attributes,
    link_key,
    owner_and_recording,
    provider_key,
    recording_key,
    to_attributes,
    waveform_key,
)
from chalicelib.aws.dynamodb.table import Table
from chalicelib.aws.s3.exports import PREFIX as EXPORTS
from chalicelib.aws.s3.objects import MISSING
from chalicelib.errors import InternalError
from chalicelib.models.fields import PROVIDERS
from chalicelib.settings import Settings
from ops.audit.entries import Balance, Drawn, Entry, KeptVersion, LinkEntry, Staged, Way

T = TypeVar("T", Balance, Entry)

# No addresses, no names, no notes: what is not read is not shown, logged or left in a core dump.
READ = sorted({"pk", "sk", *Balance.__struct_fields__, *Entry.__struct_fields__} - {*PROVIDERS})
# Of an identity, which has an address.
READ_OF_IDENTITIES = [f"#{provider}.#subject" for provider in PROVIDERS]
NAMED = [*READ, *PROVIDERS, "subject"]


class Inventory:
    """All there is, of everybody: each row is read by the page, as it is asked for."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        """Take the clients, which are used when they are needed, and the names of things."""
        self._clients = clients
        self._settings = settings
        self._table = Table(lambda: clients.dynamodb, settings.table)

    def standing(self) -> Iterator[Balance | Entry | Way]:
        """Every account's balance, every recording or tombstone, and who signs in by a provider.

        As of some seconds ago.

        User by user, and a user's recordings in the order of their ids. Nothing but the time that
        an audit takes may rest on that order: DynamoDB keeps it, and does not promise it.
        """
        items = self._scanned(
            "#sk = :account OR begins_with(#sk, :recording)"
            " OR begins_with(#pk, :google) OR begins_with(#pk, :apple)",
            [*(f"#{name}" for name in READ), *READ_OF_IDENTITIES],
            NAMED,
            account=account_key("")["sk"],
            recording=recording_key("", "")["sk"],
            **{each: provider_key(each, "")["pk"] for each in PROVIDERS},
        )
        return map(_read, items)

    def links(self) -> Iterator[LinkEntry]:
        """Every link, as of some seconds ago, both as it is listed and as it is found."""
        fields = LinkEntry.__struct_fields__
        items = self._scanned(
            "#sk = :link OR begins_with(#sk, :listed)",
            [f"#{name}" for name in fields],
            fields,
            link=link_key("")["sk"],
            listed=LISTED,
        )
        return (msgspec.convert(item, LinkEntry) for item in items)

    def stands(self, link: LinkEntry) -> bool:
        """Whether a link is still there, as last written."""
        return self._table.get({"pk": link.pk, "sk": link.sk}) is not None

    def entries(self, user_id: str) -> Iterator[Entry]:
        """All of a user's recordings and tombstones, as last written."""
        first = recording_key(user_id, "")
        items = self._table.query(
            "#pk = :pk AND begins_with(#sk, :prefix)", pk=first["pk"], prefix=first["sk"]
        )
        return (_convert(item, Entry) for item in items)

    def waveforms(self, user_id: str) -> Iterator[Drawn]:
        """All of a user's waveforms, in the order of their recordings."""
        first = waveform_key(user_id, "")
        items = self._table.query(
            "#pk = :pk AND begins_with(#sk, :prefix)",
            fields=("pk", "sk"),
            pk=first["pk"],
            prefix=first["sk"],
        )
        for item in items:
            yield Drawn(user_id=user_id, id=item["sk"].removeprefix(first["sk"]))

    def waveform(self, user_id: str, recording_id: str) -> Drawn | None:
        """That there is a waveform of a recording, as last written."""
        there = self._table.get(waveform_key(user_id, recording_id))
        return Drawn(user_id=user_id, id=recording_id) if there else None

    def balance(self, user_id: str) -> Balance | None:
        """What an account says that its recordings come to, as last written."""
        item = self._table.get(account_key(user_id))
        return _convert(item | {"user_id": user_id}, Balance) if item else None

    def leads_to(self, way: Way) -> str | None:
        """Whose account it is that a provider's word for somebody signs in to, as last written."""
        item = self._table.get(provider_key(way.provider, way.subject))
        return str(item["user_id"]) if item else None

    def entry(self, user_id: str, recording_id: str) -> Entry | None:
        """What stands under an id, as last written."""
        item = self._table.get(recording_key(user_id, recording_id))
        return _convert(item, Entry) if item else None

    def versions(self, user_id: str, recording_id: str | None = None) -> Iterator[KeptVersion]:
        """Every version of a recording's object, or of all of a user's, in the order of keys."""
        key = f"{user_id}/{recording_id or ''}"
        with our_errors():
            pages = self._clients.s3.get_paginator("list_object_versions")
            for page in pages.paginate(Bucket=self._settings.recordings_bucket, Prefix=key):
                # S3 lists the two apart, each in order; together they are one page of all.
                there = heapq.merge(
                    page.get("Versions", []),
                    page.get("DeleteMarkers", []),
                    key=lambda each: each["Key"],
                )
                for version in there:
                    if recording_id is None or version["Key"] == key:
                        yield KeptVersion(
                            key=version["Key"],
                            version_id=version["VersionId"],
                            size=version.get("Size"),  # type: ignore[arg-type]
                            is_current=version["IsLatest"],
                        )

    def prefixes(self) -> Iterator[str]:
        """The users' prefixes in the recordings bucket, `<user>/`, and keys that have none."""
        with our_errors():
            pages = self._clients.s3.get_paginator("list_object_versions")
            for page in pages.paginate(Bucket=self._settings.recordings_bucket, Delimiter="/"):
                yield from (each["Prefix"] for each in page.get("CommonPrefixes", []))
                bare = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                yield from {each["Key"] for each in bare}

    def sha256(self, version: KeptVersion) -> str | None:
        """What S3 knows to be a version's hash; None when it knows none, or the version is gone."""
        with our_errors():
            try:
                head = self._clients.s3.head_object(
                    Bucket=self._settings.recordings_bucket,
                    Key=version.key,
                    VersionId=version.version_id,
                    ChecksumMode="ENABLED",
                )
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                raise
        if head.get("ChecksumType") == "COMPOSITE" or "ChecksumSHA256" not in head:
            return None
        return base64.b64decode(head["ChecksumSHA256"]).hex()

    def staged(self) -> Iterator[Staged]:
        """All that waits in the uploads bucket, but for exports."""
        bucket = self._settings.uploads_bucket
        with our_errors():
            objects = self._clients.s3.get_paginator("list_objects_v2")
            for page in objects.paginate(Bucket=bucket):
                for found in page.get("Contents", []):
                    if not found["Key"].startswith(EXPORTS):
                        yield Staged(key=found["Key"], since=found["LastModified"])
            uploads = self._clients.s3.get_paginator("list_multipart_uploads")
            for begun in uploads.paginate(Bucket=bucket):
                for upload in begun.get("Uploads", []):
                    yield Staged(
                        key=upload["Key"],
                        since=upload["Initiated"],
                        upload_id=upload["UploadId"],
                    )

    def _scanned(
        self, condition: str, read: Sequence[str], names: Sequence[str], **values: str
    ) -> Iterator[Item]:
        """What of the table meets a condition, and of each item what is to be read; by the page."""
        with our_errors():
            pages = self._clients.dynamodb.get_paginator("scan").paginate(
                TableName=self._settings.table,
                FilterExpression=condition,
                ExpressionAttributeValues=to_attributes(
                    {f":{name}": value for name, value in values.items()}
                ),
                ProjectionExpression=", ".join(read),
                ExpressionAttributeNames={f"#{name}": name for name in names},
            )
            for page in pages:
                yield from map(from_attributes, page["Items"])


def _read(item: Item) -> Balance | Entry | Way:
    for provider in PROVIDERS:
        prefix = provider_key(provider, "")["pk"]
        if item["pk"].startswith(prefix):
            subject = item["pk"].removeprefix(prefix)
            return Way(provider=provider, subject=subject, user_id=item["user_id"])
    user_id, recording_id = owner_and_recording(item)
    if recording_id is None:
        return _convert(item | {"user_id": user_id}, Balance)
    return _convert(item, Entry)


def _convert(item: Item, read: type[T]) -> T:
    try:
        return msgspec.convert(item, read)
    except msgspec.ValidationError as error:
        raise InternalError(f"{item['sk']} of {item['pk']} cannot be read: {error}") from error
