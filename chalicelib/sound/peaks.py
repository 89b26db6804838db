"""The waveform: the lowest and the highest sample of each stretch, however long it all is."""

from __future__ import annotations

from chalicelib.models.fields import MOST_PAIRS

# As few samples as audiowaveform ever puts together.
LEAST_STEP = 2
# What silence is in unsigned samples of 8 bits.
ZERO = 128
SILENT = bytes([ZERO])


class Peaks:
    """Takes samples as they come, each a byte with its sign off, and keeps MOST_PAIRS at most.

    When there are so many, each two become one, and a stretch is twice as long from then on. So
    nobody has to know beforehand how long it all is.
    """

    def __init__(self) -> None:
        self.step = LEAST_STEP
        self.samples = 0
        self._lows = bytearray()
        self._highs = bytearray()
        self._missing = 0
        """How many samples the last stretch lacks."""
        self._between = b""
        """All that lies between the lowest and the highest of it."""

    def add(self, samples: bytes) -> None:
        """Take what comes next."""
        self.samples += len(samples)
        start = 0
        while start < len(samples):
            if not self._missing:
                self._begin(samples[start])
            part = samples[start : start + self._missing]
            start += len(part)
            self._take(part, len(part))

    def add_silence(self, samples: int) -> None:
        """Take as many samples of silence, which costs no more for being long."""
        self.samples += samples
        while samples:
            if not self._missing:
                self._begin(ZERO)
            part = min(samples, self._missing)
            samples -= part
            self._take(SILENT, part)

    def _take(self, samples: bytes, length: int) -> None:
        """Have these be among the samples of the last stretch, of which they are so many."""
        self._missing -= length
        # What does not lie between the extremes any way is gone by the byte, in C.
        if beyond := samples.translate(None, self._between):
            known = beyond + self._between
            self._lows[-1], self._highs[-1] = min(known), max(known)
            self._between = bytes(range(self._lows[-1], self._highs[-1] + 1))

    @property
    def data(self) -> bytes:
        """The pairs, one after the other, each lowest and highest a byte with its sign."""
        pairs = bytearray(2 * len(self._lows))
        pairs[::2] = self._lows
        pairs[1::2] = self._highs
        return bytes((each - ZERO) % 256 for each in pairs)

    def _begin(self, sample: int) -> None:
        if len(self._lows) == MOST_PAIRS:
            self._lows = bytearray(map(min, self._lows[::2], self._lows[1::2]))
            self._highs = bytearray(map(max, self._highs[::2], self._highs[1::2]))
            self.step *= 2
        self._lows.append(sample)
        self._highs.append(sample)
        self._missing = self.step
        self._between = bytes([sample])
