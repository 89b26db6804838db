"""Operators act on one user: they find, suspend, lift and close, and the log says who did."""

from __future__ import annotations

import getpass
import io
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import account_key
from chalicelib.wiring import Services
from ops import users
from tests.conftest import Clock, Left
from tests.core.test_upkeep import Edit, edit
from tests.support.audits import Tool
from tests.support.faults import Faults
from tests.support.iam import ACCOUNT
from tests.support.phone import PASSWORD, Answer, Phone

SOUND = b"some sound"
__all__ = ["edit"]
NOBODYS_ID = "01a1b2c3-0000-7000-8000-000000000000"


class Ran(NamedTuple):
    """What a run of the command came to."""

    code: int
    found: Any
    log: Any
    said: str


Run = Callable[..., Ran]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    clients: Clients,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Runs the command in this process, with somebody at the terminal."""

    def run(action: str, who: str, *more: str, typed: str = "") -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        capsys.readouterr()
        code = users.main([action, who, *more], clients, clock)
        shown, said = capsys.readouterr()
        _, _, shown = shown.rpartition("Type ")
        found = shown[shown.index("{") :] if "{" in shown else "null"
        log = said.splitlines()[0] if said.startswith("{") else "null"
        return Ran(code, json.loads(found), json.loads(log), said)

    return run


# Finding


@pytest.mark.parametrize("spelt", [str, str.upper])
def test_a_user_is_found_by_address_with_what_they_have_and_what_it_costs(
    phone: Phone, run: Run, spelt: Callable[[str], str]
) -> None:
    phone.upload(SOUND)
    phone.on_another_device()

    found = run("find", spelt(phone.email)).found

    assert (found["id"], found["email"], found["state"]) == (phone.user_id, phone.email, "open")
    assert (found["recordings"], found["bytes"], found["sessions"]) == (1, len(SOUND), 2)
    assert found["dollars_a_month"] == 0


@pytest.mark.parametrize("action", ["find", "suspend"])
@pytest.mark.parametrize("by", ["id", "address"])
def test_a_user_whose_account_cannot_be_read_is_not_taken_for_nobody(
    phone: Phone, run: Run, edit: Edit, action: str, by: str
) -> None:
    edit(account_key(phone.user_id), password_version="seven")
    ran = run(action, phone.user_id if by == "id" else phone.email)

    assert (ran.code, ran.found) == (users.FAILED, None)
    assert f"PROFILE of USER#{phone.user_id} cannot be read" in ran.said


def test_a_user_is_found_by_id(phone: Phone, run: Run) -> None:
    assert run("find", phone.user_id).found["email"] == phone.email


def test_ten_gigabytes_of_a_thousand_recordings_are_a_quarter_of_a_dollar(
    phone: Phone, run: Run, tool: Tool
) -> None:
    tool.alter(account_key(phone.user_id), bytes_used=10_000_000_000, recordings_used=1000)

    assert run("find", phone.user_id).found["dollars_a_month"] == pytest.approx(0.2314, abs=1e-4)


@pytest.mark.parametrize(
    ("action", "who"),
    [
        *((action, NOBODYS_ID) for action in users.ACTIONS),
        *(("find", who) for who in ("nobody@example.com", "x", "@")),
    ],
)
def test_nobody_is_not_found(run: Run, action: str, who: str) -> None:
    ran = run(action, who)

    assert (ran.code, ran.found) == (users.NOBODY, None)
    assert ran.said.endswith("user: nobody has that address, id or link\n")


# Suspending


def refused(answer: Answer) -> bool:
    return (answer.status, answer.code) == (401, "not_authenticated")


def test_who_is_suspended_is_out_at_once(phone: Phone, run: Run) -> None:
    assert run("suspend", phone.email).found["state"] == "suspended"

    assert refused(phone.get("/me"))
    assert refused(phone.refresh())
    assert refused(phone.log_in())


def test_whoever_does_not_know_the_password_does_not_learn_of_it(phone: Phone, run: Run) -> None:
    run("suspend", phone.email)

    assert phone.log_in(password="another one, wrongly").code == "invalid_credentials"


def test_a_log_in_that_is_refused_so_is_no_failed_guess(
    phone: Phone, run: Run, services: Services
) -> None:
    run("suspend", phone.email)
    for _ in range(services.settings.login_failures_per_address + 1):
        assert refused(phone.log_in())


def test_nothing_of_who_is_suspended_is_deleted(phone: Phone, run: Run) -> None:
    id = phone.upload(SOUND)
    run("suspend", phone.email)

    run("lift", phone.email)

    assert phone.get(f"/recordings/{id}").json["size"] == len(SOUND)


def test_who_is_let_in_again_is_in_the_sessions_that_they_had(phone: Phone, run: Run) -> None:
    run("suspend", phone.email)

    assert run("lift", phone.email).found["state"] == "open"

    assert phone.get("/me").status == 200
    assert phone.refresh().status == 200
    assert phone.log_in().status == 200


def test_a_device_that_logs_out_meanwhile_is_out_for_good(phone: Phone, run: Run) -> None:
    run("suspend", phone.email)
    answer = phone.post("/auth/logout", {"refresh_token": phone.tokens["refresh_token"]})

    run("lift", phone.email)

    assert answer.status == 204
    assert refused(phone.get("/me"))


def test_a_log_in_under_way_as_one_is_suspended_begins_a_session_that_is_refused(
    phone: Phone, run: Run, faults: Faults
) -> None:
    faults.meanwhile("dynamodb", "PutItem", lambda: run("suspend", phone.email))

    tablet = phone.on_another_device()

    assert refused(tablet.get("/me"))


def test_suspending_again_keeps_since_when(phone: Phone, run: Run, clock: Clock) -> None:
    since = run("suspend", phone.email).found["suspended_at"]
    clock.advance(days=1)

    assert run("suspend", phone.email).found["suspended_at"] == since


# Closing


def test_who_is_closed_is_gone_as_if_they_had_gone_themselves(
    phone: Phone, run: Run, clear_away: Callable[[], None], left: Left
) -> None:
    phone.upload(SOUND)

    ran = run("close", phone.email, typed=f"{phone.user_id}\n")
    assert (ran.code, ran.found["state"]) == (users.DONE, "closed")
    assert refused(phone.get("/me"))

    clear_away()
    assert left(phone) == []
    assert run("find", phone.user_id).code == users.NOBODY


@pytest.mark.parametrize("typed", ["", "y\n", "the address\n"])
def test_nobody_is_closed_unless_somebody_types_the_id(phone: Phone, run: Run, typed: str) -> None:
    ran = run("close", phone.email, typed=typed)

    assert ran.code == users.FAILED
    assert "nothing was changed" in ran.said
    assert phone.get("/me").status == 200


def test_who_is_suspended_can_be_closed(phone: Phone, run: Run) -> None:
    run("suspend", phone.email)

    ran = run("close", phone.user_id, typed=f"{phone.user_id}\n")

    assert ran.found["state"] == "closed"


def test_what_is_closed_stays_as_it_is(phone: Phone, run: Run) -> None:
    phone.delete("/me", body={"password": PASSWORD})

    ran = {action: run(action, phone.user_id) for action in ("suspend", "lift", "close")}

    assert {action: each.code for action, each in ran.items()} == {
        "suspend": users.FAILED,
        "lift": users.FAILED,
        "close": users.DONE,
    }
    assert run("find", phone.user_id).found["state"] == "closed"


# Links


def shared(phone: Phone) -> tuple[str, str]:
    """A recording, and a code that opens it."""
    id = phone.upload(SOUND)
    return id, str(phone.post(f"/recordings/{id}/links").json["code"])


def opens(code: str) -> bool:
    return Phone().get(f"/s/{code}").status == 200


@pytest.mark.parametrize("spelt", [str.upper, "https://api.example.com/prod/s/{}".format])
def test_a_link_that_was_reported_is_taken_back_whoever_made_it(
    phone: Phone, run: Run, spelt: Callable[[str], str]
) -> None:
    id, code = shared(phone)
    _, staying = shared(phone)

    assert run("find", spelt(code)).found["email"] == phone.email
    assert opens(code)
    ran = run("take-back", spelt(code), "--why", "ticket 12")

    assert (ran.code, ran.found["id"], ran.log["recording"]) == (users.DONE, phone.user_id, id)
    assert code not in ran.said
    assert (opens(code), opens(staying)) == (False, True)
    assert run("take-back", code).code == users.NOBODY


def test_nothing_is_taken_back_of_who_is_named_otherwise(phone: Phone, run: Run) -> None:
    _, code = shared(phone)

    ran = run("take-back", phone.email)

    assert (ran.code, "that is no link" in ran.said) == (users.FAILED, True)
    assert opens(code)


# The log


@pytest.mark.parametrize("action", ["find", "suspend", "lift"])
def test_each_leaves_a_line_with_who_did_what_to_whom_and_why(
    phone: Phone, run: Run, action: str
) -> None:
    ran = run(action, phone.email, "--why", "ticket 12")

    asked = {name: ran.log[name] for name in ("action", "user", "why", "by", "level")}
    assert asked == {
        "action": action,
        "user": phone.user_id,
        "why": "ticket 12",
        "by": getpass.getuser(),
        "level": "INFO",
    }
    assert phone.email not in ran.said


@pytest.fixture
def on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the command take moto for AWS."""
    monkeypatch.setattr(users, "leads_elsewhere", lambda: False)


@pytest.mark.usefixtures("on_aws")
def test_on_aws_the_line_is_in_the_stages_log_with_the_callers_identity(
    phone: Phone, run: Run, clients: Clients, services: Services
) -> None:
    group = f"/aws/lambda/recorder-{services.settings.stage}"

    for action in ("find", "suspend"):
        assert run(action, phone.email).code == users.DONE

    events = clients.session.client("logs").get_log_events(
        logGroupName=group, logStreamName="operators"
    )["events"]
    lines = [json.loads(event["message"]) for event in events]
    assert [line["action"] for line in lines if line["user"] == phone.user_id] == [
        "find",
        "suspend",
    ]
    assert f":{ACCOUNT}:" in lines[0]["by"]


@pytest.mark.usefixtures("on_aws")
def test_what_cannot_be_written_down_is_not_done(
    phone: Phone, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "name_in_lambda", lambda *_: "a-log-that-is-not-there")

    ran = run("suspend", phone.email)

    assert ran.code == users.FAILED
    assert "ResourceNotFoundException" in ran.said
    assert phone.get("/me").status == 200


# What goes wrong


def test_a_table_that_does_not_answer_is_said(phone: Phone, run: Run, faults: Faults) -> None:
    faults.refuse("dynamodb", "UpdateItem", status=503)

    ran = run("suspend", phone.email)

    assert ran.code == users.FAILED
    assert "it could not be done" in ran.said


def test_without_data_that_lasts_there_is_nobody(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDER_BACKEND", "embedded")

    assert run("find", "ann@example.com").code == users.FAILED
