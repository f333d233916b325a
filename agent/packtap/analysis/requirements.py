"""What each kind of event needs before it can be judged, as rows, floor 2.

A kind that stayed quiet is said with what it was judged over; a kind that could not be judged is
said with what is missing and, where that is an amount, how much more of it. The amounts are those
of the checks; where a check decides by the quality of the readings (a standard error), the row
holds what usually is enough.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from packtap import kinds
from packtap.analysis.exposure import Exposure

__all__ = ["REQUIREMENTS", "Basis", "Requirement", "judged_over", "lacking"]


@dataclass(frozen=True, slots=True)
class Basis:
    """What a kind is judged on.

    Attributes:
        over: words for how much there has been; `{}` takes the amount.
        amount: how much there has been.
        words: formats an amount.
    """

    over: str
    amount: Callable[[Exposure], float]
    words: Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row.

    Attributes:
        kind: name of a row of `packtap.kinds`.
        basis: what it is judged on.
        least: how much of that is needed, in the unit of the basis.
        lacks: what to do so that it can be judged.
    """

    kind: str
    basis: Basis
    least: float
    lacks: str


def _count(amount: float) -> str:
    return f"{amount:.0f}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _share(amount: float) -> str:
    return f"{amount:.0f} %"


def _moved_pct(seen: Exposure) -> float:
    return 100 * seen.moved_mah / seen.capacity_mah if seen.capacity_mah else 0.0


def _quantity(name: str) -> str:
    """Return a row's name without its unit, for people."""
    *words, last = name.split("_")
    return " ".join(words if last in _UNITS else [*words, last])


_UNITS: Final = frozenset({"mv", "v", "a", "c", "mah", "pct"})

_READINGS: Final = Basis("{} readings", lambda seen: seen.readings, _count)
_CELLS: Final = Basis("{} readings of the cells", lambda seen: seen.cell_readings, _count)
_REST: Final = Basis("{} readings of the cells at rest", lambda seen: seen.rest_readings, _count)
_LOAD: Final = Basis("{} readings of the cells under load", lambda seen: seen.load_readings, _count)
_WATCHED: Final = Basis("{} of traffic", lambda seen: seen.watched_s, _time)
_RESTED: Final = Basis("{} of unbroken rest", lambda seen: seen.rest_s, _time)
_MOVED: Final = Basis("{} of the pack's charge moved", _moved_pct, _share)

_READ_CELLS: Final = "read the cells (on the bench, or with an app or fleet box that asks for them)"

REQUIREMENTS: Final = MappingProxyType(
    {
        row.kind: row
        for row in (
            Requirement("bms_fault_flag", _READINGS, 1, "read the status word"),
            Requirement("charge_blocked", _READINGS, 3, "plug in a charger for two minutes"),
            Requirement("bms_comm_lost", _WATCHED, 5, "listen while somebody asks the pack"),
            Requirement("bms_comm_intermittent", _WATCHED, 30, "go on listening"),
            Requirement("bus_noise", _WATCHED, 60, "go on listening"),
            Requirement("frozen_readings", _WATCHED, 30, "go on reading"),
            Requirement("implausible_data", _READINGS, 1, "read the pack"),
            Requirement("timestamp_anomaly", _WATCHED, 0, "record with times"),
            Requirement("voltage_sum_mismatch", _CELLS, 3, _READ_CELLS),
            Requirement("high_resistance_connection", _LOAD, 30, "ride while cells are read"),
            Requirement("cell_imbalance", _RESTED, 60, "leave the pack at rest"),
            Requirement("weak_cell", _MOVED, 12, "ride or charge while cells are read"),
            Requirement("high_resistance_cell", _LOAD, 60, "ride while cells are read"),
            Requirement("self_discharge_cell", _RESTED, 5400, "leave the pack at rest"),
            Requirement("dead_cell", _CELLS, 2, _READ_CELLS),
            Requirement("open_balance_wire", _CELLS, 2, _READ_CELLS),
            Requirement("cell_overvoltage", _CELLS, 2, _READ_CELLS),
            Requirement("cell_undervoltage", _CELLS, 2, _READ_CELLS),
            Requirement("deep_discharge", _CELLS, 2, _READ_CELLS),
            Requirement("over_temperature", _READINGS, 2, "read both temperatures"),
            Requirement("under_temperature", _READINGS, 2, "read both temperatures"),
            Requirement("over_current", _WATCHED, 5, "draw or charge 1 A or more"),
            Requirement("temp_sensor_fault", _READINGS, 2, "read both temperatures"),
            Requirement("soc_miscalibration", _RESTED, 300, "leave the pack at rest"),
            Requirement("capacity_fade", _MOVED, 35, "rest, ride or charge, and rest again"),
            Requirement("moisture_suspected", _CELLS, 6, "read the cells at steady current"),
        )
    }
)

#: What a quiet kind was judged over, where that differs from what it waits for.
_JUDGED_ON: Final = MappingProxyType(
    {"cell_imbalance": _REST, "soc_miscalibration": _REST, "over_current": _READINGS}
)


def judged_over(kind: str, seen: Exposure) -> str:
    """Return over what a kind was judged that stayed quiet; "" if that was not counted."""
    row = REQUIREMENTS[kind]
    basis = _JUDGED_ON.get(kind, row.basis)
    amount = basis.amount(seen)
    return f"judged over {basis.over.format(basis.words(amount))}" if amount else ""


def lacking(kind: str, seen: Exposure) -> str:
    """Return what a kind needs that could not be judged so far."""
    row = REQUIREMENTS[kind]
    unread = [_quantity(name) for name in kinds.by_name[kind].needs if name not in seen.rows]
    if unread:
        return f"not known: {', '.join(unread)}; {row.lacks}"
    more = row.least - row.basis.amount(seen)
    if row.basis is _MOVED and seen.capacity_mah is None:
        return f"{row.lacks}; the capacity is not reported"
    if more <= 0:
        return row.lacks
    return f"{row.lacks}: {row.basis.over.format(row.basis.words(more) + ' more')}"
