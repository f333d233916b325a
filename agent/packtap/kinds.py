"""The rows of event kinds, floor 1: the only description of what packtap raises.

The command `packtap events`, the words shown to people, the severity on the wire and the document
are derived from these rows. Thresholds are the defaults of `packtap.config`; their sources stand
in the rows. Source of kinds and severities: events.md section 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from packtap.model import Severity

__all__ = ["KINDS", "Kind", "by_name"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event.

    Attributes:
        name: the name on the wire, in the store and in every panel.
        severity: how much it matters.
        per_cell: an event of this kind names one cell.
        needs: register rows without which it cannot be judged.
        unit: of value and limit; "" where the kind has no number.
        raised: when it is raised, in words, with the source of the numbers.
        cleared: when it is cleared, in words.
        seen: template of the sentence that says what was seen ({cell} {value} {limit} {detail}).
        meaning: what that means.
        action: what to do. Never tells a layman to open a pack.
    """

    name: str
    severity: Severity
    per_cell: bool
    needs: tuple[str, ...]
    unit: str
    raised: str
    cleared: str
    seen: str
    meaning: str
    action: str

    def sentence(
        self,
        cell: int | None = None,
        value: float | None = None,
        limit: float | None = None,
        detail: str = "",
    ) -> str:
        """Return what was seen, what it means and what to do, for people."""
        seen = self.seen.format(
            cell=cell, value=_number(value), limit=_number(limit), detail=detail
        )
        return f"{seen}. {self.meaning} {self.action}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}".removesuffix(".0")


_STOP = "Stop using and charging the scooter; keep it away from anything that burns."
_SERVICE = "Have the pack checked by qualified service."

KINDS: Final[tuple[Kind, ...]] = (
    Kind(
        name="bms_fault_flag",
        severity=Severity.CRITICAL,
        per_cell=False,
        needs=("status",),
        unit="",
        raised="status 0x30 has bit 0 cleared, or bit 8, 10, 13 or 14 set, in two readings in a "
        "row (one corrupted frame can pass the additive checksum); bit 9 alone is normal",
        cleared="no fault bit in readings spanning 5 s",
        seen="The BMS itself reports a fault: {detail}",
        meaning="The protection board has found something wrong, or is itself wrong.",
        action=f"Do not ride or charge until the cause is known. {_SERVICE}",
    ),
    Kind(
        name="bms_comm_lost",
        severity=Severity.CRITICAL,
        per_cell=False,
        needs=(),
        unit="s",
        raised="requests go on and no valid reply came for 5 s (25 missed polls of 200 ms in the "
        "vendor's firmware); a line without requests is no loss",
        cleared="replies again for 2 s",
        seen="The BMS has not answered for {value} s although it is asked (limit {limit} s)",
        meaning="Board without supply or defective, data wires broken, or an empty pack.",
        action="Check the data connector; if it stays silent, have the pack voltage measured "
        "by qualified service.",
    ),
    Kind(
        name="bus_noise",
        severity=Severity.INFO,
        per_cell=False,
        needs=(),
        unit="%",
        raised="within 60 s at least 3 refused frames, and more than 1 % of what was seen",
        cleared="a minute with less than 0.5 % refused",
        seen="{value} % of what the line carried was damaged (background is below 0.1 %)",
        meaning="Collisions, a loose contact or interference on the data line.",
        action="Look at connectors, ground and the length of the tap's wires.",
    ),
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
        action=f"Unplug the charger now. {_STOP}",
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
        action=f"Stop riding. {_SERVICE}",
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
        action=f"Charge fully and leave it plugged in for some hours; if it returns: {_SERVICE}",
    ),
)

by_name: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in KINDS})
