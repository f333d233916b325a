"""Does the pack voltage agree with its cells? Floor 2.

Register 0x34 and the sum of the cells are two measurements of one voltage. What is left of their
difference without current is an error of the board's measuring; what grows with the current is a
resistance between the cell stack and the board: a joint, a connector. Healthy packs show up to
0.1 V and 2-6 mohm. Both are fitted as one line over the last minute, each reading weighted by what
the current's swing can have done, because the two registers are up to 0.5 s apart.
Source: events.md section 7 (6).
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding, Held
from packtap.analysis.reading import CellReading, middle

__all__ = ["PackResidualCheck", "PackResidualLimits"]

_MEMORY_S: Final = 45.0
_LONGEST_STEP_S: Final = 3.0
_NOISE_MV: Final = 15.0  # 10 mV steps of 0x34, rounding of ten cells
_USUAL_READ: Final = 15  # words from 0x40
_CELL_MOHM: Final = 20.0
_SKEW: Final = 0.4
_UNKNOWN_SWING_A: Final = 10.0
_PRIOR: Final = 1 / 5.0**2  # healthy joints have 2-6 mohm
_RUN: Final = 8
_LITHIUM_MV: Final = (0, 4600)


@dataclass(frozen=True, slots=True)
class PackResidualLimits:
    """When the difference is a fault.

    0.3 V are 30 mV a cell in a pack of ten: AFE cell channels are good to 5-15 mV, and the pack
    channel to 1 %. 15 mohm at 15 A are 0.2 V and 3 W in one joint.
    """

    mismatch_mv: float = of_pack("voltage_sum_mismatch_mv")
    mismatch_pct: float = of_pack("voltage_sum_mismatch_pct")
    joint_mohm: float = of_pack("high_resistance_connection_mohm")
    significance: float = 4.0
    spread_a: float = 1.0
    steady_a: float = 1.5
    idle_a: float = 0.5
    alike_readings: int = 6
    alike_share: float = 0.15
    varied_share: float = 0.4
    raise_s: float = 2.0
    joint_s: float = 4.0
    clear_s: float = 60.0


class PackResidualCheck:
    """Judges every reading of cells with a pack voltage."""

    def __init__(self, limits: PackResidualLimits | None = None) -> None:
        self._limits = limits or PackResidualLimits()
        self._w = self._wx = self._wxx = self._wy = self._wxy = self._wyy = 0.0
        self._wz = self._wxz = 0.0  #: the same of the sum of the cells
        self._t: float | None = None
        #: Difference and current of the latest readings, as long as all of them differ.
        self._run: deque[tuple[float, float]] = deque(maxlen=_RUN)
        self._off = Held(self._limits.raise_s, readings=3)
        self._even = Held(self._limits.clear_s)
        self._joint = Held(self._limits.joint_s, readings=5)
        self._tight = Held(self._limits.clear_s, readings=10)
        self.judged: set[str] = set()

    def take(self, reading: CellReading) -> Iterator[Finding]:
        """Yield findings about the pack."""
        cells = [mv for mv in reading.cells_mv if mv is not None]
        if len(cells) == _USUAL_READ == len(reading.cells_mv) - 1 and reading.cells_mv[-1] is None:
            # The last of 16 cells is beyond the usual read of 15 words: take it for a typical one.
            cells.append(round(middle(cells)))
        if len(cells) < max(1, len(reading.cells_mv)) or reading.voltage_v is None:
            return
        if not all(_LITHIUM_MV[0] <= mv <= _LITHIUM_MV[1] for mv in cells):
            return
        off_mv = 1000 * reading.voltage_v - sum(cells)
        pack_mohm = _CELL_MOHM * len(cells)
        swing_a = _UNKNOWN_SWING_A if reading.swing_a is None else reading.swing_a
        current_a = reading.current_a or 0.0
        if reading.t is None:
            return
        self._add(reading.t, current_a, off_mv, sum(cells), _SKEW * swing_a * pack_mohm)
        yield from self._judge_joint(reading)
        if swing_a <= self._limits.steady_a:
            limit_mv = (
                max(self._limits.mismatch_mv, self._limits.mismatch_pct / 100 * sum(cells))
                + swing_a * pack_mohm
            )
            yield from self._judge_mismatch(reading, off_mv, current_a, limit_mv)

    def _add(
        self, t: float, current_a: float, off_mv: float, sum_mv: float, skew_mv: float
    ) -> None:
        step_s = 0.0 if self._t is None else min(abs(t - self._t), _LONGEST_STEP_S)
        self._t = t
        keep = math.exp(-step_s / _MEMORY_S)
        weight = 1 / (_NOISE_MV**2 + skew_mv**2)
        x, y = -current_a, off_mv
        self._w = keep * self._w + weight
        self._wx = keep * self._wx + weight * x
        self._wxx = keep * self._wxx + weight * x * x
        self._wy = keep * self._wy + weight * y
        self._wxy = keep * self._wxy + weight * x * y
        self._wyy = keep * self._wyy + weight * y * y
        self._wz = keep * self._wz + weight * sum_mv
        self._wxz = keep * self._wxz + weight * x * sum_mv

    def _line(self) -> tuple[float, float, float]:
        """Return the joint's resistance, its standard error, and the spread of the current."""
        mean_x, mean_y = self._wx / self._w, self._wy / self._w
        raw = max(0.0, self._wxx - self._w * mean_x * mean_x)
        sxx = raw + _PRIOR
        sxy = self._wxy - self._w * mean_x * mean_y
        slope = sxy / sxx
        rest = max(0.0, self._wyy - self._w * mean_y * mean_y - slope * sxy)
        factor = max(1.0, rest / max(1.0, self._w * _NOISE_MV**2))
        error = math.sqrt(factor / sxx)
        # A wrong gain of the pack channel shows its share of the cells' own resistance as a joint.
        mean_z = self._wz / self._w
        stack_mohm = (self._wxz - self._w * mean_x * mean_z) / sxx
        gain = (mean_y - slope * mean_x) / (mean_z - stack_mohm * mean_x or 1.0)
        return slope - gain * stack_mohm, error, math.sqrt(raw / self._w)

    def _judge_joint(self, reading: CellReading) -> Iterator[Finding]:
        limits = self._limits
        slope, error, spread_a = self._line()
        if spread_a < limits.spread_a:
            return
        self.judged.add("high_resistance_connection")
        is_high = slope >= limits.joint_mohm and slope >= limits.significance * error
        present = self._joint.update(is_high, reading.t)
        absent = self._tight.update(slope <= limits.joint_mohm * 0.6, reading.t)
        if present or absent:
            yield Finding(
                "high_resistance_connection",
                present,
                reading.known_t,
                value=round(slope, 1),
                limit=limits.joint_mohm,
            )

    def _judge_mismatch(
        self, reading: CellReading, off_mv: float, current_a: float, limit_mv: float
    ) -> Iterator[Finding]:
        is_off = abs(off_mv) > limit_mv
        if not is_off or (self._run and off_mv * self._run[-1][0] < 0):
            self._run.clear()
        if is_off:
            self._run.append((off_mv, abs(current_a)))
        self.judged.add("voltage_sum_mismatch")
        present = self._off.update(is_off, reading.t) and self._is_constant(reading)
        absent = self._even.update(not is_off, reading.t)
        if present or absent:
            value_mv, limit = round(abs(off_mv)), round(limit_mv)
            yield Finding(
                "voltage_sum_mismatch", present, reading.known_t, value=value_mv, limit=limit
            )

    def _is_constant(self, reading: CellReading) -> bool:
        """Whether the difference is there without current, or stays while the current varies."""
        limits = self._limits
        # A controller near its cut-off makes the current swing in step with the polls: then cells
        # and pack voltage are always read at other currents, until it lets go.
        needed = 3 if reading.rested_s == math.inf else limits.alike_readings
        if len(self._run) < needed:
            return False
        latest = list(self._run)[-needed:]
        if max(current_a for _, current_a in latest) < limits.idle_a:
            return _are_alike([abs(off) for off, _ in latest], limits.alike_share)
        if min(current_a for _, current_a in self._run) < 2 * limits.idle_a:
            return False
        currents = [current_a for _, current_a in self._run]
        # A joint's share of the difference grows as the current does; a measuring error does not.
        varies = len(self._run) == _RUN and max(currents) >= (1 + limits.varied_share) * min(
            currents
        )
        return varies and _are_alike([abs(off) for off, _ in self._run], limits.alike_share)


def _are_alike(sizes: Sequence[float], share: float) -> bool:
    return max(sizes) <= (1 + share) * min(sizes)
