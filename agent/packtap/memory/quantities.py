"""The rows of what is remembered as a trend, floor 2."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from packtap.analysis.gauged import PackGauges

__all__ = ["QUANTITIES", "Quantity", "by_name"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity that is remembered, of each cell or of the pack.

    Attributes:
        name: of the field of `PackGauges` that it comes from, and in the document.
        floor: standard error below which no point is believed, from day to day.
        share: the same as a share of the value.
        digits: decimals that are kept.
    """

    name: str
    floor: float
    share: float
    digits: int

    def __post_init__(self) -> None:
        if self.name not in PackGauges.__dataclass_fields__:
            raise ValueError(f"{self.name} is gauged by nobody")


QUANTITIES: Final[tuple[Quantity, ...]] = (
    # The slope of the OCV curve differs by 10-30 % from cell to cell and along the curve, so a
    # constant lack of charge seems to change while the pack is ridden.
    Quantity("rest_pct", floor=0.15, share=0.1, digits=3),
    # Resistance changes by some 1 % a degree; what is beyond the median's changes with it.
    Quantity("extra_mohm", floor=0.5, share=0.1, digits=2),
    Quantity("median_mohm", floor=1.0, share=0.1, digits=2),
    Quantity("drift_pct_per_h", floor=0.005, share=0.1, digits=4),
    Quantity("capacity_mah", floor=0.0, share=0.03, digits=0),
)

by_name: Final[Mapping[str, Quantity]] = MappingProxyType({row.name: row for row in QUANTITIES})
