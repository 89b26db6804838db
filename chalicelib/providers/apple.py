"""Apple's server, which exchanges and revokes what it gave to an app.

https://developer.apple.com/documentation/signinwithapplerestapi
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from chalicelib.errors import Unavailable
from chalicelib.providers.http import Answer, ask


class _Tokens(Struct):
    refresh_token: Annotated[str, Meta(min_length=1, max_length=2048)]


class _Refusal(Struct):
    error: str = ""


class AppleServer(Struct, frozen=True):
    """Calls it in the name of our apps; see core/ports.py for what is promised."""

    url: str
    client_secrets: Callable[[], Mapping[str, str]]
    """The secret of each app, by its client id; none lasts longer than six months."""

    def exchange(self, code: str, client_id: str, redirect_uri: str | None = None) -> str | None:
        given = {"grant_type": "authorization_code", "code": code}
        if redirect_uri:
            given["redirect_uri"] = redirect_uri
        answer = self._ask("token", client_id, given)
        if answer is None:
            return None
        try:
            return msgspec.json.decode(answer.body, type=_Tokens).refresh_token
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unavailable("apple.Token: what was answered is no token") from error

    def revoke(self, refresh_token: str, client_id: str) -> None:
        given = {"token": refresh_token, "token_type_hint": "refresh_token"}
        self._ask("revoke", client_id, given)

    def _ask(self, what: str, client_id: str, given: Mapping[str, str]) -> Answer | None:
        """The answer; None when it is that what was given is good no more."""
        secret = self.client_secrets().get(client_id)
        if not secret:
            raise Unavailable(f"There is no client secret for {client_id}")
        form = {"client_id": client_id, "client_secret": secret, **given}
        answer = ask(f"apple.{what.capitalize()}", f"{self.url}/auth/{what}", form)
        if answer.status == HTTPStatus.OK:
            return answer
        refused = _reason(answer)
        if refused == "invalid_grant":
            return None
        raise Unavailable(f"Apple refuses to {what}: {answer.status} {refused}")


def _reason(answer: Answer) -> str:
    try:
        return msgspec.json.decode(answer.body, type=_Refusal).error[:100]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
