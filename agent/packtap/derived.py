"""The rows of derived quantities, floor 1: what packtap works out itself, beside the registers.

A row is the only description of a quantity: the key in a `health` message, the field in the store
and the table of `packtap registers` follow from it. Its type is fixed for ever. Rows of cells are a
list in a message, cell 1 first, and fields of measurement `cell` in the store; the others are
fields of measurement `pack`. None is "not known (yet)", and has no field.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["DERIVED", "DerivedRow", "by_name"]

_WEEK: Final = "over the last months; absent until the trend has enough points"


@dataclass(frozen=True, slots=True)
class DerivedRow:
    """One derived quantity.

    Attributes:
        name: ends in its unit.
        unit: "" for texts and counts.
        value_type: float, int or str.
        per_cell: one value a cell.
        noise: a change of more than this is news (a number's own unit); 0: every change is;
            infinite: none is.
        digits: decimals that mean something.
        description: what it is.
        source: where it comes from, and what it takes to be known.
    """

    name: str
    unit: str
    value_type: type[float] | type[int] | type[str]
    per_cell: bool
    noise: float
    digits: int
    description: str
    source: str

    @property
    def type_name(self) -> str:
        """The type in words."""
        kind = {float: "number", int: "whole number", str: "text"}[self.value_type]
        return f"{kind} per cell" if self.per_cell else kind

    def rounded(self, value: float | None) -> float | None:
        """Return a number with the decimals that mean something; what is no number is unknown."""
        if value is None or not math.isfinite(value):
            return None
        return round(value, self.digits)


def _cell(
    name: str, unit: str, description: str, source: str, *, noise: float, digits: int
) -> DerivedRow:
    return DerivedRow(name, unit, float, True, noise, digits, description, source)


def _pack(
    name: str, unit: str, description: str, source: str, *, noise: float, digits: int
) -> DerivedRow:
    return DerivedRow(name, unit, float, False, noise, digits, description, source)


DERIVED: Final[tuple[DerivedRow, ...]] = (
    _cell(
        "cell_resistance_mohm", "mOhm",
        "resistance of the cell with its sense span",
        "regression of voltage on current while riding; needs a ride whose current varies",
        noise=1.5, digits=1,
    ),
    _cell(
        "cell_rest_deviation_pct", "%",
        "points of charge by which the cell is off the median, at rest",
        "rest voltages through the OCV curve; needs 10 minutes of rest, cells above 3.35 V and "
        "not bleeding",
        noise=0.5, digits=2,
    ),
    _cell(
        "cell_drift_pct_per_h", "%/h",
        "points of charge an hour that the cell gains on the median, at rest; below 0 it loses",
        "bursts of rest hours apart; needs a parked pack",
        noise=0.03, digits=4,
    ),
    _cell(
        "cell_rest_deviation_slope_pct_per_week", "%/week",
        "trend of cell_rest_deviation_pct", _WEEK,
        noise=0.2, digits=3,
    ),
    _cell(
        "cell_resistance_slope_mohm_per_week", "mOhm/week",
        "trend of the cell's resistance beyond the median's", _WEEK,
        noise=0.5, digits=3,
    ),
    _pack(
        "capacity_estimate_mah", "mAh",
        "charge that the pack holds",
        "charge between two rest points at least 35 points apart",
        noise=200.0, digits=0,
    ),
    _pack(
        "capacity_estimate_error_mah", "mAh",
        "standard error of capacity_estimate_mah", "the curve, good to 3-4 points at either end",
        noise=200.0, digits=0,
    ),
    _pack(
        "time_to_limit_h", "h",
        "hours until the first cell reaches a limit if its trend goes on; 0: it has",
        "trends of rest deviation and resistance; absent without a significant trend",
        noise=24.0, digits=0,
    ),
    _pack(
        "time_to_limit_low_h", "h",
        "lower end of the 90 % interval of time_to_limit_h", "standard errors of the trend",
        noise=24.0, digits=0,
    ),
    _pack(
        "time_to_limit_high_h", "h",
        "upper end of the 90 % interval of time_to_limit_h", "standard errors of the trend",
        noise=24.0, digits=0,
    ),
    DerivedRow(
        "time_to_limit_cell", "", int, False, 0.0, 0,
        "the cell that time_to_limit_h means", "the cell that gets there first",
    ),
    DerivedRow(
        "time_to_limit_kind", "", str, False, 0.0, 0,
        "the event kind whose limit it reaches: cell_imbalance or high_resistance_cell",
        "the limit that is reached first",
    ),
    _pack(
        "rest_hours_needed_h", "h",
        "hours at rest still missing before a trend can be told; 0 with no time_to_limit_h: there "
        "is no trend",
        "standard error of the least certain cell's slope against the slope that would reach the "
        "limit in 90 days",
        noise=6.0, digits=0,
    ),
    DerivedRow(
        "outlook", "", str, False, math.inf, 0,
        "time to limit, or why there is none, in words", "the rows above",
    ),
    DerivedRow(
        "identity_doubt", "", str, False, 0.0, 0,
        "why this may be another board or a copied serial, in words",
        "what the pack said of itself before under this serial; read twice",
    ),
)  # fmt: skip

by_name: Final[Mapping[str, DerivedRow]] = MappingProxyType({row.name: row for row in DERIVED})
