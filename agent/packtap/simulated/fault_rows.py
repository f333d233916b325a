"""What can be wrong with a simulated scooter's battery, as rows, floor 2.

Ranges come from the sources of events.md sections 2, 3, 5 and 6 and the reasons beside each row;
none was looked up in, or fitted to, labelled captures.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from packtap.simulated import strikes
from packtap.simulated.faults import USUAL, Fault, FaultRow

__all__ = ["FAULTS", "parse_fault"]

_BOARD: Final = ("bms_board",)
_CELLS: Final = ("cell_damage",)
_LINE: Final = ("connection",)
_FLAG: Final = frozenset({"bms_fault_flag"})

_ROWS: Final = (
    FaultRow(
        "bms_fault_flag",
        "the board shows a fault that no reading supports: bit 0 cleared, then 8, 13, 14",
        "", 0, 1, "ride", strikes.flag, _BOARD, 30, onset_s=60, seconds=240,
    ),
    FaultRow(
        "charge_blocked",
        "the charge switch does not close: a charger is there, nothing flows",
        "", 0, 1, "charge", strikes.block_charge, ("bms_board", "connection"), 200,
        seconds=400,
    ),
    FaultRow(
        "bms_comm_lost", "the board answers nothing any more",
        "", 0, 1, "ride", strikes.silence, ("bms_board", "connection"), 30, onset_s=60,
        seconds=180,
    ),
    FaultRow(
        "bms_comm_intermittent", "the data plug loses contact for seconds, when shaken",
        # three in ten minutes are the least that counts (events.md section 2)
        "gaps in ten minutes", 8, 60, "ride", strikes.loosen_plug, _LINE, 900,
        onset_s=30, seconds=1000, also=frozenset({"bms_comm_lost", "bus_noise"}),
    ),
    FaultRow(
        "bus_noise", "bytes are damaged on the line",
        # a frame has 10-40 bytes: one frame in a hundred, to one in three
        "damaged share of bytes", 0.0006, 0.012, "ride", strikes.noise,
        ("connection", "none"), 300, onset_s=30, seconds=400,
    ),
    FaultRow(
        "frozen_readings", "registers stand still: below severity 0.35 those of the cells",
        "", 0, 1, "ride", strikes.freeze, _BOARD, 120, onset_s=60, seconds=300,
    ),
    FaultRow(
        "implausible_data", "now and then registers hold nonsense under a valid checksum",
        "share of cycles", 0.02, 0.5, "ride", strikes.garbage, _BOARD, 240, onset_s=60,
        seconds=360, also=_FLAG,
    ),
    FaultRow(
        "timestamp_anomaly", "the recorder's clock is set back",
        "s", -3600, -1.7e9, "ride", strikes.step_clock, ("none",), 30, onset_s=60, seconds=180,
        capture_only=True,
    ),
    FaultRow(
        "timestamp_anomaly-leap", "the recorder's clock is set right: it leaps by years",
        "s", 3.0e8, 1.7e9, "ride", strikes.step_clock, ("none",), 30, onset_s=60, seconds=180,
        capture_only=True,
    ),
    FaultRow(
        "voltage_sum_mismatch", "the board's divider for the pack voltage is off",
        # channels are good to 1 %: twice that is a fault (30 mV a cell and more)
        "%", 1.6, 8, "ride", strikes.pack_gain, ("bms_board",), 200, onset_s=30, seconds=400,
    ),
    FaultRow(
        "high_resistance_connection", "a joint between the stack and the board",
        # sound joints 2-6 mohm; 20 mohm at 15 A burn 4 W, 150 mohm burn the connector
        "mohm", 20, 150, "ride", strikes.joint, _LINE, 500, onset_s=60, seconds=700,
        also=frozenset({"voltage_sum_mismatch"}),
    ),
    FaultRow(
        "cell_imbalance", "one group holds less charge",
        # suspect from 30-50 mV at rest above 3.5 V, a fault from 80-100 mV (section 6)
        "mV at rest", 60, 350, "rest", strikes.less_charge, ("cell_damage", "calibration"), 200,
        per_cell=True, seconds=300, also=_FLAG,
    ),
    FaultRow(
        "weak_cell", "one group has lost capacity",
        # worn out below 0.8; three sigma of aged cells is 0.91
        "of its capacity", 0.82, 0.5, "trip", strikes.less_capacity, _CELLS, 9000,
        per_cell=True,
        also=frozenset({"cell_imbalance", "cell_undervoltage", "high_resistance_cell",
                        "bms_fault_flag", "dead_cell"}),
    ),
    FaultRow(
        "high_resistance_cell", "a weld or tab in one group's sense span",
        # a group has 8-20 mohm; welds that fail add as much and more
        "mohm", 14, 70, "ride", strikes.more_resistance, _CELLS, 500, onset_s=60,
        per_cell=True, seconds=700, also=frozenset({"cell_undervoltage"}),
    ),
    FaultRow(
        "self_discharge_cell", "a soft internal short across one group",
        # the 100 ohm class of the papers (section 7) down to what warms the cell by hand
        "ohm", 100, 12, "park", strikes.leak, _CELLS, 36000, per_cell=True,
        also=frozenset({"cell_imbalance", "bms_fault_flag"}),
    ),
    FaultRow(
        "dead_cell", "a group is gone: almost nothing is left of its voltage",
        "mV", 600, 0, "ride", strikes.die, _CELLS, 60, onset_s=60, per_cell=True, seconds=180,
        also=frozenset({"cell_undervoltage", "bms_fault_flag", "cell_imbalance"}),
    ),
    FaultRow(
        "cell_undervoltage", "a hard internal short empties a group within minutes",
        "mV left at rest", 2450, 1400, "ride", strikes.short, _CELLS, 90, onset_s=60,
        per_cell=True, seconds=150,
        also=frozenset({"bms_fault_flag", "dead_cell", "cell_imbalance"}),
    ),
    FaultRow(
        "open_balance_wire", "a sense wire is broken: its node floats away",
        # from a bad crimp's few hundred mV to a pull that leaves nothing of one group
        "mV", 250, 3900, "ride", strikes.open_wire, _LINE, 60, onset_s=60, per_cell=True,
        seconds=240,
        also=frozenset({"cell_overvoltage", "cell_undervoltage", "bms_fault_flag"}),
    ),
    FaultRow(
        "open_balance_wire-loose", "a sense wire opens for seconds, when shaken",
        "times in ten minutes", 12, 60, "ride", strikes.loose_wire, _LINE, 500, onset_s=30,
        per_cell=True, seconds=600,
        also=frozenset({"cell_overvoltage", "cell_undervoltage", "bms_fault_flag",
                        "cell_imbalance"}),
    ),
    FaultRow(
        "cell_overvoltage", "a board that does not end the charge, and a group ahead",
        # a point is 9 mV up there, and the charger stops at 4.17-4.20 V on average
        "% ahead", 11, 20, "charge", strikes.overcharge,
        ("cell_damage", "calibration", "bms_board"), 7200, per_cell=True, soc_pct=90.0,
        seconds=3600,
        also=frozenset({"cell_imbalance", "bms_fault_flag"}),
    ),
    FaultRow(
        "cell_overvoltage-all", "the wrong charger, and a board that does not end it",
        "mV a group", 4290, 4400, "charge", strikes.overcharge_all,
        ("bms_board", "cell_damage", "calibration"), 7200, soc_pct=96.0, seconds=7200,
        also=_FLAG,
    ),
    FaultRow(
        "cell_overvoltage-rest", "one group was overcharged, and still is",
        "mV", 4275, 4400, "bench", strikes.overcharged,
        ("cell_damage", "calibration", "bms_board"), 50, per_cell=True, soc_pct=97.0,
        also=frozenset({"cell_imbalance", "bms_fault_flag"}),
    ),
    FaultRow(
        "deep_discharge", "the whole pack was drained far below empty",
        # boards lock at 2.8 V (BotoX); copper dissolves below 2 V
        "mV at rest", 2650, 2000, "bench", strikes.drain, ("deep_discharge",), 50, soc_pct=5.0,
        also=frozenset({"cell_undervoltage", "bms_fault_flag"}),
    ),
    FaultRow(
        "over_temperature", "sun, hills and load: the whole pack is hot",
        "degC", 62, 75, "ride", strikes.heat, ("none",), 400, seconds=600,
        also=_FLAG,
    ),
    FaultRow(
        "under_temperature", "winter",
        # the sensors end at -20 degC
        "degC", -12, -18, "ride", strikes.chill, ("none",), 60, seconds=300,
    ),
    FaultRow(
        "over_current", "a controller without a limit pulls more than the pack is made for",
        # BotoX 35 A; joints and fuses of scooter packs are made for 25-30 A
        "A", 40, 60, "ride", strikes.pull, ("none", "connection", "bms_board"), 300,
        onset_s=30, seconds=420, soc_pct=90.0,
        plan=MappingProxyType({"design_capacity_mah": 15300}),
    ),
    FaultRow(
        "temp_sensor_fault", "a sensor is broken (end stop), or from 0.5 shorted",
        "", 0, 1, "ride", strikes.break_sensor, ("bms_board", "connection"), 60, onset_s=60,
        seconds=200,
    ),
    FaultRow(
        "soc_miscalibration", "the gauge is wrong",
        # tables of makers differ by 5 points, a fault from 15 on
        "points", 22, 50, "rest", strikes.gauge_off, ("calibration", "bms_board"), 400,
        seconds=500,
    ),
    FaultRow(
        "soc_miscalibration-stuck", "the gauge stands still while charge flows",
        "", 0, 1, "trip", strikes.gauge_stuck, ("calibration", "bms_board"), 4000, onset_s=60,
        seconds=4000,
    ),
    FaultRow(
        "capacity_fade", "the whole pack has lost capacity, and the board does not know",
        "of its capacity", 0.66, 0.45, "trip", strikes.fade,
        ("cell_damage", "calibration", "none"), 9000,
        also=frozenset({"soc_miscalibration"}),
    ),
    FaultRow(
        "moisture_suspected", "a wet film across the sense nodes of several groups",
        # 10-100 uA through 1 kohm of filter
        "mV", 25, 150, "ride", strikes.wet, ("moisture",), 300, onset_s=60, seconds=400,
        also=frozenset({"cell_imbalance", "temp_sensor_fault", "open_balance_wire",
                        "bms_fault_flag"}),
    ),
)  # fmt: skip

#: The rows by name.
FAULTS: Final[Mapping[str, FaultRow]] = MappingProxyType({row.name: row for row in _ROWS})


def parse_fault(text: str, onset_s: float | None = None) -> Fault:
    """Return the fault that `KIND[:CELL][:SEVERITY]` describes.

    Raises:
        ValueError: no such kind, cell or severity.
    """
    name, *rest = text.split(":")
    if name not in FAULTS:
        raise ValueError(f"no fault {name!r}: `--fault help` lists them")
    row = FAULTS[name]
    cell: int | None = None
    if row.per_cell and rest and "." not in rest[0]:
        word = rest.pop(0)
        if word and not (word.isascii() and word.isdigit()):
            raise ValueError(f"{word!r} is no cell: {name}[:CELL][:SEVERITY]")
        cell = int(word) if word else None
    severity = USUAL
    if rest and rest[0]:
        try:
            severity = float(rest[0])
        except ValueError:
            raise ValueError(f"{rest[0]!r} is no severity (0-1): {text}") from None
    if len(rest) > 1 or not 0 <= severity <= 1:
        raise ValueError(f"{text!r} is not {_form(row)}, severity 0-1")
    return Fault(row, cell, severity, onset_s)


def _form(row: FaultRow) -> str:
    return f"{row.name}{'[:CELL]' if row.per_cell else ''}[:SEVERITY]"
