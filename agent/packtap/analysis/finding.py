"""The verdict of a check on one moment, and how long a condition has held, floor 2."""

from dataclasses import dataclass

__all__ = ["Finding", "Held"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says now.

    Attributes:
        kind: name of a row of `packtap.kinds`.
        present: True: the condition to raise holds; False: the condition to clear holds. A
            check that is between the two, or cannot judge, gives no finding.
        t: seconds, time of the reading that decided; None for input without times.
        cell: 1-16, or None.
        value: what was measured; unit of the kind's row.
        limit: what it was compared with; same unit.
        detail: words for the kind's sentence.
    """

    kind: str
    present: bool
    t: float | None
    cell: int | None = None
    value: float | None = None
    limit: float | None = None
    detail: str = ""


class Held:
    """Has a condition held in every reading for a while?

    One damaged frame can pass the additive checksum, so no verdict hangs on a single timed
    reading. Input without times has no "for a while": there one reading decides.

    Args:
        seconds: the span that the readings must cover.
        readings: how many there must be at least.
    """

    __slots__ = ("_count", "_readings", "_seconds", "_since")

    def __init__(self, seconds: float, readings: int = 2) -> None:
        self._seconds = seconds
        self._readings = readings
        self._since: float | None = None
        self._count = 0

    def update(self, holds: bool, t: float | None) -> bool:
        """Take one reading; return whether the condition has now held long enough."""
        if not holds:
            self._since = None
            self._count = 0
            return False
        if t is None:
            return True
        if self._since is None or t < self._since:
            self._since = t
            self._count = 0
        self._count += 1
        return self._count >= self._readings and t - self._since >= self._seconds
