"""Alert rules for Grafana: from the rows of event kinds, and of what the delivery counts.

Each rule asks, takes the last number of each series, and compares it. It fires only after `hold`,
ends only behind a second limit, and stays silent where nothing is known (`noDataState: OK`).
No text holds a dollar sign: Grafana puts the environment into files of rules, so the range is
written out and templates say `.Labels` and `.Values`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from packtap.dashboards.panel import RAW
from packtap.dashboards.query import Query
from packtap.kinds import KINDS, Kind
from packtap.model import Severity

__all__ = ["RULES", "Rule", "rules_as_json"]

_FOLDER: Final = "packtap"
_RUNBOOK: Final = "RUNBOOK.md"
_EVENT: Final = ("site", "agent", "bus", "pack", "cell")
_AGENT: Final = ("site", "agent", "bus")
_PLACE: Final = "{{ .Labels.site }}/{{ .Labels.agent }}/{{ .Labels.bus }}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert rule.

    Attributes:
        uid: fixed; also the anchor in the runbook.
        title: its name.
        queries: letter -> statement; A decides, the others are told.
        fires: "gt" or "lt", and the limit.
        ends: the limit behind which it ends; the gap between both is the hysteresis.
        hold: for how long it must be so before anybody is told.
        severity: label for the routing.
        summary: template of one line: what is so, where.
        words: template of what it means and what to do.
        dashboard: uid of the one to open.
        range_s: how far back it looks.
    """

    uid: str
    title: str
    queries: Mapping[str, Query]
    fires: tuple[str, float]
    ends: float
    hold: str
    severity: Severity
    summary: str
    words: str
    dashboard: str
    range_s: int


def _event_rule(kind: Kind) -> Rule:
    columns = {"A": "state"} | ({"V": "value", "L": "limit"} if kind.unit else {})
    queries = {
        letter: Query(
            "event", f'last("{column}")', _EVENT, where=f"\"kind\" = '{kind.name}'",
            range="time > now() - 90d", variables=False,
        )
        for letter, column in columns.items()
    }  # fmt: skip
    cell = ", cell {{ .Labels.cell }}" if kind.per_cell else ""
    numbers = (
        f", {{{{ .Values.VL }}}} {kind.unit} against a limit of {{{{ .Values.LL }}}} {kind.unit}"
        if kind.unit
        else ""
    )
    return Rule(
        f"packtap-{kind.name.replace('_', '-')}"[:40],
        f"Event open: {kind.name}",
        queries,
        ("gt", 0.5),
        0.5,
        "0s",  # the agent has debounced it, and waits with its end
        kind.severity,
        f"{kind.name}: pack {{{{ .Labels.pack }}}}{cell}{numbers} ({_PLACE})",
        f"{kind.meaning} {kind.action}",
        "packtap-pack",
        90 * 86_400,
    )


def _of_link(select: str, since: str, every: str = "", fill: str = "none") -> Query:
    return Query(
        "link", select, _AGENT, every, range=f"time > now() - {since}", variables=False, fill=fill
    )


_OTHERS: Final = (
    Rule(
        "packtap-imbalance-growing", "A cell is drifting to a limit",
        {
            "A": Query(
                "pack", 'last("time_to_limit_h")', ("site", "agent", "bus", "pack"),
                range="time > now() - 3d", variables=False,
            )
        },
        ("lt", 336), 504, "6h", Severity.WARNING,
        "Pack {{ .Labels.pack }} reaches a limit in {{ .Values.AL }} h if its trend goes on",
        "The trend of one cell is certain and leads to a limit within two weeks. Plan a service; "
        "the dashboard Cells shows which cell, and how sure the time is.",
        "packtap-cells", 3 * 86_400,
    ),
    Rule(
        "packtap-agent-silent", "An agent is silent",
        {"A": _of_link('moving_average(count("uptime_s"), 4)', "1d", "10m", "0")},
        ("lt", 0.1), 0.4, "10m", Severity.WARNING,
        "Nothing has come from {{ .Labels.site }}/{{ .Labels.agent }}/{{ .Labels.bus }} for half "
        "an hour",
        "Its power, its network or the broker is away. What it reads is kept on it. After a day "
        "of silence it counts as taken out of service, and this ends.",
        "packtap-agents", 86_400,
    ),
    Rule(
        "packtap-pack-silent", "A pack is silent",
        {
            "A": Query(
                "pack", 'moving_average(count("voltage_v"), 3)', ("site", "agent", "bus", "pack"),
                "1d", range="time > now() - 21d", variables=False, fill="0",
            )
        },
        ("lt", 0.1), 0.3, "1h", Severity.INFO,
        "Pack {{ .Labels.pack }} has not been heard for two days ({{ .Labels.agent }})",
        "Asleep, taken out, or its wire is off: packtap doctor on the device says which. A deeply "
        "discharged pack falls silent too. After three weeks of silence this ends.",
        "packtap-pack", 21 * 86_400,
    ),
    Rule(
        "packtap-buffer-filling", "A buffer is filling",
        {"A": _of_link('last("buffer_hours_left")', "1h")},
        ("lt", 48), 96, "15m", Severity.WARNING,
        "The buffer of {{ .Labels.agent }}/{{ .Labels.bus }} is full in {{ .Values.AL }} h",
        "It cannot deliver: look at its network and at the broker. When the buffer is full the "
        "oldest readings are dropped, and that is recorded.",
        "packtap-agents", 3600,
    ),
    Rule(
        "packtap-certificate-expiring", "A certificate is expiring",
        {"A": _of_link('last("certificate_hours_left")', "1h")},
        ("lt", 720), 721, "15m", Severity.WARNING,
        "The certificate of {{ .Labels.agent }} is taken for {{ .Values.AL }} h more",
        "After that the broker refuses the device; what it reads waits on it. Enrol it anew with "
        "packtap fleet, and restart its agent. Below 0 h it has ended.",
        "packtap-agents", 3600,
    ),
    Rule(
        "packtap-gap-found", "Readings were lost",
        {
            "A": Query(
                "gap", 'sum("samples")', _AGENT, range="time > now() - 7d", variables=False
            )
        },
        ("gt", 0.5), 0.5, "0s", Severity.WARNING,
        "{{ .Labels.agent }}/{{ .Labels.bus }} has dropped {{ .Values.AL }} samples of the last "
        "week",
        "Its store was full before they could be delivered. packtap gaps names the numbers and "
        "times. Give it a larger store or a better network.",
        "packtap-agents", 7 * 86_400,
    ),
)  # fmt: skip

#: Every rule: one a kind of event that is critical, and those of the delivery.
RULES: Final = (
    *(_event_rule(kind) for kind in KINDS if kind.severity is Severity.CRITICAL),
    *_OTHERS,
)


def rules_as_json() -> dict[str, Any]:
    """Return the file of rules for Grafana's provisioning."""
    group = {
        "orgId": 1,
        "name": "packtap",
        "folder": _FOLDER,
        "interval": "1m",
        "rules": [_rule(rule) for rule in RULES],
    }
    return {"apiVersion": 1, "groups": [group]}


def _rule(rule: Rule) -> dict[str, Any]:
    data: list[dict[str, Any]] = []
    for letter, query in rule.queries.items():
        model = {
            "refId": letter, "rawQuery": True, "query": query.text, "resultFormat": "time_series",
        }  # fmt: skip
        span = {"from": rule.range_s, "to": 0}
        data.append(
            {"refId": letter, "datasourceUid": RAW, "relativeTimeRange": span, "model": model}
        )
        data.append(
            _expression(f"{letter}L", {"type": "reduce", "expression": letter, "reducer": "last"})
        )
    fires, limit = rule.fires
    condition = {
        "evaluator": {"type": fires, "params": [limit]},
        "unloadEvaluator": {"type": "lt" if fires == "gt" else "gt", "params": [rule.ends]},
    }
    data.append(
        _expression("C", {"type": "threshold", "expression": "AL", "conditions": [condition]})
    )
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "C",
        "for": rule.hold,
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": {"severity": rule.severity.value, "origin": "packtap"},
        "annotations": {
            "summary": rule.summary,
            "description": rule.words,
            "runbook_url": f"{_RUNBOOK}#{rule.uid}",
            "dashboard": f"/d/{rule.dashboard}?var-pack={{{{ .Labels.pack }}}}",
        },
        "data": data,
    }


def _expression(letter: str, model: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasourceUid": "__expr__",
        "relativeTimeRange": {"from": 0, "to": 0},
        "model": {"refId": letter, **model},
    }
