"""The SQLite file: what is committed stays, what is delivered may go, times are kept apart."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.drafts import UTC, event, health, readings, rows, seqs
from packtap.errors import StoreError
from packtap.model import EventState, Severity
from packtap.store import Draft, KeptMemory, OwnerLock, Store, schema
from packtap.wire import EventMessage, HealthMessage, LinkMessage, ReadingsMessage, Topic

BOUND = 16 * 2**20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "packtap.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, BOUND) as opened:
        yield opened


# --- queueing -------------------------------------------------------------------------------------


def test_committed_messages_get_consecutive_numbers_over_restarts(path: Path) -> None:
    numbers, ids = [], set()
    for start in (0, 100, 200):
        with Store.open(path, BOUND) as store:
            numbers += store.commit([readings(start + 1), readings(start + 2)])
            numbers += store.commit([event(f"e{start}", t=start)])
            ids.add(store.store_id)
    assert numbers == list(range(1, 10))
    assert len(ids) == 1


def test_commit_of_nothing_writes_nothing_and_uses_no_number(store: Store) -> None:
    assert store.commit([]) == []
    assert store.commit([readings(1)]) == [1]


def test_pending_message_is_the_whole_payload_with_utc_times(store: Store) -> None:
    store.commit(
        [readings(1000, 1200, columns={"soc_pct": [55, None], "cell_voltages_mv": [None, (1, 2)]})]
    )
    (queued,) = store.pending(0, 10)
    assert queued.seq == 1
    assert str(queued.topic) == "packtap/v1/depot/pi/a/readings"
    assert json.loads(queued.payload) == {
        "v": 1,
        "agent": "pi",
        "bus": "a",
        "pack": "PACK",
        "store": store.store_id,
        "seq": 1,
        "boot": "boot-a",
        "t": [UTC + 1000, UTC + 1200],
        "columns": {"soc_pct": [55, None], "cell_voltages_mv": [None, [1, 2]]},
    }


def test_every_kind_of_message_comes_back_as_it_went_in(store: Store) -> None:
    link = Draft(
        kind="link",
        site="depot",
        agent="pi",
        bus="a",
        pack="PACK",
        boot="boot-a",
        utc_offset_ms=UTC,
        times_ms=(7,),
        body={"counters": {"frames": 12, "loss_pct": 0.5}},
    )
    store.commit([event("e1", text="Zelle 3: 4260 mV \u2265 4250 mV"), link])
    first, second = (json.loads(item.payload) for item in store.pending(0, 10))
    assert first["text"] == "Zelle 3: 4260 mV \u2265 4250 mV"
    assert (first["id"], first["cell"], first["value"], first["t"]) == ("e1", 3, 4260.0, [UTC + 1])
    assert second["counters"] == {"frames": 12, "loss_pct": 0.5}
    assert [item.topic.kind for item in store.pending(0, 10)] == ["event", "link"]


def test_pending_goes_on_after_a_number_and_passes_over_named_topics(store: Store) -> None:
    store.commit([readings(1), event("e1"), readings(2), replace(readings(3), bus="b")])
    topic = Topic("depot", "pi", "a", "readings")
    assert [item.seq for item in store.pending(0, 2)] == [1, 2]
    assert [item.seq for item in store.pending(2, 10)] == [3, 4]
    assert [item.seq for item in store.pending(0, 10, [topic])] == [2, 4]
    assert [item.seq for item in store.pending(0, 10, [topic, replace(topic, kind="event")])] == [4]


def test_settled_messages_leave_the_outbox_and_stay_in_history(store: Store) -> None:
    store.commit([readings(1), readings(2), readings(3)])
    store.settle([1, 3])
    store.settle([1, 99])
    assert seqs(store) == [2]
    assert store.rows() == 3
    assert [t for t, *_ in rows(store)] == [UTC + 1, UTC + 2, UTC + 3]


def test_depth_says_how_much_waits_and_since_when(store: Store) -> None:
    assert store.depth().as_document() == {
        "count": 0,
        "bytes": 0,
        "oldest_ms": None,
        "undated": 0,
        "first_seq": 1,
        "stranded": 0,
    }
    store.commit([readings(5, offset=None), readings(9), readings(12)])
    depth = store.depth()
    assert (depth.count, depth.undated, depth.oldest_ms) == (3, 1, UTC + 9)
    assert (depth.first_seq, depth.stranded) == (1, 0)
    assert (store.depth("boot-a").stranded, store.depth("boot-b").stranded) == (0, 1)
    assert depth.bytes == 3 * len('{"columns":{"voltage_v":[0.005]}}')


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"kind": "state"}, "kind 'state'", id="kind that is not queued"),
        pytest.param({"times_ms": ()}, "at least one time", id="no time"),
        pytest.param({"times_ms": (3, 3)}, "increase strictly", id="one time twice"),
        pytest.param({"times_ms": (3, 2)}, "increase strictly", id="times backwards"),
        pytest.param({"body": {"columns": {"soc_pct": [1, 2]}}}, "soc_pct", id="uneven column"),
        pytest.param({"body": {"columns": {}, "seq": 4}}, "seq", id="envelope in the body"),
    ],
)
def test_draft_that_is_no_message_is_refused_by_name(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(readings(1), **change)  # type: ignore[arg-type]


def test_number_that_json_does_not_have_is_refused_before_anything_is_written(store: Store) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.commit([readings(1), readings(2, columns={"voltage_v": [float("nan")]})])
    assert store.commit([readings(1)]) == [1]


# --- time -----------------------------------------------------------------------------------------


def test_undated_messages_wait_until_their_boot_is_dated(store: Store) -> None:
    store.commit([readings(1, offset=None), event("e1", offset=None), readings(2, offset=None)])
    store.commit([readings(3, offset=None, boot="boot-b")])
    assert seqs(store) == []
    assert rows(store) == []
    assert store.rows() == 3
    assert store.date_boot("boot-a", UTC) == 3
    assert seqs(store) == [1, 2, 3]
    assert [t for t, *_ in rows(store)] == [UTC + 1, UTC + 2]
    assert store.depth().undated == 1
    assert [item.raised_ms for item in store.events()] == [UTC + 1]


def test_dating_a_boot_twice_changes_nothing_the_second_time(store: Store) -> None:
    store.commit([readings(1, offset=None)])
    assert store.date_boot("boot-a", UTC) == 1
    assert store.date_boot("boot-a", UTC + 7000) == 0
    assert [t for t, *_ in rows(store)] == [UTC + 1]


def test_clock_stepped_back_onto_stored_readings_shares_no_millisecond(store: Store) -> None:
    store.commit([readings(*range(0, 2000, 200))])
    store.commit([readings(*range(2000, 4000, 200), offset=UTC - 1000)])
    times = [t for t, *_ in rows(store)]
    assert len(times) == len(set(times)) == 20
    assert [t - UTC for t in sorted(times)][4:8] == [800, 1000, 1001, 1200]


def test_dense_overlap_moves_behind_what_is_stored(store: Store) -> None:
    store.commit([readings(*range(3000))])
    store.commit([readings(*range(5000, 5010), offset=UTC - 4900)])
    times = sorted(t - UTC for t, *_ in rows(store))
    assert times == [*range(3000), *range(3000, 3010)]


def test_dating_a_boot_onto_stored_readings_shares_no_millisecond(store: Store) -> None:
    store.commit([readings(0, 100, 200)])
    store.commit([readings(50, 100, offset=None, boot="boot-b")])
    store.commit([readings(200, 300, offset=None, boot="boot-b")])
    store.date_boot("boot-b", UTC)
    assert sorted(t - UTC for t, *_ in rows(store)) == [0, 51, 100, 101, 200, 201, 301]


def test_packs_may_share_a_millisecond(store: Store) -> None:
    store.commit([readings(5), readings(5, pack="OTHER")])
    assert [(t, pack) for t, pack, _ in rows(store)] == [(UTC + 5, "PACK"), (UTC + 5, "OTHER")]


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 60), min_size=1, max_size=6, unique=True).map(sorted),
            st.sampled_from([UTC, UTC - 20, UTC + 13, None]),
            st.sampled_from(["boot-a", "boot-b"]),
        ),
        max_size=8,
    )
)
def test_whatever_the_clock_does_no_two_readings_of_a_pack_share_a_millisecond(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[tuple[list[int], int | None, str]],
) -> None:
    with Store.open(tmp_path_factory.mktemp("store") / "packtap.db", BOUND) as store:
        # Within a boot times increase, as the tap makes them; one undated boot at most a store.
        clock = {"boot-a": 0, "boot-b": 0}
        total = 0
        for times, offset, boot in batches:
            shifted = [t + clock[boot] for t in times]
            clock[boot] = shifted[-1] + 1
            store.commit([readings(*shifted, offset=offset, boot=boot)])
            total += len(times)
        for boot in clock:
            store.date_boot(boot, UTC + 5)
        stored = [t for t, *_ in rows(store)]
    assert len(stored) == len(set(stored)) == total


# --- reading --------------------------------------------------------------------------------------


def test_readings_hold_only_what_was_reported_with_cells_as_tuple(store: Store) -> None:
    columns: dict[str, list[Any]] = {
        "soc_pct": [55, None, 54],
        "cell_voltages_mv": [(3700, None), None, None],
    }
    store.commit([readings(1, 2, 3, columns=columns)])
    assert [values for *_, values in rows(store)] == [
        {"soc_pct": 55, "cell_voltages_mv": (3700, None)},
        {},
        {"soc_pct": 54},
    ]


def test_readings_are_selected_by_pack_and_half_open_span(store: Store) -> None:
    store.commit([readings(1, 2, 3), readings(4, 5), readings(2, pack="OTHER")])
    picked = [item.t_ms - UTC for item in store.readings("PACK", UTC + 2, UTC + 5)]
    assert picked == [2, 3, 4]
    assert store.rows() == 6
    assert store.rows("OTHER") == 1


def test_reading_a_month_does_not_hold_up_the_writer(store: Store, path: Path) -> None:
    store.commit([readings(1), readings(2)])
    with Store.open_read_only(path) as reader:
        walk = reader.readings()
        assert next(walk).t_ms == UTC + 1
        store.commit([readings(3)])
        checkpoint = store._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert checkpoint[0] == 0
        assert [item.t_ms for item in walk] == [UTC + 2]


def test_page_reads_the_store_of_a_stopped_agent_and_of_a_running_one(path: Path) -> None:
    with Store.open(path, BOUND) as store:
        store.commit([readings(1)])
        with Store.open_read_only(path) as reader:
            assert reader.rows() == 1
            store.commit([readings(2)])
            assert reader.rows() == 2
    with Store.open_read_only(path) as reader:
        assert reader.rows() == 2
        with pytest.raises(StoreError, match="read-only"):
            reader.commit([readings(3)])


def test_store_that_does_not_exist_cannot_be_read_and_is_not_made(path: Path) -> None:
    with pytest.raises(StoreError, match="no such store"):
        Store.open_read_only(path)
    assert not path.exists()


# --- events ---------------------------------------------------------------------------------------


def test_open_events_and_their_counter_survive_a_restart(path: Path) -> None:
    with Store.open(path, BOUND) as store:
        assert store.event_counter() == 0
        store.commit([event("e1", t=10), event("e2", t=20)])
        store.commit([event("e1", "cleared", t=30, text="Over.")])
    with Store.open(path, BOUND) as store:
        (left,) = store.open_events()
        assert (left.id, left.kind, left.cell, left.t) == ("e2", "cell_overvoltage", 3, None)
        assert (left.severity, left.state) == (Severity.CRITICAL, EventState.RAISED)
        assert store.event_counter() == 2
        assert [(e.id, e.raised_ms, e.cleared_ms, e.is_open, e.text) for e in store.events()] == [
            ("e1", UTC + 10, UTC + 30, False, "Cell 3 is high."),
            ("e2", UTC + 20, None, True, "Cell 3 is high."),
        ]
        assert store.open_events("OTHER") == []


# --- receiving ------------------------------------------------------------------------------------


TOPIC = Topic("depot", "pi", "a", "readings")


def received(seq: int, *times: int, store: str = "s" * 32) -> ReadingsMessage:
    return ReadingsMessage(
        agent="pi",
        bus="a",
        pack="PACK",
        store=store,
        seq=seq,
        boot="boot-a",
        t=list(times),
        columns={
            "voltage_v": [float(t) for t in times],
            "cell_voltages_mv": [[1, None]] * len(times),
        },
    )


def test_received_message_is_stored_once_however_often_it_comes(store: Store) -> None:
    first, second = received(1, UTC + 1, UTC + 2), received(2, UTC + 3)
    assert store.receive(first, TOPIC) is True
    assert store.receive_many([(first, TOPIC), (second, TOPIC), (second, TOPIC)]) == [
        False,
        True,
        False,
    ]
    assert rows(store)[2] == (
        UTC + 3,
        "PACK",
        {"voltage_v": UTC + 3.0, "cell_voltages_mv": (1, None)},
    )
    assert store.rows() == 3
    assert store.depth().count == 0


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"boot": "boot-b"}, id="another boot"),
        pytest.param({"t": [UTC + 1, UTC + 900]}, id="other times"),
        pytest.param({"pack": "OTHER"}, id="another pack"),
        pytest.param({"columns": {"voltage_v": [38.0, 38.1]}}, id="another body"),
    ],
)
def test_another_message_under_a_known_number_is_stored_counted_and_said(
    store: Store, caplog: pytest.LogCaptureFixture, change: dict[str, Any]
) -> None:
    first = received(1, UTC + 1, UTC + 2)
    other = replace(first, **change)
    assert store.receive_many([(first, TOPIC), (other, TOPIC)]) == [True, True]
    third = replace(other, boot="boot-c")
    assert store.receive_many([(third, TOPIC), (first, TOPIC), (other, TOPIC), (third, TOPIC)]) == [
        True,
        False,
        False,
        False,
    ]
    assert store.rows() == 6
    assert [t for t, *_ in rows(store)].count(UTC + 1) == 3
    assert store.renumbered == 2
    assert [m for m in caplog.messages if "was set back" in m] == [
        "pi/a numbers new messages as it numbered others before (seq 1): its store was set back, "
        "by a restored copy or a card that loses what it has confirmed. Both are kept"
    ]


def test_after_its_numbers_began_again_a_sender_goes_on_where_they_are_free(store: Store) -> None:
    before = [(received(seq, UTC + seq), TOPIC) for seq in (1, 2, 3)]
    after = [(replace(received(seq, UTC + 100 + seq), boot="b"), TOPIC) for seq in (2, 3, 4, 5)]
    assert all(store.receive_many(before + after))
    assert not any(store.receive_many(after + before))
    assert sorted(t - UTC for t, *_ in rows(store)) == [1, 2, 3, 102, 103, 104, 105]
    assert store.renumbered == 2


def test_redelivered_message_is_known_whatever_the_order_of_its_keys(store: Store) -> None:
    first = received(1, UTC + 1)
    turned = replace(first, columns=dict(reversed(first.columns.items())))
    assert list(turned.columns) != list(first.columns)
    assert store.receive_many([(first, TOPIC), (turned, TOPIC)]) == [True, False]


def test_message_that_could_not_be_stored_is_not_counted(store: Store) -> None:
    store.receive(received(1, UTC + 1), TOPIC)
    store._conn.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError):
        store.receive(received(1, UTC + 2), TOPIC)
    store._conn.execute("PRAGMA query_only = OFF")
    assert store.renumbered == 0
    assert store.receive(received(1, UTC + 2), TOPIC)
    assert store.renumbered == 1


def test_device_that_claims_the_store_id_of_another_does_not_displace_it(store: Store) -> None:
    assert store.receive(received(1, UTC + 1), replace(TOPIC, agent="rogue"))
    assert store.receive(received(1, UTC + 2), TOPIC)
    assert store.rows() == 2


def test_received_event_ends_are_joined_in_either_order(store: Store) -> None:
    def end(seq: int, state: str, t: int) -> EventMessage:
        return EventMessage(
            agent="pi",
            bus="a",
            pack="PACK",
            store="s",
            seq=seq,
            boot="b",
            t=[t],
            id="e1",
            kind="dead_cell",
            severity="critical",
            state=state,
            cell=4,
            text=state,
        )

    topic = replace(TOPIC, kind="event")
    store.receive_many([(end(2, "cleared", UTC + 9), topic), (end(1, "raised", UTC + 4), topic)])
    (joined,) = store.events()
    assert (joined.raised_ms, joined.cleared_ms, joined.is_open) == (UTC + 4, UTC + 9, False)
    assert joined.text == "raised"
    assert store.open_events() == []


def event_end(seq: int, state: str, t: int, pack: str, boot: str = "b") -> EventMessage:
    """One end of the event that was raised as unknown-pi-a/dead_cell/04/s/1."""
    return EventMessage(
        agent="pi",
        bus="a",
        pack=pack,
        store="s",
        seq=seq,
        boot=boot,
        t=[t],
        id="unknown-pi-a/dead_cell/04/s/1",
        kind="dead_cell",
        severity="critical",
        state=state,
        cell=4,
        text="Cell 4 is dead.",
    )


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_event_told_again_under_the_name_of_its_pack_is_one_event_in_any_order(
    store: Store, order: tuple[int, ...]
) -> None:
    ends = [
        event_end(1, "raised", UTC + 4, "unknown-pi-a"),
        event_end(2, "raised", UTC + 7, "SERIAL"),
        event_end(3, "cleared", UTC + 9, "SERIAL"),
    ]
    topic = replace(TOPIC, kind="event")
    assert all(store.receive(ends[number], topic) for number in order)
    (joined,) = store.events()
    assert (joined.pack, joined.raised_ms, joined.cleared_ms) == ("SERIAL", UTC + 4, UTC + 9)
    assert store.events("unknown-pi-a") == []


def test_event_of_a_store_that_was_set_back_is_open_although_its_id_was_used(store: Store) -> None:
    topic = replace(TOPIC, kind="event")
    for message in (
        event_end(1, "raised", UTC + 4, "unknown-pi-a"),
        event_end(2, "cleared", UTC + 9, "unknown-pi-a"),
        event_end(1, "raised", UTC + 50, "unknown-pi-a", boot="later"),
    ):
        assert store.receive(message, topic)
    (latest,) = store.events()
    assert (latest.raised_ms, latest.cleared_ms, latest.is_open) == (UTC + 50, None, True)


def test_received_counters_are_kept_as_history(store: Store) -> None:
    message = LinkMessage(
        agent="pi", bus="a", pack="P", store="s", seq=1, boot="b", t=[UTC], counters={"frames": 3}
    )
    assert store.receive(message, replace(TOPIC, kind="link"))
    assert not store.receive(message, replace(TOPIC, kind="link"))
    assert store.rows() == 0


# --- one agent a store ----------------------------------------------------------------------------


def test_store_has_one_owner_at_a_time_and_the_next_one_after_it(path: Path) -> None:
    first = OwnerLock(path)
    for _ in range(2):
        with pytest.raises(StoreError, match=f"another agent runs .*process {os.getpid()}"):
            OwnerLock(path)
    first.release()
    OwnerLock(path).release()


def test_lock_of_an_owner_that_was_killed_is_free(path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from packtap.store import OwnerLock; "
        "held = OwnerLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=f"process {owner.pid}"):
            OwnerLock(path)
    finally:
        owner.kill()
        owner.communicate()
    OwnerLock(path).release()


def test_lock_without_a_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="check path, owner and mode"):
        OwnerLock(tmp_path / "file" / "packtap.db")


# --- versions and foreign files -------------------------------------------------------------------


def test_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    with Store.open(path, BOUND) as store:
        store.commit([readings(1)])
        store._conn.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer packtap \(store version 99"):
        Store.open(path, BOUND)
    with pytest.raises(StoreError, match="newer packtap"):
        Store.open_read_only(path)
    assert path.read_bytes() == before


def test_reader_never_sees_a_store_that_is_half_converted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    apply = schema._apply

    def watched(conn: sqlite3.Connection, version: int) -> None:
        apply(conn, version)
        reader = sqlite3.connect(path)
        seen.append(reader.execute("PRAGMA user_version").fetchone()[0])
        reader.close()

    monkeypatch.setattr(schema, "_apply", watched)
    Store.open(path, BOUND).close()
    assert seen == [0] * len(schema.MIGRATIONS)


def test_file_of_version_1_is_converted_with_all_that_it_holds(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
    with Store.open(path, BOUND) as old:
        store_id = old.store_id
        for statement in (
            f"INSERT INTO source VALUES (5, 'depot', 'pi', 'a', '{store_id}')",
            f"INSERT INTO source VALUES (6, 'depot', 'pi', 'a', '{'s' * 32}')",
            f"INSERT INTO origin VALUES (7, 5, 'PACK', 'boot-a', {UTC}, 0, 0)",
            "INSERT INTO origin VALUES (8, 6, 'PACK', 'boot-a', 0, 0, 0)",
            "INSERT INTO message VALUES (1, 5, 1, 7, 'readings', 1, 1, 1, '[1]', "
            """'{"columns":{"soc_pct":[55]}}')""",
            f"INSERT INTO message VALUES (2, 6, 1, 8, 'readings', {UTC + 2}, {UTC + 2}, 1, "
            f"""'[{UTC + 2}]', '{{"columns":{{"voltage_v":[38.5]}}}}')""",
            "INSERT INTO outbox VALUES (1, 1, 7, 'readings', 28)",
            "INSERT INTO gap VALUES (1, 7, 'readings', 2, 3, 20, 5, 9)",
            "UPDATE meta SET value = 3 WHERE key = 'last_seq'",
        ):
            old._conn.execute(statement)
    monkeypatch.undo()
    with pytest.raises(StoreError, match="older packtap"):
        Store.open_read_only(path)
    with Store.open(path, BOUND) as store:
        assert store.store_id == store_id
        assert store._conn.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
        assert store._conn.execute("PRAGMA foreign_key_check").fetchall() == []
        assert rows(store) == [
            (UTC + 1, "PACK", {"soc_pct": 55}),
            (UTC + 2, "PACK", {"voltage_v": 38.5}),
        ]
        assert seqs(store) == [1]
        assert store.depth().count == 1
        assert [(gap.count, gap.samples) for gap in store.gaps()] == [(2, 20)]
        assert store.commit([readings(20)]) == [4]
        again = replace(received(1, UTC + 2), columns={"voltage_v": [38.5]})
        assert store.receive(again, TOPIC) is False
        assert store.receive(replace(again, boot="boot-b"), TOPIC) is True
        assert store.rows() == 4


def test_file_of_version_3_keeps_its_history_and_learns_to_remember(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:3])
    with Store.open(path, BOUND) as old:
        old.commit([readings(1), event("e1", t=2)])
        store_id = old.store_id
    monkeypatch.undo()
    with Store.open(path, BOUND) as store:
        assert store._conn.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
        assert (store.store_id, seqs(store)) == (store_id, [1, 2])
        assert store.memory("PACK") is None
        assert store.commit([health(3)], [KeptMemory("PACK", 0x22, {"v": 1})]) == [3]
        assert store.memory("PACK") == {"v": 1}


# --- memory and health ----------------------------------------------------------------------------


def test_what_is_remembered_of_a_pack_survives_and_is_replaced(path: Path) -> None:
    with Store.open(path, BOUND) as store:
        assert store.commit([], [KeptMemory("A", 0x22, {"v": 1, "hours": 0.5})]) == []
        store.commit([readings(1)], [KeptMemory("B", 0x23, {"v": 1})])
        store.commit([], [KeptMemory("A", 0x22, {"v": 1, "hours": 1.5})])
    with Store.open_read_only(path) as store:
        assert store.memory("A") == {"v": 1, "hours": 1.5}
        assert store.memory("B") == {"v": 1}
        assert store.memory("C") is None
        assert (store.last_pack(0x22), store.last_pack(0x23)) == ("A", "B")
        assert store.last_pack(0x10) is None
        assert seqs(store) == [1]


def test_the_packs_seen_last_are_remembered_and_no_more_than_the_bound_allows(
    store: Store,
) -> None:
    for number in range(100):
        store.commit([], [KeptMemory(f"P{number}", 0x22, {"n": number})])
        store.commit([], [KeptMemory("REGULAR", 0x22, {"n": number})])
    most = store._conn.execute("SELECT count(*) FROM pack_memory").fetchone()[0]
    assert most == 21  # an eighth of 16 MiB at 96 KiB each
    assert store.memory("REGULAR") == {"n": 99}
    kept = [number for number in range(100) if store.memory(f"P{number}")]
    assert kept == list(range(100 - (most - 1), 100))


def test_memory_and_messages_are_on_disk_together_or_not_at_all(store: Store) -> None:
    store.commit([], [KeptMemory("PACK", 0x22, {"n": 1})])
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.commit([readings(1)], [KeptMemory("PACK", 0x22, {"n": float("nan")})])
    assert (seqs(store), store.memory("PACK")) == ([], {"n": 1})


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000])
def test_a_memory_that_cannot_be_read_is_none(
    store: Store, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    store._conn.execute("INSERT INTO pack_memory VALUES ('PACK', 34, 1, ?)", (text,))
    assert store.memory("PACK") is None
    assert "PACK cannot be read" in caplog.text


def test_health_is_history_in_order_of_time_and_the_latest_is_at_hand(store: Store) -> None:
    assert (store.health("PACK"), store.latest_health("PACK")) == ([], None)
    store.commit(
        [
            health(10, cell_resistance_mohm=[20.5, None], outlook="no trend"),
            health(30, time_to_limit_h=None),
            health(20),
            health(40, pack="OTHER"),
            health(50, offset=None, boot="boot-b"),
        ]
    )
    assert [said.t_ms - UTC for said in store.health("PACK")] == [10, 20, 30]
    assert [said.t_ms - UTC for said in store.health("PACK", UTC + 20, UTC + 30)] == [20]
    first = store.health("PACK")[0]
    assert first.rows == {"cell_resistance_mohm": [20.5, None], "outlook": "no trend"}
    assert first.causes == {"none": 0.75, "bms_board": 0.25}
    latest = store.latest_health("PACK")
    assert latest is not None
    assert (latest.t_ms, latest.agent, latest.rows) == (UTC + 30, "pi", {"time_to_limit_h": None})
    assert rows(store) == []


def test_a_health_message_is_delivered_and_received_whole(store: Store, tmp_path: Path) -> None:
    store.commit([health(10, cell_resistance_mohm=[20.5, None])])
    (queued,) = store.pending(0, 10)
    message = HealthMessage(**json.loads(queued.payload))
    with Store.open(tmp_path / "ingest.db", BOUND) as other:
        assert other.receive_many([(message, queued.topic)] * 2) == [True, False]
        assert other.health("PACK") == store.health("PACK")


def test_file_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE theirs (x)")
    conn.commit()
    conn.close()
    with pytest.raises(StoreError, match="no packtap store"):
        Store.open(path, BOUND)
    conn = sqlite3.connect(path)
    assert conn.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    conn.close()


def test_threads_that_make_the_store_together_make_one(path: Path) -> None:
    ids: list[str] = []
    faults: list[Exception] = []
    gate = threading.Barrier(6)

    def make() -> None:
        gate.wait()
        try:
            with Store.open(path) as store:
                store.commit([readings(1, pack=threading.current_thread().name)])
                ids.append(store.store_id)
        except StoreError as exc:
            faults.append(exc)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert len(ids) == 6
    assert len(set(ids)) == 1
    with Store.open_read_only(path) as store:
        assert seqs(store) == [1, 2, 3, 4, 5, 6]
