"""Everything that stands below `deploy/grafana/`: path -> text."""

import json
from collections.abc import Mapping
from typing import Any, Final

from packtap.dashboards.agents import AGENTS
from packtap.dashboards.alerts import RULES, Rule, rules_as_json
from packtap.dashboards.fleet import FLEET
from packtap.dashboards.pack import CELLS, HISTORY, PACK
from packtap.dashboards.panel import LONG, RAW, as_json

__all__ = ["DASHBOARDS", "files"]

DASHBOARDS: Final = (FLEET, PACK, CELLS, HISTORY, AGENTS)

_SOURCE: Final = """\
  - name: {name}
    uid: {uid}
    type: influxdb
    access: proxy
    url: $PACKTAP_INFLUX_URL
    isDefault: {default}
    editable: false
    jsonData:
      version: InfluxQL
      dbName: ${bucket}
      httpMode: POST
      httpHeaderName1: Authorization
    secureJsonData:
      httpHeaderValue1: Token $PACKTAP_INFLUX_TOKEN
"""
_DATASOURCES: Final = (
    """\
# Where the readings and the rollups are. InfluxDB 2.x: map both buckets to databases of their
# names (influx v1 dbrp create). Without rollup_bucket in ingest.toml both databases are the same.
apiVersion: 1
datasources:
"""
    + _SOURCE.format(name="packtap", uid=RAW, default="true", bucket="PACKTAP_INFLUX_DB")
    + _SOURCE.format(
        name="packtap rollups", uid=LONG, default="false", bucket="PACKTAP_INFLUX_ROLLUP_DB"
    )
)
_PROVIDERS: Final = """\
apiVersion: 1
providers:
  - name: packtap
    folder: packtap
    folderUid: packtap
    type: file
    disableDeletion: true
    allowUiUpdates: false
    options:
      path: $PACKTAP_DASHBOARDS
"""
_CONTACT: Final = """\
# Who is told: a web hook of yours. One message for each pack; critical at once, others in an hour.
apiVersion: 1
contactPoints:
  - orgId: 1
    name: packtap
    receivers:
      - uid: packtap-webhook
        type: webhook
        settings:
          url: $PACKTAP_ALERT_WEBHOOK
policies:
  - orgId: 1
    receiver: packtap
    group_by: [alertname, pack, agent]
    group_wait: 5m
    group_interval: 15m
    repeat_interval: 24h
    routes:
      - receiver: packtap
        object_matchers: [[severity, "=", critical]]
        group_wait: 10s
        repeat_interval: 4h
"""


def files() -> Mapping[str, str]:
    """Return the text of every generated file by its path."""
    made = {f"dashboards/{each.uid}.json": _text(as_json(each, DASHBOARDS)) for each in DASHBOARDS}
    made["provisioning/alerting/packtap-rules.json"] = _text(rules_as_json())
    made["provisioning/alerting/packtap-contact.yaml"] = _CONTACT
    made["provisioning/datasources/packtap.yaml"] = _DATASOURCES
    made["provisioning/dashboards/packtap.yaml"] = _PROVIDERS
    made["RUNBOOK.md"] = _runbook()
    return made


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _runbook() -> str:
    parts = ["# What to do when an alert comes\n\nMade by `packtap dashboards` from the rows.\n"]
    parts += [_of_rule(rule) for rule in RULES]
    return "".join(parts)


def _of_rule(rule: Rule) -> str:
    return (
        f'\n<a id="{rule.uid}"></a>\n\n## {rule.title} ({rule.severity})\n\n{rule.words}\n\n'
        f"Told after {rule.hold}; ends {'below' if rule.fires[0] == 'gt' else 'above'} "
        f"{rule.ends:g}. Nothing is told while nothing is known.\n"
    )
