"""A full store thins readings before it drops any; what it left out is counted and told."""

import json
import sqlite3
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.drafts import UTC, event, filler, readings, seqs
from packtap.cli import main
from packtap.ledger import judge
from packtap.store import Draft, Queued, Store
from packtap.store.thinning import kept_samples
from packtap.wire import LinkMessage, ReadingsMessage, Topic, unbundle

MIB = 2**20
TOPIC = Topic("depot", "pi", "a", "readings")

Columns = dict[str, list[int | None]]


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[int], Columns]:
    steps = draw(st.lists(st.integers(1, 50_000), min_size=1, max_size=40))
    times = [sum(steps[: index + 1]) for index in range(len(steps))]
    column = st.lists(st.none() | st.integers(0, 9), min_size=len(times), max_size=len(times))
    return times, draw(st.dictionaries(st.sampled_from("abc"), column, min_size=1))


@given(batches(), st.sampled_from([None, 60_000]))
def test_first_and_last_stay_and_no_quantity_is_left_out_for_longer_than_is_due(
    batch: tuple[list[int], Columns], pause_ms: int | None
) -> None:
    times, columns = batch
    kept = kept_samples(times, columns, pause_ms)
    assert kept == sorted(set(kept))
    assert kept[0] == 0
    assert kept[-1] == len(times) - 1
    for column in columns.values():
        reported = [index for index, value in enumerate(column) if value is not None]
        stay = [index in kept for index in reported]
        assert stay[:1] in ([], [True])
        if pause_ms is None:
            assert all(one or other for one, other in pairwise(stay))
            continue
        at = None
        for index in reported:
            if index in kept:
                at = times[index]
            assert at is not None
            assert times[index] - at < pause_ms


def test_quantities_that_take_turns_are_thinned_alike() -> None:
    times = list(range(0, 20_000, 1000))
    columns: dict[str, list[Any]] = {
        "voltage_v": [None if n % 2 else n for n in range(20)],
        "cell_voltages_mv": [[n] if n % 2 else None for n in range(20)],
    }
    kept = kept_samples(times, columns, None)
    assert sum(index % 2 for index in kept) == 6
    assert len(kept) == 11  # every second of each, and the last


def batch(number: int, samples: int = 10) -> Draft:
    """A batch of one reading a second that does not pack well."""
    times = [number * 10_000 + 1000 * n for n in range(samples)]
    texts = [filler(t, 200) for t in times]
    return readings(*times, columns={"serial": texts, "voltage_v": [t / 1000 for t in times]})


def waiting(store: Store) -> dict[int, dict[str, Any]]:
    return {each.seq: json.loads(each.payload) for each in store.pending(0, 100_000)}


def missing_by_record(path: Path) -> int:
    conn = sqlite3.connect(path)
    try:
        (thinned,) = conn.execute("SELECT coalesce(sum(samples), 0) FROM thinned").fetchone()
        (lost,) = conn.execute("SELECT coalesce(sum(samples), 0) FROM gap").fetchone()
        return int(thinned) + int(lost)
    finally:
        conn.close()


@pytest.mark.parametrize("flush", [10, 60])
def test_full_store_thins_everything_before_it_drops_anything(tmp_path: Path, flush: int) -> None:
    path = tmp_path / "packtap.db"
    count, dropped_from = 0, None
    with Store.open(path, MIB) as store:
        assert store.commit([event("e1")]) == [1]
        while dropped_from is None:
            count += 1
            store.commit([batch(count * flush // 10, flush)])
            assert path.stat().st_size <= MIB + 64 * 1024
            if store.gaps():
                dropped_from = count
        found = waiting(store)
        thinned = store.thinned()
        assert 1 in found, "an event went before readings"
    kept = [message for message in found.values() if "columns" in message]
    # What came last may still be whole; of all others nothing more could have been left out.
    assert sum(len(message["t"]) > 2 for message in kept) <= 3
    assert thinned > 0.5 * sum(count * flush for count in [len(kept)])
    assert missing_by_record(path) == count * flush - sum(len(message["t"]) for message in kept)


def test_what_is_kept_is_unchanged_and_no_number_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    written: dict[int, Draft] = {}
    with Store.open(path, MIB) as store:
        while store.thinned() < 1500:
            draft = batch(len(written) + 1)
            written[store.commit([draft])[0]] = draft
        assert store.gaps() == []
        found = waiting(store)
        (ledger,) = store.ledgers()
        sum_of_rows = store._conn.execute("SELECT sum(bytes) FROM outbox").fetchone()[0]
        assert store.depth().bytes == sum_of_rows
        minutes = store.history("PACK", UTC, UTC + 10_000_000, 100)
    assert list(found) == list(written)
    left_out = 0
    for seq, message in found.items():
        draft = written[seq]
        assert message["t"][0] == draft.times_ms[0] + UTC
        assert message["t"][-1] == draft.times_ms[-1] + UTC
        for index, t in enumerate(message["t"]):
            at = draft.times_ms.index(t - UTC)
            for name, column in draft.body["columns"].items():
                assert message["columns"][name][index] == column[at]
        left_out += len(draft.times_ms) - len(message["t"])
    assert left_out == missing_by_record(path) == judge(ledger).thinned_samples
    # Minutes were folded before: they tell of all samples.
    assert minutes.source == "60 s"
    lowest = min(low for low in minutes.channels["voltage_v"][0] if low is not None)
    highest = max(high for high in minutes.channels["voltage_v"][2] if high is not None)
    assert (lowest, highest) == (10.0, len(written) * 10 + 9.0)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=60, max_size=120), st.randoms(use_true_random=False))
def test_every_sample_is_kept_or_recorded_whatever_the_sizes(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], order: Any
) -> None:
    path = tmp_path_factory.mktemp("thin") / "packtap.db"
    with Store.open(path, MIB // 4) as store:
        for number, size in enumerate(sizes):
            seq = store.commit([batch(3 * number, size)])[0]
            if order.random() < 0.1:
                store.commit([event(f"e{seq}")])
        found = waiting(store)
        lost = [n for gap in store.gaps() for n in range(gap.first_seq, gap.last_seq + 1)]
        last = int(store._conn.execute("SELECT value FROM meta WHERE key='last_seq'").fetchone()[0])
    assert sorted([*found, *lost]) == list(range(1, last + 1))
    kept = sum(len(message["t"]) for message in found.values() if "columns" in message)
    assert kept + missing_by_record(path) == sum(sizes)


def test_undated_readings_are_thinned_and_dated_in_the_record(tmp_path: Path) -> None:
    with Store.open(tmp_path / "packtap.db", MIB) as store:
        number = 0
        while not store.thinned():
            number += 1
            draft = batch(number)
            store.commit([readings(*draft.times_ms, offset=None, columns=draft.body["columns"])])
        (run,) = store.thinned_runs()
        assert run.from_ms is None
        store.date_boot("boot-a", UTC)
        (run,) = store.thinned_runs()
        assert (run.first, run.from_ms) == (1, UTC + 10_000)


def test_damaged_batch_holds_up_no_thinning(tmp_path: Path) -> None:
    with Store.open(tmp_path / "packtap.db", MIB) as store:
        store.commit([batch(1)])
        store._conn.execute("UPDATE message SET body = '{'")
        number = 1
        while not store.thinned():
            number += 1
            store.commit([batch(number)])
        assert seqs(store)[:2] == [2, 3]
        assert [(gap.first_seq, gap.last_seq) for gap in store.gaps()] == [(1, 1)]


def delivered(queued: Queued) -> ReadingsMessage:
    return ReadingsMessage(**json.loads(unbundle(queued.payload, MIB)[0]))


@pytest.mark.parametrize("is_thin_first", [False, True])
def test_batch_that_is_thinned_between_two_deliveries_is_one_message_at_ingest(
    tmp_path: Path, is_thin_first: bool
) -> None:
    with Store.open(tmp_path / "agent.db", MIB) as agent:
        agent.commit([batch(1)])
        whole = delivered(agent.pending(0, 1)[0])
        number = 1
        while not agent.thinned():
            number += 1
            agent.commit([batch(number)])
        thin = delivered(agent.pending(0, 1)[0])
    assert len(thin.t) < len(whole.t)
    with Store.open(tmp_path / "ingest.db", MIB) as ingest:
        first, second = (thin, whole) if is_thin_first else (whole, thin)
        assert ingest.receive(first, TOPIC)
        assert not ingest.receive(second, TOPIC)
        assert ingest.renumbered == 0
        other = ReadingsMessage(
            **{name: getattr(thin, name) for name in ("agent", "bus", "pack", "store", "boot")},
            seq=1,
            t=thin.t,
            columns={**thin.columns, "voltage_v": [1.0] * len(thin.t)},
        )
        assert ingest.receive(other, TOPIC), "another message under the same number is new"
        assert ingest.renumbered == 1


def test_gaps_tells_thinned_from_lost_on_the_pi_and_at_ingest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.open(tmp_path / "agent.db", MIB) as agent:
        number = 0
        while not agent.thinned():
            number += 1
            agent.commit([batch(number)])
        agent.settle([number])
        runs = [(r.first, r.last, r.samples, r.from_ms) for r in agent.thinned_runs()]
        left_out = agent.thinned()
    assert main(["gaps", str(tmp_path / "agent.db")]) == 1
    told = capsys.readouterr().out
    assert f"THINNED  within seq 1-{runs[0][1]}: {left_out} samples left out" in told
    assert "LOST" not in told
    with Store.open(tmp_path / "ingest.db", MIB) as ingest:
        message = LinkMessage(
            agent="pi", bus="a", pack="P", store="s" * 32, seq=1, boot="b", t=[UTC],
            counters={"outbox_first_seq": 2}, thinned=runs,
        )  # fmt: skip
        ingest.receive(message, Topic("depot", "pi", "a", "link"))
    assert main(["gaps", str(tmp_path / "ingest.db"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["thinned_samples"] == left_out
    assert (document["delivered_pct"], document["gaps"], document["lost"]) == (100, 0, [])


def test_older_batches_are_stored_thin_and_deflated(tmp_path: Path) -> None:
    with Store.open(tmp_path / "packtap.db", MIB) as store:
        number = 0
        while not store.thinned():
            number += 1
            store.commit([batch(number)])
        row = store._conn.execute("SELECT samples, times, body FROM message WHERE seq = 1")
        samples, times, body = row.fetchone()
        assert samples == len(json.loads(times))
        assert json.loads(zlib.decompress(body))["columns"]["voltage_v"][0] == 10.0
