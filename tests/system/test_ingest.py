"""Ingest between a real broker and real stores: everything arrives, right, and once."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from packtap.store import Store
from packtap.wire import LinkMessage, ReadingsMessage
from system.ingest_bench import (
    SITE,
    config_for,
    dead_letters,
    event,
    expected_cells,
    expected_pack,
    head,
    ingesting,
    pack_name,
    publishing,
    ride,
)
from system.servers import (
    InfluxDB,
    Mosquitto,
    V2Shim,
    VictoriaMetrics,
    eventually,
    start_v2_shim,
)


def _pack_rows(influxdb: InfluxDB) -> dict[tuple[str, int], dict[str, object]]:
    """Return every row of measurement pack without its tags and empty fields."""
    rows: dict[tuple[str, int], dict[str, object]] = {}
    for row in influxdb.rows("SELECT * FROM pack"):
        key = (row.pop("pack"), row.pop("time"))
        assert (row.pop("site"), row.pop("bus")) == (SITE, "main")
        assert row.pop("agent") == f"tap-{int(key[0][-3:]):02}"
        assert key not in rows
        rows[key] = {name: value for name, value in row.items() if value is not None}
    return rows


def _cell_rows(influxdb: InfluxDB) -> dict[tuple[str, str, int], int]:
    return {
        (row["pack"], row["cell"], row["time"]): row["voltage_mv"]
        for row in influxdb.rows("SELECT pack, cell, voltage_mv FROM cell")
    }


def test_every_reading_of_two_agents_is_in_influxdb_with_value_name_and_time(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    messages = ride(15, agent=1) + ride(15, agent=2)
    config = config_for(mosquitto.port, tmp_path, url=v2_shim.url)
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        publisher.send(*messages)
        eventually(lambda: ingest.stats().acknowledged == len(messages), "acknowledgements")
        stats = ingest.stats()
    assert _pack_rows(influxdb) == expected_pack(messages)
    assert _cell_rows(influxdb) == expected_cells(messages)
    assert (stats.stored, stats.readings) == (30, 600)
    assert (stats.refused, stats.retries) == (0, 0)


def test_types_of_fields_are_those_of_the_rows_although_the_first_values_could_mislead(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    first, second = ride(2, samples=1)
    first.columns["voltage_v"][0] = 36
    second.columns["voltage_v"][0] = 36.55
    config = config_for(mosquitto.port, tmp_path, url=v2_shim.url)
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        for seq, message in enumerate((first, second), start=1):
            publisher.send(message)
            eventually(lambda seq=seq: ingest.stats().acknowledged == seq, "acknowledgement")  # type: ignore[misc]
        assert ingest.stats().refused == 0
    fields = {
        row["fieldKey"]: row["fieldType"] for row in influxdb.rows("SHOW FIELD KEYS FROM pack")
    }
    assert fields == {
        "balancing_cells": "string",
        "current_a": "float",
        "serial": "string",
        "soc_pct": "integer",
        "status": "integer",
        "temperature_1_c": "integer",
        "voltage_v": "float",
    }
    assert _pack_rows(influxdb) == expected_pack([first, second])


def test_events_and_counters_are_in_influxdb_with_both_ends(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    t = 1763800000123
    raised, cleared = event(1, 1, t), event(1, 2, t + 60_000, "cleared")
    link = LinkMessage(**head(1, 3), t=[t], counters={"frames": 120, "rejects_checksum": 1})
    config = config_for(mosquitto.port, tmp_path, url=v2_shim.url)
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        publisher.send(raised, cleared, link)
        eventually(lambda: ingest.stats().acknowledged == 3, "acknowledgements")
    tags = {"agent": "tap-01", "bus": "main", "pack": pack_name(1), "site": SITE}
    same = {
        **tags,
        "cell": "07",
        "kind": "cell_overvoltage",
        "severity": "critical",
        "id": raised.id,
        "limit": 4250.0,
        "value": 4270.0,
        "text": raised.text,
    }
    assert influxdb.rows("SELECT * FROM event") == [
        {"time": t, "state": 1, **same},
        {"time": t + 60_000, "state": 0, **same},
    ]
    assert influxdb.rows("SELECT * FROM link") == [
        {"time": t, "frames": 120, "rejects_checksum": 1, **tags}
    ]


def test_every_number_is_in_victoria_metrics_once_although_published_twice(
    tmp_path: Path, mosquitto: Mosquitto, victoria_metrics: VictoriaMetrics
) -> None:
    messages = ride(10)
    config = config_for(mosquitto.port, tmp_path, url=victoria_metrics.url)
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        publisher.send(*messages)
        publisher.send(*messages)
        eventually(lambda: ingest.stats().acknowledged == 20, "acknowledgements")
    expected: dict[tuple[str, str, int], float] = {}
    for (_, t), fields in expected_pack(messages).items():
        for name, value in fields.items():
            if not isinstance(value, str):  # this store keeps no texts
                expected[f"pack_{name}", "", t] = value
    for (_, cell, t), value in expected_cells(messages).items():
        expected["cell_voltage_mv", cell, t] = value
    found: dict[tuple[str, str, int], float] = {}
    for series in victoria_metrics.export('{__name__=~"pack_.*|cell_.*"}'):
        tags = series["metric"]
        if tags["__name__"] in ("pack_serial", "pack_balancing_cells"):
            continue
        assert (tags["site"], tags["agent"], tags["pack"]) == (SITE, "tap-01", pack_name(1))
        for t, value in zip(series["timestamps"], series["values"], strict=True):
            key = (tags["__name__"], tags.get("cell", ""), t)
            assert key not in found
            found[key] = value
    assert found.keys() == expected.keys()
    assert all(math.isclose(found[key], expected[key], rel_tol=1e-12) for key in expected)


def test_every_reading_and_event_is_in_the_sqlite_store_once_although_published_twice(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    messages = ride(10, agent=1) + ride(10, agent=2)
    raised = event(1, 11, messages[9].t[-1])
    config = config_for(mosquitto.port, tmp_path)
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        for _ in range(2):
            publisher.send(*messages, raised)
        eventually(lambda: ingest.stats().acknowledged == 42, "acknowledgements")
    expected = {
        (message.pack, t): {
            name: tuple(value) if isinstance(value, list) else value
            for name, column in message.columns.items()
            if (value := column[index]) is not None
        }
        for message in messages
        for index, t in enumerate(message.t)
    }
    assert config.sqlite is not None
    with Store.open_read_only(config.sqlite.path) as store:
        readings = list(store.readings())
        assert {(one.pack, one.t_ms): dict(one.values) for one in readings} == expected
        assert len(readings) == store.rows() == len(expected)
        assert [one.id for one in store.open_events()] == [raised.id]


def test_readings_of_an_agent_whose_store_was_set_back_are_all_in_the_sqlite_store(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    before = ride(10, agent=1)
    # The card was restored from a copy made at message 4: numbers 5 to 10 are given once more.
    after = [
        replace(message, boot="after", t=[t + 3_600_000 for t in message.t])
        for message in before[4:]
    ]
    config = config_for(mosquitto.port, tmp_path)
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        publisher.send(*before, *after, *after)
        eventually(lambda: ingest.stats().acknowledged == 22, "acknowledgements")
    assert config.sqlite is not None
    with Store.open_read_only(config.sqlite.path) as store:
        times = sorted(one.t_ms for one in store.readings())
    assert times == sorted(t for message in before + after for t in message.t)


def test_partial_write_refuses_the_message_with_the_old_point_and_stores_all_others(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    influxdb.query("CREATE RETENTION POLICY years ON packtap DURATION 260w REPLICATION 1")
    messages = ride(10)
    old = ReadingsMessage(
        **head(1, 99),
        t=[1_577_836_800_000, messages[-1].t[-1] + 1000],
        columns={"soc_pct": [1, 99]},
    )
    config = config_for(mosquitto.port, tmp_path, url=v2_shim.url, bucket="packtap/years")
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        publisher.send(*messages[:5], old, *messages[5:])
        eventually(lambda: ingest.stats().acknowledged == 11, "acknowledgements")
        stats = ingest.stats()
    (letter,) = dead_letters(config)
    assert "400" in letter["reason"]
    assert "points beyond retention policy dropped=1" in letter["reason"]
    assert '"seq":99' in letter["payload"]
    assert (stats.refused, stats.stored, stats.retries) == (1, 10, 0)
    rows = influxdb.rows("SELECT soc_pct FROM years.pack")
    assert len(rows) == 201  # the good point of the refused message is stored too
    assert rows[-1]["soc_pct"] == 99


def test_type_conflict_with_what_another_writer_left_refuses_for_good_without_blocking(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    (message,) = ride(1, samples=3)
    config = config_for(mosquitto.port, tmp_path, url=v2_shim.url)
    with publishing(mosquitto.port) as publisher, ingesting(config) as ingest:
        _write_text_as_soc(v2_shim, message.t[0])
        publisher.send(message)
        eventually(lambda: ingest.stats().acknowledged == 1, "acknowledgement")
    (letter,) = dead_letters(config)
    assert "field type conflict" in letter["reason"]


def _write_text_as_soc(v2_shim: V2Shim, t: int) -> None:
    from influxdb_client.client.influxdb_client import InfluxDBClient
    from influxdb_client.client.write_api import SYNCHRONOUS
    from influxdb_client.domain.write_precision import WritePrecision

    with InfluxDBClient(url=v2_shim.url, token="", org="o") as client:
        writer = client.write_api(write_options=SYNCHRONOUS)
        line = f'pack,site=elsewhere soc_pct="full" {t}'
        writer.write("packtap", "o", line, write_precision=WritePrecision.MS)


def test_hostile_messages_among_good_ones_are_refused_counted_and_harm_nobody(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    messages = ride(6)
    place = f"packtap/v1/{SITE}/tap-01/main"
    hostile = [
        (f"{place}/readings", b"\xff\xfe"),
        (f"{place}/readings", b"[" * 500_000),
        (f"{place}/readings", b" " * 4_200_000),
        (f"{place}/readings", b'{"v":1,"agent":"tap-02"}'),
        (f"{place}/event", b'{"v":2}'),
        (f"{place}/weather", b"{}"),
        ("packtap/v1/x", b"{}"),
    ]
    config = config_for(mosquitto.port, tmp_path, url=v2_shim.url)
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        publisher.send(*messages[:3], wait=False)
        for topic, payload in hostile:
            publisher.raw(topic, payload)
        publisher.send(*messages[3:])
        eventually(lambda: ingest.stats().acknowledged == 13, "acknowledgements")
        stats = ingest.stats()
    assert (stats.refused, stats.stored) == (7, 6)
    assert _pack_rows(influxdb) == expected_pack(messages)
    assert len(dead_letters(config)) == 7


def test_status_state_and_identity_are_acknowledged_counted_and_not_stored(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    config = config_for(mosquitto.port, tmp_path, url=v2_shim.url)
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        for kind in ("status", "state", "pack"):
            payload = b'{"v":1,"anything":[1]}'
            publisher.raw(f"packtap/v1/{SITE}/tap-01/main/{kind}", payload, retain=True)
        eventually(lambda: ingest.stats().acknowledged == 3, "acknowledgements")
        assert ingest.stats().ignored == 3
    assert not config.dead_letter.path.read_text()
    assert influxdb.query("SHOW MEASUREMENTS") == []


def test_two_ingests_of_one_group_share_the_messages_and_lose_none(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    messages = ride(40, samples=5)
    one, two = (
        config_for(mosquitto.port, tmp_path, url=v2_shim.url, client_id=name)
        for name in ("ingest-a", "ingest-b")
    )
    with (
        ingesting(one) as first,
        ingesting(two) as second,
        publishing(mosquitto.port) as publisher,
    ):
        publisher.send(*messages)
        eventually(
            lambda: first.stats().acknowledged + second.stats().acknowledged == 40,
            "acknowledgements",
        )
        assert min(first.stats().stored, second.stats().stored) > 0
    assert _pack_rows(influxdb) == expected_pack(messages)


def test_wrong_token_is_kept_and_told_until_the_store_accepts_it(
    tmp_path: Path,
    mosquitto: Mosquitto,
    influxdb: InfluxDB,
    caplog: pytest.LogCaptureFixture,
) -> None:
    messages = ride(5)
    with start_v2_shim(tmp_path, influxdb, token="right") as shim:
        config = config_for(mosquitto.port, tmp_path, url=shim.url)
        with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
            publisher.send(*messages)
            eventually(lambda: ingest.stats().retries >= 2, "two tries")
            assert ingest.stats().acknowledged == 0
            conf = shim.directory / "nginx.conf"
            conf.write_text(conf.read_text().replace('"Token right"', '"Token "'))
            conf.write_text(conf.read_text().replace('!= "Token "', '= "nobody"'))
            shim.stop()
            shim.restart()
            eventually(lambda: ingest.stats().acknowledged == 5, "acknowledgements")
    told = [line for line in caplog.messages if "401" in line]
    assert len(told) == 1
    assert "check influx.token_file" in told[0]
    assert _pack_rows(influxdb) == expected_pack(messages)
