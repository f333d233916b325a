"""The whole chain under one fault after the other, measured: what is lost, and how long it takes.

Real mosquitto, real InfluxDB, real processes of agent, ingest and web, an emulated scooter on
pseudo-terminals, and a TCP proxy in front of broker and store. A round is: ride on for a random
while, break something, wait, mend it, and wait until the chain has recovered. The rows, what is
broken, stand in `chain_fault_rows`.

Recovery is counted from the moment at which the mending begins (a killed process is only started
then) until all that was committed by that moment is in the store, and a reading that was taken
later too. The agent commits once a second here (`flush_s = 1`).
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from packtap.errors import StoreError
from packtap.simulated.fault_rows import parse_fault
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.store import Store, StoredReading
from system.chain import (
    PACKTAP,
    Adapter,
    AgentProcess,
    IngestProcess,
    WebProcess,
    adapters,
    committed,
    committed_events,
    running_agent,
    running_ingest,
    running_web,
    scooter,
    settled,
)
from system.chain_ledger import (
    Verdict,
    compare,
    samples_of_events,
    samples_of_readings,
    untimely,
)
from system.chain_stores import influx_events, influx_samples
from system.servers import (
    FaultProxy,
    InfluxDB,
    Mosquitto,
    ServerError,
    eventually,
    start_fault_proxy,
    start_influxdb,
    start_mosquitto,
    start_v2_shim,
)

__all__ = ["Bench", "Fault", "Place", "Result", "running_bench"]

#: Seconds between two rounds: the fault strikes at any moment.
_BETWEEN_S: Final = (0.1, 1.6)
#: So long a round may take to recover before the row has failed.
PATIENCE_S: Final = 120.0
_LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bench keeps its files, and which clock its agent sees.

    Attributes:
        folder: of everything.
        disk: of the agent's store and of ingest's dead letters.
        faketime: the library that shows the agent another clock; None: it sees the real one.
        clock: the agent's setting.
    """

    folder: Path
    disk: Path
    faketime: Path | None = None
    clock: str = "trusted"

    @property
    def offset_file(self) -> Path:
        """Seconds that the agent's clock is off, as libfaketime reads them."""
        return self.folder / "clock-offset"

    @property
    def vouched_file(self) -> Path:
        """There while the agent's kernel vouches for its clock."""
        return self.folder / "clock-vouched"

    def launch(self) -> tuple[str, ...]:
        """Return what starts the agent."""
        if self.faketime is None:
            return PACKTAP
        self.offset_file.write_text("+0\n")
        if self.clock == "auto":
            self.vouched_file.touch()
        program = Path(__file__).with_name("vouched_agent.py")
        return (
            *("env", f"LD_PRELOAD={self.faketime}", f"FAKETIME_TIMESTAMP_FILE={self.offset_file}"),
            *("FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"),
            *(PACKTAP[0], str(program), str(self.vouched_file)),
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that can go wrong, and how often and how long it does.

    Attributes:
        name: as the table calls it.
        rounds: by default.
        lasts_s: at least and at most so long.
        strike: breaks something; what it returns mends it.
        needs: "": nothing special; "disk": a small file system of its own; "clock" and "auto
            clock": a clock that can be moved.
        shows: "store", or "page" if what recovers is the page.
    """

    name: str
    rounds: int
    lasts_s: tuple[float, float]
    strike: Callable[["Bench", random.Random], Callable[[], object]]
    needs: str = ""
    shows: str = "store"


@dataclass(slots=True)
class Result:
    """What the rounds of one fault, or of several on one chain, have shown.

    Attributes:
        committed: readings in the agent's file, or seen there before a kill.
        stored: readings in InfluxDB.
        events: ends of events committed; they are compared like readings.
        judged: readings whose time could be held against the wire.
        recovery_s: of each round; None if it did not recover in `PATIENCE_S`.
        trouble: what else is wrong.
    """

    rounds: int = 0
    committed: int = 0
    stored: int = 0
    events: int = 0
    judged: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    recovery_s: list[float | None] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Nothing lost, doubled, late or changed, and every round recovered."""
        return self.verdict.is_clean and not self.trouble and None not in self.recovery_s


@dataclass(slots=True)
class Bench:
    """A running chain that can be broken everywhere.

    Attributes:
        known: readings seen committed before a kill of the agent.
        bad: payloads that ingest must refuse.
    """

    place: Place
    wires: Wires
    lines: Mapping[str, Adapter]
    broker: Mosquitto
    influxdb: InfluxDB
    to_broker: FaultProxy
    to_store: FaultProxy
    agent: AgentProcess
    ingest: IngestProcess
    web: WebProcess
    result: Result = field(default_factory=Result)
    known: dict[tuple[str, int], StoredReading] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    @contextmanager
    def riding(self) -> Iterator[None]:
        """Let the scooter ride; the first reading is in the store when this returns."""
        with scooter(self.wires, self.lines):
            eventually(lambda: influx_samples(self.influxdb), "the first reading stored", 60)
            yield

    def run(
        self, fault: Fault, rng: random.Random, rounds: int, told: Callable[[str], object]
    ) -> None:
        """Strike and mend so many times."""
        for number in range(1, rounds + 1):
            time.sleep(rng.uniform(*_BETWEEN_S))
            mend = fault.strike(self, rng)
            time.sleep(rng.uniform(*fault.lasts_s))
            mended_ms, began = _utc_ms(), time.monotonic()
            mend()
            recovered = self._wait_for(fault.shows, mended_ms, began)
            self.result.rounds += 1
            self.result.recovery_s.append(recovered)
            shown = "not" if recovered is None else f"in {recovered:.1f} s"
            told(f"{fault.name}: round {number} of {rounds}, recovered {shown}")

    def remember(self) -> None:
        """Note what is committed now: a kill must not take it away."""
        # Not `committed`: some may still have no date.
        with Store.open_read_only(self.agent.store) as store:
            self.known |= {(one.pack, one.t_ms): one for one in store.readings()}

    def finish(self) -> Result:
        """Let everything arrive after the ride, and compare both ends."""
        result = self.result
        settled(self.agent, PATIENCE_S)
        readings = committed(self.agent.store)
        there = {(one.pack, one.t_ms) for one in readings}
        gone = [one for key, one in self.known.items() if key not in there]
        wanted = samples_of_readings([*readings, *gone])
        events = samples_of_events(committed_events(self.agent.store))
        deadline = time.monotonic() + PATIENCE_S
        while True:
            stored = influx_samples(self.influxdb)
            told = samples_of_events(influx_events(self.influxdb))
            verdict = compare([*wanted, *events], [*stored, *told])
            if verdict.is_clean or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        late, result.judged = untimely(stored, self.lines["bms"].written)
        verdict.wrong_time += late
        verdict.lost += [f"{one} was committed before a kill, and gone after it" for one in gone]
        result.verdict = verdict
        result.committed, result.stored, result.events = len(wanted), len(stored), len(events)
        result.trouble += self._trouble()
        return result

    def _trouble(self) -> Iterator[str]:
        with Store.open_read_only(self.agent.store) as store:
            yield from (f"the agent has dropped {gap}" for gap in store.gaps())
            if store.depth().count:
                yield f"{store.depth().count} messages were never delivered"
        # A full disk may take half a line; only whole ones count.
        lines = self.ingest.dead_letters.read_text().splitlines()
        letters = [line for line in lines if line.startswith("{") and line.endswith("}")]
        if not all(any(bad in line for line in letters) for bad in self.bad):
            yield f"{len(self.bad)} messages had to be refused, {len(letters)} were"
        elif len(letters) > len(self.bad):
            yield f"ingest has refused {len(letters)} messages, {len(self.bad)} of them were wrong"
        for service in (self.agent, self.ingest, self.web):
            if "Traceback" in service.log.read_text(errors="replace"):
                yield f"the log of {service.name} has a traceback"
        if not self.result.judged:
            yield "no reading could be held against the wire"

    def _wait_for(self, shows: str, mended_ms: int, began: float) -> float | None:
        """Return the seconds that it took to recover, None if it did not."""
        look = {"store": self._store_shows, "page": self._page_shows}[shows]
        while True:
            # A server that has just been started may not answer yet, a disk may be full.
            try:
                is_there = look(mended_ms)
            except (OSError, StoreError, ServerError):
                is_there = False
            passed = time.monotonic() - began
            if is_there:
                return passed
            if passed > PATIENCE_S:
                self.result.trouble.append(f"not recovered within {PATIENCE_S:.0f} s")
                return None
            time.sleep(_LOOK_EVERY_S)

    def _store_shows(self, mended_ms: int) -> bool:
        since_ms = mended_ms - 300_000
        there = {(one.what, one.t_ms) for one in influx_samples(self.influxdb, since_ms)}
        if not any(t_ms > mended_ms for _, t_ms in there):
            return False
        with Store.open_read_only(self.agent.store) as store:
            wanted = samples_of_readings(list(store.readings(None, since_ms, mended_ms + 1)))
        return all((one.what, one.t_ms) in there for one in wanted)

    def _page_shows(self, mended_ms: int) -> bool:
        ages_s = [pack["age_s"] for pack in self.web.packs() if pack["age_s"] is not None]
        return bool(ages_s) and _utc_ms() - min(ages_s) * 1000 > mended_ms


@contextmanager
def running_bench(place: Place, seed: int, **plan: Any) -> Iterator[Bench]:
    """Run the chain; everything is up when this returns, and nobody rides yet."""
    fault = parse_fault(f"cell_undervoltage:{1 + seed % 10}", 4.0)
    wires = Wires(Plan(seed=seed, soc_pct=45.0, faults=(fault,), **plan))
    folder = place.folder
    with ExitStack() as stack:
        broker = stack.enter_context(start_mosquitto(folder))
        to_broker = stack.enter_context(start_fault_proxy(broker.port))
        influxdb = stack.enter_context(start_influxdb(folder))
        shim = stack.enter_context(start_v2_shim(folder, influxdb))
        to_store = stack.enter_context(start_fault_proxy(shim.port))
        lines = stack.enter_context(adapters(folder, "esc", "bms"))
        ingest = stack.enter_context(
            running_ingest(
                folder,
                to_broker.port,
                f"http://127.0.0.1:{to_store.port}",
                place.disk / "dead-letter.jsonl",
            )
        )
        agent = stack.enter_context(
            running_agent(
                folder,
                lines,
                to_broker.port,
                clock=place.clock,
                store=place.disk / "agent.db",
                launch=place.launch(),
            )
        )
        web = stack.enter_context(running_web(folder, agent))
        yield Bench(place, wires, lines, broker, influxdb, to_broker, to_store, agent, ingest, web)


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
