"""Rollups in a real InfluxDB: right, the same twice, and late readings are caught up."""

import json
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from packtap.cli import main
from packtap.rollups import ROLLUP_FIELDS
from packtap.wire import EventMessage, HealthMessage, LinkMessage, ReadingsMessage
from system.ingest_bench import (
    config_for,
    expected_cells,
    expected_pack,
    ingesting,
    publishing,
    ride,
)
from system.servers import InfluxDB, Mosquitto, V2Shim, eventually

_WINDOWS: Final = {"5m": 300_000, "1d": 86_400_000}
_MEASURED: Final = ("voltage_v", "current_a", "soc_pct", "temperature_1_c")
_LAST_ONLY: Final = ("status", "serial", "balancing_cells")
_Key = tuple[str, ...]


def _config_file(folder: Path, url: str, more: str = "") -> str:
    path = folder / "rollup.toml"
    path.write_text(
        f'[mqtt]\nhost = "127.0.0.1"\n[influx]\nurl = "{url}"\norg = "o"\n{more}'
        f'[dead_letter]\npath = "{folder}/dead.jsonl"\n'
    )
    return str(path)


def _spread(agent: int, day: int = 0) -> list[ReadingsMessage]:
    """Return a ride of which every message is seven minutes after the one before."""
    messages = ride(12, agent=agent, seed=day + 1)
    for number, message in enumerate(messages):
        by = number * 420_000 + day * 86_400_000
        message.t[:] = [t + by for t in message.t]
    return messages


def _expected(messages: Sequence[ReadingsMessage]) -> dict[tuple[str, _Key, int], dict[str, Any]]:
    """Return measurement, tags and begin of a window -> its fields, worked out from messages."""
    columns: dict[tuple[str, _Key, int, str], list[Any]] = defaultdict(list)
    for (pack, t), fields in sorted(expected_pack(messages).items()):
        for name, value in fields.items():
            for window, length in _WINDOWS.items():
                columns[f"pack_{window}", (pack,), t // length * length, name].append(value)
    for (pack, cell, t), value in sorted(expected_cells(messages).items(), key=lambda it: it[0][2]):
        for window, length in _WINDOWS.items():
            key = (f"cell_{window}", (pack, cell), t // length * length, "voltage_mv")
            columns[key].append(value)
    windows: dict[tuple[str, _Key, int], dict[str, Any]] = defaultdict(dict)
    for (measurement, tags, begin, name), values in columns.items():
        fields = windows[measurement, tags, begin]
        fields[f"{name}_last"] = values[-1]
        if name in (*_MEASURED, "voltage_mv"):
            fields[f"{name}_min"], fields[f"{name}_max"] = min(values), max(values)
            fields[f"{name}_mean"] = pytest.approx(sum(values) / len(values), rel=1e-9)
        else:
            assert name in _LAST_ONLY
    return windows


def _stored(influxdb: InfluxDB, policy: str = "") -> dict[tuple[str, _Key, int], dict[str, Any]]:
    windows = {}
    for measurement in ("pack_5m", "cell_5m", "pack_1d", "cell_1d"):
        for row in influxdb.rows(f"SELECT * FROM {policy}{measurement}"):
            tags = tuple(row.pop(name) for name in ("pack", "cell") if name in row)
            del row["agent"], row["bus"], row["site"]
            fields = {name: value for name, value in row.items() if value is not None}
            windows[measurement, tags, fields.pop("time")] = fields
    return windows


def _deliver(
    tmp_path: Path,
    broker: Mosquitto,
    url: str,
    messages: Sequence[ReadingsMessage | EventMessage | LinkMessage | HealthMessage],
) -> None:
    config = config_for(broker.port, tmp_path, url=url)
    with ingesting(config) as ingest, publishing(broker.port) as publisher:
        publisher.send(*messages)  # type: ignore[arg-type]
        eventually(lambda: ingest.stats().acknowledged == len(messages), "acknowledgements")
        assert ingest.stats().refused == 0


def _run(file: str, capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    words = ["ingest", "rollup", "--config", file, "--days", "7300", "--json", *more]
    assert main(words) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_rollups_are_what_the_readings_say_twice_and_after_late_ones(
    tmp_path: Path,
    mosquitto: Mosquitto,
    influxdb: InfluxDB,
    v2_shim: V2Shim,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = [*_spread(1), *_spread(2)]
    late = [message for message in first if message.seq in (3, 4)]
    later = _spread(1, day=40)
    file = _config_file(tmp_path, v2_shim.url)
    in_time = [each for each in first if each not in late] + later
    _deliver(tmp_path, mosquitto, v2_shim.url, in_time)
    told = _run(file, capsys)
    assert _stored(influxdb) == _expected(in_time)
    assert told[-1]["kind"] == "rollup_done"
    assert sum(each["windows"] for each in told[:-1]) == told[-1]["windows"] > 0

    assert _run(file, capsys) == [{"kind": "rollup_done", "days": 0, "windows": 0}]
    assert _stored(influxdb) == _expected(in_time)

    _deliver(tmp_path, mosquitto, v2_shim.url, late)  # weeks after younger ones
    days = [each["day"] for each in _run(file, capsys)[:-1]]
    assert days == ["2025-11-21", "2025-11-22"]  # the later day is left as it is
    assert _stored(influxdb) == _expected([*first, *later])

    influxdb.query("DROP MEASUREMENT cell_5m")
    assert len(_run(file, capsys, "--since", "2025-12-01")) == 3
    assert len(_run(file, capsys, "--since", "2025-11-20")) == 5
    assert _stored(influxdb) == _expected([*first, *later])


def test_the_service_goes_on_over_an_outage_and_makes_what_has_come_since(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    file = _config_file(tmp_path, v2_shim.url)
    messages = ride(4)
    log = tmp_path / "rollup.log"
    with log.open("wb") as out:
        service = subprocess.Popen(
            [
                *(sys.executable, "-m", "packtap", "ingest", "rollup", "--config", file),
                *("--days", "7300", "--every", "0.2", "--json"),
            ],
            stdout=out,
            stderr=out,
        )
    try:
        eventually(lambda: "rollup_done" in log.read_text(), "a first round", 120)
        influxdb.kill9()
        eventually(lambda: "rollups stopped" in log.read_text(), "the outage", 120)
        influxdb.start()
        _deliver(tmp_path, mosquitto, v2_shim.url, messages)
        eventually(lambda: _stored(influxdb) == _expected(messages), "the rollups", 120)
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0
    finally:
        service.kill()
        service.wait(60)


def test_types_of_rollups_are_those_of_their_rows(
    tmp_path: Path,
    mosquitto: Mosquitto,
    influxdb: InfluxDB,
    v2_shim: V2Shim,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _deliver(tmp_path, mosquitto, v2_shim.url, ride(2))
    _run(_config_file(tmp_path, v2_shim.url), capsys)
    words = {"float": "float", "integer": "integer", "text": "string", "cell_numbers": "string"}
    for measurement, fields in ROLLUP_FIELDS.items():
        keys = influxdb.rows(f'SHOW FIELD KEYS FROM "{measurement}"')
        assert keys
        for row in keys:
            assert row["fieldType"] == words[fields[row["fieldKey"]]], row["fieldKey"]


def test_rollups_can_stand_in_a_bucket_that_is_kept_longer(
    tmp_path: Path,
    mosquitto: Mosquitto,
    influxdb: InfluxDB,
    v2_shim: V2Shim,
    capsys: pytest.CaptureFixture[str],
) -> None:
    influxdb.query("CREATE RETENTION POLICY kept ON packtap DURATION 0s REPLICATION 1")
    messages = ride(3)
    _deliver(tmp_path, mosquitto, v2_shim.url, messages)
    file = _config_file(tmp_path, v2_shim.url, 'rollup_bucket = "packtap/kept"\n')
    _run(file, capsys)
    assert _stored(influxdb, "kept.") == _expected(messages)
    assert _stored(influxdb) == {}
    assert _run(file, capsys) == [{"kind": "rollup_done", "days": 0, "windows": 0}]


def test_a_store_that_is_away_is_said_and_an_sqlite_store_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _config_file(tmp_path, "http://127.0.0.1:9")
    assert main(["ingest", "rollup", "--config", file]) == 3
    assert "gives no answer to a query" in capsys.readouterr().out
    path = tmp_path / "sqlite.toml"
    path.write_text(
        f'[mqtt]\nhost = "127.0.0.1"\n[sqlite]\npath = "{tmp_path}/a.db"\n'
        f'[dead_letter]\npath = "{tmp_path}/dead.jsonl"\n'
    )
    assert main(["ingest", "rollup", "--config", str(path)]) == 2
    assert "rollups are for InfluxDB" in capsys.readouterr().err
