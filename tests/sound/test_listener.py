"""What is heard in recordings of every kind that recorders make, and in what is none."""

from __future__ import annotations

import array
import io
import json
import time
import wave
from pathlib import Path
from typing import Any

import pytest

from chalicelib.models.entities import Heard
from chalicelib.models.fields import MOST_PAIRS
from chalicelib.sound import listener
from chalicelib.sound.peaks import Peaks
from tests.support import ROOT

SOUNDS = ROOT / "tests" / "data" / "sounds"
FFPROBE: dict[str, Any] = json.loads((SOUNDS / "ffprobe.json").read_text())
READABLE = [name for name, said in FFPROBE.items() if said["streams"]]
# What ffprobe cannot tell of a file that does not say it, or tells wrong: by its bit rate.
MADE_SO = {"media-recorder.webm": 2000, "variable-headless.mp3": 2000}
# A film's container is one recorder's, too.
CONTAINERS = {"m4a": "mp4", "amr": "amr", "opus": "ogg"}


def hear(data: bytes, seconds: float = 60) -> Heard:
    return listener.listen(io.BytesIO(data), time.monotonic() + seconds)


def heard_in(name: str) -> Heard:
    return hear((SOUNDS / name).read_bytes())


@pytest.mark.parametrize("name", READABLE)
def test_every_kind_is_what_ffprobe_says(name: str) -> None:
    sound, said = heard_in(name).sound, FFPROBE[name]
    ending = name.rpartition(".")[2]

    assert sound.readable
    assert sound.container == CONTAINERS.get(ending, ending)
    [stream] = said["streams"]
    assert sound.codec == stream["codec_name"]
    assert (str(sound.sample_rate_hz), sound.channels) == (
        stream["sample_rate"],
        stream["channels"],
    )
    expected = MADE_SO.get(name) or 1000 * float(said["format"]["duration"])
    assert sound.duration_ms == pytest.approx(expected, abs=50)


def test_the_documented_table_is_what_is_heard() -> None:
    rows = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for name in READABLE:
        sound = heard_in(name).sound
        cells = sound.container, sound.codec, sound.sample_rate_hz, sound.channels
        said = " | ".join(str(each) for each in cells)
        assert f"| `{name}` |" in rows
        assert f"| {said} | {sound.duration_ms} |" in rows, f"{name}: {said} | {sound.duration_ms}"


@pytest.mark.parametrize("name", READABLE)
def test_a_waveform_has_the_whole_length(name: str) -> None:
    heard = heard_in(name)
    waveform, sound = heard.waveform, heard.sound
    assert waveform
    pairs = memoryview(waveform.data).cast("b").tolist()
    lows, highs = pairs[::2], pairs[1::2]

    assert len(lows) == len(highs) <= MOST_PAIRS
    assert all(low <= high for low, high in zip(lows, highs, strict=True))
    covered = len(lows) * waveform.samples_per_pixel * 1000 / waveform.sample_rate
    assert covered == pytest.approx(sound.duration_ms, abs=50)
    # The second note is the louder one; what is as short as the first has none.
    if sound.duration_ms != 100:
        assert max(highs[: len(highs) * 4 // 10]) < max(highs[len(highs) * 4 // 10 :])


def test_a_waveform_is_drawn_by_audiowaveforms_rules_within_one_step() -> None:
    waveform = heard_in("stereo.wav").waveform
    assert waveform
    with wave.open(str(SOUNDS / "stereo.wav")) as file:
        samples = array.array("h", file.readframes(file.getnframes()))
    # Its channels are averaged, and of each stretch the least and the most are cut to 8 bits.
    mixed = [int((left + right) / 2) for left, right in zip(samples[::2], samples[1::2])]  # noqa: B905
    step = waveform.samples_per_pixel
    expected = [
        int(extreme(mixed[start : start + step]) / 256)
        for start in range(0, len(mixed), step)
        for extreme in (min, max)
    ]
    drawn = memoryview(waveform.data).cast("b").tolist()

    assert len(drawn) == len(expected)
    assert max(abs(ours - theirs) for ours, theirs in zip(drawn, expected, strict=True)) <= 1


@pytest.mark.parametrize("samples", [1, 2, 4000, 4001, 999_999])
def test_however_long_it_is_each_pair_is_of_as_many_samples(samples: int) -> None:
    peaks, data = Peaks(), bytes(range(1, 256)) * (samples // 255 + 1)
    for start in range(0, samples, 1013):
        peaks.add(data[start : min(start + 1013, samples)])

    stretches = [data[at : min(at + peaks.step, samples)] for at in range(0, samples, peaks.step)]
    expected = [(min(each) - 128, max(each) - 128) for each in stretches]
    drawn = memoryview(peaks.data).cast("b").tolist()
    assert list(zip(drawn[::2], drawn[1::2], strict=True)) == expected
    assert len(expected) <= MOST_PAIRS


# What is cut off.


# Their index is at the end, or their sound is one piece: nothing can be read of half of it.
WHOLE = {"alac.m4a", "eight-channels.flac", "moov-last.m4a", "narrow.3gp", "quicktime.mov"}
WHOLE |= {"vorbis.ogg"}


@pytest.mark.parametrize("name", sorted({*READABLE} - WHOLE))
def test_what_is_cut_off_is_read_as_far_as_it_goes(name: str) -> None:
    data = (SOUNDS / name).read_bytes()
    whole = heard_in(name).sound

    half = hear(data[: len(data) * 6 // 10]).sound
    assert half.readable
    assert isinstance(half.duration_ms, int)
    assert isinstance(whole.duration_ms, int)
    assert 0.3 * whole.duration_ms < half.duration_ms < 0.95 * whole.duration_ms


def test_what_lacks_its_index_cannot_be_read() -> None:
    data = (SOUNDS / "moov-last.m4a").read_bytes()

    assert hear(data[:-3000]) == listener.NOTHING


def test_when_time_is_over_it_is_read_as_far_as_it_came() -> None:
    assert hear((SOUNDS / "pcm.wav").read_bytes(), seconds=-1) == listener.NOTHING


# What is no sound.


@pytest.mark.parametrize(
    "data",
    [
        b"some sound",
        b"\0" * 100_000,
        b"<html>" * 1000,
        (SOUNDS / "picture.png").read_bytes(),
        (SOUNDS / "silent-film.mp4").read_bytes(),
        Path(__file__).read_bytes(),
        (SOUNDS / "make.sh").read_bytes(),
    ],
    ids=["a word", "zeros", "html", "picture", "silent film", "python", "shell"],
)
def test_what_is_no_sound_is_not_readable(data: bytes) -> None:
    assert hear(data) == listener.NOTHING


def test_a_tiny_file_that_claims_days_has_the_length_that_it_has() -> None:
    data = bytearray((SOUNDS / "moov-first.m4a").read_bytes())
    for box in (b"mvhd", b"mdhd", b"tkhd"):
        at = data.index(box) + (24 if box == b"tkhd" else 20)
        data[at : at + 4] = b"\x7f\xff\xff\xff"
    sound = hear(bytes(data)).sound

    assert not sound.readable or sound.duration_ms == pytest.approx(2000, abs=50)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{other}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    "dash": '<MPD type="static"><Period><AdaptationSet mimeType="audio/mp4"><Representation>'
    "<BaseURL>{other}</BaseURL></Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_nothing_that_a_file_names_is_opened(kind: str) -> None:
    playlist = PLAYLISTS[kind].format(other=SOUNDS / "pcm.wav")

    assert hear(playlist.encode()) == listener.NOTHING
