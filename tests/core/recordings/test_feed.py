"""The feed: what changed, so that another device stays in step."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chalicelib.aws.dynamodb.items import Item, account_key
from tests.conftest import DEEP, Clock
from tests.support.phone import Answer, Phone

SOUND = b"some sound"

Changes = list[dict[str, Any]]


def ask(phone: Phone, since: str | None = None, **query: object) -> Answer:
    return phone.get(
        "/recordings/changes", query=query | ({} if since is None else {"since": since})
    )


def read(phone: Phone, since: str | None = None, **query: object) -> tuple[Changes, str]:
    """One page, and the cursor after it."""
    answer = ask(phone, since, **query).json
    return answer["changes"], answer["cursor"]


def pages(phone: Phone, since: str | None = None, **query: object) -> Iterator[tuple[Changes, str]]:
    """Each page up to the end, with the cursor after it."""
    more = True
    while more:
        answer = ask(phone, since, **query).json
        since, more = answer["cursor"], answer["more"]
        yield answer["changes"], answer["cursor"]


def walk(phone: Phone, since: str | None = None, **query: object) -> tuple[Changes, str]:
    """All there is up to the end, and the cursor there."""
    read = list(pages(phone, since, **query))
    return [change for changes, _ in read for change in changes], read[-1][1]


def ids(changes: Changes) -> list[str]:
    return [change["id"] for change in changes]


def uploaded(phone: Phone, count: int) -> list[str]:
    return [phone.upload_directly(SOUND) for _ in range(count)]


def rename(phone: Phone, id: str) -> None:
    phone.patch(f"/recordings/{id}", {"file_name": "renamed.m4a"})


def at_rest(phone: Phone, clock: Clock) -> str:
    """The cursor of somebody who has come to the end, when what they read will not come again."""
    clock.advance(minutes=2)
    _, cursor = walk(phone)
    clock.advance(minutes=2)
    return cursor


# What is told, and in which order.


def test_changes_are_told_oldest_first(phone: Phone) -> None:
    first, second, third = uploaded(phone, 3)
    rename(phone, second)

    assert ids(read(phone)[0]) == [first, third, second]


def test_a_change_is_the_whole_recording(phone: Phone) -> None:
    id = phone.upload_directly(SOUND)
    phone.patch(f"/recordings/{id}", {"notes": "Said twice", "tags": ["work"]})
    [change], _ = read(phone)

    found = phone.get(f"/recordings/{id}").json
    found.pop("audio")
    assert change == found


@pytest.mark.parametrize("status", ["uploading", "trashed"])
def test_what_is_under_way_or_in_the_trash_is_told_as_such(phone: Phone, status: str) -> None:
    id = phone.deliver(SOUND)
    if status == "trashed":
        phone.complete(id)
        phone.delete(f"/recordings/{id}")
    [change], _ = read(phone)

    assert (change["status"], "purge_at" in change) == (status, status == "trashed")
    assert change["size"] == len(SOUND)


def test_of_a_deletion_nothing_is_told_but_that_and_when(phone: Phone, clock: Clock) -> None:
    id = phone.upload_directly(SOUND)
    cursor = at_rest(phone, clock)
    phone.delete_for_good(id)
    [change], _ = read(phone, cursor)

    assert change == {"id": id, "status": "deleted", "version": 3} | {
        "updated_at": change["updated_at"]
    }


def test_a_deletion_is_told_after_it_is_settled_too(
    phone: Phone, clock: Clock, run_down: Callable[[], None]
) -> None:
    id = phone.upload_directly(SOUND)
    cursor = at_rest(phone, clock)
    phone.delete_for_good(id)
    run_down()

    assert [(change["id"], change["status"]) for change in read(phone, cursor)[0]] == [
        (id, "deleted")
    ]


def test_what_expired_is_told_as_deleted_and_begun_again_as_newer(
    phone: Phone, run_down: Callable[[], None]
) -> None:
    id = phone.announce(SOUND).json["recording"]["id"]
    run_down()
    [expired], _ = read(phone)
    phone.announce(SOUND, id=id)
    [begun], _ = read(phone)

    assert (expired["status"], begun["status"]) == ("deleted", "uploading")
    assert begun["version"] > expired["version"]


def test_nobody_elses_changes_are_told(phone: Phone, other: Phone) -> None:
    mine = phone.upload_directly(SOUND)
    other.upload_directly(SOUND)

    assert ids(read(phone)[0]) == [mine]


def test_with_anothers_cursor_only_ones_own_changes_are_told(phone: Phone, other: Phone) -> None:
    uploaded(other, 2)
    _, cursor = read(other, limit=1)
    mine = phone.upload_directly(SOUND)

    assert ids(read(phone, cursor)[0]) == [mine]


# Pages.


def test_a_walk_in_pages_of_any_size_tells_each_change_once(phone: Phone) -> None:
    recordings = uploaded(phone, 4)

    for limit in (1, 2, 3, 4, 100):
        assert all(len(changes) <= limit for changes, _ in pages(phone, limit=limit))
        assert ids(walk(phone, limit=limit)[0]) == recordings


def test_more_says_whether_there_is_more(phone: Phone) -> None:
    uploaded(phone, 2)

    assert ask(phone, limit=1).json["more"] is True
    assert ask(phone, limit=2).json["more"] is False


def test_a_page_has_1_to_100_changes(phone: Phone) -> None:
    for limit in ("0", "101", "-1", "1.5", "many", ""):
        answer = ask(phone, limit=limit)
        assert (answer.status, answer.code, answer.fields) == (400, "invalid_request", ["limit"])


def test_changes_of_one_moment_are_told_once_each(phone: Phone, clock: Clock) -> None:
    clock.stop(clock())
    recordings = uploaded(phone, 3)

    assert sorted(ids(walk(phone, limit=1)[0])) == sorted(recordings)


# Going on.


def test_a_cursor_of_an_empty_account_goes_on(phone: Phone, clock: Clock) -> None:
    changes, cursor = read(phone)
    clock.advance(days=30)
    id = phone.upload_directly(SOUND)

    assert changes == []
    assert ids(read(phone, cursor)[0]) == [id]


def test_what_is_long_known_is_not_told_again(phone: Phone, clock: Clock) -> None:
    uploaded(phone, 3)

    assert read(phone, at_rest(phone, clock))[0] == []


def test_what_just_changed_is_told_again_as_the_same_version(phone: Phone) -> None:
    phone.upload_directly(SOUND)
    told, cursor = read(phone)

    assert read(phone, cursor)[0] == told


def test_what_changes_during_a_walk_is_told_by_its_end(phone: Phone, clock: Clock) -> None:
    known, unknown = uploaded(phone, 2)
    clock.advance(minutes=2)
    [first], cursor = read(phone, limit=1)
    rename(phone, known)
    rename(phone, unknown)
    changes, _ = walk(phone, cursor, limit=1)

    assert first["id"] == known
    assert [(each["id"], each["file_name"]) for each in changes] == [
        (known, "renamed.m4a"),
        (unknown, "renamed.m4a"),
    ]


def test_what_a_slow_clock_wrote_during_a_walk_is_told_after_it(phone: Phone, clock: Clock) -> None:
    late, *_ = uploaded(phone, 3)
    _, cursor = read(phone, limit=2)
    # Behind what has been read by now.
    clock.advance(seconds=-15)
    rename(phone, late)
    clock.advance(minutes=3)
    rest, cursor = walk(phone, cursor, limit=1)

    assert late not in ids(rest)
    assert late in ids(read(phone, cursor)[0])


@pytest.mark.parametrize("seconds", [-15, 15])
def test_what_another_clock_wrote_after_a_reading_is_told_at_the_next(
    phone: Phone, clock: Clock, seconds: int
) -> None:
    """Also when a change that was told before claims to be younger."""
    cursor = at_rest(phone, clock)
    clock.advance(seconds=-seconds)
    uploaded(phone, 1)
    clock.advance(seconds=seconds)
    _, cursor = read(phone, cursor)
    clock.advance(seconds=seconds)
    id = phone.upload_directly(SOUND)
    clock.advance(seconds=-seconds)

    assert id in ids(read(phone, cursor)[0])


# A device that reads now and then, while others write by clocks that differ, knows all in the end.

WRITERS = st.integers(-14, 14)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), WRITERS),
        st.tuples(st.sampled_from(["rename", "trash", "restore", "delete"]), WRITERS),
        st.tuples(st.just("read"), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.integers(1, 80)),
    ),
    max_size=25,
)


class Device:
    """What another device knows: of each recording, the latest version it was told."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self._cursor: str | None = None

    def read(self, phone: Phone, limit: int) -> bool:
        """Read a page; whether there is more."""
        answer = ask(phone, self._cursor, limit=limit).json
        self._cursor = answer["cursor"]
        for change in answer["changes"]:
            known = self.known.get(change["id"], change)
            assert known["version"] != change["version"] or known == change
            if known["version"] <= change["version"]:
                self.known[change["id"]] = change
        return bool(answer["more"])


def write(phone: Phone, what: str, number: int, recordings: list[str]) -> None:
    if what == "write":
        recordings.append(phone.upload_directly(SOUND))
        return
    path = f"/recordings/{recordings[number % len(recordings)]}" if recordings else "/me"
    if what == "rename":
        phone.patch(path, {"notes": str(number)} if recordings else {"name": None})
    elif what == "restore" and recordings:
        phone.post(f"{path}/restore")
    elif recordings:
        phone.delete(path, query={"permanent": str(what == "delete").lower()})


@hypothesis_settings(
    max_examples=200 if DEEP else 12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_no_change_is_ever_missed(
    clock: Clock, stored: Callable[..., list[Item]], steps: list[tuple[str, int]]
) -> None:
    phone, device, recordings = Phone().sign_up(), Device(), list[str]()
    for number, (what, amount) in enumerate(steps):
        if what == "read":
            device.read(phone, amount)
        elif what == "wait":
            clock.advance(seconds=amount)
        else:
            clock.advance(seconds=amount)
            write(phone, what, number, recordings)
            clock.advance(seconds=-amount)
    while device.read(phone, 2):
        pass
    # What was written while the last walk was under way, behind it.
    while device.read(phone, 100):
        pass

    items = stored(account_key(phone.user_id)["pk"])
    truth = {item["id"]: (item["version"], item["status"]) for item in items if "status" in item}
    told = {id: (each["version"], each["status"]) for id, each in device.known.items()}
    assert told == truth


# Cursors that are too old.


def test_a_cursor_of_80_days_ago_goes_on(phone: Phone, clock: Clock) -> None:
    id = phone.upload_directly(SOUND)
    cursor = at_rest(phone, clock)
    clock.advance(days=80)
    phone.tokens = phone.log_in().json
    phone.delete_for_good(id)

    assert [change["status"] for change in read(phone, cursor)[0]] == ["deleted"]


def test_a_cursor_of_90_days_ago_has_expired(phone: Phone, clock: Clock) -> None:
    cursor = at_rest(phone, clock)
    clock.advance(days=90)
    phone.tokens = phone.log_in().json
    answer = ask(phone, cursor)

    assert (answer.status, answer.code) == (410, "cursor_expired")
    assert ask(phone).status == 200


def test_who_asks_now_and_then_never_has_to_start_afresh(phone: Phone, clock: Clock) -> None:
    cursor = at_rest(phone, clock)
    for _ in range(5):
        clock.advance(days=80)
        phone.tokens = phone.log_in().json
        changes, cursor = read(phone, cursor)
        assert changes == []


def test_a_first_walk_may_be_interrupted_for_80_days(phone: Phone, clock: Clock) -> None:
    recordings = uploaded(phone, 2)
    clock.advance(days=100)
    phone.tokens = phone.log_in().json
    _, cursor = read(phone, limit=1)
    clock.advance(days=80)
    phone.tokens = phone.log_in().json

    assert ids(read(phone, cursor)[0]) == recordings[1:]


def test_a_walk_that_outlasts_the_memory_of_deletions_has_expired(
    phone: Phone, clock: Clock
) -> None:
    """It began in time, but what was deleted just after its beginning is forgotten by now."""
    cursor = at_rest(phone, clock)
    uploaded(phone, 3)
    clock.advance(days=80)
    phone.tokens = phone.log_in().json
    _, cursor = read(phone, cursor, limit=1)
    clock.advance(days=10)

    assert ask(phone, cursor).status == 410


# What is no cursor.


def as_cursor(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


NOW = "2026-01-01T00:00:00Z"


def test_what_is_no_cursor_is_refused_by_name(phone: Phone) -> None:
    for cursor in (
        "",
        "x",
        "=",
        "%00",
        "null",
        "ümlaut",
        "a" * 301,
        as_cursor(None),
        as_cursor([]),
        as_cursor({}),
        as_cursor([NOW]),
        as_cursor([NOW, NOW, 1]),
        as_cursor([NOW, NOW, "", "soon"]),
        as_cursor([NOW, NOW, "", None, None]),
        as_cursor(["2026-01-01T00:00:00", NOW]),
        as_cursor([NOW, "0001-01-01T00:00:00+23:59"]),
        as_cursor([NOW, NOW, "", "9999-12-31T23:59:59-23:59"]),
        as_cursor([NOW, NOW, "\ud800"]),
        base64.urlsafe_b64encode(b'["\xff"]').decode(),
    ):
        answer = ask(phone, cursor)
        told = answer.status, answer.code, answer.fields
        assert told == (400, "invalid_request", ["since"]), cursor


TIMES = st.one_of(st.datetimes().map(lambda at: at.isoformat() + "Z"), st.text(max_size=30))
FORGED = st.one_of(
    st.text(max_size=320),
    st.lists(st.one_of(TIMES, st.none(), st.integers()), max_size=5).map(as_cursor),
    st.tuples(st.just(NOW), TIMES, st.text(max_size=30), TIMES).map(as_cursor),
)


@hypothesis_settings(
    max_examples=500 if DEEP else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cursor=FORGED)
def test_no_forged_cursor_does_harm(phone: Phone, cursor: str) -> None:
    answer = ask(phone, cursor)

    assert answer.status in {200, 400, 410}
    if answer.status == 400:
        assert answer.fields == ["since"]
    if answer.status == 200:
        assert ask(phone, answer.json["cursor"]).status in {200, 410}
