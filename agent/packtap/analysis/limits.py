"""Is a cell outside its voltage limits? Floor 2.

Raised after two seconds in at least two readings, cleared with hysteresis. Readings that a quirk
makes doubtful (a clone's constants) are not judged.
Source of the limits: events.md section 2 (4.25 V, 2.80 V, 2 s); configurable per pack.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ninebot_bms import Snapshot
from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding, Held

__all__ = ["CellLimits", "CellVoltageCheck"]


@dataclass(frozen=True, slots=True)
class CellLimits:
    """Limits of one cell: beyond `*_mv` raises, back within `*_clear_mv` clears (millivolts)."""

    overvoltage_mv: int = of_pack("cell_overvoltage_mv")
    overvoltage_clear_mv: int = of_pack("cell_overvoltage_clear_mv")
    undervoltage_mv: int = of_pack("cell_undervoltage_mv")
    undervoltage_clear_mv: int = of_pack("cell_undervoltage_clear_mv")
    raise_s: float = of_pack("cell_limit_s")
    clear_s: float = 5.0


class _CellState:
    """How long one cell has been beyond, or back within, each limit."""

    __slots__ = ("high", "low", "not_high", "not_low")

    def __init__(self, limits: CellLimits) -> None:
        self.high = Held(limits.raise_s)
        self.not_high = Held(limits.clear_s)
        self.low = Held(limits.raise_s)
        self.not_low = Held(limits.clear_s)


class CellVoltageCheck:
    """Judges every cell of every fresh reading of the cells."""

    def __init__(self, limits: CellLimits | None = None) -> None:
        self._limits = limits or CellLimits()
        self._cells: dict[int, _CellState] = {}
        self.judged: set[str] = set()

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield findings for the cells that this snapshot newly read."""
        if "cell_voltages_mv" not in snapshot.fresh:
            return
        cells = snapshot.trusted("cell_voltages_mv")
        if not isinstance(cells, tuple):
            return
        self.judged |= {"cell_overvoltage", "cell_undervoltage"}
        t = snapshot.times["cell_voltages_mv"]
        for number, millivolts in enumerate(cells, start=1):
            if millivolts is not None:
                yield from self._judge(number, millivolts, t)

    def _judge(self, number: int, millivolts: int, t: float | None) -> Iterator[Finding]:
        limits = self._limits
        state = self._cells.get(number)
        if state is None:
            state = self._cells[number] = _CellState(limits)
        for kind, limit, beyond, within in (
            (
                "cell_overvoltage",
                limits.overvoltage_mv,
                state.high.update(millivolts > limits.overvoltage_mv, t),
                state.not_high.update(millivolts < limits.overvoltage_clear_mv, t),
            ),
            (
                "cell_undervoltage",
                limits.undervoltage_mv,
                state.low.update(millivolts < limits.undervoltage_mv, t),
                state.not_low.update(millivolts > limits.undervoltage_clear_mv, t),
            ),
        ):
            if beyond or within:
                yield Finding(kind, beyond, t, number, millivolts, limit)
