"""What others lose of a burst whose process is killed at once, and what packtap loses, in one run.

    make anchors        prints the table, which make faults has too

Each is handed the same number of things in the way that it is made for, and dies by signal 9 the
moment the last call has returned (`anchor_writers`). What it had taken over by then it should still
have: counted afterwards in the file that it left, in InfluxDB, or at the broker.
"""

import argparse
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from packtap.store import Store
from system.anchor_writers import MEASUREMENT, TOPIC
from system.chain import messages
from system.chain_faults_table import table
from system.servers import (
    HOST,
    InfluxDB,
    Mosquitto,
    ServerError,
    V2Shim,
    free_ports,
    start_influxdb,
    start_mosquitto,
    start_v2_shim,
)

__all__ = ["anchor_table"]

BURST: Final = 20_000
#: Fewer readings than the agent keeps in memory before it saves (5000, or `flush_s`).
_IN_MEMORY: Final = 4_000
_QUIET_S: Final = 3.0  #: nothing new for so long: what has not come will not come
#: Where another thread saves in the background, chance decides: each burst is shown.
_BURSTS: Final = 3
_HEAD: Final = ("handed over to", "taken over when", "taken over", "there afterwards", "lost")
_WRITER: Final = Path(__file__).with_name("anchor_writers.py")


@dataclass(frozen=True, slots=True)
class Servers:
    """What the writers write to."""

    broker: Mosquitto
    influxdb: InfluxDB
    shim: V2Shim


@dataclass(frozen=True, slots=True)
class Anchor:
    """One thing that is killed.

    Attributes:
        name: as the table calls it.
        taken: when something counts as taken over.
        writer: name in `anchor_writers`.
        address: where it writes to.
        found: how many different ones are there afterwards.
        theirs: runs with the packages that packtap does not have.
        count: how many are handed over.
    """

    name: str
    taken: str
    writer: str
    address: Callable[[Servers], str]
    found: Callable[[Path, Servers], int]
    theirs: bool = False
    count: int = BURST


def _in_thingsboard(folder: Path, _: Servers) -> int:
    with contextlib.closing(sqlite3.connect(folder / "data" / "data.db")) as conn:
        rows = conn.execute("SELECT message FROM messages").fetchall()
    return len({json.loads(message)["number"] for (message,) in rows})


def _in_influx(_: Path, servers: Servers) -> int:
    def count() -> int:
        rows = servers.influxdb.rows(f"SELECT count(number) FROM {MEASUREMENT}")
        return int(rows[0]["count"]) if rows else 0

    found = _settled(count)
    servers.influxdb.query(f"DROP MEASUREMENT {MEASUREMENT}")
    return found


def _at_broker(folder: Path, _: Servers) -> int:
    return len(set((folder / "heard").read_text().splitlines()))


def _in_outbox(folder: Path, _: Servers) -> int:
    waiting = messages(folder / "agent.db")
    return len({one.body["id"] for one in waiting if one.kind == "event"})


def _in_history(folder: Path, _: Servers) -> int:
    with Store.open_read_only(folder / "agent.db") as store:
        return len({one.values["remaining_capacity_mah"] for one in store.readings()})


def _nowhere(_: Servers) -> str:
    return "-"


#: Each with its server there, and where that matters with its server away.
ANCHORS: Final = (
    Anchor(
        "ThingsBoard IoT gateway, SQLite storage",
        "`put` has returned True",
        *("thingsboard", _nowhere, _in_thingsboard),
        theirs=True,
    ),
    Anchor(
        "influxdb-client, batching; store there",
        "`write` has returned",
        *("influx", lambda servers: servers.shim.url, _in_influx),
    ),
    Anchor(
        "influxdb-client, batching; store away",
        "`write` has returned",
        *("influx", lambda _: f"http://{HOST}:{free_ports(1)[0]}", _in_influx),
    ),
    Anchor(
        "paho's queue, QoS 1; broker there",
        "`publish` has returned",
        *("paho", lambda servers: str(servers.broker.port), _at_broker),
    ),
    Anchor(
        "paho's queue, QoS 1; broker away",
        "`publish` has returned",
        *("paho", lambda _: f"{free_ports(1)[0]}:away", _at_broker),
    ),
    Anchor(
        "packtap, events",
        "the commit has returned; one an event",
        *("packtap-events", _nowhere, _in_outbox),
    ),
    Anchor(
        "packtap, readings",
        "the commit has returned; one a batch",
        *("packtap-readings", _nowhere, _in_history),
    ),
    Anchor(
        "packtap, readings younger than `flush_s`",
        "they are in memory: promised to nobody (guarantee 4)",
        *("packtap-memory", _nowhere, _in_history),
        count=_IN_MEMORY,
    ),
)


def anchor_table(theirs: Path, told: Callable[[str], object]) -> Iterator[str]:
    """Yield the lines of the table.

    Args:
        theirs: the Python of the virtual environment with the gateway.
        told: is told what is being done.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="packtap-anchors-") as name:
        folder = Path(name)
        with (
            start_mosquitto(folder) as broker,
            start_influxdb(folder) as influxdb,
            start_v2_shim(folder, influxdb) as shim,
        ):
            for anchor in ANCHORS:
                told(f"anchor: {anchor.name}")
                rows.append(_row(anchor, folder, Servers(broker, influxdb, shim), theirs))
    yield from table(_HEAD, rows, words=2)


def _row(anchor: Anchor, parent: Path, servers: Servers, theirs: Path) -> Sequence[str]:
    bursts = [_burst(anchor, parent, servers, theirs) for _ in range(_BURSTS)]
    figures = [
        [accepted for accepted, _ in bursts],
        [found for _, found in bursts],
        [accepted - found for accepted, found in bursts],
    ]
    return anchor.name, anchor.taken, *(", ".join(map(str, each)) for each in figures)


def _burst(anchor: Anchor, parent: Path, servers: Servers, theirs: Path) -> tuple[int, int]:
    """Return how many were taken over, and how many are there afterwards."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    python = str(theirs) if anchor.theirs else sys.executable
    command = [python, str(_WRITER), anchor.writer, str(folder), anchor.address(servers)]
    with _listening(servers.broker, folder / "heard"):
        done = subprocess.run(
            [*command, str(anchor.count)], capture_output=True, check=False, text=True
        )
        if done.returncode != -signal.SIGKILL:
            raise ServerError(f"{anchor.name} ended by itself: {done.stderr[-2000:]}")
        accepted = int((folder / "accepted").read_text())
        _settled(lambda: (folder / "heard").stat().st_size)
    return accepted, anchor.found(folder, servers)


@contextmanager
def _listening(broker: Mosquitto, heard: Path) -> Iterator[None]:
    """Write down every number that the broker hands on."""
    subscribed = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    with heard.open("w", buffering=1) as file:

        def hear(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
            file.write(f"{json.loads(message.payload)['number']}\n")

        client.on_message = hear
        client.on_subscribe = lambda *_: subscribed.set()
        client.connect(HOST, broker.port)
        client.loop_start()
        client.subscribe(TOPIC, qos=1)
        if not subscribed.wait(30):
            raise ServerError("the witness could not subscribe")
        yield
        client.disconnect()
        client.loop_stop()


def _settled(count: Callable[[], int]) -> int:
    """Return what it counts once that has stood still for a while."""
    last, since = count(), time.monotonic()
    while time.monotonic() - since < _QUIET_S:
        time.sleep(0.2)
        now = count()
        if now != last:
            last, since = now, time.monotonic()
    return last


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--theirs", type=Path, required=True, help="Python with the gateway")
    arguments = parser.parse_args()
    for line in anchor_table(arguments.theirs, lambda text: print(text, file=sys.stderr)):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
