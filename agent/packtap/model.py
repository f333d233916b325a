"""Plain values that the floors hand to each other, floor 1.

No behaviour beyond validity: a value that exists is valid. `None` means "not reported", never 0.
Times named `t` are seconds of the capture's own clock (boot time in the agent); times that end in
`_ms` are whole milliseconds. Where one is UTC its name says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Cause", "Event", "EventState", "Reading", "Severity", "Value"]

#: One decoded quantity: a number, a text, one number per cell (cell 1 first, length 1-16, None =
#: not read) or the numbers of the cells concerned (1-based); None = not reported.
Value = int | float | str | tuple[int | None, ...] | None


class Severity(StrEnum):
    """How much an event matters."""

    INFO = "info"  #: noteworthy
    WARNING = "warning"  #: act soon
    CRITICAL = "critical"  #: stop using the pack


class EventState(StrEnum):
    """The two ends of an event."""

    RAISED = "raised"
    CLEARED = "cleared"


class Cause(StrEnum):
    """What the diagnosis ranks. Source: events.md section 3."""

    BMS_BOARD = "bms_board"  #: the board, its sensors, its firmware
    CELL_DAMAGE = "cell_damage"  #: any worn, imbalanced, shorted or dead group
    CONNECTION = "connection"  #: sense wires, power or data connector, line
    MOISTURE = "moisture"
    CALIBRATION = "calibration"
    DEEP_DISCHARGE = "deep_discharge"
    NONE = "none"  #: no defect: normal use, weather, recorder clock


@dataclass(frozen=True, slots=True)
class Reading:
    """What one snapshot newly reported; the unit of history and delivery.

    Attributes:
        boot_ms: sample time, whole milliseconds since boot (CLOCK_BOOTTIME); strictly increasing
            within one pack.
        pack: serial, or `unknown-<agent>-<bus>`.
        values: only quantities read since the reading before, by register row name.
    """

    boot_ms: int
    pack: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Event:
    """One end of a defect: raised or cleared.

    Attributes:
        id: pack, kind, cell, store id, counter; the same at both ends and after a restart.
        t: seconds, time of the chunk that made it true; None for input without times.
        kind: one of the rows of `packtap.kinds`.
        cell: 1-16, or None where no single cell is meant.
        value: what was measured, in the unit of `unit`; None if the kind has no number.
        limit: what it was compared with, same unit.
        unit: "mV", "%", "s", ...; "" without a number.
        text: the sentence for people: what was seen, on which cell, value, limit, since when.
    """

    id: str
    t: float | None
    pack: str
    kind: str
    severity: Severity
    state: EventState
    cell: int | None = None
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    text: str = ""
