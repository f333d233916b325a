"""A restart in the middle changes nothing: the same events, the same diagnosis."""

import json
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rides
from agent.test_cooldown import COOLDOWN_S, FAULT, SOUND, states
from agent.test_link_checks import damaged, polls, request
from agent.test_tap import cells_reply, serial_reply, status_reply
from agent.test_tap_properties import snapshots
from fake_wire import Read
from ninebot_bms import BMS2, BusEvent, Observer, Snapshot
from packtap.analysis import saved_state
from packtap.analysis.finding import Held
from packtap.analysis.occasion import Occasion
from packtap.analysis.open_events import OpenEvents
from packtap.analysis.saved_state import left_out, restore, save
from packtap.config import PackConfig, PackModelConfig
from packtap.errors import StateError
from packtap.model import Event, EventState
from packtap.simulated.fault_rows import FAULTS
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.tap import PackChecks, Tap, TapSettings
from recorded import VECTORS
from restarts import Restarted, recorded, restarted, told
from simulations import case

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.log.gz"))
RECORDINGS = sorted((VECTORS / "recordings").glob("*.log.gz"))
#: Trips and days are run by hand (`python tests/restarts.py --simulated`).
SIMULATED = [name for name in FAULTS if case(name).seconds <= 700]
#: What belongs to the new process; everything else that a check has is saved.
LEFT_OUT = {
    "CellChecks._rested", "RestClock._rested", "Plausibility._damaged",
    "OpenEvents._origin", "OpenEvents._counter", "OpenEvents._open",
}  # fmt: skip


# The whole path.


@pytest.mark.parametrize("path", [*SCENARIOS, *RECORDINGS], ids=lambda path: path.stem[:-4])
def test_a_recording_tells_the_same_story_however_often_it_is_restarted(path: Path) -> None:
    without = told(recorded(path), 0.0)
    again = told(recorded(path), 2 / max(1, without.snapshots), seed=sum(path.name.encode()))
    assert again.restarts > 3
    assert again.events == without.events
    assert again.diagnosis == without.diagnosis
    assert again.snapshots == without.snapshots


@pytest.mark.parametrize("name", SIMULATED)
def test_every_fault_is_told_the_same_with_restarts(name: str) -> None:
    made = case(name, cell=3 if FAULTS[name].per_cell else None)
    chunks = list(made.chunks())
    without = told(chunks, 0.0)
    again = told(chunks, 2 / max(1, without.snapshots), seed=sum(name.encode()))
    assert FAULTS[name].kind in {event.kind for event in without.events}
    assert (again.events, again.diagnosis) == (without.events, without.diagnosis)
    assert again.restarts > 3


@settings(max_examples=60, deadline=None)
@given(snapshots(), st.booleans(), st.randoms(use_true_random=False))
def test_no_story_changes_when_the_checks_are_restarted_between_two_snapshots(
    story: list[Snapshot], bench: bool, chance: Any
) -> None:
    def fresh() -> PackChecks:
        return PackChecks(PackConfig(), Occasion(bench=bench), lambda: 0)

    whole, cut = fresh(), fresh()
    for each in story:
        if chance.random() < 0.5:
            text = json.dumps(save(cut), allow_nan=False)
            cut = fresh()
            restore(cut, json.loads(text))
            assert json.dumps(save(cut)) == text
        assert list(cut.update(each)) == list(whole.update(each))
        assert cut.judged == whole.judged


def test_two_packs_a_name_that_is_read_late_and_a_swap_survive_restarts() -> None:
    story: list[BusEvent] = []
    for step in range(280):
        t = 100 + step * 0.5
        story.append(cells_reply(t, *(3600,) * 9, 2700 if step < 80 else 3610 + step % 90))
        story.append(cells_reply(t, *(3600,) * 6, 2600 + step, address=BMS2))
        story.append(status_reply(t, voltage_v=35.0, current_a=step / 10, soc_pct=50, status=1))
        if step in (30, 90):
            story.append(serial_reply(t, "3JDEA24M1D0815"))
        if step == 60:
            story.append(serial_reply(t, "3JDEA24M1D0816"))
    whole = rides.fresh_tap()
    expected = whole.digest(story)
    stand_in = Restarted(rides.fresh_tap(), random.Random(5), 0.2)
    digest = stand_in.digest(story)
    assert (digest.events, digest.renamed) == (expected.events, expected.renamed)
    assert digest.snapshots == expected.snapshots
    assert stand_in.tap.diagnose() == whole.diagnose()
    assert len(expected.renamed) > 0
    assert len({event.pack for event in expected.events}) == 4
    assert stand_in.restarts > 20


def test_what_is_shared_is_still_shared_after_a_restart() -> None:
    tap = rides.fresh_tap()
    tap.digest([status_reply(float(t), current_a=1.0, voltage_v=36.0) for t in range(3)])
    again = restarted(tap)
    (checks,) = again._checks.values()
    assert checks._occasion is again._occasion
    assert again._noise is again._link_checks[2]
    again.digest([damaged(float(t)) for t in range(5, 9)])
    assert checks._plausibility._damaged() == 4


# An older state: the agent was killed after its last one was saved.


def lived_twice(
    taken: Sequence[Read], saved_s: float, killed_s: float, back_s: float
) -> tuple[list[Event], Tap]:
    """Return all events, and the tap that went on at `back_s` with what was known at `saved_s`."""
    tap, observer = rides.fresh_tap(), Observer(lines=("esc", "bms"))
    state: str | None = None
    is_back = False
    happened: list[Event] = []
    for t, line, data in taken:
        assert t is not None
        if state is None and t >= saved_s:
            state = json.dumps(tap.state())
        if killed_s <= t < back_s:
            continue
        if t >= back_s and not is_back:
            is_back = True
            opened = tap.open_events
            events = OpenEvents("test", opened.all(), opened._counter)
            tap = Tap.resumed(TapSettings(), events, json.loads(state or ""), saved_s, t)
            observer = Observer(lines=("esc", "bms"))
            happened += tap.idle(None).events
        happened += tap.digest(observer.idle(t)).events
        happened += tap.idle(t).events
        happened += tap.digest(observer.receive_data(data, line, t)).events
    return happened + tap.idle(None).events, tap


@pytest.mark.parametrize("saved_s", range(80, 150, 7))
def test_after_a_kill_no_event_is_raised_twice_and_none_is_lost(saved_s: int) -> None:
    taken = rides.reads(Wires(rides.failing(60.0)), 180.0)
    whole = rides.fresh_tap()
    expected = rides.replayed(taken, whole).events
    happened, tap = lived_twice(taken, saved_s, saved_s + 9.7, saved_s + 12)
    ends = [(event.id, event.state) for event in happened]
    assert len(ends) == len(set(ends))
    state: dict[tuple[str, int | None], EventState] = {}
    for event in happened:
        before = state.get((event.kind, event.cell), EventState.CLEARED)
        assert event.state is not before
        state[event.kind, event.cell] = event.state
    assert state.keys() == {(event.kind, event.cell) for event in expected}
    assert {(event.kind, event.cell) for event in tap.open_events.all()} == {
        (event.kind, event.cell) for event in whole.open_events.all()
    }
    assert tap.diagnose().causes[0].cause is whole.diagnose().causes[0].cause
    assert {event.kind for event in tap.open_events.all()} <= tap.evidence.raised


def test_a_condition_that_came_back_while_nobody_listened_is_still_the_same_event() -> None:
    tap = rides.fresh_tap()
    [raised] = tap.digest([*states(0, 10, FAULT), *states(10, 20, SOUND)]).events
    later = 20.0 + COOLDOWN_S
    again = restarted(tap, 20.0, now=later)
    assert again.idle(later).events == []
    assert again.digest(states(later, later + 30, FAULT)).events == []
    assert again.open_events.all() == (raised,)
    # Whoever is not told takes the time for one without the fault.
    events = restarted(tap).digest(states(later, later + 30, FAULT)).events
    assert [event.state for event in events] == [EventState.CLEARED, EventState.RAISED]


# The tap was deaf for a while, not the pack dumb.


def line_events(tap: Tap, story: list[BusEvent]) -> list[Event]:
    """Return what the line is accused of; what these replies carry is nonsense."""
    return [event for event in tap.digest(story).events if event.kind != "implausible_data"]


def resumed(story: list[BusEvent], deaf_since: float | None) -> Tap:
    tap = rides.fresh_tap()
    assert line_events(tap, story) == []
    return restarted(tap, deaf_since)


def silence(start: float, stop: float) -> list[BusEvent]:
    """Return polls that nobody answers."""
    return polls(start, stop, 0.2, range(int(start), int(stop) + 1))


def test_the_time_in_which_nobody_listened_is_no_silence_of_the_pack() -> None:
    before = [*polls(0, 60, 0.2), *silence(60, 62)]
    # It answers at once after six seconds that nobody heard, of which the pack may owe two.
    tap = resumed(before, 62.0)
    assert line_events(tap, [request(68.0), *polls(68.2, 100, 0.2)]) == []
    # A tap that is not told takes all of it for the pack's.
    told_nothing = resumed(before, None)
    kinds = [event.kind for event in line_events(told_nothing, [request(68.0)])]
    assert kinds == ["bms_comm_lost"]


def test_silence_before_and_after_a_restart_adds_up() -> None:
    tap = resumed([*polls(0, 60, 0.2), *silence(60, 63)], 63.0)
    events = line_events(tap, silence(66, 72))
    assert [event.kind for event in events] == ["bms_comm_lost"]
    assert events[0].t is not None and 67.9 <= events[0].t <= 68.5


def test_restarts_in_pauses_are_no_loose_contact() -> None:
    def story(*, is_told: bool) -> list[str]:
        tap, kinds = rides.fresh_tap(), []
        for start in range(0, 300, 60):
            cut = [*polls(start, start + 50, 0.2), *silence(start + 50, start + 51)]
            events = line_events(tap, cut)
            kinds += [event.kind for event in events]
            tap = restarted(tap, start + 51.0 if is_told else None)
            kinds += [event.kind for event in line_events(tap, polls(start + 53, start + 60, 0.2))]
        return kinds

    assert story(is_told=True) == []
    assert story(is_told=False) == ["bms_comm_intermittent"]


def test_frames_that_restarts_cut_in_two_are_no_noise() -> None:
    tap, kinds = rides.fresh_tap(), []
    for start in range(0, 60, 5):
        kinds += [event.kind for event in line_events(tap, polls(start, start + 4, 0.2))]
        tap = restarted(tap, start + 4.0)
        kinds += [event.kind for event in line_events(tap, [damaged(start + 4.9)])]
    assert kinds == []
    noisy = line_events(tap, [damaged(61.0 + step / 10) for step in range(9)])
    assert [event.kind for event in noisy] == ["bus_noise"]


@pytest.mark.parametrize("seed", range(3))
def test_a_sound_ride_with_many_real_restarts_raises_nothing(seed: int) -> None:
    chance = random.Random(seed)
    taken = rides.reads(Wires(Plan(seed=seed)), 240.0)
    tap, observer = rides.fresh_tap(), Observer(lines=("esc", "bms"))
    next_s, back_s, restarts, events = 5.0, 0.0, 0, list[Event]()
    for t, line, data in taken:
        assert t is not None
        if t < back_s:
            continue
        if t >= next_s:
            tap = restarted(tap, t)
            observer = Observer(lines=("esc", "bms"))
            back_s = t + chance.choice([0.3, 1.5, 4.0, 8.0])
            next_s = back_s + chance.uniform(1, 20)
            restarts += 1
            # Listening begins in the middle of a frame.
            data = data[len(data) // 2 :]  # noqa: PLW2901
            events += tap.digest(observer.receive_data(data, line, back_s)).events
            continue
        events += tap.digest(observer.idle(t)).events + tap.idle(t).events
        events += tap.digest(observer.receive_data(data, line, t)).events
    assert restarts > 8
    assert events == []


# What is saved, and what comes back.


def full_tap() -> Tap:
    tap = rides.fresh_tap()
    rides.replayed(rides.reads(Wires(rides.failing(20.0)), 90.0), tap)
    return tap


def test_nothing_of_a_check_is_left_out_but_limits_and_what_belongs_to_the_new_process() -> None:
    out = left_out(full_tap())
    limits = {
        name
        for name, kind in out.items()
        if kind.__name__.endswith(("Limits", "Settings", "Config"))
    }
    assert out.keys() - limits == LEFT_OUT
    for name in limits:
        kept = {each.type for each in fields(out[name])}
        plain = {"int", "float", "str", "bool", int, float, str, bool}
        assert kept <= plain | {PackConfig, tuple[PackModelConfig, ...]}, name


def test_every_name_of_a_small_state_is_unique_and_no_code_can_be_named() -> None:
    kinds = saved_state._small_states()
    assert {name for name in kinds if name.startswith("finding.")} == {
        "finding.Finding",
        "finding.Held",
    }
    assert all(name == saved_state._name(kind) for name, kind in kinds.items())
    for name in ("os.system", "builtins.eval", "part", "cells.CellChecks", "tap.Tap"):
        with pytest.raises(StateError):
            restore(rides.fresh_tap(), {name: ["true"]})


class Part:
    """A check to be."""

    __module__ = "packtap.analysis.new_check"

    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


SHARED = Held(1.0)


@pytest.mark.parametrize(
    "attributes",
    [
        {"seen": iter([1])},
        {"seen": bytearray(b"x")},
        {"seen": Path("/")},
        {"first": SHARED, "second": SHARED},
        {"deep": [{1: {2: object()}}]},
    ],
    ids=["an iterator", "bytes", "a path", "shared by two", "deep"],
)
def test_a_check_with_something_that_cannot_be_saved_is_refused(
    attributes: dict[str, object],
) -> None:
    with pytest.raises(StateError):
        save(Part(**attributes))


@dataclass(frozen=True, slots=True)
class NewLimits:
    seconds: float = 5.0


def test_limits_and_functions_are_those_of_the_new_process() -> None:
    NewLimits.__module__ = Part.__module__
    old = Part(limits=NewLimits(4.0), say=print, count=3)
    new = Part(limits=NewLimits(), say=repr, count=0)
    restore(new, save(old))
    assert vars(new) == {"limits": NewLimits(), "say": repr, "count": 3}


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5),
        st.sampled_from(EventState),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(st.one_of(st.integers(), st.text(max_size=3)), max_size=4),
        st.frozensets(st.integers(), max_size=4),
        st.lists(inner, max_size=4).map(lambda items: deque(items, maxlen=4)),
        st.dictionaries(
            st.one_of(st.integers(), st.text(max_size=3), st.tuples(st.integers(), st.integers())),
            inner, max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from("abcd"), VALUES), st.booleans())
def test_whatever_an_attribute_holds_comes_back_the_same(
    attributes: dict[str, Any], is_known: bool
) -> None:
    # What stands there already is of the same kind, and empty.
    begins = {
        name: type(value)() if is_known and isinstance(value, list | dict | set | tuple) else None
        for name, value in attributes.items()
    }
    fresh = Part(**begins)
    restore(fresh, json.loads(json.dumps(save(Part(**attributes)), allow_nan=False)))
    assert vars(fresh) == attributes
    for name, value in attributes.items():
        assert type(vars(fresh)[name]) is type(value)
        if isinstance(begins[name], list | dict | set):
            assert vars(fresh)[name] is begins[name]


# What is put back may be anything.

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["tuple", "set", "deque", "dict", "part", "same", "float", "enum", "finding.Held",
                 "tap.Tap", "known", "addresses", "open"]
            ),
            inner, max_size=3,
        ),
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300)
@given(st.one_of(JSON, st.dictionaries(st.sampled_from(["known", "addresses", "open"]), JSON)))
def test_foreign_json_is_refused_and_raises_nothing_else(foreign: Any) -> None:
    with pytest.raises(StateError):
        Tap.resumed(
            TapSettings(), OpenEvents("x"), foreign if isinstance(foreign, dict) else {"": foreign}
        )


@cache
def full_tap_once() -> Tap:
    return full_tap()


@cache
def saved_once() -> str:
    return json.dumps(full_tap_once().state())


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_state_with_something_replaced_is_taken_or_refused(data: st.DataObject) -> None:
    state = json.loads(saved_once())
    here: Any = state
    for _ in range(data.draw(st.integers(0, 12))):
        inner = here.values() if isinstance(here, dict) else here
        deeper = [each for each in inner if isinstance(each, dict | list) and each]
        if not deeper:
            break
        here = data.draw(st.sampled_from(deeper))
    key = data.draw(st.sampled_from(list(here) if isinstance(here, dict) else range(len(here))))
    here[key] = data.draw(JSON)
    opened = full_tap_once().open_events.all()
    open_events = OpenEvents("x", [replace(event, id=f"{event.id}0") for event in opened])
    try:
        Tap.resumed(TapSettings(), open_events, state, 0.0, 1.0)
    except StateError as error:
        assert "\n" not in str(error)
        assert open_events.expire(1e9) == []
    assert len(open_events.all()) == len(opened)


def test_a_state_of_other_checks_is_refused() -> None:
    saved = saved_once()
    for old, new in (
        ('"_changes"', '"_change"'),
        ('"frozen.FrozenCheck"', '"frozen.OtherCheck"'),
        ('"finding.Held": [', '"finding.Held": [1, '),
        ('{"deque": [4,', '{"deque": [5,'),
    ):
        assert old in saved
        with pytest.raises(StateError, match="not understood"):
            Tap.resumed(TapSettings(), OpenEvents("x"), json.loads(saved.replace(old, new, 1)))
