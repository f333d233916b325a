"""Numbers that the checks work out anyway, for those who remember them, floor 2.

A check compares a number with a limit and forgets it; the long memory of a pack (`packtap.memory`)
wants the number itself. So the checks show the latest one, and nobody computes it twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PACK", "Gauged", "PackGauges"]

#: Stands for the pack as a whole where a cell number is expected.
PACK = 0


@dataclass(frozen=True, slots=True)
class Gauged:
    """One quantity at one moment.

    Attributes:
        t: seconds, when it was measured.
        values: number of the cell (or `PACK`) -> value.
        error: standard error of each, same unit.
    """

    t: float
    values: Mapping[int, float]
    error: float


@dataclass(frozen=True, slots=True)
class PackGauges:
    """What the checks of one pack know now; None: nothing yet, or not at this moment.

    Attributes:
        rest_pct: points of charge off the median, by cell, at rest.
        extra_mohm: resistance beyond the median's, by cell.
        median_mohm: resistance of the median cell.
        drift_pct_per_h: points an hour that a cell gains on the median, at rest.
        capacity_mah: charge that the pack holds.
        drawn_ah: charge drawn since the checks began.
        charged_ah: charge put in since then.
    """

    rest_pct: Gauged | None = None
    extra_mohm: Gauged | None = None
    median_mohm: Gauged | None = None
    drift_pct_per_h: Gauged | None = None
    capacity_mah: Gauged | None = None
    drawn_ah: float = 0.0
    charged_ah: float = 0.0
