"""Items as earlier versions wrote them are read: a file of tests/data/items for each shape.

Readers come first: a version that writes something new lands after one that reads it, and what is
new has a default. Whoever changes an item's shape adds a file, and never changes one.
"""

from __future__ import annotations

import json
import logging

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import wiring
from chalicelib.aws.dynamodb.items import Item, from_attributes, to_attributes
from chalicelib.errors import InternalError
from chalicelib.models.entities import Link
from chalicelib.settings import Settings
from tests.conftest import Clock
from tests.support import ROOT, audits, shortcut

SHAPES = sorted((ROOT / "tests" / "data" / "items").glob("*.json"))


@pytest.fixture(params=SHAPES, ids=lambda file: file.stem)
def items(request: pytest.FixtureRequest, settings: Settings) -> list[Item]:
    """Items of one shape, which is all that the table has."""
    items: list[Item] = json.loads(request.param.read_text(encoding="utf-8"))
    shortcut.put(settings.table, items)
    return items


def test_every_item_of_an_earlier_shape_is_read(
    items: list[Item], caplog: pytest.LogCaptureFixture
) -> None:
    stores = wiring.services()._stores
    users = {item["pk"].removeprefix("USER#") for item in items if item["pk"][:5] == "USER#"}
    accounts = [stores.accounts.find(user) or stores.accounts.find_closed(user) for user in users]
    sessions = [
        stores.accounts.find_with_session(item["user_id"], item["id"])[1]
        for item in items
        if item["sk"].startswith("SESSION#")
    ]
    standing = [each for user in users for each in stores.shelves.all_of(user)]

    listed = [it for user in users for it in stores.links.of(user) if isinstance(it, Link)]
    opened = [stores.links.find(link.code, None, wiring.now())[0] for link in listed]
    told = [item for item in items if item["sk"].startswith("LINK#")]

    assert len(listed) == len(told)
    assert {link.id for link in listed} == {link.id for link in opened if link}
    drawn = [id for user in users for id, _ in stores.sounds.waveforms(user)]

    assert len(drawn) == len([item for item in items if item["sk"].startswith("WAVEFORM#")])
    assert len(accounts) > 1
    assert all(accounts)
    assert sessions
    assert all(sessions)
    assert {type(each).__name__ for each in standing} == {"StoredRecording", "Tombstone"}
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.usefixtures("items")
def test_what_an_earlier_version_left_due_is_moved(audit: audits.Run, clock: Clock) -> None:
    for _ in range(3):
        clock.advance(days=40)
        tally = wiring.services().upkeep.run()
        wiring.services().mail.deliver()
        assert tally.failed == 0

    # None of their bytes came along; nothing else may be wrong.
    assert {rule for rule, _ in audit().found} <= {"I1"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**37), 10**37) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_what_is_written_is_what_boto3_writes_and_is_read_as_it_was(item: Item) -> None:
    written = to_attributes(item)

    assert written == TypeSerializer().serialize(item)["M"]
    assert from_attributes(written) == item


@pytest.mark.parametrize("value", [1.5, b"bytes", {1}, object()])
def test_what_the_table_has_no_kind_for_is_not_written(value: object) -> None:
    with pytest.raises(InternalError):
        to_attributes({"field": value})
