"""The example client, as people start it, against a server as people start it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from chalicelib.core.ids import uuid7
from tests.support import ROOT
from tests.support import gate as gates
from tests.support.gate import Answered, Gate, Lost, Passing
from tests.support.phone import PASSWORD
from tests.support.server import BIN, Server, eventually, free_port, http, running

# Each starts the client anew, once or more.
pytestmark = pytest.mark.deep

CLIENT = ROOT / "examples" / "recorder_client.py"
MEETING = ROOT / "tests" / "data" / "meeting.m4a"
MIB = 1024**2
# It never gives up by itself. This bounds a failure, not a success.
SECONDS = 60
# Parts have 8 MiB.
FIVE_PARTS = os.urandom(33 * MIB)
THREE_PARTS = FIVE_PARTS[: 17 * MIB]


@pytest.fixture(scope="module")
def _gate() -> Iterator[Gate]:
    with gates.standing() as gate:
        yield gate


@pytest.fixture(scope="module")
def server(_gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`make run`, whose phones reach S3 through the gate, and whose tokens last for seconds."""
    port = free_port()
    log = tmp_path_factory.mktemp("run") / "log"
    environ = {
        "RECORDER_S3_PUBLIC_URL": _gate.url,
        "RECORDER_ACCESS_TOKEN_SECONDS": "3",
        "RECORDER_BCRYPT_COST": "4",
    }
    with running("make", "run", f"PORT={port}", log=log, port=port, environ=environ) as started:
        assert eventually(lambda: "Its S3" in started.printed())
        s3 = re.search(r"Its S3 +(\S+)", started.printed())
        assert s3
        _gate.s3 = s3[1]
        yield started


@pytest.fixture
def gate(_gate: Gate) -> Iterator[Gate]:
    """The gate to S3, open."""
    _gate.open()
    yield _gate
    _gate.open()


class Owner:
    """Somebody who has an account and the client."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.folder = folder
        self._url = server.url
        self._credentials = {"email": f"{uuid7()}@example.com", "password": PASSWORD}
        self._command = [str(BIN / "python"), str(CLIENT), "--api", server.url]
        self._environ = {
            f"RECORDER_{name.upper()}": value for name, value in self._credentials.items()
        }

    def sign_up(self) -> Owner:
        assert http.post(f"{self._url}/auth/signup", json=self._credentials).is_success
        return self

    def file(self, data: bytes, name: str = "talk.m4a") -> str:
        (self.folder / name).write_bytes(data)
        return name

    @contextmanager
    def start(self, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
        """The client at work; it is killed at the end, and after a while if it never ends."""
        environ = self._environ | options.pop("environ", {})
        process = subprocess.Popen(
            [*self._command, *arguments], cwd=self.folder, env=environ, text=True, **options
        )
        stop = threading.Timer(SECONDS, process.kill)
        stop.start()
        with process:
            try:
                yield process
            finally:
                process.kill()
                stop.cancel()

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self.start(*arguments, environ=environ, **pipes) as process:
            output, errors = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def upload(self, name: str) -> str:
        """The id of what the client uploaded."""
        ended = self.run("upload", name)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def has(self, data: bytes, name: str = "talk.m4a") -> str:
        """The id of a recording that some other app uploaded."""
        recording_id = uuid7()
        answer = http.put(
            f"{self._url}/recordings/{recording_id}/audio",
            params={"file_name": name},
            headers=self.log_in() | {"Content-Type": "audio/mp4"},
            content=data,
        )
        assert answer.status_code == 201, answer.text
        return recording_id

    def log_in(self) -> dict[str, str]:
        answer = http.post(f"{self._url}/auth/login", json=self._credentials).json()
        return {"Authorization": f"Bearer {answer['access_token']}"}

    def ask(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return http.get(self._url + path, headers=headers or self.log_in())

    def complete(self, recording_id: str, size: int) -> httpx.Response:
        """What another device does."""
        path = f"{self._url}/recordings/{recording_id}/complete"
        return http.post(path, headers=self.log_in(), json={"size": size})

    def recordings(self, status: str = "ready") -> list[dict[str, Any]]:
        page = self.ask(f"/recordings?status={status}").json()
        return list(page["recordings"])

    def arrived(self) -> list[int]:
        """The parts that S3 has of the one upload that is under way."""
        for recording in self.recordings("uploading"):
            upload = self.ask(f"/recordings/{recording['id']}/upload").json()["upload"]
            return [part["number"] for part in upload["uploaded"]]
        return []

    def play(self, recording_id: str) -> bytes:
        return http.get(self.ask(f"/recordings/{recording_id}").json()["audio"]["url"]).content


@pytest.fixture
def owner(server: Server, tmp_path: Path) -> Owner:
    return Owner(server, tmp_path).sign_up()


def test_an_upload_that_was_killed_goes_on_where_it_was(owner: Owner, gate: Gate) -> None:
    name = owner.file(FIVE_PARTS)
    gate.before = lambda passing: gate.hold() if passing.part > 2 else None
    with owner.start("upload", name) as client:
        assert eventually(lambda: gate.held == 3 and owner.arrived() == [1, 2])
        client.kill()
    gate.open()

    recording_id = owner.upload(name)

    assert gate.parts() == [3, 4, 5]
    assert owner.play(recording_id) == FIVE_PARTS
    assert [recording["id"] for recording in owner.recordings()] == [recording_id]
    assert owner.recordings("uploading") == []


def test_what_arrived_is_not_sent_again_when_its_answer_was_lost(owner: Owner, gate: Gate) -> None:
    name = owner.file(THREE_PARTS)
    gate.after = lambda _: gate.hold()
    with owner.start("upload", name) as client:
        assert eventually(lambda: gate.held == 3)
        client.kill()
    gate.open()

    recording_id = owner.upload(name)

    assert gate.seen == []
    assert owner.play(recording_id) == THREE_PARTS


def test_a_small_file_goes_in_one_put(owner: Owner, gate: Gate) -> None:
    name = owner.file(MEETING.read_bytes())

    recording_id = owner.upload(name)

    assert [passing.method for passing in gate.seen] == ["PUT"]
    assert gate.parts() == [0]
    assert owner.play(recording_id) == MEETING.read_bytes()
    assert owner.recordings()[0]["content_type"] == "audio/mp4"


def test_a_small_upload_that_was_killed_is_no_second_recording(owner: Owner, gate: Gate) -> None:
    name = owner.file(MEETING.read_bytes())
    gate.before = lambda _: gate.hold()
    with owner.start("upload", name) as client:
        assert eventually(lambda: gate.held == 1)
        client.kill()
    gate.open()
    [begun] = owner.recordings("uploading")

    assert owner.upload(name) == begun["id"]
    assert owner.recordings("uploading") == []


def test_a_file_that_was_uploaded_is_not_uploaded_again(owner: Owner, gate: Gate) -> None:
    name = owner.file(MEETING.read_bytes())
    recording_id = owner.upload(name)
    gate.open()

    assert owner.upload(name) == recording_id
    assert gate.seen == []
    assert len(owner.recordings()) == 1


def test_a_file_that_changed_is_another_recording(owner: Owner) -> None:
    first = owner.upload(owner.file(b"sound"))

    second = owner.upload(owner.file(b"other sound"))

    assert owner.play(first) == b"sound"
    assert owner.play(second) == b"other sound"


def test_the_id_is_noted_before_it_is_announced(owner: Owner) -> None:
    name = owner.file(b"words", "talk.t=xt")

    ended = owner.run("upload", name)

    assert ended.returncode != 0
    assert "unsupported_media_type" in ended.stderr
    noted = json.loads((owner.folder / "talk.t=xt.recording.json").read_text())
    assert owner.ask(f"/recordings/{noted['id']}").json()["code"] == "not_found"


def test_a_lost_connection_costs_a_part(owner: Owner, gate: Gate) -> None:
    name = owner.file(THREE_PARTS)

    def lose_the_first(passing: Passing) -> None:
        if passing.part == 2 and gate.parts().count(2) == 1:
            raise Lost

    gate.before = lose_the_first
    recording_id = owner.upload(name)

    assert gate.parts() == [1, 2, 2, 3]
    assert owner.play(recording_id) == THREE_PARTS


def refuse_the_first_urls(gate: Gate) -> None:
    """Take all URLs that were signed in the first second for expired."""

    def refuse(passing: Passing) -> None:
        if passing.signed_at == gate.seen[0].signed_at:
            raise Answered(403)

    gate.before = refuse


def test_an_upload_outlives_its_urls(owner: Owner, gate: Gate) -> None:
    name = owner.file(THREE_PARTS)
    refuse_the_first_urls(gate)

    recording_id = owner.upload(name)
    gate.open()

    assert owner.play(recording_id) == THREE_PARTS


def test_a_download_outlives_its_url(owner: Owner, gate: Gate) -> None:
    recording_id = owner.has(b"sound")
    refuse_the_first_urls(gate)

    assert owner.run("download", recording_id, "copy.m4a").returncode == 0
    assert (owner.folder / "copy.m4a").read_bytes() == b"sound"


def test_an_upload_outlives_its_access_token(owner: Owner, gate: Gate) -> None:
    name = owner.file(MEETING.read_bytes())

    def wait_for_expiry(_: Passing) -> None:
        younger = owner.log_in()
        assert eventually(lambda: owner.ask("/me", younger).json().get("code") == "token_expired")

    gate.before = wait_for_expiry
    recording_id = owner.upload(name)
    gate.open()

    assert owner.play(recording_id) == MEETING.read_bytes()


def test_parts_that_are_missing_after_all_are_sent(owner: Owner, gate: Gate) -> None:
    name = owner.file(THREE_PARTS)

    def swallow_the_first(passing: Passing) -> None:
        if passing.part == 2 and gate.parts().count(2) == 1:
            raise Answered(200)

    gate.before = swallow_the_first
    recording_id = owner.upload(name)

    assert gate.parts() == [1, 2, 2, 3]
    assert owner.play(recording_id) == THREE_PARTS


def test_bytes_that_arrived_wrong_are_sent_again(owner: Owner, gate: Gate) -> None:
    name = owner.file(THREE_PARTS)

    def spoil_the_first(passing: Passing) -> None:
        if passing.part == 2 and gate.parts().count(2) == 1:
            passing.body[0] ^= 1

    gate.before = spoil_the_first
    recording_id = owner.upload(name)

    assert gate.parts() == [1, 1, 2, 2, 3, 3]
    assert owner.play(recording_id) == THREE_PARTS


@pytest.mark.parametrize("data", [THREE_PARTS, b"sound"], ids=["parts", "whole"])
def test_s3_gets_each_header_that_is_signed_and_no_token(
    owner: Owner, gate: Gate, data: bytes
) -> None:
    owner.upload(owner.file(data))

    for passing in gate.seen:
        signed = passing.url.params["X-Amz-SignedHeaders"].split(";")
        assert set(signed) <= set(passing.headers)
        assert passing.headers["content-length"] == str(len(passing.body))
        assert not {"authorization", "transfer-encoding"} & set(passing.headers)


def test_a_download_that_was_killed_goes_on_where_it_was(owner: Owner, gate: Gate) -> None:
    data = THREE_PARTS[: 4 * MIB]
    recording_id = owner.has(data)
    part = owner.folder / f"{recording_id}.part"
    gate.amid = lambda _: gate.hold()
    with owner.start("download", recording_id, "copy.m4a") as client:
        assert eventually(lambda: part.exists() and part.stat().st_size >= MIB)
        client.kill()
    there = part.stat().st_size
    gate.open()

    assert owner.run("download", recording_id, "copy.m4a").returncode == 0

    assert [passing.headers["range"] for passing in gate.seen] == [f"bytes={there}-"]
    assert (owner.folder / "copy.m4a").read_bytes() == data
    assert not part.exists()


def test_a_download_that_came_wrong_is_not_kept(owner: Owner) -> None:
    recording_id = owner.has(b"sound")
    owner.file(b"noi", f"{recording_id}.part")

    assert owner.run("download", recording_id, "copy.m4a").returncode != 0
    assert not (owner.folder / "copy.m4a").exists()
    assert owner.run("download", recording_id, "copy.m4a").returncode == 0
    assert (owner.folder / "copy.m4a").read_bytes() == b"sound"


def test_a_download_is_called_what_the_upload_was(owner: Owner) -> None:
    recording_id = owner.has(b"sound", "회의 녹음.m4a")

    assert owner.run("download", recording_id).returncode == 0
    assert (owner.folder / "회의 녹음.m4a").read_bytes() == b"sound"


def test_a_file_is_sent_while_it_grows_whoever_dies(owner: Owner) -> None:
    data = os.urandom(2 * MIB + 77)
    name, file = owner.file(data[:5]), owner.folder / "talk.m4a"
    follow = ("--follow", "--seconds", "1", "upload", name)
    with owner.start(*follow, stdout=subprocess.PIPE):
        assert eventually(lambda: [it["size"] for it in owner.recordings("uploading")] == [5])
        with file.open("ab") as growing:
            growing.write(data[5:MIB])
        assert eventually(lambda: owner.recordings("uploading")[0]["size"] == MIB)
    # It was killed. What was recorded meanwhile is sent by the next.
    with file.open("ab") as growing:
        growing.write(data[MIB:])
    ended = owner.run(*follow)

    assert ended.returncode == 0, ended.stderr
    assert owner.play(ended.stdout.strip()) == data
    assert [it["id"] for it in owner.recordings()] == [ended.stdout.strip()]


def test_a_file_that_was_taken_for_ended_is_sent_anew(owner: Owner) -> None:
    name, file = owner.file(b"some"), owner.folder / "talk.m4a"
    follow = ("--follow", "--seconds", "1", "upload", name)
    with owner.start(*follow, stdout=subprocess.PIPE):
        assert eventually(lambda: [it["size"] for it in owner.recordings("uploading")] == [4])
        [begun] = owner.recordings("uploading")
    assert owner.complete(begun["id"], 4).status_code == 200  # As silence does.
    file.write_bytes(b"some and more")
    ended = owner.run(*follow)

    assert ended.returncode == 0, ended.stderr
    assert f"{begun['id']} ended at 4 bytes" in ended.stderr
    assert owner.play(ended.stdout.strip()) == b"some and more"
    assert owner.play(begun["id"]) == b"some"


@pytest.mark.parametrize("names", [["talk.m4a"], []], ids=["empty", "not there"])
def test_a_file_with_nothing_in_it_is_not_announced(owner: Owner, names: list[str]) -> None:
    for name in names:
        owner.file(b"", name)
    ended = owner.run("--follow", "--seconds", "0.1", "upload", "talk.m4a")

    assert (ended.returncode, ended.stderr) == (1, "There is nothing in talk.m4a\n")
    assert owner.recordings("uploading") == []


def test_a_file_that_is_not_there_is_said(owner: Owner) -> None:
    ended = owner.run("upload", "talk.m4a")

    assert ended.returncode == 1
    assert ended.stderr == "[Errno 2] No such file or directory: 'talk.m4a'\n"


def test_an_account_can_be_opened_on_the_way(server: Server, tmp_path: Path) -> None:
    owner = Owner(server, tmp_path)

    ended = owner.run("--signup", "upload", owner.file(b"sound"))

    assert ended.returncode == 0
    assert owner.play(ended.stdout.strip()) == b"sound"
    again = owner.run("--signup", "upload", "talk.m4a")
    assert (again.returncode, again.stdout) == (0, ended.stdout)


def test_what_the_api_refuses_for_good_is_not_tried_again(owner: Owner) -> None:
    ended = owner.run("upload", owner.file(b"sound"), RECORDER_PASSWORD="wrong horse battery")

    assert ended.returncode != 0
    assert json.loads(ended.stderr)["code"] == "invalid_credentials"


def test_the_bar_is_for_terminals(owner: Owner) -> None:
    name = owner.file(b"sound")
    terminal, end = pty.openpty()
    with owner.start("upload", name, stdout=subprocess.PIPE, stderr=end) as client:
        client.communicate()
    os.close(end)
    shown = os.read(terminal, 10_000).decode()
    os.close(terminal)

    assert shown.strip() == f"[{'#' * 40}] 100%"
    assert owner.run("upload", owner.file(b"other sound")).stderr == ""


def test_it_is_short_enough_to_be_read() -> None:
    assert len(CLIENT.read_text().splitlines()) <= 200
