"""What `make run` keeps: over Ctrl-C, and over a kill in the midst of everything, until reset."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.embedded.disk import FILE, Disk, NotUsable, forget
from tests.conftest import DEEP
from tests.support import ROOT
from tests.support.phone import send, send_part
from tests.support.server import BIN, Server, User, eventually, free_port, running

SOUND = b"some sound"
# Two parts.
LONG = hashlib.shake_128(b"long").digest(9 * 1024 * 1024)
Run = Callable[[], AbstractContextManager[Server]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(tmp_path: Path, folder: Path) -> Run:
    """Runs `make run` over the same data again and again, on the same port."""
    port = free_port()
    command = [str(BIN / "python"), "-m", "local.run", "--port", str(port), "--data", str(folder)]
    return lambda: running(*command, log=tmp_path / "log", port=port)


def ready(user: User) -> dict[str, str]:
    """The recordings of somebody, by id: their file names."""
    listed = user.ask("GET", "/recordings", params={"limit": 100}).json()["recordings"]
    return {each["id"]: each["file_name"] for each in listed}


def heard(user: User) -> bool:
    listed = user.ask("GET", "/recordings", params={"limit": 100}).json()["recordings"]
    return all("sound" in each for each in listed)


def announce(user: User, data: bytes, method: str = "put") -> dict[str, Any]:
    announced = {"file_name": "a.m4a", "content_type": "audio/mp4", "size": len(data)}
    answer = user.ask("POST", "/recordings", json=announced | {"upload_method": method})
    return dict(answer.json())


def audited(port: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "python"), "-m", "local.attach", port, "ops.audit", "--checksums"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.deep
def test_an_upload_goes_on_after_a_restart_in_its_midst(run: Run) -> None:
    with run() as server:
        user = server.sign_up()
        there = user.upload(SOUND, "a.m4a", "audio/mp4", "put")
        put, parts = announce(user, SOUND), announce(user, LONG, "multipart")
        send_part(parts["upload"], 1, LONG)
        server.signal_all(signal.SIGINT)
        assert server.leaves_nothing()

    with run() as server:
        assert user.play(there).content == SOUND
        send(put["upload"], SOUND)
        send_part(parts["upload"], 2, LONG)
        for id, data in ((put["recording"]["id"], SOUND), (parts["recording"]["id"], LONG)):
            assert user.ask("POST", f"/recordings/{id}/complete").json()["status"] == "ready"
            assert user.play(id).content == data
        assert audited(server.url.rpartition(":")[2]).returncode == 0


@pytest.mark.deep
def test_the_readmes_session_survives_a_restart_in_its_midst(run: Run, tmp_path: Path) -> None:
    session = "".join(re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))
    half, again = tmp_path / "half", tmp_path / "again"
    wait = f"touch {half}; until [ -e {again} ]; do sleep 0.1; done\n"
    before, said, after = session.partition("# Say that they were sent.")
    with run() as server:
        asked = (before + wait + said + after).replace("http://127.0.0.1:8000", server.url)
        bash = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", asked],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert eventually(half.exists)
        server.signal_all(signal.SIGINT)
        assert server.leaves_nothing()

    with run(), bash:
        again.touch()
        printed, _ = bash.communicate(timeout=60)
    assert bash.returncode == 0
    assert printed.splitlines()[-1] == "the same"


@pytest.mark.deep
@pytest.mark.parametrize("time", range(20 if DEEP else 1))
def test_a_kill_amid_fifty_uploads_loses_nothing_that_was_answered(run: Run, time: int) -> None:
    answered: list[str] = []
    enough = threading.Event()

    with run() as server:
        users = [server.sign_up() for _ in range(2)]

        def upload(number: int) -> None:
            with suppress(httpx.HTTPError, ValueError):
                user = users[number % 2]
                answered.append(user.upload(SOUND, "a.m4a", "audio/mp4", "put"))
                if len(answered) > 3 + 11 * time % 30:
                    enough.set()

        with ThreadPoolExecutor(8) as pool:
            sent = [pool.submit(upload, number) for number in range(50)]
            assert enough.wait(60)
            server.signal_all(signal.SIGKILL)
            for each in sent:
                each.cancel()
        assert server.leaves_nothing()

    with run() as server:
        kept = ready(users[0]) | ready(users[1])
        assert set(answered) <= set(kept)
        assert eventually(lambda: all(map(heard, users)))
        assert all(users[0].play(id).content == SOUND for id in ready(users[0]))
        audit = audited(server.url.rpartition(":")[2])
        assert audit.returncode == 0, audit.stdout


# The disk by itself


@pytest.fixture
def disk(folder: Path) -> Iterator[Disk]:
    disk = Disk(folder)
    yield disk
    disk.close()


def test_a_second_one_over_the_same_data_ends_and_says_why(disk: Disk, folder: Path) -> None:
    assert list(disk.rows("object")) == []
    command = [
        str(BIN / "python"),
        "-m",
        "local.run",
        "--port",
        str(free_port()),
        "--data",
        str(folder),
    ]
    second = subprocess.run(
        command, cwd=ROOT, env={}, capture_output=True, text=True, timeout=30, check=False
    )

    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr.splitlines() == [
        f"make run: the data in {folder} is in use by another `make run`. "
        "Choose another: make run DATA=<folder>, or DATA=memory"
    ]


def test_what_was_saved_is_on_the_disk(disk: Disk, folder: Path, tmp_path: Path) -> None:
    disk.save("object", {"key": {"current": {"blob": disk.keep(SOUND)}}})
    # What a machine finds that lost its power now.
    found = Disk(Path(shutil.copytree(folder, tmp_path / "found")))
    [(key, row)] = found.rows("object")
    assert (key, bytes(found.read(row["current"]["blob"]))) == ("key", SOUND)
    found.close()


def test_bytes_go_with_the_row_that_named_them(disk: Disk, folder: Path) -> None:
    disk.save("object", {"key": {"blob": disk.keep(b"first")}})
    disk.save("object", {"key": {"blob": disk.keep(b"second")}})
    assert [path.read_bytes() for path in (folder / "bytes").iterdir()] == [b"second"]
    disk.save("object", {"key": None})
    assert list((folder / "bytes").iterdir()) == []


def test_bytes_whose_row_was_never_saved_are_swept_away(disk: Disk, folder: Path) -> None:
    disk.save("object", {"key": {"blob": disk.keep(SOUND)}})
    disk.keep(b"of an answer that was never given")
    disk.close()
    again = Disk(folder)
    assert len(list(again.rows("object"))) == 1
    again.sweep()
    assert [path.read_bytes() for path in (folder / "bytes").iterdir()] == [SOUND]
    again.close()


def test_what_is_not_ours_is_left_alone(folder: Path) -> None:
    thesis = folder / "bytes" / "thesis.txt"
    (folder / "bytes" / "more").mkdir(parents=True)
    thesis.write_text("somebody's own")
    disk = Disk(folder)
    disk.keep(b"of an answer that was never given")
    disk.sweep()
    disk.close()
    forget(folder)
    assert sorted(path.name for path in folder.rglob("*")) == ["bytes", "more", "thesis.txt"]


def test_nobody_else_can_read_it(disk: Disk, folder: Path) -> None:
    disk.save("object", {"key": {"blob": disk.keep(SOUND)}})
    assert folder.stat().st_mode & 0o077 == 0
    assert [path.name for path in folder.glob(f"{FILE}*") if path.stat().st_mode & 0o077] == []


def test_data_of_another_format_is_refused_in_a_line(disk: Disk, folder: Path) -> None:
    disk.save("setting", {"format": "99"})
    disk.close()
    with pytest.raises(NotUsable, match=r"of format 99, .* make reset DATA="):
        Disk(folder)


def test_what_is_no_data_is_refused_in_a_line(folder: Path) -> None:
    folder.mkdir()
    (folder / FILE).write_bytes(b"not what SQLite wrote" * 100)
    with pytest.raises(NotUsable, match=r"cannot be read: .* make reset"):
        Disk(folder)


def test_a_folder_that_cannot_be_made_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotUsable, match=r"cannot be kept in .*: Not a directory"):
        Disk(tmp_path / "file" / "data")


@pytest.mark.parametrize("readable", [True, False])
def test_reset_forgets_the_data_and_leaves_the_rest(
    disk: Disk, folder: Path, readable: bool
) -> None:
    disk.save("object", {"key": {"blob": disk.keep(SOUND)}})
    (folder / "notes").write_text("somebody's own")
    with pytest.raises(NotUsable, match="in use"):
        forget(folder)
    disk.close()
    if not readable:
        (folder / FILE).write_bytes(b"not what SQLite wrote" * 100)
    forget(folder)
    assert [path.name for path in folder.iterdir()] == ["notes"]
