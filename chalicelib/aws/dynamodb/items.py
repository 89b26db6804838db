"""The key map of the one DynamoDB table, and its items as DynamoDB's API spells them."""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct, structs

from chalicelib.errors import InternalError
from chalicelib.models.answers import Recording
from chalicelib.models.entities import (
    Account,
    Nonce,
    Standing,
    StoredRecording,
    Tombstone,
    Unreadable,
)
from chalicelib.models.fields import LetterKind, Provider, comparable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

log = logging.getLogger(__name__)

Item = dict[str, Any]
Key = dict[str, str]
T = TypeVar("T", bound=Struct)

# Four partitions of the `due` index take 4,000 writes a second between them.
DUE_SHARDS = 4
# The condition that an account is none that was closed: closing it takes its address.
OPEN = "attribute_exists(#email)"
# How the sort keys begin that links have beside their recordings.
LISTED = "LINK#"
# Of what a recording's owner sees, what is a time.
SEEN_TIMES = "created_at", "updated_at", "recorded_at", "upload_expires_at", "purge_at"
# What takes an item out of the `due` index, as an update.
NEVER_DUE = {"due_shard": None, "due_at": None, "postponed": None}


def account_key(user_id: str) -> Key:
    """Where an account stands."""
    return {"pk": f"USER#{user_id}", "sk": "PROFILE"}


def session_key(user_id: str, session_id: str) -> Key:
    """Where a session stands."""
    return {"pk": f"USER#{user_id}", "sk": f"SESSION#{session_id}"}


def recording_key(user_id: str, recording_id: str) -> Key:
    """Where a recording, or its tombstone, stands."""
    return {"pk": f"USER#{user_id}", "sk": f"REC#{recording_id}"}


def link_key(code: str) -> Key:
    """Where a link is found by its code."""
    return {"pk": f"LINK#{code}", "sk": "LINK"}


def listed_link_key(user_id: str, recording_id: str, link_id: str) -> Key:
    """Where a link stands among those of its recording."""
    return {"pk": f"USER#{user_id}", "sk": f"{LISTED}{recording_id}#{link_id}"}


def waveform_key(user_id: str, recording_id: str) -> Key:
    """Where a recording's waveform stands: beside it, and in none of the indexes."""
    return {"pk": f"USER#{user_id}", "sk": f"WAVEFORM#{recording_id}"}


def export_key(user_id: str) -> Key:
    """Where it stands that a user has an export, which is to be deleted."""
    return {"pk": f"USER#{user_id}", "sk": "EXPORT"}


def owner_and_recording(key: Mapping[str, Any]) -> tuple[str, str | None]:
    """The ids that a key has: a user's and, under a recording's key, the recording's."""
    kind, _, recording_id = key["sk"].partition("#")
    return key["pk"].removeprefix("USER#"), recording_id if kind == "REC" else None


def identity_key(email: str) -> Key:
    """Where the owner of an address stands; the same for every spelling of it."""
    return {"pk": f"EMAIL#{comparable(email)}", "sk": "IDENTITY"}


def provider_key(provider: Provider, subject: str) -> Key:
    """Where it stands whom a provider's word for somebody signs in."""
    return {"pk": f"{provider.upper()}#{subject}", "sk": "IDENTITY"}


def nonce_key(nonce: Nonce) -> Key:
    """Where it stands that the nonce of somebody's id token was used."""
    # A hash, with each part's length in front, since an app may have any text for a nonce.
    parts = (nonce.provider, nonce.subject, nonce.value)
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return {"pk": f"NONCE#{hashlib.sha256(text.encode()).hexdigest()}", "sk": "USED"}


def grant_key(id: str) -> Key:
    """Where it waits that something of Apple's, a code or a token, is exchanged or revoked."""
    return {"pk": "GRANTS", "sk": id}


def attempts_key(kind: str, who: str) -> Key:
    """Where attempts of one kind are counted, by whom they were made or whom they were made at."""
    # A hash: people type anything where an address belongs, passwords too.
    return {"pk": f"ATTEMPTS#{hashlib.sha256(who.encode()).hexdigest()}", "sk": kind}


def letter_key(kind: LetterKind, email: str) -> Key:
    """Where a mail waits to be sent: all of them in one partition, each kind to an address once."""
    return {"pk": "OUTBOX", "sk": f"{kind}#{comparable(email)}"}


def shelf(status: str, recording_id: str) -> str:
    """The sort key of the `shelf` index: each status is a shelf, in the order of the ids."""
    return f"{status}#{recording_id}"


def change(at: datetime, recording_id: str) -> str:
    """The sort key of the `changes` index."""
    return f"{timestamp(at)}#{recording_id}"


def due(id: str, at: datetime) -> Item:
    """The attributes by which an item is found in the `due` index from a time on."""
    shard = zlib.crc32(id.encode()) % DUE_SHARDS
    return {"due_shard": due_shard(shard), "due_at": timestamp(at)}


def due_shard(number: int) -> str:
    """The name of a partition of the `due` index."""
    return f"DUE#{number}"


def timestamp(at: datetime) -> str:
    """A time as the table holds it: of one length, so that text sorts as time does."""
    # Not strftime, which writes the year 999 in three digits.
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def to_item(entity: Struct) -> Item:
    """An entity's fields as the table holds them; those that are None are left out."""
    fields = to_fields(structs.asdict(entity))
    return {field: value for field, value in fields.items() if value is not None}


def to_fields(values: Mapping[str, Any]) -> Item:
    """Fields as the table holds them."""
    plain = msgspec.to_builtins(dict(values), builtin_types=(datetime,))
    return {field: _with_timestamps(value) for field, value in plain.items()}


def _with_timestamps(value: Any) -> Any:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, dict):
        return {name: _with_timestamps(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_timestamps(each) for each in value]
    return value


def recording_item(recording: StoredRecording) -> Item:
    """An upload as the table holds it."""
    item = to_item(recording) | {
        **recording_key(recording.user_id, recording.id),
        "shelf": shelf(recording.status, recording.id),
        "changes": change(recording.updated_at, recording.id),
    }
    if recording.upload_expires_at:
        item |= due(recording.id, recording.upload_expires_at)
    return item


def tombstone_item(tombstone: Tombstone) -> Item:
    """A tombstone as the table holds it."""
    item = to_item(tombstone) | {
        **recording_key(tombstone.user_id, tombstone.id),
        "changes": change(tombstone.updated_at, tombstone.id),
    }
    return item | due(tombstone.id, tombstone.due_at) if tombstone.due_at else item


# What an earlier version cannot read may be in the table: a later one was rolled back. What one is
# named is then a fault; whoever wants many is not kept from the others.


def read(item: Item, kind: type[T]) -> T:
    """What an item says; InternalError when it cannot be read."""
    try:
        return msgspec.convert(item, kind)
    except msgspec.ValidationError as error:
        raise InternalError(f"{_named(item)} cannot be read") from error


def legible(item: Item, kind: type[T]) -> T | None:
    """What an item says; None for one that cannot be read, which is logged."""
    try:
        return read(item, kind)
    except InternalError as error:
        log.exception("%s", error.detail)
        return None


def all_legible(items: Iterable[Item], kind: type[T]) -> Iterator[T]:
    """What items say, without those that cannot be read, which are logged."""
    return (each for item in items if (each := legible(item, kind)))


def read_account(item: Item | None) -> Account | None:
    """The account that an item is; None for one that is closed, of which no address is kept."""
    return read(item, Account) if item and "email" in item else None


def read_standing(item: Item | None) -> Standing | None:
    """What stands under a recording's key, if anything does."""
    return read_recording(item) if item else None


def read_recording(item: Item) -> StoredRecording | Tombstone | Unreadable:
    """What an item under a recording's key says; one that cannot be read is logged."""
    kind = Tombstone if item.get("status") == "deleted" else StoredRecording
    return legible(item, kind) or unread(item)


def unread(item: Item) -> Unreadable:
    """An item that stands with a recording, as it is."""
    _, recording_id, *_ = item["sk"].split("#")
    return Unreadable(user_id=item["pk"].removeprefix("USER#"), id=recording_id, item=item)


def read_seen(item: Item) -> Recording | None:
    """A recording as its owner sees it; None for one that cannot be read, which is logged."""
    # A time in answers is shorter by the microseconds.
    times = {name: f"{at[:23]}Z" for name in SEEN_TIMES if isinstance(at := item.get(name), str)}
    return legible(item | times, Recording)


def _named(item: Item) -> str:
    """What an item is called in the log, where no address and no link's code belongs."""
    if item["pk"].startswith("USER#"):
        return f"{item['sk']} of {item['pk']}"
    return f"{item['sk'].partition('#')[0]} of {item['pk'].partition('#')[0]}"


def to_attributes(item: Mapping[str, Any]) -> dict[str, AttributeValueTypeDef]:
    """An item as DynamoDB's API spells it."""
    return {name: _as_value(value) for name, value in item.items()}


def from_attributes(attributes: Mapping[str, AttributeValueTypeDef]) -> Item:
    """An item as DynamoDB's API spells it, read."""
    return {name: _read_value(value) for name, value in attributes.items()}


# boto3's own writer and reader take several times as long, and make Decimals of numbers, which are
# all whole.


def _as_value(value: Any) -> AttributeValueTypeDef:
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case list():
            return {"L": [_as_value(each) for each in value]}
        case dict():
            return {"M": {name: _as_value(each) for name, each in value.items()}}
        case None:
            return {"NULL": True}
    raise InternalError(f"The table takes no {type(value).__name__}")


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _read_value(value: Any) -> Any:
    [(kind, held)] = value.items()
    match kind:
        case "S" | "BOOL":
            return held
        case "N":
            return _number(held)
        case "L":
            return [_read_value(each) for each in held]
        case "M":
            return {name: _read_value(each) for name, each in held.items()}
        case "NULL":
            return None
    # Nothing writes any other: whoever wants this one cannot read it, and who does not need not.
    return {kind: held}
