"""What a smoke leaves behind."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.deployed.people import Api, Person
from tests.deployed.smoke import close_all


class Accounts:
    """An API that has accounts alone; its answers, and whether it still deletes them."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.deletes = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        cors = {"Access-Control-Allow-Origin": "*"}
        if request.method == "DELETE":
            who = request.headers["Authorization"].removeprefix("Bearer ")
            self.there -= {who} if self.deletes else set()
            return httpx.Response(204 if self.deletes else 503, headers=cors)
        email = json.loads(request.content)["email"]
        self.there.add(email)
        status = 201 if request.url.path == "/auth/signup" else 200
        tokens = {"access_token": email, "user": {"id": email}}
        return httpx.Response(status, json=tokens, headers=cors)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def api(accounts: Accounts) -> Api:
    made = Api("https://api.example.com")
    made.http = httpx.Client(transport=httpx.MockTransport(accounts))
    return made


def test_whoever_is_left_by_a_step_that_failed_is_closed(accounts: Accounts, api: Api) -> None:
    left, ended = Person(api), Person(api)
    left.tokens = {"access_token": "of a session that is over"}
    ended.close()

    close_all(api)

    assert accounts.there == set()


def test_who_cannot_be_closed_is_named(
    accounts: Accounts, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    left = Person(api)
    accounts.deletes = False

    close_all(api)

    assert f"The account of {left.email} stays open" in capsys.readouterr().out
