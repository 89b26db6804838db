"""How many recordings a user can have before DynamoDB takes no more of theirs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.aws.dynamodb.items import (
    Item,
    recording_item,
    to_item,
    tombstone_item,
    waveform_key,
)
from chalicelib.core.ids import uuid7
from chalicelib.models.answers import Sound
from chalicelib.models.entities import StoredRecording, Tombstone, Waveform
from chalicelib.settings import Settings
from tests.support.faults import Faults
from tests.support.phone import Phone

NOW = datetime(2026, 11, 28, tzinfo=UTC)
MOST = 10 * 1024**3
"""What DynamoDB keeps under one partition key, with the local indexes."""
OF_AN_ENTRY = 100
"""What it adds to each item, and to each of its copies in an index."""
WIDEST = "\N{STUDIO MICROPHONE}"
"""A character of four bytes."""
IDS: Any = {"id": uuid7(), "user_id": uuid7()}
# docs/decisions/43-ten-gigabytes-a-user.md
THAT_FIT_WHATEVER_IS_IN_THEM = 70_000
DAYS_OF_A_TOMBSTONE = 92


def size(value: object) -> int:
    """How many bytes DynamoDB counts for a value."""
    match value:
        case bool() | None:
            return 1
        case str():
            return len(value.encode())
        case int():
            return len(str(value)) // 2 + 2
        case list():
            return 3 + sum(1 + size(each) for each in value)
        case dict():
            return sum(size(name) + size(each) for name, each in value.items())
    raise TypeError(type(value))


def taken(item: Item, indexes: int) -> int:
    """What an item takes with its copies."""
    return (1 + indexes) * (size(item) + OF_AN_ENTRY)


def recording(character: str) -> Item:
    """A recording with as much of a character in it as there may be, and all else as long."""
    return recording_item(
        StoredRecording(
            **IDS,
            file_name=255 * character,
            content_type="audio/vnd.wave",
            size=5_000_000_000,
            status="uploading",
            created_at=NOW,
            updated_at=NOW,
            version=1_000_000,
            fingerprint=64 * "f",
            upload_method="multipart",
            upload_id=256 * "u",
            part_size=100_000_000,
            tags=50 * [100 * character],
            sha256=64 * "a",
            duration_ms=2**53 - 1,
            recorded_at=NOW,
            notes=4000 * character,
            upload_expires_at=NOW,
            completed_at=NOW,
            purge_at=NOW,
            begun_again=True,
            sound=Sound(
                readable=True,
                duration_ms=2**53 - 1,
                container=40 * "c",
                codec=40 * "c",
                sample_rate_hz=2**53 - 1,
                channels=2**53 - 1,
            ),
            listener=1_000,
        )
    )


def waveform() -> Item:
    """The longest waveform, which is copied into no index."""
    longest = Waveform(sample_rate=192_000, samples_per_pixel=2**30, data=bytes(4000))
    return waveform_key(IDS["user_id"], IDS["id"]) | to_item(longest)


def all_of(character: str) -> int:
    """What such a recording takes, with all that stands beside it."""
    return taken(recording(character), indexes=2) + taken(waveform(), indexes=0)


def tombstones() -> int:
    """What those take of all that a user may announce and delete for good until they are gone."""
    owing = Tombstone(**IDS, updated_at=NOW, version=9, owes=["parts", "uploads"], due_at=NOW)
    announced = Settings(backend="embedded").announced_per_hour * 24 * DAYS_OF_A_TOMBSTONE
    return announced * taken(tombstone_item(owing) | {"ttl": 1}, indexes=1)


def test_as_many_recordings_as_the_decision_says_fit_whatever_is_in_them() -> None:
    fit = THAT_FIT_WHATEVER_IS_IN_THEM * all_of(WIDEST)

    assert fit + tombstones() < MOST


def test_as_many_as_a_user_may_have_fit_with_all_of_their_text_in_ascii() -> None:
    fit = Settings(backend="embedded").quota_recordings * all_of("a")

    assert fit + tombstones() < MOST


@pytest.mark.parametrize(
    "refusal",
    [
        {"code": "ItemCollectionSizeLimitExceededException"},
        {
            "code": "TransactionCanceledException",
            "CancellationReasons": [{"Code": "ItemCollectionSizeLimitExceeded"}, {"Code": "None"}],
        },
    ],
    ids=["alone", "in a transaction"],
)
def test_what_dynamodb_has_no_room_for_is_beyond_the_quota(
    phone: Phone, faults: Faults, refusal: dict[str, Any]
) -> None:
    faults.refuse("dynamodb", "TransactWriteItems", status=400, **refusal)

    assert phone.announce(b"some sound").code == "quota_exceeded"
