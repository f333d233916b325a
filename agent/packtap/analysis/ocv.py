"""Open-circuit voltage of an NMC/NCA 18650 cell against its state of charge, floor 2.

One typical curve at 25 degC, rounded from published pseudo-OCV measurements (C/20 to C/32);
tables of different makers differ by up to 5 points. It serves to turn a voltage difference at rest
into a difference of charge: that number is comparable at 3.2 V (30-60 mV a point) and at 3.7 V
(7-10 mV a point), a number of millivolts is not. Source of the idea: events.md section 7.
"""

from bisect import bisect_right
from typing import Final

__all__ = ["soc_from_ocv_pct"]

_SOC_PCT: Final = (0, 1, 2, 3, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100)
_OCV_MV: Final = (
    2800, 2950, 3050, 3130, 3250, 3400, 3500, 3570, 3620, 3680, 3780, 3880, 3980, 4070, 4120, 4190,
)  # fmt: skip


def soc_from_ocv_pct(millivolts: float) -> float:
    """Return the state of charge that a rested cell of this voltage has.

    Args:
        millivolts: voltage at rest.

    Returns:
        Percent; outside the table the first or last slope goes on (below 0 %, above 100 %), so
        that a difference of two results keeps its meaning there.
    """
    right = min(max(bisect_right(_OCV_MV, millivolts), 1), len(_OCV_MV) - 1)
    low_mv, high_mv = _OCV_MV[right - 1], _OCV_MV[right]
    low_pct, high_pct = _SOC_PCT[right - 1], _SOC_PCT[right]
    return low_pct + (millivolts - low_mv) * (high_pct - low_pct) / (high_mv - low_mv)
