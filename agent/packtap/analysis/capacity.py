"""How much charge does the pack hold? Floor 2.

Between two rest points the charge that flowed, divided by the change of the state of charge that
their voltages tell, is the capacity. The curve is good to 5 points, so the points must lie far
apart. Source: events.md section 7 (8).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding
from packtap.analysis.gauged import PACK, Gauged
from packtap.analysis.ocv import soc_from_ocv_pct
from packtap.analysis.reading import CellReading, middle

__all__ = ["CapacityCheck", "CapacityLimits"]

#: Of the change between two rest points, each good to 3.5 points.
_CHANGE_ERROR_PCT: Final = 5.0


@dataclass(frozen=True, slots=True)
class CapacityLimits:
    """What counts as a faded pack.

    A pack below 70 % is worn out. A change of 35 points, each end good to 3-4, gives the capacity
    to 14 % at worst, usually to half of that, and a full charge that has relaxed looks like 96 %:
    the limit allows for it.
    """

    faded_pct: float = of_pack("capacity_fade_pct")
    clear_pct: float = of_pack("capacity_fade_clear_pct")
    change_pct: float = 35.0
    rest_s: float = 240.0
    settle_s: float = 20.0  # a rest point is judged this long after it is ripe
    least_mv: float = 2800.0


class CapacityCheck:
    """Compares rest points."""

    def __init__(self, limits: CapacityLimits | None = None) -> None:
        self._limits = limits or CapacityLimits()
        #: State of charge and charge drawn at the first rest point of this count.
        self._anchor: tuple[float, float] | None = None
        self._segment: int | None = None
        self.judged: set[str] = set()
        self.estimate_mah: float | None = None
        #: The last estimate with its error; None while the pack is not at such a rest point.
        self.gauged: Gauged | None = None

    def take(self, reading: CellReading, unrelaxed_mv: float = 0.0) -> Iterator[Finding]:
        """Yield a finding at a rest point far enough from the first.

        Args:
            reading: the cells.
            unrelaxed_mv: by how much they are still below their resting voltage.
        """
        limits = self._limits
        self.gauged = None
        if reading.segment != self._segment:
            self._segment, self._anchor = reading.segment, None
        known = [mv for mv in reading.cells_mv if mv is not None]
        if reading.rested_s < limits.rest_s or not known or reading.t is None:
            return
        level = middle(known)
        if level < limits.least_mv:
            return
        charge_pct = soc_from_ocv_pct(level + unrelaxed_mv)
        if self._anchor is None or abs(self._anchor[1] - reading.drawn_ah) < 0.05:
            # The longer the rest, the better the point.
            self._anchor = (charge_pct, reading.drawn_ah)
            return
        change_pct = self._anchor[0] - charge_pct
        drawn_mah = 1000 * (reading.drawn_ah - self._anchor[1])
        if abs(change_pct) < limits.change_pct or change_pct * drawn_mah <= 0:
            return
        self.estimate_mah = 100 * drawn_mah / change_pct
        error_mah = self.estimate_mah * _CHANGE_ERROR_PCT / abs(change_pct)
        self.gauged = Gauged(reading.t, {PACK: self.estimate_mah}, error_mah)
        if not reading.design_mah:
            return
        self.judged.add("capacity_fade")
        share_pct = 100 * self.estimate_mah / reading.design_mah
        if share_pct < limits.faded_pct or share_pct > limits.clear_pct:
            yield Finding(
                "capacity_fade",
                share_pct < limits.faded_pct,
                reading.known_t,
                None,
                round(share_pct, 0),
                limits.faded_pct,
            )
