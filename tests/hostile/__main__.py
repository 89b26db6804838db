"""Has mutated recordings of every kind listened to: `python -m tests.hostile --files 10000`.

Each in a process of its own, confined as that of the job is, and forked, so that a file takes some
milliseconds. It fails when one is not over in time, takes more memory than it may, or ends with a
Python error; what crashes a decoder is counted, and is kept in the folder that is named. After each
hundred a recording that is whole has to be read.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import av

from chalicelib.sound import listener

SOUNDS = Path(__file__).parent.parent / "data" / "sounds"
# How often as much of the clock it may take as of a processor.
TIMES = 3
# What is confined are addresses: of memory that is held, it takes less.
MOST_MEGABYTES = 512
SIZES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1")

Mutation = Callable[[random.Random, bytearray, bytes], bytearray]


def flipped(chance: random.Random, data: bytearray, __: bytes) -> bytearray:
    """Some of its bits."""
    for _ in range(chance.choice((1, 4, 16, 64, 256))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def in_the_head(chance: random.Random, data: bytearray, __: bytes) -> bytearray:
    """Bytes of where containers say what they are."""
    for _ in range(chance.choice((1, 2, 8, 32))):
        data[chance.randrange(min(len(data), 400))] = chance.randrange(256)
    return data


def sized(chance: random.Random, data: bytearray, __: bytes) -> bytearray:
    """What may be a size or a count, at its least or its most."""
    for _ in range(chance.choice((1, 2, 4))):
        at = chance.randrange(len(data))
        data[at : at + 4] = chance.choice(SIZES)
    return data


def cut(chance: random.Random, data: bytearray, __: bytes) -> bytearray:
    """Its end."""
    return data[: chance.randrange(1, len(data))]


def spliced(chance: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Its end, for that of another."""
    return data[: chance.randrange(1, len(data))] + other[chance.randrange(len(other)) :]


def repeated(chance: random.Random, data: bytearray, __: bytes) -> bytearray:
    """A part of it, many times."""
    start = chance.randrange(len(data))
    part = data[start : start + chance.choice((1, 16, 256, 4096))]
    return data[:start] + part * chance.choice((2, 20, 2000)) + data[start:]


def removed(chance: random.Random, data: bytearray, __: bytes) -> bytearray:
    """A part of it."""
    start = chance.randrange(len(data))
    del data[start : start + chance.choice((1, 4, 64, 1024))]
    return data or bytearray(1)


MUTATIONS: tuple[Mutation, ...] = flipped, in_the_head, sized, cut, spliced, repeated, removed


def mutant(number: int) -> bytes:
    """A recording of which something was changed; the same of the same number."""
    chance = random.Random(number)  # noqa: S311 - to be repeated
    files = sorted(each for each in SOUNDS.iterdir() if each.suffix not in {".json", ".sh"})
    data, other = (bytearray(chance.choice(files).read_bytes()) for _ in range(2))
    for _ in range(chance.choice((1, 1, 2, 3))):
        data = chance.choice(MUTATIONS)(chance, data, bytes(other))
    return bytes(data)


def listened_to(data: bytes) -> tuple[str, float, int]:
    """How listening to it ended, in how many seconds, and with how many megabytes held."""
    began, (end, beginning) = time.monotonic(), os.pipe()
    until = began + TIMES * listener.seconds_for(len(data))
    process = os.fork()
    if not process:
        _listen(data, beginning)
    os.close(beginning)
    done = 0
    while not done and time.monotonic() < until:
        done, status, used = os.wait4(process, os.WNOHANG)
        time.sleep(0.0005)
    if not done:
        os.kill(process, signal.SIGKILL)
        _, status, used = os.wait4(process, 0)
    said = os.read(end, 100).decode()
    os.close(end)
    if not done:
        said = "hung"
    elif os.WIFSIGNALED(status):
        said = f"crashed by {signal.Signals(os.WTERMSIG(status)).name}"
    return said, time.monotonic() - began, used.ru_maxrss // 1024


def _listen(data: bytes, beginning: int) -> NoReturn:
    said = b"raised"
    try:
        listener._confine(listener.seconds_for(len(data)))
        heard = listener.listen(io.BytesIO(data), len(data))
        said = b"readable" if heard.sound.readable else b"unreadable"
    except MemoryError:
        said = b"out of memory"
    finally:
        os.write(beginning, said)
        os._exit(0)


def main() -> int:
    """Listen to all of them; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the number to begin with")
    parser.add_argument("--keep", type=Path, help="a folder for what crashes")
    given = parser.parse_args()
    av.logging.set_level(None)
    whole = (SOUNDS / "moov-last.m4a").read_bytes()
    ends: Counter[str] = Counter()
    longest, most, wrong = 0.0, 0, []
    for number in range(given.first, given.first + given.files):
        data = mutant(number)
        end, seconds, megabytes = listened_to(data)
        ends[end] += 1
        longest, most = max(longest, seconds), max(most, megabytes)
        if end in {"hung", "raised"} or megabytes > MOST_MEGABYTES:
            wrong.append(f"{number}: {end}, {seconds:.1f} s, {megabytes} MB")
        if given.keep and end.startswith("crashed"):
            (given.keep / f"{number}.bin").write_bytes(data)
        if number % 100 == 0 and listened_to(whole)[0] != "readable":
            wrong.append(f"{number}: what is whole is not read any more")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    summary = {"ends": ends, "longest_seconds": round(longest, 2), "most_megabytes": most}
    sys.stdout.write(json.dumps(summary | {"own_megabytes": own, "wrong": wrong}) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
