"""All checks of cells and pack, in the order in which they need each other, floor 2.

Sense wires come first: what they spoil no other check may take for a cell.
"""

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from ninebot_bms import Snapshot
from packtap.analysis.capacity import CapacityCheck
from packtap.analysis.charge_drawn import ChargeDrawn
from packtap.analysis.charge_drift import ChargeDriftCheck
from packtap.analysis.depletion import DeadCellCheck, DeepDischargeCheck
from packtap.analysis.finding import Finding
from packtap.analysis.imbalance import ImbalanceCheck, ImbalanceLimits
from packtap.analysis.limits import CellLimits, CellVoltageCheck
from packtap.analysis.pack_residual import PackResidualCheck
from packtap.analysis.reading import CellReader, CellReading, middle, number, standing
from packtap.analysis.resistance import CellLines, ResistanceCheck
from packtap.analysis.rest import RestClock
from packtap.analysis.self_discharge import SelfDischargeCheck
from packtap.analysis.sense_wires import MoistureCheck, OpenWireCheck, open_pairs
from packtap.analysis.soc import SocCheck

__all__ = ["CellChecks"]

_CELLS: Final = "cell_voltages_mv"
#: A resting pack whose median cell is below this is empty as a whole (`depletion` judges that).
_EMPTY_MV: Final = 2800
_QUIET_A: Final = 0.3
#: A cell below this collapses, whatever the current: no resistance and no capacity is told.
_COLLAPSED_MV: Final = 2500


class CellChecks:
    """Judges the cells of one pack.

    Args:
        cell_limits: voltage limits of a cell.
        imbalance: limits of a difference in charge.
        rested: whether the pack was off for long before the first reading (a bench).
    """

    def __init__(
        self,
        cell_limits: CellLimits | None = None,
        imbalance: ImbalanceLimits | None = None,
        rested: Callable[[], bool] = lambda: False,
    ) -> None:
        imbalance = imbalance or ImbalanceLimits()
        self._rested = rested
        self._reader = CellReader(RestClock(imbalance.rest_current_a, rested), ChargeDrawn())
        self._voltage = CellVoltageCheck(cell_limits)
        self._wire = OpenWireCheck()
        self._moisture = MoistureCheck()
        self._dead = DeadCellCheck()
        self._deep = DeepDischargeCheck()
        self._imbalance = ImbalanceCheck(imbalance)
        self._residual = PackResidualCheck()
        self._lines = CellLines()
        self._resistance = ResistanceCheck()
        self._drift = ChargeDriftCheck()
        self._leak = SelfDischargeCheck()
        self._soc = SocCheck()
        self._capacity = CapacityCheck()

    @property
    def judged(self) -> AbstractSet[str]:
        """Kinds that have been judged so far."""
        checks = (
            self._voltage, self._wire, self._moisture, self._dead, self._deep, self._imbalance,
            self._residual, self._resistance, self._drift, self._leak, self._soc, self._capacity,
        )  # fmt: skip
        return {kind for check in checks for kind in check.judged}

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield what this snapshot decides."""
        yield from self._voltage.update(self._without_astray(snapshot))
        for reading in self._reader.update(snapshot):
            yield from self._take(reading)

    def _take(self, reading: CellReading) -> Iterator[Finding]:
        yield from self._wire.take(reading)
        yield from self._moisture.take(reading)
        yield from self._deep.take(reading)
        clean = _masked(reading, self._moisture.wet)
        yield from self._dead.take(clean)
        yield from self._residual.take(clean)
        yield from self._imbalance.take(clean)
        yield from self._soc.take(reading, self._lines.unrelaxed_mv)
        if self._rested():
            # A minute of rest cannot show what needs load, charge or hours.
            return
        clean = _working(clean)
        deviations = self._lines.take(clean)
        yield from self._resistance.take(clean, self._lines, deviations)
        yield from self._drift.take(clean, self._lines, deviations)
        yield from self._leak.take(clean)
        yield from self._capacity.take(reading, self._lines.unrelaxed_mv)

    def _without_astray(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot without cells whose voltage is not their own."""
        cells = standing(snapshot)
        if cells is None:
            return snapshot
        astray = {cell for pair in open_pairs(cells) for cell in pair} | self._moisture.wet
        known = [mv for mv in cells if mv is not None]
        current_a = number(snapshot, "current_a")
        # Without a current nobody can say that the pack rests, and `depletion` will not judge it.
        rests = current_a is not None and abs(current_a) < _QUIET_A
        if known and middle(known) < _EMPTY_MV and rests:
            astray = set(range(1, len(cells) + 1))
        if not astray:
            return snapshot
        kept = tuple(None if cell in astray else mv for cell, mv in enumerate(cells, start=1))
        return replace(snapshot, values={**snapshot.values, _CELLS: kept})


def _working(reading: CellReading) -> CellReading:
    """Return the reading without cells that are outside of what a working cell does."""
    kept = tuple(mv if mv is not None and mv >= _COLLAPSED_MV else None for mv in reading.cells_mv)
    return reading if kept == reading.cells_mv else replace(reading, cells_mv=kept)


def _masked(reading: CellReading, wet: frozenset[int]) -> CellReading:
    """Return the reading without the cells that the sense wires spoil."""
    astray = {cell for pair in open_pairs(reading.cells_mv) for cell in pair} | wet
    if not astray:
        return reading
    kept = tuple(
        None if cell in astray else mv for cell, mv in enumerate(reading.cells_mv, start=1)
    )
    return replace(reading, cells_mv=kept)
