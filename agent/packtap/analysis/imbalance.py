"""At rest, is one cell charged differently from the others? Floor 2.

Under load a cell's voltage tells about its resistance; only at rest does it tell about its charge.
Rest is a current below 0.3 A for a minute (relaxation takes 5-10 minutes, but all cells relax
together: what their resistances can differ by is allowed for); a pack on the bench has been off for
long, so there rest holds from the first reading.
Each cell's charge is read from the OCV curve and compared with the median of the pack.

The balancer pulls the reading of a cell that it bleeds down by up to 60 mV, and pushes that of its
neighbours up, through the resistance of the sense wires: those cells get that much allowance, and
the median is taken of the others, if there are enough of them.
Source: events.md sections 5 (look-alikes), 6 and 7.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding, Held
from packtap.analysis.gauged import Gauged
from packtap.analysis.ocv import soc_from_ocv_pct
from packtap.analysis.reading import CellReading, middle

__all__ = ["ImbalanceCheck", "ImbalanceLimits"]

_MIN_CELLS: Final = 3  # a median of fewer says nothing about which one is wrong
_BLEEDING_MV: Final = 60.0
_BESIDE_BLEEDING_MV: Final = 40.0
_UNRELAXED_MV: Final = 20.0
_RELAXATION_S: Final = 120.0
#: After so long a rest nothing but charge is left in a deviation (relaxation takes 5-10 minutes).
_SETTLED_S: Final = 600.0
_STEP_MV: Final = 0.7  #: of one reading: steps of 1 mV, in the cell and in the median
_SLOPE_MV: Final = 20.0


@dataclass(frozen=True, slots=True)
class ImbalanceLimits:
    """Points of state of charge off the median, and what counts as rest.

    Cells of a healthy pack are within 5-20 mV at rest above 3.5 V, 30-50 mV is suspect: 4.5 points
    are 30-45 mV there. In the knee a point is 30-60 mV and healthy packs spread by 120 mV; where
    the knee begins differs by 5 points from maker to maker, so there the millivolts count too.
    """

    raise_pct: float = of_pack("cell_imbalance_pct")
    clear_pct: float = of_pack("cell_imbalance_clear_pct")
    rest_current_a: float = of_pack("rest_current_a")
    rest_s: float = of_pack("rest_s")
    raise_s: float = 2.0
    clear_s: float = 60.0
    knee_mv: float = 3350.0
    knee_off_mv: float = 150.0


class ImbalanceCheck:
    """Judges every reading of the cells at rest.

    Args:
        limits: points that raise and clear.

    Attributes:
        gauged: points of charge off the median at the last settled rest, of cells that neither
            bleed nor stand beside one that does; None while the pack does not rest like that.
    """

    def __init__(self, limits: ImbalanceLimits | None = None) -> None:
        self._limits = limits or ImbalanceLimits()
        self._off: dict[int, Held] = {}
        self._even: dict[int, Held] = {}
        self.judged: set[str] = set()
        self.gauged: Gauged | None = None

    def take(self, reading: CellReading) -> Iterator[Finding]:
        """Yield findings for the cells, if the pack rests."""
        self.gauged = None
        if reading.rested_s < self._limits.rest_s or not reading.bleeding_known:
            return
        levels = {
            cell: float(mv) for cell, mv in enumerate(reading.cells_mv, start=1) if mv is not None
        }
        if len(levels) < _MIN_CELLS:
            return
        self.judged.add("cell_imbalance")
        bleeding = reading.bleeding
        own = [mv for cell, mv in levels.items() if not _allowance_mv(cell, bleeding)]
        # Where nearly all are moved by the balancer, so is their median.
        moved_mv = 0.0 if len(own) >= _MIN_CELLS else _BESIDE_BLEEDING_MV
        middle_mv = middle(own if not moved_mv else tuple(levels.values()))
        middle_pct = soc_from_ocv_pct(middle_mv)
        if reading.rested_s >= _SETTLED_S and middle_mv >= self._limits.knee_mv:
            self.gauged = _gauge(reading, levels, middle_mv)
        for cell, mv in levels.items():
            off_mv = mv - middle_mv
            allowed_mv = moved_mv + _allowance_mv(cell, bleeding) + _unrelaxed_mv(reading.rested_s)
            counted_mv = max(0.0, abs(off_mv) - allowed_mv)
            signed_mv = counted_mv if off_mv > 0 else -counted_mv
            off_pct = soc_from_ocv_pct(middle_mv + signed_mv) - middle_pct
            is_far = middle_mv >= self._limits.knee_mv or counted_mv >= self._limits.knee_off_mv
            yield from self._judge(cell, off_pct, off_mv, reading, is_far=is_far)

    def _judge(
        self, cell: int, off_pct: float, off_mv: float, reading: CellReading, *, is_far: bool
    ) -> Iterator[Finding]:
        limits = self._limits
        off = self._off.setdefault(cell, Held(limits.raise_s, readings=3))
        even = self._even.setdefault(cell, Held(limits.clear_s))
        present = off.update(abs(off_pct) >= limits.raise_pct and is_far, reading.t)
        absent = even.update(abs(off_pct) <= limits.clear_pct, reading.t)
        if present or absent:
            words = f"{abs(off_mv):.0f} mV {'above' if off_mv > 0 else 'below'} the median"
            value = round(abs(off_pct), 1)
            yield Finding(
                "cell_imbalance", present, reading.known_t, cell, value, limits.raise_pct, words
            )


def _gauge(reading: CellReading, levels: Mapping[int, float], middle_mv: float) -> Gauged | None:
    calm = {
        cell: soc_from_ocv_pct(mv) - soc_from_ocv_pct(middle_mv)
        for cell, mv in levels.items()
        if not _allowance_mv(cell, reading.bleeding)
    }
    if reading.t is None or len(calm) < _MIN_CELLS:
        return None
    rise_pct = soc_from_ocv_pct(middle_mv + _SLOPE_MV) - soc_from_ocv_pct(middle_mv - _SLOPE_MV)
    return Gauged(reading.t, calm, _STEP_MV * rise_pct / (2 * _SLOPE_MV))


def _unrelaxed_mv(rested_s: float) -> float:
    """Return how much of a difference can still be polarisation: a tenth of 200 mV, fading."""
    return _UNRELAXED_MV * math.exp(-rested_s / _RELAXATION_S)


def _allowance_mv(cell: int, bleeding: frozenset[int]) -> float:
    if cell in bleeding:
        return _BLEEDING_MV
    return _BESIDE_BLEEDING_MV * len({cell - 1, cell + 1} & bleeding)
