"""Signing in with Google and Apple, as make run's provider stands in for both of them."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, get_args

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chalicelib.models.fields import Provider as Name
from local.provider import CLIENT_ID
from tests.deployed import operators
from tests.deployed.jobs import Deployed
from tests.deployed.people import Person, waited
from tests.deployed.stages import STAGE, Stage
from tests.deployed.steps import Failed, Steps

PROVIDERS: Steps[Deployed] = Steps("Signing in with Google and Apple")
step = PROVIDERS.step


def make_apple_secret(stage: Stage) -> None:
    """Make what Apple knows the stage by, with the rights that that is said to need."""
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    key = ec.generate_private_key(ec.SECP256R1())
    file = stage.folder / "AuthKey.p8"
    file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password))
    rights = operators.of_docs("Google and Apple")
    identity = operators.make(stage.emulator, "apple-secret", rights)
    given = ("--key", str(file), "--key-id", "ABC123DEFG", "--team-id", "DEF123GHIJ")
    ran = stage.run(identity, "ops.apple_secret", "--stage", STAGE, *given)
    if ran.returncode:
        raise Failed(f"make apple-secret: {ran.stdout}{ran.stderr}")


def proof(on: Deployed, by: Name, who: str) -> dict[str, str]:
    """What somebody made up says in place of a password."""
    return {"id_token": on.stage.provider.id_token(by, who, CLIENT_ID, None)}


def token(on: Deployed, by: Name, who: str, **said: str) -> dict[str, Any]:
    """What an app sends once a provider gave it an id token of somebody made up."""
    nonce = secrets.token_hex(32)
    # Apple's library is given its hash, as docs/clients.md says.
    told = hashlib.sha256(nonce.encode()).hexdigest() if by == "apple" else nonce
    client_id = said.pop("client_id", CLIENT_ID)
    id_token = on.stage.provider.id_token(by, who, client_id, told)
    return {"id_token": id_token, "nonce": nonce, **said}


def sign_in(on: Deployed, by: Name, who: str, expected: int, **said: str) -> Person:
    """Somebody made up, who signed in."""
    given = token(on, by, who, **said)
    return Person(on.api, on.api.ask("POST", f"/auth/{by}", expected, json=given).json())


def live_a_life_with_apple(on: Deployed, code: str) -> None:
    """Sign in, and delete the account, of which Apple is told."""
    me = sign_in(on, "apple", "ann", 201, authorization_code=code, name="Ann")
    assert me.ask("GET", "/me")["sign_in"] == ["apple"]
    me.ask("DELETE", "/me", 204, json=proof(on, "apple", "ann"))
    revoked = on.stage.provider.revoked
    waited(lambda: f"r.{code}" in revoked, otherwise="Apple was told of nothing")


@step
def it_says_who_signs_people_in(on: Deployed) -> None:
    offered = on.api.ask("GET", "/config").json()["sign_in"]
    assert offered == [
        {"provider": each, "client_ids": [CLIENT_ID]} for each in ("google", "apple")
    ]


@step
def google_signs_somebody_in(on: Deployed) -> None:
    me = sign_in(on, "google", "ann", 201)
    assert sign_in(on, "google", "ann", 200).id == me.id
    me.ask("DELETE", "/me", 204, json=proof(on, "google", "ann"))


@step
def apple_is_told_of_a_deletion(on: Deployed) -> None:
    live_a_life_with_apple(on, "of-ann")


@step
def each_is_added_to_an_account_and_taken_away(on: Deployed) -> None:
    me = Person(on.api)
    for by in get_args(Name):
        given = token(on, by, "cleo", password=me.password)
        me.ask("POST", f"/me/sign-in/{by}", 204, json=given)
        assert sign_in(on, by, "cleo", 200).id == me.id
        me.ask("DELETE", f"/me/sign-in/{by}", 204)
    me.refuse("DELETE", "/me/sign-in/password", 409, "last_sign_in")


@step
def a_browser_comes_back_with_what_was_said_in_a_form_or_behind_the_hash(on: Deployed) -> None:
    empty = on.api.ask("GET", "/auth/return")
    filled = on.api.ask("POST", "/auth/return", data={"state": "a&b", "id_token": "x.y.z"})
    for page in (empty, filled):
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert 'value="a&amp;b"' in filled.text
    assert "x.y.z" in filled.text


@step
def a_token_of_another_app_or_of_nobody_is_refused(on: Deployed) -> None:
    for given in (token(on, "google", "bob", client_id="another.app"), {"id_token": "x.y.z"}):
        on.api.refuse("POST", "/auth/google", 401, "invalid_credentials", json=given)
    given = token(on, "google", "dan")
    on.api.refuse("POST", "/auth/google", 403, "email_not_confirmed", json=given)
