"""Listening in a process of its own: whatever becomes of it, becomes of that recording alone."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from chalicelib import settings as settings_module
from chalicelib.errors import InternalError, Unavailable
from chalicelib.models.entities import Heard
from chalicelib.sound import listener, ranges
from chalicelib.sound.process import ListenerProcess
from tests.sound.test_listener import SOUNDS
from tests.support.listening import listen
from tests.support.object import Served, served
from tests.support.phone import Phone


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Path(shutil.copy(SOUNDS / "moov-last.m4a", tmp_path))


@pytest.fixture
def object(file: Path) -> Iterator[Served]:
    with served(file) as server:
        yield server


def hear(object: Served, seconds: float = 30) -> Heard:
    process = ListenerProcess(settings_module.without_secrets)
    return process.hear(object.url, object.kept, seconds)


# What it makes of a recording.


def test_the_job_hears_what_a_phone_uploaded(phone: Phone) -> None:
    id = phone.upload((SOUNDS / "media-recorder.webm").read_bytes(), content_type="audio/webm")
    listen(phone, id)

    assert phone.seen(id)["duration_ms"] == 2000
    assert phone.seen(id)["sound"] == {
        "readable": True,
        "duration_ms": 2000,
        "container": "webm",
        "codec": "opus",
        "sample_rate_hz": 48_000,
        "channels": 1,
    }
    waveform = phone.get(f"/recordings/{id}/waveform").json
    assert waveform["length"] * 2 == len(waveform["data"]) == 3000


def test_the_job_keeps_what_it_cannot_read_as_it_is(phone: Phone) -> None:
    id = phone.upload(b"some text")
    listen(phone, id)

    assert phone.seen(id)["sound"] == {"readable": False}
    assert phone.download(id).content == b"some text"


def test_small_bytes_are_read_once(object: Served) -> None:
    assert hear(object).sound.readable
    assert len(object.asked) == 1


def test_a_header_is_mended_in_what_is_read_by_ranges(object: Served) -> None:
    data = bytearray((SOUNDS / "pcm.wav").read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\1\0\0\0"
    object.file.write_bytes(data)

    assert hear(object).sound.duration_ms == 2000
    assert len(object.asked) == 1


def test_bytes_are_read_by_ranges_that_memory_has_room_for(
    object: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "BLOCK_BYTES", 1000)
    data = object.file.read_bytes()
    read = b""
    with ranges.Ranges(object.url, object.kept.etag, len(data)) as source:
        while part := source.read(700):
            read += part
        source.seek(-10, 2)
        assert source.read() == data[-10:]

    assert read == data
    assert len(object.asked) == math.ceil(len(data) / 1000)
    assert len(source._blocks) == ranges.BLOCKS_KEPT


def test_what_leads_to_and_fro_without_an_end_comes_to_one(
    object: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "BLOCK_BYTES", 1000)
    with ranges.Ranges(object.url, object.kept.etag, object.kept.size) as source:
        for number in range(1000):
            source.seek(number % 9 * 1000)
            source.read(1)

    assert len(object.asked) <= 4 * (9 + 4)


# Bytes that cannot be had say nothing of what they are.


@pytest.mark.parametrize("status", [403, 404, 503])
def test_bytes_that_cannot_be_had_are_asked_for_another_time(object: Served, status: int) -> None:
    object.status = status

    with pytest.raises(Unavailable, match=str(status)):
        hear(object)


def test_other_bytes_under_the_same_key_are_not_listened_to(object: Served) -> None:
    seen_before = msgspec.structs.replace(object.kept, etag='"2"')
    process = ListenerProcess(settings_module.without_secrets)

    with pytest.raises(Unavailable, match="412"):
        process.hear(object.url, seen_before, 60)


# A decoder that goes wrong, in the place of PyAV.

Decoder = Callable[[str], None]


@pytest.fixture
def decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    """Puts a module in the place of PyAV, for processes that are started."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(code: str) -> None:
        (tmp_path / "av.py").write_text(code)

    return write


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.abort()",
        "import os; os.kill(os.getpid(), 11)",
        "import os; os._exit(0)",
        "import sys; sys.stdout.write('{'); sys.stdout.flush(); import os; os._exit(0)",
        "everything = [bytes(10**6) for _ in range(10**6)]",
        "import sys\nwhile True: sys.stdout.write('x' * 10**6)",
        "open('/dev/null', 'w').write('x'); raise RuntimeError('confused')",
    ],
    ids=["aborts", "crashes", "is silent", "lies", "takes memory", "says too much", "raises"],
)
def test_a_decoder_that_goes_wrong_has_read_nothing(
    object: Served, decoder: Decoder, code: str
) -> None:
    decoder(code)

    assert hear(object) == listener.NOTHING


def test_a_decoder_that_is_not_over_in_time_is_ended_and_starts_another_time(
    object: Served, decoder: Decoder
) -> None:
    decoder("import time; time.sleep(600)")

    with pytest.raises(Unavailable, match="Not over in 1 s"):
        hear(object, seconds=1)


def test_a_decoder_that_goes_in_circles_has_read_nothing(object: Served, decoder: Decoder) -> None:
    decoder("import resource as r\nr.setrlimit(r.RLIMIT_CPU, (1, 1))\nwhile True: pass")

    assert hear(object) == listener.NOTHING


def test_a_decoder_gets_to_know_nothing_of_aws(
    object: Served,
    decoder: Decoder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a secret")
    decoder("import os; raise RuntimeError(sorted(os.environ))")
    hear(object)

    assert "PYTHONPATH" in caplog.text
    assert not [name for name in ("AWS_", "RECORDER_") if name in caplog.text]


def test_where_there_is_no_decoder_nothing_is_taken_for_unreadable(
    object: Served, decoder: Decoder
) -> None:
    decoder("raise ImportError('no such library')")

    with pytest.raises(InternalError, match="no such library"):
        hear(object)


def test_a_later_recording_is_read_after_one_that_crashed_it(
    object: Served, decoder: Decoder, tmp_path: Path
) -> None:
    decoder("import os; os.abort()")
    hear(object)
    (tmp_path / "av.py").unlink()

    assert hear(object).sound.readable
