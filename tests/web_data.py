"""Stores and now-files for the tests of the page."""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packtap.clock import boot_id, boot_ms
from packtap.store import Draft, Store

DAY_MS = 86_400_000
PACK = "3JDEA24M1D0815"
#: What a hostile pack would like to be called.
HOSTILE = "<img src=x onerror=alert(1)>'\"&</script>"


def now_document(**changes: Any) -> dict[str, Any]:
    """What an agent writes, fresh by this machine's clock."""
    document: dict[str, Any] = {
        "v": 1,
        "version": "0.1.0",
        "site": "depot",
        "agent": "pi",
        "bus": "a",
        "mode": "listen",
        "boot": boot_id(),
        "boot_s": boot_ms() / 1000,
        "t": 1_790_000_000_000,
        "pack": PACK,
        "values": {
            "voltage_v": 36.55,
            "current_a": 3.25,
            "soc_pct": 55,
            "status": 1,
            "serial": PACK,
            "cell_voltages_mv": [3650, 3655, None, 3500, 3652],
            "balancing_cells": [2],
        },
        "ages_s": {
            "voltage_v": 0.4,
            "current_a": 0.4,
            "soc_pct": 30.0,
            "status": 0.4,
            "serial": 600.0,
            "cell_voltages_mv": 1.0,
            "balancing_cells": 1.0,
        },
        "flags": ["config_valid"],
        "cell_count": 5,
        "doubts": [],
        "events": [],
        "lines": [{"name": "bms", "port": "/dev/ttyB", "is_up": True, "reason": ""}],
        "counters": {"frames": 100, "readings": 50, "unanswered": 2, "rejects_checksum": 1},
        "uplink": {"connected": True, "last_error": None},
        "outbox": {"count": 3, "bytes": 900, "oldest_ms": 1_789_999_990_000, "undated": 0},
        "buffer_hours_left": 900.0,
        "store_trouble": None,
        "bus_trouble": None,
    }
    return document | changes


def raised(**changes: Any) -> dict[str, Any]:
    """One event as the now-document tells it."""
    event: dict[str, Any] = {
        "id": f"{PACK}/high_resistance_cell/04/store/1",
        "kind": "high_resistance_cell",
        "cell": 4,
        "severity": "warning",
        "since_s": 65.0,
        "text": "Cell 4 sags 180 mV more than the others at 12 A. Check its welds.",
        "saved": True,
    }
    return event | changes


def write_now(path: Path, document: dict[str, Any]) -> None:
    """Put the document in place of the last one, as the agent does."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(json.dumps(document))
    fresh.replace(path)


def readings_of_days(
    end_ms: int, days: int, hours: float, *, pack: str = PACK, seed: int = 1
) -> Iterator[Draft]:
    """Rides of ten cells, one reading a second, a minute a batch; cell 7 sinks 3 mV a day."""
    chance = random.Random(seed)
    for day in range(days):
        start = end_ms - (days - day) * DAY_MS + 8 * 3_600_000
        for minute in range(int(hours * 60)):
            flicker = [[chance.randint(-3, 3) for _ in range(10)] for _ in range(6)]
            level = 4100 - int(500 * minute / (hours * 60))
            cells = [
                [level + v - (3 * day if n == 6 else 0) for n, v in enumerate(flicker[i % 6])]
                for i in range(60)
            ]
            amps = [round(8 + 7 * math.sin((minute * 60 + i) / 40), 2) for i in range(60)]
            columns = {
                "cell_voltages_mv": cells,
                "voltage_v": [sum(row) / 1000 for row in cells],
                "current_a": amps,
                "soc_pct": [100 - int(80 * minute / (hours * 60))] * 60,
                "temperature_1_c": [20 + minute // 30] * 60,
                "temperature_2_c": [21 + minute // 30] * 60,
            }
            at = start + minute * 60_000
            yield Draft(
                kind="readings",
                site="depot",
                agent="pi",
                bus="a",
                pack=pack,
                boot="boot",
                utc_offset_ms=0,
                times_ms=tuple(range(at, at + 60_000, 1000)),
                body={"columns": columns},
            )


def fill(path: Path, drafts: Iterator[Draft], at_once: int = 500) -> int:
    """Commit many drafts, some hundred in one transaction; return how many readings."""
    count = 0
    with Store.open(path, 2_000_000_000) as store:
        waiting: list[Draft] = []
        for draft in drafts:
            count += len(draft.times_ms)
            waiting.append(draft)
            if len(waiting) == at_once:
                store.commit(waiting)
                waiting.clear()
        store.commit(waiting)
    return count


def event_draft(number: int, *, t_ms: int, state: str = "raised", **changes: Any) -> Draft:
    """One end of an event in the store."""
    body: dict[str, Any] = {
        "id": f"{PACK}/cell_undervoltage/07/store/{number}",
        "kind": "cell_undervoltage",
        "severity": "critical",
        "state": state,
        "cell": 7,
        "value": 2700.0,
        "limit": 2800.0,
        "unit": "mV",
        "text": "Cell 7 is at 2700 mV, below 2800 mV.",
    }
    pack = changes.pop("pack", PACK)
    return Draft(
        kind="event",
        site="depot",
        agent="pi",
        bus="a",
        pack=pack,
        boot="boot",
        utc_offset_ms=0,
        times_ms=(t_ms,),
        body=body | changes,
    )
