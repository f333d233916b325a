"""Does a charger that is plugged in charge? Floor 2.

Judged only where charging should happen: the board says "charger inserted" (bit 7), every cell is
between empty and full, both temperatures are where charging is allowed, and the readings live (a
frozen board shows no current either). A full pack, a pack that has just been plugged in, one that
is too cold, and one whose board rightly refuses an empty or overcharged cell are no faults.

Just below full, from 4.10 to 4.15 V, a pack that needs charge and one whose charge has ended look
alike: full cells relax by up to 50 mV, and no charger starts again by itself there. Two things tell
them apart. A charger that was plugged in before our eyes starts anew, and into less than 4.15 V it
drives amperes (42 V against 41.5 V over 0.2 ohm), far from its taper. And the board must agree that
the pack is not full: bit 9 clear, and less than 95 %; after an over-voltage it rightly waits for
the cells to fall. Without both, nothing is said between 4.10 and 4.15 V.

Source: events.md section 2 (charge_blocked: 60 s, below 4.15 V, 0-45 degC); protocol.md section 6.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ninebot_bms import Snapshot
from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding

__all__ = ["ChargeCheck", "ChargeLimits"]


@dataclass(frozen=True, slots=True)
class ChargeLimits:
    """When a charger should charge.

    Attributes:
        seconds: without current, before it counts as blocked. Chargers start within a few.
        current_a: magnitude that counts as charging; offsets are below 0.15 A, chargers give
            1.7-2.9 A and end below 0.3 A only when the pack is full.
        full_mv: a cell above this may have ended the charge. Chargers stop at 4.15-4.2 V a cell.
        relaxes_mv: by so much a full cell falls after it; that close below `full_mv` it is judged
            only where plugging in was seen and the board itself does not call the pack full.
        full_pct: from here on it does.
        empty_mv: below this a board rightly refuses to charge.
        cold_c: charging is allowed from here
        hot_c: to here.
        gap_s: longer without a reading, and the time starts anew.
    """

    seconds: float = of_pack("charge_blocked_s")
    current_a: float = of_pack("charge_blocked_a")
    full_mv: int = of_pack("charge_blocked_full_mv")
    relaxes_mv: int = 50
    full_pct: float = 95.0
    empty_mv: int = of_pack("charge_blocked_empty_mv")
    cold_c: float = of_pack("charge_blocked_cold_c")
    hot_c: float = of_pack("charge_blocked_hot_c")
    gap_s: float = 30.0


_CHARGER: Final = 0x0080
_FULL: Final = 0x0200
_READINGS: Final = 3


class ChargeCheck:
    """Judges every fresh status word with bit 7 set."""

    def __init__(self, limits: ChargeLimits | None = None) -> None:
        self._limits = limits or ChargeLimits()
        self._since: float | None = None
        self._last: float | None = None
        self._readings = 0
        self._cells: object = None
        self._lives = False
        self._has_charged = False  # since the charger was plugged in
        self._without: list[float] = []  # times of the latest readings without a charger
        self._saw_plugging = False  # of the charger that is in now
        self.judged: set[str] = set()

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield a finding if this snapshot decides one."""
        self._watch_cells(snapshot)
        if not {"status", "current_a"} & snapshot.fresh:
            return
        status, current = snapshot.trusted("status"), snapshot.trusted("current_a")
        t = snapshot.t
        if not isinstance(status, int) or not isinstance(current, int | float) or t is None:
            return
        self._watch_charger(bool(status & _CHARGER), t)
        if current <= -self._limits.current_a:
            self._forget()
            self._has_charged = True
            if status & _CHARGER:
                self.judged.add("charge_blocked")
            yield Finding("charge_blocked", False, t)
            return
        # A charge that has been going and ended was not blocked.
        if not status & _CHARGER or self._has_charged or not self._may_charge(snapshot):
            self._forget()
            return
        if (
            self._since is None
            or self._last is None
            or not 0 <= t - self._last <= self._limits.gap_s
        ):
            self._forget()
            self._since = t
        self._last = t
        self._readings += 1
        waited_s = t - self._since
        if waited_s > self._limits.seconds and self._readings >= _READINGS and self._lives:
            self.judged.add("charge_blocked")
            value, limit = round(waited_s), self._limits.seconds
            yield Finding("charge_blocked", True, t, value=value, limit=limit)

    def _watch_cells(self, snapshot: Snapshot) -> None:
        cells = snapshot.trusted("cell_voltages_mv")
        if "cell_voltages_mv" not in snapshot.fresh or cells is None:
            return
        if self._cells is not None and cells != self._cells:
            self._lives = True
        self._cells = cells

    def _watch_charger(self, is_in: bool, t: float) -> None:
        if not is_in:
            self._has_charged = self._saw_plugging = False
            self._without = [*self._without[-1:], t]
            return
        # Seen if it was out twice in a row, just before: a silence may hide a whole charge.
        is_fresh = len(self._without) > 1 and 0 <= t - self._without[-1] <= self._limits.gap_s
        self._saw_plugging |= is_fresh
        self._without = []

    def _may_charge(self, snapshot: Snapshot) -> bool:
        limits = self._limits
        cells = snapshot.trusted("cell_voltages_mv")
        if not isinstance(cells, tuple):
            return False
        known = [mv for mv in cells if mv is not None]
        if 2 * len(known) <= len(cells):
            return False
        if not all(limits.empty_mv <= mv < limits.full_mv for mv in known):
            return False
        if max(known) >= limits.full_mv - limits.relaxes_mv and not self._is_wanting(snapshot):
            return False
        for name in ("temperature_1_c", "temperature_2_c"):
            celsius = snapshot.trusted(name)
            if not isinstance(celsius, int | float) or not limits.cold_c <= celsius <= limits.hot_c:
                return False
        return True

    def _is_wanting(self, snapshot: Snapshot) -> bool:
        """Whether a pack just below full surely takes charge from the charger that is in."""
        status, soc_pct = snapshot.trusted("status"), snapshot.trusted("soc_pct")
        return (
            self._saw_plugging
            and isinstance(status, int)
            and not status & _FULL
            and isinstance(soc_pct, int | float)
            and soc_pct < self._limits.full_pct
        )

    def _forget(self) -> None:
        self._since = self._last = None
        self._readings = 0
        self._lives = False
