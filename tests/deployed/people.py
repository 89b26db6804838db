"""Who uses a deployed API: over HTTP alone, wherever it is."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from chalicelib.core.ids import uuid7

PASSWORD = "battery staple, correctly"
# SES's own, which takes every mail and hands it to nobody.
MAILBOX = "success+{}@simulator.amazonses.com"
# For what a job does, which S3's event or a schedule starts.
JOB_SECONDS = 30


class Api:
    """A deployed API, at its address."""

    def __init__(self, url: str, trust: ssl.SSLContext | bool = True, host: str = "") -> None:
        self.url = url.rstrip("/")
        self.accounts: set[Person] = set()
        """Whoever signed up, and has not closed it."""
        # What the API is called, where that is not in its address.
        self._called = {"Host": host} if host else {}
        # No proxy, and a minute: a cold start, and then S3's copy.
        self.http = httpx.Client(verify=trust, trust_env=False, timeout=60)

    def ask(self, method: str, path: str, expected: int = 200, **arguments: Any) -> httpx.Response:
        """What it answers to a request: with this status, unless 0, and every answer's headers."""
        headers = self._called | arguments.pop("headers", {})
        answer = self.http.request(method, self.url + path, headers=headers, **arguments)
        told = f"{method} {path}: {answer.status_code} {answer.text[:1000]}"
        assert answer.status_code == (expected or answer.status_code), told
        assert answer.headers.get("Access-Control-Allow-Origin"), f"{told}: no CORS headers"
        return answer

    def refuse(self, method: str, path: str, expected: int, code: str, **arguments: Any) -> Any:
        """The problem that it answers, which has this status and this code."""
        answer = self.ask(method, path, expected, **arguments)
        problem, kind = answer.json(), answer.headers["Content-Type"]
        assert problem["code"] == code, problem
        assert problem["status"] == expected, problem
        assert problem["request_id"], problem
        assert kind == "application/problem+json; charset=utf-8", kind
        return problem

    def path_of(self, reference: str) -> str:
        """The path here of what a page of this API names; it begins with all that is before it."""
        root = urlsplit(self.url).path
        assert reference.startswith(f"{root}/"), f"{reference} is not under {root}"
        return reference.removeprefix(root)

    def fetch(self, method: str, url: str, expected: int = 200, **arguments: Any) -> httpx.Response:
        """What S3 answers to a URL that the API signed."""
        answer = self.http.request(method, url, **arguments)
        assert answer.status_code == expected, f"{method} S3: {answer.status_code} {answer.text}"
        return answer


class Person:
    """Somebody who signed up just now, or signed in."""

    def __init__(self, api: Api, tokens: Any = None) -> None:
        self.api = api
        self.email = MAILBOX.format(uuid7())
        self.password = PASSWORD
        # Of somebody who signed in otherwise, where they are given.
        self.tokens = tokens or self.sign_up()

    def sign_up(self) -> Any:
        """Have an account; the tokens of its first session."""
        account = {"email": self.email, "password": self.password, "name": "Ann"}
        tokens = self.api.ask("POST", "/auth/signup", 201, json=account).json()
        self.api.accounts.add(self)
        return tokens

    @property
    def id(self) -> str:
        return str(self.tokens["user"]["id"])

    @property
    def header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    def ask(self, method: str, path: str, expected: int = 200, **arguments: Any) -> Any:
        """What the API answers them, as JSON; None for nothing."""
        headers = self.header | arguments.pop("headers", {})
        answer = self.api.ask(method, path, expected, headers=headers, **arguments)
        return answer.json() if answer.content else None

    def refuse(self, method: str, path: str, expected: int, code: str, **arguments: Any) -> Any:
        """The problem that they are answered."""
        headers = self.header | arguments.pop("headers", {})
        return self.api.refuse(method, path, expected, code, headers=headers, **arguments)

    def refused(self, method: str, path: str, **arguments: Any) -> tuple[int, str]:
        """The status and the code of the problem that they are answered, of whatever kind."""
        answer = self.api.ask(method, path, 0, headers=self.header, **arguments)
        return answer.status_code, str(answer.json().get("code"))

    def log_in(self, expected: int = 200, **fields: str) -> Any:
        """What a log-in is answered; the person stays in the session that they have."""
        given = {"email": self.email, "password": self.password, **fields}
        return self.api.ask("POST", "/auth/login", expected, json=given).json()

    def announce(self, data: bytes, method: str = "put", **fields: Any) -> Any:
        """Announce a recording of these bytes; what is answered."""
        new = {
            "id": uuid7(),
            "file_name": "Interview ☕ 1.m4a",
            "content_type": "audio/mp4",
            "size": len(data),
            "upload_method": method,
            **fields,
        }
        return self.ask("POST", "/recordings", 201, json=new)

    def send(self, upload: Any, data: bytes) -> None:
        """Send bytes to S3 as `upload` says."""
        if upload["method"] == "multipart":
            for part in upload["parts"]:
                start = (part["number"] - 1) * upload["part_size"]
                body = data[start : start + part["size"]]
                assert self.api.fetch("PUT", part["url"], content=body).headers["ETag"]
        elif upload["method"] == "post":
            form = {"data": upload["fields"], "files": {"file": ("x", data)}}
            self.api.fetch("POST", upload["url"], 204, **form)
        else:
            self.api.fetch("PUT", upload["url"], content=data, headers=upload["headers"])

    def deliver(self, data: bytes, method: str = "put", **fields: Any) -> str:
        """Announce a recording and send its bytes, no more; its id."""
        begun = self.announce(data, method, **fields)
        self.send(begun["upload"], data)
        return str(begun["recording"]["id"])

    def upload(self, data: bytes, method: str = "put", **fields: Any) -> str:
        """A recording that was announced, sent and completed; its id."""
        id = self.deliver(data, method, **fields)
        recording = self.ask("POST", f"/recordings/{id}/complete")
        assert recording["status"] == "ready", recording
        return id

    def upload_directly(self, data: bytes, content_type: str, expected: int = 201) -> Any:
        """A recording that was sent through the API; what is answered."""
        path, headers = f"/recordings/{uuid7()}/audio", {"Content-Type": content_type}
        query = {"file_name": "clip"}
        return self.ask("PUT", path, expected, params=query, content=data, headers=headers)

    def begin_live(self) -> str:
        """Announce a recording that is sent while it is recorded; its id."""
        new = {"file_name": "live", "content_type": "audio/aac", "upload_method": "live"}
        return str(self.ask("POST", "/recordings", 201, json=new)["recording"]["id"])

    def add_pieces(self, id: str, offset: int, pieces: list[bytes]) -> Any:
        """Announce what comes next of it; what is answered."""
        said = [{"size": len(each), "sha256": hashed(each)} for each in pieces]
        path, given = f"/recordings/{id}/pieces", {"offset": offset, "pieces": said}
        return self.ask("POST", path, json=given)

    def send_piece(self, piece: Any, data: bytes, expected: int = 200) -> None:
        """Send a piece to S3 as its announcement was answered."""
        self.api.fetch("PUT", piece["url"], expected, content=data, headers=piece["headers"])

    def seen(self, id: str, expected: int = 200) -> Any:
        """A recording as they see it."""
        return self.ask("GET", f"/recordings/{id}", expected)

    def play(self, id: str, expected: int = 200, **headers: str) -> httpx.Response:
        """The bytes of a recording, or some of them."""
        return self.api.fetch("GET", self.seen(id)["audio"]["url"], expected, headers=headers)

    def listed(self, **query: str) -> list[str]:
        """The ids on a page of a shelf."""
        return [each["id"] for each in self.ask("GET", "/recordings", params=query)["recordings"]]

    def changed(self, cursor: str = "") -> tuple[dict[str, Any], str]:
        """All that changed since then, by its id, and the next cursor."""
        changes: dict[str, Any] = {}
        while True:
            query = {"since": cursor} if cursor else {}
            page = self.ask("GET", "/recordings/changes", params=query)
            changes |= {each["id"]: each for each in page["changes"]}
            cursor = page["cursor"]
            if not page["more"]:
                return changes, cursor

    def close(self) -> None:
        """Delete the account."""
        self.ask("DELETE", "/me", 204, json={"password": self.password})
        self.api.accounts.discard(self)


def hashed(data: bytes) -> str:
    """The SHA-256 as the API has it."""
    return hashlib.sha256(data).hexdigest()


def noise(size: int) -> bytes:
    """Bytes that are no UTF-8, so that whatever reads them as text spoils them."""
    return b"\x00\xff\xfe\x80" + os.urandom(size - 4)


def waited(
    holds: Callable[[], Any], seconds: float = JOB_SECONDS, otherwise: str = "It did not come to be"
) -> float:
    """How long it took until something held, which is asked for again and again."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"{otherwise} within {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - began


def as_json(text: str) -> list[Any]:
    """The lines of a text that are JSON."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
