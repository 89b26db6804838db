"""Tokens: JWTs for access, random secrets for refreshing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import secrets
from datetime import datetime

import jwt
from msgspec import Struct

from chalicelib.core.accounts.signing_keys import SigningKeys
from chalicelib.errors import InvalidRequest, NotAuthenticated, TokenExpired

ALGORITHM = "HS256"
REQUIRED_CLAIMS = ["iss", "sub", "sid", "iat", "exp"]


_TOKEN = re.compile(r"([0-9a-f-]{36})\.([0-9a-f-]{36})\.([\w-]{43})\.([\w-]{22})", re.ASCII)
_LINK_TOKEN = re.compile(r"([0-9a-f-]{36})\.([\w-]{43})", re.ASCII)


class Subject(Struct, frozen=True):
    """Whom a token is about: a user, in one of their sessions."""

    user_id: str
    session_id: str
    rotation: int = 0
    """The session's, when the access token was issued; also 0 of a token that does not say."""


class AccessTokens(Struct, frozen=True):
    """Issues and verifies access tokens: one of the keys signs, each of them verifies."""

    keys: SigningKeys
    issuer: str
    seconds: int

    def issue(self, subject: Subject, now: datetime) -> str:
        """A token by which `subject` is known from now on."""
        key = self.keys.signing()
        # A JWT has whole seconds: round up, so that it lasts for all that was promised.
        issued_at = math.ceil(now.timestamp())
        claims: dict[str, str | int] = {
            "iss": self.issuer,
            "sub": subject.user_id,
            "sid": subject.session_id,
            "iat": issued_at,
            "exp": issued_at + self.seconds,
        }
        if subject.rotation:
            claims["rot"] = subject.rotation
        return jwt.encode(claims, key.secret, algorithm=ALGORITHM, headers={"kid": key.kid})

    def pseudonym(self, text: str) -> str:
        """What stands for a text in the log: the same each time, and nobody can tell the text."""
        key = self.keys.signing().secret.encode()
        return _base64(hmac.digest(key, f"pseudonym {text}".encode(), "sha256")[:9])

    def verify(self, token: str) -> Subject:
        """Whom this token is about; TokenExpired, or NotAuthenticated for any other flaw."""
        try:
            key = self.keys.find(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise NotAuthenticated("The access token is not valid")
            claims = jwt.decode(
                token,
                key.secret,
                algorithms=[ALGORITHM],
                issuer=self.issuer,
                # `iat` may be some seconds ahead of us: another Lambda's clock set it.
                options={"require": REQUIRED_CLAIMS, "verify_iat": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenExpired("Refresh the access token, then send the request again") from error
        except jwt.InvalidTokenError as error:
            raise NotAuthenticated("The access token is not valid") from error
        return Subject(claims["sub"], claims["sid"], claims.get("rot", 0))


class RefreshSecret(Struct, frozen=True):
    """What a refresh token proves: 256 random bits, in one session of one user.

    The token also has a tag, which a key of the session's own gives to each of its secrets. It
    tells a token that was replaced long ago from one that was made up or garbled, without a list.
    """

    user_id: str
    session_id: str
    secret: str

    @classmethod
    def new(cls, user_id: str, session_id: str) -> RefreshSecret:
        """A fresh one."""
        return cls(user_id, session_id, secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, token: str) -> tuple[RefreshSecret, str]:
        """The secret in a token and its tag; NotAuthenticated when it cannot be one of ours."""
        match = _TOKEN.fullmatch(token)
        if not match:
            raise NotAuthenticated("The refresh token is not valid")
        user_id, session_id, secret, tag = match.groups()
        return cls(user_id, session_id, secret), tag

    def token(self, key: str) -> str:
        """The token as the app keeps it."""
        return f"{self.user_id}.{self.session_id}.{self.secret}.{self.tag(key)}"

    def tag(self, key: str) -> str:
        """Proof that the session with this key issued the secret, in 128 bits."""
        return _base64(hmac.digest(key.encode(), self.secret.encode(), "sha256")[:16])

    def replacement(self, server_key: str, salt: str) -> RefreshSecret:
        """The secret to replace this one, the same each time it is asked for.

        Nobody can make it without the server's key, nor without this secret, of which the server
        keeps a hash only, nor without the salt, which is fresh for each replacement.
        """
        digest = hmac.digest(server_key.encode(), f"{salt}:{self.secret}".encode(), "sha256")
        return RefreshSecret(self.user_id, self.session_id, _base64(digest))

    @property
    def hash(self) -> str:
        """What is stored of the secret."""
        return _hash(self.secret)


class LinkSecret(Struct, frozen=True):
    """What a link in a mail proves: 256 random bits, that somebody reads a user's mail."""

    user_id: str
    secret: str

    @classmethod
    def new(cls, user_id: str) -> LinkSecret:
        """A fresh one."""
        return cls(user_id, secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, token: str) -> LinkSecret:
        """The secret in a token; InvalidRequest when it cannot be one of ours."""
        match = _LINK_TOKEN.fullmatch(token)
        if not match:
            raise cls.refused()
        return cls(*match.groups())

    @staticmethod
    def refused() -> InvalidRequest:
        """What is wrong with a token, whatever it is."""
        return InvalidRequest("The link is wrong, used or too old; ask for another", field="token")

    @property
    def token(self) -> str:
        """The token as the link has it."""
        return f"{self.user_id}.{self.secret}"

    @property
    def hash(self) -> str:
        """What is stored of the secret."""
        return _hash(self.secret)


def _hash(secret: str) -> str:
    # It is random, so a plain hash of it cannot be guessed back.
    return hashlib.sha256(secret.encode()).hexdigest()


def _base64(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
