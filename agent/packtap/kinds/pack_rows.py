"""Event kinds of the pack as a whole, floor 1. Source: events.md section 2."""

from typing import Final

from packtap.kinds.kind import PACK, SERVICE, Kind
from packtap.model import Severity

__all__ = ["ROWS"]

ROWS: Final[tuple[Kind, ...]] = (
    Kind(
        name="deep_discharge",
        severity=Severity.CRITICAL,
        per_cell=False,
        needs=("cell_voltages_mv",),
        unit="mV",
        limits=("deep_discharge_mv", "deep_discharge_rest_mv", "deep_discharge_clear_mv"),
        raised=f"median cell below {PACK.deep_discharge_mv} mV for 1.5 s, or below "
        f"{PACK.deep_discharge_rest_mv} mV at rest with status bit 8 or 14 set, or after a minute "
        "of rest",
        cleared=f"above {PACK.deep_discharge_clear_mv} mV for 10 s",
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
        limits=("voltage_sum_mismatch_mv", "voltage_sum_mismatch_pct"),
        raised="pack voltage and sum of the cells differ by more than "
        f"{PACK.voltage_sum_mismatch_mv:g} mV and {PACK.voltage_sum_mismatch_pct:g} %, beyond what "
        "a moving current explains, for 2 s in three readings, and that without current or "
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
        limits=("high_resistance_connection_mohm",),
        raised="pack voltage minus sum of the cells is proportional to the current: more than "
        f"{PACK.high_resistance_connection_mohm:g} mohm (healthy 2-6), four standard errors from "
        "none, for 4 s in five readings",
        cleared="below 60 % of that for a minute of riding",
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
        limits=(
            "soc_off_pct",
            "soc_off_clear_pct",
            "soc_off_working_pct",
            "soc_stuck_pct",
            "soc_jump_pct",
        ),
        raised="after five minutes of rest (at once on the bench) the percentage is more than "
        f"{PACK.soc_off_pct:g} points from what the resting voltage tells (or "
        f"{PACK.soc_off_working_pct:g} below what the voltage under load proves, or as much above "
        f"what it allows while charging), or it stands still while {PACK.soc_stuck_pct:g} % of the "
        f"pack's charge flow, or it leaps by {PACK.soc_jump_pct:g} points more than can have "
        "flowed between two polls and stays there for 10 s (not to 100 at the end of a charge, not "
        "to or from 0 at the bottom, not across a gap in the answers)",
        cleared=f"within {PACK.soc_off_clear_pct:g} points at rest for a minute; where no cells "
        "are read, an hour without another leap",
        seen="The percentage is wrong: {detail}",
        meaning="The scooter may stop earlier than the display says.",
        action="Unless something critical is raised: charge fully and leave it plugged in for "
        "some hours; the board may relearn.",
    ),
    Kind(
        name="capacity_fade",
        severity=Severity.WARNING,
        per_cell=False,
        needs=("cell_voltages_mv", "current_a", "design_capacity_mah"),
        unit="%",
        limits=("capacity_fade_pct", "capacity_fade_clear_pct"),
        raised="the charge that flowed between two rest points at least 35 points of charge apart "
        f"gives less than {PACK.capacity_fade_pct:g} % of the design capacity (70 %, and half of "
        "the estimate's error)",
        cleared=f"more than {PACK.capacity_fade_clear_pct:g} %",
        seen="The pack holds about {value} % of its design capacity (limit {limit} %)",
        meaning="A worn pack: less range, more sag.",
        action="Plan a replacement.",
    ),
)
