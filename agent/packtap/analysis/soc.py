"""Does the board's percentage tell the truth? Floor 2.

Two ways to be wrong: it contradicts the resting voltage (tables of NMC and NCA differ by 5
points), or it stands still while charge flows. Under load the voltage still bounds the charge.
Boards set it to 100 when a charge ends, and some to 0 at the bottom: a jump there is no fault.
Source: events.md section 7 (8); protocol.md section 0 (10).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding, Held
from packtap.analysis.ocv import soc_from_ocv_pct
from packtap.analysis.reading import CellReading, middle

__all__ = ["SocCheck", "SocLimits"]

_FLOWS_A: Final = 0.5
_STEADY_A: Final = 3.0


@dataclass(frozen=True, slots=True)
class SocLimits:
    """Differences in points of charge.

    Attributes:
        off_pct: against the resting voltage. 15 points are a fault; healthy boards stay within 10
            of any NMC or NCA table.
        bound_off_pct: the same under load or charge, where regeneration or a swinging current
            can still lift the cells for a moment.
        rest_s: for how long the pack must have rested; relaxation is 20-40 mV after that.
        stuck_pct: the percentage has not moved while so much charge has flowed.
    """

    off_pct: float = of_pack("soc_off_pct")
    clear_pct: float = of_pack("soc_off_clear_pct")
    bound_off_pct: float = of_pack("soc_off_working_pct")
    rest_s: float = 300.0
    raise_s: float = 5.0
    clear_s: float = 60.0
    stuck_pct: float = of_pack("soc_stuck_pct")
    still_pct: float = 1.0


class SocCheck:
    """Judges every reading with a percentage."""

    def __init__(self, limits: SocLimits | None = None) -> None:
        self._limits = limits or SocLimits()
        self._off = Held(self._limits.raise_s, readings=3)
        self._near = Held(self._limits.clear_s)
        self._segment: int | None = None
        #: Percentage and charge drawn when it last moved.
        self._mark: tuple[float, float] | None = None
        self.judged: set[str] = set()

    def take(self, reading: CellReading, unrelaxed_mv: float = 0.0) -> Iterator[Finding]:
        """Yield findings about the percentage.

        Args:
            reading: the cells.
            unrelaxed_mv: by how much they may still be below their resting voltage.
        """
        soc_pct = reading.soc_pct
        known = [mv for mv in reading.cells_mv if mv is not None]
        if soc_pct is None or not known:
            return
        yield from self._judge_stuck(reading, soc_pct)
        limits = self._limits
        level = middle(known)
        true_pct = _charge_pct(level)
        off_pct = soc_pct - true_pct
        is_rested = reading.rested_s >= limits.rest_s
        if is_rested:
            self.judged.add("soc_miscalibration")
            # A cold pack relaxes for long: it must be off with and without what may be left.
            relaxed_pct = _charge_pct(level + unrelaxed_mv)
            true_pct = min(true_pct, relaxed_pct, key=lambda pct: abs(soc_pct - pct))
            off_pct = soc_pct - true_pct
        is_off = is_rested and abs(off_pct) > limits.off_pct
        is_off |= abs(off_pct) > limits.bound_off_pct and _is_bound(reading, off_pct)
        present = self._off.update(is_off, reading.t)
        absent = self._near.update(is_rested and abs(off_pct) < limits.clear_pct, reading.t)
        if present or absent:
            words = f"says {soc_pct:.0f} %, the resting voltage {true_pct:.0f} %"
            value = round(abs(off_pct), 1)
            yield Finding(
                "soc_miscalibration", present, reading.known_t, None, value, limits.off_pct, words
            )

    def _judge_stuck(self, reading: CellReading, soc_pct: float) -> Iterator[Finding]:
        limits = self._limits
        if not reading.capacity_mah or reading.t is None:
            return
        drawn_pct = 100 * 1000 * reading.drawn_ah / reading.capacity_mah
        if reading.segment != self._segment or self._mark is None:
            self._segment, self._mark = reading.segment, (soc_pct, drawn_pct)
            return
        if abs(soc_pct - self._mark[0]) > limits.still_pct:
            self._mark = (soc_pct, drawn_pct)
            return
        # At either end there is nothing left to count.
        expected_pct = self._mark[0] - (drawn_pct - self._mark[1])
        moved_pct = abs(self._mark[0] - min(99.0, max(1.0, expected_pct)))
        if moved_pct >= limits.stuck_pct:
            self.judged.add("soc_miscalibration")
            words = f"stands at {soc_pct:.0f} % while charge flows"
            value = round(moved_pct, 1)
            yield Finding(
                "soc_miscalibration", True, reading.known_t, None, value, limits.stuck_pct, words
            )


def _charge_pct(level_mv: float) -> float:
    return min(100.0, max(0.0, soc_from_ocv_pct(level_mv)))


def _is_bound(reading: CellReading, off_pct: float) -> bool:
    """Whether load or charge can only make the difference look smaller than it is.

    While a pack is drawn from, and after that, its cells are below their resting voltage, so they
    hold at least the charge that their voltage tells; while it is charged, at most.
    """
    if reading.current_a is None or reading.swing_a is None or reading.swing_a > _STEADY_A:
        return False
    is_drawn, is_charged = reading.current_a > _FLOWS_A, reading.current_a < -_FLOWS_A
    return (is_drawn and off_pct < 0) or (is_charged and off_pct > 0)
