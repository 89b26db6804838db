"""Lengths of sound that recorders left wrong when they died, mended before FFmpeg reads them.

What a header claims is believed if what follows its end are chunks, or nothing. If it is not, what
there is up to the end of the file is the sound.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct


class Layout(Struct, frozen=True):
    """How a container of chunks writes them."""

    sound: bytes
    """The name of the chunk that has the sound, as its first four bytes."""

    size: str
    """The form of a chunk's size."""

    first: int = 12
    """Where the first chunk begins."""

    name_bytes: int = 4
    counts_itself: bool = False
    """Whether a chunk's size counts its name and its size."""

    multiple: int = 2
    """Chunks begin at multiples of so many bytes."""

    before: int = 0
    """How much of that chunk comes before the sound."""

    most: int = 0xFFFF_FFFF
    """The largest size that FFmpeg takes for one."""

    @property
    def head_bytes(self) -> int:
        """What a chunk's name and size take."""
        return self.name_bytes + struct.calcsize(self.size)

    def aligned(self, at: int) -> int:
        """Where a chunk begins at the earliest."""
        return -(-at // self.multiple) * self.multiple

    def packed(self, size: int) -> bytes:
        """A chunk's size, as it is written."""
        return struct.pack(self.size, min(size + self.counts_itself * self.head_bytes, self.most))


WAV = Layout(b"data", "<I")
CAF = Layout(b"data", ">q", first=8, multiple=1, before=4, most=2**63 - 1)
LAYOUTS: dict[bytes, Layout] = {
    b"RIFF": WAV,
    b"RIFX": Layout(b"data", ">I"),
    b"RF64": WAV,
    b"BW64": WAV,
    # FFmpeg has its sizes signed.
    b"FORM": Layout(b"SSND", ">I", before=8, most=0x7FFF_FFFF),
    b"caff": CAF,
    b"riff": Layout(
        b"data", "<Q", first=40, name_bytes=16, counts_itself=True, multiple=8, most=2**63 - 1
    ),
}
# In these the sound's length stands in the first chunk, `ds64`, in bytes and then in samples.
WIDE = (b"RF64", b"BW64")
WIDE_LENGTH_AT, WIDE_LENGTHS = 28, "<QQ"
# What an AIFF says of its length beside that, in frames: here that they are not known.
AIFF_COMMON, AIFF_FRAMES_AT, AIFF_UNKNOWN = b"COMM", 2, bytes(4)
# What an AU file says that does not know its length.
AU, AU_LENGTH_AT, AU_UNKNOWN = b".snd", 8, b"\xff\xff\xff\xff"
# What stands after the sound of files which are whole, also without a size that can be followed: a
# tag of an MP3's kind, another file.
KNOWN = (
    *(b"list", b"bext", b"ixml", b"axml", b"_pmx", b"cue ", b"fact", b"smpl", b"inst", b"junk"),
    *(b"pad ", b"fllr", b"peak", b"levl", b"cart", b"afsp", b"disp", b"acid", b"comm", b"mark"),
    *(b"name", b"auth", b"anno", b"(c) ", b"appl", b"chan", b"pakt", b"info", b"uuid", b"midi"),
    *(b"id3", b"tag", b"apet", b"riff"),
)
# What a name is made of.
PRINTED = frozenset(range(32, 127))
# More chunks than anybody writes.
MOST_CHUNKS = 200


class Mended:
    """A file, some bytes of which are others."""

    def __init__(self, file: Any, patches: Mapping[int, bytes]) -> None:
        self._file = file
        self._patches = patches
        self.seek, self.tell = file.seek, file.tell

    def read(self, most: int = -1) -> bytes:
        """Some of what comes next."""
        start = self._file.tell()
        part: bytes = self._file.read(most)
        for at, patch in self._patches.items():
            first, last = max(at, start), min(at + len(patch), start + len(part))
            if first < last:
                patched = patch[first - at : last - at]
                part = part[: first - start] + patched + part[last - start :]
        return part


def mended(file: Any) -> Any | None:
    """The file, with a length that is true; None if it says, and rightly, that it has no sound."""
    size = file.seek(0, io.SEEK_END)
    magic = _read(file, 0, 4)
    patches: dict[int, bytes] | None = {}
    if magic == AU:
        patches = {AU_LENGTH_AT: AU_UNKNOWN}
    elif magic in LAYOUTS:
        patches = _patches(file, LAYOUTS[magic], magic in WIDE, size)
    file.seek(0)
    return None if patches is None else Mended(file, patches) if patches else file


def _patches(file: Any, layout: Layout, wide: bool, size: int) -> dict[int, bytes] | None:
    patches = {}
    if layout is not CAF:
        # That of the whole, which FFmpeg believes where it is AIFF or W64.
        patches[layout.name_bytes] = layout.packed(size - layout.head_bytes)
    for name, begin, claimed in _chunks(file, layout, layout.first, size):  # noqa: B007 - used below
        if name == AIFF_COMMON:
            patches[begin + AIFF_FRAMES_AT] = AIFF_UNKNOWN
        if name == layout.sound:
            break
    else:
        return {}
    if wide:
        [claimed] = struct.unpack("<Q", _read(file, WIDE_LENGTH_AT, 8))
    if _is_right(file, layout, begin, claimed, size):
        return patches if claimed > layout.before else None
    if wide:
        patches[WIDE_LENGTH_AT] = struct.pack(WIDE_LENGTHS, size - begin, 0)
    else:
        patches[begin - layout.head_bytes + layout.name_bytes] = layout.packed(size - begin)
    return patches


def _is_right(file: Any, layout: Layout, begin: int, claimed: int, size: int) -> bool:
    """Whether sound ends where it claims to: up to the end of the file chunks follow, if any."""
    # Not everybody fills up to where the next chunk may begin.
    ends = {begin + claimed, layout.aligned(begin + claimed)}
    return 0 <= claimed <= size - begin and any(
        _are_chunks(file, layout, end, size) for end in ends
    )


def _are_chunks(file: Any, layout: Layout, at: int, size: int) -> bool:
    for name, begin, claimed in _chunks(file, layout, at, size):
        if name.lower().startswith(KNOWN):
            return True
        # Where a name is no word of four letters, it is a long number, as is the size behind it.
        named = layout.name_bytes > len(name) or PRINTED.issuperset(name)
        if not named or not 0 <= claimed <= size - begin:
            return False
    return True


def _chunks(file: Any, layout: Layout, at: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """The chunks from there on: the name of each, where its content begins, how long it claims."""
    for _ in range(MOST_CHUNKS):
        if at + layout.head_bytes > size:
            return
        head = _read(file, at, layout.head_bytes)
        [claimed] = struct.unpack(layout.size, head[layout.name_bytes :])
        begin, claimed = at + len(head), claimed - layout.counts_itself * len(head)
        yield head[:4], begin, claimed
        at = layout.aligned(begin + max(0, claimed))


def _read(file: Any, at: int, most: int) -> bytes:
    """So many bytes, or what there is of them."""
    file.seek(at)
    data = b""
    while len(data) < most and (part := file.read(most - len(data))):
        data += part
    return data
