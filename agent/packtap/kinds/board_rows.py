"""Event kinds of board, sensors, link and clock, floor 1. Source: events.md section 2."""

from typing import Final

from packtap.kinds.kind import PACK, SERVICE, Kind
from packtap.model import Severity

__all__ = ["ROWS"]

ROWS: Final[tuple[Kind, ...]] = (
    Kind(
        name="bms_fault_flag",
        severity=Severity.CRITICAL,
        per_cell=False,
        needs=("status",),
        unit="",
        limits=(),
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
        limits=("comm_lost_s",),
        raised=f"requests go on and no valid reply came for {PACK.comm_lost_s:g} s (25 missed "
        "polls of 200 ms in the vendor's firmware), to so many of them (three at least) that this "
        "line does not lose them by accident; a line without requests is no loss",
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
        limits=("bus_noise_pct", "bus_noise_clear_pct"),
        raised="within 60 s at least 3 refused frames, and more than "
        f"{PACK.bus_noise_pct:g} % of what was seen",
        cleared=f"a minute with less than {PACK.bus_noise_clear_pct:g} % refused",
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
        limits=("intermittent_gap_s", "intermittent_gaps", "intermittent_s"),
        raised=f"{PACK.intermittent_gaps} gaps of {PACK.intermittent_gap_s:g} s or more within "
        f"{PACK.intermittent_s:g} s, each with at least three "
        "requests unanswered (more on a line that loses single replies) and a reply behind it; "
        "knocks that wake a sleeping board, and the quarter of its second requests that an ES2 "
        "leaves open, are none",
        cleared=f"{PACK.intermittent_s:g} s without a gap",
        seen="The BMS fell silent and came back {value} times within a short time",
        meaning="A contact that opens and closes: data plug, wire, or the supply of the board.",
        action="Check the data connector; move the wire by hand and watch whether it answers.",
    ),
    Kind(
        name="frozen_readings",
        severity=Severity.CRITICAL,
        per_cell=False,
        needs=("current_a", "cell_voltages_mv"),
        unit="s",
        limits=("frozen_s",),
        raised=f"the same picture for more than {PACK.frozen_s:g} s: the state while at least "
        "0.3 A flow, the cells while the current changes, or the cells at rest in at least 30 "
        "readings (sound cells flicker by 1 mV)",
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
        limits=("implausible_current_a",),
        raised="two readings within ten minutes, or three words of one, that no pack can have "
        "(a cell above 6.5 V without the mirror of an open wire beside it, more than 105 %, more "
        f"than {PACK.implausible_current_a:g} A, a pack below 5 V or above 80 V, or 1.5 times off "
        "the sum of its cells), or an emulator's constants",
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
        limits=(),
        raised="the recorder's clock ran back by more than a second or leapt by more than a "
        "hundred days within a capture; live: it stepped by a second or more against the time "
        "since boot, or stands before the newest stored reading",
        cleared="a minute without another step, or the next one (live)",
        seen="The recorder's clock stepped {detail}",
        meaning="Not the pack: the clock of the recording device was set.",
        action="Give the recorder a network or a clock with a battery.",
        cooldown_s=0.0,  # it is no state of the pack, and each step is worth telling
    ),
    Kind(
        name="over_temperature",
        severity=Severity.CRITICAL,
        per_cell=False,
        needs=("temperature_1_c", "temperature_2_c"),
        unit="degC",
        limits=(
            "over_temperature_c",
            "over_temperature_charging_c",
            "over_temperature_clear_c",
        ),
        raised=f"{PACK.over_temperature_c:g} degC or more, {PACK.over_temperature_charging_c:g} "
        "while charging, for 2 s in two readings; both sensors must be believable",
        cleared=f"below {PACK.over_temperature_clear_c:g} degC for a minute",
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
        limits=(
            "under_temperature_c",
            "under_temperature_charging_c",
            "under_temperature_clear_c",
        ),
        raised=f"{PACK.under_temperature_c:g} degC or less, or charging below "
        f"{PACK.under_temperature_charging_c:g} degC, for 10 s; both sensors must be believable",
        cleared=f"above {PACK.under_temperature_clear_c:g} degC for a minute",
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
        limits=("over_current_a", "over_current_charging_a", "over_current_s"),
        raised=f"more than {PACK.over_current_a:g} A out of the pack, or "
        f"{PACK.over_current_charging_a:g} A into it, for {PACK.over_current_s:g} s in three "
        "readings",
        cleared="below nine tenths of it for as long",
        seen="{value} A have flowed for longer than a peak (limit {limit} A)",
        meaning="More than cells and joints of this pack are made for.",
        action="Check motor, controller and charger; a changed controller firmware asks for more.",
    ),
    Kind(
        name="temp_sensor_fault",
        severity=Severity.WARNING,
        per_cell=False,
        needs=("temperature_1_c", "temperature_2_c"),
        unit="K",
        limits=(
            "temp_sensors_apart_k",
            "temp_sensor_stuck_k",
            "temp_sensor_stuck_s",
            "temp_sensor_jump_k",
        ),
        raised="one sensor at its end stop (raw 0 or 255) more than 10 K from the other in two "
        f"readings in a row, a jump by more than {PACK.temp_sensor_jump_k:g} K between two reads "
        "that stays for 2 s or comes back twice within ten minutes, one constant for "
        f"{PACK.temp_sensor_stuck_s:g} s while the other moved {PACK.temp_sensor_stuck_k:g} K "
        f"away, or {PACK.temp_sensors_apart_k:g} K between them for a minute",
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
        limits=(
            "charge_blocked_s",
            "charge_blocked_a",
            "charge_blocked_empty_mv",
            "charge_blocked_full_mv",
            "charge_blocked_cold_c",
            "charge_blocked_hot_c",
        ),
        raised=f"charger inserted (status bit 7) and less than {PACK.charge_blocked_a:g} A for "
        f"more than {PACK.charge_blocked_s:g} s although every cell is between "
        f"{PACK.charge_blocked_empty_mv} and {PACK.charge_blocked_full_mv} mV, both temperatures "
        f"are {PACK.charge_blocked_cold_c:g}-{PACK.charge_blocked_hot_c:g} degC, the cells' "
        "readings live and no charge has just ended; less than 50 mV below that limit, where a "
        "full pack relaxes to, only if the charger was seen to be plugged in, status bit 9 is "
        "clear and the board says less than 95 %",
        cleared="charge current flows",
        seen="The charger has been plugged in for {value} s and no current flows",
        meaning="The board, its switch or the charge line keeps a sound pack from charging.",
        action="Try another charger and look at the charging plug; then the board.",
    ),
)
