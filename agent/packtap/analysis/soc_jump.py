"""Does the board's percentage leap? Floor 2.

Charge flows at so many amperes; a percentage that changes by more than that between two polls was
wrong before or is wrong now. It needs no cells, so a plain tap judges it too. What is no fault:

* Boards set it to 100 when a charge ends, and some to 0 at the bottom (protocol.md section 0, item
  10): a leap to an end counts only where the cells prove that the pack is not there. Nor does one
  away from 0, when the load is gone.
* Across a gap in the answers nobody knows what happened: the board may have slept, or started anew
  with another estimate. A leap counts between neighbouring polls only. (A board that starts anew
  within one poll and then says something else has counted wrongly all the same.)
* Another pack has checks of its own; a pack whose serial is not read is swapped with a gap.
* One damaged word passes the checksum now and then: the new value must stay.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ninebot_bms import Snapshot
from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding
from packtap.analysis.reading import middle, number
from packtap.model import Event

__all__ = ["SocJumpCheck", "SocJumpLimits"]

_KIND: Final = "soc_miscalibration"
_CELLS: Final = "cell_voltages_mv"
_FULL_BITS: Final = 0x02C0  # full, charger inserted, charging


@dataclass(frozen=True, slots=True)
class SocJumpLimits:
    """What a leap is, points of charge.

    Attributes:
        jump_pct: beyond what can have flowed. Boards count in steps of 1, corrected by 2-3.
        stays_pct: it has stayed if it is within this of where it landed,
        stays_s: for so long,
        stays_readings: in so many readings.
        gap_s: polls further apart are not neighbours; a charge is polled every 6 s.
        gap_share: nor those further apart than so many usual ones.
        burst_a: that can have flowed between two polls.
        least_mah: capacity of a pack that does not tell it.
        full_pct: from here on it is an end.
        empty_pct: up to here it is the other end.
        not_full_mv: a pack whose median cell is below this cannot have become full,
        charge_a: unless so much was charged
        charged_s: within so long.
        not_empty_mv: a pack whose lowest cell is above this is not at the bottom.
        quiet_s: where no cells are read, it is over after so long without a leap.
    """

    jump_pct: float = of_pack("soc_jump_pct")
    stays_pct: float = 3.0
    stays_s: float = 10.0
    stays_readings: int = 5
    gap_s: float = 10.0
    gap_share: float = 2.5
    burst_a: float = 30.0
    least_mah: float = 5000.0
    full_pct: float = 98.0
    empty_pct: float = 2.0
    not_full_mv: float = 4000.0
    charge_a: float = 0.2
    charged_s: float = 600.0
    not_empty_mv: float = 3400.0
    quiet_s: float = 3600.0


class _Leap:
    """A leap that must stay."""

    __slots__ = ("after_pct", "before_pct", "readings", "t")

    def __init__(self, t: float, before_pct: float, after_pct: float) -> None:
        self.t = t
        self.before_pct = before_pct
        self.after_pct = after_pct
        self.readings = 1


class SocJumpCheck:
    """Judges every fresh percentage against the one before."""

    def __init__(self, limits: SocJumpLimits | None = None) -> None:
        self._limits = limits or SocJumpLimits()
        self._t: float | None = None
        self._pct = 0.0
        self._usual_s = 0.0
        self._leap: _Leap | None = None
        self._charged: float | None = None
        self._is_raised = False
        self._quiet_since: float | None = None
        self.judged: set[str] = set()

    def reopen(self, event: Event) -> None:
        """Take an event that is open although this check did not raise it."""
        if event.kind == _KIND:
            self._is_raised = True

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield a finding if this snapshot newly read the percentage."""
        t, soc_pct = snapshot.times.get("soc_pct"), number(snapshot, "soc_pct")
        current_a = number(snapshot, "current_a")
        if t is not None and current_a is not None and current_a <= -self._limits.charge_a:
            self._charged = t
        if "soc_pct" not in snapshot.fresh or soc_pct is None or t is None:
            return
        before_t, before_pct = self._t, self._pct
        self._t, self._pct = t, soc_pct
        if before_t is None or not self._are_neighbours(t - before_t):
            self._leap = self._quiet_since = None
            return
        if self._leap is not None:
            yield from self._watch(self._leap, soc_pct, t)
        elif self._is_leap(before_pct, soc_pct, t - before_t, snapshot):
            self._leap = _Leap(t, before_pct, soc_pct)
        yield from self._end(snapshot, t)

    def _are_neighbours(self, step_s: float) -> bool:
        """Whether nothing can have happened between two polls; learn how far apart they are."""
        limits, usual_s = self._limits, self._usual_s
        if not 0 < step_s <= limits.gap_s:
            return False
        self._usual_s += (step_s - usual_s) * (0.1 if usual_s else 1.0)
        return not usual_s or step_s <= limits.gap_share * usual_s

    def _is_leap(self, before: float, after: float, step_s: float, snapshot: Snapshot) -> bool:
        limits = self._limits
        full_mah = number(snapshot, "full_capacity_mah") or number(snapshot, "design_capacity_mah")
        flowed_pct = 100 * limits.burst_a * step_s / 3.6 / (full_mah or limits.least_mah)
        if abs(after - before) < limits.jump_pct + flowed_pct:
            return False
        cells = snapshot.trusted(_CELLS)
        known = [mv for mv in cells if mv is not None] if isinstance(cells, tuple) else []
        if after >= limits.full_pct:
            is_low = bool(known) and middle(known) < limits.not_full_mv
            return is_low and not self._may_be_full(snapshot)
        if min(before, after) <= limits.empty_pct:
            return bool(known) and min(known) > limits.not_empty_mv
        return True

    def _may_be_full(self, snapshot: Snapshot) -> bool:
        """Whether a charge may have ended: it was charged, or the board speaks of one."""
        since_s = math.inf if self._charged is None else (self._t or 0.0) - self._charged
        status = int(number(snapshot, "status") or 0)
        return 0 <= since_s <= self._limits.charged_s or bool(status & _FULL_BITS)

    def _watch(self, leap: _Leap, soc_pct: float, t: float) -> Iterator[Finding]:
        limits = self._limits
        if abs(soc_pct - leap.after_pct) > limits.stays_pct:
            # It came back, or goes on wandering: damage, or nonsense that others judge.
            self._leap = None
            return
        leap.readings += 1
        if t - leap.t < limits.stays_s or leap.readings < limits.stays_readings:
            return
        self._leap = None
        self._is_raised, self._quiet_since = True, t
        self.judged.add(_KIND)
        size = abs(leap.after_pct - leap.before_pct)
        words = f"leapt from {leap.before_pct:.0f} to {leap.after_pct:.0f} % between two readings"
        yield Finding(_KIND, True, t, None, size, limits.jump_pct, words)

    def _end(self, snapshot: Snapshot, t: float) -> Iterator[Finding]:
        """Where cells are read their rest decides (see `soc`), else an hour without a leap."""
        if not self._is_raised:
            return
        if snapshot.trusted(_CELLS) is not None or self._quiet_since is None:
            self._quiet_since = t
        elif t - self._quiet_since >= self._limits.quiet_s:
            self._is_raised = False
            yield Finding(_KIND, False, t)
