"""A small fleet for the tests of dashboards, and Grafana's part: variables, ranges, conditions."""

import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from packtap.wire import (
    EventMessage,
    HealthMessage,
    HealthValue,
    JsonValue,
    LinkMessage,
    ReadingsMessage,
)
from system.ingest_bench import head, pack_name
from system.servers import InfluxDB

__all__ = ["Grafana", "fleet", "fleet_messages"]

HOUR_MS: Final = 3_600_000
_STEP_MS: Final = 600_000
Message = ReadingsMessage | EventMessage | LinkMessage | HealthMessage


def fleet_messages(now_ms: int, days: int = 2) -> list[Message]:
    """Return two days of three packs: 1 is sound, 2 has a bad cell 7, 3 is silent for an hour.

    Agent 2 has lost messages and its buffer is filling; its event of another kind has ended.
    """
    return [message for agent in (1, 2, 3) for message in fleet(agent, now_ms, days)]


def fleet(agent: int, now_ms: int, days: int) -> list[Message]:
    """Return what one agent has sent, the last of it a minute ago, or an hour ago from agent 3."""
    end = now_ms - (HOUR_MS + 20 * 60_000 if agent == 3 else 60_000)
    made: list[Message] = []

    def first() -> dict[str, Any]:
        return head(agent, len(made) + 1)

    for t in range(end - days * 24 * HOUR_MS, end + 1, _STEP_MS):
        made.append(ReadingsMessage(**first(), t=[t], columns=_columns(agent, t)))
        made.append(_link(first(), agent, t))
        if (end - t) % HOUR_MS == 0:
            made.append(_health(first(), agent, t))
    if agent == 2:
        made.append(_event(first(), "cell_overvoltage", end - 7 * HOUR_MS, "raised"))
        made.append(_event(first(), "cell_undervoltage", end - 6 * HOUR_MS, "raised"))
        made.append(_event(first(), "cell_undervoltage", end - 5 * HOUR_MS, "cleared"))
        made.append(_event(first(), "cell_imbalance", end - 4 * HOUR_MS, "raised", "warning"))
    return made


def _columns(agent: int, t: int) -> dict[str, list[JsonValue]]:
    wave = math.sin(t / 7_200_000)
    cells: list[int | None] = [3700 + round(100 * wave) + number for number in range(10)]
    if agent == 2:
        cells[6] = 4270
    return {
        "voltage_v": [round(37 + wave, 2)],
        "current_a": [round(5 * wave, 2)],
        "soc_pct": [round(50 + 30 * wave)],
        "temperature_1_c": [21],
        "temperature_2_c": [22],
        "serial": [pack_name(agent)],
        "firmware": ["1.1.5"],
        "manufacture_date": [f"2023-0{agent}-17"],
        "design_capacity_mah": [7800],
        "full_capacity_mah": [7600],
        "cycle_count": [100 * agent],
        "health_pct": [99 - agent],
        "cell_voltages_mv": [cells],
    }


def _link(first: dict[str, Any], agent: int, t: int) -> LinkMessage:
    counters: dict[str, int | float] = {
        "frames": 1000, "unanswered": 3, "rejects_checksum": 2, "rejects_length": 1,
        "outbox_messages": 4, "buffer_hours_left": 20 if agent == 2 else 900, "clock_known": 1,
        "disk_free_bytes": 10**9, "host_load_pct": 12, "host_temperature_c": 45, "uptime_s": 9000,
        "certificate_hours_left": 600 if agent == 1 else 8000,
    }  # fmt: skip
    gaps: list[tuple[int, int, int, int | None]] = [(9, 12, 40, t)] if agent == 2 else []
    return LinkMessage(**first, t=[t + 1], counters=counters, gaps=gaps[: len(gaps)])


def _health(first: dict[str, Any], agent: int, t: int) -> HealthMessage:
    bad = agent == 2
    rows: dict[str, HealthValue] = {
        "cell_resistance_mohm": [20.0 + number + 40 * bad * (number == 6) for number in range(10)],
        "cell_rest_deviation_pct": [0.5 * number for number in range(10)],
        "cell_drift_pct_per_h": [-0.01 * number for number in range(10)],
        "cell_rest_deviation_slope_pct_per_week": [0.1 * number for number in range(10)],
        "capacity_estimate_mah": 7100.0,
        "capacity_estimate_error_mah": 200.0,
        "time_to_limit_h": 100.0 if bad else 2000.0,
        "time_to_limit_low_h": 80.0,
        "time_to_limit_high_h": 3000.0,
        "outlook": "simulated",
        "identity_doubt": "another board answers" if bad else None,
    }
    causes = {"cell_damage": 0.9, "none": 0.1} if bad else {"cell_damage": 0.02, "none": 0.98}
    return HealthMessage(**first, t=[t + 2], rows=rows, causes=causes)


def _event(
    first: dict[str, Any], kind: str, t: int, state: str, severity: str = "critical"
) -> EventMessage:
    return EventMessage(
        **first, t=[t], id=f"{kind}/1", kind=kind, severity=severity, state=state, cell=7,
        value=4270.0, limit=4250.0, unit="mV", text=f"{kind} on cell 7",
    )  # fmt: skip


class Grafana:
    """Puts values for Grafana's variables, and decides alert rules as its expressions do.

    Args:
        influxdb: the store.
        now_ms: the end of every range.
    """

    def __init__(self, influxdb: InfluxDB, now_ms: int) -> None:
        self._influxdb = influxdb
        self._now_ms = now_ms

    def start_ms(self, dashboard: Mapping[str, Any]) -> int:
        """Return the begin of the dashboard's own range."""
        number, unit = re.fullmatch(r"now-(\d+)([hdy])", dashboard["time"]["from"]).groups()  # type: ignore[union-attr]
        return self._now_ms - int(number) * {"h": 1, "d": 24, "y": 8760}[unit] * HOUR_MS

    def variables(self, dashboard: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return what the lists of the dashboard's variables offer, each after those before it."""
        found: dict[str, list[str]] = {}
        for each in dashboard["templating"]["list"]:
            if each["type"] == "query":
                rows = self._influxdb.rows(self.filled(each["query"], dashboard, found))
                found[each["name"]] = sorted({row["value"] for row in rows})
        return found

    def filled(
        self,
        query: str,
        dashboard: Mapping[str, Any],
        chosen: Mapping[str, Sequence[str]],
        window: str = "5m",
    ) -> str:
        """Return the statement that Grafana would send; no list for a variable means all."""
        start = self.start_ms(dashboard)
        every = max(60_000, (self._now_ms - start) // 500 // 60_000 * 60_000)
        text = query.replace("$timeFilter", f"time >= {start}ms and time <= {self._now_ms}ms")
        text = text.replace("$__interval", f"{every}ms").replace("${window}", window)

        def regex(found: re.Match[str]) -> str:
            values = chosen.get(found[1])
            if values is None:
                return ".*"
            escaped = [re.escape(value).replace("\\-", "-") for value in values]
            return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

        text = re.sub(r"\$\{(\w+):regex\}", regex, text)
        assert "$" not in text.replace("$/", "")
        return text

    def firing(self, rules: Mapping[str, Any]) -> set[tuple[str, str, str]]:
        """Return rule, agent and cell of each alert whose condition is met."""
        fired = set()
        for rule in rules["groups"][0]["rules"]:
            by_letter = {each["refId"]: each for each in rule["data"]}
            assert rule["condition"] == "C"
            (condition,) = by_letter["C"]["model"]["conditions"]
            reduced = by_letter[by_letter["C"]["model"]["expression"]]["model"]
            assert reduced["reducer"] == "last"
            query = by_letter[reduced["expression"]]["model"]["query"]
            limit = condition["evaluator"]["params"][0]
            for series in self._influxdb.query(query):
                value = series["values"][-1][1]
                is_met = {"gt": value > limit, "lt": value < limit}[condition["evaluator"]["type"]]
                if is_met:
                    tags = series["tags"]
                    fired.add((rule["uid"], tags["agent"], tags.get("cell", "")))
        return fired


def now_ms() -> int:
    """Return the time of the machine: alert rules ask for now()."""
    return round(time.time() * 1000)
