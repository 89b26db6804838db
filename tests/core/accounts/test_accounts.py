"""Accounts: signing up, logging in, staying logged in, and what is kept of it all."""

from __future__ import annotations

import json
import threading
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import bcrypt
import hypothesis
import pytest
from hypothesis import strategies

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, account_key, to_attributes
from chalicelib.core.ids import uuid7
from chalicelib.models.fields import comparable
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from tests.conftest import Clock
from tests.support.faults import Faults
from tests.support.phone import PASSWORD, Answer, Phone

Stored = Callable[..., list[Item]]
Form = Literal["NFC", "NFD"]
COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"  # Two spellings of the same letter.


def sign_up(phone: Phone, **fields: object) -> Answer:
    return phone.post("/auth/signup", {"email": phone.email, "password": PASSWORD} | fields)


def log_in(phone: Phone, **fields: object) -> Answer:
    return phone.post("/auth/login", {"email": phone.email, "password": PASSWORD} | fields)


def refresh(phone: Phone, token: str) -> Answer:
    return phone.post("/auth/refresh", {"refresh_token": token})


def log_out(phone: Phone, token: str) -> Answer:
    return phone.post("/auth/logout", {"refresh_token": token})


def refreshed(phone: Phone, token: str) -> str:
    answer = refresh(phone, token)
    assert answer.status == 200, answer.text
    return str(answer.json["refresh_token"])


def token_of(phone: Phone) -> str:
    return str(phone.tokens["refresh_token"])


def hash_of(phone: Phone, stored: Stored) -> str:
    (profile,) = [item for item in stored(f"USER#{phone.user_id}") if item["sk"] == "PROFILE"]
    return str(profile["password_hash"])


def but_for_attempts(items: list[Item]) -> list[Item]:
    return [item for item in items if not item["pk"].startswith("ATTEMPTS#")]


# Signing up


def test_signing_up_opens_an_account_and_a_session(nobody: Phone) -> None:
    answer = sign_up(nobody, name="Ann")

    assert answer.status == 201
    assert answer.json["user"]["email"] == nobody.email
    assert answer.json["user"]["name"] == "Ann"
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 900


def test_a_new_account_uses_nothing_of_its_quota(nobody: Phone, settings: Settings) -> None:
    user = sign_up(nobody).json["user"]

    assert user["usage"] == {"bytes": 0, "recordings": 0, "quota_bytes": settings.quota_bytes}


def test_a_new_account_is_logged_in(nobody: Phone) -> None:
    nobody.tokens = sign_up(nobody).json

    assert nobody.get("/me").json == nobody.tokens["user"]


def test_an_account_may_go_without_a_name(nobody: Phone) -> None:
    assert sign_up(nobody).json["user"]["name"] is None


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        ("{}@example.com", "{}@example.com"),
        ("{}@example.com", "{}@EXAMPLE.com"),
        ("ann.{}@example.com", "Ann.{}@example.com"),
        (f"zo{COMPOSED}{{}}@example.com", f"zo{DECOMPOSED}{{}}@example.com"),
        (f"zo{COMPOSED}{{}}@example.com", f"ZO{COMPOSED.upper()}{{}}@example.com"),
        ("straße{}@example.com", "STRASSE{}@example.com"),
        ("ann{}@example.com", "\uff21\uff4e\uff4e{}@example.com"),
        ("ann{}@example.com", "ann{}@\uff45xample.com"),
        ("ann{}@b\u00fccher.example", "ann{}@xn--bcher-kva.example"),
        ("ann{}@XN--BCHER-KVA.example", "ann{}@B\u00dcCHER.example"),
        ("ann{}@b\u00fccher.example", "ann{}@bu\u0308cher\u3002example"),
    ],
    ids=[
        *("same", "domain's case", "case", "normal form", "accented case", "sharp s"),
        *("full-width name", "full-width domain", "Punycode", "Punycode's case", "another dot"),
    ],
)
def test_an_address_is_taken_in_every_spelling(nobody: Phone, taken: str, wanted: str) -> None:
    number = nobody.email.removesuffix("@example.com")
    assert sign_up(nobody, email=taken.format(number)).status == 201

    again = sign_up(nobody, email=wanted.format(number))

    assert (again.status, again.code) == (409, "email_taken")


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("stra\u00dfe.example", "strasse.example"),
        ("apple.example", "\u0430pple.example"),
        ("\u03b2\u03cc\u03bb\u03bf\u03c2.example", "\u03b2\u03cc\u03bb\u03bf\u03c3.example"),
        ("xn--strae-oqa.example", "strasse.example"),
    ],
    ids=["sharp s", "Cyrillic a", "final sigma", "Punycode"],
)
def test_domains_that_look_alike_are_two_addresses(nobody: Phone, one: str, another: str) -> None:
    assert sign_up(nobody, email=f"ann@{one}").status == 201
    assert sign_up(nobody, email=f"ann@{another}").status == 201


@pytest.mark.parametrize(
    "typed", ["ANN@B\u00dcCHER.EXAMPLE", "ann@xn--bcher-kva.example", "ann@b\u00fccher.example."]
)
def test_the_domain_may_be_typed_in_another_spelling(nobody: Phone, typed: str) -> None:
    sign_up(nobody, email="ann@b\u00fccher.example")

    assert log_in(nobody, email=typed).status == 200


@hypothesis.given(strategies.text(max_size=30), strategies.text(max_size=30))
@hypothesis.example("ann", "stra\u00dfe.example")
@hypothesis.example("ann", "\u2603.example..")
def test_the_form_that_is_compared_is_the_same_as_itself(local: str, domain: str) -> None:
    once = comparable(f"{local}@{domain}")

    assert comparable(once) == once


def test_the_address_is_shown_as_it_was_typed(nobody: Phone) -> None:
    typed = nobody.email.title()

    assert sign_up(nobody, email=typed).json["user"]["email"] == typed


def test_a_refused_sign_up_leaves_nothing_behind(phone: Phone, stored: Stored) -> None:
    before = but_for_attempts(stored())

    assert sign_up(phone).status == 409
    assert but_for_attempts(stored()) == before


def test_a_sign_up_that_the_table_refuses_leaves_nothing_behind(
    nobody: Phone, stored: Stored, faults: Faults
) -> None:
    faults.refuse("dynamodb", "TransactWriteItems")

    assert sign_up(nobody).status == 503
    assert but_for_attempts(stored()) == []


def test_a_sign_up_that_failed_can_be_repeated(nobody: Phone, faults: Faults) -> None:
    faults.refuse("dynamodb", "TransactWriteItems", times=1)
    sign_up(nobody)

    assert sign_up(nobody).status == 201


def test_a_sign_up_whose_answer_was_lost_can_be_logged_in_to(nobody: Phone, faults: Faults) -> None:
    faults.lose_the_answer("dynamodb", "TransactWriteItems", times=1)
    assert sign_up(nobody).status == 503

    assert log_in(nobody).status == 200


def test_an_address_that_is_too_long_to_store_is_refused_by_its_name(nobody: Phone) -> None:
    # In its normal form, each of these is three characters of four bytes.
    endless = "\U0001d160" * 250 + "@example.com"

    answer = sign_up(nobody, email=endless[:252])

    assert (answer.status, answer.fields) == (400, ["email"])


# Passwords


@pytest.mark.parametrize(
    "password",
    ["a" * 7, "a" * 73, "\U0001f600" * 30, "\u00e9" * 37, ""],
    ids=["7 characters", "73 bytes", "30 emoji", "37 letters of two bytes", "empty"],
)
def test_a_password_of_the_wrong_length_is_refused_by_its_name(
    nobody: Phone, password: str
) -> None:
    answer = sign_up(nobody, password=password)

    assert (answer.status, answer.code, answer.fields) == (400, "invalid_request", ["password"])


@pytest.mark.parametrize(
    "password",
    ["a qz kwv", "a" * 72, "\U0001f600" * 18, "\u00e9" * 36, "pass\0word", " " * 8],
    ids=["8 characters", "72 bytes", "18 emoji", "36 letters of two bytes", "NUL", "spaces"],
)
def test_a_password_of_a_good_length_logs_in(nobody: Phone, password: str) -> None:
    assert sign_up(nobody, password=password).status == 201
    assert log_in(nobody, password=password).status == 200


def test_every_byte_of_a_password_counts(nobody: Phone) -> None:
    sign_up(nobody, password="a" * 71 + "b")

    assert log_in(nobody, password="a" * 71 + "c").status == 401


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")], ids="-".join)
@pytest.mark.parametrize("word", ["caf\u00e9 cr\u00e8me", "\u1f82" * 24], ids=["short", "72 bytes"])
def test_a_password_is_the_same_in_either_normal_form(
    nobody: Phone, word: str, forms: tuple[Form, Form]
) -> None:
    first, second = (unicodedata.normalize(form, word) for form in forms)

    assert sign_up(nobody, password=first).status == 201
    assert log_in(nobody, password=second).status == 200


def test_characters_are_counted_in_the_form_that_is_hashed(nobody: Phone) -> None:
    seven = DECOMPOSED * 7

    assert sign_up(nobody, password=seven).fields == ["password"]


def test_a_password_is_told_apart_by_case(phone: Phone) -> None:
    assert log_in(phone, password=PASSWORD.upper()).status == 401


# Logging in


def test_logging_in_gives_a_session_of_its_own(phone: Phone) -> None:
    second = log_in(phone, device="tablet")

    assert second.status == 200
    assert second.json["user"] == phone.tokens["user"]
    assert refresh(phone, second.json["refresh_token"]).status == 200
    assert refresh(phone, token_of(phone)).status == 200


def test_the_address_may_be_typed_in_another_case(phone: Phone) -> None:
    assert log_in(phone, email=phone.email.upper()).status == 200


def test_a_wrong_password_and_an_unknown_address_are_answered_alike(phone: Phone) -> None:
    wrong = log_in(phone, password="not my password")
    unknown = log_in(phone, email="nobody@example.com")

    assert (wrong.status, wrong.code) == (401, "invalid_credentials")
    assert wrong.headers["www-authenticate"] == unknown.headers["www-authenticate"]
    assert wrong.json | {"request_id": unknown.json["request_id"]} == unknown.json


def test_an_unknown_address_costs_the_work_of_a_wrong_password(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bytes] = []
    checkpw = bcrypt.checkpw

    def watched(password: bytes, hashed_password: bytes) -> bool:
        checked.append(hashed_password)
        return checkpw(password, hashed_password)

    monkeypatch.setattr(bcrypt, "checkpw", watched)
    log_in(phone, password="not my password")
    log_in(phone, email="nobody@example.com")

    assert [(hashed[:7], len(hashed)) for hashed in checked] == [(b"$2b$04$", 60)] * 2


# What is kept


def test_no_secret_can_be_read_from_the_table(phone: Phone, stored: Stored) -> None:
    tokens = [token_of(phone)]
    tokens.append(refreshed(phone, tokens[0]))
    secrets = [token.rpartition(".")[2] for token in tokens]

    kept = json.dumps(stored(), default=str)

    assert phone.email in kept
    for secret in (PASSWORD, *tokens, *secrets, phone.tokens["access_token"]):
        assert secret not in kept


def test_a_password_is_kept_as_bcrypt_of_the_cost_that_is_set(
    phone: Phone, stored: Stored, settings: Settings
) -> None:
    password_hash = hash_of(phone, stored)

    assert password_hash.startswith(f"$2b${settings.bcrypt_cost:02d}$")
    assert bcrypt.checkpw(PASSWORD.encode(), password_hash.encode())


def test_a_log_in_brings_the_hash_to_the_cost_that_is_set(
    phone: Phone, configure: Callable[..., None], stored: Stored
) -> None:
    configure(bcrypt_cost=5)
    assert log_in(phone, password="not my password").status == 401
    assert hash_of(phone, stored).startswith("$2b$04$")

    assert log_in(phone).status == 200
    assert hash_of(phone, stored).startswith("$2b$05$")
    assert log_in(phone).status == phone.get("/me").status == 200


def test_a_hash_of_the_cost_that_is_set_is_left_alone(phone: Phone, stored: Stored) -> None:
    before = hash_of(phone, stored)

    log_in(phone)

    assert hash_of(phone, stored) == before


def test_a_log_in_does_not_bring_back_a_password_that_was_changed_meanwhile(
    phone: Phone, configure: Callable[..., None], faults: Faults
) -> None:
    configure(bcrypt_cost=5, login_failures_per_address=0, login_failures_per_source=0)
    new = {"current_password": PASSWORD, "new_password": "a quite different one"}
    faults.meanwhile("dynamodb", "UpdateItem", lambda: phone.post("/me/password", new))

    log_in(phone)

    assert faults.met == 1
    assert log_in(phone).status == 401
    assert log_in(phone, password="a quite different one").status == 200


def test_a_change_goes_on_though_a_log_in_hashed_anew_meanwhile(
    phone: Phone, configure: Callable[..., None], faults: Faults
) -> None:
    configure(bcrypt_cost=5)
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: log_in(phone))
    new = {"current_password": PASSWORD, "new_password": "a quite different one"}

    assert phone.post("/me/password", new).status == 204
    assert log_in(phone, password="a quite different one").status == 200


def test_the_store_forgets_a_session_after_it_expires(phone: Phone, stored: Stored) -> None:
    (session,) = [
        item for item in stored(f"USER#{phone.user_id}") if item["sk"].startswith("SESSION#")
    ]

    lasts = session["ttl"] - time.time()
    assert 60 * 86_400 < lasts < 62 * 86_400


# Staying logged in


def test_a_refresh_replaces_the_refresh_token(phone: Phone) -> None:
    answer = refresh(phone, token_of(phone))

    assert answer.status == 200
    assert answer.json["refresh_token"] != token_of(phone)
    assert answer.json["user"] == phone.tokens["user"]


def test_a_refreshed_access_token_is_good(phone: Phone) -> None:
    phone.tokens = refresh(phone, token_of(phone)).json

    assert phone.get("/me").status == 200


def test_each_replacement_can_be_refreshed_in_turn(phone: Phone) -> None:
    tokens = [token_of(phone)]
    for _ in range(5):
        tokens.append(refreshed(phone, tokens[-1]))

    assert len(set(tokens)) == 6


def test_within_a_minute_the_old_token_gives_the_same_new_one(phone: Phone, clock: Clock) -> None:
    first = refreshed(phone, token_of(phone))

    clock.advance(seconds=58)

    assert refreshed(phone, token_of(phone)) == first


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

    assert refresh(phone, token_of(phone)).code == "not_authenticated"
    assert refresh(phone, replacement).status == 200


def test_a_repeated_refresh_leaves_the_new_token_good(phone: Phone) -> None:
    refreshed(phone, token_of(phone))
    again = refreshed(phone, token_of(phone))

    assert refresh(phone, again).status == 200


def test_after_a_minute_the_old_token_is_reused(phone: Phone, clock: Clock) -> None:
    refreshed(phone, refreshed(phone, token_of(phone)))
    clock.advance(seconds=61)

    answer = refresh(phone, token_of(phone))

    assert (answer.status, answer.code) == (401, "refresh_token_reused")


def test_reuse_ends_the_session_for_everybody(phone: Phone, clock: Clock) -> None:
    replacement = refreshed(phone, refreshed(phone, token_of(phone)))
    clock.advance(seconds=61)
    refresh(phone, token_of(phone))

    for token in (replacement, token_of(phone)):
        assert refresh(phone, token).code == "not_authenticated"


def test_reuse_of_a_token_from_two_refreshes_ago_ends_the_session_too(
    phone: Phone, clock: Clock
) -> None:
    # A thief who refreshes twice before the phone wakes up must not keep the session.
    stolen = refreshed(phone, refreshed(phone, token_of(phone)))
    clock.advance(seconds=61)

    assert refresh(phone, token_of(phone)).code == "refresh_token_reused"
    assert refresh(phone, stolen).status == 401


def test_reuse_leaves_other_sessions_alone(phone: Phone, clock: Clock) -> None:
    tablet = str(log_in(phone).json["refresh_token"])
    refreshed(phone, refreshed(phone, token_of(phone)))
    clock.advance(seconds=61)
    refresh(phone, token_of(phone))

    assert refresh(phone, tablet).status == 200


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
    lost = refresh(phone, token_of(phone))
    assert (lost.status, lost.code) == (503, "unavailable")

    replacement = refreshed(phone, token_of(phone))

    assert refresh(phone, replacement).status == 200


def test_a_refresh_that_the_table_refuses_changes_nothing(
    phone: Phone, stored: Stored, faults: Faults
) -> None:
    before = stored(f"USER#{phone.user_id}")
    faults.refuse("dynamodb", "UpdateItem")

    assert refresh(phone, token_of(phone)).status == 503
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
        "garbage",
        "cut short",
        "newline",
        "another secret",
        "another last letter",
        "another user",
        "another session",
        "upper case",
        "not ASCII",
        "other dots",
    ],
)
def test_a_refresh_token_that_is_not_ours_is_refused(
    phone: Phone, forge: Callable[[str], str]
) -> None:
    answer = refresh(phone, forge(token_of(phone)))

    assert (answer.status, answer.code) == (401, "not_authenticated")
    assert refresh(phone, token_of(phone)).status == 200


def test_somebody_elses_secret_does_not_open_a_session(phone: Phone, other: Phone) -> None:
    forged = token_of(phone)[:-43] + token_of(other)[-43:]

    assert refresh(phone, forged).code == "not_authenticated"


def test_an_access_token_is_no_refresh_token(phone: Phone) -> None:
    assert refresh(phone, phone.tokens["access_token"]).code == "not_authenticated"


def test_a_session_that_is_not_used_expires(phone: Phone, clock: Clock, stored: Stored) -> None:
    clock.advance(days=60, seconds=1)

    assert refresh(phone, token_of(phone)).code == "not_authenticated"
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


# Logging out


def test_logging_out_ends_the_session(phone: Phone) -> None:
    answer = log_out(phone, token_of(phone))

    assert (answer.status, answer.text) == (204, "")
    assert refresh(phone, token_of(phone)).code == "not_authenticated"


def test_logging_out_again_is_no_error(phone: Phone) -> None:
    log_out(phone, token_of(phone))

    assert log_out(phone, token_of(phone)).status == 204


def test_logging_out_with_garbage_is_no_error(nobody: Phone) -> None:
    assert log_out(nobody, "garbage").status == 204


def test_logging_out_with_the_token_just_replaced_ends_the_session(phone: Phone) -> None:
    replacement = refreshed(phone, token_of(phone))

    assert log_out(phone, token_of(phone)).status == 204
    assert refresh(phone, replacement).status == 401


def test_logging_out_leaves_other_sessions_alone(phone: Phone) -> None:
    tablet = str(log_in(phone).json["refresh_token"])

    log_out(phone, token_of(phone))

    assert refresh(phone, tablet).status == 200


def test_a_stranger_who_knows_the_session_cannot_end_it(phone: Phone, other: Phone) -> None:
    forged = token_of(phone)[:-43] + token_of(other)[-43:]

    assert log_out(other, forged).status == 204
    assert refresh(phone, token_of(phone)).status == 200


def test_a_log_out_that_the_table_refuses_can_be_repeated(phone: Phone, faults: Faults) -> None:
    faults.refuse("dynamodb", "UpdateItem", times=1)
    assert log_out(phone, token_of(phone)).status == 503

    assert log_out(phone, token_of(phone)).status == 204
    assert refresh(phone, token_of(phone)).status == 401


# The profile


def test_a_profile_is_its_owners_alone(phone: Phone, other: Phone) -> None:
    assert phone.get("/me").json["email"] == phone.email
    assert other.get("/me").json["email"] == other.email


def test_a_profile_shows_neither_hash_nor_keys(phone: Phone) -> None:
    known = {"id", "email", "email_confirmed", "name", "created_at", "usage"}
    assert set(phone.get("/me").json) == known


def test_a_profile_counts_what_is_kept(phone: Phone) -> None:
    phone.upload_directly(b"some sound")

    usage = phone.get("/me").json["usage"]

    assert (usage["bytes"], usage["recordings"]) == (10, 1)


def test_a_name_can_be_changed(phone: Phone) -> None:
    answer = phone.patch("/me", {"name": "Ann \U0001f399"})

    assert (answer.status, answer.json["name"]) == (200, "Ann \U0001f399")
    assert phone.get("/me").json == answer.json


def test_null_takes_the_name_away(phone: Phone) -> None:
    phone.patch("/me", {"name": "Ann"})
    phone.patch("/me", {"name": None})

    assert phone.get("/me").json["name"] is None


@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": "x" * 101}, {"name": "a\nb"}, {"name": "a\n"}, {"name": 5}],
    ids=["missing", "empty", "101 characters", "newline", "last newline", "number"],
)
def test_a_name_that_will_not_do_is_refused(phone: Phone, body: object) -> None:
    answer = phone.patch("/me", body)

    assert (answer.status, answer.fields) == (400, ["name"])


def test_what_is_not_the_name_cannot_be_changed(phone: Phone) -> None:
    answer = phone.patch("/me", {"name": "Ann", "quota_bytes": 10**12})

    assert (answer.status, answer.fields) == (400, ["quota_bytes"])
    assert phone.get("/me").json["name"] is None


# An account that is gone


@pytest.fixture
def gone(phone: Phone, clients: Clients, settings: Settings) -> Phone:
    """A phone that is still logged in to an account that is no more."""
    clients.dynamodb.delete_item(
        TableName=settings.table, Key=to_attributes(account_key(phone.user_id))
    )
    return phone


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/me", None),
        ("PATCH", "/me", {"name": "Ann"}),
        ("POST", "/recordings", {"file_name": "a", "content_type": "audio/mp4", "size": 1}),
    ],
)
def test_a_token_of_an_account_that_is_gone_is_refused(
    gone: Phone, method: str, path: str, body: object
) -> None:
    answer = gone.call(method, path, body)

    assert (answer.status, answer.code) == (401, "not_authenticated")


def test_a_direct_upload_to_an_account_that_is_gone_is_refused(gone: Phone) -> None:
    assert gone.put_audio(uuid7(), b"some sound").code == "not_authenticated"


def test_the_session_of_an_account_that_is_gone_is_over(gone: Phone) -> None:
    answer = refresh(gone, token_of(gone))

    assert (answer.status, answer.code) == (401, "not_authenticated")


def test_nobody_logs_in_to_an_account_that_is_gone(gone: Phone) -> None:
    assert log_in(gone).code == "invalid_credentials"


def test_changing_the_name_does_not_bring_an_account_back(gone: Phone, stored: Stored) -> None:
    gone.patch("/me", {"name": "Ann"})

    assert "PROFILE" not in [item["sk"] for item in stored(f"USER#{gone.user_id}")]
