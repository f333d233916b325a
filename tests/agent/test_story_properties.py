"""Hours of a pack through all checks, told otherwise: what is true of the pack stays true.

Drawn are the pack (4 to 16 cells), its fault and the cell, and how the story is told: at another
pace, with registers missing, snapshots doubled, swapped or empty, the clock set, the cells counted
from the other end.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.test_cells import Pack, mirrored, open_wire, shifted
from ninebot_bms import Snapshot
from packtap.analysis.occasion import Occasion
from packtap.config import PackConfig
from packtap.pack_checks import PackChecks
from stories import judge, raised, snapshot

Found = set[tuple[str, int | None]]


@dataclass(frozen=True)
class Fault:
    """What is wrong, and the event that says so."""

    kind: str
    change: Callable[[int], dict[str, Any]]
    per_cell: bool = True
    ride_s: float = 420.0


SOUND = Fault("", lambda cell: {}, per_cell=False)
FAULTS = (
    Fault("weak_cell", lambda cell: {"weak": {cell: 0.72}}, ride_s=2000.0),
    Fault("high_resistance_cell", lambda cell: {"extra_mohm": {cell: 25.0}}),
    Fault("self_discharge_cell", lambda cell: {"leak_a": {cell: 0.15}}),
    Fault("cell_imbalance", lambda cell: {"off_pct": {cell: -9.0}}),
    Fault("open_balance_wire", lambda cell: {"spoil": open_wire(cell, 700.0)}),
    Fault("high_resistance_connection", lambda cell: {"joint_mohm": 70.0}, per_cell=False),
    Fault("voltage_sum_mismatch", lambda cell: {"gain": 0.95}, per_cell=False),
    Fault("soc_miscalibration", lambda cell: {"says_pct": lambda soc: soc - 30}, per_cell=False),
)


@dataclass
class Case:
    """A pack with a fault, and what must be found."""

    pack: Pack
    fault: Fault
    cell: int

    @property
    def expected(self) -> Found:
        if not self.fault.kind:
            return set()
        return {(self.fault.kind, self.cell if self.fault.per_cell else None)}

    @property
    def tolerated(self) -> Found:
        """A cell that has lost much charge is off at rest as well."""
        return self.expected | {("cell_imbalance", self.cell)}


@st.composite
def cases(draw: st.DrawFn, faults: tuple[Fault, ...] = (SOUND, *FAULTS)) -> Case:
    fault = draw(st.sampled_from(faults))
    cells = draw(st.integers(4, 16))
    cell = draw(st.integers(1, cells - (fault.kind == "open_balance_wire")))
    changes: dict[str, Any] = {"cells": cells, "seed": draw(st.integers(0, 99)), "step_s": 2.0}
    return Case(Pack(**changes, **fault.change(cell)), fault, cell)


def told(case: Case) -> list[Snapshot]:
    """Return what a pack goes through in a few hours, as a living board says it."""
    pack, chance = case.pack, random.Random(case.pack.seed)
    story = [*pack.rest(70.0), *pack.ride(case.fault.ride_s), *pack.rest(310.0), *pack.park(4.0)]
    return [alive(each, chance) for each in story]


def alive(each: Snapshot, chance: random.Random) -> Snapshot:
    """Let the current flicker, as it does, and add temperatures."""
    current_a = each.values["current_a"]
    assert isinstance(current_a, float)
    more = {
        "current_a": round(current_a + chance.uniform(-0.03, 0.03), 2),
        "temperature_1_c": 24,
        "temperature_2_c": 25,
    }
    return replace(
        each,
        values={**each.values, **more},
        times={**each.times, **dict.fromkeys(more, each.t)},
        fresh=each.fresh | more.keys(),
        temperatures_raw={"temperature_1_c": 44, "temperature_2_c": 45},
    )


def found(story: list[Snapshot]) -> Found:
    checks = PackChecks(PackConfig(), Occasion(), lambda: 0)
    return set(raised(judge(checks.update, story)))


seeds = st.integers(0, 2**32).map(random.Random)


@settings(max_examples=25)
@given(cases())
def test_a_fault_is_named_at_any_cell_of_any_pack_and_a_sound_pack_is_silent(case: Case) -> None:
    seen = found(told(case))
    assert case.expected <= seen <= case.tolerated


@settings(max_examples=12)
@given(cases(), st.sampled_from([0.4, 0.7, 1.6, 2.0]), seeds)
def test_the_pace_of_the_polls_and_their_jitter_change_nothing(
    case: Case, step_s: float, chance: random.Random
) -> None:
    case.pack.step_s = step_s
    story = [shifted(each, chance.uniform(-0.3, 0.3) * step_s) for each in told(case)]
    assert case.expected <= found(story) <= case.tolerated


@settings(max_examples=12)
@given(cases())
def test_cells_counted_from_the_other_end_give_the_mirrored_result(case: Case) -> None:
    story = told(case)
    last = case.pack.cells + 1
    turned = {
        (kind, None if cell is None else last - cell - (kind == "open_balance_wire"))
        for kind, cell in found(story)
    }
    assert found([mirrored(each) for each in story]) == turned


ROWS = (
    "current_a", "voltage_v", "soc_pct", "cell_voltages_mv", "design_capacity_mah", "status",
    "temperature_1_c", "temperature_2_c",
)  # fmt: skip


def without(each: Snapshot, names: set[str]) -> Snapshot:
    return replace(
        each,
        values={name: value for name, value in each.values.items() if name not in names},
        times={name: t for name, t in each.times.items() if name not in names},
        fresh=each.fresh - names,
        temperatures_raw={n: raw for n, raw in each.temperatures_raw.items() if n not in names},
    )


@settings(max_examples=15)
@given(cases(), st.sets(st.sampled_from(ROWS), min_size=1, max_size=4))
def test_registers_that_are_never_reported_raise_nothing_that_is_not_so(
    case: Case, missing: set[str]
) -> None:
    seen = found([without(each, missing) for each in told(case)])
    # Without a pack voltage or a current nothing else can say what is behind a deviation.
    assert seen <= case.tolerated


@settings(max_examples=12)
@given(cases((SOUND,)), st.sampled_from(ROWS), st.floats(0.05, 0.9), seeds)
def test_registers_that_are_reported_now_and_then_raise_nothing(
    case: Case, missing: str, share: float, chance: random.Random
) -> None:
    story = [without(each, {missing}) if chance.random() < share else each for each in told(case)]
    assert found(story) == set()


@settings(max_examples=12)
@given(cases(), seeds)
def test_doubled_snapshots_change_nothing(case: Case, chance: random.Random) -> None:
    story = [each for each in told(case) for _ in range(chance.choice((1, 1, 2, 3)))]
    assert case.expected <= found(story) <= case.tolerated


@settings(max_examples=12)
@given(cases((SOUND,)), st.integers(3, 30), seeds)
def test_swapped_snapshots_raise_nothing_about_a_sound_pack(
    case: Case, every: int, chance: random.Random
) -> None:
    story = told(case)
    for place in range(0, len(story) - 3, every):
        other = place + chance.randrange(1, 3)
        story[place], story[other] = story[other], story[place]
    assert found(story) == set()


@settings(max_examples=15)
@given(
    cases(),
    st.floats(0.05, 0.95),
    st.one_of(st.floats(-1e6, -1.5), st.floats(20, 3e4), st.sampled_from([1.7e9, -1.7e9])),
)
def test_a_clock_that_is_set_raises_nothing_that_is_not_so(
    case: Case, where: float, step_s: float
) -> None:
    story = told(case)
    middle = int(len(story) * where)
    seen = found(story[:middle] + [shifted(each, step_s) for each in story[middle:]])
    assert seen <= case.tolerated


def nothing(t: float | None) -> Snapshot:
    """Return a snapshot in which every register reads "not reported"."""
    return snapshot(t, **dict.fromkeys(ROWS))


@settings(max_examples=12)
@given(cases(), seeds)
def test_snapshots_of_nothing_in_between_hide_nothing(case: Case, chance: random.Random) -> None:
    def story() -> Iterator[Snapshot]:
        for each in told(case):
            yield each
            if chance.random() < 0.2:
                yield nothing(None if each.t is None or chance.random() < 0.2 else each.t + 0.1)

    # A board that loses all its cells again and again tells nonsense, and that is said.
    assert case.expected <= found(list(story())) <= case.tolerated | {("implausible_data", None)}
