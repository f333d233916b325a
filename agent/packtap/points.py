"""Message -> points, and point -> line protocol, floor 2: what stands in the time-series store.

Measurements `pack`, `cell`, `event`, `diagnosis` and `link`; tags `site agent bus pack` everywhere.
Beside them the proof that nothing is missing (`delivery_lines`): one point a message in `delivery`
(its `seq`; tag `store`: who numbers), and one in `gap` for each run that an agent has dropped
(`thinned`: of which it has left samples out).
Measurement `ingest` is ingest's own, with the tags `agent ingest reason`: what it has refused.
A field's name is its row's name, and its type is fixed by its row for ever: a store refuses a field
that was a float yesterday and a whole number today. Dashboards may query only what `FIELDS` lists.

What a newer agent sends and this version does not know is left out and named in `unknown`.

Line protocol: `measurement,tag=value field=value,field=value time`, time in UTC milliseconds;
floats plain, whole numbers with a trailing `i`, texts in double quotes. A tag value cannot hold
every text (no escape for a backslash before a comma, none for a line end): such characters become
`/` and a space.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar

from ninebot_bms.registers import REGISTERS
from packtap import derived
from packtap.counters import COUNTERS
from packtap.model import Cause, EventState
from packtap.wire import (
    EventMessage,
    HealthMessage,
    HealthValue,
    JsonValue,
    LinkMessage,
    QueuedMessage,
    ReadingsMessage,
    Topic,
)

__all__ = [
    "FIELDS",
    "ROWS",
    "Converted",
    "FieldType",
    "FieldValue",
    "Point",
    "delivery_lines",
    "line_protocol",
    "points_of",
    "points_of_refusals",
    "wrong_counter",
    "wrong_health",
    "wrong_value",
]

_Word = TypeVar("_Word", bound=str)
FieldValue = float | int | str
#: A value of any message.
_Sent = int | float | str | Sequence[int | float | None] | None

_MOST_CELLS: Final = 16
_INT64: Final = 2**63


class FieldType(StrEnum):
    """The type that a field has for ever."""

    FLOAT = "float"
    INTEGER = "integer"
    TEXT = "text"
    CELL_NUMBERS = "cell_numbers"  #: the cells concerned, in the store a text: "3,7", "" = none
    PER_CELL = "per_cell"  #: one whole number a cell; a measurement of its own
    FLOAT_PER_CELL = "float_per_cell"  #: one number a cell; the same measurement


#: The one row that is a measurement of its own: row -> field of measurement `cell`.
_PER_CELL: Final = {"cell_voltages_mv": "voltage_mv"}

_BY_PYTHON_TYPE: Final[Mapping[type, FieldType]] = {
    float: FieldType.FLOAT,
    int: FieldType.INTEGER,
    str: FieldType.TEXT,
    tuple: FieldType.CELL_NUMBERS,
}

#: Row of a `readings` message -> its type.
ROWS: Final[Mapping[str, FieldType]] = MappingProxyType(
    {
        row.name: FieldType.PER_CELL if row.name in _PER_CELL else _BY_PYTHON_TYPE[row.value_type]
        for row in REGISTERS
    }
)

#: Row of a `health` message -> its type.
HEALTH_ROWS: Final[Mapping[str, FieldType]] = MappingProxyType(
    {
        row.name: FieldType.FLOAT_PER_CELL if row.per_cell else _BY_PYTHON_TYPE[row.value_type]
        for row in derived.DERIVED
    }
)
_CAUSES: Final = frozenset(cause.value for cause in Cause)

#: Measurement -> field -> type: everything that this module can emit.
FIELDS: Final[Mapping[str, Mapping[str, FieldType]]] = MappingProxyType(
    {
        "pack": {
            name: kind
            for name, kind in {**ROWS, **HEALTH_ROWS}.items()
            if kind not in (FieldType.PER_CELL, FieldType.FLOAT_PER_CELL)
        },
        "cell": {
            **dict.fromkeys(_PER_CELL.values(), FieldType.INTEGER),
            **{row.name: FieldType.FLOAT for row in derived.DERIVED if row.per_cell},
        },
        "event": {
            "id": FieldType.TEXT,
            "state": FieldType.INTEGER,
            "value": FieldType.FLOAT,
            "limit": FieldType.FLOAT,
            "text": FieldType.TEXT,
        },
        "diagnosis": {"probability": FieldType.FLOAT},
        "link": dict.fromkeys(COUNTERS, FieldType.INTEGER),
        "delivery": {"seq": FieldType.INTEGER, "settled_seq": FieldType.INTEGER},
        "gap": dict.fromkeys(("first_seq", "last_seq", "samples"), FieldType.INTEGER),
        "thinned": dict.fromkeys(("first_seq", "last_seq", "samples"), FieldType.INTEGER),
        "ingest": {"refused": FieldType.INTEGER},
    }
)


@dataclass(frozen=True, slots=True)
class Point:
    """One line of the store.

    Attributes:
        measurement: `pack`, `cell`, `event`, `diagnosis`, `link`, `delivery`, `gap`, `thinned` or
            `ingest`.
        tags: name -> text, sorted by name, none empty.
        fields: name -> value of the field's type, at least one.
        t_ms: UTC milliseconds.
    """

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, FieldValue]
    t_ms: int


@dataclass(frozen=True, slots=True)
class Converted:
    """The points of one message, and the names in it that this version does not know."""

    points: tuple[Point, ...]
    unknown: frozenset[str]


def wrong_value(row: str, value: JsonValue) -> str | None:
    """Return what is wrong with the value of a known row, None if nothing is.

    Args:
        row: name of the row; one that is not known takes every value.
        value: as it came; None, "not reported", is always right.
    """
    kind = ROWS.get(row)
    if value is None or kind is None or _IS_RIGHT[kind](value):
        return None
    return f"is not {_IN_WORDS[kind]}"


def wrong_counter(name: str, value: float) -> str | None:
    """Return what is wrong with the value of a known counter, None if nothing is."""
    return None if name not in FIELDS["link"] or _is_whole(value) else "is not a whole number"


def wrong_health(row: str, value: HealthValue) -> str | None:
    """Return what is wrong with the value of a known derived row, None if nothing is."""
    kind = HEALTH_ROWS.get(row)
    if value is None or kind is None or _IS_RIGHT[kind](value):
        return None
    return f"is not {_IN_WORDS[kind]}"


def points_of(topic: Topic, message: QueuedMessage) -> Converted:
    """Return the points of a valid message.

    Args:
        topic: names the sender; the payload is not asked.
        message: its values have the types of their rows.
    """
    origin = {
        "agent": topic.agent,
        "bus": topic.bus,
        "pack": message.pack,
        "site": topic.site,
    }
    if isinstance(message, ReadingsMessage):
        return _readings(origin, message)
    if isinstance(message, EventMessage):
        return _event(origin, message)
    if isinstance(message, HealthMessage):
        return _health(origin, message)
    return _link(origin, message)


def points_of_refusals(
    ingest: str, refused: Mapping[str, Mapping[_Word, int]], t_ms: int
) -> tuple[Point, ...]:
    """Return the points of what an ingest has refused.

    Args:
        ingest: its name at the broker.
        refused: agent -> reason in one word -> messages since its start.
        t_ms: UTC milliseconds.
    """
    return tuple(
        Point(
            "ingest",
            {"agent": agent, "ingest": ingest, "reason": str(reason)},
            {"refused": count},
            t_ms,
        )
        for agent, counts in sorted(refused.items())
        for reason, count in sorted(counts.items())
    )


def line_protocol(point: Point) -> str:
    """Return the point as one line without a line end."""
    tags = "".join(f",{name}={_tag(text)}" for name, text in point.tags.items())
    fields = ",".join(f"{name}={_literal(value)}" for name, value in point.fields.items())
    return f"{point.measurement}{tags} {fields} {point.t_ms}"


def delivery_lines(topic: Topic, message: QueuedMessage) -> list[str]:
    """Return what is to be written once the message's points are stored: lines with nanoseconds.

    Messages of one store share times (events of one moment), and points of one series and time
    overwrite each other. So the last six digits of the time are those of the number: whole
    milliseconds from left to right, then the number modulo a million.
    """
    tags = _sorted({
        "agent": topic.agent, "bus": topic.bus, "pack": message.pack, "site": topic.site,
        "store": message.store,
    })  # fmt: skip
    fields: dict[str, FieldValue] = {"seq": message.seq}
    gaps: list[Point] = []
    if isinstance(message, LinkMessage):
        if (settled := message.counters.get("outbox_first_seq")) is not None:
            fields["settled_seq"] = int(settled)
        told = [("gap", run) for run in message.gaps] + [
            ("thinned", run) for run in message.thinned
        ]
        for name, (first, last, samples, from_ms) in told:
            run: dict[str, FieldValue] = {"first_seq": first, "last_seq": last, "samples": samples}
            # The same point however often it is told, and however long it grows.
            gaps.append(Point(name, tags, run, message.t[0] if from_ms is None else from_ms))
    numbered = [(Point("delivery", tags, fields, message.t[-1]), message.seq)]
    numbered += [(point, int(point.fields["first_seq"])) for point in gaps]
    return [f"{line_protocol(point)}{number % 1_000_000:06d}" for point, number in numbered]


def _readings(origin: Mapping[str, str], message: ReadingsMessage) -> Converted:
    known = [(name, ROWS[name], column) for name, column in message.columns.items() if name in ROWS]
    points: list[Point] = []
    for index, t in enumerate(message.t):
        fields: dict[str, FieldValue] = {}
        for name, kind, column in known:
            value = column[index]
            if value is None:
                continue
            if isinstance(value, list) and kind is FieldType.PER_CELL:
                points += _cells(origin, _PER_CELL[name], value, t)
            else:
                fields[name] = _field(kind, value)
        if fields:
            points.append(Point("pack", origin, fields, t))
    return Converted(tuple(points), frozenset(message.columns.keys() - ROWS.keys()))


def _cells(
    origin: Mapping[str, str], field: str, values: list[int | None], t: int
) -> Iterator[Point]:
    for number, value in enumerate(values, start=1):
        if value is not None:
            tags = _sorted({**origin, "cell": f"{number:02}"})
            yield Point("cell", tags, {field: value}, t)


def _event(origin: Mapping[str, str], message: EventMessage) -> Converted:
    tags = {
        **origin,
        "cell": f"{message.cell or 0:02}",
        "kind": message.kind,
        "severity": message.severity,
    }
    fields: dict[str, FieldValue] = {
        "id": message.id,
        "state": int(message.state == EventState.RAISED),
        "text": message.text,
    }
    if message.value is not None:
        fields["value"] = float(message.value)
    if message.limit is not None:
        fields["limit"] = float(message.limit)
    return Converted((Point("event", _sorted(tags), fields, message.t[0]),), frozenset())


def _health(origin: Mapping[str, str], message: HealthMessage) -> Converted:
    t = message.t[0]
    fields: dict[str, FieldValue] = {}
    cells: dict[int, dict[str, FieldValue]] = {}
    for name, value in message.rows.items():
        kind = HEALTH_ROWS.get(name)
        if kind is None or value is None:
            continue
        if isinstance(value, list):
            for number, each in enumerate(value, start=1):
                if each is not None:
                    cells.setdefault(number, {})[name] = float(each)
        else:
            fields[name] = _field(kind, value)
    points = [
        Point("cell", _sorted({**origin, "cell": f"{number:02}"}), of_cell, t)
        for number, of_cell in sorted(cells.items())
    ]
    if fields:
        points.append(Point("pack", origin, fields, t))
    points += [
        Point("diagnosis", _sorted({**origin, "cause": cause}), {"probability": float(share)}, t)
        for cause, share in message.causes.items()
        if cause in _CAUSES
    ]
    unknown = (message.rows.keys() - HEALTH_ROWS.keys()) | (message.causes.keys() - _CAUSES)
    return Converted(tuple(points), frozenset(unknown))


def _link(origin: Mapping[str, str], message: LinkMessage) -> Converted:
    fields: dict[str, FieldValue] = {
        name: int(value) for name, value in message.counters.items() if name in FIELDS["link"]
    }
    points = (Point("link", origin, fields, message.t[0]),) if fields else ()
    return Converted(points, frozenset(message.counters.keys() - FIELDS["link"].keys()))


def _sorted(tags: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(tags.items()))


def _field(kind: FieldType, value: _Sent) -> FieldValue:
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return ",".join(str(number) for number in value)
    if value is None:
        raise ValueError("None is not reported, and has no field")
    return float(value) if kind is FieldType.FLOAT else int(value)


def _is_whole(value: _Sent) -> bool:
    return isinstance(value, int | float) and value == value // 1 and abs(value) < _INT64


def _is_number(value: _Sent) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_text(value: _Sent) -> bool:
    return isinstance(value, str)


def _is_cell_numbers(value: _Sent) -> bool:
    return isinstance(value, list) and all(
        number is not None and 1 <= number <= _MOST_CELLS for number in value
    )


def _is_per_cell(value: _Sent) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_CELLS


def _is_float_per_cell(value: _Sent) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= _MOST_CELLS
        and all(each is None or _is_number(each) for each in value)
    )


_IS_RIGHT: Final[Mapping[FieldType, Callable[[_Sent], bool]]] = {
    FieldType.FLOAT: _is_number,
    FieldType.INTEGER: _is_whole,
    FieldType.TEXT: _is_text,
    FieldType.CELL_NUMBERS: _is_cell_numbers,
    FieldType.PER_CELL: _is_per_cell,
    FieldType.FLOAT_PER_CELL: _is_float_per_cell,
}
_IN_WORDS: Final[Mapping[FieldType, str]] = {
    FieldType.FLOAT: "a number",
    FieldType.INTEGER: "a whole number",
    FieldType.TEXT: "a text",
    FieldType.CELL_NUMBERS: f"a list of cell numbers, 1-{_MOST_CELLS}",
    FieldType.PER_CELL: f"a list of at most {_MOST_CELLS} cells",
    FieldType.FLOAT_PER_CELL: f"a list of at most {_MOST_CELLS} numbers",
}

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_TAG_SPECIAL: Final = re.compile(r"([,= ])")


def _tag(text: str) -> str:
    plain = _CONTROL.sub(" ", text).replace("\\", "/")
    return _TAG_SPECIAL.sub(r"\\\1", plain)


def _literal(value: FieldValue) -> str:
    if isinstance(value, str):
        plain = _CONTROL.sub(" ", value)
        return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value) if isinstance(value, float) else f"{value}i"
