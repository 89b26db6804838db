"""Accounts: signing up, logging in, the profile, and what is kept of it all."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
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
from tests.support.faults import Faults
from tests.support.phone import PASSWORD, Answer, Phone

Stored = Callable[..., list[Item]]
Form = Literal["NFC", "NFD"]
COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"  # Two spellings of the same letter.


def sign_up(phone: Phone, **fields: object) -> Answer:
    return phone.post("/auth/signup", {"email": phone.email, "password": PASSWORD} | fields)


def hash_of(phone: Phone, stored: Stored) -> str:
    (profile,) = [item for item in stored(f"USER#{phone.user_id}") if item["sk"] == "PROFILE"]
    return str(profile["password_hash"])


def but_for_attempts(items: list[Item]) -> list[Item]:
    return [item for item in items if not item["pk"].startswith("ATTEMPTS#")]


# Signing up


def test_signing_up_opens_an_account_and_a_session(nobody: Phone, settings: Settings) -> None:
    answer = sign_up(nobody, name="Ann")
    nobody.tokens = answer.json
    user = answer.json["user"]

    assert answer.status == 201
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 900)
    assert (user["email"], user["name"]) == (nobody.email, "Ann")
    quota = {"quota_bytes": settings.quota_bytes, "quota_recordings": settings.quota_recordings}
    assert user["usage"] == {"bytes": 0, "recordings": 0, **quota}
    assert nobody.get("/me").json == user


def test_an_account_may_go_without_a_name(nobody: Phone) -> None:
    assert sign_up(nobody).json["user"]["name"] is None


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("ann@example.com", "Ann@EXAMPLE.com"),
        (f"zo{COMPOSED}@example.com", f"zo{DECOMPOSED}@example.com"),
        (f"zo{COMPOSED}@example.com", f"ZO{COMPOSED.upper()}@example.com"),
        ("straße@example.com", "STRASSE@example.com"),
        ("ann@example.com", "\uff21\uff4e\uff4e@\uff45xample.com"),
        ("ann@b\u00fccher.example", "ann@xn--bcher-kva.example"),
        ("ann@XN--BCHER-KVA.example", "ann@B\u00dcCHER.example."),
        ("ann@b\u00fccher.example", "ann@bu\u0308cher\u3002example"),
    ],
)
def test_an_address_is_the_same_in_every_spelling(one: str, another: str) -> None:
    assert comparable(one) == comparable(another)


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
def test_domains_that_look_alike_are_two(one: str, another: str) -> None:
    assert comparable(f"ann@{one}") != comparable(f"ann@{another}")


def test_an_address_is_taken_and_logs_in_in_another_spelling(nobody: Phone) -> None:
    assert sign_up(nobody, email="ann@b\u00fccher.example").status == 201

    again = sign_up(nobody, email="ANN@xn--bcher-kva.example")

    assert (again.status, again.code) == (409, "email_taken")
    assert nobody.log_in(email="ann@B\u00dcCHER.example.").status == 200


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


def test_a_sign_up_that_the_table_refuses_leaves_nothing_behind_and_can_be_repeated(
    nobody: Phone, stored: Stored, faults: Faults
) -> None:
    faults.refuse("dynamodb", "TransactWriteItems", times=1)

    assert sign_up(nobody).status == 503
    assert but_for_attempts(stored()) == []
    assert sign_up(nobody).status == 201


def test_a_sign_up_whose_answer_was_lost_can_be_logged_in_to(nobody: Phone, faults: Faults) -> None:
    faults.lose_the_answer("dynamodb", "TransactWriteItems", times=1)

    assert sign_up(nobody).status == 503
    assert nobody.log_in().status == 200


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
    assert nobody.log_in(password=password).status == 200


def test_every_byte_of_a_password_counts(nobody: Phone) -> None:
    sign_up(nobody, password="a" * 71 + "b")

    assert nobody.log_in(password="a" * 71 + "c").status == 401


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")], ids="-".join)
@pytest.mark.parametrize("word", ["caf\u00e9 cr\u00e8me", "\u1f82" * 24], ids=["short", "72 bytes"])
def test_a_password_is_the_same_in_either_normal_form(
    nobody: Phone, word: str, forms: tuple[Form, Form]
) -> None:
    first, second = (unicodedata.normalize(form, word) for form in forms)

    assert sign_up(nobody, password=first).status == 201
    assert nobody.log_in(password=second).status == 200


def test_characters_are_counted_in_the_form_that_is_hashed(nobody: Phone) -> None:
    seven = DECOMPOSED * 7

    assert sign_up(nobody, password=seven).fields == ["password"]


def test_a_password_is_told_apart_by_case(phone: Phone) -> None:
    assert phone.log_in(password=PASSWORD.upper()).status == 401


# Logging in


def test_logging_in_gives_a_session_of_its_own(phone: Phone) -> None:
    tablet = phone.on_another_device(device="tablet")

    assert tablet.tokens["user"] == phone.tokens["user"]
    assert tablet.session_id != phone.session_id
    assert tablet.refresh().status == phone.refresh().status == 200


def test_a_wrong_password_and_an_unknown_address_are_answered_alike(phone: Phone) -> None:
    wrong = phone.log_in(password="not my password")
    unknown = phone.log_in(email="nobody@example.com")

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
    phone.log_in(password="not my password")
    phone.log_in(email="nobody@example.com")

    assert [(hashed[:7], len(hashed)) for hashed in checked] == [(b"$2b$04$", 60)] * 2


# What is kept


def test_no_secret_can_be_read_from_the_table(phone: Phone, stored: Stored) -> None:
    tokens = [str(each["refresh_token"]) for each in (phone.tokens, phone.refresh().json)]
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
    before = hash_of(phone, stored)
    phone.log_in()
    assert hash_of(phone, stored) == before
    configure(bcrypt_cost=5)
    assert phone.log_in(password="not my password").status == 401
    assert hash_of(phone, stored).startswith("$2b$04$")

    assert phone.log_in().status == 200
    assert hash_of(phone, stored).startswith("$2b$05$")
    assert phone.log_in().status == phone.get("/me").status == 200


def test_a_log_in_does_not_bring_back_a_password_that_was_changed_meanwhile(
    phone: Phone, configure: Callable[..., None], faults: Faults
) -> None:
    configure(bcrypt_cost=5, login_failures_per_address=0, login_failures_per_source=0)
    new = {"current_password": PASSWORD, "new_password": "a quite different one"}
    faults.meanwhile("dynamodb", "UpdateItem", lambda: phone.post("/me/password", new))

    phone.log_in()

    assert faults.met == 1
    assert phone.log_in().status == 401
    assert phone.log_in(password="a quite different one").status == 200


def test_a_change_goes_on_though_a_log_in_hashed_anew_meanwhile(
    phone: Phone, configure: Callable[..., None], faults: Faults
) -> None:
    configure(bcrypt_cost=5)
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: phone.log_in())
    new = {"current_password": PASSWORD, "new_password": "a quite different one"}

    assert phone.post("/me/password", new).status == 204
    assert phone.log_in(password="a quite different one").status == 200


# The profile


def test_a_profile_is_its_owners_alone(phone: Phone, other: Phone) -> None:
    assert phone.get("/me").json["email"] == phone.email
    assert other.get("/me").json["email"] == other.email


def test_a_profile_shows_neither_hash_nor_keys(phone: Phone) -> None:
    known = {"id", "email", "email_confirmed", "name", "created_at", "usage", "sign_in"}
    assert set(phone.get("/me").json) == known


def test_a_profile_counts_what_is_kept(phone: Phone) -> None:
    phone.upload_directly(b"some sound")

    assert phone.usage() == (10, 1)


def test_a_name_can_be_changed_and_taken_away(phone: Phone) -> None:
    names = {"Ann \U0001f399": "Ann \U0001f399", None: None, "A\nB": "A B", "": None}
    for name, kept in names.items():
        answer = phone.patch("/me", {"name": name})
        assert (answer.status, answer.json["name"]) == (200, kept)
        assert phone.get("/me").json == answer.json


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "x" * 101}, {"name": "a\0b"}, {"name": 5}],
    ids=["missing", "101 characters", "control", "number"],
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


def test_an_account_that_is_gone_is_none_and_does_not_come_back(
    gone: Phone, stored: Stored
) -> None:
    answers = [
        gone.get("/me"),
        gone.patch("/me", {"name": "Ann"}),
        gone.announce(b"some sound"),
        gone.put_audio(uuid7(), b"some sound"),
    ]

    assert {(answer.status, answer.code) for answer in answers} == {(401, "not_authenticated")}
    assert gone.log_in().code == "invalid_credentials"
    assert "PROFILE" not in [item["sk"] for item in stored(f"USER#{gone.user_id}")]


def test_the_session_of_an_account_that_is_gone_is_over(gone: Phone) -> None:
    answer = gone.refresh()

    assert (answer.status, answer.code) == (401, "not_authenticated")
