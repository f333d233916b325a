"""Open-circuit voltage of an NMC/NCA 18650 cell against its state of charge, floor 2.

One typical curve at 25 degC, between published pseudo-OCV measurements (C/20 to C/32) of NMC and
NCA cells; tables of different makers differ by up to 5 points. It serves to turn a voltage
difference at rest into a difference of charge: that number is comparable at 3.2 V (30-60 mV a
point) and at 3.7 V (7-10 mV a point), a number of millivolts is not. Source of the idea: events.md
section 7.
"""

from bisect import bisect_right
from typing import Final

__all__ = ["soc_from_ocv_pct"]

_SOC_PCT: Final = (
    0, 1, 2, 3, 5, 7.5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100,
)  # fmt: skip
_OCV_MV: Final = (
    2900, 2990, 3060, 3115, 3200, 3275, 3335, 3415, 3475, 3525, 3575, 3618, 3654, 3692, 3735, 3782,
    3832, 3884, 3932, 3978, 4022, 4062, 4096, 4135, 4195,
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
