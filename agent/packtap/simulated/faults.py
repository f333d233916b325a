"""What can be wrong with a scooter's battery, as rows, floor 2.

One row a fault: which quantity of the model it changes, from which physical value (severity 0: just
a fault) to which (severity 1: as bad as it gets), the story in which it becomes visible, and what a
detector should say about it. The name is the event kind that it should raise; a name with a dash is
a variant of that kind. Values between the two ends are linear, or, where they span decades,
geometric.

Ranges come from the sources of events.md sections 2, 3, 5 and 6 and the reasons beside each row;
none was looked up in, or fitted to, labelled captures.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from packtap.simulated.pack_model import Cell
from packtap.simulated.sensing import LooseWire

if TYPE_CHECKING:
    from packtap.simulated.scooter import Scooter

__all__ = ["FAULTS", "Fault", "FaultRow", "LineFaults", "RecorderFaults", "parse_fault"]

_USUAL: Final = 0.5


@dataclass(slots=True)
class LineFaults:
    """What is wrong between the pack and who listens.

    Attributes:
        is_silent: the board answers nothing.
        gaps_per_s: how often the contact opens while the scooter moves.
        gaps_at_rest_per_s: and while it does not.
        damaged_share: probability of a byte to be damaged.
        garbage_share: probability of a cycle in which the registers hold nonsense.
    """

    is_silent: bool = False
    gaps_per_s: float = 0.0
    gaps_at_rest_per_s: float = 0.0
    damaged_share: float = 0.0
    garbage_share: float = 0.0


@dataclass(slots=True)
class RecorderFaults:
    """What is wrong with the clock of who records.

    Attributes:
        steps: moments, and by how many seconds the clock steps then.
    """

    steps: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One kind of fault.

    Attributes:
        name: event kind, or event kind, dash, variant.
        what: what is physically wrong.
        unit: of its value; "" where severity changes nothing.
        mild: value at severity 0.
        severe: value at severity 1.
        story: the row of `day.STORIES` in which it shows.
        strike: changes the scooter at the moment of the onset.
        causes: of the diagnosis, the true one first, then what is accepted as well.
        within_s: after the onset a detector should have named it.
        onset_s: when it begins, if nobody says; 0: long before the first moment.
        per_cell: it sits at a group.
        also: kinds that it raises as well, or instead while the evidence is still thin.
        seconds: how much of the story is needed; None: as the story has it.
        soc_pct: charge at the start that it needs; None: as the story has it.
        plan: other set-up that it needs (`ambient_c`, `board`).
        capture_only: shows in a recording only, not on a port.
    """

    name: str
    what: str
    unit: str
    mild: float
    severe: float
    story: str
    strike: Callable[["Scooter", "Fault"], None]
    causes: tuple[str, ...]
    within_s: float
    onset_s: float = 0.0
    per_cell: bool = False
    also: frozenset[str] = frozenset()
    seconds: float | None = None
    soc_pct: float | None = None
    plan: Mapping[str, float | str] = field(default_factory=lambda: MappingProxyType({}))
    capture_only: bool = False

    @property
    def kind(self) -> str:
        """The event kind."""
        return self.name.partition("-")[0]

    def value(self, severity: float) -> float:
        """Return the physical value of a severity 0-1."""
        if self.mild > 0 and self.severe > 0 and not 0.2 <= self.severe / self.mild <= 5:
            return float(self.mild * (self.severe / self.mild) ** severity)
        return self.mild + (self.severe - self.mild) * severity


@dataclass(frozen=True, slots=True)
class Fault:
    """One row at work.

    Attributes:
        row: which.
        cell: where; None: at no cell, or at the row's usual one.
        severity: 0-1.
        at_s: when it begins; None: as the row has it.
    """

    row: FaultRow
    cell: int | None = None
    severity: float = _USUAL
    at_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.severity <= 1:
            raise ValueError(f"a severity is 0-1, not {self.severity:g}")
        if self.at_s is not None and not 0 <= self.at_s < math.inf:
            raise ValueError(f"a fault cannot begin at {self.at_s:g} s, before its start")
        if self.cell is not None and not self.row.per_cell:
            raise ValueError(f"{self.row.name} sits at no cell")

    def check(self, cells: int) -> None:
        """Raise if a pack of so many cells has no such cell.

        Raises:
            ValueError: there is no such cell.
        """
        if self.cell is not None and not 1 <= self.cell <= cells:
            raise ValueError(f"there is no cell {self.cell} in a pack of {cells}")

    def place(self, cells: int) -> int:
        """Return the cell at which it sits: the seventh if nobody says, or the last."""
        return min(7, cells) if self.cell is None else self.cell

    @property
    def onset_s(self) -> float:
        """When it begins."""
        return self.row.onset_s if self.at_s is None else self.at_s

    @property
    def value(self) -> float:
        """Its physical value."""
        return self.row.value(self.severity)


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
    severity = _USUAL
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


def _cell(scooter: "Scooter", fault: Fault) -> Cell:
    return scooter.pack.cells[fault.place(scooter.plan.cells) - 1]


def _flag(scooter: "Scooter", fault: Fault) -> None:
    bit = _FLAGS[min(int(fault.severity * len(_FLAGS)), len(_FLAGS) - 1)]
    if bit == 0:
        scooter.board.cleared |= 1
    else:
        scooter.board.forced |= 1 << bit


def _block_charge(scooter: "Scooter", _: Fault) -> None:
    scooter.board.blocks_charge = True
    # The charger's own pin tells that it is there, whatever kind of board it is.
    scooter.board.sees_charger = True


def _silence(scooter: "Scooter", _: Fault) -> None:
    scooter.line.is_silent = True


def _loosen_plug(scooter: "Scooter", fault: Fault) -> None:
    scooter.line.gaps_per_s = fault.value / 600
    scooter.line.gaps_at_rest_per_s = fault.value / 600


def _noise(scooter: "Scooter", fault: Fault) -> None:
    scooter.line.damaged_share = fault.value


def _freeze(scooter: "Scooter", fault: Fault) -> None:
    if fault.severity < 0.35:
        scooter.board.are_cells_frozen = True
    else:
        scooter.board.is_frozen = True


def _garbage(scooter: "Scooter", fault: Fault) -> None:
    scooter.line.garbage_share = fault.value


def _step_clock(scooter: "Scooter", fault: Fault) -> None:
    scooter.recorder.steps.append((max(fault.onset_s, 1.0), fault.value))


def _pack_gain(scooter: "Scooter", fault: Fault) -> None:
    sign = scooter.random.choice((-1, 1))
    scooter.sensing.pack_gain = 1 + sign * fault.value / 100


def _joint(scooter: "Scooter", fault: Fault) -> None:
    scooter.pack.joint_ohm += fault.value / 1000


def _less_charge(scooter: "Scooter", fault: Fault) -> None:
    cell = _cell(scooter, fault)
    curve = scooter.pack.curve
    cell.soc_pct = curve.soc_pct(curve.volts(cell.soc_pct) - fault.value / 1000)


def _less_capacity(scooter: "Scooter", fault: Fault) -> None:
    cell = _cell(scooter, fault)
    cell.ah *= fault.value
    cell.ohm *= fault.value**-0.7  # worn cells have more resistance, too


def _more_resistance(scooter: "Scooter", fault: Fault) -> None:
    _cell(scooter, fault).added_ohm += fault.value / 1000


def _leak(scooter: "Scooter", fault: Fault) -> None:
    _cell(scooter, fault).leak_ohm = fault.value


def _die(scooter: "Scooter", fault: Fault) -> None:
    cell = _cell(scooter, fault)
    cell.is_open = True
    cell.left_v = fault.value / 1000


def _short(scooter: "Scooter", fault: Fault) -> None:
    _cell(scooter, fault).shorted_to_v = fault.value / 1000


def _node(scooter: "Scooter", fault: Fault) -> int:
    """Return the sense node above the cell; the topmost one is no wire between two cells."""
    return min(fault.place(scooter.plan.cells), scooter.plan.cells - 1)


def _open_wire(scooter: "Scooter", fault: Fault) -> None:
    error_v = scooter.random.choice((-1, 1)) * fault.value / 1000
    scooter.sensing.loose.append(LooseWire(_node(scooter, fault), error_v))


def _loose_wire(scooter: "Scooter", fault: Fault) -> None:
    error_v = scooter.random.choice((-1, 1)) * scooter.random.uniform(0.6, 4.0)
    scooter.sensing.loose.append(LooseWire(_node(scooter, fault), error_v, is_steady=False))
    scooter.sensing.shakes = fault.value / 600
    scooter.sensing.shakes_at_rest = fault.value / 600


def _wet(scooter: "Scooter", fault: Fault) -> None:
    inner = scooter.plan.cells - 1
    width = min(inner, scooter.random.randint(4, 6))
    first = scooter.random.randint(1, inner - width + 1)
    for node in range(first, first + width):
        scooter.sensing.wet[node] = fault.value * scooter.random.uniform(0.7, 1.3)
    scooter.sensing.jumps_k = scooter.random.choice((0.0, 15.0))


def _overcharge(scooter: "Scooter", fault: Fault) -> None:
    """Put the group so far above the others that it ends the charge too high."""
    scooter.board.ends_charge = False
    _cell(scooter, fault).soc_pct += fault.value


def _overcharge_all(scooter: "Scooter", fault: Fault) -> None:
    scooter.board.ends_charge = False
    scooter.charger_v = fault.value / 1000 * scooter.plan.cells


def _overcharged(scooter: "Scooter", fault: Fault) -> None:
    _cell(scooter, fault).soc_pct = scooter.pack.curve.soc_pct(fault.value / 1000)


def _drain(scooter: "Scooter", fault: Fault) -> None:
    curve = scooter.pack.curve
    fallen_pct = curve.soc_pct(fault.value / 1000) - scooter.pack.mean_pct
    usual_ah = sum(cell.ah for cell in scooter.pack.cells) / scooter.plan.cells
    for cell in scooter.pack.cells:
        # The same charge is a larger share of a smaller group.
        cell.soc_pct += fallen_pct * usual_ah / cell.ah
    scooter.board.set_gauge(0.0)


_HOT_DAY_C: Final = 52.0


def _heat(scooter: "Scooter", fault: Fault) -> None:
    # It has been in the sun for hours already.
    scooter.pack.celsius = _HOT_DAY_C
    scooter.pack.warmed_to_c = fault.value


def _chill(scooter: "Scooter", fault: Fault) -> None:
    scooter.pack.ambient_c = fault.value
    scooter.pack.celsius = fault.value


def _pull(scooter: "Scooter", fault: Fault) -> None:
    scooter.rider.pulls_a = fault.value


def _break_sensor(scooter: "Scooter", fault: Fault) -> None:
    place = scooter.random.randint(0, 1)
    scooter.sensing.sensors_raw[place] = 0 if fault.severity < _USUAL else 255


def _gauge_off(scooter: "Scooter", fault: Fault) -> None:
    shown, off = scooter.board.shown_pct, fault.value
    # A percentage has an end at either side: away from the nearer one.
    is_low = shown - off > 0 and (shown + off > 100 or scooter.random.random() < _USUAL)
    scooter.board.gauge_off_pct = -off if is_low else off


def _gauge_stuck(scooter: "Scooter", _: Fault) -> None:
    scooter.board.is_gauge_stuck = True


def _fade(scooter: "Scooter", fault: Fault) -> None:
    for cell in scooter.pack.cells:
        cell.ah *= fault.value
        cell.ohm *= fault.value**-0.7
    scooter.board.full_mah = scooter.plan.design_capacity_mah


#: Bits of a fault flag that no reading supports, by severity; bit 0 is cleared.
_FLAGS: Final = (0, 8, 13, 14)

_BOARD: Final = ("bms_board",)
_CELLS: Final = ("cell_damage",)
_LINE: Final = ("connection",)
_FLAG: Final = frozenset({"bms_fault_flag"})

FAULTS: Final[Mapping[str, FaultRow]] = MappingProxyType(
    {
        row.name: row
        for row in (
            FaultRow(
                "bms_fault_flag",
                "the board shows a fault that no reading supports: bit 0 cleared, then 8, 13, 14",
                "", 0, 1, "ride", _flag, _BOARD, 30, onset_s=60, seconds=240,
            ),
            FaultRow(
                "charge_blocked",
                "the charge switch does not close: a charger is there, nothing flows",
                "", 0, 1, "charge", _block_charge, ("bms_board", "connection"), 200,
                seconds=400,
            ),
            FaultRow(
                "bms_comm_lost", "the board answers nothing any more",
                "", 0, 1, "ride", _silence, ("bms_board", "connection"), 30, onset_s=60,
                seconds=180,
            ),
            FaultRow(
                "bms_comm_intermittent", "the data plug loses contact for seconds, when shaken",
                # three in ten minutes are the least that counts (events.md section 2)
                "gaps in ten minutes", 8, 60, "ride", _loosen_plug, _LINE, 900,
                onset_s=30, seconds=1000, also=frozenset({"bms_comm_lost", "bus_noise"}),
            ),
            FaultRow(
                "bus_noise", "bytes are damaged on the line",
                # a frame has 10-40 bytes: one frame in a hundred, to one in three
                "damaged share of bytes", 0.0006, 0.012, "ride", _noise,
                ("connection", "none"), 300, onset_s=30, seconds=400,
            ),
            FaultRow(
                "frozen_readings", "registers stand still: below severity 0.35 those of the cells",
                "", 0, 1, "ride", _freeze, _BOARD, 120, onset_s=60, seconds=300,
            ),
            FaultRow(
                "implausible_data", "now and then registers hold nonsense under a valid checksum",
                "share of cycles", 0.02, 0.5, "ride", _garbage, _BOARD, 240, onset_s=60,
                seconds=360, also=_FLAG,
            ),
            FaultRow(
                "timestamp_anomaly", "the recorder's clock is set back",
                "s", -3600, -1.7e9, "ride", _step_clock, ("none",), 30, onset_s=60, seconds=180,
                capture_only=True,
            ),
            FaultRow(
                "timestamp_anomaly-leap", "the recorder's clock is set right: it leaps by years",
                "s", 3.0e8, 1.7e9, "ride", _step_clock, ("none",), 30, onset_s=60, seconds=180,
                capture_only=True,
            ),
            FaultRow(
                "voltage_sum_mismatch", "the board's divider for the pack voltage is off",
                # channels are good to 1 %: twice that is a fault (30 mV a cell and more)
                "%", 1.6, 8, "ride", _pack_gain, ("bms_board",), 200, onset_s=30, seconds=400,
            ),
            FaultRow(
                "high_resistance_connection", "a joint between the stack and the board",
                # sound joints 2-6 mohm; 20 mohm at 15 A burn 4 W, 150 mohm burn the connector
                "mohm", 20, 150, "ride", _joint, _LINE, 500, onset_s=60, seconds=700,
                also=frozenset({"voltage_sum_mismatch"}),
            ),
            FaultRow(
                "cell_imbalance", "one group holds less charge",
                # suspect from 30-50 mV at rest above 3.5 V, a fault from 80-100 mV (section 6)
                "mV at rest", 60, 350, "rest", _less_charge, ("cell_damage", "calibration"), 200,
                per_cell=True, seconds=300, also=_FLAG,
            ),
            FaultRow(
                "weak_cell", "one group has lost capacity",
                # worn out below 0.8; three sigma of aged cells is 0.91
                "of its capacity", 0.82, 0.5, "trip", _less_capacity, _CELLS, 9000,
                per_cell=True,
                also=frozenset({"cell_imbalance", "cell_undervoltage", "high_resistance_cell",
                                "bms_fault_flag", "dead_cell"}),
            ),
            FaultRow(
                "high_resistance_cell", "a weld or tab in one group's sense span",
                # a group has 8-20 mohm; welds that fail add as much and more
                "mohm", 14, 70, "ride", _more_resistance, _CELLS, 500, onset_s=60,
                per_cell=True, seconds=700, also=frozenset({"cell_undervoltage"}),
            ),
            FaultRow(
                "self_discharge_cell", "a soft internal short across one group",
                # the 100 ohm class of the papers (section 7) down to what warms the cell by hand
                "ohm", 100, 12, "park", _leak, _CELLS, 36000, per_cell=True,
                also=frozenset({"cell_imbalance"}),
            ),
            FaultRow(
                "dead_cell", "a group is gone: almost nothing is left of its voltage",
                "mV", 600, 0, "ride", _die, _CELLS, 60, onset_s=60, per_cell=True, seconds=180,
                also=frozenset({"cell_undervoltage", "bms_fault_flag", "cell_imbalance"}),
            ),
            FaultRow(
                "cell_undervoltage", "a hard internal short empties a group within minutes",
                "mV left at rest", 2450, 1400, "ride", _short, _CELLS, 90, onset_s=60,
                per_cell=True, seconds=150,
                also=frozenset({"bms_fault_flag", "dead_cell", "cell_imbalance"}),
            ),
            FaultRow(
                "open_balance_wire", "a sense wire is broken: its node floats away",
                # from a bad crimp's few hundred mV to a pull that leaves nothing of one group
                "mV", 250, 3900, "ride", _open_wire, _LINE, 60, onset_s=60, per_cell=True,
                seconds=240,
                also=frozenset({"cell_overvoltage", "cell_undervoltage", "bms_fault_flag"}),
            ),
            FaultRow(
                "open_balance_wire-loose", "a sense wire opens for seconds, when shaken",
                "times in ten minutes", 12, 60, "ride", _loose_wire, _LINE, 500, onset_s=30,
                per_cell=True, seconds=600,
                also=frozenset({"cell_overvoltage", "cell_undervoltage", "bms_fault_flag",
                                "cell_imbalance"}),
            ),
            FaultRow(
                "cell_overvoltage", "a board that does not end the charge, and a group ahead",
                # a point is 9 mV up there, and the charger stops at 4.17-4.20 V on average
                "% ahead", 11, 20, "charge", _overcharge,
                ("cell_damage", "calibration", "bms_board"), 7200, per_cell=True, soc_pct=90.0,
                seconds=3600,
                also=frozenset({"cell_imbalance", "bms_fault_flag"}),
            ),
            FaultRow(
                "cell_overvoltage-all", "the wrong charger, and a board that does not end it",
                "mV a group", 4290, 4400, "charge", _overcharge_all,
                ("bms_board", "cell_damage", "calibration"), 7200, soc_pct=96.0, seconds=7200,
                also=_FLAG,
            ),
            FaultRow(
                "cell_overvoltage-rest", "one group was overcharged, and still is",
                "mV", 4275, 4400, "bench", _overcharged,
                ("cell_damage", "calibration", "bms_board"), 50, per_cell=True, soc_pct=97.0,
                also=frozenset({"cell_imbalance", "bms_fault_flag"}),
            ),
            FaultRow(
                "deep_discharge", "the whole pack was drained far below empty",
                # boards lock at 2.8 V (BotoX); copper dissolves below 2 V
                "mV at rest", 2650, 2000, "bench", _drain, ("deep_discharge",), 50, soc_pct=5.0,
                also=frozenset({"cell_undervoltage", "bms_fault_flag"}),
            ),
            FaultRow(
                "over_temperature", "sun, hills and load: the whole pack is hot",
                "degC", 62, 75, "ride", _heat, ("none",), 400, seconds=600,
                also=_FLAG,
            ),
            FaultRow(
                "under_temperature", "winter",
                # the sensors end at -20 degC
                "degC", -12, -18, "ride", _chill, ("none",), 60, seconds=300,
            ),
            FaultRow(
                "over_current", "a controller without a limit pulls more than the pack is made for",
                # BotoX 35 A; joints and fuses of scooter packs are made for 25-30 A
                "A", 40, 60, "ride", _pull, ("none", "connection", "bms_board"), 300,
                onset_s=30, seconds=420, soc_pct=90.0,
            ),
            FaultRow(
                "temp_sensor_fault", "a sensor is broken (end stop), or from 0.5 shorted",
                "", 0, 1, "ride", _break_sensor, ("bms_board", "connection"), 60, onset_s=60,
                seconds=200,
            ),
            FaultRow(
                "soc_miscalibration", "the gauge is wrong",
                # tables of makers differ by 5 points, a fault from 15 on
                "points", 22, 50, "rest", _gauge_off, ("calibration", "bms_board"), 400,
                seconds=500,
            ),
            FaultRow(
                "soc_miscalibration-stuck", "the gauge stands still while charge flows",
                "", 0, 1, "trip", _gauge_stuck, ("calibration", "bms_board"), 4000, onset_s=60,
                seconds=4000,
            ),
            FaultRow(
                "capacity_fade", "the whole pack has lost capacity, and the board does not know",
                "of its capacity", 0.66, 0.45, "trip", _fade,
                ("cell_damage", "calibration", "none"), 9000,
                also=frozenset({"soc_miscalibration"}),
            ),
            FaultRow(
                "moisture_suspected", "a wet film across the sense nodes of several groups",
                # 10-100 uA through 1 kohm of filter
                "mV", 25, 150, "ride", _wet, ("moisture",), 300, onset_s=60, seconds=400,
                also=frozenset({"cell_imbalance", "temp_sensor_fault", "open_balance_wire",
                                "bms_fault_flag"}),
            ),
        )
    }
)  # fmt: skip
