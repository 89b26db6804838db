"""Secrets that leak: what was sent or received as one must be in no log and in no refusal.

Whoever talks to the API tells of each request and each answer (learn). leak_plugin.py looks for
their secrets in what is logged and printed.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator

# The fields of requests and answers that hold a secret, an address, or a part of a signed request.
PASSWORDS = {"password", "current_password", "new_password"}
SECRETS = PASSWORDS | {"access_token", "refresh_token", "token", "email"}
SECRETS |= {"client_secret", "id_token", "proof_id_token", "nonce", "authorization_code"}
SECRETS |= {"policy", "x-amz-signature"}
# The examples in the documentation, which `make run` prints, are nobody's. Nor is the number of
# moto's account, in which one of the commonest passwords stands, and which every bucket's name has.
EXAMPLES = {"ann@example.com", "correct horse battery", "123456789012"}
# Anything shorter, or made of fewer characters, is found in anything.
SHORTEST = 8
FEWEST = 5
# An id is no secret, wherever a test sends it.
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
SIGNATURE = re.compile(r"X-Amz-Signature=([0-9a-f]{64})")
# What is secret whoever it belongs to: JWTs, signed URLs, password hashes.
TELLTALES = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{20,}|X-Amz-Signature=\w|\$2[aby]\$\d\d\$")

# By the first letters of each, so that a text is looked through once, however many are known.
_known: defaultdict[str, set[str]] = defaultdict(set)


def learn(*values: object) -> set[str]:
    """Take note of the secrets in requests or answers; what they are."""
    found = {secret for value in values for secret in secrets_in(value)}
    for secret in found:
        _known[secret[:SHORTEST]].add(secret)
    return found


def secrets_in(value: object, names: set[str] = SECRETS) -> Iterator[str]:
    """The secrets in a body, as JSON or parsed."""
    if isinstance(value, bytes | str):
        yield from _in_text(value, names)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from secrets_in(each, names)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in names and isinstance(inner, str):
                if _is_telling(inner):
                    yield inner
            else:
                yield from secrets_in(inner, names)


def leaked(text: str) -> list[str]:
    """The lines of a text that have a secret."""
    starts = {text[at : at + SHORTEST] for at in range(len(text))} & _known.keys()
    found = [secret for start in starts for secret in _known[start] if secret in text]
    return [
        line
        for line in text.splitlines()
        if TELLTALES.search(line) or any(secret in line for secret in found)
    ]


def _is_telling(secret: str) -> bool:
    return (
        len(secret) >= SHORTEST
        and len(set(secret)) >= FEWEST
        and secret not in SECRETS
        and not ID.fullmatch(secret)
        and not any(secret in example for example in EXAMPLES)
    )


def _in_text(value: bytes | str, names: set[str]) -> Iterator[str]:
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    if text[:1] in {"{", "["}:
        try:
            yield from secrets_in(json.loads(text), names)
        except (ValueError, RecursionError):
            return
    elif names is SECRETS:
        yield from SIGNATURE.findall(text)


def check(what: str, text: str) -> None:
    """Fail when a text has a secret."""
    lines = leaked(text)
    assert not lines, f"secrets leaked into {what}:\n" + "\n".join(lines)


def check_answer(status: int, text: str, *sent: object) -> None:
    """Fail when a refusal repeats a secret of its request, or any answer a password."""
    names = SECRETS if status >= 400 else PASSWORDS
    for secret in {found for value in sent for found in secrets_in(value, names)}:
        assert secret not in text, f"the answer {status} has a secret of its request: {text}"
