"""Plots from the store: downsampled there, no spike lost, whatever order messages came in."""

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.drafts import UTC, event, readings
from packtap.store import Assumed, Draft, History, Store, schema
from packtap.store.rollup import SPANS_MS, roll_up
from packtap.wire import ReadingsMessage, Topic

BOUND = 16 * 2**20
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "packtap.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, BOUND) as opened:
        yield opened


def ride(start_ms: int, seconds: int, *, boot: str = "boot-a", offset: int | None = UTC) -> Draft:
    """One reading a second of three cells, the second of which is read every other time."""
    times = tuple(start_ms + 1000 * i for i in range(seconds))
    return readings(
        *times,
        boot=boot,
        offset=offset,
        columns={
            "voltage_v": [36.0 + i % 7 / 10 for i in range(seconds)],
            "cell_voltages_mv": [
                [3600 + i % 5, None if i % 2 else 3500, 3700] for i in range(seconds)
            ],
        },
    )


def lowest(plot: History, name: str) -> list[float | None]:
    return list(plot.channels[name][0])


def highest(plot: History, name: str) -> list[float | None]:
    return list(plot.channels[name][2])


def extremes(plot: History, name: str) -> tuple[float, float]:
    return (
        min(v for v in lowest(plot, name) if v is not None),
        max(v for v in highest(plot, name) if v is not None),
    )


def test_a_short_range_shows_each_reading(store: Store) -> None:
    store.commit([ride(MINUTE, 10)])
    plot = store.history("PACK", UTC + MINUTE, UTC + MINUTE + 10_000, 100)
    assert plot.source == "readings"
    assert [t - UTC for t in plot.t] == [MINUTE + 1000 * i for i in range(10)]
    assert lowest(plot, "voltage_v") == highest(plot, "voltage_v")
    assert list(plot.channels["02"][1]) == [3500, None] * 5
    assert lowest(plot, "cell_spread_mv")[:2] == [200, 99]


@pytest.mark.parametrize("span", [HOUR, 12 * HOUR, DAY, 7 * DAY, 30 * DAY, 400 * DAY])
def test_a_plot_has_at_most_as_many_points_as_were_asked_for(store: Store, span: int) -> None:
    store.commit([ride(at, 30) for at in range(MINUTE, span, span // 400)])
    for points in (2, 50, 333):
        plot = store.history("PACK", UTC, UTC + span, points)
        assert 0 < len(plot.t) <= points
        assert all(len(line) == len(plot.t) for lines in plot.channels.values() for line in lines)


@pytest.mark.parametrize("span", [10 * MINUTE, 20 * HOUR, 30 * DAY])
def test_a_spike_of_one_reading_is_seen_in_every_range(store: Store, span: int) -> None:
    spike = readings(5 * MINUTE + 500, columns={"cell_voltages_mv": [[3600, 2100, 4300]]})
    store.commit([ride(MINUTE, 200), spike, ride(6 * MINUTE, 200)])
    plot = store.history("PACK", UTC, UTC + span, 60)
    assert extremes(plot, "02") == (2100, 3500)
    assert extremes(plot, "03") == (3700, 4300)
    assert extremes(plot, "cell_spread_mv")[1] == 2200


def test_rollups_say_what_the_readings_say(store: Store) -> None:
    chance = random.Random(7)
    at = MINUTE
    for _ in range(60):
        at += chance.randint(1, 40) * MINUTE + 30_000
        store.commit([ride(at, chance.randint(1, 100))])
    taken = list(store.readings())
    plot = store.history("PACK", UTC, UTC + 2 * DAY, 100)
    assert plot.source == "1800 s"
    volts = [float(str(item.values["voltage_v"])) for item in taken]
    assert extremes(plot, "voltage_v") == (min(volts), max(volts))
    fine = store.history("PACK", UTC, UTC + 2 * DAY, 2000)
    assert fine.source == "60 s"
    assert extremes(fine, "voltage_v") == (min(volts), max(volts))


def messages(count: int) -> list[tuple[ReadingsMessage, Topic]]:
    """Received readings of one agent, twenty seconds each."""
    return [
        (
            ReadingsMessage(
                agent="pi",
                bus="a",
                pack="PACK",
                store="s",
                seq=seq,
                boot="b",
                t=[UTC + 20_000 * seq + 1000 * i for i in range(20)],
                columns={"voltage_v": [30.0 + (seq + i) % 9 for i in range(20)]},
            ),
            Topic("depot", "pi", "a", "readings"),
        )
        for seq in range(1, count + 1)
    ]


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(30)), again=st.lists(st.integers(0, 29), max_size=10))
def test_order_and_redelivery_change_no_rollup(order: Sequence[int], again: Sequence[int]) -> None:
    def rolled(indexes: Sequence[int]) -> list[Any]:
        with TemporaryDirectory() as name, Store.open(Path(name) / "fleet.db", BOUND) as store:
            for index in indexes:
                store.receive_many([items[index]])
            return _rollups(store)

    items = messages(30)
    assert rolled([*order, *again]) == rolled(range(30))


def _rollups(store: Store) -> list[Any]:
    rows = store._conn.execute("SELECT span_ms, t, body FROM rollup ORDER BY 1, 2").fetchall()
    return [(span, t, json.loads(body)) for span, t, body in rows]


def test_a_failed_commit_leaves_no_rollup(store: Store) -> None:
    bad = readings(1, columns={"voltage_v": [36.0], "current_a": [float("nan")]})
    with pytest.raises(ValueError, match="JSON"):
        store.commit([ride(MINUTE, 5), bad])
    assert _rollups(store) == []


def test_what_is_no_number_is_not_summed_up() -> None:
    columns: dict[str, list[Any]] = {
        "voltage_v": [None, "x", 36.5, True, 1e300, [1]],
        "cell_voltages_mv": [None, [], [3600, None], [3601, "x", 3700], [None], [True, 5]],
    }
    ((_, _, minute), (_, _, half_hour)) = roll_up([0, 1, 2, 3, 4, 5], columns)
    assert minute == half_hour
    assert minute["voltage_v"] == [1, 36.5, 36.5, 36.5]
    assert minute["01"] == [2, 3600, 3601, 7201]
    assert minute["cell_spread_mv"] == [1, 99, 99, 99]


def test_a_plot_is_dated_when_its_boot_is(store: Store) -> None:
    store.commit([ride(MINUTE, 100, offset=None)])
    assert store.history("PACK", 0, 2**50, 100).t == []
    assumed = store.history("PACK", 0, DAY, 400, Assumed("boot-a", 1000))
    assert assumed.t
    store.date_boot("boot-a", UTC)
    for span in (HOUR, DAY):
        assert store.history("PACK", UTC, UTC + span, 100).t
    assert store.history("PACK", 0, DAY, 400, Assumed("boot-a", 1000)).t == []


def test_rollups_go_with_their_readings_and_the_bound_holds(path: Path) -> None:
    bound = 2**18
    with Store.open(path, bound) as store:
        for index in range(600):
            store.commit([ride(MINUTE + index * 10 * MINUTE, 60)])
            store.settle([item.seq for item in store.pending(0, 10)])
        first = next(iter(store.readings())).t_ms
        plot = store.history("PACK", 0, UTC + 10 * DAY, 5000)
        assert first > UTC + DAY
        assert plot.t[0] > first - plot.bucket_ms - SPANS_MS[-1]
        assert store._conn.execute("SELECT min(t) FROM rollup").fetchone()[0] > DAY
    assert path.stat().st_size <= bound


def test_an_older_store_gets_its_rollups_when_it_is_converted(path: Path) -> None:
    with Store.open(path, BOUND) as store:
        store.commit([ride(MINUTE, 100), event("e1"), ride(3 * MINUTE, 50)])
        expected = _rollups(store)
    with sqlite3.connect(path) as conn:
        conn.execute("DROP TABLE rollup")
        for table in ("pack_memory", "arrived", "told_gap", "thinned", "told_thinned"):
            conn.execute(f"DROP TABLE {table}")
        conn.execute("ALTER TABLE source DROP COLUMN settled_seq")
        conn.execute("DROP INDEX outbox_events")
        conn.execute("DELETE FROM meta WHERE key LIKE '%_seq' AND key != 'last_seq'")
        conn.execute("PRAGMA user_version = 2")
    conn.close()
    with Store.open(path, BOUND) as store:
        assert expected
        assert _rollups(store) == expected
        version = store._conn.execute("PRAGMA user_version").fetchone()[0]
        assert version == len(schema.MIGRATIONS)


# --- the list of packs ----------------------------------------------------------------------------


def test_packs_are_told_with_what_is_raised_on_them(store: Store) -> None:
    store.commit([ride(MINUTE, 10), readings(5 * MINUTE, pack="OTHER", offset=None)])
    store.commit([event("e1", t=1), event("e2", t=2, text="Second."), event("e3", t=3)])
    store.commit([event("e1", "cleared", t=4)])
    found = {item.pack: item for item in store.packs()}
    assert set(found) == {"PACK", "OTHER"}
    pack, other = found["PACK"], found["OTHER"]
    assert (pack.critical, pack.warning, pack.worst) == (2, 0, "Second.")
    assert (pack.first_ms, pack.last_ms) == (UTC + MINUTE, UTC + MINUTE + 9000)
    assert (pack.readings, pack.undated) == (10, 0)
    assert (other.last_ms, other.readings, other.undated, other.worst) == (None, 1, 1, "")


def test_the_latest_value_of_each_quantity_has_its_own_time(store: Store) -> None:
    store.commit(
        [
            readings(1000, columns={"serial": ["S1"], "voltage_v": [36.0]}),
            readings(2000, 3000, columns={"voltage_v": [35.5, None], "soc_pct": [50, 49]}),
            readings(4000, offset=None, boot="boot-b", columns={"soc_pct": [1]}),
        ]
    )
    assert store.latest("PACK", "pi", "a") == {
        "serial": ("S1", UTC + 1000),
        "voltage_v": (35.5, UTC + 2000),
        "soc_pct": (49, UTC + 3000),
    }
    assert store.latest("PACK", "pi", "elsewhere") == {}


def test_recent_events_come_latest_first_and_page_by_page(store: Store) -> None:
    store.commit([event(f"e{number}", t=number) for number in range(1, 6)])
    first = store.recent_events("PACK", 2)
    assert [item.id for _, item in first] == ["e5", "e4"]
    rest = store.recent_events("PACK", 10, before=first[-1][0])
    assert [item.id for _, item in rest] == ["e3", "e2", "e1"]
    assert store.recent_events("OTHER", 10) == []


@pytest.mark.parametrize("offset", [UTC, UTC + 6 * MINUTE])
def test_the_newest_reading_is_in_every_range_that_ends_behind_it(
    store: Store, offset: int
) -> None:
    for second in range(0, 3600, 300):
        volts = 36 + second / 10_000
        store.commit([readings(second * 1000, offset=offset, columns={"voltage_v": [volts]})])
        end = offset + second * 1000 + 1
        for span in (HOUR, DAY, 7 * DAY, 30 * DAY):
            plot = store.history("PACK", end - span, end, 400)
            assert highest(plot, "voltage_v")[-1] == volts
