"""The dashboard *Fleet*: which pack is the worst, and what is missing."""

from typing import Final

from packtap.dashboards.panel import Dashboard, Panel
from packtap.dashboards.query import Query, q

__all__ = ["FLEET"]

_PACK: Final = "packtap-pack"
_RANGE: Final = "Looks at the range of time chosen above."


def _open(severity: str) -> Query:
    select = 'last("state") AS open, last("value") AS measured, last("limit") AS against, ' \
        'last("text") AS words'  # fmt: skip
    return Query(
        "event", select, ("pack", "kind", "cell", "agent"), where=f"\"severity\" = '{severity}'"
    )


def _worst(severity: str, words: str) -> Panel:
    return Panel(
        f"Open now: {severity}", "table",
        f"Open events of this severity: {words} A click on a pack opens it. {_RANGE}",
        (_open(severity),), size=(24, 7), only=("open", 1), to=_PACK,
        hide=("Time", "open"),
        rename={"words": "what was seen, what it means, what to do"},
    )  # fmt: skip


def _count(severity: str, colour: str) -> Panel:
    inner = Query(
        "event", 'last("state") AS open', ("pack", "kind", "cell"),
        where=f"\"severity\" = '{severity}'", outer='sum(open) AS "open"',
    )  # fmt: skip
    return Panel(
        f"Open: {severity}", "stat",
        f"Events of this severity that are raised and not cleared. {_RANGE}",
        (inner,), unit="count", thresholds=((1, colour),), size=(6, 4),
    )  # fmt: skip


FLEET: Final = Dashboard(
    "packtap-fleet",
    "Fleet",
    "Worst packs first, what is wrong with them, and whether data is missing.",
    (
        Panel(
            "Packs heard", "stat", f"Packs that reported a voltage. {_RANGE}",
            (Query("pack", 'last("voltage_v") AS v', ("pack",), outer='count(v) AS "packs"'),),
            unit="count", size=(6, 4),
        ),
        _count("critical", "red"),
        _count("warning", "orange"),
        Panel(
            "Readings lost", "stat",
            "Samples that a device dropped because its store was full before they could be "
            f"delivered. Not more than that is missing: packtap gaps proves it. {_RANGE}",
            (q("gap", 'sum("samples") AS samples'),),
            unit="count", thresholds=((1, "red"),), size=(6, 4),
        ),
        _worst("critical", "stop using these packs."),
        _worst("warning", "act soon."),
        Panel(
            "Most likely cause, most certain first", "table",
            "The diagnosis of each pack: what explains the evidence best and how probable it is. "
            "No defect is left out here; a pack that is not listed gave no reason to doubt it.",
            (
                q(
                    "diagnosis", 'last("probability") AS confidence', "pack", "cause",
                    where="\"cause\" != 'none'",
                ),
            ),
            sort=("confidence", True), units={"confidence": "share"}, hide=("Time",), to=_PACK,
        ),
        Panel(
            "Last heard, longest silence first", "table",
            "When each pack last reported its voltage. A parked pack may be asleep; an agent that "
            "is silent too has lost power or network: see Agents.",
            (q("pack", 'last("voltage_v") AS voltage', "pack", "agent", "site"),),
            sort=("Time", False), units={"Time": "ago", "voltage": "V"}, to=_PACK,
            rename={"Time": "heard"},
        ),
        Panel(
            "Packs by model and age", "table",
            "What each pack says of itself. full: what its board takes for a full charge; "
            "estimate: what packtap measured between two rests.",
            (
                q(
                    "pack",
                    'last("firmware") AS firmware, last("manufacture_date") AS made, '
                    'last("design_capacity_mah") AS design, last("full_capacity_mah") AS full, '
                    'last("capacity_estimate_mah") AS estimate, last("cycle_count") AS cycles, '
                    'last("health_pct") AS health',
                    "pack",
                ),
            ),
            hide=("Time",), to=_PACK, size=(24, 8), sort=("made", False),
            units={"design": "mAh", "full": "mAh", "estimate": "mAh", "health": "%"},
        ),
        Panel(
            "Health that the boards report", "bargauge",
            "The board's own estimate, often wrong: compare it with the capacity measured.",
            (q("pack", 'last("health_pct")', "pack"),), unit="%", alias="$tag_pack",
        ),
        Panel(
            "Spread of cell resistance", "bargauge",
            "Highest minus lowest cell of a pack. A cell far above the others ages faster or has a "
            "poor joint.",
            (
                Query(
                    "cell", 'last("cell_resistance_mohm") AS r', ("pack", "cell"),
                    outer='max(r) - min(r) AS "spread"', outer_by=("pack",),
                ),
            ),
            unit="mOhm", thresholds=((10, "orange"), (30, "red")), alias="$tag_pack",
        ),
        Panel(
            "Swapped or copied packs", "table",
            "Packs of which something says that this is another board, or a copied serial number.",
            (q("pack", 'last("identity_doubt") AS doubt', "pack", "agent"),),
            to=_PACK, size=(24, 6), rename={"Time": "since"},
        ),
    ),
    range="now-30d",
)  # fmt: skip
