"""A pack, its board, its rider and its day together, floor 2.

`Plan` says what is simulated; `Scooter` steps it through time, a measuring cycle of the board
(250 ms) at a time while anybody is awake, in long strides while it is parked.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from packtap.simulated.board import BOARDS, Board
from packtap.simulated.day import STEPS, STORIES, Mode, Phase, Rider
from packtap.simulated.faults import Fault, LineFaults, RecorderFaults
from packtap.simulated.pack_model import PackModel, PackTraits, build_pack
from packtap.simulated.sensing import Measured, Sensing

__all__ = ["Plan", "Scooter"]

_CYCLE_S: Final = 0.25  # the board measures its cells that often
_SLOW_CYCLE_S: Final = 1.0  # looked at while nothing moves: a charge is polled every 6 s
_STRIDE_S: Final = 20.0
_MAX_CELLS: Final = 16
_CHARGER_A: Final = (1.7, 2.9)
_CHARGER_V: Final = (4.17, 4.20)  # a group
_CHARGER_ENDS_A: Final = (0.15, 0.28)
_STOPS_V: Final = 3.0  # a group: where the controller stops
_PARKED_A: Final = 0.002


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated.

    Attributes:
        cells: groups in series, 1-16.
        design_capacity_mah: of each group, as the label says.
        soc_pct: charge at the start; None: as the story has it.
        seed: of pack, rider and bus.
        story: name of a row of `day.STORIES`.
        faults: what is wrong.
        age: 0 new, 1 end of life.
        ambient_c: of the place.
        board: name of a row of `board.BOARDS`.
        charge_spread_pct: one sigma between the groups; None: by age.
        learns: whether the board knows what the pack holds today; None: most do.
    """

    cells: int = 10
    design_capacity_mah: int = 7800
    soc_pct: float | None = None
    seed: int = 1
    story: str = "ride"
    faults: tuple[Fault, ...] = ()
    age: float = 0.15
    ambient_c: float = 22.0
    board: str = "old"
    charge_spread_pct: float | None = None
    learns: bool | None = None
    phases: tuple[Phase, ...] = field(default=(), kw_only=True)  #: instead of the story's own

    def __post_init__(self) -> None:
        if not 1 <= self.cells <= _MAX_CELLS:
            raise ValueError(f"a pack has 1-16 cells, not {self.cells}")
        if self.soc_pct is not None and not 0 <= self.soc_pct <= 100:
            raise ValueError(f"a charge is 0-100 %, not {self.soc_pct:g}")
        if self.story not in STORIES:
            raise ValueError(f"no story {self.story!r}: there are {', '.join(STORIES)}")
        if self.board not in BOARDS:
            raise ValueError(f"no board {self.board!r}: there are {', '.join(BOARDS)}")
        for fault in self.faults:
            fault.check(self.cells)

    @property
    def day(self) -> tuple[Phase, ...]:
        """The phases that are lived through."""
        return self.phases or STORIES[self.story].phases

    @property
    def start_pct(self) -> float:
        """Charge at the start."""
        return STORIES[self.story].soc_pct if self.soc_pct is None else self.soc_pct


class Scooter:
    """Steps a plan through time and tells what the pack's registers hold.

    Its parts are public: faults act on them.

    Args:
        plan: what is simulated.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        traits = PackTraits(
            cells=plan.cells,
            design_mah=plan.design_capacity_mah,
            age=plan.age,
            ambient_c=plan.ambient_c,
            charge_spread_pct=plan.charge_spread_pct,
        )
        self.random = random.Random(f"scooter {plan.seed}")  # noqa: S311 - no secret
        self.pack: PackModel = build_pack(traits, plan.start_pct, plan.seed)
        self.sensing = Sensing(plan.cells, plan.seed)
        self.board = Board(
            BOARDS[plan.board],
            self.pack,
            plan.design_capacity_mah,
            plan.seed,
            learns=plan.learns,
        )
        self.rider = Rider(plan.seed, plan.design_capacity_mah / 1000)
        self.line = LineFaults()
        self.recorder = RecorderFaults()
        self.charger_a = self.random.uniform(*_CHARGER_A)
        self.charger_v = self.random.uniform(*_CHARGER_V) * plan.cells
        self._charger_ends_a = self.random.uniform(*_CHARGER_ENDS_A)
        self.now = 0.0
        self._phase = 0
        self._phase_began = 0.0
        self._charge_ended = False
        self._next_look = self.phase.look_every_s
        self._awake_until = 0.0
        self._measured: Measured | None = None
        self._waiting = sorted(plan.faults, key=lambda fault: fault.onset_s)
        self._registers: Mapping[str, int | float | tuple[int, ...]] = {}
        self._strike()
        self._measure([0.0] * STEPS)

    @property
    def phase(self) -> Phase:
        """What happens now."""
        return self.plan.day[self._phase]

    @property
    def phase_s(self) -> float:
        """Since when it happens."""
        return self.now - self._phase_began

    @property
    def has_charger(self) -> bool:
        """Whether a charger is plugged in."""
        return self.phase.mode in (Mode.CHARGING, Mode.BENCH_CHARGER)

    @property
    def is_awake(self) -> bool:
        """Whether anybody asks: a parked scooter is looked at now and then only."""
        return self.phase.mode is not Mode.PARKED or self.now < self._awake_until

    @property
    def cycle_s(self) -> float:
        """How often the board measures."""
        return _SLOW_CYCLE_S if self.phase.mode is Mode.CHARGING else _CYCLE_S

    def wakes_at(self) -> float:
        """Return when the next look at a parked scooter begins, or the next phase."""
        return min(self._next_look, self._phase_began + self.phase.seconds)

    def registers(self) -> Mapping[str, int | float | tuple[int, ...]]:
        """Return what the board reports now, by register row name."""
        return self._registers

    def advance(self, now: float) -> None:
        """Let it be `now` (seconds since the start, never earlier than before)."""
        while self.now < now:
            self._next_phase()
            self._strike()
            if not self.is_awake:
                self._sleep(min(now, self.wakes_at()))
                self._next_phase()
                continue
            step_s = min(self.cycle_s, now - self.now)
            currents = self._currents()
            self.pack.advance(step_s, sum(currents) / len(currents))
            self.now += step_s
            if step_s >= self.cycle_s or self.now >= now:
                self._measure(currents)

    def _sleep(self, until: float) -> None:
        self.rider.stopped()
        self.pack.bleeding_a.clear()
        while self.now < until:
            step_s = min(_STRIDE_S, until - self.now)
            self.pack.advance(step_s, _PARKED_A)
            self.now += step_s
            self.board.pass_time(step_s)
        if self.now >= self._next_look:
            self._awake_until = self.now + self.phase.look_s
            self._next_look += self.phase.look_every_s
            self.sensing.restart()

    def _next_phase(self) -> None:
        phase = self.phase
        # The same sum as in `wakes_at`: who sleeps until then must find the phase over.
        is_over = self.now >= self._phase_began + phase.seconds or (
            phase.until_pct is not None and self.pack.least_pct <= phase.until_pct
        )
        if phase.mode is Mode.CHARGING and self._charge_ended:
            is_over = True
        if is_over and self._phase + 1 < len(self.plan.day):
            self._phase += 1
            self._phase_began = self.now
            self._next_look = self.now + self.phase.look_every_s
            self._charge_ended = False

    def _strike(self) -> None:
        while self._waiting and self._waiting[0].onset_s <= self.now:
            fault = self._waiting.pop(0)
            fault.row.strike(self, fault)
            self.pack.settle()

    def _currents(self) -> list[float]:
        mode = self.phase.mode
        if self.has_charger:
            self.rider.stopped()
            return [self._charge_a()] * STEPS
        if mode is Mode.BENCH or self.board.is_cut:
            self.rider.stopped()
            return [0.0] * STEPS
        if mode is Mode.RIDING:
            spare_v = self.pack.rested_v - _STOPS_V * self.plan.cells
            most_a = max(0.0, spare_v / self.pack.stack_ohm)
            return list(self.rider.riding(self.now, self.phase.load, most_a))
        return list(self.rider.standing())

    def _charge_a(self) -> float:
        """Constant current, then constant voltage; it ends when little flows."""
        top_mv = 0 if self._measured is None else max(self._measured.cells_mv)
        if self._charge_ended or not self.board.may_charge(top_mv):
            return 0.0
        if self.phase_s < 1.5:
            return 0.0
        missing_v = self.charger_v - self.pack.rested_v
        flows_a = min(self.charger_a, missing_v / self.pack.stack_ohm)
        if flows_a < self._charger_ends_a:
            self._charge_ended = True
            self.board.set_gauge(100.0)
            return 0.0
        return -flows_a

    def _measure(self, currents: Sequence[float]) -> None:
        measured = self.sensing.read(self.now, self.pack, list(currents))
        self._measured = measured
        self._registers = self.board.update(self.now, measured, charger=self.has_charger)
