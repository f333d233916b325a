"""InfluxQL as values: a query that names a field or tag that does not exist cannot be built.

Only what InfluxDB 1.x, 2.x (through a database mapping) and 3.x share: no INTO, no INTEGRAL, no
SLIMIT. Filters are tags and Grafana's variables; a panel's range is its `$timeFilter`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from packtap.points import FIELDS
from packtap.rollups import ROLLUP_FIELDS, ROLLUPS

__all__ = ["RANGE", "VARIABLES", "Query", "q", "tags_of", "unknown_names", "variable_query"]

RANGE: Final = "$timeFilter"
#: Variables of a dashboard, each a tag; a later one lists what the earlier ones leave.
VARIABLES: Final = ("site", "agent", "pack")
#: The variable of the history, and what it may say: part of a measurement's name.
_WINDOW: Final = "${window}"
_WINDOWS: Final = ("5m", "1d")

_ORIGIN: Final = frozenset({"site", "agent", "bus", "pack"})
_TAGS: Final[Mapping[str, frozenset[str]]] = {
    "pack": _ORIGIN,
    "cell": _ORIGIN | {"cell"},
    "event": _ORIGIN | {"cell", "kind", "severity"},
    "diagnosis": _ORIGIN | {"cause"},
    "link": _ORIGIN,
    "delivery": _ORIGIN | {"store"},
    "gap": _ORIGIN | {"store"},
    "ingest": frozenset({"agent", "ingest", "reason"}),
    **{rollup.name: frozenset(rollup.tags) for rollup in ROLLUPS},
}
_ALL: Final = {**FIELDS, **ROLLUP_FIELDS}
_NAME: Final = re.compile(r'"([^"]*)"')
_NEW_NAME: Final = re.compile(r'\bAS "[^"]*"')


def tags_of(measurement: str) -> frozenset[str]:
    """Return the tags of a measurement; of one with the variable `window`, those of all it means.

    Raises:
        ValueError: there is no such measurement.
    """
    tags = [_TAGS[name] for name in _names(measurement) if name in _TAGS]
    if len(tags) != len(_names(measurement)):
        raise ValueError(f"no measurement {measurement!r}")
    return frozenset.intersection(*tags)


def unknown_names(measurement: str, text: str) -> list[str]:
    """Return the quoted names in a text that are neither field nor tag of the measurement."""
    fields = frozenset.intersection(*(frozenset(_ALL[name]) for name in _names(measurement)))
    known = fields | tags_of(measurement)
    return [name for name in _NAME.findall(_NEW_NAME.sub("", text)) if name not in known]


def _names(measurement: str) -> list[str]:
    return [
        measurement.replace(_WINDOW, window) for window in _WINDOWS[: 1 + (_WINDOW in measurement)]
    ]


@dataclass(frozen=True, slots=True)
class Query:
    """One statement.

    Attributes:
        measurement: where it looks.
        select: the columns; every field in double quotes, names of the answer without.
        by: tags that tell the rows apart.
        every: width of a window of time, "" = none.
        where: further conditions, tags in double quotes.
        range: condition on the time.
        variables: whether the dashboard's variables choose what is seen.
        outer: columns over the answer; the statement becomes a subquery.
        outer_by: tags of the outer statement.
        outer_every: window of the outer statement, "" = none.
        fill: what stands in a window without a reading.
    """

    measurement: str
    select: str
    by: tuple[str, ...] = ()
    every: str = ""
    where: str = ""
    range: str = RANGE
    variables: bool = True
    outer: str = ""
    outer_by: tuple[str, ...] = ()
    outer_every: str = ""
    fill: str = "none"

    def __post_init__(self) -> None:
        tags = tags_of(self.measurement)
        wrong = unknown_names(self.measurement, f"{self.select} {self.where}")
        wrong += [tag for tag in (*self.by, *self.outer_by) if tag not in tags]
        if wrong:
            raise ValueError(f"{self.measurement} has no {', '.join(wrong)}")

    @property
    def text(self) -> str:
        """The statement."""
        tags = tags_of(self.measurement)
        chosen = [
            f'"{name}" =~ /^${{{name}:regex}}$/' for name in VARIABLES if name in tags
        ] * self.variables
        conditions = " AND ".join([each for each in (self.where, *chosen, self.range) if each])
        inner = (
            f'SELECT {self.select} FROM "{self.measurement}" '  # noqa: S608 - InfluxQL
            f"WHERE {conditions}{_group(self.every, self.by, self.fill)}"
        )
        if not self.outer:
            return inner
        group = _group(self.outer_every, self.outer_by, self.fill)
        return f"SELECT {self.outer} FROM ({inner}) WHERE {self.range}{group}"  # noqa: S608


def q(measurement: str, select: str, *by: str, every: str = "", where: str = "") -> Query:
    """Return a plain query."""
    return Query(measurement, select, by, every, where)


def _group(every: str, by: tuple[str, ...], fill: str) -> str:
    parts = ([f"time({every})"] if every else []) + [f'"{tag}"' for tag in by]
    if not parts:
        return ""
    return f" GROUP BY {', '.join(parts)}" + (f" fill({fill})" if every else "")


def variable_query(name: str, measurement: str = "pack") -> str:
    """Return the question for the values of a variable, within those chosen before it."""
    before = [f'"{each}" =~ /^${{{each}:regex}}$/' for each in VARIABLES[: VARIABLES.index(name)]]
    where = f" WHERE {' AND '.join(before)}" if before else ""
    return f'SHOW TAG VALUES FROM "{measurement}" WITH KEY = "{name}"{where}'
