"""Bytes of a day: run `python tests/bench/bench_bytes.py` by hand; its table is tests/BYTES.md.

The reference day (simulated): 1.8 h riding, 3 h charging, parked for the rest, an app on the bus
that reads cells. The agent's own parts run through it in virtual time: loop, tap and store.
Only the sender is replaced, by one that counts what it would publish, deflated and settled by the
same rules, to a broker that takes all at once.

* air: payload, topic and MQTT header of every publish, retained ones too; TLS, TCP and answers
  apart;
* card: `write_bytes` of /proc/self/io, what the kernel writes to the disk of the folder, each
  commit with fsync; the now-file is on a RAM disk as in the field. Give a folder on a real disk.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from packtap.agent import Agent
from packtap.clock import Clock
from packtap.config import AgentConfig, LineConfig, MqttConfig, StoreConfig
from packtap.link import Received
from packtap.simulated.day import Mode, Phase
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.store import Store
from packtap.uplink import UplinkStats
from packtap.uplink.sender import deflated, removal_pause_s

HOUR = 3600.0
DAY = 24 * HOUR
PHASES = (
    Phase(Mode.PARKED, 7 * HOUR),
    Phase(Mode.RIDING, 0.9 * HOUR),
    Phase(Mode.PARKED, 8 * HOUR),
    Phase(Mode.RIDING, 0.9 * HOUR),
    Phase(Mode.PARKED, 1 * HOUR),
    Phase(Mode.CHARGING, 3 * HOUR),
    Phase(Mode.PARKED),
)
UTC_MS = 1_790_000_000_000
BOOT = "4d2c3b6a-6a1e-4b7e-9a3f-1f2e3d4c5b6a"


class Air:
    """In place of the sender: publishes at once, counts, and removes as the sender does."""

    def __init__(self, store: Path, clock: Clock, prefix: str, flush_s: float) -> None:
        self._store = Store.open(store)
        self._clock = clock
        self._prefix = prefix
        self._after = 0
        self._settled: list[int] = []
        self._remove_every_s = removal_pause_s(flush_s)
        self._removed_at = 0.0
        self._sent_at = 0.0
        self.stats = UplinkStats(connected=True)
        self.bytes: dict[str, int] = {}
        self.messages: dict[str, int] = {}
        self.largest_state = 0

    def retain(self, kind: str, payload: bytes) -> None:
        """Publish at once."""
        self._publish(kind, f"{self._prefix}/{kind}", payload)
        if kind == "state":
            self.largest_state = max(self.largest_state, len(payload))

    def wake(self) -> None:
        """Publish what waits."""
        now = self._clock.boot_s()
        for queued in self._store.pending(self._after, 1000):
            self._sent_at = now
            self._after = queued.seq
            self._publish(queued.topic.kind, str(queued.topic), deflated(queued))
            self._settled.append(queued.seq)
        is_quiet = now - self._sent_at >= self._remove_every_s / 2
        is_due = now - self._removed_at >= self._remove_every_s
        if self._settled and (is_quiet or is_due):
            self._removed_at = now
            self._store.settle(self._settled)
            self._settled.clear()

    def _publish(self, kind: str, topic: str, payload: bytes) -> None:
        self.bytes[kind] = self.bytes.get(kind, 0) + publish_bytes(topic, len(payload))
        self.messages[kind] = self.messages.get(kind, 0) + 1


def publish_bytes(topic: str, payload: int) -> int:
    """Bytes of a PUBLISH, MQTT v5 with QoS 1: fixed header, topic, packet id, no properties."""
    rest = 2 + len(topic) + 2 + 1 + payload
    return 1 + (1 if rest < 128 else 2 if rest < 16384 else 3) + rest


def written() -> int:
    """Bytes that this process has had written to disks."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def day(folder: Path, flush_s: float) -> dict[str, Any]:
    """Live through the day and return what it took."""
    now = {"s": 0.0}
    clock = Clock(
        "trusted",
        boot_ms=lambda: round(now["s"] * 1000),
        utc_ms=lambda: round(now["s"] * 1000) + UTC_MS,
        boot_id=lambda: BOOT,
    )
    config = AgentConfig(
        site="depot", agent="pi-01", bus="bay-1", clock="trusted",
        now_file=Path("/dev/shm") / f"packtap-bench-{flush_s:g}.json",
        lines=(LineConfig(name="bms", port="/dev/null"), LineConfig(name="esc", port="/dev/zero")),
        mqtt=MqttConfig(host="127.0.0.1"),
        store=StoreConfig(path=folder / "packtap.db", flush_s=flush_s),
    )  # fmt: skip
    before = written()
    agent: Any = Agent(config, clock)
    air = Air(config.store.path, clock, "packtap/v1/depot/pi-01/bay-1", flush_s)
    agent._uplink = air
    wires = Wires(Plan(phases=PHASES, soc_pct=95.0))
    t = 0.0
    while t < DAY:
        for line, data in wires.step(t):
            now["s"] = t
            agent._take(Received(line, t, data))
            agent._tick(t)
        wakes = max(wires.wake_at(t), t + 1e-6)
        while now["s"] + 10 < min(wakes, DAY):  # nothing on the wires: the loop goes on
            now["s"] += 10
            agent._pass_time(now["s"])
            agent._tick(now["s"])
            air.wake()
        t = wakes
    agent._flush()
    air.wake()
    with Store.open_read_only(config.store.path) as store:
        readings, events = store.rows(), len(store.events())
    return {
        "flush_s": flush_s,
        "readings": readings,
        "events": events,
        "written": written() - before,
        "air": air,
        "file": config.store.path.stat().st_size,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path.cwd())
    parser.add_argument("--flush-s", type=float, nargs="+", default=[10.0, 30.0, 60.0])
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print("| flush_s | readings | events | card MB | card B a reading | air MB | share of flat |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    details = []
    for flush_s in arguments.flush_s:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
            told = day(Path(place), flush_s)
        air = told["air"]
        flat = 86_400 * publish_bytes("packtap/v1/depot/pi-01/bay-1/state", air.largest_state)
        total = sum(air.bytes.values())
        print(
            f"| {flush_s:g} | {told['readings']} | {told['events']} | {told['written'] / 1e6:.1f} "
            f"| {told['written'] / told['readings']:.0f} | {total / 1e6:.2f} "
            f"| 1/{flat / total:.0f} |"
        )
        kinds = ", ".join(f"{k} {air.messages[k]} ({air.bytes[k] / 1e3:.0f} kB)" for k in air.bytes)
        details.append(f"flush_s {flush_s:g}: {kinds}; flat sender {flat / 1e6:.1f} MB")
    print("\n" + "\n".join(details))


if __name__ == "__main__":
    main()
