"""How many cells does a pack have? Floor 0.

Unused cell slots read 0, and so does a dead or open cell. Between or before live cells a 0 is a
cell; behind the last live one it can be either. There the count comes from, strongest first:

1. the largest number of live cells seen before on this pack, in two readings running, the last of
   them at a voltage of a living cell (a corrupted reading can pass the checksum and must not invent
   cells for ever);
2. the highest cell that the BMS itself names in its balance and limit maps;
3. the design voltage: nominal 3.55-3.75 V a cell (36.00 V = 10, 36.50 V = 10, 51.00 V = 14);
4. without it, the pack voltage at rest over the median cell, when first compared: an open last
   sense wire reads 0 while its cell still adds to the pack voltage;
5. without both, a read of exactly N words (N < 15) whose last one alone is 0: who reads 20 bytes
   knows that the pack has ten cells.

Evidence 2-5 adds at most two cells to the live ones: more is another kind of pack than the number
says. No public dump of a stock BMS with a dead cell exists; this is derived, not observed.
Source: protocol.md sections 5, 9 and 10.
"""

from collections.abc import Sequence
from statistics import median
from typing import Final

from ninebot_bms.quirks import Report, is_replacement
from ninebot_bms.registers_codecs import EMPTY_SLOT, MAX_CELLS, UNUSED_SLOT

__all__ = ["CellCounter", "is_live", "live_cells"]

_NOMINAL_V: Final = 3.65
_NOMINAL_TOLERANCE_V: Final = 0.1
_MOST_ADDED: Final = 2
_FULL_READS: Final = (15, 16)  # words; read without knowing the pack
_COUNT_TOLERANCE: Final = 0.08  # of a cell, pack voltage over median cell
_QUIET_A: Final = 1.0
_MIN_MEDIAN_MV: Final = 2000
_LIVING_MV: Final = range(1000, 5000)
_CELL_MAPS: Final = ("balancing_cells", "undervoltage_cells", "overvoltage_cells")


def is_live(slot: int | None) -> bool:
    """Whether a cell word holds a voltage."""
    return slot is not None and slot not in (UNUSED_SLOT, EMPTY_SLOT)


def live_cells(slots: Sequence[int | None]) -> int:
    """Return the number of the last live cell, 0 if none."""
    number = len(slots)
    while number and not is_live(slots[number - 1]):
        number -= 1
    return number


def _highest_plausible(slots: Sequence[int | None]) -> int:
    """Return the number of the last slot with the voltage of a living cell, 0 if none."""
    return max(
        (number for number, slot in enumerate(slots, 1) if slot is not None and slot in _LIVING_MV),
        default=0,
    )


class CellCounter:
    """Remembers what one pack has shown, and counts its cells."""

    def __init__(self) -> None:
        self._confirmed = 0
        self._candidate = 0
        self._by_voltage: int | None = None
        self._words_read = 0

    def receive(self, slots: Sequence[int | None], words_read: int) -> None:
        """Take a reading of cells.

        Args:
            slots: the 16 cell words as known now, None = not read.
            words_read: how many words from cell 1 on were read at once; 0 for another start.
        """
        live = _highest_plausible(slots)
        if live > self._confirmed:
            if live == self._candidate:
                self._confirmed = live
            self._candidate = live
        else:
            self._candidate = 0
        self._words_read = words_read

    def count(self, slots: Sequence[int | None], report: Report) -> int:
        """Return the number of cells, 1-16; 0 if none was ever live.

        Args:
            slots: the 16 cell words as known now, None = not read.
            report: what the pack has reported besides.
        """
        live = max(live_cells(slots), self._confirmed)
        if not live:
            return 0
        evidence: list[int] = [_mapped(report)]
        by_design = _by_design(report)
        if by_design is not None:
            evidence.append(by_design)
        else:
            if self._by_voltage is None:
                self._by_voltage = _by_voltage(slots, live, report)
            evidence.append(self._by_voltage or 0)
            if self._words_read not in _FULL_READS and self._words_read == live + 1:
                evidence.append(self._words_read)
        most = min(MAX_CELLS, live + _MOST_ADDED)
        return max([live, *(number for number in evidence if number <= most)])


def _mapped(report: Report) -> int:
    maps = [cells for name in _CELL_MAPS if isinstance(cells := report.values.get(name), tuple)]
    return max((cell for cells in maps for cell in cells if cell is not None), default=0)


def _by_design(report: Report) -> int | None:
    design_v = report.number("design_voltage_v")
    if design_v is None or is_replacement(report):
        return None
    cells = round(design_v / _NOMINAL_V)
    if not 1 <= cells <= MAX_CELLS:
        return None
    return cells if abs(design_v / cells - _NOMINAL_V) <= _NOMINAL_TOLERANCE_V else None


def _by_voltage(slots: Sequence[int | None], live: int, report: Report) -> int | None:
    pack_v, current_a = report.number("voltage_v"), report.number("current_a")
    if pack_v is None or current_a is None or abs(current_a) >= _QUIET_A:
        return None
    if not report.together("voltage_v", "cell_voltages_mv"):
        return None
    middle_mv = median([slot for slot in slots if slot is not None and is_live(slot)] or [0])
    if middle_mv < _MIN_MEDIAN_MV:
        return None
    cells = 1000 * pack_v / middle_mv
    whole = round(cells)
    is_count = abs(cells - whole) <= _COUNT_TOLERANCE and whole >= live
    return whole if is_count else None
