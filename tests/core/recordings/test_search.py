"""Finding recordings again, by what their people said of them."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib import wiring
from chalicelib.aws.dynamodb.items import recording_item
from tests.support import shortcut
from tests.support.faults import Faults
from tests.support.phone import Phone

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def kept(phone: Phone, **fields: Any) -> str:
    """The id of a recording of this user's of which that was said."""
    recording = shortcut.recording(phone.user_id, **fields)
    shortcut.put(wiring.services().settings.table, [recording_item(recording)])
    return recording.id


@pytest.mark.parametrize(
    ("said", "searched"),
    [
        ("Straße nach Süden.m4a", "STRASSE"),
        ("Straße nach Süden.m4a", "süden straße"),
        ("Straße nach Süden.m4a", "sud"),
        ("회의 월요일", "회의"),
        ("회의 월요일", unicodedata.normalize("NFD", "회의")),
        ("ｶﾅ の 録音", "カナ"),
        ("カナ の 録音", "ｶﾅ"),
        ("ﾊﾟﾘ", "パリ"),
        ("Café", "cafe\N{COMBINING ACUTE ACCENT}"),
        ("Café", "CAFÉ"),
        ("\N{FULLWIDTH LATIN SMALL LETTER M}emo", "memo"),
        ("İstanbul", "istanbul"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("Łódź, Ørsted, Œuvre", "lodz orsted oeuvre"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("100%_done", "%_"),
    ],
)
def test_a_word_is_found_in_whatever_case_width_and_accent_form(
    phone: Phone, said: str, searched: str
) -> None:
    id = kept(phone, file_name=said)
    kept(phone, file_name="something else")

    assert phone.listed(q=searched) == [id]


@pytest.mark.parametrize(("said", "searched"), [("かき", "がき"), ("की", "कु"), ("회의", "히")])
def test_what_makes_another_letter_in_its_script_is_not_folded(
    phone: Phone, said: str, searched: str
) -> None:
    kept(phone, file_name=said)

    assert phone.listed(q=searched) == []


def test_each_word_stands_in_the_name_the_notes_or_a_tag(phone: Phone) -> None:
    id = kept(phone, file_name="monday.m4a", notes="Ada brings\nthe cake", tags=["team", "weekly"])
    kept(phone, file_name="monday.m4a", notes="no sweets", tags=["team"])

    assert phone.listed(q="monday cake WEEK") == [id]
    assert phone.listed(q="monday pie") == []
    assert phone.listed(q="bringsthe") == []


def test_a_tag_is_found_whole(phone: Phone) -> None:
    id = kept(phone, tags=["café", "x"])
    kept(phone, tags=["cafés"])

    assert phone.listed(tag="cafe\N{COMBINING ACUTE ACCENT}") == [id]


def test_a_span_of_time_has_both_of_its_ends(phone: Phone) -> None:
    first, last = kept(phone, recorded_at=NOON), kept(phone, recorded_at=NOON + timedelta(hours=1))
    kept(phone)

    assert phone.listed(recorded_from="2026-11-01T12:00Z") == [last, first]
    assert phone.listed(recorded_from="2026-11-01T12:00:00.001Z") == [last]
    assert phone.listed(recorded_to="2026-11-01t13:00:00+01:00") == [first]
    assert phone.listed(recorded_from="2026-11-02T00:00Z") == []


def test_all_that_is_asked_for_holds_on_the_shelf_that_is_asked_for(phone: Phone) -> None:
    id = kept(phone, file_name="memo", tags=["x"], recorded_at=NOON)
    kept(phone, file_name="memo", tags=["x"])
    kept(phone, status="trashed", file_name="memo", tags=["x"], recorded_at=NOON)

    assert phone.listed(q="memo", tag="x", recorded_from="2026-11-01T12:00Z") == [id]


def test_nobody_finds_what_is_anothers(phone: Phone, other: Phone) -> None:
    kept(other, file_name="memo")

    assert phone.listed(q="memo") == []


def test_what_is_found_pages_exactly_in_either_order(phone: Phone) -> None:
    ids = [kept(phone, file_name="memo" if n % 2 else "else") for n in range(10)][1::2]

    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        query: dict[str, object] = {"q": "memo", "limit": 2, "order": order}
        first = phone.get("/recordings", query=query).json
        second = phone.get("/recordings", query=query | {"after": first["next"]}).json
        third = phone.get("/recordings", query=query | {"after": second["next"]}).json
        pages = [[each["id"] for each in page["recordings"]] for page in (first, second, third)]
        assert pages == [expected[:2], expected[2:4], expected[4:]]
        assert third["next"] is None


def test_a_search_looks_at_a_megabyte_and_says_where_to_go_on(phone: Phone, faults: Faults) -> None:
    id = kept(phone, file_name="memo")
    for _ in range(70):
        kept(phone, file_name="else", notes="\N{STUDIO MICROPHONE}" * 4000)
    calls = faults.record()

    first = phone.get("/recordings", query={"q": "memo"}).json
    assert [call.name for call in calls].count("dynamodb.Query") == 1
    assert first["recordings"] == []
    second = phone.get("/recordings", query={"q": "memo", "after": first["next"]}).json
    assert [each["id"] for each in second["recordings"]] == [id]


@pytest.mark.parametrize(
    "wrong",
    [{"q": "x" * 201}, {"tag": ""}, {"tag": "x" * 101}, {"recorded_from": "2026-11-01T12:00:00"}],
    ids=str,
)
def test_what_cannot_be_searched_for_is_refused_by_name(
    phone: Phone, wrong: dict[str, object]
) -> None:
    answer = phone.get("/recordings", query=wrong)

    assert (answer.status, answer.fields) == (400, [*wrong])


def test_no_words_are_no_search(phone: Phone) -> None:
    id = kept(phone)

    assert phone.listed(q=" ") == [id]
    assert phone.listed(q="") == [id]


def test_times_in_a_list_have_three_decimals_as_everywhere(phone: Phone) -> None:
    id = phone.upload(b"some sound", recorded_at="2026-11-01T10:00:00Z")

    [listed] = phone.get("/recordings").json["recordings"]
    assert listed == phone.seen(id)
    assert listed["recorded_at"] == "2026-11-01T10:00:00.000Z"
