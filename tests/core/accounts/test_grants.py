"""What Apple gave is taken back when an account goes, and Apple being down delays nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from chalicelib import jobs, wiring
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item
from chalicelib.errors import Unavailable
from chalicelib.providers import apple
from chalicelib.providers.http import Answer
from local.provider import Provider
from tests.conftest import LAMBDA, Clock
from tests.support.faults import Faults
from tests.support.federation import IDS, Federation
from tests.support.mail import link_for
from tests.support.phone import NO_TLS, PASSWORD, Phone

Stored = Callable[..., list[Item]]
CODE = "c0de.of.apples"


@pytest.fixture
def told(
    federation: Federation, provider: Provider, configure: Callable[..., None]
) -> Iterator[list[str]]:
    """What Apple, which the app tells now, was told to revoke."""
    configure(
        apple_keys_url=f"{provider.url}/apple/keys",
        google_keys_url=f"{provider.url}/google/keys",
        apple_url=f"{provider.url}/apple",
        apple_client_secrets=f"{IDS['apple']}=its-secret",
    )
    assert federation
    provider.revoked.clear()
    yield provider.revoked
    provider.revoked.clear()


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[dict[str, Any]]]:
    """Has Apple answer with an error, or not at all (0)."""

    def fail(status: int, error: str = "invalid_client") -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def answer(name: str, url: str, form: dict[str, Any]) -> Answer:
            asked.append({"name": name, "url": url} | form)
            if not status:
                raise Unavailable("It does not answer")
            return Answer(status, httpx.Headers(), json.dumps({"error": error}).encode())  # type: ignore[arg-type]

        monkeypatch.setattr(apple, "ask", answer)
        return asked

    return fail


def added(federation: Federation, phone: Phone, password: str) -> int:
    """Add Apple to an account, by an app that hands over the code."""
    body = {"id_token": federation.token("apple", sub="ann"), "authorization_code": f"{CODE}.ann"}
    return phone.post("/me/sign-in/apple", body | {"password": password}).status


def signed_in(federation: Federation, sub: str = "ann") -> Phone:
    """Somebody who signed in with Apple, whose app handed over the code."""
    answer = federation.sign_in("apple", {"authorization_code": f"{CODE}.{sub}"}, sub=sub)
    phone = Phone()
    phone.tokens = answer.json
    phone.email = phone.tokens["user"]["email"]
    return phone


def with_a_password_too(federation: Federation) -> Phone:
    """The same of somebody who had signed up, and then added Apple."""
    phone = Phone()
    phone.email = "ann@gmail.com"
    phone.sign_up()
    body = {"id_token": federation.token("apple", sub="ann"), "password": PASSWORD}
    assert phone.post("/me/sign-in/apple", body).status == 204
    assert signed_in(federation).user_id == phone.user_id
    return phone


def close(federation: Federation, phone: Phone, sub: str = "ann") -> int:
    return phone.delete("/me", body={"id_token": federation.token("apple", sub=sub)}).status


def go_round(clock: Clock | None = None, **later: float) -> None:
    """Runs the job, so much later."""
    if clock:
        clock.advance(**later)
    jobs.deliver_mail({}, LAMBDA)


def waiting(stored: Stored) -> list[Item]:
    return stored("GRANTS")


def test_what_apple_gave_is_revoked_when_the_account_goes(
    federation: Federation, told: list[str], stored: Stored
) -> None:
    ann = signed_in(federation)
    go_round()
    assert (told, waiting(stored)) == ([], [])

    assert close(federation, ann) == 204
    go_round()

    assert told == [f"r.{CODE}.ann"]
    assert waiting(stored) == []
    assert "r.c0de" not in json.dumps(stored())


def test_what_it_gave_each_app_is_revoked_and_of_each_the_last(
    federation: Federation, told: list[str], configure: Callable[..., None]
) -> None:
    configure(
        apple_keys_url=f"{federation.provider.url}/apple/keys",
        apple_url=f"{federation.provider.url}/apple",
        apple_client_ids="app.web,app.ios",
        apple_client_secrets="app.web=a-secret,app.ios=another",
    )
    ann = Phone()
    for code in ("web.1", "ios.2", "web.3"):
        claims = {"sub": "ann", "aud": f"app.{code[:3]}"}
        answer = federation.sign_in("apple", {"authorization_code": code}, **claims)
        ann.tokens = answer.json
        go_round()
    assert told == []

    proof = {"id_token": federation.token("apple", sub="ann", aud="app.ios")}
    assert ann.delete("/me", body=proof).status == 204
    go_round()

    assert sorted(told) == ["r.ios.2", "r.web.3"]


def test_what_it_gave_as_it_was_added_is_revoked_too(
    federation: Federation, told: list[str], phone: Phone
) -> None:
    assert added(federation, phone, PASSWORD) == 204
    go_round()

    assert phone.delete("/me/sign-in/apple").status == 204
    go_round()

    assert told == [f"r.{CODE}.ann"]


def test_what_is_not_added_leaves_no_code(
    federation: Federation, told: list[str], phone: Phone, stored: Stored
) -> None:
    federation.phone("apple", sub="ann")

    assert added(federation, phone, "wrong password") == 401
    assert added(federation, phone, PASSWORD) == 409
    assert (waiting(stored), told) == ([], [])


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_what_apple_gives_at_the_very_moment_stands_in_nobodys_way(
    federation: Federation, told: list[str], faults: Faults, how: str
) -> None:
    if how == "closed":
        ann = signed_in(federation)
        faults.meanwhile("dynamodb", "TransactWriteItems", go_round)
        assert close(federation, ann) == 204
    else:
        phone = with_a_password_too(federation)
        reset = {"token": link_for(phone), "new_password": "quite another one"}
        faults.meanwhile("dynamodb", "TransactWriteItems", go_round)
        assert Phone().post("/auth/password/reset", reset).status == 204
    go_round()

    assert faults.met == 1
    assert told == [f"r.{CODE}.ann"]


@pytest.mark.parametrize("how", ["removed", "replaced", "reset", "taken over"])
def test_so_it_is_wherever_the_identity_goes(
    federation: Federation, told: list[str], how: str
) -> None:
    phone = with_a_password_too(federation)
    go_round()

    if how == "removed":
        assert phone.delete("/me/sign-in/apple").status == 204
    elif how == "replaced":
        body = {"id_token": federation.token("apple", sub="bob"), "password": PASSWORD}
        assert phone.post("/me/sign-in/apple", body).status == 204
    elif how == "reset":
        reset = {"token": link_for(phone), "new_password": "quite another one"}
        assert Phone().post("/auth/password/reset", reset).status == 204
    else:
        assert federation.phone("google", email="ann@gmail.com").user_id == phone.user_id
    go_round()

    assert told == [f"r.{CODE}.ann"]


def test_apple_being_down_delays_no_deletion_and_is_told_later(
    federation: Federation,
    told: list[str],
    stored: Stored,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ann = signed_in(federation)
    go_round()
    with monkeypatch.context() as patch:
        asked: list[str] = []

        def fail(name: str, *_: object) -> Answer:
            asked.append(name)
            raise Unavailable("It does not answer")

        patch.setattr(apple, "ask", fail)
        assert close(federation, ann) == 204
        for _ in range(5):
            go_round()
        assert asked == ["apple.Revoke"]
        for _ in range(3):
            go_round(clock, hours=30)
        assert len(asked) == 4
    assert len(waiting(stored)) == 1

    go_round(clock, days=9)
    assert told == [f"r.{CODE}.ann"]
    assert waiting(stored) == []


def test_what_cannot_be_told_in_a_month_is_given_up(
    federation: Federation,
    told: list[str],
    down: Callable[..., list[dict[str, Any]]],
    stored: Stored,
    clock: Clock,
) -> None:
    ann = signed_in(federation)
    go_round()
    close(federation, ann)
    down(400, "invalid_client")

    go_round(clock, days=20)
    assert len(waiting(stored)) == 1
    go_round(clock, days=41)
    assert (waiting(stored), told) == ([], [])


@pytest.mark.parametrize("status", [0, 500, 400])
def test_a_code_is_tried_while_apple_takes_it(
    federation: Federation,
    told: list[str],
    down: Callable[..., list[dict[str, Any]]],
    stored: Stored,
    clock: Clock,
    status: int,
) -> None:
    signed_in(federation)
    asked = down(status)

    go_round()
    assert len(waiting(stored)) == 1
    go_round(clock, minutes=6)
    assert (len(asked), waiting(stored), told) == (2, [], [])
    assert asked[0] == {
        "name": "apple.Token",
        "url": asked[0]["url"],
        "client_id": IDS["apple"],
        "client_secret": "its-secret",
        "grant_type": "authorization_code",
        "code": f"{CODE}.ann",
    }
    assert asked[0]["url"].endswith("/apple/auth/token")


def test_a_code_that_apple_refuses_is_dropped(
    federation: Federation,
    told: list[str],
    down: Callable[..., list[dict[str, Any]]],
    stored: Stored,
) -> None:
    ann = signed_in(federation)
    down(400, "invalid_grant")

    go_round()

    assert waiting(stored) == []
    assert close(federation, ann) == 204
    assert (waiting(stored), told) == ([], [])


def test_a_code_that_came_to_a_browser_is_exchanged_with_the_address_that_it_came_to(
    federation: Federation, down: Callable[[int], list[dict[str, Any]]], told: list[str]
) -> None:
    there = "https://app.example.com/auth/return"
    federation.sign_in("apple", {"authorization_code": CODE, "redirect_uri": there})
    asked = down(400)

    go_round()

    assert [each["redirect_uri"] for each in asked] == [there]
    assert told == []


def test_what_is_exchanged_after_the_account_went_is_revoked_at_once(
    federation: Federation, told: list[str], stored: Stored, clock: Clock
) -> None:
    ann = signed_in(federation)
    assert close(federation, ann) == 204

    go_round()
    go_round(clock, minutes=1)

    assert told == [f"r.{CODE}.ann"]
    assert waiting(stored) == []


def test_without_a_secret_with_apple_no_code_is_kept(
    federation: Federation, stored: Stored, faults: Faults
) -> None:
    signed_in(federation)

    assert waiting(stored) == []
    assert [call for call in faults.calls_of(go_round) if call != "dynamodb.Query"] == []


def test_a_code_that_cannot_be_noted_keeps_nobody_out(
    federation: Federation, told: list[str], faults: Faults
) -> None:
    federation.sign_in("apple", sub="ann")
    # Of a known person the session is put, then the code.
    faults.meanwhile("dynamodb", "PutItem", lambda: faults.refuse("dynamodb", "PutItem"), after=1)

    assert signed_in(federation).get("/me").status == 200
    assert told == []


def test_the_secrets_are_read_from_secrets_manager_where_that_is_set(
    federation: Federation,
    provider: Provider,
    told: list[str],
    configure: Callable[..., None],
    clients: Clients,
) -> None:
    clients.secretsmanager.create_secret(
        Name="recorder-dev-apple", SecretString=json.dumps({IDS["apple"]: "a-secret"})
    )
    configure(
        apple_keys_url=f"{provider.url}/apple/keys",
        apple_url=f"{provider.url}/apple",
        apple_secret_id="recorder-dev-apple",
    )
    ann = signed_in(federation)
    go_round()
    assert close(federation, ann) == 204
    go_round()

    assert told == [f"r.{CODE}.ann"]
    clients.secretsmanager.delete_secret(
        SecretId="recorder-dev-apple", ForceDeleteWithoutRecovery=True
    )


def test_neither_export_nor_profile_has_what_apple_gave(
    federation: Federation, told: list[str]
) -> None:
    ann = signed_in(federation)
    go_round()
    proof = {"id_token": federation.token("apple", sub="ann")}

    file = httpx.get(ann.post("/me/export", proof).json["url"], verify=NO_TLS).text

    assert '"subject":"ann"' in file
    assert "r.c0de" not in file + ann.get("/me").text
    assert told == []
    assert wiring.services().settings.tells_apple


@pytest.mark.usefixtures("told")
def test_a_run_that_has_no_time_leaves_the_rest_as_it_was(
    federation: Federation, stored: Stored
) -> None:
    for name in ("ann", "bob"):
        close(federation, signed_in(federation, sub=name), sub=name)
    before = waiting(stored)
    looks = iter([True, False])
    wiring.services().grants.settle(lambda: next(looks))

    assert len(before) == 2
    assert len([item for item in waiting(stored) if item in before]) == 1
