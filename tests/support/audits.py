"""What the tests of the audit share: how it is run, and a mistaken tool that breaks things."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Key, to_attributes
from chalicelib.settings import Settings
from chalicelib.wiring import services
from ops.audit import __main__ as audit
from tests.support.phone import PASSWORD, Phone

if TYPE_CHECKING:
    from tests.conftest import Clock

SOUND = b"some sound"
OTHER = b"else sound"
LONGER = b"some longer sound"


class Audited(NamedTuple):
    """What a run of the command came to."""

    code: int
    lines: list[dict[str, Any]]
    text: str

    @property
    def found(self) -> list[tuple[str, str]]:
        """The rule and the key of all that was found."""
        assert self.code != audit.FAILED, self.text
        return [(line["rule"], line["key"]) for line in self.lines]


Run = Callable[..., Audited]


def run(
    capsys: pytest.CaptureFixture[str], clients: Clients, clock: Clock, *arguments: str
) -> Audited:
    """Run the command in this process."""
    capsys.readouterr()
    code = audit.main(arguments, clients, clock)
    said, summary = capsys.readouterr()
    return Audited(code, [json.loads(line) for line in said.splitlines()], said + summary)


class Tool:
    """A mistaken tool: it writes what the app never would."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self._clients = clients
        self._bucket = settings.recordings_bucket
        self._table = settings.table

    def put(self, key: str, data: bytes = SOUND, **fields: Any) -> None:
        """Write an object."""
        self._clients.s3.put_object(Bucket=self._bucket, Key=key, Body=data, **fields)

    def put_in_parts(self, key: str) -> None:
        """Write an object whose checksum is one of its parts' checksums."""
        it: Any = {"Bucket": self._bucket, "Key": key}
        begun = self._clients.s3.create_multipart_upload(
            **it, ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE"
        )
        it["UploadId"] = begun["UploadId"]
        part = self._clients.s3.upload_part(
            **it, PartNumber=1, Body=SOUND, ChecksumAlgorithm="SHA256"
        )
        done: Any = {"PartNumber": 1} | {name: part[name] for name in ("ETag", "ChecksumSHA256")}
        self._clients.s3.complete_multipart_upload(**it, MultipartUpload={"Parts": [done]})

    def hide(self, key: str) -> None:
        """Delete an object as if there were no versions: that marks it as deleted."""
        self._clients.s3.delete_object(Bucket=self._bucket, Key=key)

    def lose(self, key: str, version: str | None = None) -> None:
        """Delete a version; the current one, if none is named."""
        version = version or self.version(key)
        self._clients.s3.delete_object(Bucket=self._bucket, Key=key, VersionId=version)

    def has(self, key: str) -> bool:
        """Whether any version of an object is left."""
        there = self._clients.s3.list_object_versions(Bucket=self._bucket, Prefix=key)
        return bool(there.get("Versions") or there.get("DeleteMarkers"))

    def version(self, key: str) -> str:
        """The current version."""
        return self._clients.s3.head_object(Bucket=self._bucket, Key=key)["VersionId"]

    def alter(self, key: Key, **changes: Any) -> None:
        """Set attributes of an item."""
        self._clients.dynamodb.update_item(
            TableName=self._table,
            Key=to_attributes(key),
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in changes),
            ExpressionAttributeNames={f"#{name}": name for name in changes},
            ExpressionAttributeValues=to_attributes(
                {f":{name}": value for name, value in changes.items()}
            ),
        )

    def remove(self, key: Key) -> None:
        """Remove an item."""
        self._clients.dynamodb.delete_item(TableName=self._table, Key=to_attributes(key))


def key_of(phone: Phone, id: str) -> str:
    """Where the bytes of a recording are."""
    return f"{phone.user_id}/{id}"


def id_of(key: str) -> str:
    return key.partition("/")[2]


def close(phone: Phone) -> None:
    """Delete the account."""
    assert phone.delete("/me", body={"password": PASSWORD}).status == 204


def kept(phone: Phone, clock: Clock) -> str:
    """The key of a recording of long ago."""
    id = phone.upload(SOUND)
    clock.advance(minutes=16)
    return key_of(phone, id)


def deleted(phone: Phone, clock: Clock) -> str:
    """The key of a recording whose tombstone owes nothing any more."""
    key = kept(phone, clock)
    phone.delete_for_good(id_of(key))
    return key


def expired(phone: Phone, clock: Clock) -> str:
    """The key of an upload that took too long, and whose tombstone owes nothing any more."""
    id = phone.announce(SOUND).json["recording"]["id"]
    clock.advance(days=8)
    services().upkeep.run()
    clock.advance(minutes=16)
    services().upkeep.run()
    return key_of(phone, id)
