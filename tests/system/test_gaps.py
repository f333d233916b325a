"""The proof in a real InfluxDB: `packtap gaps` and the queries that the documents print."""

import json
import re
from pathlib import Path

import pytest

from packtap.cli import main
from packtap.wire import EventMessage, LinkMessage, ReadingsMessage
from system.ingest_bench import (
    config_for,
    event,
    head,
    ingesting,
    publishing,
    ride,
)
from system.servers import InfluxDB, Mosquitto, V2Shim, eventually

ROOT = Path(__file__).parents[2]
T = 1763800000123


def _queries() -> list[str]:
    text = (ROOT / "deploy" / "DELIVERY.md").read_text(encoding="utf-8")
    return re.findall(r"^SELECT .+$", text, re.MULTILINE)


def _config_file(folder: Path, broker: int, url: str) -> Path:
    path = folder / "ingest.toml"
    path.write_text(
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker}\n'
        f'[influx]\nurl = "{url}"\nbucket = "packtap"\norg = "o"\n'
        f'[dead_letter]\npath = "{folder}/dead.jsonl"\n'
    )
    return path


def test_the_proof_stands_in_influxdb_and_names_the_gap(
    tmp_path: Path,
    mosquitto: Mosquitto,
    influxdb: InfluxDB,
    v2_shim: V2Shim,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = ride(30, agent=1)
    holed = [each for each in ride(30, agent=2) if each.seq not in (4, 5, 9, 20)]
    at_once = [event(1, 31, T), event(1, 32, T), event(1, 33, T, "cleared")]
    told = [
        LinkMessage(**head(1, 34), t=[T], counters={"outbox_first_seq": 34}),
        LinkMessage(
            **head(2, 31), t=[T], counters={"outbox_first_seq": 20}, gaps=[(4, 5, 40, T - 9)]
        ),
    ]
    config = config_for(mosquitto.port, tmp_path, url=v2_shim.url)
    sent: list[ReadingsMessage | EventMessage | LinkMessage] = [*whole, *holed, *at_once, *told]
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        publisher.send(*sent)
        eventually(lambda: ingest.stats().acknowledged == len(sent), "acknowledgements")
        publisher.send(*at_once, *told)  # a redelivery changes nothing
        eventually(lambda: ingest.stats().acknowledged == len(sent) + 5, "acknowledgements")
        assert ingest.stats().refused == 0
    file = _config_file(tmp_path, mosquitto.port, v2_shim.url)

    assert main(["gaps", "--config", str(file), "--agent", "tap-01"]) == 0
    assert "delivered 100 %, 0 gaps; 34 messages of 34, seq 1-34" in capsys.readouterr().out
    assert main(["gaps", "--config", str(file), "--json"]) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["agent"], first["gaps"]) == ("tap-01", 0)
    assert second["lost"] == [{"first_seq": 4, "last_seq": 5, "samples": 40, "from_ms": T - 9}]
    assert second["missing"] == [{"first_seq": 9, "last_seq": 9}]
    assert second["waiting"] == [{"first_seq": 20, "last_seq": 20}]
    assert main(["gaps", "--config", str(file), "--days", "0.001"]) == 3  # nothing so new
    assert "no message has arrived" in capsys.readouterr().out

    totals, gap_list = (influxdb.rows(query) for query in _queries())
    absent = {row["agent"]: row["absent"] for row in totals}
    assert absent == {"tap-01": 0, "tap-02": 4}
    assert [(row["agent"], row["first_seq"], row["last_seq"]) for row in gap_list] == [
        ("tap-02", 4, 5)
    ]


def test_a_store_that_does_not_answer_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _config_file(tmp_path, 1883, "http://127.0.0.1:9")
    assert main(["gaps", "--config", str(file)]) == 3
    assert "gives no answer to a query" in capsys.readouterr().out
