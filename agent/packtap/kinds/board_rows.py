"""Event kinds of board, sensors, link and clock, floor 1. Source: events.md section 2."""

from typing import Final

from packtap.kinds.kind import SERVICE, Kind
from packtap.model import Severity

__all__ = ["ROWS"]

ROWS: Final[tuple[Kind, ...]] = (
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
        action=f"Do not ride or charge until the cause is known. {SERVICE}",
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
)
