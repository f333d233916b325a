"""What the stores at the end of the chain hold, in the form in which `system.chain` expects it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from system.chain import AGENT, BUS, SITE, CellRows, PackRows
from system.servers import InfluxDB, VictoriaMetrics

__all__ = [
    "influx_cells",
    "influx_counts",
    "influx_events",
    "influx_packs",
    "influx_types",
    "victoria_cells",
    "victoria_packs",
]


def influx_packs(influxdb: InfluxDB) -> PackRows:
    """Return every row of measurement `pack`; all of them must be of our site, agent and bus."""
    rows: PackRows = {}
    for row in influxdb.rows("SELECT * FROM pack"):
        key = (row.pop("pack"), row.pop("time"))
        _check_origin(row)
        assert key not in rows
        rows[key] = {name: value for name, value in row.items() if value is not None}
    return rows


def influx_cells(influxdb: InfluxDB) -> CellRows:
    """Return every value of measurement `cell`."""
    rows: CellRows = {}
    for row in influxdb.rows("SELECT * FROM cell"):
        key = (row.pop("pack"), row.pop("cell"), row.pop("time"))
        _check_origin(row)
        assert key not in rows
        rows[key] = row.pop("voltage_mv")
        assert row == {}
    return rows


def influx_events(influxdb: InfluxDB) -> list[dict[str, Any]]:
    """Return every row of measurement `event`, oldest first, without its empty fields."""
    rows = []
    for row in influxdb.rows("SELECT * FROM event"):
        _check_origin(row)
        rows.append({name: value for name, value in row.items() if value is not None})
    return sorted(rows, key=lambda row: (row["time"], row["id"], row["state"], row["pack"]))


def influx_types(influxdb: InfluxDB, measurement: str) -> dict[str, str]:
    """Return field -> "float", "integer" or "string"."""
    rows = influxdb.rows(f'SHOW FIELD KEYS FROM "{measurement}"')
    types = {row["fieldKey"]: row["fieldType"] for row in rows}
    assert len(types) == len(rows), "a field has two types"
    return types


def influx_counts(influxdb: InfluxDB, measurement: str) -> Counter[str]:
    """Return `count_<field>` -> how many points have the field, as the store itself counts."""
    rows = influxdb.rows(f'SELECT count(*) FROM "{measurement}"')
    return Counter({name: n for row in rows for name, n in row.items() if name != "time"})


def victoria_packs(victoria: VictoriaMetrics) -> PackRows:
    """Return the numbers of measurement `pack`; this store keeps no texts."""
    rows: PackRows = {}
    for series in victoria.export('{__name__=~"pack_.*"}'):
        tags = dict(series["metric"])
        field, pack = tags.pop("__name__").removeprefix("pack_"), tags.pop("pack")
        _check_origin(tags)
        for t, value in zip(series["timestamps"], series["values"], strict=True):
            fields = rows.setdefault((pack, t), {})
            assert field not in fields
            fields[field] = value
    return rows


def victoria_cells(victoria: VictoriaMetrics) -> CellRows:
    """Return every value of measurement `cell`."""
    rows: CellRows = {}
    for series in victoria.export('{__name__="cell_voltage_mv"}'):
        tags = dict(series["metric"])
        pack, cell = tags.pop("pack"), tags.pop("cell")
        for t, value in zip(series["timestamps"], series["values"], strict=True):
            assert (pack, cell, t) not in rows
            rows[pack, cell, t] = value
    return rows


def _check_origin(row: Any) -> None:
    """Take the tags that are the same everywhere out of the row."""
    found: Mapping[str, str] = {name: row.pop(name) for name in ("site", "agent", "bus")}
    assert found == {"site": SITE, "agent": AGENT, "bus": BUS}
