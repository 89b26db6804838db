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
from chalicelib.sound.peaks import Peaks
from chalicelib.sound.ranges import Ranges, Unreachable

if TYPE_CHECKING:
    import av
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

UNREACHABLE, NO_FFMPEG = 3, 4
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
    """What to listen to, and for how long."""

    url: str
    etag: str
    size: int
    seconds: float


def main() -> int:
    """Listen; the exit code."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    _confine(order.seconds)
    try:
        import av  # noqa: F401 - whether it is there
    except ImportError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the log
        return NO_FFMPEG
    until = time.monotonic() + order.seconds
    with Ranges(order.url, order.etag, order.size, until) as source:
        try:
            heard = listen(source, until)
        except Unreachable:
            heard = NOTHING
    if source.failure:
        print(source.failure, file=sys.stderr)  # noqa: T201 - for the log
        return UNREACHABLE
    sys.stdout.buffer.write(msgspec.json.encode(heard))
    return 0


NOTHING = Heard(sound=Sound(readable=False))


def listen(source: Any, until: float) -> Heard:
    """What a file has of sound, as far as it can be read before `until`."""
    import av

    av.logging.set_level(None)
    head = source.read(HEAD_BYTES)
    source.seek(0)
    with suppress(av.FFmpegError):
        options = {
            "protocol_whitelist": "none",
            "format_whitelist": ",".join(FORMATS),
            "codec_whitelist": ",".join(CODECS),
        }
        with av.open(
            source, "r", options=options, metadata_errors="ignore", io_open=_refuse
        ) as container:
            stream = container.streams.best("audio")
            # There is none for a codec that FFmpeg has no decoder of.
            codec = getattr(stream, "codec_context", None)
            if isinstance(stream, av.AudioStream) and codec and codec.name in CODECS:
                return _heard(container, stream, head, until)
    return NOTHING


def _heard(container: InputContainer, stream: AudioStream, head: bytes, until: float) -> Heard:
    peaks, first, as_bytes = Peaks(), None, None
    for frame in _frames(container, stream, until):
        if first is None or as_bytes is None:
            first, as_bytes = frame, _Mixer(frame.sample_rate)
        peaks.add(as_bytes.bytes_of(frame))
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
    """What can be decoded, in its order; what cannot is passed over, and so is what is cut off."""
    import av

    stream.codec_context.thread_count = 1
    packets = container.demux(stream)
    while time.monotonic() < until:
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
