"""Is a cell dead, or the whole pack empty beyond use? Floor 2.

A dead group reads near 0 V *and* the pack voltage has fallen by the same amount; if the pack
voltage has not, the wire to it is open and the group may be fine. A pack whose median cell rests
below its lock-out voltage is deeply discharged; a dead group alone does not make it so.
Source: events.md sections 2 and 5; protocol.md section 10.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding, Held
from packtap.analysis.reading import CellReading, middle

__all__ = ["DeadCellCheck", "DeepDischargeCheck", "DepletionLimits"]


@dataclass(frozen=True, slots=True)
class DepletionLimits:
    """Voltages of dead cells and empty packs.

    Attributes:
        dead_mv: a group below this is dead. The measuring chip's own comparator ignores cells
            below 1.5 V (TI e2e 811029), so no flag may be set.
        agrees_share: of the missing voltage by which pack voltage and sum may differ.
        agrees_mv: and millivolts.
        empty_mv: median cell that is deeply discharged, whatever flows.
        locked_mv: median cell that is, at rest: boards lock at 2.80 V (BotoX), and a healthy pack
            ridden until the ESC stops comes back above 3.0 V within a minute.
        locked_s: how long it must have rested for that.
    """

    dead_mv: int = of_pack("dead_cell_mv")
    dead_clear_mv: int = of_pack("dead_cell_clear_mv")
    agrees_share: float = 0.25
    agrees_mv: float = 300.0
    empty_mv: int = of_pack("deep_discharge_mv")
    locked_mv: int = of_pack("deep_discharge_rest_mv")
    clear_mv: int = of_pack("deep_discharge_clear_mv")
    locked_s: float = 60.0
    raise_s: float = 1.5
    clear_s: float = 10.0


_EMPTY_BITS = 0x4100  # 14 deep under-voltage, 8 over-discharge


class DeadCellCheck:
    """Judges every cell of a reading."""

    def __init__(self, limits: DepletionLimits | None = None) -> None:
        self._limits = limits or DepletionLimits()
        self._dead: dict[int, Held] = {}
        self._live: dict[int, Held] = {}
        self.judged: set[str] = set()

    def take(self, reading: CellReading) -> Iterator[Finding]:
        """Yield findings for the cells."""
        limits = self._limits
        known = [mv for mv in reading.cells_mv if mv is not None]
        if len(known) < 2:
            return
        self.judged.add("dead_cell")
        level = middle(known)
        for cell, mv in enumerate(reading.cells_mv, start=1):
            if mv is None:
                continue
            is_dead = mv < limits.dead_mv and level > 2 * limits.dead_mv
            present = self._dead.setdefault(cell, Held(limits.raise_s)).update(
                is_dead and self._fell(reading, level - mv), reading.t
            )
            absent = self._live.setdefault(cell, Held(limits.clear_s)).update(
                mv > limits.dead_clear_mv, reading.t
            )
            if present or absent:
                yield Finding("dead_cell", present, reading.known_t, cell, mv, limits.dead_mv)

    def _fell(self, reading: CellReading, missing_mv: float) -> bool:
        """Whether the pack voltage fell by what the cell lost."""
        known = [mv for mv in reading.cells_mv if mv is not None]
        if reading.voltage_v is None or len(known) < len(reading.cells_mv):
            return reading.voltage_v is None
        off_mv = abs(1000 * reading.voltage_v - sum(known))
        return off_mv <= self._limits.agrees_share * missing_mv + self._limits.agrees_mv


class DeepDischargeCheck:
    """Judges the median cell of a reading."""

    def __init__(self, limits: DepletionLimits | None = None) -> None:
        self._limits = limits or DepletionLimits()
        self._empty = Held(self._limits.raise_s)
        self._back = Held(self._limits.clear_s)
        self.judged: set[str] = set()

    def take(self, reading: CellReading) -> Iterator[Finding]:
        """Yield findings about the pack."""
        limits = self._limits
        known = [mv for mv in reading.cells_mv if mv is not None]
        if len(known) < 2:
            return
        self.judged.add("deep_discharge")
        level = middle(known)
        flagged = bool((reading.status or 0) & _EMPTY_BITS) and abs(reading.current_a or 0) < 0.3
        is_locked = level < limits.locked_mv and (flagged or reading.rested_s >= limits.locked_s)
        present = self._empty.update(level < limits.empty_mv or is_locked, reading.t)
        absent = self._back.update(level > limits.clear_mv, reading.t)
        if present or absent:
            limit_mv = limits.empty_mv if level < limits.empty_mv else limits.locked_mv
            yield Finding(
                "deep_discharge", present, reading.known_t, value=round(level), limit=limit_mv
            )
