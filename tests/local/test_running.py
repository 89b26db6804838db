"""The API as people start it, over real HTTP, with real audio."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from chalicelib.core.ids import uuid7
from chalicelib.wiring import Services
from tests.support import ROOT
from tests.support.phone import send
from tests.support.server import (
    BIN,
    OTHERS_SETTINGS,
    Server,
    User,
    answers,
    eventually,
    free_port,
    http,
    running,
    running_a_copy,
)

DATA = ROOT / "tests" / "data"
AUDIO = [
    ("put", "meeting.m4a", "audio/mp4"),
    ("post", "lecture.ogg", "audio/ogg"),
    ("direct", "song.wav", "audio/wav"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`make run`, on a machine that is configured for AWS."""
    port = free_port()
    log = tmp_path_factory.mktemp("run") / "log"
    with running(
        "make", "run", f"PORT={port}", log=log, port=port, environ=OTHERS_SETTINGS
    ) as started:
        yield started


@pytest.mark.parametrize(("way", "file_name", "content_type"), AUDIO)
def test_real_audio_comes_back_byte_for_byte(
    server: Server, way: str, file_name: str, content_type: str
) -> None:
    data = (DATA / file_name).read_bytes()
    user = server.sign_up()

    if way == "direct":
        recording_id = user.upload_directly(data, file_name, content_type)
    else:
        recording_id = user.upload(data, file_name, content_type, way)

    played = user.play(recording_id)
    assert played.content == data
    assert played.headers["Content-Type"] == content_type
    assert _file_name(played) == file_name


@pytest.mark.parametrize("sent", [0, 70_000])
def test_a_direct_upload_that_is_cut_short_is_none(server: Server, sent: int) -> None:
    phone = server.sign_up()
    recording_id, clip = uuid7(), os.urandom(200_000)
    path = f"/recordings/{recording_id}/audio?file_name=clip.m4a"
    head = [
        f"PUT {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {phone.token}",
        "Content-Type: audio/mp4",
        f"Content-Length: {len(clip)}",
    ]
    address = urlsplit(server.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + clip[:sent])
        connection.shutdown(socket.SHUT_WR)
        assert b" 400 " in connection.recv(100)

    assert phone.ask("GET", f"/recordings/{recording_id}").status_code == 404
    again = phone.ask("PUT", path, content=clip, headers={"Content-Type": "audio/mp4"})
    assert again.status_code == 201


def test_recordings_are_listed_newest_first(server: Server) -> None:
    user = server.sign_up()
    ids = [user.upload(b"sound", f"{way}.m4a", "audio/mp4", way) for way in ("put", "post", "put")]
    ids.append(user.upload_directly(b"sound", "direct.m4a", "audio/mp4"))

    listed = user.ask("GET", "/recordings").json()["recordings"]

    assert [recording["id"] for recording in listed] == ids[::-1]


@pytest.mark.parametrize("way", ["put", "post", "direct"])
@pytest.mark.parametrize("file_name", ["회의 녹음, 100%.m4a", "a,b;c'd=e.m4a"])
def test_a_recording_plays_under_its_own_name(server: Server, file_name: str, way: str) -> None:
    user = server.sign_up()

    if way == "direct":
        recording_id = user.upload_directly(b"sound", file_name, "audio/x-m4a")
    else:
        recording_id = user.upload(b"sound", file_name, "audio/x-m4a", way)

    played = user.play(recording_id)
    assert _file_name(played) == file_name
    assert played.headers["Content-Type"] == "audio/x-m4a"


def test_a_player_can_seek(server: Server) -> None:
    data = (DATA / "song.wav").read_bytes()
    user = server.sign_up()
    recording_id = user.upload(data, "song.wav", "audio/wav", "put")

    part = user.play(recording_id, Range="bytes=1000-1999")

    assert part.status_code == 206
    assert part.content == data[1000:2000]


def test_mails_are_printed_and_can_be_read(server: Server) -> None:
    address = server.sign_up().ask("GET", "/me").json()["email"]

    assert eventually(lambda: f"Mail to {address}: Confirm your address" in server.printed())
    assert f"{server.url}/auth/email/confirm#" in server.printed()
    (mailbox,) = re.findall(r"^  Its mail +(\S+)", server.printed(), re.MULTILINE)
    assert address in [mail["to"] for mail in http.get(mailbox).json()]
    # A page's own name that leads here: what it may read are the answers to that.
    assert http.get(mailbox, headers={"Host": "page.example"}).status_code == 403


def announced(user: User) -> Any:
    """An upload of five bytes that somebody is to send."""
    body = {"file_name": "a.m4a", "content_type": "audio/mp4", "size": 5}
    return user.ask("POST", "/recordings", json=body).json()


def test_what_arrives_is_completed_though_its_app_never_comes_back(server: Server) -> None:
    user = server.sign_up()
    begun = announced(user)
    send(begun["upload"], b"sound")

    path = f"/recordings/{begun['recording']['id']}"
    assert eventually(lambda: user.ask("GET", path).json()["status"] == "ready", seconds=5)


@pytest.mark.parametrize("way", ["put", "direct"])
def test_a_recording_that_is_ready_is_listened_to(server: Server, way: str) -> None:
    user, data = server.sign_up(), (DATA / "meeting.m4a").read_bytes()
    if way == "direct":
        id = user.upload_directly(data, "meeting.m4a", "audio/mp4")
    else:
        id = user.upload(data, "meeting.m4a", "audio/mp4", way)

    assert eventually(lambda: "sound" in user.ask("GET", f"/recordings/{id}").json())
    assert user.ask("GET", f"/recordings/{id}").json()["duration_ms"] == pytest.approx(4549, abs=50)
    assert user.ask("GET", f"/recordings/{id}/waveform").json()["version"] == 2


def test_what_arrives_for_what_was_deleted_is_removed(server: Server) -> None:
    user = server.sign_up()
    begun = announced(user)
    user.ask("DELETE", f"/recordings/{begun['recording']['id']}")
    send(begun["upload"], b"sound")

    bucket, *key = urlsplit(begun["upload"]["url"]).path.strip("/").split("/")
    uploads = server.s3()
    assert eventually(
        lambda: "Contents" not in uploads.list_objects_v2(Bucket=bucket, Prefix="/".join(key)),
        seconds=5,
    )


def test_a_path_that_does_not_exist_is_not_found(server: Server) -> None:
    headers = {"Authorization": "Bearer ours", "Origin": "https://x.test"}
    for answer in (
        http.get(f"{server.url}/nowhere"),
        http.post(f"{server.url}/x", headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_body_in_chunks_is_read_whole(server: Server) -> None:
    body = b'{"email": "nobody@example.com", "password": "a guess, and wrong"}'
    headers = {"Content-Type": "application/json"}
    answer = http.post(
        f"{server.url}/auth/login", content=iter([body[:9], body[9:]]), headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    ("framing", "body", "status"),
    [
        ("Transfer-Encoding: chunked", "what?\r\n", 400),
        ("Transfer-Encoding: chunked", "a00001\r\n", 413),
        ("Content-Length: what?", "", 400),
        ("Content-Length: 10485761", "", 413),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused(
    server: Server, framing: str, body: str, status: int
) -> None:
    where = urlsplit(server.url)
    head = f"POST /auth/login HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{body}"
    with socket.create_connection((str(where.hostname), where.port or 0), timeout=20) as connection:
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "application/problem+json" in answer


def test_refusals_carry_cors_headers(server: Server) -> None:
    answer = http.get(f"{server.url}/me", headers={"Origin": "https://x.test"})

    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("token", [None, "garbage", "\u00e9"], ids=ascii)
@pytest.mark.parametrize("path", ["/nowhere", "/recordings/", "/recordings/1/2/3/4", "//nowhere"])
def test_a_path_that_is_none_is_a_problem_that_a_web_app_can_read(
    server: Server, path: str, token: str | None
) -> None:
    headers = [(b"Authorization", f"Bearer {token}".encode("latin-1"))] if token else []
    answer = http.get(server.url + path, headers=headers)

    if path == "/recordings/":
        assert answer.status_code == 401  # API Gateway, too, takes no notice of the slash.
        return
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["Content-Type"] == "application/problem+json; charset=utf-8"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json"])
def test_head_is_answered_on_the_same_connection_as_what_follows(server: Server, path: str) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as connection:
        head, got = connection.head(path), connection.get(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert "Content-Length" not in head.headers


def ask_in_bytes(server: Server, *requests: bytes) -> list[bytes]:
    """Send requests over one connection, one after the other; the first lines of the answers."""
    where = urlsplit(server.url)
    with socket.create_connection((str(where.hostname), int(where.port or 0)), 10) as connection:
        connection.sendall(b"".join(requests))
        connection.shutdown(socket.SHUT_WR)
        answered = b"".join(iter(lambda: connection.recv(65536), b""))
    return re.findall(rb"HTTP/1.1 (\d+)", answered)


HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def _put(server: Server, id: str, *more: str) -> bytes:
    lines = [
        f"PUT /recordings/{id}/audio?file_name=a.m4a HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {server.sign_up().token}",
        "Content-Type: audio/webm;codecs=opus",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_chunked_body_is_the_recording_and_what_follows_the_next_request(server: Server) -> None:
    head = _put(server, uuid7(), "Transfer-Encoding: chunked")

    statuses = ask_in_bytes(server, head, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", HEALTH)

    assert statuses == [b"201", b"200"]


@pytest.mark.parametrize(
    ("more", "body"),
    [
        ("Transfer-Encoding: chunked", b"3\r\nab"),
        ("Content-Length: 2\r\nContent-Length: 3", b"abc"),
        ("Content-Length : 3", b"abc"),
        ("Transfer-Encoding: gzip", b"abc"),
        ("Content-Length: abc", b"abc"),
        ("Content-Length: -5", b"abc"),
    ],
)
def test_after_a_body_without_an_end_nothing_is_taken_for_a_request(
    server: Server, more: str, body: bytes
) -> None:
    assert ask_in_bytes(server, _put(server, uuid7(), more), body, HEALTH) == [b"400"]


def test_bytes_of_which_nothing_is_said_are_no_request(server: Server) -> None:
    put = _put(server, uuid7(), "Connection: keep-alive")

    assert ask_in_bytes(server, put, b"abc", HEALTH) == [b"411"]
    assert ask_in_bytes(server, b"GARBAGE\r\n\r\n", HEALTH) == [b"400"]


def test_a_method_that_is_none_is_a_problem(server: Server) -> None:
    answer = http.request("BREW", f"{server.url}/health")

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_connections_that_come_at_one_moment_wait_to_be_taken(server: Server) -> None:
    where = httpx.URL(server.url)
    server.signal_all(signal.SIGSTOP)
    try:
        with ExitStack() as connections:
            for _ in range(100):
                connection = socket.create_connection((where.host, where.port or 0), timeout=5)
                connections.enter_context(connection)
    finally:
        server.signal_all(signal.SIGCONT)

    assert answers(server.url)


def test_the_log_says_in_a_line_what_came_of_each_request(server: Server) -> None:
    server.sign_up().ask("GET", "/recordings")
    http.get(f"{server.url}/nowhere")

    assert eventually(lambda: "GET /nowhere 404" in server.printed().splitlines())
    listed = r"^GET /recordings 200: \d+ ms, 1 dynamodb.BatchGetItem, 1 dynamodb.Query$"
    assert re.search(listed, server.printed(), re.MULTILINE)
    assert "HTTP/1.1" not in server.printed()


def test_the_docs_are_served(server: Server) -> None:
    page = http.get(f"{server.url}/docs")
    document = http.get(f"{server.url}/openapi.json")

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert document.json()["openapi"] == "3.1.0"


def test_make_run_prints_where_it_is_and_what_to_try(server: Server) -> None:
    assert eventually(lambda: f"{server.url}/docs" in server.printed())
    assert f"curl -s {server.url}/auth/signup" in server.printed()


def test_a_port_in_use_is_a_one_line_error(server: Server) -> None:
    port = server.url.rpartition(":")[2]

    ended = subprocess.run(
        [BIN / "python", "-m", "local.run", "--port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode != 0
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        f"make run: port {port} on 127.0.0.1 is in use. "
        f"Choose another: make run PORT={int(port) + 1}"
    ]


def test_a_wrong_setting_is_a_one_line_error() -> None:
    ended = subprocess.run(
        [BIN / "python", "-m", "local.run", "--port", str(free_port())],
        cwd=ROOT,
        env={"RECORDER_BCRYPT_COST": "many"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode != 0
    assert ended.stderr.startswith("make run: RECORDER_BCRYPT_COST: ")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.deep
def test_a_second_one_over_other_data_knows_nothing_of_the_first(
    server: Server, tmp_path: Path
) -> None:
    port = free_port()
    user = server.sign_up()
    with running("make", "run", f"PORT={port}", log=tmp_path / "log", port=port) as second:
        answer = http.get(f"{second.url}/me", headers={"Authorization": f"Bearer {user.token}"})

    assert answer.status_code == 401


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    port = free_port()
    with running("make", "run", f"PORT={port}", log=tmp_path / "log", port=port) as server:
        assert eventually(lambda: "Its S3" in server.printed())
        server.signal_all(signal.SIGINT)

        assert server.leaves_nothing()
        assert "Traceback" not in server.printed()


def test_a_signal_in_the_midst_of_another_does_not_block() -> None:
    """A terminal's Ctrl-C is passed on by make, and people press it twice."""
    program = """
import signal
from local.run import Stop
stop = Stop()
signal.signal(signal.SIGTERM, stop.set)
signal.signal(signal.SIGINT, stop.set)
print("ready", flush=True)
input()
"""
    with subprocess.Popen(
        [BIN / "python", "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        for _ in range(20_000):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(b"\n", timeout=20)
        finally:
            process.kill()

    assert process.returncode == 0


@pytest.mark.deep
def test_an_edit_reloads_the_app_and_keeps_the_data(tmp_path: Path) -> None:
    with running_a_copy(tmp_path) as (server, project):
        user = server.sign_up()
        recording_id = user.upload(b"sound", "a.m4a", "audio/mp4", "put")
        version = project / "chalicelib" / "__init__.py"
        version.write_text(version.read_text().replace("0.1.0", "9.9.9"))

        assert eventually(lambda: _version(server) == "9.9.9")
        assert user.play(recording_id).content == b"sound"


@pytest.mark.deep
def test_a_syntax_error_waits_for_its_repair(tmp_path: Path) -> None:
    with running_a_copy(tmp_path) as (server, project):
        app = project / "app.py"
        whole = app.read_text()
        app.write_text(whole + "\nthis is not Python")
        assert eventually(lambda: not answers(server.url))

        app.write_text(whole)

        assert eventually(lambda: answers(server.url))


@pytest.mark.deep
def test_a_new_package_that_the_app_was_waiting_for_starts_it_again(tmp_path: Path) -> None:
    with running_a_copy(tmp_path) as (server, project):
        app = project / "app.py"
        app.write_text("from chalicelib.extra import THERE\n" + app.read_text() + "THERE\n")
        assert eventually(lambda: "waiting for an edit" in server.printed())

        package = project / "chalicelib" / "extra"
        package.mkdir()
        (package / "__init__.py").write_text("THERE = True\n")

        assert eventually(lambda: answers(server.url))


@pytest.mark.deep
@pytest.mark.parametrize(
    ("arguments", "host"),
    [(["PUBLIC_HOST=10.0.2.2"], "10.0.2.2"), (["HOST=0.0.0.0", "PUBLIC_HOST=192.168.1.20"], None)],
)
def test_signed_urls_name_the_public_host(
    tmp_path: Path, arguments: list[str], host: str | None
) -> None:
    port = free_port()
    with running(
        "make", "run", f"PORT={port}", *arguments, log=tmp_path / "log", port=port
    ) as server:
        announced = {"file_name": "a.m4a", "content_type": "audio/mp4", "size": 5}
        upload = server.sign_up().ask("POST", "/recordings", json=announced).json()["upload"]

    url = httpx.URL(upload["url"])
    assert url.host == (host or "192.168.1.20")


@pytest.mark.deep
def test_a_bare_chalice_local_has_its_backend_inside(tmp_path: Path) -> None:
    port = free_port()
    # What others write into this folder meanwhile would start it again.
    command = [str(BIN / "chalice"), "local", "--no-autoreload", "--port", str(port)]
    with running(*command, log=tmp_path / "log", port=port, environ=OTHERS_SETTINGS) as server:
        user = server.sign_up()
        recording_id = user.upload(b"sound", "a.m4a", "audio/mp4", "put")

        assert user.play(recording_id).content == b"sound"


@pytest.mark.deep
def test_with_the_aws_backend_botocores_own_variables_decide(
    tmp_path: Path, services: Services
) -> None:
    """They lead to the backend of this test run here, as they could to any other."""
    ours = {name: os.environ[name] for name in os.environ if name.startswith(("AWS_", "RECORDER_"))}
    port = free_port()
    with running(
        "make", "run", f"PORT={port}", log=tmp_path / "log", port=port, environ=ours
    ) as server:
        user_id = server.sign_up().ask("GET", "/me").json()["id"]

    assert services.accounts.store.find(user_id)


def test_the_readmes_session_works_word_for_word(server: Server, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    session = "".join(re.findall(r"```bash\n(.*?)```", readme, re.DOTALL))
    assert "API=http://127.0.0.1:8000" in session
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", session.replace("http://127.0.0.1:8000", server.url)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert "byte for byte" in ended.stdout
    assert ended.stdout.count('"status":"ready"') == 3
    assert "\n204\n" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "the same"


def _version(server: Server) -> str | None:
    try:
        return str(http.get(f"{server.url}/health").json()["version"])
    except httpx.HTTPError:
        return None


def _file_name(played: httpx.Response) -> str | None:
    """The name that a download is saved under, as a parser of the header sees it."""
    message = Message()
    message["Content-Disposition"] = played.headers["Content-Disposition"]
    return message.get_filename()
