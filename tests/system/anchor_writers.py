"""One process of the anchors: hands over a burst, then kills itself with signal 9 at once.

    python anchor_writers.py NAME FOLDER ADDRESS COUNT

Each of the burst carries its own number. A thing counts as accepted as the words beside each
function say. How many were accepted stands in FOLDER/accepted before the process dies; the file is
written after the last call has returned, and the signal is the next thing that happens.

Runs in a virtual environment of its own: the packages that it compares with are not packtap's.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

HOST: Final = "127.0.0.1"
TOPIC: Final = "anchors/burst"
MEASUREMENT: Final = "burst"


def thingsboard(folder: Path, _: str, count: int) -> int:
    """Accepted: `SQLiteEventStorage.put` has returned True. Default settings."""
    # Installed only where this function runs.
    module = import_module("thingsboard_gateway.storage.sqlite.sqlite_event_storage")
    logger: Any = logging.getLogger("storage")
    logger.trace = lambda *_words, **_more: None  # the gateway's own level
    config = {"data_file_path": f"{folder}/data/"}
    storage = module.SQLiteEventStorage(config, logger, threading.Event())
    return sum(storage.put(event(number)) is True for number in range(count))


def influx(_: Path, address: str, count: int) -> int:
    """Accepted: `WriteApi.write` has returned. Default batching (1000 points, a second)."""
    from influxdb_client.client.influxdb_client import InfluxDBClient

    writer = InfluxDBClient(url=address, token="", org="bench").write_api()
    for number in range(count):
        line = f"{MEASUREMENT} number={number}i {1_790_000_000_000 + number}"
        writer.write("packtap", "bench", line, write_precision="ms")  # type: ignore[arg-type]
    return count


def paho(_: Path, address: str, count: int) -> int:
    """Accepted: `publish` (QoS 1) has returned success, or "no connection, queued"."""
    from paho.mqtt import client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="burst")
    if address.endswith(":away"):
        client.connect_async(HOST, int(address.split(":", maxsplit=1)[0]))
    else:
        client.connect(HOST, int(address))
    client.loop_start()
    while not address.endswith(":away") and not client.is_connected():
        time.sleep(0.01)
    taken = (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN)
    return sum(client.publish(TOPIC, event(number), qos=1).rc in taken for number in range(count))


def packtap_events(folder: Path, _: str, count: int) -> int:
    """Accepted: `Keeper.save` has returned True; one call an event, as the agent does it."""
    from packtap.model import Event, EventState, Severity

    keeper = _keeper(folder)
    accepted = 0
    for number in range(count):
        keeper.add_event(
            Event(
                id=f"burst-{number}",
                t=time.monotonic(),
                pack="PACK",
                kind="cell_undervoltage",
                severity=Severity.WARNING,
                state=EventState.RAISED,
                cell=4,
                value=float(number),
                limit=2800.0,
                unit="mV",
                text=event(number),
            )
        )
        accepted += keeper.save()
    return accepted


def packtap_readings(folder: Path, _: str, count: int) -> int:
    """Accepted: `Keeper.save` has returned True; it is called when the keeper asks, and at last."""
    keeper = _keeper(folder)
    accepted = waiting = 0
    for number in range(count):
        waiting += 1
        if keeper.add_reading("PACK", _snapshot(number)) or number == count - 1:
            keeper.close_batches()
            if keeper.save():
                accepted, waiting = accepted + waiting, 0
    return accepted


def packtap_memory(folder: Path, _: str, count: int) -> int:
    """Accepted: `Keeper.add_reading` has returned; `flush_s` has not passed, nothing is saved."""
    keeper = _keeper(folder)
    for number in range(count):
        keeper.add_reading("PACK", _snapshot(number))
    return count


def event(number: int) -> str:
    """Return one of the burst: about as large as an event of a scooter."""
    return json.dumps({
        "number": number, "device": "3JDEA24M1D0815", "kind": "cell_undervoltage", "cell": 4,
        "ts": 1_790_000_000_000 + number, "value": 2790, "limit": 2800, "unit": "mV",
    })  # fmt: skip


def _keeper(folder: Path) -> Any:
    from packtap.clock import Clock
    from packtap.config import load_agent
    from packtap.keeping import Keeper

    file = folder / "agent.toml"
    file.write_text(
        'site = "workshop"\nagent = "tap-01"\nbus = "bay-1"\nclock = "trusted"\n'
        f'[lines.bms]\nport = "/dev/ttyS0"\n[mqtt]\nhost = "{HOST}"\n'
        f'[store]\npath = "{folder}/agent.db"\n'
    )
    return Keeper(load_agent(file), Clock("trusted"))


def _snapshot(number: int) -> Any:
    from ninebot_bms import Snapshot

    t = 1000.0 + number
    values = {"remaining_capacity_mah": number, "voltage_v": 36.5, "current_a": 4.2}
    fresh = frozenset(values)
    return Snapshot(t, 0x22, values, dict.fromkeys(values, t), fresh, None, ())


WRITERS: Final[dict[str, Callable[[Path, str, int], int]]] = {
    "thingsboard": thingsboard,
    "influx": influx,
    "paho": paho,
    "packtap-events": packtap_events,
    "packtap-readings": packtap_readings,
    "packtap-memory": packtap_memory,
}

if __name__ == "__main__":
    name, where, server, how_many = sys.argv[1:]
    done = WRITERS[name](Path(where), server, int(how_many))
    # No rename, no fsync: a kill is no power cut, and what is compared must not gain time.
    (Path(where) / "accepted").write_text(str(done))
    os.kill(os.getpid(), signal.SIGKILL)
