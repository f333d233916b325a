"""Does the board still measure, or does it repeat one picture? Floor 2.

A live pack never shows the same bytes for half a minute: with current its charge runs, its voltage
moves and its current flickers by 10 mA; at rest sound cells flicker by 1 mV. A board whose
measuring chip or main loop hangs goes on answering with its last image. Two images are watched
apart, because either can hang alone: the state (current, pack voltage, temperatures, charge) and
the cells. The status word is in neither: it may go on living.

Source: events.md sections 2 (30 s, current not zero; at rest polled twice a second) and 5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ninebot_bms import Snapshot
from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding
from packtap.model import Event

__all__ = ["FrozenCheck", "FrozenLimits"]


@dataclass(frozen=True, slots=True)
class FrozenLimits:
    """How long the same picture is suspicious.

    Attributes:
        seconds: events.md section 2.
        current_a: above, the current cannot be an offset of a resting pack.
        working_readings: of either image, while current flows. Polls are up to 2 s apart; with
            fewer readings in the time the picture may simply not have been asked for.
        resting_readings: of the cells, at rest. The chance that n sound cells, each flickering by
            1 mV in every tenth reading, stand still for thirty readings is 0.9^(30 n).
        gap_s: longer without a reading, and what was in between is unknown.
        suspect_s: the state stands for so long under current,
        suspect_readings: in so many readings: nothing else is concluded from it any more.
    """

    seconds: float = of_pack("frozen_s")
    current_a: float = 0.3
    working_readings: int = 8
    resting_readings: int = 30
    gap_s: float = 10.0
    suspect_s: float = 5.0
    suspect_readings: int = 4


_STATE: Final = ("current_a", "voltage_v", "remaining_capacity_mah")
_TEMPERATURES: Final = ("temperature_1_c", "temperature_2_c")
_CELLS: Final = "cell_voltages_mv"


class _Image:
    """One picture: since when it has stood, and how often it was read."""

    __slots__ = ("_gap_s", "_last", "_picture", "readings", "since")

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._picture: object = None
        self._last: float | None = None
        self.since: float | None = None
        self.readings = 0

    def update(self, picture: object, t: float) -> bool:
        """Take a reading; return whether it differs from the one before."""
        last, self._last = self._last, t
        differs = picture != self._picture
        if differs or last is None or not 0 <= t - last <= self._gap_s:
            changed = differs and last is not None
            self._picture = picture
            self.since = t
            self.readings = 1
            return changed
        self.readings += 1
        return False

    def stands_s(self, t: float) -> float:
        """For how long the picture has stood."""
        return 0.0 if self.since is None else t - self.since


class FrozenCheck:
    """Judges every fresh reading of the state and of the cells."""

    def __init__(self, limits: FrozenLimits | None = None) -> None:
        self._limits = limits or FrozenLimits()
        self._state = _Image(self._limits.gap_s)
        self._cells = _Image(self._limits.gap_s)
        self._changes = 0
        self._started: float | None = None
        self._is_frozen = False
        self._is_suspect = False
        #: Current while the cells' picture stood.
        self._low_a = self._high_a = 0.0
        self.judged: set[str] = set()

    @property
    def is_frozen(self) -> bool:
        """Whether the picture stands still now."""
        return self._is_frozen

    @property
    def is_suspect(self) -> bool:
        """Whether the picture stands still, or seems to: better judge nothing else by it."""
        return self._is_frozen or self._is_suspect

    def reopen(self, event: Event) -> None:
        """Take an event that is open although this check does not know it: it has to end it."""
        self._is_frozen |= event.kind == "frozen_readings"

    def update(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield a finding if this snapshot decides one."""
        t = snapshot.t
        if t is None:
            return
        if self._started is None or t < self._started:
            self._started = t
        current = snapshot.trusted("current_a")
        current_a = float(current) if isinstance(current, int | float) else 0.0
        changed = self._take(snapshot, t, current_a)
        self._changes += changed
        if t - self._started >= self._limits.seconds and self._changes:
            self.judged.add("frozen_readings")
        self._is_suspect = (
            abs(current_a) >= self._limits.current_a
            and self._state.stands_s(t) >= self._limits.suspect_s
            and self._state.readings >= self._limits.suspect_readings
        )
        stood_s = self._frozen_s(t, current_a)
        if stood_s is not None:
            self._is_frozen = True
            self.judged.add("frozen_readings")
            limit = self._limits.seconds
            yield Finding("frozen_readings", True, t, value=round(stood_s, 1), limit=limit)
        elif changed and self._is_frozen:
            self._is_frozen = False
            yield Finding("frozen_readings", False, t)

    def _take(self, snapshot: Snapshot, t: float, current_a: float) -> bool:
        changed = False
        if "current_a" in snapshot.fresh and snapshot.trusted("current_a") is not None:
            picture = tuple(snapshot.values.get(name) for name in _STATE) + tuple(
                snapshot.temperatures_raw.get(name) for name in _TEMPERATURES
            )
            changed |= self._state.update(picture, t)
            self._low_a = min(self._low_a, current_a)
            self._high_a = max(self._high_a, current_a)
        cells = snapshot.trusted(_CELLS)
        if _CELLS in snapshot.fresh and isinstance(cells, tuple):
            cells_changed = self._cells.update(cells, t)
            if cells_changed or self._cells.readings == 1:
                self._low_a = self._high_a = current_a
            changed |= cells_changed
        return changed

    def _frozen_s(self, t: float, current_a: float) -> float | None:
        limits = self._limits
        state_s, cells_s = self._state.stands_s(t), self._cells.stands_s(t)
        state_stands = state_s > limits.seconds and self._state.readings >= limits.working_readings
        cells_stand = cells_s > limits.seconds and self._cells.readings >= limits.working_readings
        if state_stands and abs(current_a) >= limits.current_a:
            return state_s
        if cells_stand and self._high_a - self._low_a >= 2 * limits.current_a:
            return cells_s
        if cells_stand and self._cells.readings >= limits.resting_readings:
            return cells_s
        return None
