"""Sessions: staying logged in, listing and ending sessions, and what ends with one, at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chalicelib.api import http
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, account_key, to_attributes
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from tests.conftest import Clock
from tests.support.faults import Faults
from tests.support.phone import Answer, Phone
from tests.support.routes import GUARDED, path_of

End = Callable[[Phone], object]
Stored = Callable[..., list[Item]]


def refresh(phone: Phone, token: str) -> Answer:
    return phone.post("/auth/refresh", {"refresh_token": token})


def refreshed(phone: Phone, token: str) -> str:
    answer = refresh(phone, token)
    assert answer.status == 200, answer.text
    return str(answer.json["refresh_token"])


def token_of(phone: Phone) -> str:
    return str(phone.tokens["refresh_token"])


def log_out(phone: Phone, token: str | None = None) -> Answer:
    return phone.post("/auth/logout", {"refresh_token": token or token_of(phone)})


def assert_over(answer: Answer) -> None:
    assert (answer.status, answer.code) == (401, "not_authenticated")


@pytest.fixture
def close(clients: Clients, settings: Settings) -> End:
    """Begins to close an account: its address goes first."""

    def close(phone: Phone) -> None:
        clients.dynamodb.update_item(
            TableName=settings.table,
            Key=to_attributes(account_key(phone.user_id)),
            UpdateExpression="REMOVE email",
        )

    return close


# The gate


def test_an_access_token_ends_with_its_session(phone: Phone) -> None:
    tablet = phone.on_another_device()

    log_out(phone)

    for route in GUARDED:
        assert_over(phone.call(route.method, path_of(route, phone.session_id)))
    assert tablet.get("/me").status == 200


def test_an_access_token_is_worth_nothing_once_its_session_expired(
    phone: Phone, clock: Clock
) -> None:
    clock.advance(days=60, seconds=1)

    assert_over(phone.get("/me"))


def test_an_account_that_is_being_closed_is_none(phone: Phone, close: End) -> None:
    close(phone)

    assert_over(phone.get("/me"))
    assert_over(phone.refresh())
    assert phone.log_in().code == "invalid_credentials"


def test_an_account_that_began_to_be_closed_meanwhile_is_not_changed(
    phone: Phone, faults: Faults, close: End
) -> None:
    faults.meanwhile("dynamodb", "UpdateItem", lambda: close(phone))

    assert_over(phone.patch("/me", {"name": "Ann"}))


def test_the_gate_asks_once_for_what_was_last_written(phone: Phone, faults: Faults) -> None:
    calls = faults.record()
    asked = faults.asked("dynamodb", "BatchGetItem")

    phone.get("/recordings")

    assert [call.name for call in calls].count("dynamodb.BatchGetItem") == 1
    (tables,) = asked
    assert all(table["ConsistentRead"] for table in tables["RequestItems"].values())


def test_a_gate_that_cannot_tell_lets_nobody_in(
    phone: Phone, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "SECONDS", 6)  # There is time for one try.
    faults.refuse("dynamodb", "BatchGetItem", status=200, Responses={}, UnprocessedKeys={"t": {}})

    answer = phone.get("/me")

    assert (answer.status, answer.code) == (503, "unavailable")


# Listing


def listed(phone: Phone) -> list[dict[str, Any]]:
    sessions: list[dict[str, Any]] = phone.get("/me/sessions").json["sessions"]
    return sessions


def test_every_session_is_listed_newest_first(phone: Phone, other: Phone) -> None:
    tablet = phone.on_another_device(device="tablet")

    assert [each["id"] for each in listed(phone)] == [tablet.session_id, phone.session_id]
    assert [each["device"] for each in listed(phone)] == ["tablet", None]
    assert [each["id"] for each in listed(other)] == [other.session_id]


def test_the_session_that_asks_is_the_current_one(phone: Phone) -> None:
    tablet = phone.on_another_device()

    assert [each["current"] for each in listed(phone)] == [False, True]
    assert [each["current"] for each in listed(tablet)] == [True, False]


def test_a_session_shows_no_secret(phone: Phone) -> None:
    (session,) = listed(phone)

    assert set(session) == {"id", "device", "created_at", "last_used_at", "current"}


def test_a_refresh_is_a_use(phone: Phone, clock: Clock) -> None:
    clock.advance(days=1)
    phone.refresh()

    (session,) = listed(phone)

    assert session["last_used_at"] > session["created_at"]


def test_a_session_that_is_over_is_not_listed(phone: Phone, clock: Clock) -> None:
    phone.on_another_device()
    clock.advance(days=59)
    phone.tokens = phone.log_in().json
    clock.advance(days=2)

    assert [each["id"] for each in listed(phone)] == [phone.session_id]


def test_listing_sessions_is_one_query(phone: Phone, faults: Faults) -> None:
    for _ in range(3):
        phone.on_another_device()
    calls = faults.record()

    listed(phone)

    assert [call.name for call in calls].count("dynamodb.Query") == 1


# Ending


def end(phone: Phone, session_id: str) -> Answer:
    return phone.delete(f"/me/sessions/{session_id}")


def test_a_session_that_is_ended_is_over_at_once(phone: Phone) -> None:
    tablet = phone.on_another_device()

    answer = end(phone, tablet.session_id)

    assert (answer.status, answer.text) == (204, "")
    assert_over(tablet.get("/me"))
    assert_over(tablet.refresh())
    assert [each["id"] for each in listed(phone)] == [phone.session_id]
    assert end(phone, tablet.session_id).status == 204


def test_ones_own_session_can_be_ended(phone: Phone) -> None:
    assert end(phone, phone.session_id).status == 204
    assert_over(phone.get("/me"))


def test_a_session_that_never_was_is_not_found(phone: Phone) -> None:
    answer = end(phone, uuid7())

    assert (answer.status, answer.code) == (404, "not_found")


def test_somebody_elses_session_is_not_found_and_goes_on(phone: Phone, other: Phone) -> None:
    assert end(other, phone.session_id).code == "not_found"
    assert phone.get("/me").status == 200


def test_a_session_that_is_ended_during_its_refresh_stays_ended(
    phone: Phone, faults: Faults, services: Services
) -> None:
    faults.meanwhile(
        "dynamodb", "UpdateItem", lambda: services.sessions.end(phone.user_id, phone.session_id)
    )

    assert_over(phone.refresh())
    assert_over(phone.get("/me"))


def test_a_session_that_could_not_be_ended_can_be_tried_again(phone: Phone, faults: Faults) -> None:
    tablet = phone.on_another_device()
    faults.refuse("dynamodb", "UpdateItem", times=1)

    assert end(phone, tablet.session_id).status == 503
    assert end(phone, tablet.session_id).status == 204
    assert_over(tablet.get("/me"))


@pytest.mark.usefixtures("phone")
def test_the_store_forgets_a_session_a_month_after_it_expires(stored: Stored) -> None:
    (ttl,) = [item["ttl"] for item in stored() if item["sk"].startswith("SESSION#")]

    assert abs(ttl - time.time() - (60 + 30) * 86_400) < 60


def test_a_refresh_replaces_the_refresh_token(phone: Phone) -> None:
    answer = phone.refresh()
    replaced, phone.tokens = token_of(phone), answer.json

    assert answer.status == 200
    assert answer.json["refresh_token"] != replaced
    assert answer.json["user"] == phone.get("/me").json


def test_each_replacement_can_be_refreshed_in_turn(phone: Phone) -> None:
    tokens = [token_of(phone)]
    for _ in range(5):
        tokens.append(refreshed(phone, tokens[-1]))

    assert len(set(tokens)) == 6


def test_within_a_minute_the_old_token_gives_the_same_new_one(phone: Phone, clock: Clock) -> None:
    first = refreshed(phone, token_of(phone))

    clock.advance(seconds=58)

    assert refreshed(phone, token_of(phone)) == first
    assert refresh(phone, first).status == 200


def test_within_a_minute_a_new_key_in_front_gives_the_same_new_token_too(
    phone: Phone, configure: Callable[..., None], settings: Settings
) -> None:
    first = refreshed(phone, token_of(phone))

    configure(jwt_keys=f"new:{'n' * 40},{settings.jwt_keys}")

    assert refreshed(phone, token_of(phone)) == first
    assert refresh(phone, first).status == 200


def test_once_its_key_is_gone_a_refresh_cannot_be_repeated(
    phone: Phone, configure: Callable[..., None]
) -> None:
    replacement = refreshed(phone, token_of(phone))

    configure(jwt_keys=f"new:{'n' * 40}")

    assert phone.refresh().code == "not_authenticated"
    assert refresh(phone, replacement).status == 200


def test_reuse_ends_the_session_for_everybody(phone: Phone, clock: Clock) -> None:
    tablet = phone.on_another_device()
    replacement = refreshed(phone, refreshed(phone, token_of(phone)))
    clock.advance(seconds=61)

    answer = phone.refresh()

    assert (answer.status, answer.code) == (401, "refresh_token_reused")
    for token in (replacement, token_of(phone)):
        assert refresh(phone, token).code == "not_authenticated"
    assert tablet.refresh().status == 200


def test_ten_refreshes_at_once_leave_one_session_that_all_can_use(
    phone: Phone, services: Services
) -> None:
    at_once = threading.Barrier(10)

    def one_of_ten(_: int) -> str:
        at_once.wait()
        return services.sessions.refresh(token_of(phone), "192.0.2.1").refresh_token

    with ThreadPoolExecutor(10) as threads:
        answers = set(threads.map(one_of_ten, range(10)))

    assert len(answers) == 1
    assert refresh(phone, answers.pop()).status == 200


def test_a_refresh_that_another_one_overtakes_gives_the_same_token(
    phone: Phone, services: Services, faults: Faults
) -> None:
    quicker: list[str] = []
    faults.meanwhile(
        "dynamodb",
        "UpdateItem",
        lambda: quicker.append(
            services.sessions.refresh(token_of(phone), "192.0.2.1").refresh_token
        ),
    )

    assert [refreshed(phone, token_of(phone))] == quicker


def test_a_refresh_whose_answer_was_lost_is_repeated(phone: Phone, faults: Faults) -> None:
    faults.lose_the_answer("dynamodb", "UpdateItem", times=1)
    lost = phone.refresh()
    assert (lost.status, lost.code) == (503, "unavailable")

    replacement = refreshed(phone, token_of(phone))

    assert refresh(phone, replacement).status == 200


def test_a_refresh_that_the_table_refuses_changes_nothing(
    phone: Phone, stored: Stored, faults: Faults
) -> None:
    before = stored(f"USER#{phone.user_id}")
    faults.refuse("dynamodb", "UpdateItem")

    assert phone.refresh().status == 503
    assert stored(f"USER#{phone.user_id}") == before


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: "garbage",
        lambda token: token[:-1],
        lambda token: token[:50] + "\n" + token[50:],
        lambda token: token[:-43] + ("A" if token[-43] != "A" else "B") + token[-42:],
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "E"),
        lambda token: f"{uuid7()}{token[36:]}",
        lambda token: f"{token[:37]}{uuid7()}{token[73:]}",
        lambda token: token.upper(),
        lambda _: "\u00e9" * 117,
        lambda token: token.replace(".", "#"),
    ],
    ids=[
        *("garbage", "cut short", "newline", "another secret", "another last letter"),
        *("another user", "another session", "upper case", "not ASCII", "other dots"),
    ],
)
def test_a_refresh_token_that_is_not_ours_is_refused(
    phone: Phone, forge: Callable[[str], str]
) -> None:
    answer = refresh(phone, forge(token_of(phone)))

    assert (answer.status, answer.code) == (401, "not_authenticated")
    assert phone.refresh().status == 200


def test_somebody_elses_secret_does_not_open_a_session(phone: Phone, other: Phone) -> None:
    forged = token_of(phone)[:-43] + token_of(other)[-43:]

    assert refresh(phone, forged).code == "not_authenticated"


def test_an_access_token_is_no_refresh_token(phone: Phone) -> None:
    assert refresh(phone, phone.tokens["access_token"]).code == "not_authenticated"


def test_a_session_that_is_not_used_expires(phone: Phone, clock: Clock, stored: Stored) -> None:
    clock.advance(days=60, seconds=1)

    assert phone.refresh().code == "not_authenticated"
    # DynamoDB takes its time to delete what has expired.
    assert [item for item in stored(f"USER#{phone.user_id}") if item["sk"].startswith("SESSION#")]


def test_a_session_that_is_used_goes_on(phone: Phone, clock: Clock) -> None:
    token = token_of(phone)
    for _ in range(3):
        clock.advance(days=59)
        token = refreshed(phone, token)


def test_how_long_a_session_lasts_is_a_setting(
    nobody: Phone, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(refresh_token_days=1)
    nobody.sign_up()
    clock.advance(days=1, seconds=1)

    assert refresh(nobody, token_of(nobody)).status == 401


def test_a_refresh_is_one_read_and_one_conditional_write(phone: Phone, faults: Faults) -> None:
    calls, writes = faults.record(), faults.asked("dynamodb", "UpdateItem")

    assert phone.refresh().status == 200
    assert [call.name for call in calls] == ["dynamodb.BatchGetItem", "dynamodb.UpdateItem"]
    assert "#refresh_hash = :presented_hash" in writes[0]["ConditionExpression"]


def test_theft_is_logged_at_warning_and_without_the_token(
    phone: Phone, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    refreshed(phone, refreshed(phone, token_of(phone)))
    clock.advance(seconds=61)
    phone.refresh()

    (record,) = [
        each for each in caplog.records if each.name == "chalicelib.core.accounts.sessions"
    ]
    assert record.levelname == "WARNING"
    assert phone.session_id in record.getMessage()
    assert token_of(phone) not in caplog.text


def test_theft_ends_the_access_token_too(phone: Phone, clock: Clock) -> None:
    stolen = {"Authorization": f"Bearer {phone.refresh().json['access_token']}"}
    assert phone.get("/me", headers=stolen).status == 200
    clock.advance(seconds=61)
    phone.refresh()

    assert_over(phone.get("/me", headers=stolen))


# Logging out


def test_logging_out_ends_the_session(phone: Phone) -> None:
    answer = log_out(phone)

    assert (answer.status, answer.text) == (204, "")
    assert_over(phone.refresh())


def test_logging_out_again_is_no_error(phone: Phone) -> None:
    assert [log_out(phone).status for _ in range(2)] == [204, 204]


def test_logging_out_with_garbage_is_no_error(nobody: Phone) -> None:
    assert log_out(nobody, "garbage").status == 204


def test_logging_out_with_the_token_just_replaced_ends_the_session(phone: Phone) -> None:
    replacement = refreshed(phone, token_of(phone))

    assert log_out(phone).status == 204
    assert refresh(phone, replacement).status == 401


def test_a_stranger_who_knows_the_session_cannot_end_it(phone: Phone, other: Phone) -> None:
    forged = token_of(phone)[:-43] + token_of(other)[-43:]

    assert log_out(other, forged).status == 204
    assert phone.refresh().status == 200


def test_a_log_out_that_the_table_refuses_can_be_repeated(phone: Phone, faults: Faults) -> None:
    faults.refuse("dynamodb", "UpdateItem", times=1)
    assert log_out(phone).status == 503

    assert log_out(phone).status == 204
    assert phone.refresh().status == 401
