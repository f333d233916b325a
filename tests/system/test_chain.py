"""From bytes on the wire to rows in the store, with the real services and real servers."""

import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ninebot_bms import Chunk, Dialect
from packtap.emulated_bus import play
from packtap.model import Cause
from packtap.simulated.fault_rows import parse_fault
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.store import StoredReading
from recorded import recording
from system.chain import (
    SERIAL,
    Adapter,
    AgentProcess,
    IngestProcess,
    PackRows,
    adapters,
    committed,
    committed_events,
    committed_health,
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
    influx_events,
    influx_health,
    influx_packs,
    influx_types,
    victoria_cells,
    victoria_packs,
)
from system.servers import InfluxDB, Mosquitto, V2Shim, VictoriaMetrics, eventually

#: A pack that is not full, and a cell that is empty some 15 s after it has begun to fail.
FAILING = Plan(soc_pct=40.0, seed=7, faults=(parse_fault("cell_undervoltage:4", 2.0),))
TYPES = {float: "float", int: "integer", str: "string"}


@contextmanager
def chain(
    folder: Path,
    lines: Mapping[str, Adapter],
    broker: Mosquitto,
    url: str | None = None,
    **how: Any,
) -> Iterator[tuple[AgentProcess, IngestProcess]]:
    """Run ingest and agent; without `url` into an SQLite file."""
    with (
        running_ingest(folder, broker.port, url) as ingest,
        running_agent(folder, lines, broker.port, **how) as agent,
    ):
        yield agent, ingest


def ride(folder: Path, broker: Mosquitto, url: str | None = None) -> tuple[Path, IngestProcess]:
    """Ride until cells, identity and a fault have been reported; return store and ingest."""
    with adapters(folder, "esc", "bms") as lines, chain(folder, lines, broker, url) as parts:
        agent, ingest = parts
        with scooter(Wires(FAILING), lines):
            began = time.monotonic()
            eventually(
                lambda: time.monotonic() - began > 20 and "cell_undervoltage" in kinds(agent.store),
                "20 s of ride with an empty cell",
                60,
            )
        settled(agent)
        last_seq = messages(agent.store)[-1].seq
        eventually(lambda: ingest.stats()["stored"] >= last_seq, "the last message in the store")
        assert ingest.stats()["refused"] == 0
        assert not ingest.dead_letters.read_text()
    readings = committed(agent.store)
    # Not an empty comparison: what follows has to hold for a ride with everything in it.
    assert {one.pack for one in readings} >= {SERIAL}
    assert sum("voltage_v" in one.values for one in readings) >= 60
    assert len(rows_of_cells(readings)) >= 100
    return agent.store, ingest


def kinds(store: Path) -> set[str]:
    return {event["kind"] for event in committed_events(store)}


def assert_types(influxdb: InfluxDB, readings: list[StoredReading]) -> None:
    """Fail if a field has another type in the store than its values had in the agent."""
    types: dict[str, set[str]] = {}
    for fields in rows_of_packs(readings).values():
        for name, value in fields.items():
            types.setdefault(name, set()).add(TYPES[type(value)])
    assert {name: {kind} for name, kind in influx_types(influxdb, "pack").items()} == types
    assert influx_types(influxdb, "cell") in ({}, {"voltage_mv": "integer"})


def test_every_reading_and_event_of_a_ride_is_in_influxdb_with_value_name_type_and_time(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    store, _ = ride(tmp_path, mosquitto, v2_shim.url)
    readings = committed(store)
    assert influx_packs(influxdb) == rows_of_packs(readings)
    cells = influx_cells(influxdb)
    assert cells == rows_of_cells(readings)
    assert {cell for _, cell, _ in cells} == {f"{number:02}" for number in range(1, 11)}
    assert_types(influxdb, readings)
    events = committed_events(store)
    assert {event["cell"] for event in events if event["kind"] == "cell_undervoltage"} == {"04"}
    assert influx_events(influxdb) == events
    health = influx_health(influxdb)
    assert health == committed_health(store)
    causes = {cause for measurement, pack, cause, _ in health if measurement == "diagnosis"}
    assert causes == {cause.value for cause in Cause}
    assert any(
        measurement == "pack" and "outlook" in row for (measurement, *_), row in health.items()
    )


def without(rows: PackRows, fields: set[str]) -> PackRows:
    """Return the rows without these fields, and no empty row."""
    kept = {
        key: {name: value for name, value in row.items() if name not in fields}
        for key, row in rows.items()
    }
    return {key: row for key, row in kept.items() if row}


def test_every_number_of_a_ride_is_in_victoria_metrics_with_value_name_and_time(
    tmp_path: Path, mosquitto: Mosquitto, victoria_metrics: VictoriaMetrics
) -> None:
    store, _ = ride(tmp_path, mosquitto, victoria_metrics.url)
    readings = committed(store)
    rows = rows_of_packs(readings)
    texts = {name for row in rows.values() for name, value in row.items() if isinstance(value, str)}
    expected = without(rows, texts)
    found = without(victoria_packs(victoria_metrics), texts)
    assert found == expected
    assert victoria_cells(victoria_metrics) == rows_of_cells(readings)


def test_every_reading_and_event_of_a_ride_is_in_the_sqlite_store(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    store, ingest = ride(tmp_path, mosquitto)
    assert committed(ingest.database) == committed(store)
    assert committed_events(ingest.database) == committed_events(store)
    sent = [(one.seq, one.kind, one.pack, one.t, one.body) for one in messages(store)]
    stored = [(one.seq, one.kind, one.pack, one.t, one.body) for one in messages(ingest.database)]
    assert stored == sent
    assert [seq for seq, *_ in stored] == list(range(1, len(stored) + 1))


@pytest.mark.parametrize("dialect", list(Dialect))
def test_cells_and_identity_of_a_pack_on_the_bench_reach_influxdb(
    dialect: Dialect, tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    with (
        adapters(tmp_path, "bms") as lines,
        chain(tmp_path, lines, mosquitto, v2_shim.url, mode="bench") as (agent, ingest),
    ):
        with scooter(Wires(Plan(seed=3), dialect, is_bench=True), lines):
            eventually(lambda: len(rows_of_cells(committed(agent.store))) >= 50, "5 reads of cells")
            eventually(
                lambda: any("serial" in one.values for one in committed(agent.store)), "the serial"
            )
        settled(agent)
        last_seq = messages(agent.store)[-1].seq
        eventually(lambda: ingest.stats()["stored"] >= last_seq, "the last message in the store")
    readings = committed(agent.store)
    assert influx_packs(influxdb) == rows_of_packs(readings)
    cells = influx_cells(influxdb)
    assert cells == rows_of_cells(readings)
    assert {cell for pack, cell, _ in cells if pack == SERIAL} == {
        f"{number:02}" for number in range(1, 11)
    }
    assert_types(influxdb, readings)


# --- the genuine recording ------------------------------------------------------------------------


def recorded_replies() -> list[dict[str, Any]]:
    """Return the values of every reply of the recording, read off its bytes by hand.

    Not by the code under test: `55 AA`, length, address 0x25, command 0x01, register, data; the
    words of registers 0x10 (serial, firmware) and 0x30 as protocol.md describes them.
    """
    wire = b"".join(data for _, line, data in recording("m365_esc_bms") if line == "bms")
    replies = []
    start = wire.find(b"\x55\xaa")
    while start >= 0:
        length, address, command, register = wire[start + 2 : start + 6]
        data = wire[start + 6 : start + 4 + length]
        body = wire[start + 2 : start + 4 + length]
        (check,) = struct.unpack_from("<H", wire, start + 4 + length)
        if check != ~sum(body) & 0xFFFF:
            # The last frame of all: power went off before its last byte.
            assert start + 6 + length >= len(wire) - 2
            break
        assert (address, command) == (0x25, 0x01)
        if register == 0x10:
            replies.append({"serial": data[:14].decode(), "firmware": _firmware(data[14:])})
        else:
            assert register == 0x30
            status, left, soc, current, voltage, first, second = struct.unpack("<HHHhHBB", data)
            replies.append({
                "status": status,
                "remaining_capacity_mah": left,
                "soc_pct": soc,
                "current_a": current / 100,
                "voltage_v": voltage / 100,
                "temperature_1_c": first - 20,
                "temperature_2_c": second - 20,
            })  # fmt: skip
        start = wire.find(b"\x55\xaa", start + 6 + length)
    return replies


def _firmware(word: bytes) -> str:
    return f"{word[1]:x}.{word[0] >> 4}.{word[0] & 15}"


def play_recording(lines: Mapping[str, Adapter]) -> None:
    chunks = [Chunk(t, line, data) for t, line, data in recording("m365_esc_bms")]
    played = play(chunks, dict(lines), threading.Event())
    assert played == sum(len(chunk.data) for chunk in chunks)


def replay_through(
    folder: Path, broker: Mosquitto, url: str | None = None
) -> tuple[Path, IngestProcess, list[tuple[int, int]]]:
    """Play both wires at line rate; return store, ingest and when each reply was on the wire."""
    with adapters(folder, "esc", "bms") as lines, chain(folder, lines, broker, url) as parts:
        agent, ingest = parts
        play_recording(lines)
        eventually(
            lambda: agent.now()["counters"]["replies"] == 49, "all replies seen by the agent"
        )
        settled(agent)
        last_seq = messages(agent.store)[-1].seq
        eventually(lambda: ingest.stats()["stored"] >= last_seq, "the last message in the store")
    times = [
        (began, ended)
        for began, ended, data in lines["bms"].written
        if data.startswith(b"\x55\xaa")
    ][:49]  # behind them is the frame that power-off cut
    return agent.store, ingest, times


def assert_is_recording(
    rows: list[tuple[int, dict[str, Any]]], times: list[tuple[int, int]]
) -> None:
    """Fail unless these are the 49 replies, in order, each at the time at which it was played."""
    replies = recorded_replies()
    assert len(replies) == len(times) == 49
    assert [values for _, values in rows] == replies
    late_ms = [t - ended for (t, _), (_, ended) in zip(rows, times, strict=True)]
    # Read within about 20 ms of its last byte; a machine that is busy with other tests is later.
    assert all(-5 <= late <= 2000 for late in late_ms), late_ms


def test_every_reply_of_a_genuine_recording_is_a_row_in_influxdb(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    store, _, times = replay_through(tmp_path, mosquitto, v2_shim.url)
    found = influx_packs(influxdb)
    assert found == rows_of_packs(committed(store))
    assert {pack for pack, _ in found} == {"3JAGJ17A8D3660"}
    assert_is_recording(sorted(((t, row) for (_, t), row in found.items()), key=_time), times)
    assert_types(influxdb, committed(store))
    # A stock ESC never asks for cells, and this scooter is sound.
    assert influx_cells(influxdb) == {}
    assert {event["severity"] for event in influx_events(influxdb)} <= {"info"}
    assert influx_events(influxdb) == committed_events(store)


def test_every_reply_of_a_genuine_recording_is_in_victoria_metrics(
    tmp_path: Path, mosquitto: Mosquitto, victoria_metrics: VictoriaMetrics
) -> None:
    _, _, times = replay_through(tmp_path, mosquitto, victoria_metrics.url)
    rows = victoria_packs(victoria_metrics)
    for reply in (found := sorted(((t, row) for (_, t), row in rows.items()), key=_time))[:1]:
        # Texts become the number 0 in this store.
        assert reply[1] == {"serial": 0, "firmware": 0}
        reply[1].update({"serial": "3JAGJ17A8D3660", "firmware": "1.1.5"})
    assert_is_recording(found, times)


def test_every_reply_of_a_genuine_recording_is_a_reading_in_the_sqlite_store(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    store, ingest, times = replay_through(tmp_path, mosquitto)
    readings = committed(ingest.database)
    assert readings == committed(store)
    assert_is_recording([(one.t_ms, dict(one.values)) for one in readings], times)


def _time(row: tuple[int, dict[str, Any]]) -> int:
    return row[0]
