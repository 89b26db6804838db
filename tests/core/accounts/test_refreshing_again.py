"""A refresh whose answer was lost, and a token that was stolen: which is which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import session_key, to_attributes
from chalicelib.core.accounts.sessions import MOST_REPLACED
from chalicelib.settings import Settings
from tests.conftest import Clock
from tests.support.faults import Faults
from tests.support.forger import decoded
from tests.support.phone import Answer, Phone

Tokens = dict[str, Any]


def refresh(phone: Phone, tokens: Tokens) -> Answer:
    return phone.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]})


def use(phone: Phone, tokens: Tokens) -> Answer:
    return phone.get("/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})


def assert_stolen(phone: Phone, tokens: Tokens, *others: Tokens) -> None:
    """The token was reused, and with it all others of the session are over."""
    assert refresh(phone, tokens).code == "refresh_token_reused"
    for each in others:
        assert refresh(phone, each).code == use(phone, each).code == "not_authenticated"


@pytest.mark.parametrize("days", [0.001, 1, 59])
def test_a_refresh_whose_answer_was_lost_can_be_repeated_however_long_the_phone_slept(
    phone: Phone, clock: Clock, days: float
) -> None:
    lost = refresh(phone, phone.tokens).json
    clock.advance(days=days)

    again = refresh(phone, phone.tokens)

    assert (again.status, again.json["refresh_token"]) == (200, lost["refresh_token"])
    assert use(phone, again.json).status == 200


def test_it_can_be_repeated_as_often_as_it_is_lost(phone: Phone, clock: Clock) -> None:
    answers = []
    for _ in range(4):
        answers.append(refresh(phone, phone.tokens).json["refresh_token"])
        clock.advance(hours=8)

    assert len(set(answers)) == 1


def test_once_the_access_token_that_came_with_it_was_used_it_cannot(
    phone: Phone, clock: Clock
) -> None:
    new = refresh(phone, phone.tokens).json
    assert use(phone, new).status == 200
    clock.advance(seconds=61)

    assert_stolen(phone, phone.tokens, new)


def test_once_its_successor_was_used_it_cannot(phone: Phone, clock: Clock) -> None:
    new = refresh(phone, phone.tokens).json
    clock.advance(seconds=61)
    newer = refresh(phone, new).json

    assert_stolen(phone, phone.tokens, new, newer)


def test_the_access_token_of_a_repetition_counts_as_well(phone: Phone, clock: Clock) -> None:
    refresh(phone, phone.tokens)
    clock.advance(hours=1)
    again = refresh(phone, phone.tokens).json
    use(phone, again)

    assert_stolen(phone, phone.tokens, again)


def test_an_access_token_from_before_is_no_sign_that_the_answer_arrived(
    phone: Phone, clock: Clock
) -> None:
    refresh(phone, phone.tokens)
    assert use(phone, phone.tokens).status == 200
    clock.advance(seconds=61)

    assert refresh(phone, phone.tokens).status == 200


def test_for_a_minute_it_works_whatever_happens(phone: Phone, clock: Clock) -> None:
    """Threads of one app refresh at once, and what one of them got is used at once."""
    first = refresh(phone, phone.tokens).json
    use(phone, first)
    clock.advance(seconds=20)
    second = refresh(phone, first).json
    use(phone, second)
    clock.advance(seconds=38)

    assert refresh(phone, phone.tokens).json["refresh_token"] == second["refresh_token"]
    assert refresh(phone, first).json["refresh_token"] == second["refresh_token"]
    assert refresh(phone, second).status == 200


def test_a_minute_is_counted_from_ones_own_replacement(phone: Phone, clock: Clock) -> None:
    first = refresh(phone, phone.tokens).json
    clock.advance(seconds=40)
    second = refresh(phone, first).json
    clock.advance(seconds=30)

    assert refresh(phone, first).json["refresh_token"] == second["refresh_token"]
    assert_stolen(phone, phone.tokens, second)


def test_a_thiefs_copy_ends_the_session_as_soon_as_both_were_used(
    phone: Phone, clock: Clock
) -> None:
    copied = phone.tokens
    new = refresh(phone, copied).json  # By whoever was quicker; the other one has `copied` yet.
    clock.advance(minutes=16)
    use(phone, new)

    assert_stolen(phone, copied, new)


def test_a_thief_who_got_the_same_answer_is_found_at_the_next(phone: Phone, clock: Clock) -> None:
    both = refresh(phone, phone.tokens).json
    clock.advance(minutes=16)
    phones = refresh(phone, both).json
    use(phone, phones)
    clock.advance(minutes=16)

    assert_stolen(phone, both, phones)


def test_a_session_is_refreshed_so_often_in_a_minute_and_forgets_none_of_it(
    phone: Phone, clock: Clock
) -> None:
    newest = phone.tokens
    for _ in range(MOST_REPLACED):
        newest = refresh(phone, newest).json

    once_more = refresh(phone, newest)

    assert once_more.code == "too_many_attempts"
    assert 50 < int(once_more.headers["retry-after"]) <= 60
    assert refresh(phone, phone.tokens).json["refresh_token"] == newest["refresh_token"]
    clock.advance(seconds=61)
    assert refresh(phone, newest).status == 200


# What it costs


def test_that_a_token_was_used_is_written_once(phone: Phone, faults: Faults) -> None:
    new = refresh(phone, phone.tokens).json
    calls = faults.record()

    for _ in range(3):
        use(phone, new)

    assert [call.name for call in calls].count("dynamodb.UpdateItem") == 1


def test_of_a_session_that_was_never_refreshed_nothing_is_written(
    phone: Phone, faults: Faults
) -> None:
    calls = faults.record()

    phone.get("/me")

    assert "dynamodb.UpdateItem" not in [call.name for call in calls]


def test_a_use_that_could_not_be_written_can_be_tried_again(phone: Phone, faults: Faults) -> None:
    new = refresh(phone, phone.tokens).json
    faults.refuse("dynamodb", "UpdateItem", times=1)

    assert use(phone, new).status == 503
    assert use(phone, new).status == 200


def test_a_use_of_what_is_replaced_meanwhile_is_no_use_of_its_successor(
    phone: Phone, faults: Faults, clock: Clock
) -> None:
    first = refresh(phone, phone.tokens).json
    faults.meanwhile("dynamodb", "UpdateItem", lambda: refresh(phone, first))
    assert use(phone, first).status == 200
    clock.advance(seconds=61)

    assert refresh(phone, first).status == 200


# What an earlier version of the app stored, and issued


@pytest.fixture
def find_session(settings: Settings, onlookers: Clients) -> Callable[[Phone], Tokens]:
    """Reads a phone's session."""

    def read(phone: Phone) -> Tokens:
        key = to_attributes(session_key(phone.user_id, phone.session_id))
        item: Any = onlookers.dynamodb.get_item(TableName=settings.table, Key=key)["Item"]
        return {name: next(iter(value.values())) for name, value in item.items()}

    return read


@pytest.fixture
def age(settings: Settings, clients: Clients) -> Callable[[Phone], None]:
    """Makes a session one that was refreshed before rotations were counted."""

    def age(phone: Phone) -> None:
        clients.dynamodb.update_item(
            TableName=settings.table,
            Key=to_attributes(session_key(phone.user_id, phone.session_id)),
            UpdateExpression="REMOVE rotation, used_rotation, earlier",
        )

    return age


def test_a_session_of_an_earlier_version_goes_on(
    phone: Phone, age: Callable[[Phone], None], clock: Clock
) -> None:
    replaced = phone.tokens
    phone.tokens = refresh(phone, replaced).json
    age(phone)

    assert use(phone, phone.tokens).status == 200
    assert refresh(phone, replaced).json["refresh_token"] == phone.tokens["refresh_token"]
    newer = refresh(phone, phone.tokens).json
    clock.advance(seconds=61)
    assert use(phone, newer).status == 200
    assert_stolen(phone, replaced, newer)


def test_an_access_token_says_of_which_rotation_it_is_only_if_it_is_of_one(phone: Phone) -> None:
    new = refresh(phone, phone.tokens).json

    claims = [decoded(each["access_token"].split(".")[1]) for each in (phone.tokens, new)]
    assert [each.get("rot") for each in claims] == [None, 1]
