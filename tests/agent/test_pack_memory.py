"""What is remembered of a pack: over restarts, updates, damage, and without a clock."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from months import BEGIN_H, live
from packtap.analysis.gauged import Gauged, PackGauges
from packtap.memory.pack_memory import PackMemory
from packtap.memory.quantities import QUANTITIES
from packtap.memory.trend import MOST_POINTS
from packtap.model import EventState
from presents import event
from stories import HEALTHY, snapshot

PACK, PLACE = "3JDEA24M1D0815", 0x22
UTC_S = BEGIN_H * 3600


def kept(memory: PackMemory) -> dict[str, Any]:
    """Return the document as the store gives it back."""
    return dict(json.loads(json.dumps(memory.as_document(), allow_nan=False)))


def again(memory: PackMemory) -> PackMemory:
    return PackMemory.from_document(kept(memory), PACK, PLACE)


def lived(days: float = 30.0) -> PackMemory:
    memory = PackMemory(PACK, PLACE)
    memory.begin("boot-a")
    memory.look(
        replace(snapshot(1.0, cycle_count=120, firmware="1.1.5"), cell_count=10),
    )
    memory.note([event(pack=PACK, t=None)])
    memory.evidence.take([event(pack=PACK, t=None)])
    live(memory, days, seed=1)
    return memory


def rest(t: float, **values: float) -> PackGauges:
    by_cell = {int(name[1:]): value for name, value in values.items()}
    return PackGauges(rest_pct=Gauged(t, by_cell, 0.06))


def test_a_memory_comes_back_as_it_was_saved() -> None:
    memory = lived()
    back = again(memory)
    assert kept(back) == kept(memory)
    assert back.cells == 10
    assert back.identity.known["cycle_count"] == 120
    assert back.evidence.raised == {"cell_undervoltage"}
    assert back.totals.events == {"cell_undervoltage": 1}
    for row in QUANTITIES:
        assert back.latest(row.name).keys() == memory.latest(row.name).keys()


def test_a_year_takes_no_more_room_than_two_months() -> None:
    memory = PackMemory(PACK, PLACE)
    memory.begin("boot-a")
    sizes = []
    begin = 0.0
    for days in (60, 60, 120, 120):
        live(memory, days, seed=int(begin), begin_day=begin)
        begin += days
        sizes.append(len(json.dumps(memory.as_document())))
    assert all(
        len(trend.points) <= MOST_POINTS
        for row in QUANTITIES
        for trend in memory.trends(row.name).values()
    )
    assert sizes[-1] < 1.05 * sizes[0] < 96 * 1024


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
WHOLE = kept(lived(4.0))


@given(st.sampled_from(sorted(WHOLE)), _JSON)
def test_a_part_that_is_damaged_or_new_is_left_out_and_the_rest_stays(key: str, value: Any) -> None:
    damaged = PackMemory.from_document({**WHOLE, key: value, "of_tomorrow": value}, PACK, PLACE)
    document = kept(damaged)
    unlike = {name for name in WHOLE if document[name] != WHOLE[name]}
    assert unlike <= {key, "v", "pack", "place"}
    assert PackMemory.from_document(document, PACK, PLACE).pack == PACK


@given(st.dictionaries(st.sampled_from(sorted(WHOLE)), _JSON))
@example({"waiting": [[[]]]})
def test_no_document_raises(document: dict[str, Any]) -> None:
    assert kept(PackMemory.from_document(document, PACK, PLACE))


def test_the_document_of_an_older_packtap_loses_only_what_that_one_did_not_know() -> None:
    older = {
        name: value for name, value in WHOLE.items() if name not in ("young", "waiting", "before")
    }
    older["trends"] = {"rest_pct": WHOLE["trends"]["rest_pct"]}
    back = PackMemory.from_document(older, PACK, PLACE)
    assert kept(back)["trends"]["rest_pct"] == WHOLE["trends"]["rest_pct"]
    assert back.trends("extra_mohm") == {}
    assert back.evidence.raised == {"cell_undervoltage"}


def test_what_is_gauged_without_a_clock_waits_and_is_dated_right() -> None:
    memory = PackMemory(PACK, PLACE)
    memory.begin("boot-a")
    for second in range(0, 600, 60):
        memory.gauge(rest(5000.0 + second, c1=1.0, c2=-2.0))
    memory.rest()
    assert (memory.waiting, memory.trends("rest_pct")) == (2, {})
    assert memory.latest("rest_pct") == {1: 1.0, 2: -2.0}
    back = again(memory)
    back.begin("boot-a")
    assert back.waiting == 2
    back.date(UTC_S, BEGIN_H + 2, ())
    (point,) = back.trends("rest_pct")[2].points
    assert point.t_h == pytest.approx(BEGIN_H + 5270 / 3600)
    assert (point.value, back.waiting) == (-2.0, 0)


def test_what_a_boot_never_dated_is_given_up_and_counted() -> None:
    memory = PackMemory(PACK, PLACE)
    memory.begin("boot-a")
    for second in range(0, 600, 60):
        memory.gauge(rest(5000.0 + second, c1=1.0))
    memory.rest()
    back = again(memory)
    back.begin("boot-b")
    back.date(UTC_S, BEGIN_H, ())
    assert back.trends("rest_pct") == {}
    assert (back.totals.undated, back.totals.boots, back.totals.starts) == (1, 2, 2)


def test_a_month_without_a_clock_is_bounded() -> None:
    memory = PackMemory(PACK, PLACE)
    memory.begin("boot-a")
    for hour in range(1000):
        for second in (0, 60, 120):
            memory.gauge(rest(hour * 7200.0 + second, c1=1.0, c2=1.0, c3=1.0))
    memory.rest()
    assert memory.waiting == 2000
    assert memory.totals.undated == 1000


def test_readings_of_an_hour_are_one_point_with_the_error_of_one() -> None:
    memory = PackMemory(PACK, PLACE)
    for index in range(12):
        memory.gauge(rest(index * 300.0, c1=index % 2))
        memory.gauge(rest(index * 300.0, c1=index % 2))  # the same reading, seen again
    memory.gauge(rest(3600.0, c1=7.0))
    assert memory.latest("rest_pct") == {1: 0.5}
    memory.date(UTC_S, BEGIN_H + 1, ())
    (point,) = memory.trends("rest_pct")[1].points
    assert point.value == 0.5
    assert point.error == pytest.approx(0.06)


def test_two_readings_are_no_point() -> None:
    memory = PackMemory(PACK, PLACE)
    memory.gauge(rest(0.0, c1=9.0))
    memory.gauge(rest(60.0, c1=9.0))
    memory.rest()
    assert (memory.waiting, memory.latest("rest_pct")) == (0, {})


# --- evidence -------------------------------------------------------------------------------------


def dated(memory: PackMemory, day: float, *open_events: Any) -> None:
    memory.date(UTC_S, BEGIN_H + 24 * day, open_events)


def test_what_was_cleared_a_month_ago_counts_and_two_months_ago_no_longer() -> None:
    memory = PackMemory(PACK, PLACE)
    both = [event(pack=PACK), replace(event(pack=PACK), state=EventState.CLEARED)]
    dated(memory, 0)
    memory.evidence.take(both)
    memory.note(both)
    for day, expected in ((29, True), (31, True), (59, True), (62, False)):
        dated(memory, day)
        memory = again(memory)
        assert ("cell_undervoltage" in memory.evidence.raised) is expected


def test_what_still_stands_is_evidence_for_ever() -> None:
    memory = PackMemory(PACK, PLACE)
    standing = [event(pack=PACK), event(pack=PACK, cell=3)]
    dated(memory, 0)
    memory.evidence.take(standing)
    memory.note(standing)
    for day in range(0, 400, 20):
        dated(memory, day, *standing, event(pack="OTHER", cell=9))
    assert memory.evidence.cells == {"cell_undervoltage": 1 << 7 | 1 << 3}
    assert memory.totals.events == {"cell_undervoltage": 2}


def test_the_time_of_another_boot_does_not_come_back_with_the_evidence() -> None:
    memory = PackMemory(PACK, PLACE)
    memory.evidence.take([event(pack=PACK, t=90.0)])
    assert memory.evidence.measured["cell_undervoltage"].t == 90.0
    assert again(memory).evidence.measured["cell_undervoltage"].t is None


# --- identity -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "before", "now", "doubted"),
    [
        ("cycle_count", 120, 3, "the cycle count was 120 and is 3 now"),
        ("cycle_count", 120, 121, None),
        ("total_charged_mah", 900_000, 12_000, "the total charge was 900000 and is 12000 now"),
        ("design_capacity_mah", 7800, 5200, "the design capacity was 7800 and is 5200 now"),
        ("manufacture_date", "2019-03-01", "2021-06-30", "the date of manufacture was 2019-03-01"),
        ("firmware", "1.1.5", "1.2.8", None),
    ],
)
def test_what_contradicts_the_same_pack_is_doubted_when_it_was_read_twice(
    name: str, before: Any, now: Any, doubted: str | None
) -> None:
    memory = PackMemory(PACK, PLACE)
    memory.look(snapshot(1.0, **{name: before}))
    memory = again(memory)
    memory.look(snapshot(2.0, **{name: now}))
    assert memory.identity.doubt is None  # one damaged frame can pass the checksum
    memory.look(snapshot(3.0, **{name: now}))
    if doubted is None:
        assert memory.identity.doubt is None
    else:
        assert doubted in str(memory.identity.doubt)
        assert "another board under this serial" in str(again(memory).identity.doubt)
    assert memory.identity.known[name] == now


def test_a_single_absurd_value_between_two_good_ones_is_no_doubt() -> None:
    memory = PackMemory(PACK, PLACE)
    for cycles in (120, 3, 120, 3, 120, 121):
        memory.look(snapshot(1.0, cycle_count=cycles))
    assert memory.identity.doubt is None
    assert memory.identity.known["cycle_count"] == 121


def test_another_number_of_cells_is_another_pack() -> None:
    memory = PackMemory(PACK, PLACE)
    ten = replace(snapshot(1.0, cell_voltages_mv=HEALTHY), cell_count=10)
    memory.look(ten)
    for _ in range(2):
        memory.look(replace(ten, cell_count=13))
    assert "the number of cells was 10 and is 13 now" in str(memory.identity.doubt)


def test_hours_and_charge_are_counted_over_restarts() -> None:
    memory = PackMemory(PACK, PLACE)
    for second in range(0, 3601, 10):
        memory.look(snapshot(float(second), current_a=0.0 if second < 1800 else 8.0))
    memory.gauge(PackGauges(drawn_ah=4.0, charged_ah=0.5))
    back = again(memory)
    back.look(snapshot(100_000.0, current_a=0.0))  # a day later: nobody watched in between
    back.gauge(PackGauges(drawn_ah=1.0, charged_ah=0.0))
    assert back.totals.watched_h == pytest.approx(1.0)
    assert back.totals.rest_h == pytest.approx(0.5, abs=0.01)
    assert (back.totals.drawn_ah, back.totals.charged_ah) == (5.0, 0.5)
    assert back.totals.readings == 362


def averaged(minutes: int, memory: PackMemory | None = None) -> PackMemory:
    """Let a pack rest for so many minutes, a reading each, with a known clock."""
    memory = memory or PackMemory(PACK, PLACE)
    for minute in range(minutes):
        memory.gauge(rest(60.0 * minute, c3=-1.0, c7=-4.0))
        memory.date(UTC_S, BEGIN_H + minute / 60, ())
    return memory


def test_what_is_still_being_averaged_is_saved_as_if_it_ended_now() -> None:
    memory = averaged(40)
    assert not memory.trends("rest_pct")  # an hour is one point, and it is not over
    back = again(memory)
    assert back.latest("rest_pct") == {3: -1.0, 7: -4.0}
    (point,) = back.trends("rest_pct")[7].points
    assert point.value == -4.0
    assert point.t_h == pytest.approx(BEGIN_H + 19.5 / 60, abs=0.02)


def test_saving_often_changes_nothing_of_what_is_averaged() -> None:
    often, once = PackMemory(PACK, PLACE), averaged(40)
    for minute in range(40):
        averaged(1, often) if minute == 0 else often.gauge(rest(60.0 * minute, c3=-1.0, c7=-4.0))
        often.date(UTC_S, BEGIN_H + minute / 60, ())
        kept(often)
    for memory in (often, once):
        memory.rest()
        memory.date(UTC_S, BEGIN_H + 1, ())
    assert kept(often) == kept(once)
    assert len(once.trends("rest_pct")[7].points) == 1


def test_without_a_clock_what_is_averaged_waits_within_its_boot() -> None:
    memory = PackMemory(PACK, PLACE)
    memory.begin("boot-a")
    for minute in range(40):
        memory.gauge(rest(60.0 * minute, c7=-4.0))
    same, other = again(memory), again(memory)
    same.begin("boot-a")
    other.begin("boot-b")
    assert (same.waiting, other.waiting) == (1, 0)
    assert other.totals.undated == 1
    same.date(UTC_S, BEGIN_H + 1, ())
    assert len(same.trends("rest_pct")[7].points) == 1


def test_a_single_damaged_reading_is_not_saved_either() -> None:
    assert again(averaged(2)).latest("rest_pct") == {}


def test_progress_shows_what_is_worth_saving() -> None:
    memory = averaged(5)
    before = memory.progress
    assert before == memory.progress
    memory.gauge(rest(400.0, c7=-4.0))
    assert memory.progress != before
