"""What stands in `pack_5m cell_5m pack_1d cell_1d`, floor 2: names and types, from the rows.

A quantity with a unit is kept as `<row>_min _max _mean _last` of each window; a count, a code or a
text has no mean and is kept as `<row>_last`. The time of a point is the begin of its window, UTC.
Beside them `rollup` says how many messages of a day the windows of an agent were made from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ninebot_bms.registers import REGISTERS
from packtap.derived import DERIVED
from packtap.points import FIELDS, FieldType

__all__ = ["DAY_MS", "RECORD", "ROLLUPS", "ROLLUP_FIELDS", "Rolled", "Rollup"]

DAY_MS: Final = 86_400_000
_NUMBERS: Final = frozenset({FieldType.FLOAT, FieldType.INTEGER})
_UNITS: Final = {row.name: row.unit for row in REGISTERS} | {
    row.name: row.unit for row in DERIVED
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rolled:
    """One field of a rollup.

    Attributes:
        name: of the field.
        row: the field that it is made from.
        function: of InfluxQL: min, max, mean or last.
        type: for ever.
    """

    name: str
    row: str
    function: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class Rollup:
    """One measurement of windows.

    Attributes:
        name: of the measurement.
        source: measurement of the readings.
        window: its length in InfluxQL.
        tags: that tell its series apart, sorted.
        fields: what is kept of each window.
    """

    name: str
    source: str
    window: str
    tags: tuple[str, ...]
    fields: tuple[Rolled, ...]


def _rolled(row: str, kind: FieldType) -> tuple[Rolled, ...]:
    has_mean = kind in _NUMBERS and (row == "voltage_mv" or bool(_UNITS.get(row)))
    functions = ("min", "max", "mean", "last") if has_mean else ("last",)
    return tuple(
        Rolled(f"{row}_{each}", row, each, FieldType.FLOAT if each == "mean" else kind)
        for each in functions
    )


def _rollup(source: str, window: str, tags: tuple[str, ...]) -> Rollup:
    fields = tuple(each for row, kind in FIELDS[source].items() for each in _rolled(row, kind))
    return Rollup(f"{source}_{window}", source, window, tags, fields)


_OF_PACK: Final = ("agent", "bus", "pack", "site")
_OF_CELL: Final = ("agent", "bus", "cell", "pack", "site")

ROLLUPS: Final = tuple(
    _rollup(source, window, tags)
    for source, tags in (("pack", _OF_PACK), ("cell", _OF_CELL))
    for window in ("5m", "1d")
)

#: Measurement of the record: one point an agent's bus and day, at the day's begin.
RECORD: Final = "rollup"

#: Measurement -> field -> type: everything that `packtap ingest rollup` writes.
ROLLUP_FIELDS: Final[Mapping[str, Mapping[str, FieldType]]] = MappingProxyType(
    {rollup.name: {each.name: each.type for each in rollup.fields} for rollup in ROLLUPS}
    | {RECORD: {"messages": FieldType.INTEGER}}
)
