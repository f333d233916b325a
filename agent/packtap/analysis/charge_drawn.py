"""How much charge has been drawn? Floor 2.

Our own count of ampere-hours from the current, because the board's count (0x31, 0x32) is one of the
things to be judged. Polls are up to 6 s apart while charging; across a longer silence the count
stands only if nothing can have flowed: the pack was quiet before and after it, and the board's own
charge register agrees. Otherwise a new segment begins: counts are comparable within one segment.
"""

from typing import Final

from ninebot_bms import Snapshot

__all__ = ["ChargeDrawn"]

_LONGEST_STEP_S: Final = 15.0
_QUIET_A: Final = 0.3
#: Change of the board's own count across a silence that says: something flowed, share of full.
_MOVED: Final = 0.02
_FALLBACK_FULL_MAH: Final = 10000.0
#: So many identical pictures with current are a frozen board, whose current is no current.
_FROZEN_PICTURES: Final = 20


class ChargeDrawn:
    """Counts; positive is drawn, negative is charged.

    Attributes:
        ah: drawn less charged.
        segment: changes where the count was interrupted.
        drawn_ah: drawn alone, over all segments.
        charged_ah: charged alone, over all segments.
    """

    def __init__(self) -> None:
        self.ah = 0.0
        self.drawn_ah = 0.0
        self.charged_ah = 0.0
        self.segment = 0
        self._t: float | None = None
        self._current_a = 0.0
        self._remaining: float | None = None
        self._picture: object = None
        self._same = 0

    def update(self, snapshot: Snapshot) -> None:
        """Take the current if this snapshot newly read it."""
        current = snapshot.trusted("current_a")
        t = snapshot.times.get("current_a")
        if "current_a" not in snapshot.fresh or not isinstance(current, int | float) or t is None:
            return
        remaining = snapshot.trusted("remaining_capacity_mah")
        left = float(remaining) if isinstance(remaining, int | float) else None
        if self._t is not None:
            self._count(t - self._t, float(current), left, snapshot)
        self._t, self._current_a, self._remaining = t, float(current), left
        picture = (current, snapshot.values.get("voltage_v"))
        self._same = self._same + 1 if picture == self._picture else 0
        self._picture = picture

    def _count(
        self, step_s: float, current_a: float, left: float | None, snapshot: Snapshot
    ) -> None:
        if self._same >= _FROZEN_PICTURES and abs(current_a) > _QUIET_A:
            return
        if 0 <= step_s <= _LONGEST_STEP_S:
            moved_ah = (current_a + self._current_a) / 2 * step_s / 3600
            self.ah += moved_ah
            self.drawn_ah += max(0.0, moved_ah)
            self.charged_ah += max(0.0, -moved_ah)
            return
        full = snapshot.trusted("full_capacity_mah") or snapshot.trusted("design_capacity_mah")
        full_mah = float(full) if isinstance(full, int | float) else _FALLBACK_FULL_MAH
        quiet = abs(current_a) < _QUIET_A and abs(self._current_a) < _QUIET_A
        known = left is not None and self._remaining is not None
        moved = known and abs((left or 0) - (self._remaining or 0)) > _MOVED * full_mah
        if step_s < 0 or not quiet or moved:
            self.segment += 1
