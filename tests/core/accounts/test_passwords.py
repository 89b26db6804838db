"""Passwords: which will do, changing one, and setting another by mail."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from chalicelib.aws.dynamodb.items import Item
from chalicelib.core.accounts import passwords
from chalicelib.errors import RecorderError
from chalicelib.models.fields import PASSWORD_CHARACTERS, folded
from chalicelib.wiring import Services
from tests.conftest import Clock
from tests.support.faults import Faults
from tests.support.mail import delivered_to, link_for
from tests.support.phone import PASSWORD, Answer, Phone

NEW = "a quite different one"
SOURCE = "192.0.2.1"


def change(phone: Phone, current: str = PASSWORD, new: str = NEW) -> Answer:
    return phone.post("/me/password", {"current_password": current, "new_password": new})


def forgot(phone: Phone, email: str | None = None) -> Answer:
    return phone.post("/auth/password/forgot", {"email": email or phone.email})


def reset(phone: Phone, token: str, new: str = NEW) -> Answer:
    return phone.post("/auth/password/reset", {"token": token, "new_password": new})


def assert_over(answer: Answer) -> None:
    assert (answer.status, answer.code) == (401, "not_authenticated")


def assert_refused(answer: Answer, field: str) -> None:
    assert (answer.status, answer.code, answer.fields) == (400, "invalid_request", [field])


# Which will do


@pytest.mark.parametrize(
    "common",
    [
        *("password", "PassWord1", "12345678", "qwertyuiop", "iloveyou", "michelle"),
        *("administrator", "00000000", "12341234", "87654321", "abcdefgh", "12345678901"),
        *("123456123456", "12345678901234567890"),
    ],
)
def test_the_commonest_passwords_are_refused(nobody: Phone, common: str) -> None:
    assert_refused(
        nobody.post("/auth/signup", {"email": nobody.email, "password": common}), "password"
    )


def test_more_than_3000_of_the_commonest_passwords_are_on_the_list() -> None:
    would_do = [each for each in FREQUENCY_LISTS["passwords"] if len(each) >= PASSWORD_CHARACTERS]

    assert len(would_do) > 3000
    assert {folded(each) for each in would_do} <= passwords._commonest()


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ann.example@example.com", "Ann.Example@example.com"),
        ("ann.example@example.com", "ANN.EXAMPLE"),
        ("zo\u00e9-example@example.com", "zoe\u0301-example"),
        ("ann.example@b\u00fccher.example", "ann.example@xn--bcher-kva.example"),
    ],
    ids=["address", "before the @", "another normal form", "domain in ASCII"],
)
def test_ones_own_address_is_refused(nobody: Phone, email: str, password: str) -> None:
    assert_refused(nobody.post("/auth/signup", {"email": email, "password": password}), "password")


@pytest.mark.parametrize("plain", ["zzzzyyyyx", "        x", "only lower case", "98 217 35"])
def test_no_mixture_of_characters_is_asked_for(nobody: Phone, plain: str) -> None:
    answer = nobody.post("/auth/signup", {"email": nobody.email, "password": plain})

    assert answer.status == 201


@pytest.mark.parametrize("new", ["password", "a" * 7, "a" * 73])
def test_a_change_or_a_reset_to_a_bad_password_is_refused(phone: Phone, new: str) -> None:
    token = link_for(phone)

    assert_refused(change(phone, new=new), "new_password")
    assert_refused(reset(phone, token, new), "new_password")
    assert phone.log_in().status == 200
    assert reset(phone, token).status == 204


# Changing


def test_a_changed_password_is_the_one_that_logs_in(phone: Phone) -> None:
    answer = change(phone)

    assert (answer.status, answer.text) == (204, "")
    assert phone.on_another_device(password=NEW).get("/me").status == 200
    assert phone.log_in().code == "invalid_credentials"


def test_a_change_ends_every_other_session_at_once(phone: Phone) -> None:
    tablet = phone.on_another_device()

    change(phone)

    assert_over(tablet.get("/me"))
    assert_over(tablet.refresh())
    assert phone.get("/me").status == 200
    assert phone.refresh().status == 200
    assert [each["current"] for each in phone.get("/me/sessions").json["sessions"]] == [True]


def test_a_wrong_password_changes_nothing(phone: Phone) -> None:
    tablet = phone.on_another_device()

    answer = change(phone, current="not my password")

    assert (answer.status, answer.code) == (401, "invalid_credentials")
    assert phone.log_in().status == 200
    assert tablet.get("/me").status == 200


def test_a_change_whose_answer_was_lost_is_repeated(phone: Phone, faults: Faults) -> None:
    faults.lose_the_answer("dynamodb", "TransactWriteItems", times=1)

    assert [change(phone).status for _ in range(2)] == [503, 204]
    assert phone.log_in(password=NEW).status == 200


def test_a_change_that_is_refused_ends_no_session(phone: Phone, faults: Faults) -> None:
    tablet = phone.on_another_device()
    faults.refuse("dynamodb", "TransactWriteItems", times=1)

    assert change(phone).status == 503
    assert tablet.get("/me").status == phone.log_in().status == 200


def test_of_two_changes_at_once_only_one_is_made(
    phone: Phone, services: Services, faults: Faults
) -> None:
    tablet = phone.on_another_device()
    quicker = services.sessions.authenticate(tablet.token)
    faults.meanwhile(
        "dynamodb",
        "TransactWriteItems",
        lambda: services.passwords.change(quicker, PASSWORD, "the quicker one", SOURCE),
    )

    assert_over(change(phone))
    assert phone.log_in(password="the quicker one").status == 200


def test_a_session_that_is_ended_during_its_change_changes_nothing(
    phone: Phone, services: Services, faults: Faults
) -> None:
    faults.meanwhile(
        "dynamodb",
        "TransactWriteItems",
        lambda: services.passwords.stores.accounts.end_session(
            phone.user_id, phone.session_id, services.accounts.clock()
        ),
    )

    assert_over(change(phone))
    assert phone.log_in().status == 200


def test_a_log_in_that_a_change_overtakes_begins_no_session(
    phone: Phone, services: Services, faults: Faults
) -> None:
    caller = services.sessions.authenticate(phone.token)
    faults.meanwhile(
        "dynamodb", "PutItem", lambda: services.passwords.change(caller, PASSWORD, NEW, SOURCE)
    )

    tablet = phone.on_another_device()

    assert_over(tablet.get("/me"))


def test_a_refresh_that_a_change_overtakes_keeps_its_session(
    phone: Phone, services: Services, faults: Faults
) -> None:
    caller = services.sessions.authenticate(phone.token)
    faults.meanwhile(
        "dynamodb", "UpdateItem", lambda: services.passwords.change(caller, PASSWORD, NEW, SOURCE)
    )

    phone.tokens = phone.refresh().json

    assert phone.get("/me").status == 200


def test_a_change_makes_links_that_were_mailed_useless(phone: Phone) -> None:
    token = link_for(phone)

    change(phone)

    assert_refused(reset(phone, token, "yet another one"), "token")


# Setting another by mail


def test_a_forgotten_password_is_reset_by_mail_which_confirms_the_address(phone: Phone) -> None:
    answer = reset(phone, link_for(phone))

    assert (answer.status, answer.text) == (204, "")
    assert phone.log_in().status == 401
    assert phone.log_in(password=NEW).json["user"]["email_confirmed"] is True


def test_a_reset_that_came_twice_at_once_is_done(
    phone: Phone, services: Services, faults: Faults
) -> None:
    token = link_for(phone)
    faults.meanwhile(
        "dynamodb", "UpdateItem", lambda: services.passwords.reset(token, NEW, SOURCE), after=0
    )

    assert reset(phone, token).status == 204
    assert phone.log_in(password=NEW).status == 200


def test_a_reset_ends_every_session_at_once(phone: Phone) -> None:
    tablet = phone.on_another_device()

    reset(phone, link_for(phone))

    for device in (phone, tablet):
        assert_over(device.get("/me"))
        assert_over(device.refresh())


def test_a_log_in_that_a_reset_overtakes_begins_no_session(
    phone: Phone, services: Services, faults: Faults
) -> None:
    token = link_for(phone)
    faults.meanwhile("dynamodb", "PutItem", lambda: services.passwords.reset(token, NEW, SOURCE))

    tablet = phone.on_another_device()

    assert faults.met == 1
    assert_over(tablet.get("/me"))
    assert_over(tablet.refresh())


def test_a_link_is_good_once(phone: Phone) -> None:
    token = link_for(phone)
    reset(phone, token)

    assert_refused(reset(phone, token, "yet another one"), "token")
    assert phone.log_in(password=NEW).status == 200


@pytest.mark.parametrize("fail", [Faults.lose_the_answer, Faults.refuse])
def test_a_reset_that_failed_can_be_repeated(
    phone: Phone, faults: Faults, fail: Callable[..., None]
) -> None:
    token = link_for(phone)
    fail(faults, "dynamodb", "UpdateItem", times=1)

    assert [reset(phone, token).status for _ in range(2)] == [503, 204]
    assert phone.log_in(password=NEW).status == 200


def test_of_ten_resets_at_once_one_is_made(phone: Phone, services: Services) -> None:
    token = link_for(phone)

    def attempt(number: int) -> bool:
        try:
            services.passwords.reset(token, f"password number {number}", SOURCE)
        except RecorderError:
            return False
        return True

    with ThreadPoolExecutor(10) as threads:
        made = list(threads.map(attempt, range(10)))

    assert made.count(True) == 1
    assert phone.log_in(password=f"password number {made.index(True)}").status == 200


def test_a_link_is_good_for_half_an_hour(phone: Phone, clock: Clock) -> None:
    early, late = link_for(phone), None
    clock.advance(minutes=29)
    assert reset(phone, early).status == 204

    late = link_for(phone)
    clock.advance(minutes=31)
    assert_refused(reset(phone, late), "token")


def test_the_link_in_the_latest_mail_is_the_one_that_is_good(phone: Phone) -> None:
    first, second = link_for(phone), link_for(phone)

    assert_refused(reset(phone, first), "token")
    assert reset(phone, second).status == 204


@pytest.mark.parametrize(
    "forge",
    [
        lambda _token, _other: "garbage",
        lambda token, _other: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token, other: f"{other}{token[36:]}",
        lambda token, _other: token.rpartition(".")[2],
        lambda token, _other: token[:50] + "\n" + token[50:],
    ],
    ids=["garbage", "another secret", "another user", "no user", "newline"],
)
def test_a_link_that_is_not_ours_is_refused(
    phone: Phone, other: Phone, forge: Callable[[str, str], str]
) -> None:
    token = link_for(phone)

    assert_refused(reset(phone, forge(token, other.user_id)), "token")
    assert reset(phone, token).status == 204


def test_a_link_has_256_bits_and_the_table_only_their_hash(
    phone: Phone, stored: Callable[..., list[Item]]
) -> None:
    secret = link_for(phone).rpartition(".")[2]

    assert len(secret) == 43
    assert secret not in json.dumps(stored(), default=str)


# Forgetting


def mailed(phone: Phone, times: int) -> None:
    for _ in range(times):
        link_for(phone)


# What there may have been with an address.
HISTORIES: dict[str, Callable[[Phone], object]] = {
    "unknown": lambda phone: setattr(phone, "email", f"x{phone.email}"),
    "known": lambda _: None,
    "another spelling": lambda phone: setattr(phone, "email", phone.email.upper()),
    "confirmed": lambda phone: reset(phone, link_for(phone)),
    "asked before": forgot,
    "mailed before": lambda phone: mailed(phone, 1),
    "limit reached": lambda phone: mailed(phone, 5),
    "closed": lambda phone: phone.delete("/me", body={"password": PASSWORD}),
}


@pytest.mark.parametrize("history", HISTORIES)
def test_forgetting_is_the_same_whatever_there_was_with_the_address(
    phone: Phone, faults: Faults, history: str
) -> None:
    forgot(phone, "somebody.else@example.com")  # It opens the window for the source.
    HISTORIES[history](phone)
    calls = faults.record()

    answer = forgot(phone)

    assert (answer.status, answer.text) == (202, "")
    assert [call.name for call in calls] == ["dynamodb.UpdateItem", "dynamodb.PutItem"]


def test_the_mail_goes_to_the_address_on_the_account_and_to_no_unknown_one(phone: Phone) -> None:
    for typed in (phone.email.upper(), f"x{phone.email}"):
        forgot(phone, typed)
        assert delivered_to(typed) == []

    assert len(delivered_to(phone.email)) == 2
