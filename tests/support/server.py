"""A server as people start it: `make run` or `chalice local`, in processes of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config

from chalicelib.core.ids import uuid7
from tests.support import ROOT, leaks
from tests.support.phone import PASSWORD, send

BIN = Path(sys.executable).parent
# A laptop with a profile, endpoints, keys and a proxy that must never be used: nothing answers
# on the discard port.
NOWHERE = "http://127.0.0.1:9"
OTHERS_SETTINGS = {
    "AWS_PROFILE": "nobodys-profile",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "somebody",
    "AWS_REGION": "eu-central-1",
    "AWS_ENDPOINT_URL": NOWHERE,
    "AWS_ENDPOINT_URL_S3": NOWHERE,
    "AWS_ENDPOINT_URL_DYNAMODB": NOWHERE,
    "AWS_USE_FIPS_ENDPOINT": "true",
    "HTTP_PROXY": NOWHERE,
    "HTTPS_PROXY": NOWHERE,
    "http_proxy": NOWHERE,
}


def _learn_request(request: httpx.Request) -> None:
    if request.headers.get("content-type", "").startswith("application/json"):
        leaks.learn(request.read())


def _learn_answer(response: httpx.Response) -> None:
    if response.headers.get("content-type", "").startswith("application/json"):
        leaks.learn(response.read())


# No proxy, and no connection kept: a server that was stopped leaves none behind.
http = httpx.Client(
    timeout=30,
    trust_env=False,
    limits=httpx.Limits(max_keepalive_connections=0),
    event_hooks={"request": [_learn_request], "response": [_learn_answer]},
)


class Server:
    """A running server, and somebody who uses it."""

    def __init__(self, url: str, process: subprocess.Popen[str], log: Path) -> None:
        self.url = url
        self.process = process
        self.log = log

    def signal_all(self, number: int) -> None:
        """What a key on the terminal does: signal the whole foreground process group."""
        os.killpg(self.process.pid, number)

    def leaves_nothing(self) -> bool:
        """Whether no process of the group is left, within some seconds."""
        return eventually(
            lambda: self.process.poll() is not None and not _group_exists(self.process.pid)
        )

    def printed(self) -> str:
        return self.log.read_text()

    def sign_up(self) -> User:
        return User(self.url)

    def s3(self) -> Any:
        """A client of its embedded S3, as `make audit` has one."""
        port = self.url.rpartition(":")[2]
        word = json.loads((ROOT / ".recorder" / f"{port}.json").read_text())
        session = boto3.session.Session(
            word["AWS_ACCESS_KEY_ID"], word["AWS_SECRET_ACCESS_KEY"], region_name=word["AWS_REGION"]
        )
        config = Config(s3={"addressing_style": "path"})
        return session.client("s3", endpoint_url=word["AWS_ENDPOINT_URL"], config=config)


class User:
    """Somebody who just signed up, over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._headers: dict[str, str] = {}
        self.email = f"{uuid7()}@example.com"
        body = {"email": self.email, "password": PASSWORD}
        answer = self.ask("POST", "/auth/signup", json=body)
        assert answer.status_code == 201, answer.text
        self.token = str(answer.json()["access_token"])
        self._headers["Authorization"] = f"Bearer {self.token}"

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, **arguments: Any
    ) -> httpx.Response:
        sent = self._headers | (headers or {})
        return http.request(method, self._url + path, headers=sent, **arguments)

    def upload(self, data: bytes, file_name: str, content_type: str, method: str) -> str:
        """A recording that went up as signed; its id."""
        announced = {"file_name": file_name, "content_type": content_type, "size": len(data)}
        begun = self.ask("POST", "/recordings", json=announced | {"upload_method": method}).json()
        send(begun["upload"], data)
        recording_id = str(begun["recording"]["id"])
        assert self.ask("POST", f"/recordings/{recording_id}/complete").status_code == 200
        return recording_id

    def upload_directly(self, data: bytes, file_name: str, content_type: str) -> str:
        """A recording that went up in one request; its id."""
        recording_id = uuid7()
        answer = self.ask(
            "PUT",
            f"/recordings/{recording_id}/audio",
            params={"file_name": file_name},
            content=data,
            headers={"Content-Type": content_type},
        )
        assert answer.status_code == 201, answer.text
        return recording_id

    def play(self, recording_id: str, **headers: str) -> httpx.Response:
        audio = self.ask("GET", f"/recordings/{recording_id}").json()["audio"]
        return http.get(audio["url"], headers=headers)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something comes to hold; the seconds bound a failure, not a success."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def running(
    *command: str, log: Path, port: int, cwd: Path = ROOT, environ: dict[str, str] | None = None
) -> Iterator[Server]:
    """Run a command that serves on `port`, in a process group of its own, until the end."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=_plain_environment() | {"DATA": "memory"} | (environ or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        assert eventually(lambda: answers(server.url) or process.poll() is not None)
        assert process.poll() is None, server.printed()
        yield server
    finally:
        if _group_exists(process.pid):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
        assert server.leaves_nothing()
    # `make run` prints the mails, tokens and all, so that their links can be opened.
    mails = re.compile(r"^  Mail to .*\n(?:(?: {4}.*)?\n)*", re.MULTILINE)
    leaks.check("what the server printed", mails.sub("", server.printed()))


def answers(url: str) -> bool:
    try:
        return http.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def running_a_copy(folder: Path) -> Iterator[tuple[Server, Path]]:
    """Run a copy of the project, whose files a test may edit, as `make run` does."""
    ignored = shutil.ignore_patterns(".*_cache", ".venv", ".git", "__pycache__", ".hypothesis")
    project = Path(shutil.copytree(ROOT, folder / "project", ignore=ignored))
    port = free_port()
    command = [str(BIN / "python"), "-m", "local.run", "--port", str(port)]
    with running(*command, log=folder / "log", port=port, cwd=project) as server:
        assert eventually(lambda: "Its S3" in server.printed())
        yield server, project


def _plain_environment() -> dict[str, str]:
    ours = ("AWS_", "RECORDER_", "NO_PROXY", "no_proxy", "MAKE", "MFLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
