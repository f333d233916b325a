"""What a pack reports that is not to be believed, as rows, floor 0.

Aftermarket emulators and replacement boards answer with valid frames and wrong content. Each quirk
is one row: how it shows, which quantities it spoils, and the sentence for people. A snapshot still
holds the values as read; `Snapshot.trusted` leaves the spoiled ones out. A quirk that spoils no
quantity only says how to read one.

Source: protocol.md sections 5, 6, 9 and 10.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ninebot_bms.identity import SerialKind, serial_date, serial_kind
from ninebot_bms.registers_codecs import Value

__all__ = ["QUIRKS", "Doubt", "Quirk", "Report", "find_doubts", "is_replacement"]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reason not to believe what a pack reports.

    Attributes:
        name: kebab-case, stable.
        rows: the quantities that it spoils; empty: none, it only says how to read them.
        text: the sentence for people.
    """

    name: str
    rows: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a pack has reported, as the quirks look at it.

    Attributes:
        values: by row name.
        times: seconds of each reading by row name; None for input without times.
    """

    values: Mapping[str, Value]
    times: Mapping[str, float | None]

    def number(self, name: str) -> int | float | None:
        """Return a number that has been reported, else None."""
        value = self.values.get(name)
        return value if isinstance(value, int | float) else None

    def text(self, name: str) -> str | None:
        """Return a text that has been reported, else None."""
        value = self.values.get(name)
        return value if isinstance(value, str) else None

    def cells_mv(self) -> tuple[int, ...] | None:
        """Return the cell voltages if every cell was read, else None."""
        cells = self.values.get("cell_voltages_mv")
        if not isinstance(cells, tuple):
            return None
        known = tuple(cell for cell in cells if cell is not None)
        return known if len(known) == len(cells) else None

    def serial_kind(self) -> SerialKind | None:
        """Return what the serial is good for; None while it is unread."""
        return serial_kind(self.text("serial")) if "serial" in self.values else None

    def together(self, name: str, other: str) -> bool:
        """Whether two rows were read close enough in time to be compared."""
        t, other_t = self.times.get(name), self.times.get(other)
        return t is None or other_t is None or abs(t - other_t) <= _TOGETHER_S


@dataclass(frozen=True, slots=True)
class Quirk:
    """One row: a doubt and how it shows."""

    doubt: Doubt
    shows: Callable[[Report], bool]


#: The BMS measures every 250 ms and polls are up to 2 s apart.
_TOGETHER_S: Final = 2.0
_SUM_TOLERANCE: Final = 0.02  # protocol.md section 9: within about 2 %
_QUIET_A: Final = 1.0  # above that, sum and pack voltage of different instants differ anyway
_MIN_IDENTICAL_CELLS: Final = 3
_LITHIUM_MV: Final = range(1000, 5000)  # outside, no cell can be while its board still reports
#: A board of a scooter pack needs more than this to run at all, so it cannot measure less.
_MIN_BOARD_V: Final = 5.0
_BOTOX_FIRMWARE: Final = "9.0.0"
_BOTOX_DATE: Final = "2018-10-01"
_CONSTANT_HEALTH_PCT: Final = 98
_MIN_SOC_PCT: Final = 5  # below, a displayed 0 can be meant
_FACTORY_MAGIC: Final = 0xAAAA
_CAMIALFA_STATUS: Final = 0x0140

_EMULATED_ROWS: Final = (
    "design_capacity_mah",
    "full_capacity_mah",
    "cycle_count",
    "charge_count",
    "manufacture_date",
    "status",
    "remaining_capacity_mah",
    "soc_pct",
    "current_a",
    "voltage_v",
    "temperature_1_c",
    "temperature_2_c",
    "balancing_cells",
    "undervoltage_cells",
    "overvoltage_cells",
    "health_pct",
    "displayed_soc_pct",
    "cell_voltages_mv",
)


def _differs_from_sum(report: Report) -> bool:
    cells, pack_v = report.cells_mv(), report.number("voltage_v")
    if cells is None or pack_v is None:
        return False
    sum_v = sum(cells) / 1000
    return abs(sum_v - pack_v) > _SUM_TOLERANCE * max(sum_v, pack_v)


def _emulator(report: Report) -> bool:
    cells, pack_v = report.cells_mv(), report.number("voltage_v")
    if cells is None:
        is_bare = report.serial_kind() is SerialKind.PLACEHOLDER
        return is_bare and pack_v is not None and pack_v < _MIN_BOARD_V
    if len(cells) < _MIN_IDENTICAL_CELLS or len(set(cells)) > 1:
        return False
    return cells[0] not in _LITHIUM_MV or _differs_from_sum(report)


def _sum_mismatch(report: Report) -> bool:
    current_a = report.number("current_a")
    return (
        current_a is not None
        and abs(current_a) < _QUIET_A
        and report.together("cell_voltages_mv", "voltage_v")
        and report.together("current_a", "voltage_v")
        and _differs_from_sum(report)
    )


def is_replacement(report: Report) -> bool:
    """Whether the board is a replacement BMS (BotoX)."""
    return (
        report.serial_kind() is SerialKind.REPLACEMENT or report.text("firmware") == _BOTOX_FIRMWARE
    )


def _botox_unbalanced(report: Report) -> bool:
    status = report.number("status")
    return is_replacement(report) and status is not None and not int(status) & 1


def _botox_date(report: Report) -> bool:
    return is_replacement(report) and report.text("manufacture_date") == _BOTOX_DATE


def _no_date(report: Report) -> bool:
    return "manufacture_date" in report.values and report.text("manufacture_date") is None


def _serial_date_differs(report: Report) -> bool:
    serial, made = report.text("serial"), report.text("manufacture_date")
    if serial is None or made is None:
        return False
    coded = serial_date(serial)
    return coded is not None and coded.isoformat() != made


def _no_displayed_soc(report: Report) -> bool:
    soc_pct = report.number("soc_pct")
    return (
        report.number("displayed_soc_pct") == 0 and soc_pct is not None and soc_pct >= _MIN_SOC_PCT
    )


def _coulomb_failure(report: Report) -> bool:
    capacity = report.number("coulomb_capacity_mah")
    return capacity is not None and capacity < 0


def _serial_is(kind: SerialKind) -> Callable[[Report], bool]:
    return lambda report: report.serial_kind() is kind


def _quirk(name: str, rows: tuple[str, ...], shows: Callable[[Report], bool], text: str) -> Quirk:
    return Quirk(Doubt(name, rows, text), shows)


QUIRKS: Final[tuple[Quirk, ...]] = (
    _quirk(
        "emulator-constants",
        _EMULATED_ROWS,
        _emulator,
        "this is an emulator, not a BMS: it reports constants that no pack can have, so nothing "
        "it measures is known",
    ),
    _quirk(
        "serial-unreadable",
        ("serial",),
        _serial_is(SerialKind.UNREADABLE),
        "the serial is blank or not ASCII: it does not name a pack",
    ),
    _quirk(
        "serial-placeholder",
        ("serial",),
        _serial_is(SerialKind.PLACEHOLDER),
        "the serial is not a vendor's number: an emulator or a rebuilt board",
    ),
    _quirk(
        "serial-factory",
        ("serial",),
        _serial_is(SerialKind.FACTORY),
        "factory serial: the pack was never activated, or its memory was reset (ESC error 23)",
    ),
    _quirk(
        "serial-shared",
        ("serial",),
        _serial_is(SerialKind.REPLACEMENT),
        "every board of this kind has this serial: it does not name a pack",
    ),
    _quirk(
        "serial-date-differs",
        ("manufacture_date",),
        _serial_date_differs,
        "the serial encodes another date than register 0x20: the serial of another pack, or a "
        "date that is not the pack's",
    ),
    _quirk(
        "date-impossible",
        ("manufacture_date",),
        _no_date,
        "the date of manufacture is zero or impossible",
    ),
    _quirk(
        "replacement-bms",
        (
            "design_voltage_v",
            "total_charged_mah",
            "overcurrent_count",
            "overdischarge_count",
            "activation_date",
            "f_code",
            "b_code",
        ),
        is_replacement,
        "replacement BMS (BotoX): registers 0x1A, 0x1D-0x1F and 0x21-0x23 have other meanings "
        "here, capacities are what the owner typed in",
    ),
    _quirk(
        "replacement-date",
        ("manufacture_date",),
        _botox_date,
        "the default date of a replacement BMS (BotoX)",
    ),
    _quirk(
        "replacement-unbalanced",
        (),
        _botox_unbalanced,
        "on a replacement BMS (BotoX) bit 0 cleared, ESC error 22, means cells more than 100 mV "
        "apart or an error of its measuring chip, not a wrong password",
    ),
    _quirk(
        "emulator-latched-status",
        (),
        lambda report: report.number("status") == _CAMIALFA_STATUS,
        "status 0x0140 exactly: an Arduino emulator (CamiAlfa) sets this once below 2.8 V a cell "
        "and never clears it",
    ),
    _quirk(
        "factory-image",
        (),
        lambda report: report.number("magic") == _FACTORY_MAGIC,
        "the register file is a factory reset image",
    ),
    _quirk(
        "health-constant",
        ("health_pct",),
        lambda report: report.number("health_pct") == _CONSTANT_HEALTH_PCT,
        "98 % health is what newer firmware reports of every pack",
    ),
    _quirk(
        "displayed-soc-unsupported",
        ("displayed_soc_pct",),
        _no_displayed_soc,
        "older boards read 0 in the displayed state of charge",
    ),
    _quirk(
        "coulomb-counter-failed",
        ("coulomb_capacity_mah",),
        _coulomb_failure,
        "a negative coulomb-counter capacity marks a failure",
    ),
    _quirk(
        "sum-mismatch",
        (),
        _sum_mismatch,
        "pack voltage and sum of the cells differ by more than 2 % without current: a wrong "
        "number of cells, an open wire, or a measuring error of the board",
    ),
)


def find_doubts(report: Report) -> tuple[Doubt, ...]:
    """Return the doubts that a report gives, in the order of the rows."""
    return tuple(quirk.doubt for quirk in QUIRKS if quirk.shows(report))
