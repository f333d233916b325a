"""All checks of cells and pack by stories: a small pack that is ridden, parked and measured."""

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from ninebot_bms import BMS, Snapshot
from packtap.analysis.arbiter import Arbiter
from packtap.analysis.cells import CellChecks
from packtap.analysis.finding import Finding
from packtap.analysis.ocv import soc_from_ocv_pct
from packtap.model import Event, Value
from stories import judge, raised, snapshot


def ocv_mv(soc_pct: float) -> float:
    """A curve of our own, steeper below and flatter above than the one that judges."""
    return 3480 + 6.9 * soc_pct if soc_pct > 12 else 3000 + 46.9 * soc_pct


@dataclass
class Pack:
    """Cells with charge and resistance; what goes wrong is set by the test."""

    cells: int = 10
    capacity_ah: float = 10.0
    soc_pct: float = 85.0
    seed: int = 1
    step_s: float = 1.0
    weak: dict[int, float] = field(default_factory=dict)  #: share of capacity
    extra_mohm: dict[int, float] = field(default_factory=dict)
    leak_a: dict[int, float] = field(default_factory=dict)
    off_pct: dict[int, float] = field(default_factory=dict)
    joint_mohm: float = 4.0
    gain: float = 1.0
    says_pct: Callable[[float], float] = round
    spoil: Callable[[float, list[float]], list[float]] = lambda _t, cells_mv: cells_mv

    def __post_init__(self) -> None:
        self.t = 0.0
        self._random = random.Random(self.seed)
        self._soc = [self.soc_pct + self.off_pct.get(n, 0.0) for n in range(1, self.cells + 1)]
        self._drawn_ah = 0.0

    def reading(self, current_a: float) -> Snapshot:
        volts: list[float] = []
        for n, soc_pct in enumerate(self._soc, 1):
            mohm = 15 + 0.3 * (n % 3) + self.extra_mohm.get(n, 0.0)
            volts.append(ocv_mv(soc_pct) - mohm * current_a + self._random.choice((0, 0, 1)))
        seen = [max(0, round(mv)) for mv in self.spoil(self.t, volts)]
        pack_v = self.gain * (sum(volts) - self.joint_mohm * current_a) / 1000
        share = 100 * self._drawn_ah / self.capacity_ah
        return snapshot(
            self.t,
            current_a=round(current_a, 2),
            voltage_v=round(pack_v, 2),
            soc_pct=round(self.says_pct(self.soc_pct - share)),
            design_capacity_mah=round(1000 * self.capacity_ah),
            cell_voltages_mv=tuple(seen),
            status=1,
        )

    def advance(self, seconds: float, current_a: float) -> None:
        self.t += seconds
        self._drawn_ah += current_a * seconds / 3600
        for n in range(1, self.cells + 1):
            drawn_ah = (current_a + self.leak_a.get(n, 0.0)) * seconds / 3600
            self._soc[n - 1] -= 100 * drawn_ah / (self.capacity_ah * self.weak.get(n, 1.0))

    def ride(self, seconds: float) -> Iterator[Snapshot]:
        """Twenty seconds of each current in turn."""
        end = self.t + seconds
        while self.t < end:
            current_a = (6.0, 14.0, 0.1, 9.0, -3.0)[int(self.t / 20) % 5]
            self.advance(self.step_s, current_a)
            yield self.reading(current_a)

    def rest(self, seconds: float) -> Iterator[Snapshot]:
        end = self.t + seconds
        while self.t < end:
            self.advance(self.step_s, 0.02)
            yield self.reading(0.02)

    def park(self, hours: float) -> Iterator[Snapshot]:
        """A burst of eight seconds every half hour."""
        for _ in range(round(2 * hours)):
            self.advance(1792.0, 0.0)
            yield from self.rest(8.0)


class Judge:
    """All checks and the arbiter, as the tap runs them."""

    def __init__(self, *, rested: bool = False) -> None:
        self.checks = CellChecks(rested=lambda: rested)
        self._arbiter = Arbiter()

    def update(self, each: Snapshot) -> Iterator[Finding]:
        return self._arbiter.review(self.checks.update(each), each)


def events(story: Iterator[Snapshot] | Sequence[Snapshot], *, rested: bool = False) -> list[Event]:
    return judge(Judge(rested=rested).update, story)


def found(story: Iterator[Snapshot] | Sequence[Snapshot]) -> set[tuple[str, int | None]]:
    return set(raised(events(story)))


def day(pack: Pack) -> Iterator[Snapshot]:
    yield from pack.rest(90.0)
    yield from pack.ride(2400.0)
    yield from pack.rest(400.0)
    yield from pack.park(6.0)


def moist(t: float, cells_mv: list[float]) -> list[float]:
    nodes = [0.0, *(40 * math.sin(t * (0.7 + 0.31 * n) + n) for n in range(1, 5)), 0.0]
    spoilt = list(cells_mv)
    for place, (low, high) in enumerate(itertools.pairwise(nodes), start=2):
        spoilt[place] += high - low
    return spoilt


def open_wire(cell: int, off_mv: float) -> Callable[[float, list[float]], list[float]]:
    def spoil(t: float, cells_mv: list[float]) -> list[float]:
        if t < 300:
            return cells_mv
        spoilt = list(cells_mv)
        spoilt[cell - 1] -= off_mv
        spoilt[cell] += off_mv
        return [max(0.0, mv) for mv in spoilt]

    return spoil


def stuck(_soc_pct: float) -> float:
    return 85.0


FAULTS: dict[str, tuple[Pack, tuple[str, int | None]]] = {
    "weak cell": (Pack(weak={4: 0.75}), ("weak_cell", 4)),
    "resistance": (Pack(extra_mohm={7: 25.0}), ("high_resistance_cell", 7)),
    "short": (Pack(leak_a={2: 0.15}), ("self_discharge_cell", 2)),
    "imbalance": (Pack(off_pct={9: -9.0}), ("cell_imbalance", 9)),
    "joint": (Pack(joint_mohm=70.0), ("high_resistance_connection", None)),
    "gain": (Pack(gain=0.95), ("voltage_sum_mismatch", None)),
    "percentage": (Pack(says_pct=lambda soc: soc - 30), ("soc_miscalibration", None)),
    "stuck percentage": (Pack(says_pct=stuck), ("soc_miscalibration", None)),
    "wire": (Pack(spoil=open_wire(5, 700.0)), ("open_balance_wire", 5)),
    "torn wire": (Pack(spoil=open_wire(5, 3700.0)), ("open_balance_wire", 5)),
    "moisture": (Pack(spoil=moist), ("moisture_suspected", None)),
}


def fresh(pack: Pack, **changed: object) -> Pack:
    return replace(pack, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("cells", [4, 10, 16])
def test_a_sound_pack_is_silent_all_day(cells: int) -> None:
    assert found(day(Pack(cells=cells))) == set()


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_and_nothing_else(name: str) -> None:
    pack, expected = FAULTS[name]
    seen = found(day(fresh(pack)))
    assert expected in seen
    # A cell that has lost much charge is off at rest as well.
    assert seen <= {expected, ("cell_imbalance", expected[1])}


@pytest.mark.parametrize("step_s", [0.5, 2.0])
@pytest.mark.parametrize("name", ["weak cell", "resistance", "short", "joint", "wire"])
def test_the_pace_of_the_polls_changes_nothing(name: str, step_s: float) -> None:
    pack, expected = FAULTS[name]
    assert expected in found(day(fresh(pack, step_s=step_s)))


def noisy(seed: int) -> Callable[[float, list[float]], list[float]]:
    """A board whose readings scatter by 2 mV each way, more than a sound one's."""
    noise = random.Random(seed)
    return lambda _t, cells_mv: [mv + noise.uniform(-2.5, 2.5) for mv in cells_mv]


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_board_is_no_leaking_cell(seed: int) -> None:
    pack = Pack(soc_pct=60.0, step_s=4.0, spoil=noisy(seed))
    assert found(pack.park(48)) == set()


def mirrored(each: Snapshot) -> Snapshot:
    cells = each.values["cell_voltages_mv"]
    assert isinstance(cells, tuple)
    return replace(each, values={**each.values, "cell_voltages_mv": cells[::-1]})


@pytest.mark.parametrize("name", FAULTS)
def test_cells_in_the_other_order_give_the_mirrored_result(name: str) -> None:
    pack, _ = FAULTS[name]
    straight = found(day(fresh(pack)))
    mirror = found([mirrored(each) for each in day(fresh(pack))])
    last = pack.cells + 1
    turned = {
        (kind, None if cell is None else last - cell - (kind == "open_balance_wire"))
        for kind, cell in straight
    }
    assert mirror == turned


@pytest.mark.parametrize("name", ["weak cell", "resistance", "imbalance", "wire"])
def test_a_small_and_a_large_pack_show_the_same_fault(name: str) -> None:
    pack, (kind, cell) = FAULTS[name]
    wide = found(day(fresh(pack, cells=16)))
    assert (kind, cell) in wide


def test_doubled_readings_change_nothing() -> None:
    story = [each for each in day(Pack(weak={4: 0.75})) for _ in range(2)]
    assert ("weak_cell", 4) in found(story)
    assert found([each for each in day(Pack()) for _ in range(2)]) == set()


def test_readings_in_a_muddled_order_raise_nothing_about_a_sound_pack() -> None:
    story = list(day(Pack()))
    for place in range(0, len(story) - 3, 7):
        story[place], story[place + 2] = story[place + 2], story[place]
    assert found(story) == set()


@pytest.mark.parametrize("step_s", [-86400.0, -5.0, 40.0, 1.7e9])
def test_a_step_of_the_clock_raises_nothing_about_a_sound_pack(step_s: float) -> None:
    story = list(day(Pack()))
    middle = len(story) // 2
    assert found(story[:middle] + [shifted(each, step_s) for each in story[middle:]]) == set()


def shifted(each: Snapshot, seconds: float) -> Snapshot:
    times = {name: None if t is None else t + seconds for name, t in each.times.items()}
    return replace(each, t=None if each.t is None else each.t + seconds, times=times)


@pytest.mark.parametrize(
    "missing",
    ["current_a", "voltage_v", "soc_pct", "cell_voltages_mv", "design_capacity_mah", "status"],
)
def test_a_register_that_is_never_reported_raises_nothing(missing: str) -> None:
    def without(each: Snapshot) -> Snapshot:
        values = {name: value for name, value in each.values.items() if name != missing}
        times = {name: t for name, t in each.times.items() if name != missing}
        return replace(each, values=values, times=times, fresh=each.fresh - {missing})

    assert found([without(each) for each in day(Pack())]) == set()


def test_what_was_not_reported_is_not_judged() -> None:
    judged = Judge()
    for each in Pack().rest(30.0):
        bare = replace(each, values={**each.values, "cell_voltages_mv": None})
        assert list(judged.update(bare)) == []
    assert judged.checks.judged == set()


ROWS = ("current_a", "voltage_v", "soc_pct", "cell_voltages_mv", "balancing_cells", "status")


@pytest.mark.parametrize(
    "cells",
    [None, (), (None,), (3700,), (None,) * 10, (3700, None, 3600), (0,) * 16, (65534,) * 16],
    ids=str,
)
@pytest.mark.parametrize("times", [True, False], ids=["timed", "untimed"])
def test_nothing_that_a_board_can_report_breaks_the_checks(
    cells: tuple[int | None, ...] | None, times: bool
) -> None:
    values: dict[str, Value] = dict.fromkeys(ROWS)
    judged = Judge()
    for place in range(40):
        t = float(place) if times else None
        each = snapshot(t, **{**values, "cell_voltages_mv": cells})
        list(judged.update(each))
        list(judged.update(snapshot(t, current_a=place - 20.0, cell_voltages_mv=cells)))
        list(judged.update(snapshot(t, current_a=0.0, voltage_v=0.0, cell_voltages_mv=cells)))


def test_readings_without_times_still_show_what_one_reading_can() -> None:
    torn = snapshot(None, current_a=0.0, cell_voltages_mv=(3700, 3702, 0, 7400, 3701, 3700))
    assert found([torn]) == {("open_balance_wire", 3)}
    dead = snapshot(
        None, current_a=0.0, voltage_v=18.70, cell_voltages_mv=(3700, 3702, 200, 3700, 3701, 3700)
    )
    assert found([dead]) == {("dead_cell", 3)}


def test_a_dead_cell_is_dead_only_if_the_pack_voltage_fell_too() -> None:
    def bench(pack_v: float) -> list[Snapshot]:
        cells = (3700, 3702, 3701, 100, 3700, 3699, 3701, 3700)
        return [
            snapshot(t / 2, current_a=0.0, voltage_v=pack_v, cell_voltages_mv=cells, status=1)
            for t in range(40)
        ]

    assert found(bench(26.00)) == {("dead_cell", 4)}
    assert ("dead_cell", 4) not in found(bench(29.60))


@pytest.mark.parametrize(("status", "level"), [(0x4001, 2700), (0x0101, 2650), (1, 2300)])
def test_an_empty_pack_is_deeply_discharged_as_a_whole(status: int, level: int) -> None:
    cells = tuple(level + 9 * n for n in range(10))
    story = [
        snapshot(t / 2, current_a=0.0, cell_voltages_mv=cells, status=status) for t in range(30)
    ]
    assert set(raised(events(story, rested=True))) == {("deep_discharge", None)}


def test_a_hard_ride_to_the_end_is_no_deep_discharge() -> None:
    story = [
        snapshot(t / 2, current_a=20.0, cell_voltages_mv=(2850,) * 10, status=1) for t in range(60)
    ]
    assert found(story) == set()


def test_a_minute_on_the_bench_shows_nothing_that_needs_load_or_hours() -> None:
    judged = Judge(rested=True)
    for each in Pack(weak={4: 0.6}, extra_mohm={7: 40.0}).rest(60.0):
        assert not any(finding.present for finding in judged.update(each))
    assert {"cell_imbalance", "soc_miscalibration", "dead_cell"} <= judged.checks.judged
    assert not judged.checks.judged & {
        "weak_cell",
        "high_resistance_cell",
        "self_discharge_cell",
        "high_resistance_connection",
        "capacity_fade",
    }


def test_capacity_is_told_between_two_rest_points() -> None:
    def worn(share: float) -> set[tuple[str, int | None]]:
        pack = Pack(soc_pct=90.0, weak=dict.fromkeys(range(1, 11), share))
        story = [*pack.rest(400.0), *pack.ride(2800.0), *pack.rest(400.0)]
        return found(story)

    assert ("capacity_fade", None) in worn(0.55)
    assert ("capacity_fade", None) not in worn(0.95)


def leak_story(pack: Pack, leaks: float, hours: float) -> list[Snapshot]:
    """Return a pack that leaks on its first night, and so much (A) after another ride."""
    story = [*pack.rest(90.0), *pack.park(12.0)]
    pack.leak_a = {2: leaks}
    return [*story, *pack.ride(120.0), *pack.park(hours)]


def leak_events(leaks: float, hours: float) -> list[tuple[str, float]]:
    pack = Pack(leak_a={2: 0.15}, soc_pct=80.0)
    told = events(leak_story(pack, leaks, hours))
    return [
        (event.state.value, (event.t or 0.0) / 3600)
        for event in told
        if event.kind == "self_discharge_cell" and event.cell == 2
    ]


def test_a_leak_that_is_gone_is_over_after_two_days_of_rest_and_not_before() -> None:
    assert [state for state, _ in leak_events(0.0, 40.0)] == ["raised"]
    raised_at, cleared_at = leak_events(0.0, 60.0)
    assert (raised_at[0], cleared_at[0]) == ("raised", "cleared")
    assert 12 + 48 < cleared_at[1] < 12 + 53


@pytest.mark.parametrize("leak_a", [0.15, 0.004])
def test_a_leak_that_goes_on_is_never_over_however_small(leak_a: float) -> None:
    assert [state for state, _ in leak_events(leak_a, 72.0)] == ["raised"]


def test_a_leak_is_not_over_by_two_days_that_a_ride_has_parted() -> None:
    pack = Pack(leak_a={2: 0.15}, soc_pct=80.0)
    story = leak_story(pack, 0.0, 30.0)
    story += [*pack.ride(120.0), *pack.park(30.0)]
    told = [event.state.value for event in events(story) if event.kind == "self_discharge_cell"]
    assert told == ["raised"]


def test_the_judges_curve_and_ours_differ_by_a_few_points() -> None:
    assert max(abs(soc_from_ocv_pct(ocv_mv(soc)) - soc) for soc in range(15, 100)) > 3


def test_the_address_of_a_story_is_that_of_the_pack() -> None:
    assert next(Pack().rest(1.0)).address == BMS
