"""Is it the sense wires that err, and not the cells? Floor 2.

The measuring chip sees the potentials of the nodes between the cells, not the cells. A node that
floats moves two neighbouring readings by the same amount in opposite directions; their sum, and
the pack voltage, do not change. One such node is an open wire. Three or more neighbouring nodes
that wander, not tied to the current, are moisture: leakage between the wires of the harness.

An open wire with a strong pull reads 0 V on one side; the other side has the voltage of both, or
what the chip's full scale (6.3 V) leaves of it: then the sum does change.
Source: events.md sections 2 and 7 (5); TI e2e 811029; LTC6802, BQ769x2 datasheets.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding, Held
from packtap.analysis.reading import CellReading, middle
from packtap.model import Event

__all__ = ["MoistureCheck", "OpenWireCheck", "SenseWireLimits", "open_pairs"]


@dataclass(frozen=True, slots=True)
class SenseWireLimits:
    """What tells a floating node from cells that differ.

    Attributes:
        pair_mv: either cell of a pair is off the median by this much. No two neighbours differ in
            charge by as much, in opposite directions and equally.
        pair_share: by which the two may differ, share.
        pair_base_mv: and millivolts, for the spread of the cells themselves.
        others_mv: the cells that are no pair stay within this, else more than one node moves.
        cell_mv: no cell is higher; the other one of the pair then is what the pull left.
        hits: readings that show the same pair
        hits_s: within this time (a loose wire opens for a second at a time).
        quiet_s: without a hit for this long the wire is well again.
        swing_a: in a current step neighbours differ because they are measured at different times.
        level_mv: change of the median cell between two readings that may be compared: a current
            that swings in step with the polls does not show in the current.
        wander_mv: mean change from reading to reading that a dry cell at steady current, with
            1-2 mV of flicker, does not show.
        busy_share: while the balancer switches, which moves readings by up to 60 mV, but only
            every 5-20 seconds, so many of the readings must have changed,
        busy_apart_s: and only readings this close together are compared.
        rest_a: below this current, and without bleeding, dry cells stand still
        slow_s: over so many seconds as well,
        slow_most_s: if the readings are no further apart than this.
        wander_cells: neighbouring cells: one more than the nodes.
        wander_readings: for so many readings.
        wander_memory: readings over which the changes are averaged.
        sum_share: the changes of the neighbours cancel: share of their size that may remain.
    """

    pair_mv: float = of_pack("open_balance_wire_mv")
    pair_share: float = 0.12
    pair_base_mv: float = 25.0
    others_mv: float = 120.0
    cell_mv: float = 4450.0
    hits: int = 2
    hits_s: float = 300.0
    quiet_s: float = 600.0
    swing_a: float = 2.0
    level_mv: float = 12.0
    wander_mv: float = of_pack("moisture_mv")
    busy_share: float = 0.6
    busy_apart_s: float = 3.0
    rest_a: float = 0.3
    slow_s: float = 5.0
    slow_most_s: float = 15.0
    wander_cells: int = 4
    wander_readings: int = 6
    wander_memory: float = 8.0
    sum_share: float = 0.4


_LIMITS: Final = SenseWireLimits()
_FLICKER_MV: Final = 4.0  # of a dry cell, and of a sum of dry cells
_MOST_MV: Final = 60.0
_SMALL_PACK: Final = 5  # cells, all of which four wet nodes can move


def open_pairs(
    cells_mv: Sequence[int | None], limits: SenseWireLimits = _LIMITS
) -> tuple[tuple[int, int], ...]:
    """Return the neighbours whose readings err against each other, cells numbered from 1.

    At most one pair: more than one node astray is no open wire.
    """
    known = [mv for mv in cells_mv if mv is not None]
    if len(known) < 4:
        return ()
    level = middle(known)
    off = [None if mv is None else mv - level for mv in cells_mv]
    pairs = []
    for left in range(len(off) - 1):
        first, second = off[left], off[left + 1]
        if first is None or second is None or first * second >= 0:
            continue
        low, high = sorted((abs(first), abs(second)))
        is_balanced = high - low <= limits.pair_share * high + limits.pair_base_mv
        rises_mv = level + max(first, second)
        is_clipped = rises_mv > limits.cell_mv and level + min(first, second) < level / 2
        others = [
            abs(each)
            for place, each in enumerate(off)
            if each is not None and place not in (left, left + 1)
        ]
        is_alone = max(others) <= max(limits.others_mv, 0.25 * low)
        if low >= limits.pair_mv and (is_balanced or is_clipped) and is_alone:
            pairs.append((left + 1, left + 2))
    return tuple(pairs) if len(pairs) == 1 else ()


class OpenWireCheck:
    """Judges pairs."""

    def __init__(self, limits: SenseWireLimits = _LIMITS) -> None:
        self._limits = limits
        self._hits: dict[tuple[int, int], list[float]] = {}
        self._open: tuple[int, int] | None = None
        self._last_hit: float | None = None
        self.judged: set[str] = set()

    def reopen(self, event: Event) -> None:
        """Take an event that is open although this check does not know it: it has to end it."""
        if event.kind == "open_balance_wire" and event.cell is not None:
            self._open = (event.cell, event.cell + 1)

    def take(self, reading: CellReading) -> Iterator[Finding]:
        """Yield findings about the wire between two cells; the lower cell is named."""
        if sum(mv is not None for mv in reading.cells_mv) < 4:
            return
        self.judged.add("open_balance_wire")
        limits, t = self._limits, reading.t
        for pair in open_pairs(reading.cells_mv, limits):
            hits = self._hits.setdefault(pair, [])
            if t is not None:
                hits[:] = [hit for hit in hits[-limits.hits :] if 0 <= t - hit <= limits.hits_s]
                hits.append(t)
            if t is None or len(hits) >= limits.hits or pair == self._open:
                self._open, self._last_hit = pair, t
                yield self._finding(pair, reading)
        if self._open is None or t is None:
            return
        if self._last_hit is None:  # it was open before anything was read
            self._last_hit = t
        if not 0 <= t - self._last_hit <= limits.quiet_s:
            pair, self._open = self._open, None
            self._hits.clear()
            yield Finding("open_balance_wire", False, reading.known_t, pair[0])

    def _finding(self, pair: tuple[int, int], reading: CellReading) -> Finding:
        known = [mv for mv in reading.cells_mv if mv is not None]
        low, high = reading.cells_mv[pair[0] - 1], reading.cells_mv[pair[1] - 1]
        off_mv = round(max(abs((low or 0) - middle(known)), abs((high or 0) - middle(known))))
        detail = f"cells {pair[0]} and {pair[1]} read {low} and {high} mV"
        return Finding(
            "open_balance_wire",
            True,
            reading.known_t,
            pair[0],
            off_mv,
            self._limits.pair_mv,
            detail,
        )


class _Wander:
    """How far, and how often, each cell moves together with its neighbours."""

    __slots__ = ("before", "busy", "moved", "readings", "t")

    def __init__(self) -> None:
        self.before: list[float] = []
        self.t: float | None = None
        self.moved: list[float] = []
        self.busy: list[float] = []
        self.readings = 0

    def changes(self, known: list[float], t: float) -> list[float] | None:
        """Take a reading; return how each cell changed, None if there is nothing to compare."""
        before, self.before, self.t = self.before, known, t
        if len(before) == len(known):
            return [now - then for now, then in zip(known, before, strict=True)]
        self.moved, self.busy = [0.0] * len(known), [0.0] * len(known)
        self.readings = 0
        return None

    def count(self, changes: Sequence[float], limits: SenseWireLimits) -> None:
        """Average the changes."""
        keep = math.exp(-1 / limits.wander_memory)
        block = _block([abs(change) for change in changes], limits.wander_mv / 2, limits)
        rest = abs(sum(changes[place] for place in block))
        size = max((abs(changes[place]) for place in block), default=0.0)
        cancels = rest <= limits.sum_share * size + _FLICKER_MV
        self.readings += 1
        for place, change in enumerate(changes):
            has_moved = cancels and place in block
            # One open wire jumps by volts: what counts here is how often, not how far.
            counted_mv = min(abs(change), _MOST_MV if has_moved else _FLICKER_MV)
            self.moved[place] = keep * self.moved[place] + (1 - keep) * counted_mv
            self.busy[place] = keep * self.busy[place] + (1 - keep) * has_moved


class MoistureCheck:
    """Judges how the readings wander, from one to the next, and at rest also over some seconds.

    A film that dries or spreads moves the nodes slowly: from reading to reading by no more than
    the flicker. Dry cells at rest stand still over seconds as well.
    """

    def __init__(self, limits: SenseWireLimits = _LIMITS) -> None:
        self._limits = limits
        self._quick, self._slow = _Wander(), _Wander()
        self._held = Held(5.0, readings=limits.wander_readings)
        self._calm = Held(limits.quiet_s, readings=limits.wander_readings)
        self.wet: frozenset[int] = frozenset()  #: cells whose readings wander now
        self.judged: set[str] = set()

    def take(self, reading: CellReading) -> Iterator[Finding]:
        """Yield findings about the pack."""
        limits = self._limits
        known = [float(mv) for mv in reading.cells_mv if mv is not None]
        is_steady = reading.swing_a is not None and reading.swing_a <= limits.swing_a
        if len(known) < max(limits.wander_cells, len(reading.cells_mv)) or not is_steady:
            return
        if reading.t is None:
            return
        self._take_slow(reading, known, reading.t)
        before_t = self._quick.t
        changes = self._quick.changes(known, reading.t)
        if changes is None or before_t is None:
            return
        is_close = 0 <= reading.t - before_t <= limits.busy_apart_s
        if abs(middle(changes)) > limits.level_mv or (reading.bleeding and not is_close):
            return
        self._quick.count(_own(changes), limits)
        yield from self._judge(reading)

    def _take_slow(self, reading: CellReading, known: list[float], t: float) -> None:
        limits, slow = self._limits, self._slow
        rests = reading.current_a is not None and abs(reading.current_a) < limits.rest_a
        if not rests or reading.bleeding:
            self._slow = _Wander()
            return
        since_s = math.inf if slow.t is None else t - slow.t
        if 0 <= since_s < limits.slow_s:
            return
        if not limits.slow_s <= since_s <= limits.slow_most_s:
            slow = self._slow = _Wander()
        changes = slow.changes(list(known), t)
        if changes is not None and abs(middle(changes)) <= limits.level_mv:
            slow.count(_own(changes), limits)

    def _judge(self, reading: CellReading) -> Iterator[Finding]:
        limits, quick = self._limits, self._quick
        moved = quick.moved
        if reading.bleeding:
            busy = zip(quick.moved, quick.busy, strict=True)
            moved = [size if share >= limits.busy_share else 0.0 for size, share in busy]
        wet = _block(moved, limits.wander_mv, limits)
        value_mv = max((quick.moved[place] for place in wet), default=0.0)
        if not wet and self._slow.readings >= limits.wander_readings:
            wet = _block(self._slow.moved, limits.wander_mv, limits)
            value_mv = max((self._slow.moved[place] for place in wet), default=0.0)
        self.wet = frozenset(place + 1 for place in wet)
        if quick.readings >= limits.wander_readings:
            self.judged.add("moisture_suspected")
        present = self._held.update(bool(wet), reading.t)
        absent = self._calm.update(not wet, reading.t)
        if present or absent:
            yield Finding(
                "moisture_suspected",
                present,
                reading.known_t,
                value=round(value_mv, 1),
                limit=limits.wander_mv,
                detail=f"cells {', '.join(str(place + 1) for place in wet)}" if wet else "",
            )


def _own(changes: Sequence[float]) -> list[float]:
    """Return the changes of the cells without what all of them share.

    The median is what they share, while most cells are dry. In a small pack they may all be wet:
    then nodes that wander leave the mean where it was. One cell alone moves the mean too, but by a
    third of itself at most.
    """
    common = middle(changes)
    if len(changes) <= _SMALL_PACK:
        mean = sum(changes) / len(changes)
        sizes = sorted((abs(change - mean) for change in changes), reverse=True)
        if sizes[2] >= 0.45 * sizes[0]:
            common = mean
    return [change - common for change in changes]


def _block(sizes: Sequence[float], least: float, limits: SenseWireLimits) -> tuple[int, ...]:
    """Return the longest run of neighbours above `least`, empty if it is too short."""
    best: tuple[int, ...] = ()
    run: list[int] = []
    for place, size in enumerate(sizes):
        if size >= least:
            run.append(place)
        else:
            run = []
        if len(run) > len(best):
            best = tuple(run)
    return best if len(best) >= limits.wander_cells else ()
