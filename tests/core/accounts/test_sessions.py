"""Sessions: listing and ending them, and what ends with one, at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app import app
from chalicelib.api.http import Endpoint, Route
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import account_key, to_attributes
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from tests.conftest import Clock
from tests.support.faults import Faults
from tests.support.phone import Answer, Phone
from tests.support.routes import path_of

End = Callable[[Phone], object]
ROUTES = [
    entry.view_function.route
    for methods in app.routes.values()
    for entry in methods.values()
    if isinstance(entry.view_function, Endpoint) and entry.view_function.route.auth
]


def log_out(phone: Phone) -> None:
    phone.post("/auth/logout", {"refresh_token": phone.tokens["refresh_token"]})


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


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_an_access_token_ends_with_its_session(phone: Phone, route: Route) -> None:
    log_out(phone)

    assert_over(phone.call(route.method, path_of(route, phone.session_id)))


def test_another_sessions_access_token_goes_on(phone: Phone) -> None:
    tablet = phone.on_another_device()

    log_out(phone)

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


def test_a_gate_that_cannot_tell_lets_nobody_in(phone: Phone, faults: Faults) -> None:
    faults.refuse("dynamodb", "BatchGetItem", status=200, Responses={}, UnprocessedKeys={"t": {}})

    answer = phone.get("/me")

    assert (answer.status, answer.code) == (503, "unavailable")


# Listing


def listed(phone: Phone) -> list[dict[str, Any]]:
    sessions: list[dict[str, Any]] = phone.get("/me/sessions").json["sessions"]
    return sessions


def test_every_session_is_listed_newest_first(phone: Phone) -> None:
    tablet = phone.on_another_device(device="tablet")

    assert [each["id"] for each in listed(phone)] == [tablet.session_id, phone.session_id]
    assert [each["device"] for each in listed(phone)] == ["tablet", None]


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


def test_somebody_elses_sessions_are_not_listed(phone: Phone, other: Phone) -> None:
    assert [each["id"] for each in listed(other)] == [other.session_id]
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


def test_ending_a_session_again_is_no_error(phone: Phone) -> None:
    tablet = phone.on_another_device()

    assert [end(phone, tablet.session_id).status for _ in range(2)] == [204, 204]


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


# Refreshing


def test_a_refresh_is_one_read_and_one_conditional_write(phone: Phone, faults: Faults) -> None:
    calls, writes = faults.record(), faults.asked("dynamodb", "UpdateItem")

    assert phone.refresh().status == 200
    assert [call.name for call in calls] == ["dynamodb.BatchGetItem", "dynamodb.UpdateItem"]
    assert "#refresh_hash = :presented_hash" in writes[0]["ConditionExpression"]


def test_theft_is_logged_at_warning_and_without_the_token(
    phone: Phone, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    phone.post("/auth/refresh", {"refresh_token": phone.refresh().json["refresh_token"]})
    clock.advance(seconds=61)
    phone.refresh()

    (record,) = [
        each for each in caplog.records if each.name == "chalicelib.core.accounts.sessions"
    ]
    assert record.levelname == "WARNING"
    assert phone.session_id in record.getMessage()
    assert phone.tokens["refresh_token"] not in caplog.text


def test_theft_ends_the_access_token_too(phone: Phone, clock: Clock) -> None:
    stolen = {"Authorization": f"Bearer {phone.refresh().json['access_token']}"}
    assert phone.get("/me", headers=stolen).status == 200
    clock.advance(seconds=61)
    phone.refresh()

    assert_over(phone.get("/me", headers=stolen))
