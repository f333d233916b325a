"""The store against full disks, bad files and kill -9: nothing that was committed is lost."""

import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import packtap
from agent import store_writer
from agent.drafts import UTC, event, filler, padded, readings, rows, seqs
from packtap.errors import StoreError
from packtap.store import Gap, Store

MIB = 2**20
PYTHONPATH = os.pathsep.join(
    str(Path(module).parents[level])
    for module, level in ((packtap.__file__, 1), (store_writer.__file__, 1))
)


def run(code: str, *arguments: str) -> str:
    """Run a piece of code in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def whole(path: Path) -> str:
    conn = sqlite3.connect(path)
    try:
        return str(conn.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        conn.close()


# --- the size bound -------------------------------------------------------------------------------


def sizes(path: Path) -> tuple[int, int]:
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size, log.stat().st_size if log.exists() else 0


def test_file_and_log_stay_in_bounds_while_delivered_history_goes_oldest_first(
    tmp_path: Path,
) -> None:
    path = tmp_path / "packtap.db"
    files, logs = [], []
    with Store.open(path, 2 * MIB) as store:
        for t in range(4000):
            store.settle(store.commit([padded(t, 3000)]))
            if t % 50 == 0:
                file, log = sizes(path)
                files.append(file)
                logs.append(log)
        kept = [t - UTC for t, *_ in rows(store)]
        assert store.gaps() == []
    assert max(files) <= 2 * MIB + 64 * 1024
    assert max(logs) <= 1.5 * MIB
    assert kept == list(range(kept[0], 4000))
    assert 400 < len(kept) < 700
    assert whole(path) == "ok"


def test_what_is_dropped_undelivered_is_a_gap_with_numbers_count_and_times(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, MIB) as store:
        store.commit([event("e1", t=1)])
        for t in range(10, 1010):
            store.commit([padded(t, 3000)])
            if t == 500:
                store.commit([event("e2", t=500)])
        waiting = seqs(store)
        gaps = store.gaps()
        assert sizes(path)[0] <= MIB + 64 * 1024
        assert [item.is_open for item in store.events()] == [True, True]
        # Nothing is missing without a record: waiting and gaps together are every number.
        lost = [seq for gap in gaps for seq in range(gap.first_seq, gap.last_seq + 1)]
        assert sorted(lost + waiting) == list(range(1, 1003))
        assert 1 in waiting
        event_seq = 10 + 500 - 10 - 10 + 3  # after event 1 and the readings of 10..500
        assert event_seq in waiting
        assert [(gap.first_seq, gap.last_seq) for gap in gaps] == [
            (2, event_seq - 1),
            (event_seq + 1, lost[-1]),
        ]
        assert gaps[0] == Gap("readings", "PACK", "boot-a", 2, 492, 491, 10, 500, UTC)
        assert [gap.count for gap in gaps] == [gap.samples for gap in gaps]


def test_delivered_history_goes_before_anything_undelivered(tmp_path: Path) -> None:
    with Store.open(tmp_path / "packtap.db", MIB) as store:
        old = [store.commit([padded(t, 3000)])[0] for t in range(100)]
        new = [store.commit([padded(t, 3000)])[0] for t in range(100, 200)]
        store.settle(new)  # delivered out of order: the older half still waits
        for t in range(200, 290):
            store.commit([padded(t, 3000)])
        assert store.gaps() == []
        assert seqs(store)[:100] == old


def test_events_go_last_when_nothing_else_is_left(tmp_path: Path) -> None:
    with Store.open(tmp_path / "packtap.db", 512 * 1024) as store:
        store.commit([padded(1, 3000)])
        for n in range(600):
            store.commit([event(f"e{n}", t=n, text=filler(n, 1500))])
        gaps = store.gaps()
        assert [gap.kind for gap in gaps] == ["readings", "event"]
        assert gaps[1].first_seq == 2
        assert seqs(store) == list(range(gaps[1].last_seq + 1, 602))
        # The table of events is bounded too; the latest are remembered.
        assert [item.id for item in store.open_events()] == [f"e{n}" for n in range(568, 600)]


def test_undated_readings_that_are_dropped_are_dated_in_the_gap_later(tmp_path: Path) -> None:
    with Store.open(tmp_path / "packtap.db", MIB) as store:
        for t in range(400):
            store.commit([padded(t, 4000, offset=None)])
        assert store.gaps()[0].utc_offset_ms is None
        store.date_boot("boot-a", UTC)
        (gap,) = store.gaps()
        assert (gap.first_seq, gap.first_ms, gap.utc_offset_ms) == (1, 0, UTC)
        assert seqs(store)[0] == gap.last_seq + 1


def test_lowered_bound_shrinks_the_file_over_the_next_commits(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, 16 * MIB) as store:
        for t in range(300):
            store.settle(store.commit([padded(10 * t + n, 4000) for n in range(10)]))
    assert path.stat().st_size > 11 * MIB
    with Store.open(path, 2 * MIB) as store:
        for t in range(3000, 3020):
            store.commit([readings(t)])
        times = [t - UTC for t, *_ in rows(store)]
        assert times == list(range(times[0], 3020))
        assert times[0] < 2990
        assert seqs(store) == list(range(3001, 3021))
        assert sizes(path)[1] <= 4 * MIB
    assert path.stat().st_size <= 2 * MIB
    assert whole(path) == "ok"


def test_opener_that_is_not_the_owner_leaves_the_bound_alone(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, MIB) as owner, Store.open(path) as uplink:
        for t in range(200):
            owner.commit([padded(t, 3000)])
        assert uplink.pending(0, 1)[0].seq == 1


def test_message_larger_than_the_bound_is_refused_in_words(tmp_path: Path) -> None:
    with Store.open(tmp_path / "packtap.db", 512 * 1024) as store:
        store.commit([readings(1)])
        with pytest.raises(StoreError, match="do not fit"):
            store.commit([padded(2, 600 * 1024)])
        assert seqs(store) == [1]


# --- errors of the disk ---------------------------------------------------------------------------


def test_disk_without_room_gives_an_error_in_words_and_works_again_when_there_is_room(
    tmp_path: Path,
) -> None:
    out = run(
        """
        import resource, sys
        from pathlib import Path
        from agent.drafts import padded, seqs
        from packtap.errors import StoreError
        from packtap.store import Store

        path = Path(sys.argv[1])
        store = Store.open(path, 64 << 20)
        done = store.commit([padded(0, 1000)])
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, hard))
        try:
            for t in range(1, 2000):
                done += store.commit([padded(t, 4000), padded(t + 5000, 4000)])
        except StoreError as exc:
            print(exc)
        failed = len(done)
        assert not store._conn.in_transaction
        assert seqs(store) == done, "an error left half a transaction"
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        done += store.commit([padded(9000, 4000)])
        assert seqs(store) == done == list(range(1, failed + 2)), "a number was left out"
        print(failed)
        """,
        str(tmp_path / "packtap.db"),
    )
    message, failed = out.splitlines()
    assert "the disk does not take or give data" in message
    assert int(failed) > 20
    assert whole(tmp_path / "packtap.db") == "ok"


def test_full_disk_is_named_and_the_next_commit_works_when_room_is_back(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, 64 * MIB) as store:
        done = store.commit([readings(1)])
        # The same result code as a full disk gives, without needing one.
        store._conn.execute("PRAGMA max_page_count = 40")
        with pytest.raises(StoreError, match="the disk is full"):
            for t in range(2, 200):
                done += store.commit([padded(t, 5000)])
        assert seqs(store) == done
        store._conn.execute("PRAGMA max_page_count = 1000000")
        done += store.commit([padded(300, 5000)])
        assert seqs(store) == done == list(range(1, len(done) + 1))
    assert whole(path) == "ok"


def test_disk_that_turns_read_only_is_named_and_writing_resumes_after_it(tmp_path: Path) -> None:
    with Store.open(tmp_path / "packtap.db", MIB) as store:
        store.commit([readings(1)])
        store._conn.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreError, match="read-only: check owner, mode and mount"):
            store.commit([readings(2)])
        with pytest.raises(StoreError, match="read-only"):
            store.settle([1])
        store._conn.execute("PRAGMA query_only = OFF")
        assert store.commit([readings(2)]) == [2]
        assert seqs(store) == [1, 2]


def test_file_that_may_not_be_written_is_refused_at_the_start_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, MIB) as store:
        store.commit([readings(1)])
    path.chmod(0o444)
    tmp_path.chmod(0o755)
    out = run(
        """
        import os, sys
        from pathlib import Path
        from packtap.errors import StoreError
        from packtap.store import Store

        directory = os.open(Path(sys.argv[1]).parent, os.O_RDONLY)
        os.fchdir(directory)
        if os.geteuid() == 0:
            os.setuid(65534)  # the superuser may write whatever the mode says
        try:
            Store.open(Path(Path(sys.argv[1]).name), 1 << 20)
        except StoreError as exc:
            print(exc)
        """,
        str(path),
    )
    assert "read-only" in out or "cannot be opened" in out
    path.chmod(0o644)
    with Store.open(path, MIB) as store:
        assert store.commit([readings(2)]) == [2]
    assert list(tmp_path.glob("*.damaged*")) == []


def test_directory_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="check path, owner and mode"):
        Store.open(tmp_path / "file" / "packtap.db", MIB)


def test_writer_that_others_keep_waiting_too_long_says_so(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, MIB) as store, Store.open(path, MIB) as other:
        other._conn.execute("BEGIN IMMEDIATE")
        store._conn.execute("PRAGMA busy_timeout = 50")
        with pytest.raises(StoreError, match="another process holds it"):
            store.commit([readings(1)])
        other._conn.execute("ROLLBACK")
        assert store.commit([readings(1)]) == [1]


# --- damage ---------------------------------------------------------------------------------------


def spoil(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "garbage":
        data = bytearray(random.Random(1).randbytes(len(data)))
    elif how == "header":
        data[:16] = b"not an SQLite db"
    elif how == "schema page":
        data[100:4096] = bytes(3996)
    elif how == "half a file":
        del data[len(data) // 2 :]
    elif how == "pages of zeros":
        data[8192:] = bytes(len(data) - 8192)
    path.write_bytes(data)


@pytest.mark.parametrize(
    "how", ["garbage", "header", "schema page", "half a file", "pages of zeros"]
)
def test_damaged_file_is_set_aside_loudly_and_a_fresh_store_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, MIB) as store:
        store.commit([padded(t, 2000) for t in range(50)])
        before = store.store_id
    spoil(path, how)
    spoiled = path.read_bytes()
    with caplog.at_level(logging.ERROR), Store.open(path, MIB) as store:
        assert store.store_id != before
        assert store.commit([readings(1)]) == [1]
    assert (tmp_path / "packtap.db.damaged-1").read_bytes() == spoiled
    assert "damaged" in caplog.text
    assert ".recover" in caplog.text


def test_damage_met_while_running_is_repaired_by_opening_the_store_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, 64 * MIB) as store:
        for t in range(5000):
            store.commit([padded(t, 4000)])
    assert path.stat().st_size > 16 * MIB  # too large to be checked whole at every start
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle:-8192] = b"\xa5" * (len(data) - 8192 - middle)
    path.write_bytes(data)
    with Store.open(path, 64 * MIB) as store:
        before = store.store_id
        with pytest.raises(StoreError, match="damaged"):
            list(store.readings())
    with Store.open(path, 64 * MIB) as store:
        assert store.store_id != before
        assert store.commit([readings(1)]) == [1]
    assert "set aside" in caplog.text
    with Store.open(path, 64 * MIB) as store:
        assert seqs(store) == [1]


def test_user_that_is_not_the_owner_sets_nothing_aside(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    path.write_bytes(b"x" * 5000)
    with pytest.raises(StoreError, match="set the file aside"):
        Store.open(path)
    with pytest.raises(StoreError, match="not an SQLite file"):
        Store.open_read_only(path)
    assert path.read_bytes() == b"x" * 5000


def test_uplink_notices_that_the_owner_goes_on_with_another_file(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    owner = Store.open(path, MIB)
    with Store.open(path) as uplink:
        # So that the damage is not hidden by what still stands in the log.
        owner._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        owner.close()
        spoil(path, "header")
        owner = Store.open(path, MIB)
        with pytest.raises(StoreError, match="open the store again"):
            uplink.pending(0, 1)
    owner.close()


def test_only_the_latest_damaged_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    for _ in range(12):
        path.write_bytes(b"x" * 5000)
        Store.open(path, MIB).close()
    assert sorted(item.name for item in tmp_path.glob("*.damaged-*")) == [
        "packtap.db.damaged-10",
        "packtap.db.damaged-11",
        "packtap.db.damaged-12",
    ]


def test_row_that_cannot_be_read_is_dropped_as_a_gap_and_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store.open(tmp_path / "packtap.db", MIB) as store:
        store.commit([readings(1), readings(2), readings(3)])
        store._conn.execute("UPDATE message SET body = '{\"col' WHERE seq = 2")
        assert seqs(store) == [1, 3]
        assert [(gap.first_seq, gap.last_seq) for gap in store.gaps()] == [(2, 2)]
        assert "message 2" in caplog.text


# --- kill -9 --------------------------------------------------------------------------------------


def test_killed_writer_loses_nothing_that_it_had_committed(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    chance = random.Random(7)
    printed: list[int] = []
    for _ in range(20):
        writer = subprocess.Popen(
            [sys.executable, store_writer.__file__, str(path), str(64 * MIB)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": PYTHONPATH},
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.15))  # the moment of the kill, not a synchronisation
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=60)
        # A line without its end was cut by the kill.
        printed += [int(line) for line in (first + rest).split(b"\n")[:-1]]
    with Store.open(path, 64 * MIB) as store:
        stored = seqs(store)
        assert store.rows() == 20 * len(stored)
        times = [t for t, *_ in rows(store)]
    assert len(printed) >= 20
    assert set(printed) <= set(stored)
    assert stored == list(range(1, len(stored) + 1))
    assert len(times) == len(set(times))
    assert whole(path) == "ok"
