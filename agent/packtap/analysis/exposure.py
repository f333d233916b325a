"""How much of a pack's life has been seen: rest, load, charge, time. Floor 2, constant memory.

A kind that stayed quiet says more after a thousand readings than after three, and a kind that
could not be judged lacks something that can be named. This module counts; `requirements` compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from ninebot_bms import Snapshot
from ninebot_bms.registers import by_name

__all__ = ["Exposure"]

_CELLS: Final = "cell_voltages_mv"
#: Below this the pack rests, above the other it works. Source: events.md section 7.
_QUIET_A: Final = 0.3
_LOAD_A: Final = 2.0
_MOST_A: Final = 100.0
#: Between two readings further apart nobody knows what flowed.
_NEIGHBOUR_S: Final = 10.0
_CELL_V: Final = 3.65  #: nominal voltage of a cell; boards report 36.0, 36.5 or 37.0 V for ten


@dataclass(slots=True)
class Exposure:
    """What the readings of one pack have covered so far.

    Attributes:
        readings: snapshots.
        cell_readings: with newly read cells.
        rest_readings: of the cells, with less than 0.3 A.
        load_readings: of the cells, with 2 A or more out of the pack.
        charge_readings: of the cells, with 0.3 A or more into it.
        watched_s: time between neighbouring readings, summed up.
        rest_s: longest unbroken rest, seconds, a sleeping line included.
        moved_mah: charge that flowed in or out.
        cells: number of series cells; None while it is not known.
        pack_v: last voltage that the board reported.
        capacity_mah: full capacity as the board says it, else the design capacity.
        rows: quantities that have been reported.
    """

    readings: int = 0
    cell_readings: int = 0
    rest_readings: int = 0
    load_readings: int = 0
    charge_readings: int = 0
    watched_s: float = 0.0
    rest_s: float = 0.0
    moved_mah: float = 0.0
    cells: int | None = None
    pack_v: float | None = None
    capacity_mah: int | None = None
    rows: set[str] = field(default_factory=set)
    _t: float | None = field(default=None, compare=False)
    _rest_since: float | None = field(default=None, compare=False)
    _current_a: float | None = field(default=None, compare=False)

    def look(self, snapshot: Snapshot) -> None:
        """Take the next snapshot."""
        self.readings += 1
        self.rows |= {name for name in snapshot.fresh if snapshot.trusted(name) is not None}
        self.cells = snapshot.cell_count or self.cells or _cells_by_design(snapshot)
        volts = snapshot.trusted("voltage_v")
        if isinstance(volts, int | float):
            self.pack_v = float(volts)
        for name in ("design_capacity_mah", "full_capacity_mah"):
            capacity = snapshot.trusted(name)
            if isinstance(capacity, int) and capacity > 0:
                self.capacity_mah = capacity
        current = snapshot.trusted("current_a")
        current_a = float(current) if isinstance(current, int | float) else None
        if current_a is not None and abs(current_a) > _MOST_A:
            current_a = None  # no scooter: a garbled word
        self._take_time(snapshot.t, current_a)
        if _CELLS in snapshot.fresh and snapshot.trusted(_CELLS) is not None:
            self.cell_readings += 1
            if current_a is not None:
                self.rest_readings += abs(current_a) < _QUIET_A
                self.load_readings += current_a >= _LOAD_A
                self.charge_readings += current_a <= -_QUIET_A

    def _take_time(self, t: float | None, current_a: float | None) -> None:
        before, self._t = self._t, t if t is not None else self._t
        if t is None:
            return
        step_s = 0.0 if before is None else t - before
        if 0 < step_s <= _NEIGHBOUR_S:
            self.watched_s += step_s
            if self._current_a is not None:
                self.moved_mah += abs(self._current_a) * step_s / 3.6
        if step_s < 0 or current_a is None or abs(current_a) >= _QUIET_A:
            self._rest_since = None
        elif self._rest_since is None:
            self._rest_since = t
        if self._rest_since is not None:
            self.rest_s = max(self.rest_s, t - self._rest_since)
        if current_a is not None:
            self._current_a = current_a

    def merged(self, later: "Exposure") -> "Exposure":
        """Return both together, for stretches that do not overlap."""
        both = Exposure(rows=self.rows | later.rows)
        for name in _KEPT:
            mine, its = getattr(self, name), getattr(later, name)
            if name in _LATEST:
                value = mine if its is None else its
            else:
                value = max(mine, its) if name == "rest_s" else mine + its
            setattr(both, name, value)
        both._t, both._rest_since, both._current_a = later._t, later._rest_since, later._current_a
        return both

    def state(self) -> dict[str, object]:
        """Return everything that outlives a restart, as JSON can keep it."""
        kept: dict[str, object] = {name: getattr(self, name) for name in _KEPT}
        return kept | {"rows": sorted(self.rows)}

    @classmethod
    def from_state(cls, state: object) -> "Exposure":
        """Return what `state` described; what is not understood is left out."""
        if not isinstance(state, Mapping):
            return cls()
        restored = cls()
        for name in _KEPT:
            value = state.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
                whole = isinstance(getattr(restored, name), int) or name in _WHOLE
                setattr(restored, name, int(value) if whole else float(value))
        rows = state.get("rows")
        if isinstance(rows, list):
            restored.rows = {row for row in rows if isinstance(row, str) and row in by_name}
        return restored


_WHOLE: Final = frozenset({"cells", "capacity_mah"})
#: Of two stretches the later one says it.
_LATEST: Final = frozenset({"cells", "pack_v", "capacity_mah"})
#: Counts and sums; what belongs to the moment (time, current) does not outlive a restart.
_KEPT: Final = tuple(
    entry.name
    for entry in fields(Exposure)
    if entry.name != "rows" and not entry.name.startswith("_")
)


def _cells_by_design(snapshot: Snapshot) -> int | None:
    volts = snapshot.trusted("design_voltage_v")
    if not isinstance(volts, int | float) or volts <= 0:
        return None
    return round(volts / _CELL_V)
