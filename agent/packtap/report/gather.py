"""What a capture or a visit told, gathered in constant memory, floor 4.

Fed with the digests of `replaying` or `visiting`, whatever their length; read by `case`. The pack
at the main address is the one that is described.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from ninebot_bms import BMS, Doubt, Snapshot
from packtap.model import Event, EventState
from packtap.report.track import Track
from packtap.tap import Digest

__all__ = ["CellRange", "Gathered", "Noted"]

_CELLS: Final = "cell_voltages_mv"
_MAX_CELLS: Final = 16
_MOST_MV: Final = 10_000
#: Events that are listed; a wire that comes and goes for days raises thousands.
_MOST_EVENTS: Final = 200
_MOST_SERIALS: Final = 8
#: Events of the line come while no reading does: before the first and after the last one.
_SLACK_S: Final = 600.0
#: A doubt that shows in fewer readings comes from two readings of different moments.
_STANDS: Final = 0.1


#: Lowest, mean and highest value of a stretch; None: not read.
_Summed = tuple[float | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class CellRange:
    """One cell over the whole time.

    Attributes:
        number: 1-16.
        mv: last reading; None: not read, or not to be believed.
        low_mv: lowest reading.
        high_mv: highest.
        off_mv: last reading minus the median of that moment.
    """

    number: int
    mv: int | None
    low_mv: int | None
    high_mv: int | None
    off_mv: float | None

    @property
    def off_words(self) -> str:
        """The deviation in whole millivolts with its sign; "" if it is not known."""
        if self.off_mv is None:
            return ""
        off_mv = round(self.off_mv)
        return f"{off_mv:+d}" if off_mv else "0"


@dataclass(frozen=True, slots=True)
class Noted:
    """An event and when it was.

    Attributes:
        event: raised or cleared.
        after_s: seconds since the first reading; None without times, and behind a step of the
            recorder's clock, where the event carries another clock's time.
        is_first: the first of its kind, or of its end.
    """

    event: Event
    after_s: float | None
    is_first: bool


class Gathered:
    """Takes digests in their order."""

    def __init__(self) -> None:
        self.readings = 0
        self.events: list[Event] = []
        self.events_left_out = 0
        self.doubts: dict[str, Doubt] = {}
        self._doubted: Counter[str] = Counter()
        self.serials: dict[str, None] = {}
        self.latest: Snapshot | None = None
        self.deviations = Track(_MAX_CELLS)
        self.power = Track(2)  # volts, amperes
        self.first_t: float | None = None
        self.last_t: float | None = None
        self._cells: tuple[int | None, ...] = ()
        self._lows: list[int | None] = [None] * _MAX_CELLS
        self._highs: list[int | None] = [None] * _MAX_CELLS

    def take(self, digest: Digest) -> None:
        """Note what a stretch of bus events gave."""
        for _, snapshot in digest.snapshots:
            if snapshot.address == BMS:
                self._look(snapshot)
        self.take_events(digest.events)

    def take_events(self, events: Sequence[Event]) -> None:
        """Note what was raised and cleared."""
        room = _MOST_EVENTS - len(self.events)
        self.events += events[:room]
        self.events_left_out += max(0, len(events) - room)

    def take_latest(self, latest: Snapshot, readings: int) -> None:
        """Note what a store knows last of a pack, and how many readings of it it holds."""
        self._look(latest)
        self.readings = readings
        cells = latest.trusted(_CELLS)
        if isinstance(cells, tuple):
            self._look_at_cells(cells, None)

    def take_stretch(
        self, t: float, cells: Sequence[_Summed], power: tuple[_Summed, _Summed]
    ) -> None:
        """Note a stretch of which only lowest, mean and highest value are known.

        Args:
            t: seconds, its middle.
            cells: of each cell, millivolts, cell 1 first.
            power: volts of the pack, and amperes.
        """
        self.first_t = t if self.first_t is None else self.first_t
        self.last_t = t
        for value in zip(*power, strict=True):
            self.power.add(t, value)
        for place, (low, _, high) in enumerate(cells[:_MAX_CELLS]):
            if low is not None and high is not None and high <= _MOST_MV:
                self._widen(place, round(low), round(high))
        means = [mean for _, mean, _ in cells[:_MAX_CELLS]]
        known = [mean for mean in means if mean is not None]
        if len(known) > 1:
            middle = median(known)
            self.deviations.add(t, [None if mean is None else mean - middle for mean in means])

    @property
    def has_times(self) -> bool:
        """Whether the readings have times."""
        return self.first_t is not None

    @property
    def has_cells(self) -> bool:
        """Whether anybody has read the cells."""
        return self.latest is not None and self.latest.values.get(_CELLS) is not None

    @property
    def seconds(self) -> float | None:
        """From the first reading to the last; None without times."""
        if self.first_t is None or self.last_t is None:
            return None
        return self.last_t - self.first_t

    def cells(self) -> tuple[CellRange, ...]:
        """Return every cell, cell 1 first; empty if none can be believed."""
        known = [mv for mv in self._cells if mv is not None]
        if not known:
            return ()
        middle = median(known)
        return tuple(
            CellRange(
                number=place + 1,
                mv=mv,
                low_mv=self._lows[place],
                high_mv=self._highs[place],
                off_mv=None if mv is None else mv - middle,
            )
            for place, mv in enumerate(self._cells)
        )

    def noted(self) -> Iterator[Noted]:
        """Yield the events with the time since the first reading."""
        told = set()
        for event in self.events:
            after_s = None
            if event.t is not None and self.first_t is not None:
                after_s = event.t - self.first_t
                if not -_SLACK_S <= after_s <= (self.seconds or 0.0) + _SLACK_S:
                    after_s = None
            yield Noted(event, after_s, (event.kind, event.state) not in told)
            told.add((event.kind, event.state))

    def standing_doubts(self) -> dict[str, Doubt]:
        """Return the doubts that are more than two readings of different moments."""
        last = () if self.latest is None else self.latest.doubts
        now = {doubt.name for doubt in last}
        return {
            name: doubt
            for name, doubt in self.doubts.items()
            if name in now or self._doubted[name] >= _STANDS * self.readings
        }

    def named(self) -> frozenset[int]:
        """Return the cells that an event has named; an open wire stands between two."""
        cells = set()
        for event in self.events:
            if event.state is EventState.RAISED and event.cell is not None:
                cells.add(event.cell)
                if event.kind == "open_balance_wire":
                    cells.add(event.cell + 1)
        return frozenset(cells)

    def _look(self, snapshot: Snapshot) -> None:
        self.readings += 1
        serial = snapshot.values.get("serial")
        if isinstance(serial, str) and serial not in self.serials:
            if self.serials:
                self._forget_cells()  # another pack
            if len(self.serials) < _MOST_SERIALS:
                self.serials[serial] = None
        self.latest = snapshot
        for doubt in snapshot.doubts:
            self.doubts[doubt.name] = doubt
            self._doubted[doubt.name] += 1
        t = snapshot.t
        if t is not None:
            self.first_t = t if self.first_t is None else self.first_t
            self.last_t = t
            if {"voltage_v", "current_a"} & snapshot.fresh:
                self.power.add(t, [_fresh(snapshot, "voltage_v"), _fresh(snapshot, "current_a")])
        cells = snapshot.trusted(_CELLS)
        if _CELLS in snapshot.fresh and isinstance(cells, tuple):
            self._look_at_cells(cells, t)

    def _look_at_cells(self, cells: tuple[int | None, ...], t: float | None) -> None:
        # A sense wire that is open shows two cells as one; more than that is no voltage at all, and
        # would only flatten the drawings.
        self._cells = tuple(
            None if mv is not None and mv > _MOST_MV else mv for mv in cells[:_MAX_CELLS]
        )
        for place, mv in enumerate(self._cells):
            if mv is not None:
                self._widen(place, mv, mv)
        known = [mv for mv in self._cells if mv is not None]
        if t is not None and len(known) > 1:
            middle = median(known)
            off = [None if mv is None else mv - middle for mv in self._cells]
            self.deviations.add(t, off)

    def _widen(self, place: int, lowest: int, highest: int) -> None:
        low, high = self._lows[place], self._highs[place]
        self._lows[place] = lowest if low is None else min(low, lowest)
        self._highs[place] = highest if high is None else max(high, highest)

    def _forget_cells(self) -> None:
        self._cells = ()
        self._lows = [None] * _MAX_CELLS
        self._highs = [None] * _MAX_CELLS


def _fresh(snapshot: Snapshot, name: str) -> float | None:
    value = snapshot.trusted(name) if name in snapshot.fresh else None
    return float(value) if isinstance(value, int | float) else None
