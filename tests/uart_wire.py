"""Copper and UARTs, computed bit by bit: what one rate sent is what another rate reads.

A `Wave` is the level of a wire over time, made from bytes at the rate of their sender, and several
senders on one wire pull it low together. `read_wave` is a receiver: it waits for the line to fall,
samples each bit in its middle at its own rate, and wants a high stop bit. Nothing here knows what
the bytes mean.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BITS = 10  # start, eight data bits, stop


@dataclass(frozen=True)
class Sent:
    """Bytes that one node puts on the wire back to back, from `t` seconds on."""

    t: float
    data: bytes
    baud: float = 115200.0

    @property
    def end(self) -> float:
        """When its last stop bit is over."""
        return self.t + len(self.data) * BITS / self.baud


@dataclass(frozen=True)
class Wave:
    """Times at which the level changes, and the level from each time on; at rest before."""

    times: Sequence[float]
    levels: Sequence[int]
    rest: int = 1

    def at(self, t: float) -> int:
        """Return the level at a time."""
        index = bisect_right(self.times, t) - 1
        return self.rest if index < 0 else self.levels[index]

    def next_fall(self, t: float) -> float | None:
        """Return when the line next goes from high to low, at `t` or later."""
        index = bisect_right(self.times, t)
        level = self.at(t)
        while index < len(self.times):
            if level == 1 and self.levels[index] == 0:
                return self.times[index]
            level = self.levels[index]
            index += 1
        return None

    def inverted(self) -> "Wave":
        """Return the same wire behind an inverter."""
        return Wave(self.times, [1 - level for level in self.levels], 1 - self.rest)


def wave_of(sent: Iterable[Sent]) -> Wave:
    """Return the level of one wire: low while any of its senders pulls it low."""
    changes: list[tuple[float, int]] = []  # +1: one more pulls low, -1: one lets go
    for each in sent:
        level = 1
        bits = [bit for byte in each.data for bit in (0, *((byte >> n) & 1 for n in range(8)), 1)]
        for number, bit in enumerate(bits):
            if bit != level:
                changes.append((each.t + number / each.baud, 1 if bit == 0 else -1))
                level = bit
    times: list[float] = []
    levels: list[int] = []
    pulling = 0
    for t, change in sorted(changes):
        pulling += change
        level = 0 if pulling else 1
        if levels[-1:] != [level]:
            times.append(t)
            levels.append(level)
    return Wave(times, levels)


def read_wave(
    wave: Wave, baud: float, *, drops: bool = True, waits: bool = True
) -> list[tuple[float, int]]:
    """Return what a UART reads: the time of each byte's end, and the byte.

    Args:
        wave: the wire.
        baud: the receiver's rate.
        drops: bytes without a stop bit are thrown away, as a driver that checks does; otherwise
            they are handed over, as raw mode on Linux does.
        waits: behind a missing stop bit it waits for the line to rise and fall again; otherwise the
            low bit is taken for the next start bit.
    """
    found: list[tuple[float, int]] = []
    bit_s = 1 / baud
    start = wave.next_fall(float("-inf"))
    while start is not None:
        value = sum(wave.at(start + (n + 1.5) * bit_s) << n for n in range(8))
        stop_at = start + 9.5 * bit_s
        has_stop = wave.at(stop_at) == 1
        if has_stop or not drops:
            found.append((start + BITS * bit_s, value))
        is_break = not has_stop and value == 0
        rises_first = has_stop or waits or is_break
        start = wave.next_fall(stop_at) if rises_first else stop_at - 0.5 * bit_s
    return found


def resampled(
    data: bytes, sent_at: float, read_at: float, *, inverted: bool = False, drops: bool = True
) -> bytes:
    """Return what a UART at one rate reads of bytes that were sent at another."""
    wave = wave_of([Sent(0.0, data, sent_at)])
    return bytes(
        byte for _, byte in read_wave(wave.inverted() if inverted else wave, read_at, drops=drops)
    )
