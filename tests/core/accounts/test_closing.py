"""Closing an account: it ends at once, and its address is free."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from chalicelib.aws.dynamodb.items import Item, account_key, identity_key
from chalicelib.models.requests import Proof
from chalicelib.wiring import Services
from tests.conftest import Clock, Left
from tests.support.faults import Faults
from tests.support.phone import PASSWORD, Answer, Phone

SOUND = b"some sound"


def close(phone: Phone, password: str = PASSWORD) -> Answer:
    return phone.delete("/me", body={"password": password})


# The account ends.


def test_an_account_closes_whichever_way_its_password_is_typed(nobody: Phone) -> None:
    composed, decomposed = "p\u00e4ssword", "pa\u0308ssword"
    nobody.tokens = nobody.post("/auth/signup", {"email": nobody.email, "password": composed}).json

    assert close(nobody, decomposed).status == 204


def test_a_log_in_that_the_closing_overtakes_begins_no_session(
    phone: Phone, services: Services, faults: Faults, left: Left, clear_away: Callable[[], None]
) -> None:
    account = services.sessions.authenticate(phone.token).account
    faults.meanwhile(
        "dynamodb",
        "PutItem",
        lambda: services.closing.close(account, Proof(password=PASSWORD), "192.0.2.1"),
    )

    tablet = phone.on_another_device()

    assert faults.met == 1
    assert tablet.get("/me").code == tablet.refresh().code == "not_authenticated"
    clear_away()
    assert left(phone) == []


def test_a_wrong_password_changes_nothing(phone: Phone, services: Services, clock: Clock) -> None:
    id = phone.upload(SOUND)
    before = phone.get("/me").json
    refused = close(phone, "wrong horse battery")
    clock.advance(minutes=10)
    services.upkeep.run()

    assert (refused.status, refused.code) == (401, "invalid_credentials")
    assert phone.get("/me").json == before
    assert phone.download(id).content == SOUND
    assert phone.log_in().status == 200


@pytest.mark.parametrize("body", [None, {}, {"password": None}])
def test_an_account_does_not_close_without_a_password(phone: Phone, body: object) -> None:
    assert phone.delete("/me", body=body).code == "invalid_request"
    assert phone.get("/me").status == 200


def test_tokens_end_with_the_account_on_every_device(phone: Phone) -> None:
    tablet = phone.on_another_device()

    answer = close(phone)

    assert (answer.status, answer.text) == (204, "")
    for device in (phone, tablet):
        assert device.get("/me").code == device.refresh().code == "not_authenticated"


def test_logging_in_to_a_closed_account_is_answered_as_for_an_unknown_address(
    phone: Phone, nobody: Phone
) -> None:
    close(phone)

    closed, unknown = phone.log_in(), nobody.log_in()
    assert closed.status == unknown.status == 401
    assert closed.json | {"request_id": ""} == unknown.json | {"request_id": ""}


def test_who_it_was_is_forgotten_at_once(phone: Phone, stored: Callable[..., list[Item]]) -> None:
    phone.patch("/me", {"name": "Ann"})
    close(phone)

    profile = {item["sk"]: item for item in stored(account_key(phone.user_id)["pk"])}["PROFILE"]
    assert {"email", "name", "password_hash"}.isdisjoint(profile)
    assert stored(identity_key(phone.email)["pk"]) == []


def test_the_password_cannot_be_guessed_by_closing_the_account(phone: Phone) -> None:
    answers = [phone.delete("/me", body={"password": f"wrong horse {n}"}).status for n in range(11)]

    assert answers == [401] * 10 + [429]
    assert phone.get("/me").status == 200


def test_a_password_that_was_changed_meanwhile_closes_no_account(
    phone: Phone, faults: Faults
) -> None:
    tablet = phone.on_another_device()
    body = {"current_password": PASSWORD, "new_password": "another battery, correctly"}
    change = partial(tablet.post, "/me/password", body)
    faults.meanwhile("dynamodb", "TransactWriteItems", change)

    assert close(phone).status == 503
    assert close(phone).status == 401
    assert tablet.get("/me").status == 200


# The address is free.


def again(phone: Phone) -> Phone:
    """Another phone, whose user signs up with the same address."""
    another = Phone()
    another.email = phone.email.upper()
    return another.sign_up()


def test_the_address_is_free_at_once_for_a_new_account_which_outlives_the_one_before(
    phone: Phone, clear_away: Callable[[], None], left: Left
) -> None:
    phone.upload(SOUND)
    close(phone)
    new = again(phone)
    assert new.user_id != phone.user_id
    assert new.usage() == (0, 0)
    id = new.upload(SOUND)
    clear_away()

    assert left(phone) == []
    assert new.log_in().status == 200
    assert new.listed() == [id]
    assert new.download(id).content == SOUND


def test_closing_too_late_leaves_the_next_account_its_address(phone: Phone, faults: Faults) -> None:
    tablet = phone.on_another_device()
    new: list[Phone] = []

    def begin_again() -> None:
        close(tablet)
        new.append(again(phone))

    faults.meanwhile("dynamodb", "TransactWriteItems", begin_again)

    assert close(phone).status == 204
    assert new[0].get("/me").status == new[0].log_in().status == 200


def test_an_account_that_is_closed_twice_at_once_is_closed(
    phone: Phone, clear_away: Callable[[], None], left: Left
) -> None:
    devices = [phone, phone.on_another_device()]
    at_once = threading.Barrier(2)

    def close_together(device: Phone) -> int:
        at_once.wait()
        return close(device).status

    with ThreadPoolExecutor(2) as threads:
        answers = set(threads.map(close_together, devices))
    assert answers in ({204}, {204, 401})
    clear_away()
    assert left(phone) == []
