"""Who asks when Schemathesis does, and what it cannot read from a schema."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import httpx
import msgspec
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

from chalicelib.core.ids import uuid7
from chalicelib.models import media_types
from chalicelib.models.fields import InvalidField
from tests.support.routes import ROUTES

Case = schemathesis.Case[Any]
CONFIG = tomllib.loads((Path(__file__).parent / "schemathesis.toml").read_text())
IDS: list[str] = CONFIG["dictionaries"]["recordings"]["values"]
(KNOWN,) = CONFIG["dictionaries"]["addresses"]["values"]
(PASSWORD,) = CONFIG["dictionaries"]["passwords"]["values"]

REQUESTS_EACH = 100
BODIES = {(route.method, route.path): route.body for route in ROUTES}

for audio_type in media_types.DIRECT:
    schemathesis.openapi.media_type(audio_type, st.binary(min_size=1, max_size=64))


class User:
    """A user, with recordings of each status."""

    def __init__(self) -> None:
        """Sign up."""
        self._who = {"email": f"{uuid7()}@example.com", "password": PASSWORD}
        with _http() as http:
            http.post("/auth/signup", json={"email": KNOWN, "password": PASSWORD})
            answer = http.post("/auth/signup", json=self._who).raise_for_status()
        self.token = str(answer.json()["access_token"])
        with _http(self.token) as http:
            for number, id in enumerate(IDS):
                _upload(http, id, whole=number % 2 == 0)

    def is_still_there(self) -> bool:
        """Whether the user is logged in, or can be again."""
        with _http(self.token) as http:
            if http.get("/me").is_success:
                return True
            answer = http.post("/auth/login", json=self._who)
        if answer.is_success:
            self.token = str(answer.json()["access_token"])
        return answer.is_success


@schemathesis.auth(refresh_interval=None)
class Somebody:
    """Whoever asks.

    Another user every so many requests, since what is asked deletes recordings and ends sessions.
    But one throughout the stateful phase, where what one request made is what the next asks for.
    """

    def __init__(self) -> None:
        """Nobody yet."""
        self._user: User | None = None
        self._one: User | None = None
        self._asked = 0

    def get(self, case: Case, _context: schemathesis.AuthContext) -> str:
        """The access token of whose turn it is."""
        if case.meta and case.meta.phase.name == "stateful":
            if self._one is None or not self._one.is_still_there():
                self._one = User()
            return self._one.token
        if self._user is None or self._asked % REQUESTS_EACH == 0:
            self._user = User()
        self._asked += 1
        return self._user.token

    def set(self, case: Case, token: str, _: schemathesis.AuthContext) -> None:
        """Ask as that user."""
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def map_case(_: schemathesis.HookContext, case: Case) -> Case:
    """To JSON Schema 3.0 is an integer; here it is not."""
    # Setting a body has it judged anew, and no body at all, or bytes, would then count as wrong.
    if isinstance(case.body, dict):
        case.body = _with_whole_numbers(case.body)
    return case


@schemathesis.hook
def filter_case(_: schemathesis.HookContext, case: Case) -> bool:
    """Leave out what breaks nothing but a rule that no type can state: a schema cannot either.

    And how long the body is said to be, where `chalice local` takes any text for a number and
    breaks. API Gateway answers that itself. And a request that counts as good although a part of it
    counts as bad: where there is no body, Schemathesis leaves a bad header in one.
    """
    if _contradicts_itself(case):
        return False
    if {name.lower() for name in case.headers or {}} & {"content-length", "transfer-encoding"}:
        return False
    body = BODIES.get((case.method.upper(), case.path))
    if not (body and isinstance(case.body, dict)):
        return True
    try:
        msgspec.convert(_with_whole_numbers(case.body), body)
    except msgspec.ValidationError as error:
        return not isinstance(error.__cause__, InvalidField)
    return True


def _contradicts_itself(case: Case) -> bool:
    if case.meta is None or case.meta.generation.mode == GenerationMode.NEGATIVE:
        return False
    parts = case.meta.components.values()
    return any(part.mode == GenerationMode.NEGATIVE for part in parts)


def _http(token: str = "") -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(
        base_url=os.environ["FUZZ_URL"], trust_env=False, timeout=30, headers=headers
    )


def _upload(http: httpx.Client, id: str, *, whole: bool) -> None:
    if whole:
        url, kind = f"/recordings/{id}/audio?file_name=a.m4a", {"Content-Type": "audio/mp4"}
        http.put(url, content=b"abc", headers=kind).raise_for_status()
    else:
        audio = {"id": id, "file_name": "a.m4a", "content_type": "audio/mp4", "size": 3}
        http.post("/recordings", json=audio).raise_for_status()


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_with_whole_numbers(each) for each in value]
    if isinstance(value, dict):
        return {name: _with_whole_numbers(each) for name, each in value.items()}
    return value
