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
        "vendor's firmware), to so many of them (three at least) that this line does not lose them "
        "by accident; a line without requests is no loss",
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
        name="bms_comm_intermittent",
        severity=Severity.WARNING,
        per_cell=False,
        needs=(),
        unit="",
        raised="three gaps of a second or more within ten minutes, each with at least three "
        "requests unanswered (more on a line that loses single replies) and a reply behind it; "
        "knocks that wake a sleeping board, and the quarter of its second requests that an ES2 "
        "leaves open, are none",
        cleared="ten minutes without a gap",
        seen="The BMS fell silent and came back {value} times within ten minutes",
        meaning="A contact that opens and closes: data plug, wire, or the supply of the board.",
        action="Check the data connector; move the wire by hand and watch whether it answers.",
    ),
    Kind(
        name="frozen_readings",
        severity=Severity.CRITICAL,
        per_cell=False,
        needs=("current_a", "cell_voltages_mv"),
        unit="s",
        raised="the same picture for more than 30 s: the state while at least 0.3 A flow, the "
        "cells while the current changes, or the cells at rest in at least 30 readings (sound "
        "cells flicker by 1 mV)",
        cleared="a reading that differs",
        seen="The BMS has repeated the same readings for {value} s (limit {limit} s)",
        meaning="The board answers but no longer measures: it protects nothing.",
        action=f"Do not ride or charge. {SERVICE}",
    ),
    Kind(
        name="implausible_data",
        severity=Severity.WARNING,
        per_cell=False,
        needs=(),
        unit="",
        raised="two readings within ten minutes, or three words of one, that no pack can have "
        "(a cell above 6.5 V without the mirror of an open wire beside it, more than 105 %, more "
        "than 150 A, a pack below 5 V or above 80 V, or 1.5 times off the sum of its cells), or "
        "an emulator's constants",
        cleared="ten minutes without one",
        seen="The BMS reports what cannot be: {detail}",
        meaning="Broken firmware, a broken measuring chip, or an emulator instead of a BMS.",
        action=f"Trust none of its readings. {SERVICE}",
    ),
    Kind(
        name="timestamp_anomaly",
        severity=Severity.INFO,
        per_cell=False,
        needs=(),
        unit="s",
        raised="the recorder's clock ran back by more than a second or leapt by more than a "
        "hundred days within a capture",
        cleared="a minute without another step",
        seen="The recorder's clock stepped {detail}",
        meaning="Not the pack: the clock of the recording device was set.",
        action="Give the recorder a network or a clock with a battery.",
    ),
    Kind(
        name="over_temperature",
        severity=Severity.CRITICAL,
        per_cell=False,
        needs=("temperature_1_c", "temperature_2_c"),
        unit="degC",
        raised="60 degC or more, 55 while charging, for 2 s in two readings; both sensors must be "
        "believable",
        cleared="below 52 degC for a minute",
        seen="The pack is at {value} degC (limit {limit})",
        meaning="Heat ages cells quickly, and from about 80 degC on they can run away.",
        action=f"Stop and let it cool down away from anything that burns. {SERVICE}",
    ),
    Kind(
        name="under_temperature",
        severity=Severity.WARNING,
        per_cell=False,
        needs=("temperature_1_c", "temperature_2_c"),
        unit="degC",
        raised="-10 degC or less, or charging below 0 degC, for 10 s; both sensors must be "
        "believable",
        cleared="above 3 degC for a minute",
        seen="The pack is at {value} degC (limit {limit})",
        meaning="A cold pack sags and gives less; charging it below 0 degC damages the cells.",
        action="Warm the pack up to room temperature before charging.",
    ),
    Kind(
        name="over_current",
        severity=Severity.WARNING,
        per_cell=False,
        needs=("current_a",),
        unit="A",
        raised="more than 35 A out of the pack, or 10 A into it, for 5 s in three readings",
        cleared="below nine tenths of it for 5 s",
        seen="{value} A have flowed for more than 5 s (limit {limit} A)",
        meaning="More than cells and joints of this pack are made for.",
        action="Check motor, controller and charger; a changed controller firmware asks for more.",
    ),
    Kind(
        name="temp_sensor_fault",
        severity=Severity.WARNING,
        per_cell=False,
        needs=("temperature_1_c", "temperature_2_c"),
        unit="K",
        raised="one sensor at its end stop (raw 0 or 255) more than 10 K from the other in two "
        "readings in a row, a jump by more than 10 K between two reads that stays for 2 s or "
        "comes back twice within ten minutes, one constant for 5 minutes while the other moved "
        "8 K away, or 20 K between them for a minute",
        cleared="none of that for a minute",
        seen="A temperature sensor is wrong: {detail}",
        meaning="The board cannot see whether the pack is too hot or too cold.",
        action=SERVICE,
    ),
    Kind(
        name="charge_blocked",
        severity=Severity.WARNING,
        per_cell=False,
        needs=("status", "current_a", "cell_voltages_mv", "temperature_1_c", "temperature_2_c"),
        unit="s",
        raised="charger inserted (status bit 7) and less than 0.2 A for more than 60 s although "
        "every cell is between 2.80 and 4.10 V, both temperatures are 0-45 degC, the cells' "
        "readings live and no charge has just ended",
        cleared="charge current flows",
        seen="The charger has been plugged in for {value} s and no current flows",
        meaning="The board, its switch or the charge line keeps a sound pack from charging.",
        action="Try another charger and look at the charging plug; then the board.",
    ),
)
