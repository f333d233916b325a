"""Makes the rollups: reads InfluxQL, writes through the same v2 address as ingest.

InfluxDB keeps no time of arrival. What it does keep is one point a message in `delivery`, written
after the message's own points. So a day of an agent is redone when more of its messages stand there
than when its windows were made; how many those were stands in `rollup`, written after the windows.
Late readings are found however late they come, a run that was killed is made good by the next one,
and redoing a window overwrites it. A message is filed under its last time: the day before it is
redone too. Where readings have already been removed by retention, the count is lower, and what was
made of them stays.

One day of a few agents is read at a time: memory stays bounded, whatever the fleet.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from packtap.config import InfluxConfig
from packtap.ingest.influx import InfluxSink
from packtap.ingest.influx_query import ask, text_literal
from packtap.points import FieldType, FieldValue, Point
from packtap.rollups import DAY_MS, RECORD, ROLLUPS, Rollup

__all__ = ["DayDone", "RollupMaker"]

_ORIGIN: Final = ("agent", "bus", "site")
_BY_ORIGIN: Final = ", ".join(f'"{name}"' for name in _ORIGIN)
_AGENTS: Final = 20  #: whose series one query reads
_FIELDS: Final = 25  #: of one query: a store spends memory on each

_Origin = tuple[str, str, str]
#: Agent, bus and site, and the begin of a day, to its messages.
_Counts = dict[tuple[_Origin, int], int]


@dataclass(frozen=True, slots=True)
class DayDone:
    """One day whose windows were made.

    Attributes:
        day_ms: its begin, UTC milliseconds.
        agents: buses of agents that were redone.
        windows: points written.
        done: days of this run so far.
        days: days of this run.
    """

    day_ms: int
    agents: int
    windows: int
    done: int
    days: int


class RollupMaker:
    """Makes rollups of one store.

    Args:
        config: where the readings are, and where the rollups go.
        sink: writes to the bucket of the rollups.
    """

    def __init__(self, config: InfluxConfig, sink: InfluxSink) -> None:
        self._config = config
        self._sink = sink
        self._into = config.rollup_bucket or config.bucket

    def run(
        self,
        from_ms: int,
        until_ms: int,
        *,
        again: bool = False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[DayDone]:
        """Redo every day for which something new has arrived, the oldest first.

        Args:
            from_ms: days before that of this time are left as they are; UTC milliseconds.
            until_ms: up to here, now in a service.
            again: redo every day that has a message, new or not.
            stopped: asked before each day.

        Raises:
            DeliveryError: the store cannot be asked, or does not take what was made.
        """
        arrived = self._arrived(from_ms // DAY_MS * DAY_MS, until_ms)
        recorded = {} if again else self._recorded(from_ms // DAY_MS * DAY_MS)
        news = {key for key, count in arrived.items() if count > recorded.get(key, 0)}
        todo = sorted({(day - back, origin) for origin, day in news for back in (0, DAY_MS)})
        by_day = [
            (day, [origin for _, origin in each])
            for day, each in groupby(todo, key=lambda item: item[0])
        ]
        for number, (day, origins) in enumerate(by_day, start=1):
            if stopped():
                return
            windows = sum(
                self._make(day, origins[first : first + _AGENTS])
                for first in range(0, len(origins), _AGENTS)
            )
            # Only now; the day before, which its messages may reach into, has been made too.
            self._sink.write_points(
                _record(origin, day, arrived[origin, day])
                for origin in origins
                if (origin, day) in news
            )
            yield DayDone(day, len(origins), windows, number, len(by_day))

    def _arrived(self, from_ms: int, until_ms: int) -> _Counts:
        query = (
            'SELECT count("seq") AS messages FROM "delivery" '  # noqa: S608 - InfluxQL
            f"WHERE time >= {from_ms}ms AND time < {until_ms}ms "
            f"GROUP BY time(1d), {_BY_ORIGIN} fill(none)"
        )
        return _counts(ask(self._config, query))

    def _recorded(self, from_ms: int) -> _Counts:
        query = (
            f'SELECT "messages" FROM "{RECORD}" '  # noqa: S608 - InfluxQL
            f"WHERE time >= {from_ms}ms GROUP BY {_BY_ORIGIN}"
        )
        return _counts(ask(self._config, query, self._into))

    def _make(self, day: int, origins: Sequence[_Origin]) -> int:
        return self._sink.write_points(
            point
            for rollup in ROLLUPS
            for part in _parts(rollup)
            for point in self._windows(part, day, origins)
        )

    def _windows(self, rollup: Rollup, day: int, origins: Sequence[_Origin]) -> Iterator[Point]:
        columns = ", ".join(
            f'{each.function}("{each.row}") AS "{each.name}"' for each in rollup.fields
        )
        whose = " OR ".join(
            "("
            + " AND ".join(
                f'"{name}" = {text_literal(value)}'
                for name, value in zip(_ORIGIN, origin, strict=True)
            )
            + ")"
            for origin in origins
        )
        tags = ", ".join(f'"{name}"' for name in rollup.tags)
        query = (
            f'SELECT {columns} FROM "{rollup.source}" '  # noqa: S608 - InfluxQL, quoted above
            f"WHERE time >= {day}ms AND time < {day + DAY_MS}ms AND ({whose}) "
            f"GROUP BY time({rollup.window}), {tags} fill(none)"
        )
        types = {each.name: each.type for each in rollup.fields}
        for series in ask(self._config, query):
            of_series = {name: series["tags"][name] for name in rollup.tags}
            for t_ms, *values in series["values"]:
                named = zip(series["columns"][1:], values, strict=True)
                fields = {
                    name: _typed(types[name], value) for name, value in named if value is not None
                }
                if fields:
                    yield Point(rollup.name, of_series, fields, int(t_ms))


def _parts(rollup: Rollup) -> Iterator[Rollup]:
    for first in range(0, len(rollup.fields), _FIELDS):
        yield replace(rollup, fields=rollup.fields[first : first + _FIELDS])


def _record(origin: _Origin, day: int, messages: int) -> Point:
    return Point(RECORD, dict(zip(_ORIGIN, origin, strict=True)), {"messages": messages}, day)


def _counts(answer: Sequence[dict[str, Any]]) -> _Counts:
    counts: _Counts = {}
    for series in answer:
        tags = series["tags"]
        for t_ms, messages in series["values"]:
            if messages:
                counts[(tags["agent"], tags["bus"], tags["site"]), int(t_ms)] = int(messages)
    return counts


def _typed(kind: FieldType, value: float | str) -> FieldValue:
    if isinstance(value, str):
        return value
    return float(value) if kind is FieldType.FLOAT else int(value)
