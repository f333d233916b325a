"""Every panel, variable, annotation and alert query against a real InfluxDB, filled by ingest."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from ninebot_bms.registers import REGISTERS
from packtap.cli import main
from packtap.derived import DERIVED
from packtap.wire import TOPIC_ROOT, HealthMessage, encode
from system.dashboard_fleet import Grafana, fleet_messages, now_ms
from system.ingest_bench import SITE, config_for, ingesting, kind_of, pack_name, publishing
from system.servers import (
    InfluxDB,
    eventually,
    start_influxdb,
    start_mosquitto,
    start_v2_shim,
)

GRAFANA: Final = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARDS: Final = {
    path.stem: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("dashboards/*.json"))
}
RULES: Final = json.loads((GRAFANA / "provisioning/alerting/packtap-rules.json").read_text())
_NOT_IN_3: Final = re.compile(
    r"\b(INTEGRAL|SAMPLE|HOLT_WINTERS\w*|CHANDE\w*|\w*EXPONENTIAL\w*|KAUFMANS\w*|"
    r"RELATIVE_STRENGTH\w*)\s*\(|\b(SLIMIT|SOFFSET|INTO)\b|SHOW\s+(SERIES|.*CARDINALITY)",
    re.IGNORECASE,
)
#: Grafana's name of a unit -> that of the rows.
_UNITS: Final = {
    "mvolt": "mV", "volt": "V", "amp": "A", "celsius": "degC", "percent": "%", "mamph": "mAh",
    "h": "h", "suffix: mOhm": "mOhm", "suffix: %/h": "%/h", "suffix: %/week": "%/week",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Filled:
    influxdb: InfluxDB
    grafana: Grafana
    now_ms: int


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Filled]:
    """A store into which the real ingest has put a small fleet, with its rollups."""
    tmp = tmp_path_factory.mktemp("dashboards")
    now = now_ms()
    messages = fleet_messages(now)
    with (
        start_mosquitto(tmp) as broker,
        start_influxdb(tmp) as influxdb,
        start_v2_shim(tmp, influxdb) as shim,
    ):
        config = config_for(broker.port, tmp, url=shim.url, max_messages=500)
        with ingesting(config) as ingest, publishing(broker.port) as publisher:
            for each in messages:
                kind = "health" if isinstance(each, HealthMessage) else kind_of(each)
                topic = f"{TOPIC_ROOT}/{SITE}/{each.agent}/{each.bus}/{kind}"
                publisher.raw(topic, encode(each))
            eventually(
                lambda: ingest.stats().acknowledged == len(messages), "acknowledgements", 120
            )
            assert ingest.stats().refused == 0
        file = tmp / "rollup.toml"
        file.write_text(
            f'[mqtt]\nhost = "127.0.0.1"\n[influx]\nurl = "{shim.url}"\n'
            f'[dead_letter]\npath = "{tmp}/dead.jsonl"\n'
        )
        assert main(["ingest", "rollup", "--config", str(file)]) == 0
        yield _Filled(influxdb, Grafana(influxdb, now), now)


def _panels() -> list[tuple[str, dict[str, Any]]]:
    return [(uid, panel) for uid, each in DASHBOARDS.items() for panel in each["panels"]]


def _panel_id(value: object) -> str:
    return value["title"] if isinstance(value, dict) else str(value)


def test_the_committed_files_are_what_the_rows_make(tmp_path: Path) -> None:
    assert main(["dashboards", str(GRAFANA), "--check"]) == 0
    assert main(["dashboards", str(tmp_path), "--check"]) == 1
    assert main(["dashboards", str(tmp_path)]) == 0
    assert main(["dashboards", str(tmp_path), "--check", "--json"]) == 0


@pytest.mark.parametrize(("uid", "panel"), _panels(), ids=_panel_id)
def test_every_panel_shows_every_pack_within_its_range(
    uid: str, panel: dict[str, Any], filled: _Filled
) -> None:
    dashboard = DASHBOARDS[uid]
    start = filled.grafana.start_ms(dashboard)
    one = {"site": [SITE], "agent": ["tap-01", "tap-02"], "pack": [pack_name(2)]}
    nobody = {**one, "pack": ["no such pack"]}
    for target in panel["targets"]:
        assert not _NOT_IN_3.search(target["query"])
        windows = ("5m", "1d") if "${window}" in target["query"] else ("5m",)
        for window in windows:
            text = filled.grafana.filled(target["query"], dashboard, one, window)
            rows = filled.influxdb.rows(text)
            assert rows, text
            # A window of time begins before the range that it reaches into.
            assert all(start - 86_400_000 < row["time"] <= filled.now_ms for row in rows), text
            values = [
                value
                for row in rows
                for name, value in row.items()
                if name not in ("time", "site", "agent", "bus", "pack", "cell", "kind", "severity")
            ]
            assert any(value is not None for value in values), text
            if '"pack" =~' in text:
                other = filled.grafana.filled(target["query"], dashboard, nobody, window)
                assert filled.influxdb.rows(other) == []


@pytest.mark.parametrize(("uid", "panel"), _panels(), ids=_panel_id)
def test_every_panel_has_the_unit_of_its_rows_and_says_what_it_means(
    uid: str, panel: dict[str, Any]
) -> None:
    del uid
    units = {row.name: row.unit for row in REGISTERS if row.unit}
    units |= {row.name: row.unit for row in DERIVED if row.unit}
    units["voltage_mv"] = "mV"
    if panel["type"] != "table":
        shown = {
            units[base]
            for target in panel["targets"]
            if "count(" not in target["query"]
            for name in re.findall(r'\("(\w+?)"\)', target["query"])
            if (base := re.sub(r"_(min|max|mean|last)$", "", name)) in units
        }
        assert len(shown) <= 1
        for unit in shown:
            assert _UNITS[panel["fieldConfig"]["defaults"]["unit"]] == unit
    assert len(panel["description"]) > 10
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"]


def test_the_panels_of_the_fleet_say_what_is_the_matter(filled: _Filled) -> None:
    dashboard = DASHBOARDS["packtap-fleet"]

    def rows(title: str) -> list[dict[str, Any]]:
        (panel,) = [each for each in dashboard["panels"] if each["title"] == title]
        text = filled.grafana.filled(panel["targets"][0]["query"], dashboard, {})
        return filled.influxdb.rows(text)

    assert [row["packs"] for row in rows("Packs heard")] == [3]
    assert [row["open"] for row in rows("Open: critical")] == [1]
    assert [row["open"] for row in rows("Open: warning")] == [1]
    assert [row["samples"] for row in rows("Readings lost")] == [40 * 289]
    is_open = {row["kind"]: (row["open"], row["words"]) for row in rows("Open now: critical")}
    assert is_open == {
        "cell_overvoltage": (1, "cell_overvoltage on cell 7"),
        "cell_undervoltage": (0, "cell_undervoltage on cell 7"),
    }
    worst = max(rows("Most likely cause, most certain first"), key=lambda row: row["confidence"])
    assert (worst["pack"], worst["cause"], worst["confidence"]) == (
        pack_name(2), "cell_damage", 0.9,
    )  # fmt: skip
    spread = {row["pack"]: row["spread"] for row in rows("Spread of cell resistance")}
    assert spread == {pack_name(1): 9.0, pack_name(2): 46.0, pack_name(3): 9.0}
    assert [row["pack"] for row in rows("Swapped or copied packs")] == [pack_name(2)]
    heard = {row["pack"]: row["time"] for row in rows("Last heard, longest silence first")}
    assert min(heard, key=lambda pack: heard[pack]) == pack_name(3)


def test_rollups_show_what_readings_show(filled: _Filled) -> None:
    raw = filled.influxdb.rows('SELECT mean("voltage_mv") AS v FROM "cell" GROUP BY "pack", "cell"')
    days = filled.influxdb.rows(
        'SELECT min("voltage_mv_min") AS low FROM "cell_1d" GROUP BY "pack", "cell"'
    )
    assert len(raw) == len(days) == 30
    low = {(row["pack"], row["cell"]): row["low"] for row in days}
    assert all(low[row["pack"], row["cell"]] <= row["v"] for row in raw)
    assert low[pack_name(2), "07"] == 4270


@pytest.mark.parametrize("uid", list(DASHBOARDS))
def test_every_variable_and_annotation_answers(uid: str, filled: _Filled) -> None:
    dashboard = DASHBOARDS[uid]
    assert filled.grafana.variables(dashboard) == {
        "site": [SITE],
        "agent": ["tap-01", "tap-02", "tap-03"],
        "pack": [pack_name(number) for number in (1, 2, 3)],
    }
    only = {"site": [SITE], "agent": ["tap-02"]}
    (query,) = [each["query"] for each in dashboard["templating"]["list"] if each["name"] == "pack"]
    rows = filled.influxdb.rows(filled.grafana.filled(query, dashboard, only))
    assert [row["value"] for row in rows] == [pack_name(2)]
    for annotation in dashboard["annotations"]["list"]:
        text = filled.grafana.filled(annotation["query"], dashboard, {"pack": [pack_name(2)]})
        rows = filled.influxdb.rows(text)
        assert len(rows) == 4
        assert rows[0]["text"] == "cell_overvoltage on cell 7"


def test_alerts_name_what_is_wrong_and_nothing_else(filled: _Filled) -> None:
    assert filled.grafana.firing(RULES) == {
        ("packtap-cell-overvoltage", "tap-02", "07"),
        ("packtap-imbalance-growing", "tap-02", ""),
        ("packtap-buffer-filling", "tap-02", ""),
        ("packtap-certificate-expiring", "tap-01", ""),
        ("packtap-gap-found", "tap-02", ""),
        ("packtap-agent-silent", "tap-03", ""),
    }


def test_every_alert_query_answers_and_none_fires_while_nothing_is_known(
    filled: _Filled, influxdb: InfluxDB
) -> None:
    for rule in RULES["groups"][0]["rules"]:
        assert (rule["noDataState"], rule["condition"]) == ("OK", "C")
        assert not _NOT_IN_3.search(str(rule))
        for each in rule["data"]:
            if "query" in each["model"]:
                filled.influxdb.query(each["model"]["query"])
    assert Grafana(influxdb, filled.now_ms).firing(RULES) == set()


def test_no_file_of_rules_holds_what_grafana_would_take_for_its_environment() -> None:
    assert "$" not in json.dumps(RULES)
    runbook = (GRAFANA / "RUNBOOK.md").read_text()
    uids = [rule["uid"] for rule in RULES["groups"][0]["rules"]]
    assert len(set(uids)) == len(uids)
    assert all(len(uid) <= 40 and f'<a id="{uid}">' in runbook for uid in uids)


def test_links_lead_to_dashboards_that_exist() -> None:
    text = " ".join(path.read_text() for path in GRAFANA.rglob("*.json"))
    assert set(re.findall(r"/d/([\w-]+)", text)) == set(DASHBOARDS)
    sources = (GRAFANA / "provisioning/datasources/packtap.yaml").read_text()
    named = set(re.findall(r'"uid": "(packtap(?:-rollups)?)"', text))
    assert named == set(re.findall(r"uid: (\S+)", sources))
