"""Whatever a pack reports, in whatever order: no exception, and the same again gives the same."""

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ninebot_bms import BMS, Snapshot
from ninebot_bms.registers import REGISTERS
from packtap import kinds
from packtap.analysis.evidence import Evidence
from packtap.analysis.occasion import Occasion
from packtap.analysis.open_events import OpenEvents
from packtap.config import PackConfig
from packtap.model import Event, Value
from packtap.tap import PackChecks

CELLS = st.lists(st.one_of(st.none(), st.integers(0, 65534)), min_size=1, max_size=16).map(tuple)
LIKELY_CELLS = st.integers(1, 16).flatmap(
    lambda count: st.lists(st.integers(2500, 4300), min_size=count, max_size=count).map(tuple)
)
NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "status": st.integers(0, 65535),
    "current_a": st.one_of(st.floats(-40, 40).map(lambda a: round(a, 2)), st.just(0.0)),
    "voltage_v": st.floats(0, 70).map(lambda v: round(v, 2)),
    "soc_pct": st.integers(0, 100),
    "remaining_capacity_mah": st.integers(0, 20000),
    "full_capacity_mah": st.integers(0, 20000),
    "design_capacity_mah": st.integers(0, 20000),
    "temperature_1_c": st.integers(-20, 99),
    "temperature_2_c": st.integers(-20, 99),
    "balancing_cells": st.lists(st.integers(1, 16), max_size=3, unique=True).map(tuple),
    "cell_voltages_mv": st.one_of(LIKELY_CELLS, CELLS),
}


@st.composite
def snapshots(draw: st.DrawFn) -> list[Snapshot]:
    """Return a story: rows come and go, times stand still, step back and are missing."""
    story: list[Snapshot] = []
    values: dict[str, Value] = {}
    times: dict[str, float | None] = {}
    t = 1e9
    for _ in range(draw(st.integers(1, 25))):
        t += draw(st.sampled_from([0.0, 0.3, 1.0, 6.0, 400.0, 4000.0, -5.0, -1e8]))
        at = None if draw(st.integers(0, 9)) == 0 else t
        names = draw(st.sets(st.sampled_from(sorted(NUMBERS)), max_size=8))
        for name in names:
            is_reported = draw(st.integers(0, 9)) > 0
            values[name] = draw(NUMBERS[name]) if is_reported else None
            times[name] = at
        raws: dict[str, int] = {
            name: draw(st.sampled_from([0, 255, 44])) if values.get(name) is None
            else int(str(values[name])) + 20
            for name in ("temperature_1_c", "temperature_2_c") if name in values
        }  # fmt: skip
        story.append(Snapshot(at, BMS, dict(values), dict(times), frozenset(names), None, (), raws))
    return story


def judge(story: list[Snapshot], *, bench: bool = False) -> list[Event]:
    checks = PackChecks(PackConfig(), Occasion(bench=bench), lambda: 0)
    open_events = OpenEvents("test")
    return [event for each in story for event in open_events.apply("pack", checks.update(each))]


def essence(events: list[Event]) -> list[tuple[object, ...]]:
    return [(event.kind, event.cell, event.state, event.t) for event in events]


@settings(max_examples=200, deadline=None)
@given(snapshots(), st.booleans())
def test_no_story_raises_an_exception_and_every_story_is_told_the_same_again(
    story: list[Snapshot], bench: bool
) -> None:
    assert essence(judge(story, bench=bench)) == essence(judge(story, bench=bench))


@settings(max_examples=60, deadline=None)
@given(snapshots(), st.randoms(use_true_random=False))
def test_duplicated_and_reordered_snapshots_are_no_exception(
    story: list[Snapshot], chance: Any
) -> None:
    again = list(itertools.chain.from_iterable((each, each) for each in story))
    judge(again)
    chance.shuffle(again)
    judge(again)


@settings(max_examples=60, deadline=None)
@given(snapshots())
def test_events_come_raised_first_and_in_turns(story: list[Snapshot]) -> None:
    state: dict[tuple[str, int | None], str] = {}
    for event in judge(story):
        key = (event.kind, event.cell)
        before = state.get(key, "cleared")
        assert event.state.value != before
        state[key] = event.state.value


def test_snapshots_of_nothing_judge_nothing_and_raise_nothing() -> None:
    nothing = {register.name: None for register in REGISTERS}
    story = [
        Snapshot(t, BMS, nothing, dict.fromkeys(nothing, t), frozenset(nothing), None, ())
        for t in (None, 1.0, 2.0, 60.0)
    ]
    checks = PackChecks(PackConfig(), Occasion(bench=True), lambda: 0)
    assert [finding for each in story for finding in checks.update(each)] == []
    empty = replace(story[1], values={}, times={}, fresh=frozenset())
    assert list(checks.update(empty)) == []


def test_what_was_never_reported_cannot_be_judged() -> None:
    checks = PackChecks(PackConfig(), Occasion(), lambda: 0)
    story = [
        Snapshot(
            float(t), BMS, {"status": 1}, {"status": float(t)}, frozenset({"status"}), None, ()
        )
        for t in range(9)
    ]
    for each in story:
        assert not any(finding.present for finding in checks.update(each))
    evidence = Evidence(judged=set(checks.judged))
    assert {"cell_imbalance", "over_temperature", "frozen_readings"} <= set(evidence.unjudged)
    assert "bms_fault_flag" not in evidence.unjudged
    assert set(checks.judged) <= {kind.name for kind in kinds.KINDS}
