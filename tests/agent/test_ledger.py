"""The proof that nothing is missing: every number has one fate, and the command says which."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.drafts import UTC, event, filler, readings
from packtap.cli import main
from packtap.ledger import Ledger, LostRun, Run, holes, joined, judge
from packtap.store import Store
from packtap.wire import LinkMessage, ReadingsMessage, Topic

MOST = 40
Numbers = st.sets(st.integers(1, MOST), max_size=MOST)


def ledger(arrived: set[int], lost: list[LostRun], settled: int | None) -> Ledger:
    return Ledger(
        "depot", "pi", "a", "s" * 32, 0, tuple(joined(sorted(arrived))), tuple(lost), settled
    )


def numbers(runs: tuple[Run, ...] | tuple[LostRun, ...]) -> list[int]:
    return [number for run in runs for number in range(run.first, run.last + 1)]


@given(Numbers, Numbers, st.none() | st.integers(1, MOST + 2))
def test_every_number_has_exactly_one_fate(
    arrived: set[int], dropped: set[int], settled: int | None
) -> None:
    lost = [LostRun(run.first, run.last, run.count) for run in joined(sorted(dropped))]
    verdict = judge(ledger(arrived, lost, settled))
    if not arrived | dropped:
        assert verdict.counted is None
        return
    assert verdict.counted is not None
    fates = numbers(verdict.lost) + numbers(verdict.missing) + numbers(verdict.waiting)
    everything = range(verdict.counted.first, verdict.counted.last + 1)
    assert sorted([*arrived, *fates]) == list(everything)
    assert verdict.counted.first == min(arrived | dropped)
    assert set(numbers(verdict.lost)) == dropped - arrived
    below = settled if settled is not None else 0
    assert all(number < below for number in numbers(verdict.missing))
    assert all(number >= below for number in numbers(verdict.waiting))
    assert verdict.is_complete == (not verdict.lost and not verdict.missing)
    assert (verdict.delivered_pct == 100) == (verdict.is_complete and bool(arrived))


@given(Numbers)
def test_holes_are_what_the_runs_leave(present: set[int]) -> None:
    within = Run(5, 30)
    found = holes(joined(sorted(present)), within)
    assert numbers(tuple(found)) == sorted(set(range(5, 31)) - present)


def test_run_that_grew_is_counted_once() -> None:
    lost = [LostRun(3, 4, 20), LostRun(3, 9, 70), LostRun(6, 7, 20)]
    verdict = judge(ledger({1, 2, 10}, lost, 11))
    assert numbers(verdict.lost) == list(range(3, 10))
    assert verdict.delivered_pct == 30


def message(seq: int, t: int | None = None) -> ReadingsMessage:
    return ReadingsMessage(
        agent="pi", bus="a", pack="P", store="s" * 32, seq=seq, boot="b",
        t=[UTC + (seq if t is None else t)], columns={"soc_pct": [50]},
    )  # fmt: skip


def link(seq: int, settled: int, *gaps: tuple[int, int, int, int | None]) -> LinkMessage:
    return LinkMessage(
        agent="pi", bus="a", pack="P", store="s" * 32, seq=seq, boot="b", t=[UTC + seq],
        counters={"outbox_first_seq": settled}, gaps=list(gaps),
    )  # fmt: skip


TOPIC = Topic("depot", "pi", "a", "readings")
LINK = Topic("depot", "pi", "a", "link")


@given(st.permutations(range(1, 15)))
def test_arrived_numbers_are_runs_in_whatever_order_they_come(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    with Store.open(tmp_path_factory.mktemp("ledger") / "packtap.db") as store:
        for seq in order[:9]:
            store.receive(message(seq), TOPIC)
            store.receive(message(seq), TOPIC)
        (known,) = store.ledgers()
    assert list(known.arrived) == joined(sorted(order[:9]))


def test_what_the_full_store_of_ingest_has_forgotten_still_counts_as_arrived(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path / "packtap.db", 2**20) as store:
        for seq in range(1, 300):
            body = {"serial": [filler(seq, 9000)]}
            long = ReadingsMessage(
                agent="pi", bus="a", pack="P", store="s" * 32, seq=seq, boot="b", t=[UTC + seq],
                columns=body,  # type: ignore[arg-type]
            )  # fmt: skip
            store.receive(long, TOPIC)
        assert store.rows() < 299
        (known,) = store.ledgers()
    assert known.arrived == (Run(1, 299),)


def test_file_of_version_4_knows_what_has_arrived_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from packtap.store import schema

    path = tmp_path / "packtap.db"
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:4])
    with Store.open(path) as old:
        old.commit([readings(1)])
        for statement in (
            f"INSERT INTO source VALUES (9, 'depot', 'pi', 'b', '{'s' * 32}', 0)",
            "INSERT INTO origin VALUES (9, 9, 'P', 'b', 0, 0, 0)",
            *(
                f"INSERT INTO message VALUES ({100 + seq}, 9, {seq}, 9, 'readings', {seq}, {seq}, "
                f"""1, '[{seq}]', '{{"columns":{{"soc_pct":[1]}}}}')"""
                for seq in (2, 3, 4, 8)
            ),
        ):
            old._conn.execute(statement)
    monkeypatch.undo()
    with Store.open(path) as store:
        own, other = store.ledgers()
    assert (own.arrived, own.settled_seq) == ((), 1)  # it waits in the outbox
    assert other.arrived == (Run(2, 4), Run(8, 8))


Printed = pytest.CaptureFixture[str]


def gaps(path: Path, capsys: Printed, *options: str) -> tuple[int, str]:
    code = main(["gaps", str(path), *options])
    return code, capsys.readouterr().out


def test_command_proves_that_nothing_is_missing(tmp_path: Path, capsys: Printed) -> None:
    path = tmp_path / "ingest.db"
    with Store.open(path) as store:
        store.receive_many([(message(seq), TOPIC) for seq in range(1, 8)])
        store.receive(link(8, 8), LINK)
    code, said = gaps(path, capsys)
    assert code == 0
    assert said == (
        "depot/pi/a store ssssssss: delivered 100 %, 0 gaps; 8 messages of 8, seq 1-8\n"
    )


def test_command_names_what_was_dropped_what_is_missing_and_what_is_on_its_way(
    tmp_path: Path, capsys: Printed
) -> None:
    path = tmp_path / "ingest.db"
    with Store.open(path) as store:
        arrived = [1, 2, 6, 7, 9, 13]
        store.receive_many([(message(seq), TOPIC) for seq in arrived])
        store.receive(link(14, 11, (3, 5, 30, UTC + 3)), LINK)
    code, said = gaps(path, capsys)
    assert code == 1
    assert said.splitlines() == [
        "depot/pi/a store ssssssss: delivered 58.33 %, 3 gaps; 7 messages of 14, seq 1-14",
        "  LOST     seq 3-5, 3 messages: dropped by the device when its store was full, "
        "30 samples, from 2026-09-21 14:13:20 UTC on",
        "  MISSING  seq 8-8, 1 message: acknowledged by the broker, and not here",
        "  MISSING  seq 10-10, 1 message: acknowledged by the broker, and not here",
        "  waiting  seq 11-12, 2 messages: on their way",
    ]
    code, said = gaps(path, capsys, "--json", "--agent", "pi")
    assert code == 1
    assert json.loads(said) == {
        "kind": "delivery",
        "site": "depot",
        "agent": "pi",
        "bus": "a",
        "store": "s" * 32,
        "branch": 0,
        "first_seq": 1,
        "last_seq": 14,
        "delivered": 7,
        "delivered_pct": 58.33,
        "gaps": 3,
        "thinned": [],
        "thinned_samples": 0,
        "lost": [{"first_seq": 3, "last_seq": 5, "samples": 30, "from_ms": UTC + 3}],
        "missing": [{"first_seq": 8, "last_seq": 8}, {"first_seq": 10, "last_seq": 10}],
        "waiting": [{"first_seq": 11, "last_seq": 12}],
    }


def test_command_says_of_the_agents_own_file_what_the_broker_has_taken(
    tmp_path: Path, capsys: Printed
) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path) as store:
        store.commit([readings(1), readings(2), event("e1"), readings(4)])
        store.settle([1, 3])
    assert gaps(path, capsys) == (
        0,
        f"depot/pi/a store {store.store_id[:8]}: delivered 100 %, 0 gaps; "
        "2 messages of 4, seq 1-4\n"
        "  waiting  seq 2-2, 1 message: on their way\n"
        "  waiting  seq 4-4, 1 message: on their way\n",
    )


@pytest.mark.parametrize(
    ("make", "options", "code"),
    [
        (lambda path: Store.open(path).close(), [], 3),
        (lambda path: None, [], 2),
        (lambda path: path.write_text("no store"), [], 2),
        (lambda path: Store.open(path).close(), ["--days", "-1"], 2),
        (lambda path: Store.open(path).close(), ["--agent", "pi"], 3),
    ],
    ids=["empty", "absent", "damaged", "no number", "unknown device"],
)
def test_command_without_anything_to_prove_says_so(
    tmp_path: Path, make: Callable[[Path], object], options: list[str], code: int
) -> None:
    make(tmp_path / "x.db")
    try:
        got = main(["gaps", str(tmp_path / "x.db"), *options])
    except SystemExit as left:
        got = int(left.code or 0)
    assert got == code


def between(path: Path, *, next_boot_at: int) -> None:
    """A dated boot, one that never knew the time, a dated one that began at `next_boot_at`."""
    with Store.open(path, 10_000_000) as store:
        store.commit([readings(1000, 9000, boot="boot-a", offset=UTC)])
        store.commit([readings(5000, 7000, boot="boot-b", offset=None)])
        store.commit([event("late", t=20_000, boot="boot-b", offset=None)])
        store.commit([readings(3000, boot="boot-c", offset=next_boot_at)])


def test_boot_whose_clock_was_never_known_lies_between_the_dated_boots_around_it(
    tmp_path: Path, capsys: Printed
) -> None:
    path = tmp_path / "packtap.db"
    between(path, next_boot_at=UTC + 100_000)
    code, said = gaps(path, capsys, "--undated", "--json")
    assert code == 1
    told = [json.loads(line) for line in said.splitlines()]
    # The event behind the readings, 20 s after the start, belongs to the same boot.
    assert told == [
        {
            "kind": "undated", "pack": "PACK", "boot": "boot-b", "boot_s": t / 1000,
            "not_before_ms": UTC + 9000 + t, "not_after_ms": UTC + 100_000 - 20_000 + t,
            "values": {"voltage_v": t / 1000},
        }
        for t in (5000, 7000)
    ]  # fmt: skip
    code, said = gaps(path, capsys, "--undated")
    assert code == 1
    assert said == (
        "PACK boot boot-b: 2 readings without a date, from 5 s after its start on, "
        "not before 2026-09-21 14:13:29 UTC, not after 2026-09-21 14:15:00 UTC\n"
    )


def test_clocks_that_leave_no_room_for_a_boot_give_it_no_bounds(
    tmp_path: Path, capsys: Printed
) -> None:
    path = tmp_path / "packtap.db"
    between(path, next_boot_at=UTC + 28_999)  # 9 s and 20 s do not fit before it
    code, said = gaps(path, capsys, "--undated", "--json")
    assert code == 1
    bounds = {
        (each["not_before_ms"], each["not_after_ms"]) for each in map(json.loads, said.splitlines())
    }
    assert bounds == {(None, None)}
    assert "contradict each other" in gaps(path, capsys, "--undated")[1]


def test_boot_with_nothing_dated_around_it_has_no_bounds(tmp_path: Path, capsys: Printed) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, 10_000_000) as store:
        store.commit([readings(5000, boot="boot-b", offset=None)])
    code, said = gaps(path, capsys, "--undated")
    assert (code, "no dated boot before it, no dated boot after it" in said) == (1, True)
    with Store.open(path, 10_000_000) as store:
        store.date_boot("boot-b", UTC)
    assert gaps(path, capsys, "--undated") == (0, "every reading is dated\n")


def test_undated_readings_are_asked_of_the_file_of_one_agent(capsys: Printed) -> None:
    assert main(["gaps", "--undated"]) == 2
    assert "name it" in capsys.readouterr().err
