"""One of many people: what Locust runs side by side for tests/load/__main__.py."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

from locust import HttpUser, task

from chalicelib.core.ids import uuid7

# What a problem says it is, and what S3 does.
CODE = r'"code":"(\w+)"|<Code>(\w+)'
PASSWORD = "battery staple, correctly"
# Each way to upload a recording, and a size for it. Parts are for 5 MiB or more.
SIZES = {"put": 20_000, "post": 20_000, "multipart": 5 * 1024**2, "direct": 20_000}


class Person(HttpUser):
    """Records, listens, tidies up, and goes round again; keeps one recording of each round."""

    def on_start(self) -> None:
        """Sign up and log in."""
        self.client.trust_env = False
        self.kept: dict[str, str] = {}
        self.cursor = ""
        account = {"email": f"{uuid7()}@example.com", "password": PASSWORD}
        self.ask("POST", "/auth/signup", json=account)
        self.token = self.ask("POST", "/auth/login", json=account)["access_token"]

    @task
    def go_round(self) -> None:
        """Do all that the app is for, with a recording of each way to upload one."""
        made = {self.upload(method): method for method in SIZES}
        self.check(made.keys() <= self.listed().keys(), "a recording is not listed")
        for id in made:
            self.play_a_part(id)
        first, second, *others = made
        self.rename(first)
        self.ask("DELETE", "/recordings/{id}", id=first)
        self.check(first not in self.listed(), "what was trashed is listed")
        self.ask("POST", "/recordings/{id}/restore", id=first)
        for id in (second, *others):
            self.ask("DELETE", "/recordings/{id}", id=id, params={"permanent": "true"})
            del self.kept[id]
        self.check(made.keys() <= self.changed(), "a change is not told")
        self.check_export()

    def on_stop(self) -> None:
        """Look whether all that was kept is there, byte for byte."""
        self.check(self.listed().keys() == self.kept.keys(), "a recording was lost, or came back")
        for id, sha256 in self.kept.items():
            found = self.fetch("play", self.url_of(id))
            self.check(hashlib.sha256(found.content).hexdigest() == sha256, "bytes were lost")

    def upload(self, method: str) -> str:
        """Upload a recording; its id."""
        data, id = os.urandom(SIZES[method]), uuid7()
        self.kept[id] = hashlib.sha256(data).hexdigest()
        if method == "direct":
            headers, name = {"Content-Type": "audio/mp4"}, {"file_name": "clip.m4a"}
            audio = "/recordings/{id}/audio"
            self.ask("PUT", audio, id=id, data=data, headers=headers, params=name)
            return id
        new = {"id": id, "file_name": "clip.m4a", "content_type": "audio/mp4", "size": len(data)}
        upload = self.ask("POST", "/recordings", json=new | {"upload_method": method})["upload"]
        if method == "put":
            self.fetch("put", upload["url"], "PUT", data=data, headers=upload["headers"])
        elif method == "post":
            files = {"file": ("clip.m4a", data)}
            self.fetch("post", upload["url"], "POST", data=upload["fields"], files=files)
        else:
            [part] = upload["parts"]
            self.fetch("part", part["url"], "PUT", data=data)
        self.ask("POST", "/recordings/{id}/complete", id=id)
        return id

    def listed(self) -> dict[str, Any]:
        """All ready recordings, by their ids."""
        found: dict[str, Any] = {}
        after: dict[str, str] = {}
        while True:
            page = self.ask("GET", "/recordings", params={"limit": "100", **after})
            found |= {recording["id"]: recording for recording in page["recordings"]}
            if page["next"] is None:
                return found
            after = {"after": page["next"]}

    def changed(self) -> set[str]:
        """What changed since the last time."""
        ids: set[str] = set()
        while True:
            since = {"since": self.cursor} if self.cursor else {}
            page = self.ask("GET", "/recordings/changes", params=since)
            ids |= {change["id"] for change in page["changes"]}
            self.cursor = page["cursor"]
            if not page["more"]:
                return ids

    def play_a_part(self, id: str) -> None:
        """Play some bytes of the middle."""
        part = self.fetch("play a part", self.url_of(id), headers={"Range": "bytes=100-199"})
        self.check(part.status_code == 206 and len(part.content) == 100, "a range is not played")

    def rename(self, id: str) -> None:
        """Give a recording another name."""
        renamed = self.ask("PATCH", "/recordings/{id}", id=id, json={"file_name": "renamed.m4a"})
        self.check(renamed["file_name"] == "renamed.m4a", "a recording was not renamed")

    def check_export(self) -> None:
        """Fetch the export, which has all that is kept and nothing else."""
        asked = self.ask("POST", "/me/export", json={"password": PASSWORD})
        export = self.fetch("export", asked["url"]).json()
        ids = {recording["id"] for recording in export["recordings"]}
        self.check(ids == self.kept.keys(), "the export is not what is kept")

    def url_of(self, id: str) -> str:
        """Where a recording plays."""
        return str(self.ask("GET", "/recordings/{id}", id=id)["audio"]["url"])

    def ask(self, method: str, path: str, *, id: str = "", **arguments: Any) -> Any:
        """Call the API; what it answers."""
        headers = arguments.pop("headers", {})
        if token := getattr(self, "token", None):
            headers["Authorization"] = f"Bearer {token}"
        url = f"{self.host}{path.replace('{id}', id)}"
        answer = self.fetch(path, url, method, headers=headers, **arguments)
        return answer.json() if answer.content else None

    def fetch(self, name: str, url: str, method: str = "GET", **arguments: Any) -> Any:
        """Call whoever it may be; an answer that refuses ends the round, and the run with 1."""
        with self.client.request(
            method, url, name=name, catch_response=True, **arguments
        ) as answer:
            if not answer.ok:
                answer.failure(f"{answer.status_code} {re.findall(CODE, answer.text)}")
        self.check(answer.ok, f"{method} {name} was refused")
        return answer

    def check(self, holds: bool, otherwise: str) -> None:
        """End the round, and the run with 1, if something does not hold."""
        if not holds:
            error = AssertionError(otherwise)
            self.environment.runner.log_exception("local", otherwise, "")
            raise error


class Hostile(HttpUser):
    """Takes all that is to be had, and does not mind being refused."""

    fixed_count = 1

    def on_start(self) -> None:
        """Sign up."""
        self.client.trust_env = False
        self.account = {"email": f"{uuid7()}@example.com", "password": PASSWORD}
        answer = self.client.post("/auth/signup", json=self.account, name="hostile signup")
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    @task(20)
    def announce(self) -> None:
        """Announce as many recordings of a byte as a call takes."""
        new = {"file_name": "x", "content_type": "audio/mp4", "size": 1}
        self.ask("POST", "/recordings/batch", {"recordings": [new] * 25})

    @task(5)
    def export(self) -> None:
        """Have everything written out."""
        self.ask("POST", "/me/export", {"password": PASSWORD})

    @task(5)
    def guess(self) -> None:
        """Guess, and have mails sent."""
        self.ask("POST", "/auth/login", self.account | {"password": "not my password"})
        self.ask("POST", "/auth/password/forgot", {"email": self.account["email"]})

    def ask(self, method: str, path: str, body: object) -> None:
        """Call the API; a refusal is what is wanted."""
        with self.client.request(
            method,
            path,
            json=body,
            headers=self.headers,
            name=f"hostile {path}",
            catch_response=True,
        ) as answer:
            if answer.status_code < 500:
                answer.success()
