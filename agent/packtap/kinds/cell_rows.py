"""Event kinds of cells and of the pack as a whole, floor 1. Source: events.md section 2."""

from typing import Final

from packtap.kinds.kind import SERVICE, STOP, Kind
from packtap.model import Severity

__all__ = ["ROWS"]

ROWS: Final[tuple[Kind, ...]] = (
    Kind(
        name="cell_overvoltage",
        severity=Severity.CRITICAL,
        per_cell=True,
        needs=("cell_voltages_mv",),
        unit="mV",
        raised="above 4250 mV for 2 s",
        cleared="below 4200 mV for 5 s",
        seen="Cell {cell} is at {value} mV, above {limit} mV",
        meaning="An overcharged lithium cell can catch fire.",
        action=f"Unplug the charger now. {STOP}",
    ),
    Kind(
        name="cell_undervoltage",
        severity=Severity.CRITICAL,
        per_cell=True,
        needs=("cell_voltages_mv",),
        unit="mV",
        raised="below 2800 mV for 2 s",
        cleared="above 3000 mV for 5 s",
        seen="Cell {cell} is at {value} mV, below {limit} mV",
        meaning="A cell this low is empty, weak or damaged; charging it again may be unsafe.",
        action=f"Stop riding. {SERVICE}",
    ),
    Kind(
        name="cell_imbalance",
        severity=Severity.WARNING,
        per_cell=True,
        needs=("cell_voltages_mv", "current_a"),
        unit="%",
        raised="at rest (below 0.3 A for 3 minutes, or a pack on the bench) one cell's "
        "state of charge is 10 points off the median for 10 s; a bleeding cell is left out",
        cleared="within 7 points at rest for 60 s",
        seen="Cell {cell} is {detail} at rest, {value} points of charge off the others "
        "(limit {limit})",
        meaning="This cell is charged differently from the rest, so the pack stops early.",
        action=f"Charge fully and leave it plugged in for some hours; if it returns: {SERVICE}",
    ),
)
