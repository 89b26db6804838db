"""Attempts: how often a password may be guessed, and what else has its limit."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bcrypt
import pytest
from botocore.exceptions import EndpointConnectionError
from chalice.local import LambdaEventConverter

from chalicelib import wiring
from chalicelib.aws.dynamodb.items import Item, attempts_key
from chalicelib.core.ids import uuid7
from chalicelib.errors import InvalidCredentials, RecorderError, TooManyAttempts
from chalicelib.models.requests import Credentials
from tests.conftest import DEEP, Clock
from tests.core.accounts.test_passwords import NEW, SOURCE, forgot, reset
from tests.support.faults import Died, Faults
from tests.support.mail import delivered_to, link_for
from tests.support.phone import PASSWORD, Answer, Phone

WRONG = "not my password"
Configure = Callable[..., None]


@pytest.fixture
def come_from(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has every request come from an address, as API Gateway would say."""
    return lambda address: monkeypatch.setattr(LambdaEventConverter, "LOCAL_SOURCE_IP", address)


@pytest.fixture(autouse=True)
def _three(configure: Configure) -> None:
    """Lets three guesses at an address fail, which takes less long than ten."""
    configure(login_failures_per_address=3)


def fail(phone: Phone, times: int = 1, **fields: object) -> list[int]:
    return [phone.log_in(**{"password": WRONG, **fields}).status for _ in range(times)]


def assert_limited(answer: Answer, seconds: int) -> None:
    assert (answer.status, answer.code) == (429, "too_many_attempts")
    assert 0 < int(answer.headers["retry-after"]) <= seconds


# By address


def test_beyond_ten_failures_even_the_right_password_is_refused(
    phone: Phone, configure: Configure
) -> None:
    configure()

    assert fail(phone, 11) == [401] * 10 + [429]
    assert_limited(phone.log_in(), 900)


def test_an_unknown_address_is_limited_alike(nobody: Phone) -> None:
    assert fail(nobody, 4) == [401] * 3 + [429]


def test_every_spelling_of_an_address_counts_as_that_address_and_no_other(
    phone: Phone, other: Phone
) -> None:
    fail(phone, 2)
    fail(phone, email=phone.email.upper())

    assert phone.log_in().status == 429
    assert other.log_in().status == 200


def test_log_ins_that_succeed_do_not_count(phone: Phone) -> None:
    assert [phone.log_in().status for _ in range(5)] == [200] * 5
    assert fail(phone, 4) == [401] * 3 + [429]


def test_the_wait_is_over_when_it_was_said_to_be(phone: Phone, clock: Clock) -> None:
    fail(phone, 3)
    wait = int(phone.log_in().headers["retry-after"])

    clock.advance(seconds=wait)

    assert phone.log_in().status == 200
    assert fail(phone, 4) == [401] * 3 + [429]


def test_going_on_does_not_lengthen_the_wait(phone: Phone, clock: Clock) -> None:
    fail(phone, 3)
    clock.advance(minutes=14)
    fail(phone, 3)
    clock.advance(minutes=1, seconds=1)

    assert phone.log_in().status == 200


def log_ins_at_once(number: int, email: str, password: str) -> Counter[type[Exception] | None]:
    """Log in from as many sources at the same moment; how often that ended how."""
    credentials = Credentials(email=email, password=password)
    at_once = threading.Barrier(number)

    def log_in(number: int) -> type[Exception] | None:
        at_once.wait()
        try:
            wiring.services().accounts.log_in(credentials, f"192.0.2.{number}")
        except RecorderError as error:
            return type(error)
        return None

    with ThreadPoolExecutor(number) as threads:
        return Counter(threads.map(log_in, range(number)))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A list that grows by each password that is compared with a hash."""
    compared: list[bytes] = []
    checkpw = bcrypt.checkpw

    def watched(password: bytes, hashed_password: bytes) -> bool:
        compared.append(password)
        return checkpw(password, hashed_password)

    monkeypatch.setattr(bcrypt, "checkpw", watched)
    return compared


def test_of_many_guesses_at_the_same_moment_ten_are_compared(
    phone: Phone, compared: list[bytes], configure: Configure
) -> None:
    configure()
    many = 200 if DEEP else 15

    outcomes = log_ins_at_once(many, phone.email, WRONG)

    assert outcomes == {InvalidCredentials: 10, TooManyAttempts: many - 10}
    assert len(compared) == 10


def test_right_log_ins_at_the_same_moment_use_no_guess_up(phone: Phone) -> None:
    outcomes = log_ins_at_once(8, phone.email, PASSWORD)

    assert outcomes.keys() <= {None, TooManyAttempts}
    assert outcomes[None] >= 3
    assert fail(phone, 4) == [401] * 3 + [429]


@pytest.fixture
def dies(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has a process die while it compares a password, some times over."""
    right = Credentials(email=phone.email, password=PASSWORD)

    def die(*_: bytes) -> bool:
        raise Died

    def log_in(times: int) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(bcrypt, "checkpw", die)
            for _ in range(times):
                with pytest.raises(Died):
                    wiring.services().accounts.log_in(right, SOURCE)

    return log_in


def test_what_died_under_way_counts_no_longer_than_its_window(
    phone: Phone, dies: Callable[..., None], clock: Clock
) -> None:
    dies(3)
    assert_limited(phone.log_in(), 1)  # What is under way may end any moment.

    clock.advance(minutes=15, seconds=1)

    assert phone.log_in().status == 200


def test_a_reset_lets_the_address_try_again(phone: Phone) -> None:
    fail(phone, 4)
    reset(phone, link_for(phone))

    assert phone.log_in(password=NEW).status == 200


def test_a_password_that_is_guessed_by_changing_it_is_limited_too(phone: Phone) -> None:
    body = {"current_password": WRONG, "new_password": "a quite different one"}
    answers = [phone.post("/me/password", body).status for _ in range(4)]

    assert answers == [401] * 3 + [429]
    right = {"current_password": PASSWORD, "new_password": "a quite different one"}
    assert phone.post("/me/password", right).status == 429
    # Counted apart, so that strangers who log in as somebody do not keep them from this either.
    assert phone.log_in().status == 200


def test_a_password_that_is_guessed_by_a_used_link_is_limited_too(phone: Phone) -> None:
    token = link_for(phone)
    reset(phone, token)

    assert [reset(phone, token, WRONG).status for _ in range(4)] == [400] * 3 + [429]


# By source


def test_a_source_is_limited_over_all_addresses(
    phone: Phone, configure: Configure, come_from: Callable[[str], None]
) -> None:
    configure(login_failures_per_source=3)
    for number in range(3):
        assert fail(phone, email=f"nobody{number}@example.com") == [401]

    assert_limited(phone.log_in(), 900)
    come_from("192.0.2.7")
    assert phone.log_in().status == 200


def test_a_source_that_is_refused_touches_nothing_of_an_address(
    phone: Phone, other: Phone, configure: Configure, stored: Callable[..., list[Item]]
) -> None:
    configure(login_failures_per_source=3)
    fail(phone, 3)

    assert fail(other) == [429]
    assert stored(attempts_key("", phone.email)["pk"]) != []
    assert stored(attempts_key("", other.email)["pk"]) == []


def test_an_address_that_is_refused_takes_nothing_from_a_source(
    phone: Phone, other: Phone, configure: Configure
) -> None:
    configure(login_failures_per_source=5, login_failures_per_address=3)
    fail(phone, 7)

    assert other.log_in().status == 200


def test_a_header_does_not_say_where_a_request_comes_from(
    nobody: Phone, configure: Configure
) -> None:
    configure(login_failures_per_source=5)
    body = {"email": nobody.email, "password": WRONG}
    names = ["X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP"]

    for number, name in enumerate(names):
        said = {name: f"192.0.2.{number}"}
        assert nobody.post("/auth/login", body, headers=said).status == 401

    assert fail(nobody, email="nobody@example.com") == [429]


@pytest.mark.parametrize(
    ("second", "status"),
    [("2001:db8:0:1:ffff::9", 429), ("2001:db8:0:2::1", 401)],
    ids=["same network", "another network"],
)
def test_with_ipv6_a_source_is_a_network(
    nobody: Phone,
    configure: Configure,
    come_from: Callable[[str], None],
    second: str,
    status: int,
) -> None:
    configure(login_failures_per_source=1)
    come_from("2001:db8:0:1::1")
    fail(nobody)
    come_from(second)

    assert fail(nobody) == [status]


def test_a_source_that_is_no_address_is_a_source_too(
    phone: Phone, come_from: Callable[[str], None]
) -> None:
    come_from("test-invoke-source-ip")

    assert phone.log_in().status == 200


# What else is limited


def sign_up(phone: Phone) -> Answer:
    body = {"email": f"{uuid7()}@example.com", "password": PASSWORD}
    return phone.post("/auth/signup", body)


def test_sign_ups_from_one_source_are_limited(nobody: Phone, configure: Configure) -> None:
    configure(signups_per_source=2)

    assert [sign_up(nobody).status for _ in range(2)] == [201, 201]
    assert_limited(sign_up(nobody), 3600)


def test_forgetting_from_one_source_is_limited(nobody: Phone, configure: Configure) -> None:
    configure(forgot_per_source=2)

    assert [forgot(nobody, f"{uuid7()}@example.com").status for _ in range(2)] == [202, 202]
    assert_limited(forgot(nobody), 3600)


def test_an_address_is_sent_five_links_and_the_answer_does_not_say(phone: Phone) -> None:
    before = len(delivered_to(phone.email))
    for _ in range(7):
        assert forgot(phone).status == 202
        delivered_to(phone.email)

    assert len(delivered_to(phone.email)) == before + 5


def test_bad_refresh_tokens_of_one_source_are_limited_and_good_ones_taken(
    phone: Phone, configure: Configure
) -> None:
    configure(refresh_failures_per_source=2)
    answers = [phone.post("/auth/refresh", {"refresh_token": "garbage"}) for _ in range(3)]

    assert [answer.status for answer in answers[:2]] == [401, 401]
    assert_limited(answers[2], 900)
    assert phone.refresh().status == 200


def test_how_long_failures_count_is_a_setting(
    phone: Phone, configure: Configure, clock: Clock
) -> None:
    configure(login_window_seconds=60, login_failures_per_address=1)
    fail(phone)
    assert_limited(phone.log_in(), 60)

    clock.advance(seconds=61)

    assert phone.log_in().status == 200


def test_how_long_sign_ups_count_is_a_setting(
    nobody: Phone, configure: Configure, clock: Clock
) -> None:
    configure(forgot_per_source=1, signup_window_seconds=60)
    forgot(nobody)
    assert_limited(forgot(nobody), 60)

    clock.advance(seconds=61)

    assert forgot(nobody).status == 202


def test_a_limit_of_zero_is_none(phone: Phone, configure: Configure) -> None:
    configure(login_failures_per_address=0, login_failures_per_source=0)

    assert fail(phone, 4) == [401] * 4
    assert phone.log_in().status == 200


# How they are counted


WRITES = {"dynamodb.TransactWriteItems", "dynamodb.UpdateItem", "dynamodb.PutItem"}


def writes(faults: Faults, what: Callable[[], object]) -> list[str]:
    """The writes that something makes, in their order."""
    return [name.partition(".")[2] for name in faults.calls_of(what) if name in WRITES]


def test_a_guess_is_counted_in_one_call_and_another_where_a_window_is_over(
    phone: Phone, faults: Faults, clock: Clock
) -> None:
    noted = ["UpdateItem"] * 2
    first, second = (writes(faults, lambda: fail(phone)) for _ in range(2))
    clock.advance(minutes=16)

    assert first == second == ["TransactWriteItems", *noted]
    assert writes(faults, lambda: fail(phone)) == ["TransactWriteItems"] * 2 + noted


def test_a_log_in_that_succeeds_leaves_nothing_to_be_counted(
    phone: Phone, faults: Faults, stored: Callable[..., list[Item]]
) -> None:
    before = stored(attempts_key("", phone.email)["pk"])

    assert writes(faults, phone.log_in) == ["TransactWriteItems"] * 2 + ["PutItem"]
    assert stored(attempts_key("", phone.email)["pk"]) == before == []


def test_a_log_in_that_succeeds_forgives_nothing_that_failed(phone: Phone) -> None:
    assert fail(phone, 2) == [401, 401]
    assert phone.log_in().status == 200

    assert fail(phone, 2) == [401, 429]


def test_what_others_tried_meanwhile_stays_counted(phone: Phone, faults: Faults) -> None:
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: fail(phone), after=1)
    assert phone.log_in().status == 200

    assert fail(phone, 3) == [401, 401, 429]


def test_a_source_that_is_refused_costs_one_write(
    phone: Phone, configure: Configure, faults: Faults
) -> None:
    configure(login_failures_per_source=3)
    fail(phone, 3)

    assert writes(faults, lambda: fail(phone)) == ["TransactWriteItems"]


def test_the_limit_is_the_condition_of_the_write(phone: Phone, faults: Faults) -> None:
    fail(phone)
    asked = faults.asked("dynamodb", "TransactWriteItems")

    fail(phone)

    counted = [each["Update"]["ConditionExpression"] for each in asked[0]["TransactItems"]]
    assert all(condition.endswith("#attempts < :most)") for condition in counted)


def test_what_is_counted_names_no_address_and_is_forgotten_in_time(
    nobody: Phone, stored: Callable[..., list[Item]]
) -> None:
    fail(nobody)

    kept = json.dumps(stored(), default=str)
    assert nobody.email not in kept
    assert "127.0.0.1" not in kept
    assert len(stored()) == 2
    assert all(abs(item["ttl"] - time.time() - 900) < 60 for item in stored())


def test_a_log_in_that_cannot_be_counted_is_not_tried(phone: Phone, faults: Faults) -> None:
    faults.refuse("dynamodb", "TransactWriteItems", times=1)

    assert phone.log_in().status == 503
    assert phone.log_in().status == 200


def test_a_log_in_that_cannot_be_uncounted_can_be_repeated(phone: Phone, faults: Faults) -> None:
    # Two reads, the attempts counted, and taken back.
    faults.fail_at(3, EndpointConnectionError(endpoint_url="http://gone"), done=False)

    assert phone.log_in().status == 503
    assert phone.log_in().status == 200


# Time


@pytest.mark.deep
def test_an_unknown_address_takes_as_long_as_a_wrong_password(configure: Configure) -> None:
    # Cost 8 is 15 ms of work or so: enough to see one that is missing, and 60 of them are a second.
    configure(bcrypt_cost=8, login_failures_per_address=0, login_failures_per_source=0)
    phone = Phone().sign_up()

    def took(email: str) -> float:
        begun = time.thread_time()
        with pytest.raises(InvalidCredentials):
            wiring.services().accounts.log_in(Credentials(email=email, password=WRONG), "192.0.2.1")
        return time.thread_time() - begun

    # In turns, so that whatever else the machine does falls on both.
    pairs = [(took("nobody@example.com"), took(phone.email)) for _ in range(30)]
    unknown, wrong = (statistics.median(times) for times in zip(*pairs, strict=True))

    assert 0.9 < unknown / wrong < 1.1


# Locking out.


def test_strangers_guesses_do_not_lock_out_a_device_that_was_logged_in(
    phone: Phone, clock: Clock
) -> None:
    known = phone.tokens["refresh_token"]
    phone.post("/auth/logout", {"refresh_token": known})
    for _ in range(3):
        fail(phone, 3)
        assert phone.log_in().code == "too_many_attempts"
        assert phone.log_in(refresh_token=known).status == 200
        clock.advance(minutes=15)


def test_a_device_that_was_logged_in_has_as_many_guesses_too(phone: Phone) -> None:
    known = {"refresh_token": phone.tokens["refresh_token"]}

    assert fail(phone, 4, **known) == [401] * 3 + [429]


def forged(phone: Phone, _: Phone) -> str:
    return str(phone.tokens["refresh_token"])[:-1] + "_"


def somebody_elses(_: Phone, other: Phone) -> str:
    return str(other.tokens["refresh_token"])


@pytest.mark.parametrize("token", [forged, somebody_elses, lambda *_: "garbage"])
def test_a_refresh_token_that_is_not_the_accounts_counts_for_nothing(
    phone: Phone, other: Phone, token: Callable[[Phone, Phone], str]
) -> None:
    fail(phone, 3)

    assert phone.log_in(refresh_token=token(phone, other)).code == "too_many_attempts"


# Telling who it is.


def test_the_log_tells_attackers_apart_and_names_nobody(
    phone: Phone, come_from: Callable[[str], None], lines: Callable[[], list[dict[str, Any]]]
) -> None:
    lines()
    for source in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        come_from(source)
        fail(phone)
    phone.get("/me", headers={"Authorization": "Bearer nonsense"})

    first, again, second, token = (line["source"] for line in lines() if "status" in line)
    assert first == again != second == token
    assert "192.0.2" not in first
