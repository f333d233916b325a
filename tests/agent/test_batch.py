"""Readings side by side: what a batch takes, and what a snapshot newly reported."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packtap.batch import Batch, json_value, reading_of
from packtap.model import Reading, Value
from stories import snapshot


def batch(*readings: Reading) -> Batch:
    filled = Batch("pack")
    for reading in readings:
        filled.add(reading)
    return filled


def test_a_column_has_one_value_a_reading_and_none_where_it_was_not_reported() -> None:
    filled = batch(
        Reading(10, "pack", {"voltage_v": 36.1, "soc_pct": 70}),
        Reading(210, "pack", {"cell_voltages_mv": (3601, None, 3603)}),
        Reading(420, "pack", {"voltage_v": 36.0}),
    )
    assert filled.times_ms == (10, 210, 420)
    assert filled.columns() == {
        "voltage_v": [36.1, None, 36.0],
        "soc_pct": [70, None, None],
        "cell_voltages_mv": [None, [3601, None, 3603], None],
    }
    assert len(filled) == 3


def test_an_empty_batch_has_no_columns() -> None:
    assert (Batch("pack").columns(), Batch("pack").times_ms) == ({}, ())


@pytest.mark.parametrize("boot_ms", [99, 100])
def test_a_reading_that_is_not_later_is_refused(boot_ms: int) -> None:
    filled = batch(Reading(100, "pack", {"soc_pct": 70}))
    with pytest.raises(ValueError, match="not after 100 ms"):
        filled.add(Reading(boot_ms, "pack", {"soc_pct": 70}))
    assert filled.times_ms == (100,)


def test_a_reading_of_another_pack_is_refused() -> None:
    with pytest.raises(ValueError, match="one pack"):
        batch(Reading(100, "other", {"soc_pct": 70}))


def test_a_reading_holds_only_what_is_fresh_and_was_reported() -> None:
    taken = replace(
        snapshot(1.5, voltage_v=36.0, soc_pct=None, cycle_count=61),
        fresh=frozenset({"voltage_v", "soc_pct"}),
    )
    assert reading_of("pack", taken, -1) == Reading(1500, "pack", {"voltage_v": 36.0})


def test_a_snapshot_without_anything_fresh_is_no_reading() -> None:
    taken = replace(snapshot(1.5, voltage_v=36.0), fresh=frozenset())
    assert reading_of("pack", taken, -1) is None
    assert reading_of("pack", snapshot(1.5, soc_pct=None), -1) is None


def test_a_snapshot_without_a_time_is_no_reading() -> None:
    with pytest.raises(ValueError, match="needs a time"):
        reading_of("pack", snapshot(None, voltage_v=36.0), -1)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_no_two_readings_of_a_pack_share_a_time_whatever_the_clock_does(
    times: list[float],
) -> None:
    filled = Batch("pack")
    after_ms = -1
    for t in times:
        reading = reading_of("pack", snapshot(t, voltage_v=36.0), after_ms)
        assert reading is not None
        filled.add(reading)
        assert reading.boot_ms >= round(t * 1000)
        after_ms = reading.boot_ms
    assert len(set(filled.times_ms)) == len(times)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), (3.5, 3.5), ("1.1.5", "1.1.5"), ((3600, None), [3600, None]), ((), []), (None, None)],
)
def test_a_value_becomes_json(value: Value, expected: object) -> None:
    assert json_value(value) == expected
