"""Google and Apple as the tests have them: keys of their own, and tokens with any flaw."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from datetime import datetime
from typing import Any

from chalicelib.models.fields import Provider as Name
from local import provider as local_provider
from local.provider import Key, Provider
from tests.support import leaks
from tests.support.phone import Answer, Phone

IDS = {"google": "recorder.web", "apple": "com.example.recorder"}
_numbers = itertools.count(1)
Claims = dict[str, Any]


def hashed(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()


class Federation:
    """Issues tokens of both providers, as of the time that the app has."""

    def __init__(self, provider: Provider, clock: Callable[[], datetime]) -> None:
        self.provider = provider
        self._clock = clock

    def key(self, by: Name) -> Key:
        return self.provider.keys[by]

    def claims(self, by: Name, **claims: Any) -> Claims:
        """Good claims about somebody new, but for these; what is None is left out."""
        now = int(self._clock().timestamp())
        number = next(_numbers)
        good = {
            "iss": local_provider.ISSUERS[by],
            "sub": f"{by}-{number}",
            "aud": IDS[by],
            "iat": now,
            "exp": now + 3600,
            "email": f"fay{number}@gmail.com",
            "email_verified": True,
        }
        return {name: value for name, value in (good | claims).items() if value is not None}

    def token(self, by: Name, **claims: Any) -> str:
        """A good id token, but for these claims."""
        return self.signed(by, self.claims(by, **claims))

    def signed(self, by: Name, claims: object, **header: object) -> str:
        token = self.key(by).token(claims, **header)
        leaks.learn({"token": token})
        return token

    def sign_in(self, by: Name, body: dict[str, Any] | None = None, **claims: Any) -> Answer:
        """Sign in on a phone on which nobody is."""
        return Phone().post(f"/auth/{by}", {"id_token": self.token(by, **claims)} | (body or {}))

    def phone(self, by: Name, **claims: Any) -> Phone:
        """A phone whose user just signed in."""
        answer = self.sign_in(by, **claims)
        assert answer.status in {200, 201}, answer.text
        phone = Phone()
        phone.tokens = answer.json
        phone.email = phone.tokens["user"]["email"]
        return phone
