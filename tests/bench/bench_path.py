"""What the path of a reading costs, step by step: run `python tests/bench/bench_path.py` by hand.

A quarter of an hour of an emulated ride (simulated) goes through each step on its own: the tap, the
agent's store, decoding at ingest, line protocol, the embedded store. CPU time of this process, the
best of three; the shares of real time, and of each other, are what can be compared.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from packtap.batch import Batch, reading_of
from packtap.ingest.decode import decode
from packtap.model import Reading
from packtap.points import line_protocol, points_of
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.store import Draft, Queued, Store
from packtap.tap import Digest
from rides import reads, replayed

SECONDS = 900.0
FLUSH_S = 10.0
UTC_OFFSET_MS = 1_760_000_000_000


def best_s(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of three runs."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def drafts(digest: Digest) -> list[Draft]:
    """The readings as the agent batches them."""
    batches: list[list[Reading]] = []
    last_ms = -1
    for _, snapshot in digest.snapshots:
        reading = reading_of("3JDEA24M1D0815", snapshot, last_ms)
        if reading is None:
            continue
        last_ms = reading.boot_ms
        if not batches or reading.boot_ms - batches[-1][0].boot_ms >= 1000 * FLUSH_S:
            batches.append([])
        batches[-1].append(reading)
    return [draft(batch) for batch in batches]


def draft(readings: Sequence[Reading]) -> Draft:
    batch = Batch(readings[0].pack)
    for reading in readings:
        batch.add(reading)
    return Draft(
        kind="readings",
        site="bench",
        agent="bench",
        bus="bench",
        pack=batch.pack,
        boot="bench",
        utc_offset_ms=UTC_OFFSET_MS,
        times_ms=batch.times_ms,
        body={"columns": batch.columns()},
    )


def commit(path: Path, batches: Sequence[Draft]) -> list[Queued]:
    """One commit a batch, as the agent does, into a new file; return the messages."""
    path.unlink(missing_ok=True)
    with Store.open(path, 64 * 1024 * 1024) as store:
        for each in batches:
            store.commit([each])
        return store.pending(0, len(batches))


def main() -> None:
    taken = reads(Wires(Plan(seed=1)), SECONDS)
    digest = replayed(taken)
    batches = drafts(digest)
    readings = sum(len(each.times_ms) for each in batches)
    print(f"simulated ride of {SECONDS:.0f} s: {len(taken)} frames, {readings} readings")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        messages = commit(directory / "agent.db", batches)
        size = sum(len(message.payload) for message in messages)
        now_ms = UTC_OFFSET_MS + int(1000 * SECONDS) + 60_000
        decoded = [decode(str(each.topic), each.payload, now_ms) for each in messages]
        stored = [each for each in decoded if each is not None]

        def lines() -> int:
            return sum(
                len(line_protocol(point))
                for each in stored
                for point in points_of(each.topic, each.message).points
            )

        def receive() -> None:
            path = directory / "fleet.db"
            path.unlink(missing_ok=True)
            with Store.open(path, 64 * 1024 * 1024) as store:
                store.receive_many([(each.message, each.topic) for each in stored])

        steps = {
            "tap: frames to snapshots and events": lambda: replayed(taken),
            "agent's store, one commit a batch": lambda: commit(directory / "agent.db", batches),
            "ingest: decode and check": lambda: [
                decode(str(each.topic), each.payload, now_ms) for each in messages
            ],
            "ingest: points and line protocol": lines,
            "ingest: embedded store": receive,
        }
        costs = {step: best_s(work) for step, work in steps.items()}
    for step, cost_s in costs.items():
        share = cost_s / SECONDS
        print(f"  {step:38} {1e6 * cost_s / readings:8.1f} us a reading, {share:8.3%} of real time")
    print(
        f"  message bytes a reading: {size / readings:.0f}; points text: {lines() / readings:.0f}"
    )


if __name__ == "__main__":
    main()
