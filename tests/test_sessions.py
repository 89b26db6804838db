"""Sessions: what ends with one, at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app import app
from chalicelib.api.http import Endpoint, Route
from chalicelib.aws.clients import Clients
from chalicelib.aws.items import account_key, to_attributes
from chalicelib.settings import Settings
from tests.conftest import Clock
from tests.faults import Faults
from tests.phone import Answer, Phone

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

    assert_over(phone.call(route.method, route.path.replace("{id}", phone.session_id)))


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
    assert_over(phone.post("/auth/refresh", {"refresh_token": phone.tokens["refresh_token"]}))
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
