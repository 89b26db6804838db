"""A provider for development: it stands in for Google and Apple, with people that are made up.

It speaks both dialects, on loopback: keys, id tokens, a page on which one chooses who one is, and
Apple's two calls for what it gave an app. Whoever trusts its keys lets anybody in, which is what it
is for, and why no deployment may.

    GET  /                                      the page
    GET  /google/keys          /apple/keys      as GET of the provider's own address
    GET  /google/o/oauth2/v2/auth  /apple/auth/authorize
                               ?client_id=&redirect_uri=&response_type=&scope=&nonce=&state=
                                                who it is, then back: from Google with
                                                #id_token=…&state=…, from Apple by a form if it is
                                                asked for a name or an address. What the real ones
                                                refuse is refused
    GET  /google/authorize     /apple/authorize the same for whoever asks for less
    POST /google/token         /apple/token     {"person": "ann", "client_id": …, "nonce": …}
                                                answers {"id_token": …}, for scripts and apps
    POST /apple/auth/token     /apple/auth/revoke
    GET  /apple/revoked                         what Apple was told to revoke, a JSON list
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUERS = {"google": "https://accounts.google.com", "apple": "https://appleid.apple.com"}
CLIENT_ID = "recorder.local"
# How long each has its tokens last, and Google's keys may be kept.
LIFE = {"google": 3600, "apple": 86_400}
KEYS_GOOD_FOR = 300
# Who somebody is that goes back without having signed in, and what each calls that.
NOBODY = "nobody"
CANCELLED = {"google": "access_denied", "apple": "user_cancelled_authorize"}
# What each page begins with.
HEAD = (
    '<!DOCTYPE html><html lang="en"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
)


class Person(NamedTuple):
    """Somebody who does not exist."""

    name: str
    says: str
    google: dict[str, Any]
    apple: dict[str, Any]


PEOPLE = {
    "ann": Person(
        "Ann Example",
        "has Gmail, and hides her address from Apple's apps",
        {"email": "ann.example@gmail.com", "email_verified": True},
        {
            "email": "q7h2k9x4@privaterelay.appleid.com",
            "email_verified": "true",
            "is_private_email": "true",
        },
    ),
    "bob": Person(
        "Bob Example",
        "has an account of his company's, and the same address at Apple",
        {"email": "bob@example.com", "email_verified": True, "hd": "example.com"},
        {"email": "bob@example.com", "email_verified": True},
    ),
    "cleo": Person(
        "Cleo Example",
        "has her address elsewhere, so that Google is no authority on it",
        {"email": "cleo@example.org", "email_verified": True},
        {"email": "cleo@example.org", "email_verified": True},
    ),
    "dan": Person(
        "Dan Example",
        "has an address that nobody has verified",
        {"email": "dan@example.net", "email_verified": False},
        {"email": "dan@example.net", "email_verified": "false"},
    ),
}


class Key:
    """A key of a provider's, with a name."""

    def __init__(self, bits: int = 2048) -> None:
        self.kid = secrets.token_hex(5)
        self.private = rsa.generate_private_key(public_exponent=65_537, key_size=bits)

    def public(self) -> dict[str, str]:
        """The key as it is published (RFC 7517)."""
        numbers = self.private.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": _base64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
            "e": _base64(numbers.e.to_bytes(3)),
        }

    def token(self, claims: object, **header: object) -> str:
        """A token with these claims, signed by RS256."""
        heading = {"alg": "RS256", "kid": self.kid, "typ": "JWT"} | header
        signed = f"{_segment(heading)}.{_segment(claims)}"
        signature = self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"


def claims(provider: str, who: str, client_id: str, nonce: str | None = None) -> dict[str, Any]:
    """What a provider says of somebody to an app."""
    person, now = PEOPLE[who], int(time.time())
    said: dict[str, Any] = {
        "iss": ISSUERS[provider],
        "sub": _subject(provider, who),
        "aud": client_id,
        "iat": now,
        "exp": now + LIFE[provider],
    }
    if nonce:
        said["nonce"] = nonce
    if provider == "google":
        # Apple tells a name to the app alone, and the first time alone.
        return said | {"azp": client_id, "name": person.name} | person.google
    return said | {"nonce_supported": True, "auth_time": now} | person.apple


class Provider(ThreadingHTTPServer):
    """Both of them, on one port."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        """Listen on loopback, on any port that is free by default."""
        super().__init__(("127.0.0.1", port), _Handler)
        self.keys = {"google": Key(), "apple": Key()}
        self.client_ids = dict.fromkeys(ISSUERS, CLIENT_ID)
        """For which app a token is, where nobody says."""
        self.revoked: list[str] = []
        self.named: set[str] = set()
        """Whose name Apple has told to the app."""
        self.sent_to: dict[str, str | None] = {}
        """Where browsers were sent with Apple's codes, which are good with that alone."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def environment(self) -> dict[str, str]:
        """What has the app trust it."""
        keys = {f"RECORDER_{each.upper()}_KEYS_URL": f"{self.url}/{each}/keys" for each in ISSUERS}
        urls = {f"RECORDER_{each.upper()}_URL": f"{self.url}/{each}" for each in ISSUERS}
        return keys | urls

    def serve(self) -> None:
        """Answer in threads."""
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self) -> None:
        """Stop."""
        self.shutdown()
        self.server_close()

    def id_token(self, provider: str, who: str, client_id: str | None, nonce: str | None) -> str:
        """An id token of somebody made up; KeyError when nobody is."""
        said = claims(provider, who, client_id or self.client_ids[provider], nonce)
        return self.keys[provider].token(said)


class _Handler(BaseHTTPRequestHandler):
    server: Provider
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(asked.query).items()}
        match asked.path.split("/")[1:]:
            case [("google" | "apple") as provider, "keys"]:
                keys = {"keys": [self.server.keys[provider].public()]}
                self._send(200, keys, {"Cache-Control": f"public, max-age={KEYS_GOOD_FOR}"})
            case [("google" | "apple") as provider, *_, "authorize" | "auth"]:
                self._authorize(provider, given)
            case ["apple", "revoked"]:
                self._send(200, self.server.revoked)
            case [""]:
                self._send_page(_page({"google": {}, "apple": {}}))
            case _:
                self._send(404, {"error": "not_found"})

    def do_POST(self) -> None:
        given = self._body()
        match self.path.split("/")[1:]:
            case [("google" | "apple") as provider, "token"] if given.get("person") in PEOPLE:
                self._send(200, {"id_token": self._id_token(provider, given["person"], given)})
            case ["apple", "auth", "token"] if given.get("code"):
                if self.server.sent_to.get(given["code"]) != given.get("redirect_uri"):
                    self._send(400, {"error": "invalid_grant"})
                    return
                self._send(200, {"refresh_token": f"r.{given['code']}", "token_type": "Bearer"})
            case ["apple", "auth", "revoke"] if given.get("token"):
                self.server.revoked.append(given["token"])
                self._send(200, {})
            case _:
                self._send(400, {"error": "invalid_request"})

    def do_OPTIONS(self) -> None:
        self._send(200, {})

    def _body(self) -> dict[str, str]:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(errors="replace")
        if "json" in self.headers.get("Content-Type", ""):
            with suppress(ValueError):
                given = json.loads(raw)
                said = given.items() if isinstance(given, dict) else ()
                return {name: value for name, value in said if isinstance(value, str)}
        return {name: values[0] for name, values in parse_qs(raw).items()}

    def _authorize(self, provider: str, given: dict[str, str]) -> None:
        person = given.get("person")
        if wrong := _refused(provider, given):
            self._send(400, {"error": "invalid_request", "error_description": wrong})
        elif person is None:
            self._send_page(_page({provider: given}))
        elif person == NOBODY:
            self._go_back(given, {"error": CANCELLED[provider]})
        elif person in PEOPLE:
            self._go_back(given, self._answer(provider, person, given))
        else:
            self._send(400, {"error": "invalid_request"})

    def _answer(self, provider: str, who: str, given: dict[str, str]) -> dict[str, str]:
        answer = {"id_token": self._id_token(provider, who, given)}
        if provider == "apple" and "code" in given.get("response_type", ""):
            answer["code"] = secrets.token_urlsafe(24)
            self.server.sent_to[answer["code"]] = given.get("redirect_uri")
            if "name" in given.get("scope", "") and who not in self.server.named:
                # The first time alone.
                self.server.named.add(who)
                first, last = PEOPLE[who].name.split()
                answer["user"] = json.dumps({"name": {"firstName": first, "lastName": last}})
        return answer

    def _id_token(self, provider: str, who: str, given: dict[str, str]) -> str:
        return self.server.id_token(provider, who, given.get("client_id"), given.get("nonce"))

    def _go_back(self, given: dict[str, str], answer: dict[str, str]) -> None:
        address = given.get("redirect_uri", "")
        if not address:
            self._send(200, answer)
            return
        if "state" in given:
            answer["state"] = given["state"]
        if given.get("response_mode") == "form_post":
            self._send_page(_form(address, answer))
            return
        self.send_response(302)
        self.send_header("Location", f"{address}#{urlencode(answer)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_page(self, page: str) -> None:
        self._send(200, page.encode(), {"Content-Type": "text/html; charset=utf-8"})

    def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        answered = {
            "Content-Type": "application/json",
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Headers": "Content-Type",
            "Content-Length": str(len(sent)),
        }
        for name, value in (answered | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        """Log nothing: there are tokens in the addresses."""


def _page(dialects: dict[str, dict[str, str]]) -> str:
    """The list of the made-up people, with a link for each; what was asked for goes along."""
    rows = [
        f'<li><a href="/{provider}/authorize?{html.escape(urlencode(given | {"person": who}))}">'
        f"{person.name}, by {provider.capitalize()}</a>: {person.says}</li>"
        for provider, given in dialects.items()
        for who, person in PEOPLE.items()
    ]
    for given in dialects.values():
        if "redirect_uri" in given:
            query = html.escape(urlencode(given | {"person": NOBODY}))
            rows.append(f'<li><a href="?{query}">Nobody</a>: goes back as they came</li>')
    return (
        f"{HEAD}<title>Who are you?</title>"
        "<h1>Who are you?</h1><p>For development. None of these people exists.</p>"
        f"<ul>{''.join(rows)}</ul></html>"
    )


def _form(address: str, answer: dict[str, str]) -> str:
    """What has the browser bring an answer by POST (OAuth 2.0 Form Post Response Mode)."""
    fields = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
        for name, value in answer.items()
    )
    return (
        f"{HEAD}<title>Back to the app</title>"
        f'<form method="post" action="{html.escape(address)}">{fields}</form>'
        "<script>document.forms[0].submit()</script></html>"
    )


def _refused(provider: str, given: dict[str, str]) -> str | None:
    """What the real one would not take of what is asked, as far as it is asked in full."""
    kinds, scopes = (set(given.get(name, "").split()) for name in ("response_type", "scope"))
    if not kinds:
        return None
    if not {"client_id", "redirect_uri"} <= given.keys():
        return "client_id and redirect_uri are required"
    if (
        provider == "google"
        and "id_token" in kinds
        and not ("openid" in scopes and "nonce" in given)
    ):
        return "An id token wants the scope openid, and a nonce"
    if provider == "apple" and "id_token" in kinds and "code" not in kinds:
        return "id_token alone is no response_type"
    by_form = given.get("response_mode") == "form_post"
    if provider == "apple" and scopes & {"name", "email"} and not by_form:
        return "response_mode must be form_post when name or email scope is requested"
    return None


def _subject(provider: str, who: str) -> str:
    """The name by which a provider knows somebody, in the form that its own have."""
    digest = hashlib.sha256(f"{provider} {who}".encode()).hexdigest()
    if provider == "google":
        return str(int(digest, 16))[:21]
    return f"001234.{digest[:32]}.0815"


def _segment(value: object) -> str:
    return _base64(json.dumps(value).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
