"""Links: made, listed, taken back; what they open, and what ends them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app import app
from chalicelib import wiring
from chalicelib.aws.dynamodb.items import Item, account_key, link_key
from chalicelib.core.ids import link_code, uuid7
from chalicelib.core.recordings import links as sharing
from chalicelib.core.recordings.links import Links
from chalicelib.models import link_codes
from tests.conftest import Clock, Left
from tests.support.faults import Faults
from tests.support.phone import NO_TLS, PASSWORD, Answer, Phone

SOUND = b"some sound"
TITLE = "Interview with Ann"
WEEK = timedelta(days=7)
Stored = Callable[..., list[Item]]


@pytest.fixture
def id(phone: Phone) -> str:
    """A recording that is ready, and has a title that tells."""
    return phone.upload(SOUND, file_name=f"{TITLE}.m4a", duration_ms=61_000)


@pytest.fixture
def links(stored: Stored) -> Callable[[], list[Item]]:
    """Reads what the table has of links, of whomever."""
    return lambda: [item for item in stored() if "LINK" in item["pk"] + item["sk"]]


def make(phone: Phone, recording: str, /, **fields: object) -> Answer:
    return phone.post(f"/recordings/{recording}/links", fields)


def code_of(phone: Phone, recording: str, /, **fields: object) -> str:
    made = make(phone, recording, **fields)
    assert made.status == 201, made.text
    return str(made.json["code"])


def listed(phone: Phone, id: str) -> list[str]:
    answer = phone.get(f"/recordings/{id}/links")
    assert answer.status == 200
    return [link["code"] for link in answer.json["links"]]


def open_(code: str, **headers: str) -> Answer:
    return Phone().get(f"/s/{code}", headers={"Accept": "application/json"} | headers)


def page(code: str) -> Answer:
    return Phone().get(f"/s/{code}", headers={"Accept": "text/html,*/*;q=0.8"})


def take_back(phone: Phone, id: str, code: str) -> int:
    return phone.delete(f"/recordings/{id}/links/{code}").status


def opens(code: str) -> bool:
    return open_(code).status == 200


# Making


def test_a_link_is_a_code_and_an_address_for_a_week(phone: Phone, id: str) -> None:
    link = make(phone, id).json

    assert re.fullmatch("[0-9a-hjkmnp-tv-z]{5}-[0-9a-hjkmnp-tv-z]{5}", link["code"])
    assert link["url"] == f"http://127.0.0.1:8000/s/{link['code']}"
    assert link["show_name"] is False
    assert until(link) - datetime.fromisoformat(link["created_at"]) == WEEK


@pytest.mark.parametrize(
    ("domain", "root"),
    [("a1b2.execute-api.eu-central-1.amazonaws.com", "/prod"), ("rec.example.com", "")],
)
def test_where_no_address_is_set_it_is_the_one_that_was_asked(
    phone: Phone, id: str, configure: Callable[..., None], domain: str, root: str
) -> None:
    configure(public_url=None)
    event = {
        "requestContext": {
            "httpMethod": "POST",
            "resourcePath": "/recordings/{id}/links",
            "path": f"{root}/recordings/{id}/links",
            "domainName": domain,
            "identity": {"sourceIp": "192.0.2.1"},
        },
        # It is nobody's to say but API Gateway's.
        "headers": {"authorization": f"Bearer {phone.token}", "host": "evil.example.com"},
        "multiValueQueryStringParameters": None,
        "pathParameters": {"id": id},
        "stageVariables": {},
        "body": None,
    }

    link = json.loads(app(event, None)["body"])

    assert link["url"] == f"https://{domain}{root}/s/{link['code']}"


def until(link: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(link["expires_at"])


def test_no_body_asks_for_the_same(phone: Phone, id: str) -> None:
    assert phone.post(f"/recordings/{id}/links").status == 201


def test_a_link_lasts_as_long_as_was_asked_for_or_for_ever(phone: Phone, id: str) -> None:
    short = make(phone, id, expires_in_seconds=60).json
    endless = make(phone, id, expires_in_seconds=None).json

    assert until(short) - datetime.fromisoformat(short["created_at"]) == timedelta(minutes=1)
    assert endless["expires_at"] is None


def test_the_same_again_makes_no_other(phone: Phone, id: str) -> None:
    first = make(phone, id, id=(link_id := uuid7()), show_name=True)

    again = make(phone, id, id=link_id.upper(), show_name=True)

    assert (first.status, again.status, again.json) == (201, 200, first.json)
    assert len(listed(phone, id)) == 1


@pytest.mark.parametrize("other", [{"show_name": True}, {"expires_in_seconds": None}])
def test_something_else_under_the_same_id_is_a_conflict(
    phone: Phone, id: str, other: dict[str, object]
) -> None:
    make(phone, id, id=(link_id := uuid7()))

    answer = make(phone, id, id=link_id, **other)

    assert (answer.status, answer.code, answer.fields) == (409, "id_conflict", ["id"])


def test_an_id_whose_link_expired_makes_another(phone: Phone, id: str, clock: Clock) -> None:
    first = code_of(phone, id, id=(link_id := uuid7()), expires_in_seconds=60)
    clock.advance(seconds=61)

    assert code_of(phone, id, id=link_id, expires_in_seconds=60) != first


NO_LINKS: list[tuple[str, object]] = [
    *(("expires_in_seconds", bad) for bad in (59, 31_536_001, 0, -60, "60", True, 60.5)),
    *(("show_name", bad) for bad in ("true", 1, None)),
    *(("id", bad) for bad in ("x", "019a8f3e-7c1d-4f00-8a3b-5c6d7e8f9a0b", 5)),
    ("code", "00000-00000"),
]


def test_what_is_no_link_is_refused(phone: Phone, id: str) -> None:
    for field, value in NO_LINKS:
        answer = make(phone, id, **{field: value})
        assert (answer.status, answer.fields) == (400, [field]), value

    assert listed(phone, id) == []


def test_what_is_not_ready_cannot_be_shared(phone: Phone, trashed: str) -> None:
    uploading = phone.announce(SOUND).json["recording"]["id"]

    for id in (trashed, uploading):
        answer = make(phone, id)
        assert (answer.status, answer.code) == (409, "not_ready")


def test_a_recording_has_a_hundred_links_at_most(
    phone: Phone, id: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sharing.MOST_LINKS == 100
    monkeypatch.setattr(sharing, "MOST_LINKS", 3)
    made = [make(phone, id, id=uuid7(), expires_in_seconds=60).json for _ in range(2)]
    endless = code_of(phone, id, expires_in_seconds=None)

    full = make(phone, id)
    assert (full.status, full.code) == (409, "too_many_links")
    assert make(phone, id, id=made[0]["id"], expires_in_seconds=60).status == 200

    assert take_back(phone, id, endless) == 204
    assert code_of(phone, id)
    clock.advance(seconds=61)
    assert code_of(phone, id)


def test_links_made_at_one_moment_are_no_more_than_that(
    phone: Phone, id: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "MOST_LINKS", 1)
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: make(phone, id))

    assert make(phone, id).code == "too_many_links"
    assert len(listed(phone, id)) == 1


def test_a_link_under_way_as_its_recording_is_deleted_is_not_made(
    phone: Phone, id: str, faults: Faults, links: Callable[[], list[Item]]
) -> None:
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: phone.delete_for_good(id))

    assert make(phone, id).status == 404
    assert links() == []


def test_a_deletion_under_way_as_a_link_is_made_knows_of_it(
    phone: Phone, id: str, faults: Faults, links: Callable[[], list[Item]]
) -> None:
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: make(phone, id))

    assert phone.delete_for_good(id).status == 204
    assert links() == []


def test_a_code_that_is_taken_is_not_given_again(
    phone: Phone, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = iter(["0" * 10, "0" * 10, "1" * 10])
    service = wiring.services().links
    monkeypatch.setattr(Links, "new_code", property(lambda _: lambda: next(codes)))
    assert wiring.services().links is service

    assert [code_of(phone, id), code_of(phone, id)] == ["00000-00000", "11111-11111"]


# Listing and taking back


def test_links_are_listed_newest_first_while_they_open(phone: Phone, id: str, clock: Clock) -> None:
    endless = code_of(phone, id, expires_in_seconds=None)
    clock.advance(seconds=1)
    minute = code_of(phone, id, expires_in_seconds=60)

    assert listed(phone, id) == [minute, endless]
    clock.advance(seconds=60)
    assert listed(phone, id) == [endless]


def test_each_recording_has_its_own(phone: Phone, id: str) -> None:
    another = phone.upload(SOUND)
    mine, its = code_of(phone, id), code_of(phone, another)

    assert (listed(phone, id), listed(phone, another)) == ([mine], [its])


def test_a_link_that_was_taken_back_opens_nothing_and_is_gone(
    phone: Phone, id: str, links: Callable[[], list[Item]]
) -> None:
    code = code_of(phone, id)

    assert [take_back(phone, id, code), take_back(phone, id, code)] == [204, 204]
    assert not opens(code)
    assert listed(phone, id) == []
    assert links() == []


@pytest.mark.parametrize("spelt", [str.upper, lambda code: code.replace("-", "")])
def test_it_is_taken_back_however_it_is_spelt(
    phone: Phone, id: str, spelt: Callable[[str], str]
) -> None:
    code = code_of(phone, id)

    assert take_back(phone, id, spelt(code)) == 204
    assert not opens(code)


@pytest.mark.parametrize("code", ["nonsense", "00000-00000", "uuuuu-uuuuu", "0" * 2000])
def test_what_is_no_link_is_taken_back_already(phone: Phone, id: str, code: str) -> None:
    assert take_back(phone, id, code) == 204


def test_nobody_takes_back_the_link_of_another_recording_or_user(
    phone: Phone, other: Phone, id: str
) -> None:
    code = code_of(phone, id)

    assert take_back(other, id, code) == 404
    assert take_back(other, other.upload(SOUND), code) == 204
    assert take_back(phone, phone.upload(SOUND), code) == 204
    assert opens(code)


def test_somebody_elses_recording_is_not_found(phone: Phone, other: Phone, id: str) -> None:
    code_of(phone, id)

    answers = [make(other, id), other.get(f"/recordings/{id}/links")]
    assert [(each.status, each.code) for each in answers] == [(404, "not_found")] * 2


# Opening


def test_a_link_plays_the_recording(phone: Phone, id: str) -> None:
    shared = open_(code_of(phone, id)).json

    assert (shared["content_type"], shared["size"]) == ("audio/mp4", len(SOUND))
    assert shared["duration_ms"] == 61_000
    assert httpx.get(shared["audio"]["url"], verify=NO_TLS).content == SOUND


@pytest.mark.parametrize(
    "spelt",
    [
        str.upper,
        lambda code: code.replace("-", ""),
        lambda code: "-".join(code),
        lambda code: code.replace("0", "o").replace("1", "l"),
        lambda code: code.replace("0", "O").replace("1", "I"),
    ],
)
def test_a_code_is_read_as_it_is_heard(
    phone: Phone, id: str, spelt: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Links, "new_code", property(lambda _: lambda: "01abcdefgh"))

    assert opens(spelt(code_of(phone, id)))


def test_codes_have_fifty_bits_and_no_letter_that_is_mistaken() -> None:
    codes = {link_code() for _ in range(500)}

    assert len(codes) == 500
    assert set("".join(codes)) == set(link_codes.ALPHABET)
    assert len(link_codes.ALPHABET) ** link_codes.LENGTH == 2**50
    assert all(link_codes.read(link_codes.shown(code)) == code for code in codes)


def test_opening_is_two_reads_and_writes_nothing(
    phone: Phone, id: str, faults: Faults, stored: Stored
) -> None:
    code = code_of(phone, id)
    before = stored()

    calls = faults.calls_of(lambda: open_(code))

    assert calls == ["dynamodb.BatchGetItem"] * 2
    assert stored() == before


def test_head_is_answered_as_get_is(phone: Phone, id: str) -> None:
    code = code_of(phone, id)

    head = Phone().call("HEAD", f"/s/{code}")

    assert (head.status, head.text) == (200, "")
    assert head.headers["content-type"] == "text/html; charset=utf-8"


# How long it opens


WAYS_TO_END: dict[str, Callable[[Phone, str, str, Clock], object]] = {
    "expired": lambda _phone, _id, _code, clock: clock.advance(days=7),
    "taken back": lambda phone, id, code, _: take_back(phone, id, code),
    "trashed": lambda phone, id, *_: phone.trash(id),
    "deleted": lambda phone, id, *_: phone.delete_for_good(id),
    "closed": lambda phone, *_: phone.delete("/me", body={"password": PASSWORD}),
    "another code": lambda *_: None,
    "no code at all": lambda *_: None,
}


@pytest.mark.parametrize("way", WAYS_TO_END)
def test_what_opens_nothing_is_not_found_all_alike(
    phone: Phone, id: str, clock: Clock, way: str
) -> None:
    code = code_of(phone, id)
    WAYS_TO_END[way](phone, id, code, clock)
    asked = {"another code": "00000-00000", "no code at all": "nope"}.get(way, code)

    problem, shown = open_(asked), page(asked)
    unknown, nothing = open_("zzzzz-zzzzz"), page("zzzzz-zzzzz")

    assert (problem.status, problem.code) == (shown.status, unknown.code) == (404, "not_found")
    assert problem.json | {"request_id": ""} == unknown.json | {"request_id": ""}
    assert (problem.headers, shown.headers, shown.text) == (
        unknown.headers,
        nothing.headers,
        nothing.text,
    )


def test_a_link_rests_in_the_trash_and_works_again_when_it_is_restored(
    phone: Phone, id: str
) -> None:
    code = code_of(phone, id)
    phone.trash(id)
    assert not opens(code)
    assert listed(phone, id) == []

    phone.restore(id)

    assert opens(code)
    assert listed(phone, id) == [code]


def test_a_link_can_be_taken_back_while_it_rests(phone: Phone, id: str) -> None:
    code = code_of(phone, id)
    phone.trash(id)

    assert take_back(phone, id, code) == 204
    phone.restore(id)
    assert not opens(code)


def test_who_is_suspended_shares_nothing(phone: Phone, id: str, tool: Any, clock: Clock) -> None:
    code = code_of(phone, id)

    tool.alter(account_key(phone.user_id), suspended_at=clock().isoformat())

    assert not opens(code)


def test_a_password_that_is_changed_changes_no_link(phone: Phone, id: str) -> None:
    code = code_of(phone, id)
    body = {"current_password": PASSWORD, "new_password": "another one, rightly"}
    assert phone.post("/me/password", body).status == 204

    assert opens(code)


def test_the_address_of_the_sound_does_not_outlast_the_link(
    phone: Phone, id: str, clock: Clock
) -> None:
    code = code_of(phone, id, expires_in_seconds=60)
    clock.advance(seconds=30)

    assert "X-Amz-Expires=30" in open_(code).json["audio"]["url"]


# What is left of it


def test_nothing_of_a_links_is_left_when_its_recording_is_deleted(
    phone: Phone, id: str, links: Callable[[], list[Item]]
) -> None:
    staying = code_of(phone, phone.upload(SOUND))
    code_of(phone, id, expires_in_seconds=60)
    code_of(phone, id, expires_in_seconds=None)

    phone.delete_for_good(id)

    assert {item["code"] for item in links()} == {staying.replace("-", "")}


def test_nothing_of_a_links_is_left_when_the_trash_is_emptied(
    phone: Phone, id: str, clear_away: Callable[[], None], clock: Clock, links: Any
) -> None:
    code_of(phone, id, expires_in_seconds=None)
    phone.trash(id)
    clock.advance(days=31)

    clear_away()

    assert links() == []


def test_nothing_of_a_links_is_left_when_its_account_is_closed(
    phone: Phone, id: str, clear_away: Callable[[], None], left: Left, links: Any
) -> None:
    code_of(phone, id, expires_in_seconds=None)
    phone.delete("/me", body={"password": PASSWORD})

    clear_away()

    assert links() == left(phone) == []


def test_dynamodb_is_told_when_a_link_is_over(phone: Phone, id: str, links: Any) -> None:
    made = make(phone, id).json

    assert {item["ttl"] for item in links()} == {int(until(made).timestamp())}


def test_a_link_that_was_taken_back_is_not_brought_back_by_being_counted(
    phone: Phone, id: str, configure: Callable[..., None], faults: Faults, links: Any
) -> None:
    configure(opens_per_link=10)
    code = code_of(phone, id)
    faults.meanwhile("dynamodb", "UpdateItem", lambda: take_back(phone, id, code))

    open_(code)

    assert links() == []


def test_an_export_has_the_links(phone: Phone, id: str) -> None:
    made = make(phone, id).json
    make(phone, phone.upload(SOUND), show_name=True)

    file = httpx.get(phone.export().json["url"], verify=NO_TLS).json()

    assert {"recording_id": id, **made} in file["links"]
    assert len(file["links"]) == len(file["recordings"]) == 2


# How often


def test_ten_thousand_guesses_are_stopped_after_a_hundred(
    phone: Phone, id: str, clock: Clock, stored: Stored
) -> None:
    code = code_of(phone, id)
    guess = wiring.services().links.open
    for number in range(99):
        guess_in_vain(guess, number)
    assert opens(code)

    assert open_("00000-00000").status == 404
    refused = open_("00000-00001")

    assert (refused.status, refused.code) == (429, "too_many_attempts")
    assert 0 < int(refused.headers["retry-after"]) <= 900
    before = stored()
    assert open_(code).status == page(code).status == open_("nope").status == 429
    assert stored() == before
    clock.advance(seconds=901)
    assert opens(code)


def guess_in_vain(guess: Callable[[str, str], object], number: int) -> None:
    with pytest.raises(Exception, match="nothing to be heard"):
        guess(f"zzzzz-zz{number:03}", "127.0.0.1")


def test_another_source_can_open_it_meanwhile(
    phone: Phone, id: str, configure: Callable[..., None]
) -> None:
    configure(wrong_codes_per_source=1)
    code = code_of(phone, id)
    assert [open_("nope").status, open_(code).status] == [404, 429]

    assert wiring.services().links.open(code, "192.0.2.1").shared.size == len(SOUND)


def test_a_link_is_opened_so_often_in_an_hour_and_not_written_each_time(
    phone: Phone, id: str, clock: Clock, configure: Callable[..., None], faults: Faults
) -> None:
    configure(opens_per_link=200)
    code = code_of(phone, id)
    open_once = wiring.services().links.open

    calls = faults.calls_of(lambda: [open_once(code, "192.0.2.1") for _ in range(200)])
    refused = open_(code)

    assert calls.count("dynamodb.UpdateItem") == 100
    assert (refused.status, refused.code, page(code).status) == (429, "too_many_attempts", 429)
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    clock.advance(seconds=3600)
    assert opens(code)


def test_what_other_processes_noted_counts(
    phone: Phone, id: str, configure: Callable[..., None]
) -> None:
    configure(opens_per_link=4)
    code = code_of(phone, id)
    assert [open_(code).status for _ in range(3)] == [200] * 3

    configure(opens_per_link=4)

    assert [open_(code).status for _ in range(2)] == [200, 429]


def test_a_bound_of_one_is_exact_and_each_link_has_its_own(
    phone: Phone, id: str, configure: Callable[..., None]
) -> None:
    configure(opens_per_link=1)
    first, second = code_of(phone, id), code_of(phone, id)

    assert [open_(each).status for each in (first, first, second)] == [200, 429, 200]


def test_without_bounds_nothing_is_counted(
    phone: Phone, id: str, configure: Callable[..., None], faults: Faults
) -> None:
    configure(opens_per_link=0, wrong_codes_per_source=0)
    code = code_of(phone, id)

    calls = faults.calls_of(lambda: [open_(code), open_("nope"), open_("zzzzz-zzzzz")])

    assert set(calls) == {"dynamodb.BatchGetItem"}


# What a stranger can learn


def test_a_stranger_learns_no_more_than_the_contract_says(phone: Phone, id: str) -> None:
    phone.patch(f"/recordings/{id}", {"tags": ["secret tag"], "notes": "secret notes"})
    code = code_of(phone, id)

    shared, shown = open_(code), page(code)

    assert set(shared.json) == {"content_type", "size", "duration_ms", "audio"}
    assert set(shared.json["audio"]) == {"url", "expires_at"}
    query = parse_qs(urlsplit(shared.json["audio"]["url"]).query)
    assert query["response-content-disposition"] == [
        "inline; filename=\"recording.m4a\"; filename*=UTF-8''recording.m4a"
    ]
    for told in (str(shared), str(shown)):
        for secret in ("Interview", "Ann", "secret", phone.email, SOUND.hex()):
            assert secret not in told
    for answer in (shared, shown):
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-robots-tag"].startswith("noindex")


def test_nor_by_what_s3_answers(phone: Phone, id: str) -> None:
    answer = httpx.get(open_(code_of(phone, id)).json["audio"]["url"], verify=NO_TLS)

    assert answer.headers["content-disposition"].startswith('inline; filename="recording.m4a"')
    assert "Interview" not in str(answer.headers)


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("audio/webm", "recording.webm"),
        ("audio/ogg", "recording.ogg"),
        ("audio/x-unheard-of", "recording"),
    ],
)
def test_what_is_saved_is_called_by_its_type(phone: Phone, content_type: str, name: str) -> None:
    id = phone.upload(SOUND, content_type=content_type, file_name="Ann.m4a")

    url = open_(code_of(phone, id)).json["audio"]["url"]

    (disposition,) = parse_qs(urlsplit(url).query)["response-content-disposition"]
    assert disposition.startswith(f'inline; filename="{name}"')


def test_with_show_name_the_title_is_told_as_it_is_now(phone: Phone, id: str) -> None:
    code = code_of(phone, id, show_name=True)
    phone.patch(f"/recordings/{id}", {"file_name": "A talk.m4a"})

    shared = open_(code).json

    assert shared["file_name"] == "A talk.m4a"
    assert "A%20talk.m4a" in shared["audio"]["url"]
    assert "<h1>A talk.m4a</h1>" in page(code).text


def test_no_link_is_in_the_log(phone: Phone, id: str, lines: Any) -> None:
    code = code_of(phone, id)
    page(code)
    open_("zzzzz-zzzzz")

    logged = str(lines())

    assert "/s/{code}" in logged
    assert code not in logged
    assert code.replace("-", "") not in logged
    assert "zzzzz" not in logged


def test_a_link_is_found_by_its_code_alone(phone: Phone, id: str, stored: Stored) -> None:
    code = code_of(phone, id)

    (item,) = stored(link_key(code.replace("-", ""))["pk"])

    assert (item["user_id"], item["recording_id"]) == (phone.user_id, id)
    assert {"email", "file_name"}.isdisjoint(item)
