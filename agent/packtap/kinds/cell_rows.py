"""Event kinds of single cells and of the wires to them, floor 1. Source: events.md section 2."""

from typing import Final

from packtap.kinds.kind import PACK, SERVICE, STOP, Kind
from packtap.model import Severity

__all__ = ["ROWS"]

ROWS: Final[tuple[Kind, ...]] = (
    Kind(
        name="cell_overvoltage",
        severity=Severity.CRITICAL,
        per_cell=True,
        needs=("cell_voltages_mv",),
        unit="mV",
        limits=("cell_overvoltage_mv", "cell_overvoltage_clear_mv", "cell_limit_s"),
        raised=f"above {PACK.cell_overvoltage_mv} mV for {PACK.cell_limit_s:g} s; not from a cell "
        "whose sense wire errs",
        cleared=f"below {PACK.cell_overvoltage_clear_mv} mV for 5 s",
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
        limits=("cell_undervoltage_mv", "cell_undervoltage_clear_mv", "cell_limit_s"),
        raised=f"below {PACK.cell_undervoltage_mv} mV for {PACK.cell_limit_s:g} s; not from a cell "
        "whose sense wire errs, nor at rest when the whole pack is empty (deep_discharge)",
        cleared=f"above {PACK.cell_undervoltage_clear_mv} mV for 5 s",
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
        limits=("cell_imbalance_pct", "cell_imbalance_clear_pct", "rest_current_a", "rest_s"),
        raised=f"at rest (below {PACK.rest_current_a:g} A for {PACK.rest_s:g} s, or a pack on the "
        f"bench) one cell's state of charge is {PACK.cell_imbalance_pct:g} points off the median "
        "(30-45 mV above 3.5 V) in three readings; a bleeding cell gets 60 mV of allowance, "
        "others 40 mV for each bleeding neighbour",
        cleared=f"within {PACK.cell_imbalance_clear_pct:g} points at rest for 60 s",
        seen="Cell {cell} is {detail} at rest, {value} points of charge off the others "
        "(limit {limit})",
        meaning="This cell is charged differently from the rest, so the pack stops early.",
        action="Unless something critical is raised: charge fully and leave it plugged in for "
        f"some hours; if it returns: {SERVICE}",
    ),
    Kind(
        name="weak_cell",
        severity=Severity.WARNING,
        per_cell=True,
        needs=("cell_voltages_mv", "current_a"),
        unit="%",
        limits=("weak_cell_pct", "weak_cell_clear_pct"),
        raised="the cell's deviation in state of charge, without current, grows with the charge "
        f"drawn: over at least 12 % of the pack's charge, as a cell of less than "
        f"{PACK.weak_cell_pct:g} % of the others' capacity does, five standard errors from none "
        "and four times the usual spread",
        cleared=f"as a cell of more than {PACK.weak_cell_clear_pct:g} % does, over 30 % of the "
        "pack's charge",
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
        limits=("high_resistance_cell_mohm", "high_resistance_cell_pct"),
        raised="the cell's deviation is proportional to the current: its extra resistance, less "
        f"two standard errors, is above {PACK.high_resistance_cell_mohm:g} mohm and above "
        f"{PACK.high_resistance_cell_pct:g} % of the median cell's plus 2 mohm, for 10 s",
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
        limits=("self_discharge_pct_per_h",),
        raised="after an hour of rest, from burst to burst at least half an hour apart, the cell "
        "loses 0.6 points of charge against the others (0.35 in the third burst running), faster "
        f"than {PACK.self_discharge_pct_per_h:g} points an hour and five times the others' own "
        "changes; only bursts in which the same cells bleed are compared",
        cleared="by two days of one unbroken rest in which the loss, five standard errors added, "
        "stays below a fifth of that rate, in two bursts running: a soft short comes and goes with "
        "warmth and charge, and nothing shorter shows that it is gone",
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
        limits=("dead_cell_mv", "dead_cell_clear_mv"),
        raised=f"below {PACK.dead_cell_mv} mV for 1.5 s while the pack voltage agrees with the sum "
        "of the cells; if it does not, the wire is open and the cell may live",
        cleared=f"above {PACK.dead_cell_clear_mv} mV for 10 s",
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
        limits=("open_balance_wire_mv",),
        raised=f"two neighbouring cells err by more than {PACK.open_balance_wire_mv:g} mV in "
        "opposite directions, equally to 12 % plus 25 mV (or clipped at full scale), and no "
        "other: in two readings within 5 minutes",
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
        limits=("moisture_mv",),
        raised=f"four or more neighbouring cells wander by more than {PACK.moisture_mv:g} mV from "
        "reading to reading at steady current and cancel each other, for 5 s in 6 readings; "
        "while cells bleed, in 60 % of all readings; at rest also from 5 s to 5 s",
        cleared="ten minutes without",
        seen="Neighbouring cells wander by {value} mV from reading to reading (limit {limit} mV): "
        "{detail}",
        meaning="Water or corrosion between the sense wires; it spreads, and can short the wires.",
        action=f"Do not charge; let it dry in fresh air. {SERVICE}",
    ),
)
