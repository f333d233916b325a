"""What current flowed when the cells were measured? Floor 2.

Registers hold the last cycle of the measuring chip, and cells, current and pack voltage are read
0-0.5 s apart: during a current step the same pack shows 20-100 mV of spread that no cell has. So a
reading of the cells waits for the next reading of the current, and then says both the current at
its own time (interpolated) and how far the current moved around it. A detector weighs or leaves
out what was read while the current moved. Source: events.md sections 4 and 7 (2).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ninebot_bms import Snapshot
from packtap.analysis.charge_drawn import ChargeDrawn
from packtap.analysis.rest import RestClock

__all__ = ["CellReader", "CellReading", "middle", "number", "standing"]

_CELLS: Final = "cell_voltages_mv"
#: Current and pack voltage further from the cells than this belong to another moment, seconds.
_NEIGHBOUR_S: Final = 8.0  # a charge is polled every 6 s
_WINDOW_S: Final = 1.2  # 0.5 s of skew either way, and polls up to a second apart
_KEPT: Final = 16
_RECENT_BLEED_S: Final = 60.0
_BLEEDING: Final = "balancing_cells"
#: A silence after which the balancer may have switched, and how long to wait for what it says then:
#: masters ask at power-up, or every other second, or not at all.
_SILENCE_S: Final = 30.0
_BLEED_TOLD_S: Final = 2.5
#: Time that steps back or ahead by this is another clock.
_STEP_BACK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class CellReading:
    """The cells at one moment, with the current of that moment.

    Attributes:
        t: seconds, when the cells were read; None for input without times.
        known_t: seconds, when the last of what is in here was read: the time of a verdict.
        cells_mv: cell 1 first; None: not read, or not to be judged now.
        current_a: at `t`; None if it is not known.
        swing_a: how far the current moved in the second around `t`; None if that is not known.
        voltage_v: of the pack at `t`.
        status: register 0x30.
        soc_pct: what the board says.
        capacity_mah: full capacity as the board says it, else the design capacity.
        design_mah: design capacity.
        bleeding: cells that the balancer bled within the last minute.
        bleeding_now: those that it bleeds now, as the board said last.
        bleeding_known: that is not an answer from before the last silence.
        rested_s: how long the pack has rested; 0 if it does not; infinite where it was off before.
        drawn_ah: charge drawn since counting began; falls while charging.
        segment: changes where the count was interrupted: drawn_ah is comparable within one.
    """

    t: float | None
    known_t: float | None
    cells_mv: tuple[int | None, ...]
    current_a: float | None = None
    swing_a: float | None = None
    voltage_v: float | None = None
    status: int | None = None
    soc_pct: float | None = None
    capacity_mah: float | None = None
    design_mah: float | None = None
    bleeding: frozenset[int] = frozenset()
    bleeding_now: frozenset[int] = frozenset()
    bleeding_known: bool = True
    rested_s: float = 0.0
    drawn_ah: float = 0.0
    segment: int = 0


@dataclass(frozen=True, slots=True)
class _State:
    """Current and pack voltage of one moment."""

    t: float
    current_a: float
    voltage_v: float | None


class CellReader:
    """Turns snapshots into readings of the cells.

    Args:
        rest: knows whether the pack rests; updated here.
        drawn: counts charge; updated here.
    """

    def __init__(self, rest: RestClock, drawn: ChargeDrawn) -> None:
        self._rest = rest
        self._drawn = drawn
        self._states: deque[_State] = deque(maxlen=_KEPT)
        self._waiting: Snapshot | None = None
        self._bled: dict[int, float] = {}
        self._last_t: float | None = None
        self._woke_t: float | None = None

    def update(self, snapshot: Snapshot) -> Iterator[CellReading]:
        """Take a snapshot; yield the readings that it completes."""
        t = snapshot.t
        self._rest.update(snapshot)
        if t is None:
            if standing(snapshot) is not None:
                yield self._reading(snapshot, None)
            return
        if self._last_t is not None and t < self._last_t - _STEP_BACK_S:
            self._states.clear()
            self._waiting = None
            self._bled.clear()
        if self._last_t is None or abs(t - self._last_t) > _SILENCE_S:
            self._woke_t = t
        self._last_t = t
        self._drawn.update(snapshot)
        self._take_bleeding(snapshot)
        state = _state(snapshot)
        waiting = self._waiting
        if state is not None:
            self._states.append(state)
            if waiting is not None and state.t > (waiting.times.get(_CELLS) or 0.0):
                self._waiting = None
                yield self._reading(waiting, t)
        if standing(snapshot) is not None:
            if self._waiting is not None:
                yield self._reading(self._waiting, t)
            self._waiting = snapshot

    def _take_bleeding(self, snapshot: Snapshot) -> None:
        bleeding = snapshot.trusted(_BLEEDING)
        t = snapshot.t
        if _BLEEDING not in snapshot.fresh or not isinstance(bleeding, tuple) or t is None:
            return
        self._bled = {cell: at for cell, at in self._bled.items() if t - at < _RECENT_BLEED_S}
        self._bled |= {cell: t for cell in bleeding if cell is not None}

    def _reading(self, snapshot: Snapshot, known_t: float | None) -> CellReading:
        t = snapshot.times.get(_CELLS)
        current_a, swing_a, voltage_v = self._around(t)
        if t is None:
            current_a, voltage_v = number(snapshot, "current_a"), number(snapshot, "voltage_v")
        status = number(snapshot, "status")
        bleeding = snapshot.trusted(_BLEEDING)
        now = frozenset[int]()
        if isinstance(bleeding, tuple):
            now = frozenset(cell for cell in bleeding if cell is not None)
        bled = now | (frozenset(self._bled) if t is not None else now)
        design_mah = number(snapshot, "design_capacity_mah") or None
        return CellReading(
            t=t,
            known_t=known_t,
            cells_mv=standing(snapshot) or (),
            current_a=current_a,
            swing_a=swing_a,
            voltage_v=voltage_v,
            status=None if status is None else int(status),
            soc_pct=number(snapshot, "soc_pct"),
            capacity_mah=number(snapshot, "full_capacity_mah") or design_mah,
            design_mah=design_mah,
            bleeding=bled,
            bleeding_now=now,
            bleeding_known=self._is_bleeding_known(snapshot, t),
            rested_s=self._rest.rested_s(known_t),
            drawn_ah=self._drawn.ah,
            segment=self._drawn.segment,
        )

    def _is_bleeding_known(self, snapshot: Snapshot, t: float | None) -> bool:
        told_t = snapshot.times.get(_BLEEDING)
        if t is None or told_t is None or self._woke_t is None:
            return True
        # The reply may be a little older than the snapshot that first showed that it is awake.
        return told_t >= self._woke_t - 1.0 or t - self._woke_t > _BLEED_TOLD_S

    def _around(self, t: float | None) -> tuple[float | None, float | None, float | None]:
        """Return current, its swing, and pack voltage at one moment."""
        if t is None:
            return None, None, None
        before = [state for state in self._states if 0 <= t - state.t <= _NEIGHBOUR_S]
        after = [state for state in self._states if 0 < state.t - t <= _NEIGHBOUR_S]
        if not before and not after:
            return None, None, None
        left, right = (before or after)[-1], (after or before)[0]
        near = [state.current_a for state in self._states if abs(state.t - t) <= _WINDOW_S]
        near += [left.current_a, right.current_a]
        share = 0.0 if right.t <= left.t else (t - left.t) / (right.t - left.t)
        current_a = left.current_a + share * (right.current_a - left.current_a)
        voltage_v = left.voltage_v
        if left.voltage_v is not None and right.voltage_v is not None:
            voltage_v = left.voltage_v + share * (right.voltage_v - left.voltage_v)
        # What came after the cells may answer an older question: without it nothing is known.
        swing_a = max(near) - min(near) if before and after else None
        return current_a, swing_a, voltage_v


def number(snapshot: Snapshot, name: str) -> float | None:
    """Return a number that can be believed, else None."""
    value = snapshot.trusted(name)
    return float(value) if isinstance(value, int | float) else None


def standing(snapshot: Snapshot) -> tuple[int | None, ...] | None:
    """Return the cells if this snapshot newly read them and they can be believed."""
    cells = snapshot.trusted(_CELLS) if _CELLS in snapshot.fresh else None
    return cells if isinstance(cells, tuple) else None


def middle(values: Sequence[float]) -> float:
    """Return the median of at least one number."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _state(snapshot: Snapshot) -> _State | None:
    current_a, t = number(snapshot, "current_a"), snapshot.times.get("current_a")
    if "current_a" not in snapshot.fresh or current_a is None or t is None:
        return None
    is_together = snapshot.times.get("voltage_v") == t
    return _State(t, current_a, number(snapshot, "voltage_v") if is_together else None)
