"""The provider for development: both dialects, people that are made up, and never on AWS."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest

from chalicelib import settings
from local import run
from local.provider import CLIENT_ID, PEOPLE, Provider
from tests.support import ROOT
from tests.support.forger import decoded
from tests.support.leaks import learn
from tests.support.phone import Phone
from tests.support.server import eventually, free_port, http, running

Body = dict[str, object]


@pytest.fixture
def trusted(provider: Provider, configure: Callable[..., None]) -> Provider:
    """A provider whose keys the app takes."""
    urls = {f"{each}_keys_url": f"{provider.url}/{each}/keys" for each in ("google", "apple")}
    ids = {f"{each}_client_ids": CLIENT_ID for each in ("google", "apple")}
    configure(**urls | ids)
    return provider


def token(provider: Provider, by: str, **given: object) -> str:
    answer = http.post(f"{provider.url}/{by}/token", json=given)
    learn(answer.json())
    return str(answer.json()["id_token"])


def claims(id_token: str) -> Body:
    said: Body = decoded(id_token.split(".")[1])
    return said


@pytest.mark.parametrize("by", ["google", "apple"])
def test_everybody_who_is_verified_signs_in_and_the_other_does_not(
    trusted: Provider, by: str
) -> None:
    signed_in = {
        who: Phone().post(f"/auth/{by}", {"id_token": token(trusted, by, person=who)}).status
        for who in PEOPLE
    }

    assert signed_in == dict.fromkeys(PEOPLE, 201) | {"dan": 403}


def test_each_speaks_its_dialect(trusted: Provider) -> None:
    google = claims(token(trusted, "google", person="bob", nonce="n"))
    apple = claims(token(trusted, "apple", person="ann"))

    assert google["iss"] == "https://accounts.google.com"
    assert (google["hd"], google["name"], google["nonce"]) == ("example.com", "Bob Example", "n")
    assert apple["iss"] == "https://appleid.apple.com"
    assert (apple["email_verified"], apple["is_private_email"]) == ("true", "true")
    assert "name" not in apple
    assert re.fullmatch(r"\d{21}", str(google["sub"]))


def test_whoever_is_chosen_on_its_page_comes_back_to_the_app_with_a_token(
    trusted: Provider,
) -> None:
    asked: dict[str, str] = {"client_id": CLIENT_ID, "nonce": "n", "state": "a&b"}
    asked["redirect_uri"] = "http://127.0.0.1:1/done"
    page = http.get(f"{trusted.url}/google/authorize", params=asked).text
    (choice,) = re.findall(r'href="([^"]*person=ann)"', page)

    back = http.get(trusted.url + html.unescape(choice))

    address, _, fragment = back.headers["location"].partition("#")
    answer = {name: values[0] for name, values in parse_qs(fragment).items()}
    learn(answer)
    assert (back.status_code, address, answer["state"]) == (302, asked["redirect_uri"], "a&b")
    body = {"id_token": answer["id_token"], "nonce": "n"}
    assert Phone().post("/auth/google", body).status == 201


# What a browser is sent there with, and comes back with

ASKED = {
    "google": {"response_type": "id_token", "scope": "openid email profile", "nonce": "n"},
    "apple": {
        **{"response_type": "code id_token", "scope": "name email", "nonce": "n"},
        "response_mode": "form_post",
    },
}
THERE = {
    "google": "/google/o/oauth2/v2/auth",
    "apple": "/apple/auth/authorize",
    "redirect_uri": "http://127.0.0.1:1/done",
}


def authorize(provider: Provider, by: str, **given: str | None) -> httpx.Response:
    asked = {"client_id": CLIENT_ID, "redirect_uri": THERE["redirect_uri"], "state": "a&b"}
    wanted = {name: value for name, value in {**asked, **ASKED[by], **given}.items() if value}
    return http.get(provider.url + THERE[by], params=wanted)


def posted(page: str) -> dict[str, str]:
    found = re.findall(r'name="(\w+)" value="([^"]*)"', page)
    fields = {name: html.unescape(value) for name, value in found}
    learn(fields)
    return fields


def test_apple_has_a_form_bring_what_it_says_and_a_name_but_once(trusted: Provider) -> None:
    first, again = (posted(authorize(trusted, "apple", person="ann").text) for _ in range(2))

    assert json.loads(first["user"])["name"] == {"firstName": "Ann", "lastName": "Example"}
    assert again.keys() == {"id_token", "code", "state"}
    assert first["state"] == "a&b"
    body = {"id_token": first["id_token"], "authorization_code": first["code"]}
    assert Phone().post("/auth/apple", body).code == "invalid_credentials"  # Without the nonce.
    assert claims(first["id_token"])["nonce"] == "n"


def test_a_code_is_good_with_the_address_alone_that_it_was_sent_to(trusted: Provider) -> None:
    code = posted(authorize(trusted, "apple", person="ann").text)["code"]
    form = {"client_id": CLIENT_ID, "code": code}

    def exchanged(**more: str) -> int:
        return http.post(f"{trusted.url}/apple/auth/token", data=form | more).status_code

    assert exchanged() == 400
    assert exchanged(redirect_uri="http://127.0.0.1:1/other") == 400
    assert exchanged(redirect_uri=THERE["redirect_uri"]) == 200


@pytest.mark.parametrize("by", ["google", "apple"])
def test_whoever_goes_back_without_having_signed_in_brings_an_error(
    trusted: Provider, by: str
) -> None:
    back = authorize(trusted, by, person="nobody")

    said = posted(back.text) if by == "apple" else dict(parse_qsl(back.headers["location"]))
    assert "id_token" not in str(said)
    assert {"google": "access_denied", "apple": "user_cancelled_authorize"}[by] in str(said)


@pytest.mark.parametrize(
    ("by", "given"),
    [
        ("google", {"nonce": None}),
        ("google", {"scope": "email"}),
        ("google", {"redirect_uri": None}),
        ("apple", {"response_type": "id_token"}),
        ("apple", {"response_mode": "fragment"}),
        ("apple", {"client_id": None}),
    ],
)
def test_what_the_real_ones_refuse_is_refused(
    trusted: Provider, by: str, given: dict[str, str | None]
) -> None:
    assert authorize(trusted, by, person="ann", **given).status_code == 400


def test_nobody_else_is_made_up(trusted: Provider) -> None:
    assert http.post(f"{trusted.url}/google/token", json={"person": "eve"}).status_code == 400
    assert http.post(f"{trusted.url}/google/token", json={"person": ["ann"]}).status_code == 400
    assert http.post(f"{trusted.url}/google/token", content=b"{").status_code == 400
    assert http.get(f"{trusted.url}/google/authorize?person=eve").status_code == 400
    assert http.get(f"{trusted.url}/facebook/keys").status_code == 404


def test_it_listens_on_this_machine_alone_and_says_that_it_is_no_more(trusted: Provider) -> None:
    assert urlsplit(trusted.url).hostname == "127.0.0.1"
    assert "None of these people exists" in http.get(trusted.url).text


def test_where_the_data_is_on_aws_it_is_refused() -> None:
    with pytest.raises(run.Refused, match="PROVIDER=1"):
        run._provider({"RECORDER_BACKEND": "aws"})


@contextmanager
def brought(**client_ids: str) -> Iterator[tuple[Provider, dict[str, str]]]:
    """The provider of a `make run` with these client ids, and what the app is told of it."""
    environ = {f"RECORDER_{each.upper()}_CLIENT_IDS": ids for each, ids in client_ids.items()}
    provider = run._provider(environ)
    try:
        yield provider, environ
    finally:
        provider.stop()


def test_what_somebody_has_set_stays() -> None:
    with brought(google="") as (provider, environ):
        assert environ["RECORDER_GOOGLE_CLIENT_IDS"] == ""
        assert environ["RECORDER_APPLE_CLIENT_IDS"] == CLIENT_ID
        assert environ["RECORDER_APPLE_KEYS_URL"] == f"{provider.url}/apple/keys"


def test_client_ids_of_ones_own_are_whom_it_signs_and_exchanges_for() -> None:
    with brought(google="mine", apple="com.example.app, com.example.web") as (provider, environ):
        told = settings.load(environ)

        assert claims(token(provider, "google", person="ann"))["aud"] == "mine"
        assert claims(token(provider, "apple", person="ann"))["aud"] == "com.example.web"
        assert told.client_secrets.keys() == set(told.client_ids("apple"))


@pytest.mark.parametrize(("said", "brings"), [("", 0), ("0", 0), ("no", 0), ("1", 1)])
def test_make_run_brings_it_to_who_says_so(said: str, brings: int) -> None:
    command = ["make", "--dry-run", "run", f"PROVIDER={said}", f"PHONE={said}"]
    would = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert [would.count(f"--{each}") for each in ("provider", "phone")] == [brings, brings]


@pytest.mark.deep
def test_make_run_brings_it_and_apple_is_told_there_too(tmp_path: Path) -> None:
    port = free_port()
    command = ["make", "run", f"PORT={port}", "PROVIDER=1"]
    with running(*command, log=tmp_path / "log", port=port) as server:
        assert eventually(lambda: "Its provider" in server.printed())
        (url,) = re.findall(r"Its provider +(\S+)", server.printed())

        def signed_in() -> httpx.Response:
            given = {"person": "ann"}
            body = {"id_token": http.post(f"{url}/apple/token", json=given).json()["id_token"]}
            return http.post(f"{server.url}/auth/apple", json=body | {"authorization_code": "c"})

        session = signed_in().json()
        assert session["user"]["sign_in"] == ["apple"]
        ways = http.get(f"{server.url}/config").json()["sign_in"]
        assert ways == [
            {"provider": each, "client_ids": [CLIENT_ID]} for each in ("google", "apple")
        ]
        proof = http.post(f"{url}/apple/token", json={"person": "ann"}).json()
        closed = http.request(
            "DELETE",
            f"{server.url}/me",
            json=proof,
            headers={"Authorization": f"Bearer {session['access_token']}"},
        )
        assert closed.status_code == 204
        assert eventually(lambda: http.get(f"{url}/apple/revoked").json() == ["r.c"])
