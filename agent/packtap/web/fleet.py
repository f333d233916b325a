"""All packs, worst first: open critical events, then warnings, then imbalance, then silence."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from packtap.model import Severity, Value
from packtap.store import PackSummary

__all__ = ["PLACEHOLDER", "Row", "ranked", "without_passed_names"]

#: How a pack is called until its serial is read.
PLACEHOLDER: Final = "unknown-"

#: Spreads within so many mV are alike: readings flicker, and the list must not.
_SPREAD_STEP_MV: Final = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list.

    Attributes:
        state: "live" (an agent on this machine) or "stored".
        age_s: since the last reading; None if none is dated.
        critical: open events of that severity; so `warning` and `info`.
        worst: text of the worst open event.
        spread_mv: highest minus lowest cell, as last reported.
    """

    pack: str
    site: str
    agent: str
    bus: str
    state: str
    age_s: float | None
    critical: int
    warning: int
    info: int
    worst: str
    spread_mv: int | None
    voltage_v: float | None
    soc_pct: float | None

    @classmethod
    def of_store(
        cls, summary: PackSummary, latest: Mapping[str, tuple[Value, int]], now_ms: int
    ) -> Self:
        """Return the line of a pack that a store knows."""
        values = {name: value for name, (value, _) in latest.items()}
        last = summary.last_ms
        return cls(
            *(summary.pack, summary.site, summary.agent, summary.bus, "stored"),
            age_s=None if last is None else round((now_ms - last) / 1000, 1),
            critical=summary.critical,
            warning=summary.warning,
            info=summary.info,
            worst=summary.worst,
            spread_mv=_spread(values.get("cell_voltages_mv")),
            voltage_v=_number(values.get("voltage_v")),
            soc_pct=_number(values.get("soc_pct")),
        )

    @classmethod
    def of_now(cls, shown: Mapping[str, Any]) -> Self:
        """Return the line of a pack that an agent sees now, from its view."""
        events = shown["events"]
        values = {name: item["v"] for name, item in shown["values"].items()}
        ages = [item["age_s"] for item in shown["values"].values() if item["age_s"] is not None]
        counts = Counter(event["severity"] for event in events)
        return cls(
            *(shown["pack"] or "", shown["site"], shown["agent"], shown["bus"], "live"),
            age_s=min(ages, default=None),
            critical=counts[Severity.CRITICAL],
            warning=counts[Severity.WARNING],
            info=counts[Severity.INFO],
            worst=events[0]["text"] if events else "",
            spread_mv=shown["cells"] and shown["cells"]["spread_mv"],
            voltage_v=_number(values.get("voltage_v")),
            soc_pct=_number(values.get("soc_pct")),
        )

    def matches(self, query: str) -> bool:
        """Return whether every word of the query stands in one of its names."""
        names = f"{self.pack} {self.site} {self.agent} {self.bus}".casefold()
        return all(word in names for word in query.casefold().split())

    def as_document(self) -> dict[str, Any]:
        """Return it as JSON keys and values."""
        return asdict(self)


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Return the rows, worst first."""
    return sorted(
        rows,
        key=lambda row: (
            -row.critical,
            -row.warning,
            -((row.spread_mv or 0) // _SPREAD_STEP_MV),
            -(row.age_s or 0) // 86400,
            row.pack,
        ),
    )


def without_passed_names(rows: Sequence[Row]) -> list[Row]:
    """Leave out the placeholder of a bus whose pack is known by now, if nothing is raised on it."""
    named = {(row.agent, row.bus) for row in rows if not _is_placeholder(row)}
    return [
        row
        for row in rows
        if not _is_placeholder(row)
        or (row.agent, row.bus) not in named
        or row.critical + row.warning + row.info
    ]


def _is_placeholder(row: Row) -> bool:
    return not row.pack or row.pack.startswith(PLACEHOLDER)


def _spread(cells: Value) -> int | None:
    known = [cell for cell in cells if cell is not None] if isinstance(cells, tuple) else []
    return max(known) - min(known) if len(known) > 1 else None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) else None
