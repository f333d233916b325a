"""Does the pack rest, and for how long has it? Floor 2.

Rest is a current below 0.3 A. A line that falls silent is a scooter that sleeps, and so does its
pack: the rest goes on across the silence, unless the pack voltage or the board's count of charge
say that something flowed meanwhile. A pack on the bench has been off for long: its rest is endless
from the first reading. Source: events.md sections 4, 5 and 7 (1).
"""

from collections.abc import Callable
from typing import Final

from ninebot_bms import Snapshot

__all__ = ["RestClock"]

#: A line that is silent for longer is asleep, and so is the pack.
_SILENCE_S: Final = 30.0
_STEP_BACK_S: Final = 1.0
#: Across a silence, a change of pack voltage or of the board's charge beyond this (share) says
#: that the pack did not rest. Relaxation after a hard ride lifts the voltage by up to 2 %.
_MOVED: Final = 0.03
_FULL_MAH: Final = 10000.0


def _never() -> bool:
    return False


class RestClock:
    """Knows for how long the pack has rested.

    Args:
        limit_a: magnitude of the current below which it rests.
        rested: whether it is known to have been off for long (bench).
    """

    def __init__(self, limit_a: float = 0.3, rested: Callable[[], bool] = _never) -> None:
        self._limit_a = limit_a
        self._rested = rested
        self._is_quiet = False
        self._quiet_since: float | None = None
        self._t: float | None = None
        self._level: tuple[float | None, float | None] = (None, None)

    def update(self, snapshot: Snapshot) -> None:
        """Take the current if this snapshot newly read it."""
        current = snapshot.trusted("current_a")
        if "current_a" not in snapshot.fresh or not isinstance(current, int | float):
            return
        t = snapshot.times.get("current_a")
        level = (_number(snapshot, "voltage_v"), _number(snapshot, "remaining_capacity_mah"))
        self._is_quiet = abs(current) < self._limit_a
        if not self._is_quiet or t is None:
            self._quiet_since = None
        elif self._quiet_since is None or self._is_interrupted(t, level):
            self._quiet_since = t
        self._t, self._level = t, level

    def rested_s(self, now: float | None) -> float:
        """Return for how long the pack has rested at a moment, seconds; 0 if it does not."""
        if not self._is_quiet:
            return 0.0
        if self._rested():
            return float("inf")
        if self._quiet_since is None or now is None or self._t is None:
            return 0.0
        if now - self._t > _SILENCE_S:
            return 0.0
        return max(0.0, now - self._quiet_since)

    def _is_interrupted(self, t: float, level: tuple[float | None, float | None]) -> bool:
        if self._t is None or t < self._t - _STEP_BACK_S:
            return True
        return t - self._t > _SILENCE_S and self._has_moved(level)

    def _has_moved(self, level: tuple[float | None, float | None]) -> bool:
        return any(
            before is not None and after is not None and abs(after - before) > _MOVED * scale
            for before, after, scale in zip(
                self._level, level, (self._level[0] or 1.0, _FULL_MAH), strict=True
            )
        )


def _number(snapshot: Snapshot, name: str) -> float | None:
    value = snapshot.trusted(name)
    return float(value) if isinstance(value, int | float) else None
