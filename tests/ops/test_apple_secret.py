"""What Apple knows a stage by: made by the operator, read by the one function that needs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chalicelib.aws.clients import Clients
from ops import apple_secret, stages
from ops.policies import GRANTS, policy
from tests.support import ROOT

NAME = "recorder-prod-apple"
ARN = "arn:aws:secretsmanager:x:1:secret:it-1"
KEY = ec.generate_private_key(ec.SECP256R1())
KEY_ID, TEAM = "ABC123DEFG", "DEF123GHIJ"


def pem(key: Any, passphrase: bytes = b"") -> bytes:
    written: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption(),
    )
    return written


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose prod has two apps at Apple."""
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    variables = config["stages"]["prod"]["environment_variables"]
    variables["RECORDER_APPLE_CLIENT_IDS"] = "com.example.app, com.example.web"
    (tmp_path / ".chalice").mkdir()
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(config))
    (tmp_path / "key.p8").write_bytes(pem(KEY))
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    return tmp_path


def make(
    project: Path, stage: str = "prod", key: str = "key.p8", key_id: str = KEY_ID, team: str = TEAM
) -> int:
    file = str(project / key)
    ids = ["--key-id", key_id, "--team-id", team]
    return apple_secret.main(["--stage", stage, "--key", file, *ids])


def test_a_token_for_each_app_is_in_the_stages_secret(
    project: Path, clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [make(project), make(project)] == [0, 0]

    secret = json.loads(clients.secretsmanager.get_secret_value(SecretId=NAME)["SecretString"])
    assert set(secret) == {"com.example.app", "com.example.web"}
    for client_id, token in secret.items():
        claims = jwt.decode(
            token, KEY.public_key(), algorithms=["ES256"], audience="https://appleid.apple.com"
        )
        assert (claims["iss"], claims["sub"]) == (TEAM, client_id)
        assert claims["exp"] - claims["iat"] == 180 * 86_400
        assert jwt.get_unverified_header(token)["kid"] == KEY_ID
    assert stages.Stage("prod").environment()["RECORDER_APPLE_SECRET_ID"] == NAME
    said = capsys.readouterr().out
    assert "com.example.web, until 20" in said
    assert not any(token in said for token in secret.values())
    clients.secretsmanager.delete_secret(SecretId=NAME, ForceDeleteWithoutRecovery=True)


def test_what_is_no_key_of_apples_or_no_stage_that_has_apps_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "rsa.p8").write_bytes(pem(rsa.generate_private_key(65_537, 2048)))
    (project / "text.p8").write_text("no key")
    (project / "encrypted.p8").write_bytes(pem(KEY, b"passphrase"))
    files = ("rsa.p8", "text.p8", "encrypted.p8", "none.p8")

    assert [make(project, key=key) for key in files] == [1, 1, 1, 1]
    assert make(project, stage="dev") == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 5
    assert "dev has no RECORDER_APPLE_CLIENT_IDS" in said[-1]


@pytest.mark.parametrize("wrong", ["", f"{KEY_ID} ", "abc123defg", "ABC123DEFGH", f"{KEY_ID}\n"])
def test_an_id_that_is_none_of_apples_replaces_no_secret(
    project: Path, clients: Clients, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    assert make(project) == 0
    before = clients.secretsmanager.get_secret_value(SecretId=NAME)["SecretString"]

    assert [make(project, key_id=wrong), make(project, team=wrong)] == [1, 1]
    assert [line.split(" is ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "make apple-secret: --key-id",
        "make apple-secret: --team-id",
    ]
    assert clients.secretsmanager.get_secret_value(SecretId=NAME)["SecretString"] == before
    clients.secretsmanager.delete_secret(SecretId=NAME, ForceDeleteWithoutRecovery=True)


@pytest.mark.parametrize("function", GRANTS)
def test_the_one_function_that_needs_it_may_read_it(function: str) -> None:
    by_name = json.dumps(policy(function, "prod", "", apple_secret=NAME))
    by_arn = json.dumps(policy(function, "prod", "", apple_secret=ARN))
    without = json.dumps(policy(function, "prod", ""))

    reads = function == "deliver_mail"
    assert (f"secret:{NAME}-??????" in by_name) == reads
    assert (f'"{ARN}"' in by_arn) == reads
    assert "apple" not in without
