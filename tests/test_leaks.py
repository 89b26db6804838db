"""A secret that leaks fails the run: without this, nobody would know that anybody looks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, leaks

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
PASSWORD = "open, sesame street"
HEX = "0123456789abcdef" * 4

# What an app might do with a secret, each of which is a leak.
LEAKS = {
    "logged": f'log.warning("log-in with %s", "{PASSWORD}")',
    "logged_by_chalice": f'logging.getLogger("recorder").error("{PASSWORD}")',
    "logged_for_debugging": f'log.debug("{PASSWORD}")',
    "in_a_trace": f"""try:
        raise ValueError("{PASSWORD}")
    except ValueError:
        log.exception("failed")""",
    "printed": f'print("{PASSWORD}")',
    "printed_as_an_error": f'print("{PASSWORD}", file=sys.stderr)',
    # What is plainly a secret need not be known as one.
    "an_access_token": f'log.warning("{JWT}")',
    "a_signed_url": f'log.warning("https://s3.example/u/r?X-Amz-Signature={HEX}")',
    "a_password_hash": f'log.warning("$2b$12${HEX[:53]}")',
}
HARMLESS = {
    "an_id": 'log.warning("session 019a8f3e-7c1d-7f00-8a3b-000000000001 ended")',
    "a_name": 'log.warning("Ann, who is no secret")',
}
HEAD = f"""
import logging, sys
from tests.support import leaks

log = logging.getLogger("chalicelib.core.accounts.accounts")
leaks.learn({{"password": "{PASSWORD}", "name": "Ann, who is no secret"}})
"""


def test_a_secret_that_leaks_fails_the_test_and_what_is_no_secret_does_not(tmp_path: Path) -> None:
    tests = [f"def test_{name}():\n    {what}\n" for name, what in (LEAKS | HARMLESS).items()]
    (tmp_path / "test_some.py").write_text("\n".join([HEAD, *tests]))

    # Under the plugin alone, and in a process of its own.
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.support.leak_plugin", "--rootdir", "."],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    leaking = re.findall(r"^test_some.py::test_(\w+) leaked secrets:", ended.stdout, re.MULTILINE)
    assert leaking == [*LEAKS]


KNOWN: list[tuple[object, set[str]]] = [
    ({"email": "bob@example.com", "password": PASSWORD}, {"bob@example.com", PASSWORD}),
    (f'{{"access_token": "{JWT}"}}', {JWT}),
    (b'{"user": {"email": "bob@example.com"}}', {"bob@example.com"}),
    ({"audio": {"url": "http://s3/u?X-Amz-Signature=" + HEX}}, {HEX}),
    ([{"fields": {"x-amz-signature": HEX}}], {HEX}),
    *((password, set()) for password in ({"password": "short"}, {"password": "        "})),
    *((password, set()) for password in ({"password": "correct horse"}, {"password": 5})),
    *((garbage, set()) for garbage in (b"\xff\xfe", "{nope", None)),
]


def test_secrets_are_known_by_their_fields() -> None:
    assert [(value, set(leaks.secrets_in(value))) for value, _ in KNOWN] == KNOWN


def test_a_refusal_that_repeats_a_secret_fails() -> None:
    with pytest.raises(AssertionError, match="has a secret"):
        leaks.check_answer(409, f"{PASSWORD} is taken", {"password": PASSWORD})


def test_an_answer_may_have_what_it_is_for_but_no_password() -> None:
    leaks.check_answer(200, '{"email": "bob@example.com"}', {"email": "bob@example.com"})
    with pytest.raises(AssertionError, match="has a secret"):
        leaks.check_answer(200, PASSWORD, {"password": PASSWORD})


def test_a_log_of_a_server_that_has_a_secret_fails() -> None:
    leaks.learn({"password": "a password of this test alone"})

    with pytest.raises(AssertionError, match="leaked into the log"):
        leaks.check("the log", "POST /auth/login a password of this test alone")
