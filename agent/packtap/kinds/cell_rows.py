"""Event kinds of single cells and of the wires to them, floor 1. Source: events.md section 2."""

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
        raised="above 4250 mV for 2 s; not from a cell whose sense wire errs",
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
        raised="below 2800 mV for 2 s; not from a cell whose sense wire errs, nor at rest when "
        "the whole pack is that low",
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
        raised="at rest (below 0.3 A for a minute, or a pack on the bench) one cell's "
        "state of charge is 4.5 points off the median (30-45 mV above 3.5 V) in three readings; "
        "a bleeding cell gets 60 mV of allowance and its neighbours 40 mV",
        cleared="within 3 points at rest for 60 s",
        seen="Cell {cell} is {detail} at rest, {value} points of charge off the others "
        "(limit {limit})",
        meaning="This cell is charged differently from the rest, so the pack stops early.",
        action=f"Charge fully and leave it plugged in for some hours; if it returns: {SERVICE}",
    ),
    Kind(
        name="weak_cell",
        severity=Severity.WARNING,
        per_cell=True,
        needs=("cell_voltages_mv", "current_a"),
        unit="%",
        raised="the cell's deviation in state of charge, without current, grows with the charge "
        "drawn: over at least 12 % of the pack's charge, as a cell of less than 88 % of the "
        "others' capacity does, five standard errors from none and four times the usual spread",
        cleared="less than half of that over 30 % of the pack's charge",
        seen="Cell {cell} empties faster than the others: it holds about {value} % of their charge "
        "(limit {limit} %)",
        meaning="A worn group: it empties first and is then discharged too deeply.",
        action=f"Do not ride the pack empty. {SERVICE}",
    ),
    Kind(
        name="high_resistance_cell",
        severity=Severity.WARNING,
        per_cell=True,
        needs=("cell_voltages_mv", "current_a"),
        unit="mohm",
        raised="the cell's deviation is proportional to the current: its extra resistance, less "
        "two standard errors, is above 6.5 mohm and above 40 % of the median cell's plus 2 mohm, "
        "for 10 s",
        cleared="below 60 % of that for a minute of riding",
        seen="Cell {cell} has {value} mohm more than the others (limit {limit} mohm)",
        meaning="A worn group, or a bad weld beside it: it heats up and sags under load.",
        action=f"Ride gently. {SERVICE}",
    ),
    Kind(
        name="self_discharge_cell",
        severity=Severity.CRITICAL,
        per_cell=True,
        needs=("cell_voltages_mv", "current_a"),
        unit="%/h",
        raised="after an hour of rest, from burst to burst at least half an hour apart, the cell "
        "loses 0.6 points of charge against the others (0.35 in the third burst running), faster "
        "than 0.05 points an hour and five times the others' own changes; bleeding cells left out",
        cleared="never by itself",
        seen="Cell {cell} loses {value} % of charge per hour at rest (limit {limit})",
        meaning="An internal short: such a cell can heat up without warning.",
        action=STOP,
    ),
    Kind(
        name="dead_cell",
        severity=Severity.CRITICAL,
        per_cell=True,
        needs=("cell_voltages_mv", "voltage_v"),
        unit="mV",
        raised="below 1000 mV for 2 s while the pack voltage agrees with the sum of the cells; "
        "if it does not, the wire is open and the cell may live",
        cleared="above 2000 mV for 10 s",
        seen="Cell {cell} is at {value} mV (limit {limit} mV), and the pack voltage confirms it",
        meaning="The group has collapsed; charging it is dangerous.",
        action=STOP,
    ),
    Kind(
        name="open_balance_wire",
        severity=Severity.CRITICAL,
        per_cell=True,
        needs=("cell_voltages_mv",),
        unit="mV",
        raised="two neighbouring cells err by more than 150 mV in opposite directions, equally to "
        "12 % plus 25 mV (or clipped at full scale), and no other: in two readings within 5 "
        "minutes",
        cleared="ten minutes without such a reading",
        seen="The sense wire between two cells is open or loose: {detail}",
        meaning="The board cannot see these cells, so nothing protects them.",
        action=f"Do not charge. {SERVICE}",
    ),
    Kind(
        name="moisture_suspected",
        severity=Severity.WARNING,
        per_cell=False,
        needs=("cell_voltages_mv", "current_a"),
        unit="mV",
        raised="four or more neighbouring cells wander by more than 8 mV from reading to reading "
        "at steady current and cancel each other, for 5 s in 6 readings; while cells bleed, in "
        "60 % of all readings",
        cleared="ten minutes without",
        seen="Neighbouring cells wander by {value} mV from reading to reading (limit {limit} mV): "
        "{detail}",
        meaning="Water or corrosion between the sense wires; it spreads, and can short the wires.",
        action=f"Do not charge; let it dry in fresh air. {SERVICE}",
    ),
)
