"""Can what a pack reported be true at all? Floor 2.

A board with broken firmware answers with valid checksums and absurd words: everything 0xFFFF,
random numbers, 300 A, 655 V. Each reading is held against what a scooter pack can physically do,
*before* any other check sees it: an impossible reading is withheld from them, whole, because words
of one reply share their fate. One impossible reading may be a damaged frame that passed the
additive checksum, so it is withheld and otherwise forgiven; a second one within ten minutes is
raised as `implausible_data`. So is one reading with three impossible words: damage that keeps the
sum touches one or two. And so are constants that no pack can have (an aftermarket emulator).

Source: events.md section 2 (implausible_data); protocol.md sections 5, 9 and 10.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from ninebot_bms import Snapshot
from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding
from packtap.model import Value

__all__ = ["Plausibility", "PlausibilityLimits", "impossible_rows"]


@dataclass(frozen=True, slots=True)
class PlausibilityLimits:
    """What no scooter pack of 1-16 cells can report.

    Attributes:
        cell_mv: a lithium cell vents long before; the measuring chip's full scale is 6.3 V.
        soc_pct: percent. Some boards overshoot 100 by rounding, none by more.
        current_a: magnitude. Replacement boards cut at 80 A as a short circuit within 0.1 ms.
        pack_min_v: below, the board that reports it has no supply.
        pack_max_v: 16 cells at 5 V.
        ratio: pack voltage over sum of cells, either way. A wrong gain is a measuring error, a
            factor is nonsense; a joint of 100 mohm at 30 A loses a tenth.
        temperature_raw: top of the official range 0-119 (-20 to 99 degC), with 40 K to spare.
        readings: so many impossible readings
        window_s: within this time are no accident.
        words: so many impossible words in one reading are no accident either.
    """

    cell_mv: int = 6500
    soc_pct: int = 105
    current_a: float = of_pack("implausible_current_a")
    pack_min_v: float = 5.0
    pack_max_v: float = 80.0
    ratio: float = 1.5
    temperature_raw: int = 160
    readings: int = 2
    window_s: float = 600.0
    words: int = 3


#: A doubt that means: these are constants of a program, not measurements.
_EMULATOR_DOUBT: Final = "emulator-constants"
_STATE_ROWS: Final = (
    "status",
    "remaining_capacity_mah",
    "soc_pct",
    "current_a",
    "voltage_v",
    "temperature_1_c",
    "temperature_2_c",
)
_CELLS: Final = "cell_voltages_mv"
_REMEMBERED: Final = 32
#: Of damaged frames so many pass the checksum at most: of two flips in one frame one in 16 hits the
#: same bit in the other direction, and most damaged frames of a noisy line have one flip or many.
_PASS_SHARE: Final = 1 / 16
#: So many readings in a row settle the number of cells; fewer than a dead cell at the end takes.
_SETTLING: Final = 8
_LIVING_MV: Final = 1000
_NO_SENSOR: Final = 255  # raw
#: Neighbours of an open sense wire share the pair's voltage; it may be off the others by this.
_PAIR_TOLERANCE_MV: Final = 400
#: Cells and pack voltage may be compared if read this close together, seconds.
_TOGETHER_S: Final = 2.0
_MIN_CELLS_FOR_SUM: Final = 3


def impossible_rows(snapshot: Snapshot, limits: PlausibilityLimits) -> dict[str, list[str]]:
    """Return the newly read rows that cannot be true, each with its impossible words."""
    values, fresh = snapshot.values, snapshot.fresh
    wrong: dict[str, list[str]] = {}
    for name, low, high in (
        ("soc_pct", 0, limits.soc_pct),
        ("displayed_soc_pct", 0, limits.soc_pct),
        ("current_a", -limits.current_a, limits.current_a),
        ("voltage_v", limits.pack_min_v, limits.pack_max_v),
    ):
        value = values.get(name)
        if name in fresh and isinstance(value, int | float) and not low <= value <= high:
            wrong[name] = [f"{name} {value:g}"]
    for name in ("temperature_1_c", "temperature_2_c"):
        raw = snapshot.temperatures_raw.get(name)
        if name in fresh and raw is not None and raw > limits.temperature_raw:
            # 255 is an absent or broken sensor, unless the words beside it are nonsense too.
            if raw != _NO_SENSOR:
                wrong[name] = [f"temperature {raw - 20} degC"]
            elif wrong:
                wrong[name] = ["temperature byte 255"]
    cells = values.get(_CELLS)
    if isinstance(cells, tuple):
        high_mv = _impossible_cells(cells, limits) if _CELLS in fresh else []
        if high_mv:
            wrong[_CELLS] = [f"cell at {mv} mV" for mv in high_mv]
        elif not wrong and (words := _impossible_ratio(snapshot, cells, limits)):
            # Which of the two is nonsense is not told: neither is shown to anybody.
            wrong["voltage_v"] = [words]
            wrong[_CELLS] = []
    return wrong


def _impossible_cells(cells: tuple[int | None, ...], limits: PlausibilityLimits) -> list[int]:
    known = [mv for mv in cells if mv is not None]
    high = [mv for mv in known if mv > limits.cell_mv]
    if len(high) != 1:
        return high
    # An open sense wire shows one cell near zero and its neighbour with the voltage of both.
    middle = median(known)
    where = cells.index(high[0])
    pairs = [
        high[0] + other
        for beside in (where - 1, where + 1)
        if 0 <= beside < len(cells) and (other := cells[beside]) is not None
    ]
    is_open_wire = any(abs(pair - 2 * middle) <= _PAIR_TOLERANCE_MV for pair in pairs)
    return [] if is_open_wire else high


def _impossible_ratio(
    snapshot: Snapshot, cells: tuple[int | None, ...], limits: PlausibilityLimits
) -> str:
    pack_v = snapshot.values.get("voltage_v")
    if not isinstance(pack_v, int | float) or not {"voltage_v", _CELLS} & snapshot.fresh:
        return ""
    known = [mv for mv in cells if mv is not None]
    if len(known) < max(_MIN_CELLS_FOR_SUM, len(cells)):
        return ""
    read, read_cells = snapshot.times.get("voltage_v"), snapshot.times.get(_CELLS)
    if read is not None and read_cells is not None and abs(read - read_cells) > _TOGETHER_S:
        return ""
    sum_v = sum(known) / 1000
    if 0 < sum_v < pack_v * limits.ratio and pack_v < sum_v * limits.ratio:
        return ""
    return f"pack at {pack_v:g} V, its cells sum up to {sum_v:g} V"


def _lost_cells(known: tuple[int | None, ...], now: Value) -> int:
    """Return how many cells that had a voltage have none (0xFFFF, or all at zero)."""
    if not isinstance(now, tuple):
        return sum(mv is not None for mv in known)
    return sum(old is not None and new is None for old, new in zip(known, now, strict=False))


class Plausibility:
    """Screens every snapshot; what it withholds no other check sees.

    Args:
        limits: what cannot be.
        damaged: how many damaged frames the line has carried so far. On a noisy line some of
            them pass the checksum: two flips of one bit cancel in a sum.
    """

    def __init__(
        self,
        limits: PlausibilityLimits | None = None,
        damaged: Callable[[], int] = lambda: 0,
    ) -> None:
        self._limits = limits or PlausibilityLimits()
        self._damaged = damaged
        #: Times of the latest impossible readings, and how many frames were damaged until then.
        self._impossible: deque[tuple[float | None, int]] = deque(maxlen=_REMEMBERED)
        self._clean_since: float | None = None
        self._is_emulated = False
        self._spoilt: set[str] = set()  # rows whose latest reading was withheld
        self._settled = 0  # number of cells that most readings had
        self._readings_of = 0  # so many readings in a row with another number
        self._good: dict[str, Value] = {}
        self._good_times: dict[str, float | None] = {}
        self.judged: set[str] = set()

    def screen(self, snapshot: Snapshot) -> tuple[Snapshot, list[Finding]]:
        """Return the snapshot without what cannot be true, and what was found."""
        self.judged.add("implausible_data")
        if self._is_emulated or any(doubt.name == _EMULATOR_DOUBT for doubt in snapshot.doubts):
            # A row of equal cells is no damaged frame: one look tells, for good.
            self._is_emulated = True
            detail = "an emulator's constants, no BMS"
            nothing = replace(snapshot, fresh=frozenset(), values={}, times={})
            return nothing, [Finding("implausible_data", True, snapshot.t, detail=detail)]
        snapshot = self._without_phantoms(snapshot)
        wrong = impossible_rows(snapshot, self._limits)
        known = self._good.get(_CELLS)
        if _CELLS in snapshot.fresh and isinstance(known, tuple):
            lost = _lost_cells(known, snapshot.values.get(_CELLS))
            if lost:
                wrong.setdefault(_CELLS, []).extend([f"{lost} cells without a voltage"] * lost)
        findings = list(self._judge(snapshot, wrong))
        bad = self._spoiled(snapshot, wrong)
        self._spoilt = (self._spoilt - snapshot.fresh) | bad
        for name in snapshot.fresh - bad:
            self._good[name] = snapshot.values.get(name)
            self._good_times[name] = snapshot.times.get(name)
        # A bad reading leaves the last good one in its place, also in the snapshots after it.
        if not self._spoilt:
            return snapshot, findings
        clean = replace(
            snapshot,
            values={name: self._good[name] for name in snapshot.values if name in self._good},
            times={name: self._good_times[name] for name in snapshot.times if name in self._good},
            fresh=snapshot.fresh - bad,
            temperatures_raw={
                name: raw
                for name, raw in snapshot.temperatures_raw.items()
                if name not in self._spoilt
            },
        )
        return clean, findings

    def _without_phantoms(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot without cells that one damaged reading invented."""
        cells = snapshot.values.get(_CELLS)
        if not isinstance(cells, tuple):
            return snapshot
        if _CELLS in snapshot.fresh:
            if len(cells) == self._settled:
                self._readings_of = 0
            else:
                self._readings_of += 1
                if self._readings_of >= _SETTLING or len(cells) < self._settled:
                    self._settled = len(cells)
                    self._readings_of = 0
        extra = cells[self._settled :] if self._settled else ()
        if not extra or any(mv is not None and mv >= _LIVING_MV for mv in extra):
            return snapshot
        kept = {**snapshot.values, _CELLS: cells[: self._settled]}
        return replace(snapshot, values=kept, cell_count=self._settled)

    def _judge(self, snapshot: Snapshot, wrong: dict[str, list[str]]) -> Iterator[Finding]:
        t = snapshot.t
        if wrong:
            words = [word for listed in wrong.values() for word in listed]
            self._impossible.append((t, self._damaged()))
            self._clean_since = None
            if self._is_often(t) or len(words) >= self._limits.words:
                detail = "; ".join(words[: self._limits.words])
                yield Finding("implausible_data", True, t, detail=detail)
        elif t is not None:
            if self._clean_since is None or t < self._clean_since:
                self._clean_since = t
            elif t - self._clean_since >= self._limits.window_s:
                yield Finding("implausible_data", False, t)

    def _is_often(self, t: float | None) -> bool:
        """Whether there were more than noise explains, counted back from now."""
        limits = self._limits
        damaged_now = self._damaged()
        for count, (since, damaged) in enumerate(reversed(self._impossible), start=1):
            if t is not None and since is not None and not 0 <= t - since <= limits.window_s:
                break
            if count >= limits.readings + _PASS_SHARE * (damaged_now - damaged):
                return True
        return False

    @staticmethod
    def _spoiled(snapshot: Snapshot, wrong: dict[str, list[str]]) -> frozenset[str]:
        """Rows that came in the same reply as an impossible one."""
        spoiled: set[str] = set(wrong)
        for name in wrong:
            if name in _STATE_ROWS:
                spoiled |= set(_STATE_ROWS)
            if (t := snapshot.times.get(name)) is not None:
                spoiled |= {other for other, read in snapshot.times.items() if read == t}
        return frozenset(spoiled) & snapshot.fresh
