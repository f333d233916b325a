"""Kill what can be killed while an emulated scooter rides, then compare both ends of the chain.

A run is seeded: what is struck, when, and for how long it is down. Victims are the agent, ingest,
the broker and the store, each by signal 9 and started again on its own files; for the store also
a shim that refuses, a server that hangs, and a locked SQLite file. Several may be down at once.
Moments are any moment, just after a commit, and while messages wait in ingest for a fallen store.
Afterwards the readings that the agent has committed must be the readings in the store, none twice.
"""

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from packtap.simulated.fault_rows import parse_fault
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.store import Store
from system.chain import (
    Adapter,
    AgentProcess,
    IngestProcess,
    adapters,
    committed,
    committed_events,
    messages,
    rows_of_cells,
    rows_of_packs,
    running_agent,
    running_ingest,
    scooter,
    settled,
)
from system.chain_stores import (
    influx_cells,
    influx_counts,
    influx_events,
    influx_packs,
    influx_samples,
)
from system.servers import (
    InfluxDB,
    Mosquitto,
    Server,
    eventually,
    start_influxdb,
    start_mosquitto,
    start_v2_shim,
)

__all__ = ["Outcome", "run_influx", "run_sqlite"]

#: Seconds between two moments of a run, and how long a part is down.
_BETWEEN_S: Final = (0.1, 2.0)
_DOWN_S: Final = (0.05, 3.0)
#: When a part is struck: besides any moment, where a message is most easily lost.
_STRIKES: Final = ("any moment", "messages on their way", "messages waiting in ingest")
_CALM_S: Final = 4.0  # longer than an agent remembers what was acknowledged
_ARRIVAL_S: Final = 120.0


@dataclass(slots=True)
class Outcome:
    """What a run gave.

    Attributes:
        kills: times that each part was killed, or hung, or locked.
        readings: committed by the agent.
        stored: readings at the other end.
        cells: values of cells in them.
        events: ends of events committed by the agent.
        last_seq: of the agent's store.
        drain_s: from the end of the ride until everything had arrived.
        missing: what the agent has committed and the store lacks, or has otherwise.
        foreign: what the store has and the agent has not committed.
        doubled: what the store has more than once.
        unsaved: committed before a kill of the agent and gone after it.
        gaps: seqs that the agent never gave, or that did not arrive.
        refused: messages in the dead letters.
    """

    seed: int
    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    readings: int = 0
    stored: int = 0
    cells: int = 0
    events: int = 0
    last_seq: int = 0
    drain_s: float = 0.0
    missing: int = 0
    foreign: int = 0
    doubled: int = 0
    unsaved: int = 0
    gaps: int = 0
    refused: int = 0

    @property
    def is_whole(self) -> bool:
        """Nothing lost, nothing invented, nothing twice."""
        return not any(
            (self.missing, self.foreign, self.doubled, self.unsaved, self.gaps, self.refused)
        )


@dataclass(frozen=True, slots=True)
class _Victim:
    """A part of the chain and what can be done to it."""

    name: str
    fell: Callable[[], object]
    raise_up: Callable[[], object]


def run_influx(folder: Path, seed: int, rounds: int) -> Outcome:
    """Run into InfluxDB behind the shim, with faults; return what both ends hold."""
    with ExitStack() as stack:
        broker = stack.enter_context(start_mosquitto(folder))
        influxdb = stack.enter_context(start_influxdb(folder))
        shim = stack.enter_context(start_v2_shim(folder, influxdb))
        chain = stack.enter_context(_chain(folder, broker, seed, shim.url))
        store = [
            _killed("influxdb", influxdb),
            _Victim("influxdb-hangs", influxdb.pause, influxdb.resume),
            _killed("shim", shim),
        ]
        chain.torment(rounds, store)
        chain.drain(lambda: influx_packs(influxdb) == rows_of_packs(committed(chain.agent.store)))
        return chain.outcome_in_influx(influxdb)


def run_sqlite(folder: Path, seed: int, rounds: int) -> Outcome:
    """Run into the SQLite file of ingest, with faults; return what both ends hold."""
    with ExitStack() as stack:
        broker = stack.enter_context(start_mosquitto(folder))
        chain = stack.enter_context(_chain(folder, broker, seed))
        lock = _Lock(chain.ingest.database)
        stack.callback(lock.release)
        chain.torment(rounds, [_Victim("sqlite-locked", lock.take, lock.release)])
        chain.drain(lambda: len(messages(chain.ingest.database)) >= chain.last_seq())
        return chain.outcome_in_sqlite()


class _Lock:
    """Somebody else who holds the write lock of ingest's file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._conn: sqlite3.Connection | None = None

    def take(self) -> None:
        """Wait for the lock and hold it."""
        self._conn = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        self._conn.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        """Let go of it."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()


def _killed(name: str, server: Server) -> _Victim:
    return _Victim(name, server.kill9, server.restart)


def _shuffled(rng: random.Random, cards: Sequence[_Victim | None]) -> Iterator[_Victim | None]:
    """Yield for ever; each as often as every other."""
    while True:
        yield from rng.sample(cards, len(cards))


@dataclass(slots=True)
class _Chain:
    wires: Wires
    lines: Mapping[str, Adapter]
    broker: Mosquitto
    agent: AgentProcess
    ingest: IngestProcess
    outcome: Outcome
    known: set[tuple[str, int]] = field(default_factory=set)  #: seen committed before a kill

    def torment(self, rounds: int, store: Sequence[_Victim]) -> None:
        """Ride, and let one part fall in each round; at the end everything stands again."""
        rng = random.Random(self.outcome.seed)
        services = [
            _Victim("agent", self._kill_agent, self.agent.restart),
            _killed("ingest", self.ingest),
            _killed("mosquitto", self.broker),
        ]
        turns = _shuffled(rng, [*services, None])  # None: the store, in one of its ways
        down: dict[str, tuple[float, _Victim]] = {}

        def stand_up(everybody: bool = False) -> None:
            # Ingest ends with one clear line if it finds its file locked, and whoever manages the
            # services starts it again: here it waits for the lock, which is therefore first.
            for part in sorted(down, key=lambda name: name != "sqlite"):
                until, victim = down[part]
                if part == "ingest" and "sqlite" in down:
                    continue
                if everybody or time.monotonic() >= until:
                    victim.raise_up()
                    del down[part]

        def strike(victim: _Victim, at_least_s: float = 0.0) -> None:
            part = victim.name.partition("-")[0]
            if part not in down:
                victim.fell()
                self.outcome.kills[victim.name] += 1
                down[part] = (time.monotonic() + at_least_s + rng.uniform(*_DOWN_S), victim)

        def until(moment: Callable[[], bool], at_most_s: float) -> None:
            """Let the ride go on until the moment; it may never come, the strike does."""
            deadline = time.monotonic() + at_most_s
            while time.monotonic() < deadline and not moment():
                stand_up()
                time.sleep(0.005)

        with scooter(self.wires, self.lines):
            eventually(lambda: committed(self.agent.store), "the first reading")
            for _ in range(rounds):
                until(lambda: False, rng.uniform(*_BETWEEN_S))  # any moment
                fallen_store = rng.choice(store)
                match rng.choice(_STRIKES):
                    case "any moment":
                        strike(next(turns) or fallen_store)
                    case "messages on their way":
                        seq = self.last_seq()
                        until(lambda seq=seq: self.last_seq() > seq, 2.0)  # type: ignore[misc]
                        until(lambda: False, rng.uniform(0.0, 0.05))
                        strike(next(turns) or fallen_store)
                    case "messages waiting in ingest":
                        strike(fallen_store, at_least_s=2.0)
                        until(lambda: bool(self.ingest.stats().get("waiting")), 3.0)
                        strike(services[rng.choice([1, 1, 2])])
                        # A kill of the agent or the broker would make the agent send them again.
                        until(lambda: False, _CALM_S)
                self.outcome.rounds += 1
            stand_up(everybody=True)

    def drain(self, arrived: Callable[[], bool]) -> None:
        """Wait until the outbox is empty, the agent has ended and the store has it all, or not."""
        began = time.monotonic()
        settled(self.agent, _ARRIVAL_S)
        while not arrived() and time.monotonic() < began + _ARRIVAL_S:
            time.sleep(0.2)
        self.outcome.drain_s = time.monotonic() - began

    def last_seq(self) -> int:
        """Return the last seq that the agent gave."""
        return messages(self.agent.store)[-1].seq

    def outcome_in_influx(self, influxdb: InfluxDB) -> Outcome:
        """Compare the agent's store with InfluxDB."""
        readings = committed(self.agent.store)
        packs, cells = rows_of_packs(readings), rows_of_cells(readings)
        self._compare(packs, influx_packs(influxdb))
        self.outcome.stored = len(influx_samples(influxdb))
        self._compare(cells, influx_cells(influxdb))
        self._compare(
            _by_event(committed_events(self.agent.store)), _by_event(influx_events(influxdb))
        )
        counts = Counter(f"count_{name}" for row in packs.values() for name in row)
        self.outcome.doubled += (influx_counts(influxdb, "pack") - counts).total()
        return self._with_agents_end(cells)

    def outcome_in_sqlite(self) -> Outcome:
        """Compare the agent's store with ingest's."""
        sent, stored = messages(self.agent.store), messages(self.ingest.database)
        self._compare({one.seq: one for one in sent}, {one.seq: one for one in stored})
        self.outcome.stored = len(committed(self.ingest.database))
        self.outcome.doubled += len(stored) - len({(one.store, one.seq) for one in stored})
        self._compare(*(
            {(one.pack, one.t_ms): one for one in committed(path)}
            for path in (self.agent.store, self.ingest.database)
        ))  # fmt: skip
        self._compare(*(
            _by_event(committed_events(path)) for path in (self.agent.store, self.ingest.database)
        ))  # fmt: skip
        return self._with_agents_end(rows_of_cells(committed(self.agent.store)))

    def _kill_agent(self) -> None:
        self.known |= {(one.pack, one.t_ms) for one in committed(self.agent.store)}
        self.agent.kill9()

    def _compare(self, sent: Mapping[Any, object], stored: Mapping[Any, object]) -> None:
        self.outcome.missing += sum(stored.get(key) != value for key, value in sent.items())
        self.outcome.foreign += len(stored.keys() - sent.keys())

    def _with_agents_end(self, cells: Mapping[Any, object]) -> Outcome:
        outcome, store = self.outcome, self.agent.store
        readings = committed(store)
        seqs = [one.seq for one in messages(store)]
        outcome.readings = len(readings)
        outcome.cells = len(cells)
        outcome.events = len(committed_events(store))
        outcome.last_seq = seqs[-1]
        outcome.unsaved = len(self.known - {(one.pack, one.t_ms) for one in readings})
        with Store.open_read_only(store) as agents:
            outcome.gaps = len(set(range(1, seqs[-1] + 1)) ^ set(seqs)) + len(agents.gaps())
        outcome.refused = len(self.ingest.dead_letters.read_text().splitlines())
        return outcome


@contextmanager
def _chain(folder: Path, broker: Mosquitto, seed: int, url: str | None = None) -> Iterator[_Chain]:
    fault = parse_fault(f"cell_undervoltage:{1 + seed % 10}", 4.0)
    plan = Plan(seed=seed, soc_pct=45.0, faults=(fault,))
    with (
        adapters(folder, "esc", "bms") as lines,
        running_ingest(folder, broker.port, url) as ingest,
        running_agent(folder, lines, broker.port) as agent,
    ):
        yield _Chain(Wires(plan), lines, broker, agent, ingest, Outcome(seed))


def _by_event(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    # The pack too: an event from before the serial was read is told again under the serial.
    by_key = {(row["id"], row["pack"], row["state"], row["time"]): row for row in rows}
    assert len(by_key) == len(rows)
    return by_key
