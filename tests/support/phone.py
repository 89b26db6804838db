"""A phone: the small client that the tests speak through.

Every answer it gets is held against the OpenAPI document: a status, a code or a body that the
document does not know fails the test that met it.
"""

from __future__ import annotations

import functools
import itertools
import json
import ssl
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from chalice.local import LocalChalice
from chalice.test import Client
from jsonschema import Draft202012Validator

from app import app
from chalicelib.api import openapi
from chalicelib.core.ids import uuid7
from tests.support import leaks

# The S3 here speaks no TLS; httpx's own context takes longer to build than the request to answer.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# No example's, which `make run` prints.
PASSWORD = "battery staple, correctly"
_numbers = itertools.count(1)


@dataclass
class Answer:
    """What the API answered."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The code of a problem."""
        return str(self.json["code"])

    @property
    def fields(self) -> list[str]:
        """The fields that a problem blames."""
        return [error["field"] for error in self.json.get("errors", [])]


class Phone:
    """Talks to the app in this process as an app would over HTTP."""

    def __init__(self) -> None:
        # As `chalice local` has it: threads that send different requests keep them apart.
        app.__class__ = LocalChalice
        http: Any = Client(app).http
        # It would put a copy in place of os.environ meanwhile, which two threads leave there.
        http._patched_env_vars = nullcontext
        self._http = http
        self.email = f"ann{next(_numbers)}@example.com"
        self.tokens: dict[str, Any] = {}

    @property
    def user_id(self) -> str:
        return str(self.tokens["user"]["id"])

    @property
    def token(self) -> str:
        return str(self.tokens["access_token"])

    @property
    def session_id(self) -> str:
        return str(self.tokens["refresh_token"].split(".")[1])

    def sign_up(self) -> Phone:
        self.tokens = self.call(
            "POST", "/auth/signup", {"email": self.email, "password": PASSWORD}
        ).json
        return self

    def copy(self) -> Phone:
        """Another phone with the same tokens."""
        another = Phone()
        another.email, another.tokens = self.email, dict(self.tokens)
        return another

    def log_in(self, **fields: object) -> Answer:
        """Log in; the phone itself stays in the session that it has."""
        return self.post("/auth/login", {"email": self.email, "password": PASSWORD} | fields)

    def export(self) -> Answer:
        return self.post("/me/export", {"password": PASSWORD})

    def refresh(self) -> Answer:
        """Refresh; the phone itself keeps the tokens that it has."""
        return self.post("/auth/refresh", {"refresh_token": self.tokens["refresh_token"]})

    def on_another_device(self, **fields: object) -> Phone:
        """Another phone of the same user, logged in."""
        another = self.copy()
        another.tokens = another.log_in(**fields).json
        return another

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request. A body is sent as JSON, but for bytes, which are sent as they are."""
        sent = {"Content-Type": "application/json", "Host": "testserver"}
        if self.tokens:
            sent["Authorization"] = f"Bearer {self.tokens['access_token']}"
        if query:
            path += "?" + urlencode(query)
        if not isinstance(body, bytes):
            body = b"" if body is None else json.dumps(body).encode()
        sent |= headers or {}
        secrets = {"access_token": sent.get("Authorization", "").partition(" ")[2]}
        leaks.learn(secrets, body)
        response = self._http.request(method, path, sent, body)
        headers_answered = {name.lower(): value for name, value in response.headers.items()}
        answer = Answer(response.status_code, headers_answered, response.body.decode())
        leaks.learn(answer.text)
        leaks.check_answer(answer.status, answer.text, secrets, body)
        check_documented(method, urlsplit(path).path, answer)
        return answer

    def get(self, path: str, **arguments: Any) -> Answer:
        return self.call("GET", path, **arguments)

    def post(self, path: str, body: object = None, **arguments: Any) -> Answer:
        return self.call("POST", path, body, **arguments)

    def patch(self, path: str, body: object = None, **arguments: Any) -> Answer:
        return self.call("PATCH", path, body, **arguments)

    def delete(self, path: str, **arguments: Any) -> Answer:
        return self.call("DELETE", path, **arguments)

    def put_audio(
        self,
        recording_id: str,
        data: bytes,
        *,
        file_name: str = "clip.m4a",
        content_type: str = "audio/mp4",
    ) -> Answer:
        """A direct upload."""
        return self.call(
            "PUT",
            f"/recordings/{recording_id}/audio",
            data,
            query={"file_name": file_name},
            headers={"Content-Type": content_type},
        )

    def announce(self, data: bytes, **fields: Any) -> Answer:
        """Announce a recording with these bytes."""
        announced = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": len(data)}
        return self.post("/recordings", announced | fields)

    def deliver(self, data: bytes, **fields: Any) -> str:
        """Announce and send a recording, without completing it; its id."""
        begun = self.announce(data, **fields).json
        send(begun["upload"], data)
        return str(begun["recording"]["id"])

    def complete(self, recording_id: str, body: object = None) -> Answer:
        """Say that the bytes were sent."""
        return self.post(f"/recordings/{recording_id}/complete", body)

    def resume(self, recording_id: str) -> Answer:
        """Ask how to go on with an upload."""
        return self.get(f"/recordings/{recording_id}/upload")

    def trash(self, recording_id: str) -> Answer:
        """Delete a recording, which moves it to the trash."""
        return self.delete(f"/recordings/{recording_id}")

    def restore(self, recording_id: str, if_match: str | None = None) -> Answer:
        """Bring a recording back from the trash, if it has a version where one is given."""
        headers = {"If-Match": if_match} if if_match else {}
        return self.post(f"/recordings/{recording_id}/restore", headers=headers)

    def delete_for_good(self, recording_id: str) -> Answer:
        """Delete a recording past the trash."""
        return self.delete(f"/recordings/{recording_id}", query={"permanent": "true"})

    def upload(self, data: bytes, **fields: Any) -> str:
        """Announce, send and complete a recording; its id."""
        recording_id = self.deliver(data, **fields)
        completed = self.complete(recording_id)
        assert completed.status == 200, completed.text
        return recording_id

    def upload_directly(self, data: bytes, recording_id: str | None = None) -> str:
        """Upload a recording in one request; its id."""
        recording_id = recording_id or uuid7()
        assert self.put_audio(recording_id, data).status == 201
        return recording_id

    def listed(self, **query: object) -> list[str]:
        """The ids on one page of a shelf."""
        return [
            recording["id"] for recording in self.get("/recordings", query=query).json["recordings"]
        ]

    def seen(self, recording_id: str) -> dict[str, Any]:
        """A recording as its owner sees it, but for where it plays."""
        recording: dict[str, Any] = self.get(f"/recordings/{recording_id}").json
        return {field: value for field, value in recording.items() if field != "audio"}

    def purge_at(self, id: str) -> datetime:
        """When a recording in the trash is purged."""
        return datetime.fromisoformat(self.seen(id)["purge_at"])

    def usage(self) -> tuple[int, int]:
        """How many bytes, in how many recordings, the user is told that they keep."""
        usage = self.get("/me").json["usage"]
        return usage["bytes"], usage["recordings"]

    def download(self, recording_id: str, **headers: str) -> httpx.Response:
        """The bytes, from where the API says they are."""
        audio = self.get(f"/recordings/{recording_id}").json["audio"]
        return httpx.get(audio["url"], headers=headers, verify=NO_TLS)


def send(upload: dict[str, Any], data: bytes) -> None:
    """Send bytes to S3 as `upload` says."""
    if upload["method"] == "multipart":
        for part in upload["parts"]:
            send_part(upload, part["number"], data)
        return
    url = upload["url"]
    if upload["method"] == "put":
        answer = httpx.put(url, headers=upload["headers"], content=data, verify=NO_TLS)
    else:
        file = {"file": ("x", data)}
        answer = httpx.post(url, data=upload["fields"], files=file, verify=NO_TLS)
    assert answer.is_success, answer.text


def send_part(upload: dict[str, Any], number: int, data: bytes) -> str:
    """Send one part of these bytes to S3; its ETag."""
    [part] = [part for part in upload["parts"] if part["number"] == number]
    start = (number - 1) * upload["part_size"]
    body = data[start : start + part["size"]]
    answer = httpx.put(part["url"], content=body, verify=NO_TLS)
    assert answer.is_success, answer.text
    return answer.headers["etag"]


@functools.cache
def _document() -> Any:
    return json.loads(json.dumps(openapi.document(app)))


def check_documented(method: str, path: str, answer: Answer) -> None:
    """Fail if the document does not know this answer of this route."""
    operation = _operation(method, path)
    if operation is None:
        # HEAD is GET's, but for the body.
        assert method == "HEAD" or answer.status in {403, 405}, f"{method} {path} is undocumented"
        return
    documented = operation["responses"].get(str(answer.status))
    assert documented, f"{method} {path}: {answer.status} is not documented"
    if not (content := documented.get("content")):
        return
    media_type = answer.headers["content-type"].partition(";")[0]
    assert media_type in content
    if media_type.endswith("json"):
        schema = {**content[media_type]["schema"], "components": _document()["components"]}
        Draft202012Validator(schema).validate(answer.json)
        if answer.status >= 400:
            assert f"`{answer.code}`" in documented["description"], f"{answer.code} is unknown"


def _operation(method: str, path: str) -> Any:
    parts = path.split("/")
    for template, operations in _document()["paths"].items():
        known = template.split("/")
        if len(known) == len(parts) and all(
            there == here or there.startswith("{") for there, here in zip(known, parts, strict=True)
        ):
            return operations.get(method.lower())
    return None
