"""What one pack looks like, as plain values for the page: from a now-document or from the store.

Pure. Everything is worked out here, so that the browser only draws: ages, deviations from the
median, what is worst, the words for the current. `None` and absent mean "not reported".
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from ninebot_bms import by_name, fault_flags, status_flags
from packtap.derived import DERIVED
from packtap.kinds.kind import STOP
from packtap.model import Cause, Severity, Value
from packtap.store import PackSummary, StoredEvent, StoredHealth

__all__ = [
    "CAUSE_WORDS",
    "SAFETY",
    "current_words",
    "diagnosis_of",
    "health_of",
    "of_now",
    "of_store",
    "worst_first",
]

#: Below this, amperes, the current channel's offset says nothing about charging or riding.
_REST_A: Final = 0.3
_MAX_CELLS: Final = 16
#: Registers below this index say what the pack is, not how it is. Source: protocol.md section 5.
_IDENTITY_END: Final = 0x30
_MARKS: Final = {
    "balancing_cells": "balancing",
    "undervoltage_cells": "under its limit",
    "overvoltage_cells": "over its limit",
}
_WORST_FIRST: Final = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)

SAFETY: Final = (
    f"{STOP} If it is hot, swollen, smells or smokes, get away from it and call the fire brigade. "
    "Never open a pack: that is work for qualified people."
)

CAUSE_WORDS: Final[Mapping[str, str]] = {
    Cause.BMS_BOARD: "BMS board",
    Cause.CELL_DAMAGE: "cells",
    Cause.CONNECTION: "wires and connectors",
    Cause.MOISTURE: "moisture",
    Cause.CALIBRATION: "calibration",
    Cause.DEEP_DISCHARGE: "deep discharge",
    Cause.NONE: "no defect in the pack",
}


def of_now(document: Mapping[str, Any], late_s: float) -> dict[str, Any]:
    """Return the pack that an agent sees now.

    Args:
        document: as `read_now` returned it.
        late_s: seconds since it was written.
    """
    ages = document["ages_s"]
    values = {
        name: {"v": value, "age_s": _age(ages.get(name), late_s)}
        for name, value in document["values"].items()
    }
    events = [
        {
            "id": event["id"],
            "kind": _text(event.get("kind")),
            "severity": event["severity"],
            "cell": event["cell"],
            "text": event["text"],
            "since_s": _age(event["since_s"], late_s),
            "saved": event.get("saved") is not False,
        }
        for event in document["events"]
    ]
    return {
        **_pack(values, events),
        "pack": document["pack"],
        "site": _text(document.get("site")),
        "agent": _text(document.get("agent")),
        "bus": _text(document.get("bus")),
        "mode": document["mode"],
        "clock_known": document.get("t") is not None,
        "pack_before": _text(document.get("pack_before")),
        "doubts": [doubt["text"] for doubt in document["doubts"]],
        "diagnosis": diagnosis_of(document.get("diagnosis")),
        "health": health_of(document.get("health")),
        "link": _link(document, late_s),
    }


def of_store(
    summary: PackSummary,
    latest: Mapping[str, tuple[Value, int]],
    events: Sequence[StoredEvent],
    health: StoredHealth | None,
    now_ms: int,
) -> dict[str, Any]:
    """Return a pack as the store knows it last."""
    values = {
        name: {"v": list(value) if isinstance(value, tuple) else value, "age_s": _ago(t, now_ms)}
        for name, (value, t) in latest.items()
    }
    raised = [
        {
            "id": event.id,
            "kind": event.kind,
            "severity": event.severity,
            "cell": event.cell,
            "text": event.text,
            "since_s": _ago(event.raised_ms, now_ms),
            "saved": True,
        }
        for event in events
        if event.is_open
    ]
    return {
        **_pack(values, raised),
        "pack": summary.pack,
        "site": summary.site,
        "agent": summary.agent,
        "bus": summary.bus,
        "mode": None,
        "clock_known": True,
        "doubts": [],
        "diagnosis": health and _ranked_only(health.causes),
        "health": health and health_of(health.rows, _ago(health.t_ms, now_ms)),
        "link": None,
    }


def diagnosis_of(told: object) -> dict[str, Any] | None:
    """Return a diagnosis in words, from the form that `Diagnosis.as_document` gives it.

    None for what is no such document: an agent of another version shall not break the page.
    """
    document = _mapping(told)
    if document is None or not isinstance(document.get("diagnosis"), list):
        return None
    said = _mapping(document.get("evidence")) or {}
    lacks = _mapping(document.get("lacks")) or {}
    causes = []
    for entry in document["diagnosis"]:
        cause = _mapping(entry) or {}
        probability = cause.get("probability")
        if not isinstance(probability, int | float):
            return None
        name = _text(cause.get("cause"))
        causes.append(
            {
                "cause": name,
                "words": CAUSE_WORDS.get(name, name.replace("_", " ")),
                "probability": probability,
                "defect": _text(cause.get("defect")).replace("_", " "),
                "evidence_for": _sentences(cause.get("evidence_for"), said),
                "evidence_against": _sentences(cause.get("evidence_against"), said),
            }
        )
    test = _mapping(document.get("next_test"))
    return {
        "causes": causes,
        "danger": _sentences(document.get("danger"), {}),
        "next_test": test
        and {"action": _text(test.get("action")), "counts_if": _text(test.get("counts_if"))},
        "cannot_judge": [
            f"{name.replace('_', ' ')}{': ' + lacks[name] if _text(lacks.get(name)) else ''}"
            for name in _sentences(document.get("cannot_judge"), {})
        ],
    }


def health_of(told: object, age_s: float | None = None) -> dict[str, Any] | None:
    """Return the derived quantities in words; None if none is known.

    Args:
        told: derived row name -> value; a list for cells, cell 1 first.
        age_s: seconds since it was said; None: just now, or not known.
    """
    known = _mapping(told) or {}
    rows = []
    columns: list[str] = []
    values: list[list[str]] = []
    for row in DERIVED:
        value = known.get(row.name)
        title = row.name.removesuffix("_" + row.name.rpartition("_")[2]) if row.unit else row.name
        title = title.removeprefix("cell_").replace("_", " ")
        if row.per_cell and isinstance(value, list) and value:
            columns.append(f"{title}, {row.unit}")
            values.append([_figure(item) for item in value[:_MAX_CELLS]])
        elif not row.per_cell and isinstance(value, int | float | str) and value != "":
            text = f"{_figure(value)} {row.unit}".strip()
            rows.append({"name": title, "text": text, "means": row.description})
    if not rows and not columns:
        return None
    cells = [
        [str(number), *(column[number - 1] if number <= len(column) else "" for column in values)]
        for number in range(1, max(map(len, values), default=0) + 1)
    ]
    return {"age_s": age_s, "rows": rows, "columns": columns, "cells": cells}


def worst_first(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events by severity; of one severity the oldest, which tells most, comes first."""
    rank = {severity.value: index for index, severity in enumerate(_WORST_FIRST)}
    return sorted(events, key=lambda event: rank.get(event["severity"], len(rank)))


def current_words(current_a: float) -> str:
    """Say what a current does; positive is discharge."""
    if abs(current_a) < _REST_A:
        return "at rest"
    return "discharging" if current_a > 0 else "charging"


def _pack(values: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    raised = worst_first(events)
    status = values.get("status", {}).get("v")
    is_known = isinstance(status, int)
    worst = raised[0]["severity"] if raised else ""
    current = values.get("current_a")
    for event in raised:
        event["title"] = _title(event["kind"], event["cell"])
    return {
        "values": {name: item for name, item in values.items() if not _is_identity(name)},
        "identity": {name: item for name, item in values.items() if _is_identity(name)},
        "current": current and {**current, "text": current_words(current["v"])},
        "cells": _cells(values, raised),
        "flags": list(status_flags(status)) if is_known else [],
        "faults": list(fault_flags(status)) if is_known else [],
        "events": raised,
        "worst": worst,
        "safety": SAFETY if worst == Severity.CRITICAL else "",
    }


def _cells(values: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    reported = values.get("cell_voltages_mv")
    if not reported or not reported["v"]:
        return None
    cells = reported["v"]
    known = [cell for cell in cells if cell is not None]
    middle = median(known) if known else None
    severity: dict[int, str] = {}
    for event in events:
        if event["cell"] is not None:
            severity.setdefault(event["cell"], event["severity"])
    marks: dict[int, list[str]] = {}
    for name, word in _MARKS.items():
        for number in values.get(name, {}).get("v") or ():
            marks.setdefault(number, []).append(word)
    rows = [
        {
            "n": number,
            "mv": cell,
            "dev_mv": None if cell is None or middle is None else round(cell - middle, 1),
            "severity": severity.get(number),
            "marks": marks.get(number, []),
        }
        for number, cell in enumerate(cells, start=1)
    ]
    return {
        "age_s": reported["age_s"],
        "median_mv": middle,
        "spread_mv": max(known) - min(known) if len(known) > 1 else None,
        "rows": rows,
    }


def _link(document: Mapping[str, Any], late_s: float) -> dict[str, Any]:
    outbox = _mapping(document.get("outbox")) or {}
    oldest, t = outbox.get("oldest_ms"), document.get("t")
    counters = document["counters"]
    rejects = [
        count
        for name, count in counters.items()
        if name.startswith("rejects_") and count is not None
    ]
    return {
        "lines": document["lines"],
        "connected": document["uplink"]["connected"],
        "last_error": document["uplink"]["last_error"],
        "waiting": outbox.get("count"),
        "waiting_bytes": outbox.get("bytes"),
        "undated": outbox.get("undated"),
        "stranded": outbox.get("stranded"),
        "buffer_hours_left": document.get("buffer_hours_left"),
        "oldest_s": None if oldest is None or t is None else _age((t - oldest) / 1000, late_s),
        "lost_messages": counters.get("gap_messages"),
        "lost_readings": counters.get("readings_dropped"),
        "counters": counters,
        "rejects": sum(rejects) if rejects else None,
        "store_trouble": document["store_trouble"],
        "bus_trouble": document.get("bus_trouble"),
        "sharing": _text(document.get("sharing")),
    }


def _title(kind: str, cell: int | None) -> str:
    name = kind.replace("_", " ")
    return f"cell {cell}: {name}" if cell is not None else name


def _is_identity(name: str) -> bool:
    row = by_name.get(name)
    return row is not None and row.index < _IDENTITY_END


def _age(age_s: float | None, late_s: float) -> float | None:
    return None if age_s is None else round(age_s + late_s, 1)


def _ago(t_ms: int | None, now_ms: int) -> float | None:
    return None if t_ms is None else round((now_ms - t_ms) / 1000, 1)


def _mapping(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _ranked_only(causes: Mapping[str, float]) -> dict[str, Any] | None:
    """Return what a store keeps of a diagnosis: the causes without their evidence."""
    if not causes:
        return None
    ranked = sorted(causes.items(), key=lambda item: -item[1])
    return diagnosis_of({"diagnosis": [{"cause": c, "probability": p} for c, p in ranked]})


def _figure(value: object) -> str:
    if value is None:
        return "not known"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentences(names: object, said: Mapping[str, Any]) -> list[str]:
    """Return each name's sentence, or the name where there is none."""
    if not isinstance(names, list):
        return []
    return [_text(said.get(name)) or name for name in names if isinstance(name, str)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
