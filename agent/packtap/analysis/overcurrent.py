"""Does more current flow than the pack is made for? Floor 2.

Peaks of a second are normal; five seconds heat joints and cells. Source: events.md section 2
("beyond the pack's rating for more than 5 s"); section 6 (BotoX: discharge 35 A, charge 6 A).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ninebot_bms import Snapshot
from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding, Held

__all__ = ["CurrentLimits", "OverCurrentCheck"]


@dataclass(frozen=True, slots=True)
class CurrentLimits:
    """Limits in amperes.

    Attributes:
        discharge_a: of the usual 10S scooter pack; its controller limits itself to 17-30 A.
        charge_a: magnitude. Chargers give up to 5 A; braking downhill feeds back up to 8 A.
        seconds: longer than a controller's peak.
    """

    discharge_a: float = of_pack("over_current_a")
    charge_a: float = of_pack("over_current_charging_a")
    seconds: float = of_pack("over_current_s")


_FLICKERS = 2  # different readings


class OverCurrentCheck:
    """Judges every fresh current."""

    def __init__(self, limits: CurrentLimits | None = None) -> None:
        self._limits = limits or CurrentLimits()
        self._over = Held(self._limits.seconds, 3)
        self._under = Held(self._limits.seconds)
        self._readings: set[float] = set()
        self.judged: set[str] = set()

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield a finding if this snapshot newly read the current."""
        current = snapshot.trusted("current_a")
        if "current_a" not in snapshot.fresh or not isinstance(current, int | float):
            return
        t = snapshot.times.get("current_a")
        if t is None:
            return  # a peak or a stretch: one reading does not tell
        limits = self._limits
        limit = limits.charge_a if current < 0 else limits.discharge_a
        if abs(current) >= 1.0:
            self.judged.add("over_current")
        beyond = abs(current) > limit
        over = self._over.update(beyond, t)
        # A real current flickers; a constant one is a frozen picture.
        if not beyond:
            self._readings.clear()
        elif len(self._readings) < _FLICKERS:
            self._readings.add(current)
        under = self._under.update(abs(current) < 0.9 * limit, t)
        if over and len(self._readings) >= _FLICKERS:
            yield Finding("over_current", True, t, value=abs(current), limit=limit)
        elif under:
            yield Finding("over_current", False, t)
