"""All checks of cells and pack, in the order in which they need each other, floor 2.

Sense wires come first: what they spoil no other check may take for a cell.
"""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from ninebot_bms import Snapshot
from packtap.analysis.capacity import CapacityCheck, CapacityLimits
from packtap.analysis.charge_drawn import ChargeDrawn
from packtap.analysis.charge_drift import ChargeDriftCheck, ChargeDriftLimits
from packtap.analysis.configured import configured
from packtap.analysis.depletion import DeadCellCheck, DeepDischargeCheck, DepletionLimits
from packtap.analysis.finding import Finding
from packtap.analysis.gauged import PackGauges
from packtap.analysis.imbalance import ImbalanceCheck, ImbalanceLimits
from packtap.analysis.limits import CellLimits, CellVoltageCheck
from packtap.analysis.pack_residual import PackResidualCheck, PackResidualLimits
from packtap.analysis.reading import CellReader, CellReading, middle, number, standing
from packtap.analysis.resistance import CellLines, ResistanceCheck, ResistanceLimits
from packtap.analysis.rest import RestClock
from packtap.analysis.self_discharge import SelfDischargeCheck, SelfDischargeLimits
from packtap.analysis.sense_wires import MoistureCheck, OpenWireCheck, SenseWireLimits, open_pairs
from packtap.analysis.soc import SocCheck, SocLimits
from packtap.config import PackConfig
from packtap.model import Event

__all__ = ["CellChecks"]

_CELLS: Final = "cell_voltages_mv"
_QUIET_A: Final = 0.3
#: A cell below this collapses, whatever the current: no resistance and no capacity is told.
_COLLAPSED_MV: Final = 2500


class CellChecks:
    """Judges the cells of one pack.

    Args:
        pack: the limits of this pack.
        rested: whether the pack was off for long before the first reading (a bench).
    """

    def __init__(
        self,
        pack: PackConfig | None = None,
        rested: Callable[[], bool] = lambda: False,
    ) -> None:
        pack = pack or PackConfig()
        imbalance = configured(ImbalanceLimits, pack)
        depletion = configured(DepletionLimits, pack)
        wires = configured(SenseWireLimits, pack)
        #: A resting pack whose median cell is below this is empty as a whole.
        self._empty_mv = depletion.locked_mv
        self._wires = wires
        self._rested = rested
        self._drawn = ChargeDrawn()
        self._reader = CellReader(RestClock(imbalance.rest_current_a, rested), self._drawn)
        self._voltage = CellVoltageCheck(configured(CellLimits, pack))
        self._wire = OpenWireCheck(wires)
        self._moisture = MoistureCheck(wires)
        self._dead = DeadCellCheck(depletion)
        self._deep = DeepDischargeCheck(depletion)
        self._imbalance = ImbalanceCheck(imbalance)
        self._residual = PackResidualCheck(configured(PackResidualLimits, pack))
        self._lines = CellLines()
        self._resistance = ResistanceCheck(configured(ResistanceLimits, pack))
        self._drift = ChargeDriftCheck(configured(ChargeDriftLimits, pack))
        self._leak = SelfDischargeCheck(configured(SelfDischargeLimits, pack))
        self._soc = SocCheck(configured(SocLimits, pack))
        self._capacity = CapacityCheck(configured(CapacityLimits, pack))

    @property
    def judged(self) -> AbstractSet[str]:
        """Kinds that have been judged so far."""
        checks = (
            self._voltage, self._wire, self._moisture, self._dead, self._deep, self._imbalance,
            self._residual, self._resistance, self._drift, self._leak, self._soc, self._capacity,
        )  # fmt: skip
        return {kind for check in checks for kind in check.judged}

    def reopen(self, event: Event) -> None:
        """Take an event that is open although these checks do not know it."""
        self._wire.reopen(event)
        self._drift.reopen(event)

    @property
    def gauges(self) -> PackGauges:
        """The numbers behind the verdicts, as they are now."""
        return PackGauges(
            rest_pct=self._imbalance.gauged,
            extra_mohm=self._lines.gauged,
            median_mohm=self._lines.gauged_median,
            drift_pct_per_h=self._leak.gauged,
            capacity_mah=self._capacity.gauged,
            drawn_ah=self._drawn.drawn_ah,
            charged_ah=self._drawn.charged_ah,
        )

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield what this snapshot decides."""
        yield from self._voltage.update(self._without_astray(snapshot))
        for reading in self._reader.update(snapshot):
            yield from self._take(reading)

    def _take(self, reading: CellReading) -> Iterator[Finding]:
        yield from self._wire.take(reading)
        yield from self._moisture.take(reading)
        yield from self._deep.take(reading)
        clean = self._masked(reading)
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
        astray = self._astray(cells)
        known = [mv for mv in cells if mv is not None]
        current_a = number(snapshot, "current_a")
        # Without a current nobody can say that the pack rests, and `depletion` will not judge it.
        rests = current_a is not None and abs(current_a) < _QUIET_A
        if known and middle(known) < self._empty_mv and rests:
            astray = set(range(1, len(cells) + 1))
        if not astray:
            return snapshot
        kept = tuple(None if cell in astray else mv for cell, mv in enumerate(cells, start=1))
        return replace(snapshot, values={**snapshot.values, _CELLS: kept})

    def _masked(self, reading: CellReading) -> CellReading:
        """Return the reading without the cells that the sense wires spoil."""
        astray = self._astray(reading.cells_mv)
        if not astray:
            return reading
        kept = tuple(
            None if cell in astray else mv for cell, mv in enumerate(reading.cells_mv, start=1)
        )
        return replace(reading, cells_mv=kept)

    def _astray(self, cells_mv: Sequence[int | None]) -> set[int]:
        """Return the cells whose reading is that of a wire."""
        pairs = open_pairs(cells_mv, self._wires)
        return {cell for pair in pairs for cell in pair} | self._moisture.wet


def _working(reading: CellReading) -> CellReading:
    """Return the reading without cells that are outside of what a working cell does."""
    kept = tuple(mv if mv is not None and mv >= _COLLAPSED_MV else None for mv in reading.cells_mv)
    return reading if kept == reading.cells_mv else replace(reading, cells_mv=kept)
