"""Event kinds of the pack as a whole, floor 1. Source: events.md section 2."""

from typing import Final

from packtap.kinds.kind import SERVICE, Kind
from packtap.model import Severity

__all__ = ["ROWS"]

ROWS: Final[tuple[Kind, ...]] = (
    Kind(
        name="deep_discharge",
        severity=Severity.CRITICAL,
        per_cell=False,
        needs=("cell_voltages_mv",),
        unit="mV",
        raised="median cell below 2500 mV for 2 s, or below 2800 mV at rest with status bit 8 or "
        "14 set, or after a minute of rest",
        cleared="above 3000 mV for 10 s",
        seen="The whole pack is empty: the median cell is at {value} mV (limit {limit} mV)",
        meaning="Cells that stay this low corrode inside; charging them again may be unsafe.",
        action=f"Do not charge. {SERVICE}",
    ),
    Kind(
        name="voltage_sum_mismatch",
        severity=Severity.WARNING,
        per_cell=False,
        needs=("cell_voltages_mv", "voltage_v"),
        unit="mV",
        raised="pack voltage and sum of the cells differ by more than 300 mV and 0.8 %, beyond "
        "what a moving current explains, for 2 s in three readings, and that without current or "
        "the same at 40 % more current",
        cleared="not for a minute",
        seen="The pack voltage differs from the sum of its cells by {value} mV (limit {limit} mV)",
        meaning="The board measures one of them wrongly, or a wire to it has a contact problem.",
        action=SERVICE,
    ),
    Kind(
        name="high_resistance_connection",
        severity=Severity.WARNING,
        per_cell=False,
        needs=("cell_voltages_mv", "voltage_v", "current_a"),
        unit="mohm",
        raised="pack voltage minus sum of the cells is proportional to the current: more than "
        "15 mohm (healthy 2-6), four standard errors from none, for 4 s in five readings",
        cleared="below 9 mohm for a minute of riding",
        seen="A joint between the cells and the board has {value} mohm (limit {limit} mohm)",
        meaning="A loose or corroded joint: it heats up under load.",
        action=f"Ride gently. {SERVICE}",
    ),
    Kind(
        name="soc_miscalibration",
        severity=Severity.WARNING,
        per_cell=False,
        needs=("soc_pct", "cell_voltages_mv", "current_a"),
        unit="%",
        raised="after five minutes of rest (at once on the bench) the percentage is more than 13 "
        "points from what the resting voltage tells (or 18 below what the voltage under load "
        "proves, or 18 above what it allows while charging), or it stands still while 8 % of the "
        "pack's charge flow",
        cleared="within 9 points at rest for a minute",
        seen="The percentage is wrong: {detail}",
        meaning="The scooter may stop earlier than the display says.",
        action="Charge fully and leave it plugged in for some hours; the board may relearn.",
    ),
    Kind(
        name="capacity_fade",
        severity=Severity.WARNING,
        per_cell=False,
        needs=("cell_voltages_mv", "current_a", "design_capacity_mah"),
        unit="%",
        raised="the charge that flowed between two rest points at least 35 points of charge apart "
        "gives less than 74 % of the design capacity (70 %, and half of the estimate's error)",
        cleared="more than 82 %",
        seen="The pack holds about {value} % of its design capacity (limit {limit} %)",
        meaning="A worn pack: less range, more sag.",
        action="Plan a replacement.",
    ),
)
