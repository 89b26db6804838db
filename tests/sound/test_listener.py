"""What is heard in recordings of every kind that recorders make, and in what is none."""

from __future__ import annotations

import array
import io
import json
import struct
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
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


def hear(data: bytes) -> Heard:
    return listener.listen(io.BytesIO(data), len(data))


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


# What is sent while it is recorded may end anywhere; an Ogg page of the file here has a second.
ENDLESS = {
    "adts.aac": 60,
    "constant.mp3": 60,
    "fragmented.mp4": 100,
    "length-most.wav": 60,
    "media-recorder.webm": 60,
    "narrow.amr": 60,
    "opus.ogg": 1000,
    "wide.amr": 60,
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("part", [0.5, 0.75, 0.9])
def test_what_is_cut_off_anywhere_is_heard_up_to_there(name: str, part: float) -> None:
    data = (SOUNDS / name).read_bytes()
    sound = hear(data[: int(len(data) * part)]).sound

    assert sound.readable
    assert sound.duration_ms == pytest.approx(2000 * part, abs=ENDLESS[name])


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


@pytest.mark.parametrize("silent", [0, 1, 7001, 10_000_019])
def test_silence_is_drawn_as_its_samples_are(silent: int) -> None:
    told, heard = Peaks(), Peaks()
    for peaks in told, heard:
        peaks.add(bytes(range(100, 200)))
    told.add_silence(silent)
    for start in range(0, silent, 10_000_000):
        heard.add(b"\x80" * min(10_000_000, silent - start))
    for peaks in told, heard:
        peaks.add(bytes(range(200, 250)))

    assert (told.data, told.step, told.samples) == (heard.data, heard.step, heard.samples)


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


@pytest.mark.parametrize("kind", ["SECONDS", "SAMPLES"])
def test_what_takes_more_than_its_bytes_may_take_has_no_length_at_all(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    data = (SOUNDS / "pcm.wav").read_bytes()
    monkeypatch.setattr(listener, f"{kind}_PER_BYTE", 0)
    monkeypatch.setattr(listener, f"{kind}_AT_LEAST", 15_999 if kind == "SAMPLES" else 0)
    assert hear(data) == listener.NOTHING

    monkeypatch.setattr(listener, f"{kind}_AT_LEAST", 16_000)
    assert hear(data).sound.duration_ms == 2000


# Lengths that are wrong.

GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")
SECOND = bytes(range(256)) * 64  # of 8 kHz and 16 bits, and a little more
FMT = struct.pack("<HHIIHH", 1, 1, 8000, 16_000, 2, 16)
LISTED = b"LIST" + struct.pack("<I", 12) + b"INFOsaidsaid"


def wav(claimed: int, whole: int = 0, after: bytes = b"", sound: bytes = SECOND) -> bytes:
    fmt = b"fmt " + struct.pack("<I", 16) + FMT
    head = b"RIFF" + struct.pack("<I", whole) + b"WAVE" + fmt
    return head + b"data" + struct.pack("<I", claimed) + sound + after


def rf64(claimed: int) -> bytes:
    sizes = b"ds64" + struct.pack("<IQQQI", 28, claimed, claimed, claimed, 0)
    most = struct.pack("<I", 2**32 - 1)
    fmt = b"fmt " + struct.pack("<I", 16) + FMT
    return b"RF64" + most + b"WAVE" + sizes + fmt + b"data" + most + SECOND


def w64(claimed: int) -> bytes:
    riff = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + struct.pack("<Q", claimed)
    fmt = b"fmt " + GUID + struct.pack("<Q", 24 + 16) + FMT
    return riff + b"wave" + GUID + fmt + b"data" + GUID + struct.pack("<Q", claimed) + SECOND


def aiff(claimed: int, after: bytes = b"", kind: bytes = b"AIFF") -> bytes:
    size = struct.pack(">I", claimed)
    rate = bytes.fromhex("400bfa00000000000000")
    pcm = b"" if kind == b"AIFF" else b"NONE\0\0"
    common = struct.pack(">hIh", 1, claimed, 16) + rate + pcm
    return (
        (b"FORM" + size + kind + b"COMM" + struct.pack(">I", len(common)) + common)
        + (b"SSND" + size + bytes(8) + SECOND)
        + after
    )


def caf(claimed: int, after: bytes = b"") -> bytes:
    desc = struct.pack(">d4sIIIII", 8000, b"lpcm", 0, 2, 1, 1, 16)
    head = b"caff\0\1\0\0desc" + struct.pack(">q", len(desc)) + desc
    return head + b"data" + struct.pack(">q", claimed) + bytes(4) + SECOND + after


def au(claimed: int) -> bytes:
    return struct.pack(">4sIIIII", b".snd", 24, claimed, 3, 8000, 1) + SECOND


RIGHT = len(SECOND)
WRONG = [0, 1, 2, 24, 4096, RIGHT - 2, 2**31 - 1, 2**31, 2**32 - 16, 2**32 - 1]
WIDE = [*WRONG, 2**63 - 1]


@pytest.mark.parametrize(
    "data",
    [
        *(wav(claimed) for claimed in WRONG),
        *(wav(claimed, whole=36 + claimed) for claimed in (0, 4096)),
        *(rf64(claimed) for claimed in (*WIDE, 2**64 - 1)),
        *(w64(claimed) for claimed in (*WIDE, 2**64 - 1)),
        *(aiff(claimed) for claimed in WRONG),
        *(aiff(claimed, kind=b"AIFC") for claimed in WRONG),
        *(caf(claimed) for claimed in (*WIDE, -1)),
        *(au(claimed) for claimed in WRONG),
    ],
)
def test_of_a_length_that_is_wrong_nothing_is_believed(data: bytes) -> None:
    assert hear(data).sound.duration_ms == 1024


@pytest.mark.parametrize(
    "data",
    [
        wav(RIGHT, after=LISTED),
        wav(RIGHT, after=LISTED + b"mine" + struct.pack("<I", 300) + bytes(300) + LISTED),
        wav(RIGHT, after=b"mine" + struct.pack("<I", 301) + bytes(302) + LISTED[:8]),
        wav(RIGHT, after=LISTED[:15]),
        wav(RIGHT - 1, sound=SECOND[:-1], after=b"\0" + LISTED),
        wav(RIGHT - 1, sound=SECOND[:-1], after=LISTED),
        wav(RIGHT, after=b"ID3\4" + bytes(200)),
        wav(RIGHT, after=b"TAG" + b"somebody" * 20),
        wav(RIGHT, after=wav(RIGHT)),
        aiff(RIGHT + 8, after=b"ANNO" + struct.pack(">I", 400) + bytes(400)),
        caf(RIGHT + 4, after=b"free" + struct.pack(">q", 400) + bytes(400)),
    ],
)
def test_what_stands_behind_the_sound_is_not_heard(data: bytes) -> None:
    assert hear(data).sound.duration_ms == pytest.approx(1024, abs=0.2)


def test_a_file_that_has_no_sound_has_none_by_what_stands_behind_it() -> None:
    assert hear(wav(0, sound=b"", after=LISTED)) == listener.NOTHING
    assert hear(caf(4, after=b"")[: -len(SECOND)] + LISTED) == listener.NOTHING


# Holes, and clocks that are wrong.


def timed(times: Callable[[int], int], packets: int = 100, kind: str = "matroska") -> bytes:
    """A sound of packets of 20 ms each, whose times are what is said of their numbers, in ms."""
    made = io.BytesIO()
    with av.open(made, "w", format=kind) as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for number in range(packets):
            packet = av.Packet(b"\1\x40" * 160)
            packet.stream = stream
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = times(number)
            container.mux(packet)
    return made.getvalue()


def test_a_hole_is_as_long_as_a_player_is_silent() -> None:
    heard = hear(timed(lambda number: 20 * number + 5000 * (number >= 50)))
    assert heard.waveform
    pairs = memoryview(heard.waveform.data).cast("b").tolist()

    assert heard.sound.duration_ms == 7000
    seconds = [at * heard.waveform.samples_per_pixel / 8000 for at in range(len(pairs) // 2)]
    silent = [at for at, highest in zip(seconds, pairs[1::2], strict=True) if highest == 0]
    assert silent[0] == pytest.approx(1, abs=0.1)
    assert silent[-1] == pytest.approx(6, abs=0.1)
    assert len(silent) == pytest.approx(len(seconds) * 5 / 7, abs=10)


def test_a_clock_that_trembles_does_not_add_up() -> None:
    trembling = timed(lambda number: 20 * number + (0, 70, 52, 34, 16)[number % 5], packets=1000)

    assert hear(trembling).sound.duration_ms == pytest.approx(20_000, abs=70)


def test_holes_that_are_shorter_than_what_clocks_are_off_by_add_up() -> None:
    sound = hear(timed(lambda number: 21 * number, packets=1000)).sound

    assert sound.duration_ms == pytest.approx(21_000, abs=70)


@pytest.mark.parametrize("years", [1, 1_000_000])
def test_a_time_that_nobody_lives_to_see_is_not_believed(years: int) -> None:
    sound = hear(timed(lambda number: 20 * number + years * 31_557_600_000 * (number >= 50))).sound

    assert sound.duration_ms == 2000


def test_a_sound_whose_clock_begins_anew_goes_on() -> None:
    sound = hear(timed(lambda number: 60_000 + 20 * number) + timed(lambda number: 20 * number))

    assert sound.sound.duration_ms == 4000


# Several tracks.


@pytest.mark.parametrize("readable", [0, 1])
def test_of_several_tracks_the_first_that_can_be_read_is_heard(readable: int) -> None:
    made, frame = io.BytesIO(), av.AudioFrame("s16p", "mono", 16_000)
    codecs = ["pcm_s16le", "wavpack"] if readable == 0 else ["wavpack", "pcm_s16le"]
    frame.sample_rate = 16_000
    with av.open(made, "w", format="matroska") as container:
        streams = [container.add_stream(codec, rate=16_000, layout="mono") for codec in codecs]
        streams[readable].disposition = av.stream.Disposition(0)
        streams[1 - readable].disposition = av.stream.Disposition.default
        for stream in streams:
            assert isinstance(stream, av.AudioStream)
            frame.pts = None
            container.mux([*stream.encode(frame), *stream.encode(None)])
    sound = hear(made.getvalue()).sound

    assert (sound.codec, sound.duration_ms) == ("pcm_s16le", 1000)


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
