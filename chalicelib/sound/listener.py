"""The process that meets hostile bytes: `python -m chalicelib.sound.listener`.

It is told on its standard input what to listen to, and says on its standard output what it heard.
It has no credentials, reads one URL, and ends by its exit code: 0, or one of those below. Whatever
else it ends with was the bytes' doing.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from chalicelib.models.answers import Sound
from chalicelib.models.entities import Heard, Waveform
from chalicelib.sound.lengths import mended
from chalicelib.sound.peaks import Peaks
from chalicelib.sound.ranges import Ranges, Unreachable

if TYPE_CHECKING:
    import av
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

UNREACHABLE, NO_FFMPEG = 3, 4
# How long listening may take, of a processor, by the bytes: twice what the slowest honest ones take
# (silence in Vorbis), and no more than there is of a run.
SECONDS_AT_LEAST = 20
SECONDS_PER_BYTE = 12 / 1_000_000
SECONDS_AT_MOST = 840
# How many samples are decoded at most, those of each channel counted: half as many again as there
# are of silence in FLAC, which is the most that two honest channels make of their bytes. What was
# made to take long ends by this, early and always at the same place.
SAMPLES_AT_LEAST = 2_000_000_000
SAMPLES_PER_BYTE = 1500
# What a clock may be wrong by before there is a hole in the sound, and how far it may go back
# before it has begun anew.
SECONDS_OFF = 0.05
SECONDS_BACK = 10
# As much silence as is put into all holes together. A time beyond that is none.
SECONDS_OF_SILENCE = 24 * 60 * 60
# What it may take, with FFmpeg's libraries, which are 100 MB of addresses.
MEMORY_BYTES = 512 * 1024 * 1024
# What it says has some kilobytes.
OUTPUT_BYTES = 1024 * 1024
OPEN_FILES = 64

# The containers and codecs that recorders make, by FFmpeg's names. What is none of them is not
# looked into: a playlist, a picture, a text.
FORMATS = (
    *("aac", "aiff", "amr", "amrnb", "amrwb", "au", "caf", "flac", "matroska", "mov", "mp3", "mp4"),
    *("ogg", "w64", "wav", "webm"),
)
CODECS = (
    *("aac", "aac_fixed", "aac_latm", "ac3", "alac", "amrnb", "amrwb", "eac3", "flac", "gsm"),
    *("gsm_ms", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "opus", "libopus"),
    *("speex", "vorbis"),
    *("adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "pcm_alaw", "pcm_f32be", "pcm_f32le"),
    *("pcm_f64be", "pcm_f64le", "pcm_mulaw", "pcm_s16be", "pcm_s16le", "pcm_s24be", "pcm_s24le"),
    *("pcm_s32be", "pcm_s32le", "pcm_s8", "pcm_u8"),
)
# What our names for containers differ in.
NAMES = {"amrnb": "amr", "amrwb": "amr", "matroska,webm": "matroska"}
OF_MPEG_4 = "mov,mp4,m4a,3gp,3g2,mj2"
# How FFmpeg ends the name of a layout of which it knows no more than a number.
UNNAMED = " channels"
# As much of a file as says what kind of Matroska it is.
HEAD_BYTES = 64


class Order(Struct):
    """What to listen to."""

    url: str
    etag: str
    size: int


def main() -> int:
    """Listen; the exit code."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    _confine(seconds_for(order.size))
    try:
        import av  # noqa: F401 - whether it is there
    except ImportError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the log
        return NO_FFMPEG
    with Ranges(order.url, order.etag, order.size) as source:
        try:
            heard = listen(source, order.size)
        except Unreachable:
            heard = NOTHING
    if source.failure:
        print(source.failure, file=sys.stderr)  # noqa: T201 - for the log
        return UNREACHABLE
    sys.stdout.buffer.write(msgspec.json.encode(heard))
    return 0


NOTHING = Heard(sound=Sound(readable=False))


def seconds_for(size: int) -> float:
    """The time of a processor that so many bytes may take."""
    return min(SECONDS_AT_LEAST + SECONDS_PER_BYTE * size, SECONDS_AT_MOST)


def listen(source: Any, size: int) -> Heard:
    """What a file of that size has of sound, as far as it goes.

    Nothing, if to hear it to its end takes more than such a file may take.
    """
    import av

    av.logging.set_level(None)
    until = time.process_time() + seconds_for(size)
    head = source.read(HEAD_BYTES)
    file = mended(source)
    if file is None:
        return NOTHING
    with suppress(av.FFmpegError, TooLong):
        options = {
            "protocol_whitelist": "none",
            "format_whitelist": ",".join(FORMATS),
            "codec_whitelist": ",".join(CODECS),
        }
        with av.open(
            file, "r", options=options, metadata_errors="ignore", io_open=_refuse
        ) as container:
            if stream := _track(container):
                samples = SAMPLES_AT_LEAST + SAMPLES_PER_BYTE * size
                return _heard(container, stream, head, until, samples)
    return NOTHING


class TooLong(Exception):
    """To hear it to its end takes more than its bytes may take."""


def _track(container: InputContainer) -> AudioStream | None:
    """The track to listen to: the best if it can be read, otherwise the first that can."""
    import av

    for stream in (container.streams.best("audio"), *container.streams):
        # There is none for a codec that FFmpeg has no decoder of.
        codec = getattr(stream, "codec_context", None)
        if isinstance(stream, av.AudioStream) and codec and codec.name in CODECS:
            return stream
    return None


def _heard(
    container: InputContainer, stream: AudioStream, head: bytes, until: float, samples: int
) -> Heard:
    peaks, first, as_bytes = Peaks(), None, None
    for frame in _frames(container, stream, until):
        if first is None or as_bytes is None:
            first, as_bytes = frame, _Mixer(frame.sample_rate)
            clock = _Clock(stream, frame.sample_rate)
        peaks.add_silence(clock.missing_before(frame, peaks.samples))
        mixed = as_bytes.bytes_of(frame)
        # One of a lower rate than the first becomes more samples than it has.
        samples -= max(len(mixed), frame.samples * frame.layout.nb_channels)
        if samples < 0:
            raise TooLong
        peaks.add(mixed)
    if first is None or not peaks.samples:
        return NOTHING
    sound = Sound(
        readable=True,
        duration_ms=round(peaks.samples * 1000 / first.sample_rate),
        container=_container(container, head),
        codec=stream.codec_context.codec.canonical_name,
        sample_rate_hz=first.sample_rate,
        channels=first.layout.nb_channels,
    )
    waveform = Waveform(
        sample_rate=first.sample_rate, samples_per_pixel=peaks.step, data=peaks.data
    )
    return Heard(sound=sound, waveform=waveform)


def _frames(container: InputContainer, stream: AudioStream, until: float) -> Iterator[AudioFrame]:
    """What can be decoded, in its order; what cannot is passed over, and so is what is cut off.

    TooLong when a processor was busy with it `until` then.
    """
    import av

    stream.codec_context.thread_count = 1
    packets = container.demux(stream)
    while True:
        if time.process_time() > until:
            raise TooLong
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        with suppress(av.FFmpegError):
            for frame in packet.decode():
                if isinstance(frame, av.AudioFrame) and frame.samples and frame.sample_rate:
                    yield frame


class _Clock:
    """Finds holes in a sound by the times of its frames, as a player does."""

    def __init__(self, stream: AudioStream, rate: int) -> None:
        base = stream.time_base
        self._numerator = base.numerator * rate if base else 0
        self._denominator = base.denominator if base else 1
        self._off = int(SECONDS_OFF * rate)
        self._back = SECONDS_BACK * rate
        self._silence = SECONDS_OF_SILENCE * rate
        self._start: int | None = None

    def missing_before(self, frame: AudioFrame, heard: int) -> int:
        """How many samples of silence lie between those which were heard and this frame."""
        if frame.pts is None:
            return 0
        at = frame.pts * self._numerator // self._denominator
        # By the start, and not by the frame before, so that what is off does not add up.
        hole = 0 if self._start is None else at - self._start - heard
        if self._start is None or hole < -self._back or hole > self._silence:
            self._start = at - heard
        elif hole > self._off:
            self._silence -= hole
            return hole
        return 0


class _Mixer:
    """Makes of frames, of whatever form, one channel of unsigned bytes at one rate."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._form: tuple[object, ...] = ()
        self._graph: av.filter.Graph

    def bytes_of(self, frame: AudioFrame) -> bytes:
        """The samples of one more frame."""
        form = frame.format.name, frame.sample_rate, frame.layout.name, frame.layout.nb_channels
        if form != self._form:
            self._graph, self._form = self._made(frame), form
        frame.pts = None  # Its times are of no interest here, and may be any.
        self._graph.push(frame)
        return b"".join(self._pulled())

    def _made(self, like: AudioFrame) -> av.filter.Graph:
        import av

        graph, channels = av.filter.Graph(), like.layout.nb_channels
        graph.threads = 1
        # Which channel is which not every file says.
        said = like.layout.name
        layout = f"channels={channels}" if said.endswith(UNNAMED) else f"channel_layout='{said}'"
        rate = like.sample_rate
        form = f"sample_rate={rate}:sample_fmt={like.format.name}:{layout}:time_base=1/{rate}"
        filters = [("abuffer", form)]
        if channels > 1:
            # As audiowaveform has it: each channel counts as much as any other.
            mean = "+".join(f"{1 / channels:.9f}*c{number}" for number in range(channels))
            filters.append(("pan", f"mono|c0={mean}"))
        if rate != self._rate:
            filters.append(("aresample", str(self._rate)))
        filters += [("aformat", "sample_fmts=u8"), ("abuffersink", "")]
        graph.link_nodes(*(graph.add(name, said) for name, said in filters)).configure()
        return graph

    def _pulled(self) -> Iterator[bytes]:
        import av

        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                mixed: Any = self._graph.pull()
                yield bytes(mixed.planes[0])[: mixed.samples]


def _container(container: InputContainer, head: bytes) -> str:
    """The container's name, in one word."""
    name = container.format.name
    if name == OF_MPEG_4:
        brand = container.metadata.get("major_brand", "")
        return "3gp" if brand.startswith("3g") else "mov" if brand.startswith("qt") else "mp4"
    if b"webm" in head:
        return "webm"
    return NAMES.get(name, name)


def _refuse(url: str, *_: Any) -> Any:
    """Open nothing that a file names."""
    raise PermissionError(url)


def _confine(seconds: float) -> None:
    """Give up what decoding does not need, so that bytes which take the decoder over get little."""
    limits = {
        "RLIMIT_AS": MEMORY_BYTES,
        "RLIMIT_CPU": int(seconds) + 5,
        "RLIMIT_FSIZE": OUTPUT_BYTES,
        "RLIMIT_NOFILE": OPEN_FILES,
        "RLIMIT_CORE": 0,
    }
    for name, most in limits.items():
        # macOS knows them, and refuses the first.
        with suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (most, most))


if __name__ == "__main__":
    sys.exit(main())
