"""Changing one's address: it is confirmed at the new one, told at the old one, and no way in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.aws.dynamodb.items import Item
from local.embedded.environment import REGION
from tests.conftest import Clock
from tests.support.faults import Faults
from tests.support.mail import delivered_to, link_for, token_in
from tests.support.moto.mailbox import mails
from tests.support.phone import PASSWORD, Answer, Phone

Stored = Callable[..., list[Item]]
NEW = "new@example.org"


def ask(phone: Phone, email: str = NEW, **proof: object) -> Answer:
    return phone.post("/me/email", {"email": email} | (proof or {"password": PASSWORD}))


def link(phone: Phone, email: str = NEW) -> str:
    """The token of the link that is mailed to a new address."""
    assert ask(phone, email).status == 202
    return token_in(delivered_to(email)[-1])


def open_link(token: str) -> Answer:
    return Phone().post("/auth/email/confirm", {"token": token})


def address(phone: Phone) -> str:
    return str(phone.get("/me").json["email"])


def owners(stored: Stored) -> set[str]:
    return {item["pk"] for item in stored() if item["pk"].startswith("EMAIL#")}


def test_the_link_makes_the_change_and_again_is_no_error(phone: Phone, stored: Stored) -> None:
    old, tablet = phone.email, phone.on_another_device()
    token = link(phone)
    assert address(phone) == old
    assert [mail["subject"] for mail in delivered_to(old)][-1] == "Your address is to change"
    assert NEW not in delivered_to(old)[-1]["text"]

    assert [open_link(token).status for _ in range(2)] == [204, 204]

    assert (address(phone), address(tablet)) == (NEW, NEW)
    assert phone.get("/me").json["email_confirmed"]
    assert owners(stored) == {f"EMAIL#{NEW}"}
    assert phone.log_in(email=NEW).status == 200
    assert phone.log_in(email=old).code == "invalid_credentials"


def test_nothing_changes_without_the_proof(phone: Phone) -> None:
    wrong = ask(phone, password="wrong password")

    assert (wrong.code, ask(phone, id_token="x").code) == ("invalid_credentials",) * 2
    assert delivered_to(NEW) == []


@pytest.mark.parametrize("email", ["new", "new@example.org\n@x", "", "new@@example.org"])
def test_what_is_no_address_is_refused_by_its_name(phone: Phone, email: str) -> None:
    answer = ask(phone, email)

    assert (answer.status, answer.fields) == (400, ["email"])


def test_an_address_of_somebody_elses_is_taken(phone: Phone, other: Phone) -> None:
    answer = ask(phone, other.email.upper())

    assert (answer.status, answer.code) == (409, "email_taken")
    assert delivered_to(other.email) == delivered_to(other.email)[:1]


def test_an_address_that_was_taken_meanwhile_stays_with_who_took_it(
    phone: Phone, nobody: Phone
) -> None:
    old, token = phone.email, link(phone)
    nobody.email = NEW
    nobody.sign_up()

    answer = open_link(token)

    assert (answer.status, answer.code) == (409, "email_taken")
    assert (address(phone), address(nobody)) == (old, NEW)


def test_the_same_address_in_another_spelling_may_be_had(phone: Phone, stored: Stored) -> None:
    spelling, before = phone.email.replace("ann", "Ann"), owners(stored)

    assert open_link(link(phone, spelling)).status == 204

    assert (address(phone), owners(stored)) == (spelling, before)


def test_a_link_is_good_for_a_day(phone: Phone, clock: Clock) -> None:
    token = link(phone)
    clock.advance(hours=24.1)

    assert open_link(token).code == "invalid_request"
    assert address(phone) == phone.email


def test_only_the_last_that_was_asked_for_is_made(phone: Phone) -> None:
    first = link(phone, "first@example.org")
    second = link(phone, "second@example.org")

    assert open_link(first).code == "invalid_request"
    assert open_link(second).status == 204
    assert open_link(first).code == "invalid_request"
    assert address(phone) == "second@example.org"


def test_a_link_to_one_address_never_confirms_another(phone: Phone, faults: Faults) -> None:
    # It is asked for another one while the first mail is on its way.
    assert ask(phone, "first@example.org").status == 202
    faults.meanwhile("dynamodb", "UpdateItem", lambda: ask(phone, "second@example.org"), after=2)
    sent = delivered_to("first@example.org")
    assert faults.met == 1

    for mail in sent:
        assert open_link(token_in(mail)).code == "invalid_request"
    assert address(phone) == phone.email


@pytest.mark.parametrize("how", ["change", "reset"])
def test_a_new_password_takes_it_back(phone: Phone, how: str) -> None:
    # Somebody knows the password, and the owner is told of what they do with it.
    token = link(phone)
    if how == "change":
        body = {"current_password": PASSWORD, "new_password": "quite another one"}
        assert phone.post("/me/password", body).status == 204
    else:
        body = {"token": link_for(phone), "new_password": "quite another one"}
        assert phone.post("/auth/password/reset", body).status == 204

    assert open_link(token).code == "invalid_request"
    phone.tokens = phone.log_in(password="quite another one").json
    assert address(phone) == phone.email


def test_a_reset_that_overtakes_the_change_leaves_none(phone: Phone, faults: Faults) -> None:
    body = {"token": link_for(phone), "new_password": "quite another one"}
    # Once the proof was good, and before the change is noted.
    faults.meanwhile(
        "dynamodb",
        "TransactWriteItems",
        lambda: Phone().post("/auth/password/reset", body),
        after=2,
    )

    assert ask(phone).status == 503
    assert faults.met == 1
    assert delivered_to(NEW) == []


def test_what_was_mailed_to_the_old_address_is_good_no_more(phone: Phone) -> None:
    reset = link_for(phone)
    confirmation = token_in(delivered_to(phone.email)[0])
    assert open_link(link(phone)).status == 204

    body = {"token": reset, "new_password": "quite another one"}
    assert Phone().post("/auth/password/reset", body).code == "invalid_request"
    assert open_link(confirmation).code == "invalid_request"


def test_a_reset_that_is_on_its_way_to_the_old_address_is_void(
    phone: Phone, faults: Faults
) -> None:
    token, old = link(phone), phone.email
    assert Phone().post("/auth/password/forgot", {"email": old}).status == 202
    # After the account was read, and before the link is kept.
    faults.meanwhile("dynamodb", "UpdateItem", lambda: open_link(token), after=2)

    subjects = [mail["subject"] for mail in delivered_to(old)]

    assert faults.met == 1
    assert "Set a new password" not in subjects
    assert address(phone) == NEW


def test_the_old_address_is_told_even_if_the_change_comes_first(
    phone: Phone, faults: Faults, clock: Clock
) -> None:
    old = phone.email
    assert ask(phone).status == 202
    faults.refuse("sesv2", "SendEmail", times=1)  # The confirmation of the sign-up.
    token = token_in(delivered_to(NEW)[-1])
    faults.clear()
    assert open_link(token).status == 204
    clock.advance(minutes=5)

    assert "Your address is to change" in [mail["subject"] for mail in delivered_to(old)]


def test_five_changes_are_asked_for_in_half_an_hour(phone: Phone, clock: Clock) -> None:
    statuses = [ask(phone, f"new{number}@example.org").status for number in range(6)]

    assert statuses == [202] * 5 + [429]
    clock.advance(minutes=31)
    assert ask(phone).status == 202


def test_an_address_is_sent_five_links_whoever_asks(configure: Callable[..., None]) -> None:
    configure(signups_per_source=0)
    for _ in range(7):
        assert ask(Phone().sign_up()).status == 202

    assert len(delivered_to(NEW)) == 5


def test_a_link_to_confirm_the_sign_up_changes_no_address(phone: Phone) -> None:
    old = phone.email
    (mail,) = delivered_to(old)
    confirmation = token_in(mail)
    link(phone)

    assert open_link(confirmation).status == 204
    assert address(phone) == old


def test_a_change_that_failed_can_be_repeated(phone: Phone, faults: Faults) -> None:
    for fail in (faults.refuse, faults.lose_the_answer):
        fail("dynamodb", "TransactWriteItems", times=1)
        assert ask(phone).status == 503
        faults.clear()
    token = link(phone)
    for fail in (faults.refuse, faults.lose_the_answer):
        fail("dynamodb", "TransactWriteItems", times=1)
        assert open_link(token).status in {503, 204}
        faults.clear()

    assert open_link(token).status == 204
    assert address(phone) == NEW


def test_each_mail_says_what_it_is_and_no_more(phone: Phone) -> None:
    link(phone)

    texts: list[dict[str, Any]] = [
        mail for mail in mails(REGION) if mail["to"] in {NEW, phone.email}
    ]
    assert not any("{" in mail["text"] or "{" in mail["subject"] for mail in texts)
