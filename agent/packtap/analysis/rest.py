"""At rest, is one cell charged differently from the others? Floor 2.

Under load a cell's voltage tells about its resistance; only at rest does it tell about its charge.
Rest is a current below 0.3 A for three minutes (relaxation takes 5-10 minutes, but all cells relax
together); a pack on the bench has been off for long, so there rest holds from the first reading.
Each cell's charge is read from the OCV curve and compared with the median of the pack. A cell that
is being bled by the balancer is left out. Source: events.md sections 6 and 7.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from ninebot_bms import Snapshot
from packtap.analysis.finding import Finding, Held
from packtap.analysis.ocv import soc_from_ocv_pct

__all__ = ["ImbalanceCheck", "ImbalanceLimits", "RestFrame"]

#: Without a reading of the current for this long, what the pack does is unknown.
_CURRENT_TOO_OLD_S = 30.0
_MIN_CELLS = 3  # a median of fewer says nothing about which one is wrong


@dataclass(frozen=True, slots=True)
class ImbalanceLimits:
    """Points of state of charge off the median, and what counts as rest."""

    raise_pct: float = 10.0
    clear_pct: float = 7.0
    rest_current_a: float = 0.3
    rest_s: float = 180.0
    raise_s: float = 10.0
    clear_s: float = 60.0


class RestFrame:
    """Knows whether the pack rests.

    Args:
        current_a: magnitude below which the pack rests.
        seconds: for how long; 0 where it is known to have been off (bench).
    """

    def __init__(self, current_a: float, seconds: float) -> None:
        self._limit_a = current_a
        self._seconds = seconds
        self._quiet_since: float | None = None

    def is_resting(self, snapshot: Snapshot) -> bool:
        """Take a snapshot; return whether the pack rests at its time."""
        current = snapshot.trusted("current_a")
        if not isinstance(current, int | float):
            return False
        if "current_a" in snapshot.fresh:
            if abs(current) >= self._limit_a:
                self._quiet_since = None
            elif self._quiet_since is None:
                self._quiet_since = snapshot.times["current_a"]
                if self._quiet_since is None:  # input without times
                    return self._seconds == 0
        if self._quiet_since is None or snapshot.t is None:
            return False
        age = snapshot.age_s("current_a", snapshot.t)
        if age is None or age > _CURRENT_TOO_OLD_S:
            self._quiet_since = None
            return False
        return snapshot.t - self._quiet_since >= self._seconds


class ImbalanceCheck:
    """Judges the cells of every fresh reading at rest.

    Args:
        limits: points that raise and clear.
        rested: the pack is known to have been off for long (bench).
    """

    def __init__(self, limits: ImbalanceLimits | None = None, *, rested: bool = False) -> None:
        self._limits = limits or ImbalanceLimits()
        self._rest = RestFrame(self._limits.rest_current_a, 0.0 if rested else self._limits.rest_s)
        self._off: dict[int, Held] = {}
        self._even: dict[int, Held] = {}
        self.judged: set[str] = set()

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield findings for the cells, if the pack rests and the cells were newly read."""
        resting = self._rest.is_resting(snapshot)
        if not resting or "cell_voltages_mv" not in snapshot.fresh:
            return
        cells = snapshot.trusted("cell_voltages_mv")
        if not isinstance(cells, tuple):
            return
        bleeding = snapshot.trusted("balancing_cells")
        left_out = bleeding if isinstance(bleeding, tuple) else ()
        charged = {
            number: soc_from_ocv_pct(millivolts)
            for number, millivolts in enumerate(cells, start=1)
            if millivolts is not None and number not in left_out
        }
        if len(charged) < _MIN_CELLS:
            return
        self.judged.add("cell_imbalance")
        middle = median(charged.values())
        middle_mv = median(v for v in cells if v is not None)
        for number, soc_pct in charged.items():
            off_mv = (cells[number - 1] or 0) - middle_mv
            yield from self._judge(number, soc_pct - middle, off_mv, snapshot)

    def _judge(
        self, number: int, off_pct: float, off_mv: float, snapshot: Snapshot
    ) -> Iterator[Finding]:
        limits = self._limits
        t = snapshot.times["cell_voltages_mv"]
        off = self._off.setdefault(number, Held(limits.raise_s))
        even = self._even.setdefault(number, Held(limits.clear_s))
        present = off.update(abs(off_pct) >= limits.raise_pct, t)
        absent = even.update(abs(off_pct) <= limits.clear_pct, t)
        if present or absent:
            words = f"{abs(off_mv):.0f} mV {'above' if off_mv > 0 else 'below'} the median"
            yield Finding(
                "cell_imbalance",
                present,
                t,
                number,
                round(abs(off_pct), 1),
                limits.raise_pct,
                words,
            )
