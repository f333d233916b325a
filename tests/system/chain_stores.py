"""What the stores at the end of the chain hold, in the form in which `system.chain` expects it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from packtap.derived import DERIVED
from system.chain import AGENT, BUS, SITE, CellRows, HealthRows, PackRows
from system.chain_ledger import Sample
from system.servers import InfluxDB, VictoriaMetrics

__all__ = [
    "influx_cells",
    "influx_counts",
    "influx_events",
    "influx_health",
    "influx_packs",
    "influx_samples",
    "influx_types",
    "victoria_cells",
    "victoria_packs",
]


#: Fields that `health` messages bring into the measurements of readings.
_DERIVED: Final = frozenset(row.name for row in DERIVED)


def influx_packs(influxdb: InfluxDB) -> PackRows:
    """Return the readings in measurement `pack`; all must be of our site, agent and bus."""
    rows: PackRows = {}
    for row in influxdb.rows("SELECT * FROM pack"):
        key = (row.pop("pack"), row.pop("time"))
        _check_origin(row)
        assert key not in rows
        fields = _fields(row, derived=False)
        if fields:
            rows[key] = fields
    return rows


def influx_cells(influxdb: InfluxDB) -> CellRows:
    """Return the readings in measurement `cell`."""
    rows: CellRows = {}
    for row in influxdb.rows("SELECT * FROM cell"):
        key = (row.pop("pack"), row.pop("cell"), row.pop("time"))
        _check_origin(row)
        assert key not in rows
        fields = _fields(row, derived=False)
        if fields:
            rows[key] = fields.pop("voltage_mv")
        assert fields == {}
    return rows


def influx_samples(influxdb: InfluxDB, since_ms: int = 0) -> list[Sample]:
    """Return every reading of every series, pack and cells together, whoever has written it."""
    values: dict[tuple[str, int, tuple[str, str, str]], dict[str, Any]] = {}
    for measurement in ("pack", "cell"):
        for row in influxdb.rows(f"SELECT * FROM {measurement} WHERE time >= {since_ms}ms"):
            home = (row.pop("site"), row.pop("agent"), row.pop("bus"))
            key = (row.pop("pack"), row.pop("time"), home)
            cell = row.pop("cell", None)
            fields = _fields(row, derived=False)
            if cell is not None:
                fields = {
                    f"cell_{cell}" if name == "voltage_mv" else f"{name}_{cell}": value
                    for name, value in fields.items()
                }
            if fields:
                values.setdefault(key, {}).update(fields)
    return [Sample(pack, t, fields, home) for (pack, t, home), fields in values.items()]


def influx_health(influxdb: InfluxDB) -> HealthRows:
    """Return the derived fields of `pack` and `cell`, and every row of `diagnosis`."""
    rows: HealthRows = {}
    for measurement, tag in (("pack", None), ("cell", "cell"), ("diagnosis", "cause")):
        for row in influxdb.rows(f"SELECT * FROM {measurement}"):
            which = "" if tag is None else row.pop(tag)
            key = (measurement, row.pop("pack"), which, row.pop("time"))
            _check_origin(row)
            assert key not in rows
            fields = row if measurement == "diagnosis" else _fields(row, derived=True)
            if fields:
                rows[key] = fields
    return rows


def _fields(row: Mapping[str, Any], *, derived: bool) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if value is not None and (name in _DERIVED) is derived
    }


def influx_events(influxdb: InfluxDB) -> list[dict[str, Any]]:
    """Return every row of measurement `event`, oldest first, without its empty fields."""
    rows = []
    for row in influxdb.rows("SELECT * FROM event"):
        _check_origin(row)
        rows.append({name: value for name, value in row.items() if value is not None})
    return sorted(rows, key=lambda row: (row["time"], row["id"], row["state"], row["pack"]))


def influx_types(influxdb: InfluxDB, measurement: str) -> dict[str, str]:
    """Return field -> "float", "integer" or "string"; fields of readings only."""
    rows = influxdb.rows(f'SHOW FIELD KEYS FROM "{measurement}"')
    types = {row["fieldKey"]: row["fieldType"] for row in rows}
    assert len(types) == len(rows), "a field has two types"
    return {name: kind for name, kind in types.items() if name not in _DERIVED}


def influx_counts(influxdb: InfluxDB, measurement: str) -> Counter[str]:
    """Return `count_<field>` -> how many points have the field, as the store itself counts.

    Fields of readings only.
    """
    rows = influxdb.rows(f'SELECT count(*) FROM "{measurement}"')
    others = {"time"} | {f"count_{name}" for name in _DERIVED}
    return Counter({name: n for row in rows for name, n in row.items() if name not in others})


def victoria_packs(victoria: VictoriaMetrics) -> PackRows:
    """Return the numbers of measurement `pack`; this store keeps no texts."""
    rows: PackRows = {}
    for series in victoria.export('{__name__=~"pack_.*"}'):
        tags = dict(series["metric"])
        field, pack = tags.pop("__name__").removeprefix("pack_"), tags.pop("pack")
        _check_origin(tags)
        if field in _DERIVED:
            continue
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
