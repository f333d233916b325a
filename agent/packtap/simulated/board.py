"""What a board makes of its measurements: gauge, status word, protection, balancing, floor 2.

Three kinds of board, as rows, because packs on the street have all three: an old stock board whose
status stays 0x0001 but for bits 6 and 9, a newer one with bits 1, 3, 5 and 7 alive, and a
replacement (BotoX) that clears bit 0 on a spread above 100 mV. Source: protocol.md section 6,
events.md section 6.

The gauge counts coulombs with the error of its current channel, is set to 100 % at the end of a
charge, and starts within 3 points of the truth. Protection opens the output below 2.5 V a cell
(stock boards: figures not public; BotoX 2.80 V) and the charge switch above 4.25 V or outside
0-50 degC. Balancing bleeds groups that stand 15 mV above the lowest one, near the top of the charge
or after half an hour of rest above 3.6 V.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from packtap.simulated.pack_model import PackModel
from packtap.simulated.sensing import Measured

__all__ = ["BOARDS", "Board", "BoardKind"]

_CONFIG: Final = 0x0001
_ACTIVATED: Final = 0x0002
_CHARGE_MOS: Final = 0x0008
_DISCHARGING: Final = 0x0020
_CHARGING: Final = 0x0040
_CHARGER: Final = 0x0080
_OVER_DISCHARGE: Final = 0x0100
_FULL: Final = 0x0200
_HOT: Final = 0x0400
_DEEP: Final = 0x4000

_CUT_MV: Final = 2500
_CUT_S: Final = 2.0
_DEEP_MV: Final = 2500
_BACK_MV: Final = 3000
_HOT_C: Final = 60
_BROKEN_C: Final = 120  # a sensor that says more is none
_CHARGE_C: Final = (0, 50)
_TOO_HIGH_MV: Final = 4250
_FULL_MV: Final = 4150
_BLEED_A: Final = (0.02, 0.06)
_BLEED_ABOVE_MV: Final = 15
_BLEED_TOP_MV: Final = 4080
_BLEED_REST_MV: Final = 3600
_BLEED_REST_S: Final = 1800.0
_BLEED_TURN_S: Final = 12.0


@dataclass(frozen=True, slots=True)
class BoardKind:
    """How one kind of board behaves.

    Attributes:
        name: short.
        speaks: bits of the status word that it uses beside 0, 6, 8, 9, 10 and 14.
        spread_mv: clears bit 0 above this spread; None: never.
        cut_mv: opens its output below.
        balances: bleeds groups.
    """

    name: str
    speaks: int
    spread_mv: int | None
    cut_mv: int
    balances: bool


BOARDS: Final = {
    kind.name: kind
    for kind in (
        BoardKind("old", 0, None, _CUT_MV, balances=True),
        BoardKind(
            "new", _ACTIVATED | _CHARGE_MOS | _DISCHARGING | _CHARGER, None, _CUT_MV, balances=True
        ),
        BoardKind("botox", _CHARGER, 100, 2800, balances=True),
    )
}


class Board:
    """Keeps the registers. Its public attributes are what a fault may change.

    Attributes:
        forced: status bits that are set whatever is true.
        cleared: status bits that are cleared whatever is true.
        gauge_off_pct: by how much the gauge is wrong.
        is_gauge_stuck: it counts nothing any more.
        is_frozen: the registers stand still.
        are_cells_frozen: only those of the cells.
        blocks_charge: the charge switch does not close.
        sees_charger: bit 7 works, whatever kind of board it is.
        ends_charge: False: it lets a charger go on.
        is_cut: the output is open.
    """

    def __init__(
        self, kind: BoardKind, pack: PackModel, design_mah: int, seed: int, *, learns: bool | None
    ) -> None:
        self._random = random.Random(f"board {seed}")  # noqa: S311 - a board, not a secret
        self._kind = kind
        self._pack = pack
        full_ah = sum(cell.ah for cell in pack.cells) / len(pack.cells)
        # Most boards learn what the pack holds, some go on saying what it held when it was new.
        is_usual = self._random.random() < 0.7  # drawn in any case: the rest stays the same pack
        learns = is_usual if learns is None else learns
        self.full_mah = round(1000 * full_ah) if learns else design_mah
        self._bleed_a = self._random.uniform(*_BLEED_A)
        start_pct = pack.mean_pct + self._random.uniform(-3, 3)
        self._counted_pct = min(100.0, max(0.0, start_pct))
        self._low_since: float | None = None
        self._rested_since: float | None = None
        self._turn_at = 0.0
        self._now = 0.0
        self._registers: dict[str, int | float | tuple[int, ...]] = {}
        self.forced = self.cleared = 0
        self.gauge_off_pct = 0.0
        self.is_gauge_stuck = False
        self.is_frozen = self.are_cells_frozen = False
        self.blocks_charge = self.sees_charger = False
        self.ends_charge = True
        self.is_cut = False

    def may_charge(self, measured_top_mv: int) -> bool:
        """Return whether the charge switch is closed."""
        is_warm = _CHARGE_C[0] <= self._pack.celsius <= _CHARGE_C[1]
        is_high = self.ends_charge and measured_top_mv > _TOO_HIGH_MV
        return is_warm and not is_high and not self.blocks_charge

    def set_gauge(self, soc_pct: float) -> None:
        """Put the gauge where it belongs: 100 at the end of a charge, 0 when drained."""
        if not self.is_gauge_stuck:
            self._counted_pct = soc_pct

    @property
    def shown_pct(self) -> float:
        """What the gauge shows."""
        return self._counted_pct

    def update(
        self, now: float, measured: Measured, *, charger: bool
    ) -> Mapping[str, int | float | tuple[int, ...]]:
        """Take a cycle's measurements; return the registers by row name.

        Args:
            now: seconds.
            measured: what the chip has read.
            charger: whether one is plugged in.
        """
        step_s = max(0.0, now - self._now)
        self._now = now
        if not self.is_gauge_stuck:
            self._counted_pct -= measured.current_a * step_s / (0.036 * self.full_mah)
            self._counted_pct = min(100.0, max(0.0, self._counted_pct))
        self._protect(now, measured)
        self._balance(now, measured)
        if self.is_frozen and self._registers:
            return self._registers
        soc_pct = min(100.0, max(0.0, self._counted_pct + self.gauge_off_pct))
        fresh: dict[str, int | float | tuple[int, ...]] = {
            "status": self._status(measured, charger=charger),
            "remaining_capacity_mah": round(self.full_mah * soc_pct / 100),
            "soc_pct": round(soc_pct),
            "current_a": measured.current_a,
            "voltage_v": measured.voltage_v,
            "balancing_cells": tuple(sorted(self._pack.bleeding_a)),
            "undervoltage_cells": _where(measured.cells_mv, lambda mv: mv < self._kind.cut_mv),
            "overvoltage_cells": _where(measured.cells_mv, lambda mv: mv > _TOO_HIGH_MV),
            "cell_voltages_mv": measured.cells_mv,
        }
        for number, raw in enumerate(measured.temperatures_raw, start=1):
            fresh[f"temperature_{number}_c"] = raw - 20
        if self.are_cells_frozen and self._registers:
            fresh["cell_voltages_mv"] = self._registers["cell_voltages_mv"]
        self._registers = fresh
        return fresh

    def pass_time(self, seconds: float) -> None:
        """Let the board sleep: only the clock goes on."""
        self._now += seconds

    def _status(self, measured: Measured, *, charger: bool) -> int:
        lowest, highest = min(measured.cells_mv), max(measured.cells_mv)
        status = _CONFIG | ((_ACTIVATED | _CHARGE_MOS) & self._kind.speaks)
        if self._kind.spread_mv is not None and highest - lowest > self._kind.spread_mv:
            status &= ~_CONFIG
        if measured.current_a < -0.2:
            status |= _CHARGING
        elif measured.current_a > 0.2:
            status |= _DISCHARGING & self._kind.speaks
        if charger and (self.sees_charger or self._kind.speaks & _CHARGER):
            status |= _CHARGER
        if self.is_cut:
            status |= _OVER_DISCHARGE
        if sorted(measured.cells_mv)[len(measured.cells_mv) // 2] < _DEEP_MV:
            status |= _DEEP
        if highest > _FULL_MV:
            status |= _FULL
        if _HOT_C <= max(measured.temperatures_raw) - 20 < _BROKEN_C:
            status |= _HOT
        return (status | self.forced) & ~self.cleared

    def _protect(self, now: float, measured: Measured) -> None:
        lowest = min(measured.cells_mv)
        if lowest >= self._kind.cut_mv:
            self._low_since = None
            if lowest > _BACK_MV:
                self.is_cut = False
        elif self._low_since is None:
            self._low_since = now
        elif now - self._low_since >= _CUT_S:
            self.is_cut = True

    def _balance(self, now: float, measured: Measured) -> None:
        """Bleed what stands highest, neighbours by turns (they share a sense wire)."""
        rests = abs(measured.current_a) < 0.3
        if not rests:
            self._rested_since = None
        elif self._rested_since is None:
            self._rested_since = now
        if now < self._turn_at or not self._kind.balances:
            return
        self._turn_at = now + _BLEED_TURN_S * self._random.uniform(0.5, 1.5)
        cells = measured.cells_mv
        lowest, highest = min(cells), max(cells)
        rested = rests and self._rested_since is not None
        is_long = rested and now - (self._rested_since or now) >= _BLEED_REST_S
        is_due = (highest > _BLEED_TOP_MV and not rests) or (is_long and lowest > _BLEED_REST_MV)
        self._pack.bleeding_a.clear()
        if not is_due or self.is_frozen:
            return
        parity = self._random.randint(0, 1)
        for number, mv in enumerate(cells, start=1):
            if mv > lowest + _BLEED_ABOVE_MV and number % 2 == parity:
                self._pack.bleeding_a[number] = self._bleed_a


def _where(cells_mv: Sequence[int], is_so: Callable[[int], bool]) -> tuple[int, ...]:
    return tuple(number for number, mv in enumerate(cells_mv, start=1) if is_so(mv))
