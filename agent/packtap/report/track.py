"""A course over time in constant memory, floor 4: lowest, highest and mean of each stretch.

A visit lasts two minutes, a recording days: both become at most `_MOST` stretches of equal length.
When there would be more, neighbours are joined and the length doubles. Nothing that stuck out is
lost by that: a stretch keeps its extremes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Point", "Track"]

_MOST: Final = 480
_FIRST_S: Final = 0.125
#: Without a reading for so long nobody knows what was: a gap, no line.
_GAP_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Point:
    """One channel over one stretch.

    Attributes:
        t: middle of the stretch, seconds since the first reading.
        low: smallest value in it.
        mean: average.
        high: largest.
    """

    t: float
    low: float
    mean: float
    high: float


class _Stretch:
    """Sums of one stretch, channel by channel."""

    __slots__ = ("counts", "highs", "lows", "sums")

    def __init__(self, channels: int) -> None:
        self.counts = [0] * channels
        self.sums = [0.0] * channels
        self.lows = [0.0] * channels
        self.highs = [0.0] * channels

    def add(self, channel: int, value: float) -> None:
        self._widen(channel, value, value)
        self.counts[channel] += 1
        self.sums[channel] += value

    def join(self, other: "_Stretch") -> None:
        for channel, count in enumerate(other.counts):
            if count:
                self._widen(channel, other.lows[channel], other.highs[channel])
                self.counts[channel] += count
                self.sums[channel] += other.sums[channel]

    def _widen(self, channel: int, low: float, high: float) -> None:
        is_first = not self.counts[channel]
        self.lows[channel] = low if is_first else min(self.lows[channel], low)
        self.highs[channel] = high if is_first else max(self.highs[channel], high)


class Track:
    """The course of several quantities.

    Args:
        channels: how many.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._width_s = _FIRST_S
        self._start: float | None = None
        self._stretches: dict[int, _Stretch] = {}

    @property
    def seconds(self) -> float:
        """From the first reading to the end of the last stretch."""
        return (max(self._stretches) + 1) * self._width_s if self._stretches else 0.0

    @property
    def start(self) -> float | None:
        """When the first reading was taken, seconds of its clock."""
        return self._start

    def add(self, t: float, values: Sequence[float | None]) -> None:
        """Take one reading of all channels; None: not read.

        Args:
            t: seconds; what is older than the first reading is left out.
            values: as many as there are channels, or fewer.
        """
        if self._start is None:
            self._start = t
        place = int((t - self._start) // self._width_s)
        if place < 0:
            return
        while place >= _MOST:
            self._halve()
            place = int((t - self._start) // self._width_s)
        stretch = self._stretches.get(place)
        if stretch is None:
            stretch = self._stretches[place] = _Stretch(self._channels)
        for channel, value in enumerate(values[: self._channels]):
            if value is not None:
                stretch.add(channel, value)

    def runs(self, channel: int) -> list[list[Point]]:
        """Return the course of one channel, cut where nothing was read for long."""
        gap = max(2.0, _GAP_S / self._width_s)
        runs: list[list[Point]] = []
        last: int | None = None
        for place in sorted(self._stretches):
            stretch = self._stretches[place]
            count = stretch.counts[channel]
            if not count:
                continue
            if last is None or place - last > gap:
                runs.append([])
            last = place
            mean = stretch.sums[channel] / count
            t = (place + 0.5) * self._width_s
            runs[-1].append(Point(t, stretch.lows[channel], mean, stretch.highs[channel]))
        return runs

    def _halve(self) -> None:
        self._width_s *= 2
        joined: dict[int, _Stretch] = {}
        for place, stretch in self._stretches.items():
            there = joined.get(place // 2)
            if there is None:
                joined[place // 2] = stretch
            else:
                there.join(stretch)
        self._stretches = joined
