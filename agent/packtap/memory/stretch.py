"""From readings to points: what was gauged within an hour is one value, floor 2.

Readings of one rest, or of one ride, err together; their mean is steadier than each, but no better
known than one of them. So a stretch gives its mean with the mean error of its readings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from packtap.analysis.gauged import Gauged

__all__ = ["Ended", "Stretch"]

_LONGEST_S: Final = 3600.0
#: Without a reading for this long the rest, or the ride, was over.
_PAUSE_S: Final = 900.0
#: A single reading can be a damaged one that no screen has caught.
_LEAST: Final = 3


@dataclass(frozen=True, slots=True)
class Ended:
    """What a stretch gives for one cell: mean time (seconds), mean value, standard error."""

    cell: int
    t: float
    value: float
    error: float


@dataclass(slots=True)
class _Sums:
    count: int = 0
    t: float = 0.0
    value: float = 0.0
    error: float = 0.0


class Stretch:
    """Collects what is gauged of one quantity."""

    __slots__ = ("_began", "_last", "_sums")

    def __init__(self) -> None:
        self._began: float | None = None
        self._last: float | None = None
        self._sums: dict[int, _Sums] = {}

    def take(self, gauged: Gauged | None) -> Iterator[Ended]:
        """Take what is gauged now; yield what a stretch that ends with that gives."""
        if gauged is None or gauged.t == self._last:
            return
        if self._began is not None and not self._goes_on(gauged.t):
            yield from self.end()
        if self._began is None:
            self._began = gauged.t
        self._last = gauged.t
        for cell, value in gauged.values.items():
            sums = self._sums.setdefault(cell, _Sums())
            sums.count += 1
            sums.t += gauged.t - self._began
            sums.value += value
            sums.error += gauged.error

    def end(self) -> Iterator[Ended]:
        """End it; yield what it gives."""
        yield from self.so_far()
        self._began = None
        self._sums.clear()

    def so_far(self) -> Iterator[Ended]:
        """Yield what it would give if it ended now."""
        for cell, sums in self._sums.items():
            if self._began is not None and sums.count >= _LEAST:
                n = sums.count
                t = self._began + sums.t / n
                yield Ended(cell, t, sums.value / n, max(sums.error / n, 1e-6))

    def means(self) -> dict[int, float]:
        """Return the means so far, by cell."""
        return {ended.cell: ended.value for ended in self.so_far()}

    @property
    def readings(self) -> int:
        """How many values it holds."""
        return sum(sums.count for sums in self._sums.values())

    def _goes_on(self, t: float) -> bool:
        began = t if self._began is None else self._began
        last = began if self._last is None else self._last
        return began <= t < began + _LONGEST_S and 0 <= t - last <= _PAUSE_S
