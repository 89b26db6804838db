"""Mail: confirming an address, the outbox and the post, and the pages that links open."""

from __future__ import annotations

import importlib
import json
import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from app import app
from chalicelib import jobs
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, account_key, to_attributes
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from local.embedded.backend import SENDER
from local.embedded.environment import REGION
from tests.conftest import LAMBDA, Clock, Context
from tests.support.faults import Faults
from tests.support.mail import delivered_to, token_in
from tests.support.moto.mailbox import mails
from tests.support.phone import PASSWORD, Answer, Phone

PAGES = ["/auth/password/reset", "/auth/email/confirm"]
Stored = Callable[..., list[Item]]


def confirm(phone: Phone, token: str) -> Answer:
    return phone.post("/auth/email/confirm", {"token": token})


def ask_again(phone: Phone) -> Answer:
    return phone.post("/me/email/confirmation")


def forgot(phone: Phone) -> Answer:
    return phone.post("/auth/password/forgot", {"email": phone.email})


def is_confirmed(phone: Phone) -> bool:
    return bool(phone.get("/me").json["email_confirmed"])


# Addresses


@pytest.mark.parametrize(
    "email",
    [
        "ann@@example.com",
        "ann@-example.com",
        "ann@exa_mple.com",
        "ann@example..com",
        ".ann@example.com",
        "ann.@example.com",
        "a..nn@example.com",
        '"ann"@example.com',
        "ann@[192.0.2.1]",
        "ann@example.com.",
        "Ann <ann@example.com>",
        f"{'a' * 65}@example.com",
        "a\u202enn@example.com",
    ],
)
def test_what_can_be_no_address_is_refused_by_its_name(nobody: Phone, email: str) -> None:
    answer = nobody.post("/auth/signup", {"email": email, "password": PASSWORD})

    assert (answer.status, answer.fields) == (400, ["email"])
    assert email not in answer.text


@pytest.mark.parametrize(
    "email",
    [
        "ann+tag@example.com",
        "ann@localhost",
        "ann@recorder.test",
        "ann@printer.local",
        "o'neil@example.org",
        "\u7528\u6237@\u4f8b\u5b50.\u5e7f\u544a",
        "ann@xn--bcher-kva.example",
    ],
)
def test_what_can_be_an_address_is_taken(nobody: Phone, email: str) -> None:
    answer = nobody.post("/auth/signup", {"email": email, "password": PASSWORD})

    assert (answer.status, answer.json["user"]["email"]) == (201, email)


# Confirming


def test_a_link_confirms_the_address_and_can_be_opened_again(phone: Phone) -> None:
    token = token_in(delivered_to(phone.email)[0])
    assert not is_confirmed(phone)

    answer, again = confirm(phone, token), confirm(phone, token)

    assert (answer.status, answer.text) == (204, "")
    assert again.status == 204
    assert is_confirmed(phone)


def test_a_link_confirms_for_a_day(phone: Phone, clock: Clock) -> None:
    token = token_in(delivered_to(phone.email)[0])
    clock.advance(hours=24, seconds=1)

    answer = confirm(phone, token)

    assert (answer.status, answer.code, answer.fields) == (400, "invalid_request", ["token"])


def test_a_link_to_a_new_password_does_not_confirm(phone: Phone) -> None:
    assert confirm(phone, link_for(phone)).status == 400


def test_a_link_can_be_asked_for_again(phone: Phone) -> None:
    delivered_to(phone.email)
    assert ask_again(phone).status == 202
    first, second = delivered_to(phone.email)

    assert confirm(phone, token_in(first)).status == 400
    assert confirm(phone, token_in(second)).status == 204


def test_who_is_confirmed_gets_no_further_link(phone: Phone) -> None:
    confirm(phone, token_in(delivered_to(phone.email)[0]))

    assert ask_again(phone).status == 202
    assert len(delivered_to(phone.email)) == 1


def test_asking_again_is_limited_for_half_an_hour(phone: Phone, clock: Clock) -> None:
    answers = []
    for _ in range(5):
        delivered_to(phone.email)
        answers.append(ask_again(phone))
    clock.advance(minutes=31)

    assert [answer.status for answer in answers] == [202] * 4 + [429]
    assert answers[4].code == "too_many_attempts"
    assert int(answers[4].headers["retry-after"]) > 1700
    assert ask_again(phone).status == 202
    assert len(delivered_to(phone.email)) == 6


def test_signing_up_again_and_again_sends_no_more_mails_than_asking(phone: Phone) -> None:
    for _ in range(6):
        delivered_to(phone.email)
        assert phone.delete("/me", body={"password": PASSWORD}).status == 204
        phone.tokens = {}
        phone.sign_up()

    assert phone.get("/me").status == 200
    assert len(delivered_to(phone.email)) == 5


def test_a_mail_that_is_left_out_leaves_the_last_link_good(phone: Phone, stored: Stored) -> None:
    for _ in range(5):
        forgot(phone)
        mails = delivered_to(phone.email)
    forgot(phone)

    assert delivered_to(phone.email) == mails
    assert waiting(stored) == []
    new = {"token": token_in(mails[-1]), "new_password": "a quite different one"}
    assert phone.post("/auth/password/reset", new).status == 204


def test_a_mail_that_could_not_be_sent_is_not_counted(
    phone: Phone, faults: Faults, clock: Clock
) -> None:
    faults.refuse("sesv2", "SendEmail", times=5)
    for _ in range(6):
        clock.advance(minutes=3)
        ask_again(phone)
        delivered_to(phone.email)

    assert len(delivered_to(phone.email)) == 1


# What may be done before


def test_an_operator_can_ask_for_confirmation_first(
    phone: Phone, configure: Callable[..., None]
) -> None:
    assert phone.get("/recordings").status == 200
    configure(unconfirmed_may="account")

    refused = phone.get("/recordings")

    assert (refused.status, refused.code) == (403, "email_not_confirmed")
    assert phone.announce(b"x").code == "email_not_confirmed"
    assert phone.get("/me").status == phone.get("/me/sessions").status == 200
    confirm(phone, token_in(delivered_to(phone.email)[0]))
    assert phone.get("/recordings").status == 200


# The outbox


def waiting(stored: Stored) -> list[Item]:
    return stored("OUTBOX")


def test_a_sign_up_is_never_without_its_mail(nobody: Phone, stored: Stored, faults: Faults) -> None:
    faults.lose_the_answer("dynamodb", "TransactWriteItems", times=1)
    nobody.post("/auth/signup", {"email": nobody.email, "password": PASSWORD})

    assert [letter["email"] for letter in waiting(stored)] == [nobody.email]


def test_no_request_waits_for_ses(nobody: Phone, faults: Faults) -> None:
    calls = faults.record()
    nobody.sign_up()
    forgot(nobody)
    ask_again(nobody)

    assert not [call for call in calls if call.name.startswith("sesv2")]


def test_a_mail_that_ses_refuses_is_tried_again_later(
    phone: Phone, faults: Faults, clock: Clock, stored: Stored
) -> None:
    faults.refuse("sesv2", "SendEmail", "MessageRejected", 400, times=1)
    assert [delivered_to(phone.email) for _ in range(2)] == [[], []]
    assert len(waiting(stored)) == 1

    clock.advance(minutes=2)

    assert len(delivered_to(phone.email)) == 1
    assert waiting(stored) == []


def test_each_wait_is_twice_as_long(phone: Phone, faults: Faults, clock: Clock) -> None:
    faults.refuse("sesv2", "SendEmail")
    tries = faults.asked("sesv2", "SendEmail")
    for _ in range(60):
        delivered_to(phone.email)
        clock.advance(minutes=1)

    assert 4 <= len(tries) <= 7


def test_a_mail_is_given_up_after_a_day(
    phone: Phone, faults: Faults, clock: Clock, stored: Stored
) -> None:
    faults.refuse("sesv2", "SendEmail")
    clock.advance(days=1, seconds=1)
    delivered_to(phone.email)

    assert waiting(stored) == []


def test_one_mail_that_cannot_be_sent_holds_up_no_other(
    phone: Phone, other: Phone, faults: Faults
) -> None:
    faults.refuse("sesv2", "SendEmail", times=1)
    delivered_to(phone.email)

    assert len(delivered_to(phone.email)) + len(delivered_to(other.email)) == 1


def test_a_mail_whose_answer_was_lost_comes_again_and_its_link_works(
    phone: Phone, faults: Faults, clock: Clock
) -> None:
    faults.lose_the_answer("sesv2", "SendEmail", times=1)
    delivered_to(phone.email)
    clock.advance(minutes=2)
    _, second = delivered_to(phone.email)

    assert confirm(phone, token_in(second)).status == 204


def test_two_posts_at_once_send_a_mail_once(
    phone: Phone, services: Services, faults: Faults
) -> None:
    faults.meanwhile("dynamodb", "UpdateItem", services.mail.deliver)

    assert len(delivered_to(phone.email)) == 1


def test_a_mail_asked_for_while_the_last_one_is_sent_is_sent_too(
    phone: Phone, services: Services, faults: Faults
) -> None:
    delivered_to(phone.email)
    forgot(phone)
    faults.meanwhile(
        "sesv2", "SendEmail", lambda: services.passwords.forgot(phone.email, "192.0.2.1")
    )

    assert len(delivered_to(phone.email)) == 2
    assert len(delivered_to(phone.email)) == 3


def test_an_account_that_is_gone_gets_no_mail(
    phone: Phone, clients: Clients, settings: Settings, stored: Stored
) -> None:
    clients.dynamodb.delete_item(
        TableName=settings.table, Key=to_attributes(account_key(phone.user_id))
    )

    assert delivered_to(phone.email) == []
    assert waiting(stored) == []


@pytest.mark.parametrize("setting", ["mail_from", "public_url"])
def test_mails_wait_for_the_settings_that_they_need(
    phone: Phone, configure: Callable[..., None], stored: Stored, setting: str
) -> None:
    configure(**{setting: None})

    assert delivered_to(phone.email) == []
    assert len(waiting(stored)) == 1


def test_the_log_has_neither_address_nor_token(
    phone: Phone, clock: Clock, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    said = f"Email address is not verified: {phone.email}"
    faults.refuse(
        "sesv2", "SendEmail", status=400, Error={"Code": "MessageRejected", "Message": said}
    )
    delivered_to(phone.email)
    clock.advance(days=1, seconds=1)
    delivered_to(phone.email)

    assert "tried again" in caplog.text
    assert "given up: SendEmail was refused: MessageRejected" in caplog.text
    assert phone.email not in caplog.text
    assert phone.user_id not in caplog.text


def test_a_schedule_sends_what_waits(phone: Phone, stored: Stored) -> None:
    assert [letter["email"] for letter in waiting(stored)] == [phone.email]

    [job] = [each for each in app.event_sources if each.name == "deliver_mail"]
    module, _, function = job.handler_string.rpartition(".")
    getattr(importlib.import_module(module), function)({}, LAMBDA)

    assert waiting(stored) == []


# The pages


@pytest.mark.parametrize("path", PAGES)
def test_a_link_opens_a_page_that_posts_to_its_own_address_and_tells_nobody(
    nobody: Phone, path: str
) -> None:
    page = nobody.get(path)
    policy = page.headers["content-security-policy"]

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "fetch(location.pathname" in page.text
    assert "location.hash" in page.text
    for tag in ("script", "style"):
        (inline,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.text, re.DOTALL)
        assert f"'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'")
    assert page.headers["referrer-policy"] == "no-referrer"


def test_no_link_can_be_made_from_what_the_table_holds(phone: Phone, stored: Stored) -> None:
    token = token_in(delivered_to(phone.email)[0])

    assert token.rpartition(".")[2] not in json.dumps(stored(), default=str)


@pytest.mark.parametrize(
    ("domain", "sent_to"),
    [
        ("stra\u00dfe.example", "xn--strae-oqa.example"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_mail_goes_from_whom_is_set_to_the_very_domain_of_the_address_in_ascii(
    nobody: Phone, faults: Faults, domain: str, sent_to: str
) -> None:
    nobody.email = f"ceo@{domain}"
    nobody.sign_up()
    asked = faults.asked("sesv2", "SendEmail")

    assert len(delivered_to(f"ceo@{sent_to}")) == 1
    assert [each["FromEmailAddress"] for each in asked] == [SENDER]


# Order, and time.


def test_the_oldest_goes_first_and_of_one_minute_new_passwords(
    phone: Phone, other: Phone, clock: Clock
) -> None:
    clock.stop(datetime(2026, 5, 6, 10, 11, tzinfo=UTC))
    forgot(phone)
    clock.advance(minutes=1)
    ask_again(other)
    clock.advance(seconds=1)
    forgot(other)
    delivered_to(phone.email)

    sent = [(mail["to"], mail["subject"]) for mail in mails(REGION)]
    assert sent[:3] == [
        (phone.email, "Set a new password"),
        (other.email, "Set a new password"),
        (other.email, "Confirm your address"),
    ]


def test_a_run_that_has_no_time_leaves_the_rest_as_it_was(
    phone: Phone, stored: Stored, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    forgot(phone)
    before = waiting(stored)
    jobs.deliver_mail({}, Context(60_000, 60_000, 60_000, 20_000))

    (left,) = waiting(stored)
    assert left in before
    assert lines()[-1]["mails_sent"] == 1


def test_what_could_not_be_sent_is_a_metric(
    phone: Phone, faults: Faults, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    forgot(phone)
    faults.refuse("sesv2", "SendEmail")
    lines()
    jobs.deliver_mail({}, LAMBDA)

    assert lines()[-1]["mails_failed"] == 2
