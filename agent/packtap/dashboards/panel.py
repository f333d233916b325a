"""Panels and dashboards as values, and their JSON for Grafana. Core panels only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from packtap.dashboards.query import VARIABLES, Query, variable_query

__all__ = ["LONG", "RAW", "Annotation", "Dashboard", "Panel", "as_json"]

#: Uid of the datasource with the readings, and of that with the rollups.
RAW: Final = "packtap"
LONG: Final = "packtap-rollups"

_WIDTH: Final = 24
_GREEN: Final = "green"
#: A unit of a row's name -> Grafana's name of it.
_UNITS: Final[Mapping[str, str]] = {
    "mV": "mvolt", "V": "volt", "A": "amp", "degC": "celsius", "%": "percent", "mAh": "mamph",
    "h": "h", "mOhm": "suffix: mOhm", "%/h": "suffix: %/h", "%/week": "suffix: %/week",
    "share": "percentunit", "bytes": "bytes", "s": "s", "count": "short", "ago": "dateTimeFromNow",
    "": "none",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: what is seen.
        kind: type of Grafana's core panel.
        description: what it means and what to do.
        queries: letters A, B, ... in this order.
        unit: key of the units that rows use.
        thresholds: from this value on this colour; below the first: green.
        size: width of 24, height.
        alias: name of a series, with `$tag_...` and `$col`.
        rename: column of a table -> its head.
        hide: columns of a table that are not shown.
        only: column and value that a row of a table must have.
        sort: column by which a table is sorted, and whether the highest is first.
        units: column of a table -> its unit.
        to: uid of the dashboard that a click on a pack opens.
        mappings: value -> text and colour.
        source: uid of the datasource.
    """

    title: str
    kind: str
    description: str
    queries: tuple[Query, ...]
    unit: str = ""
    thresholds: tuple[tuple[float, str], ...] = ()
    size: tuple[int, int] = (12, 8)
    alias: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    hide: tuple[str, ...] = ()
    only: tuple[str, int] | None = None
    sort: tuple[str, bool] | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    to: str = ""
    mappings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    source: str = RAW


@dataclass(frozen=True, slots=True)
class Annotation:
    """Events drawn over the panels."""

    name: str
    query: Query
    colour: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard.

    Attributes:
        uid: fixed, so that links and alerts find it.
        title: its name.
        description: what it answers.
        panels: in reading order.
        range: what is shown at first, from now back.
        one_pack: whether the variable pack means one pack only.
        window: whether the reader chooses the window of rollups.
        annotations: events over the panels.
    """

    uid: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    range: str = "now-7d"
    one_pack: bool = False
    window: bool = False
    annotations: tuple[Annotation, ...] = ()


def as_json(dashboard: Dashboard, others: Sequence[Dashboard]) -> dict[str, Any]:
    """Return the JSON model.

    Args:
        dashboard: the one.
        others: all, for the links at the top.
    """
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["packtap"],
        "editable": False,
        "schemaVersion": 39,
        "version": 1,
        "timezone": "browser",
        "refresh": "1m",
        "time": {"from": dashboard.range, "to": "now"},
        "links": [_top_link(other) for other in others if other.uid != dashboard.uid],
        "templating": {"list": _variables(dashboard)},
        "annotations": {"list": [_annotation(each) for each in dashboard.annotations]},
        "panels": _placed(dashboard),
    }


def _top_link(other: Dashboard) -> dict[str, Any]:
    return {
        "title": other.title,
        "type": "link",
        "icon": "dashboard",
        "url": f"/d/{other.uid}",
        "tooltip": other.description,
        "tags": [],
        "asDropdown": False,
        "targetBlank": False,
        "includeVars": True,
        "keepTime": False,
    }


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for name in VARIABLES:
        several = not (dashboard.one_pack and name == "pack")
        more = {"allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}}
        made.append({
            "name": name, "label": name, "type": "query", "datasource": _source(RAW),
            "query": variable_query(name), "refresh": 2,
            "sort": 1, "multi": several, "includeAll": several, "hide": 0,
            **(more if several else {}),
        })  # fmt: skip
    if dashboard.window:
        options = [
            {"text": text, "value": value, "selected": value == "1d"}
            for text, value in (("5 minutes", "5m"), ("1 day", "1d"))
        ]
        made.append({
            "name": "window", "label": "window", "type": "custom", "multi": False, "hide": 0,
            "includeAll": False, "query": "5 minutes : 5m, 1 day : 1d", "options": options,
            "current": options[1],
        })  # fmt: skip
    return made


def _annotation(each: Annotation) -> dict[str, Any]:
    return {
        "name": each.name,
        "datasource": _source(RAW),
        "enable": True,
        "hide": False,
        "iconColor": each.colour,
        "query": each.query.text,
        "textColumn": "text",
        "tagsColumn": "kind,severity,cell",
        "fromAnnotations": True,
    }


def _placed(dashboard: Dashboard) -> list[dict[str, Any]]:
    made, x, y, row = [], 0, 0, 0
    for number, panel in enumerate(dashboard.panels, start=1):
        width, height = panel.size
        if x + width > _WIDTH:
            x, y, row = 0, y + row, 0
        place = {"x": x, "y": y, "w": width, "h": height}
        made.append({"id": number, "gridPos": place, **_panel(panel)})
        x, row = x + width, max(row, height)
    return made


def _panel(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": _GREEN, "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in panel.thresholds]
    defaults: dict[str, Any] = {
        "unit": _UNITS[panel.unit],
        "color": {"mode": "thresholds" if panel.thresholds else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "noValue": "not known",
        "mappings": _mappings(panel),
        "links": [],
    }
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _source(panel.source),
        "targets": [_target(panel, n, query) for n, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": defaults, "overrides": _overrides(panel)},
        "options": _OPTIONS.get(panel.kind, {}),
        "transformations": _transformations(panel),
    }


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    if not panel.mappings:
        return []
    options = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(panel.mappings.items())
    }
    return [{"type": "value", "options": options}]


def _target(panel: Panel, number: int, query: Query) -> dict[str, Any]:
    target: dict[str, Any] = {
        "refId": chr(ord("A") + number),
        "datasource": _source(panel.source),
        "rawQuery": True,
        "query": query.text,
        "resultFormat": "table" if panel.kind == "table" else "time_series",
    }
    return target | ({"alias": panel.alias} if panel.alias else {})


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    made = [
        _override(panel.rename.get(column, column), [{"id": "unit", "value": _UNITS[unit]}])
        for column, unit in panel.units.items()
    ]
    if panel.to:
        head = panel.rename.get("pack", "pack")
        url = f"/d/{panel.to}?var-pack=${{__data.fields.{head}}}&${{__url_time_range}}"
        link = {"title": "open this pack", "url": url, "targetBlank": False}
        made.append(_override(head, [{"id": "links", "value": [link]}]))
    return made


def _override(column: str, properties: list[dict[str, Any]]) -> dict[str, Any]:
    return {"matcher": {"id": "byName", "options": column}, "properties": properties}


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    if panel.only is not None:
        column, value = panel.only
        equal = {"id": "equal", "options": {"value": value}}
        options = {
            "type": "include",
            "match": "all",
            "filters": [{"fieldName": column, "config": equal}],
        }
        made.append({"id": "filterByValue", "options": options})
    if panel.sort is not None:
        column, highest_first = panel.sort
        by = {"field": column, "desc": highest_first}
        made.append({"id": "sortBy", "options": {"fields": {}, "sort": [by]}})
    if panel.rename or panel.hide:
        hidden = dict.fromkeys(panel.hide, True)
        names = {"excludeByName": hidden, "renameByName": dict(panel.rename)}
        made.append({"id": "organize", "options": names})
    return made


def _source(uid: str) -> dict[str, str]:
    return {"type": "influxdb", "uid": uid}


_LAST: Final = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "stat": {**_LAST, "colorMode": "value", "graphMode": "none", "textMode": "auto"},
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
    "heatmap": {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Turbo", "steps": 64},
        "yAxis": {"axisPlacement": "left"},
        "tooltip": {"mode": "single", "yHistogram": False},
    },
    "state-timeline": {"mergeValues": True, "showValue": "never", "rowHeight": 0.8},
    "bargauge": {**_LAST, "orientation": "horizontal", "displayMode": "gradient"},
}
