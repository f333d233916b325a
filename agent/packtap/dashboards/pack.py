"""The dashboards of one pack: *Pack*, *Cells*, and both over months (*History*)."""

from typing import Final

from packtap.dashboards.panel import LONG, Annotation, Dashboard, Panel
from packtap.dashboards.query import Query, q

__all__ = ["CELLS", "HISTORY", "PACK"]

_EVERY: Final = "$__interval"
_RAISED: Final = {"0": ("clear", "green"), "1": ("raised", "red")}
_EVENTS: Final = (
    Annotation("Events raised", q("event", '"text", "kind", "severity", "cell", "state"'), "red"),
)


def _median(function: str) -> Query:
    """Return the middle, lowest or highest of the cells in each window."""
    return Query(
        "cell", 'mean("voltage_mv") AS v', ("cell",), _EVERY,
        outer=f'{function}(v) AS "{function}"', outer_every=_EVERY,
    )  # fmt: skip


_CELL_MV: Final = ((4250.0, "red"),)

PACK: Final = Dashboard(
    "packtap-pack",
    "Pack",
    "One pack: its cells, its load, its events and what explains them.",
    (
        Panel(
            "Charge", "stat", "State of charge that the board reports.",
            (q("pack", 'last("soc_pct")'),), unit="%", size=(4, 4),
        ),
        Panel(
            "Voltage", "stat", "Of the whole pack.", (q("pack", 'last("voltage_v")'),),
            unit="V", size=(4, 4),
        ),
        Panel(
            "Time to limit", "stat",
            "Hours until the first cell reaches a limit if its trend goes on; not known without a "
            "trend that is certain. Plan a service before it ends.",
            (q("pack", 'last("time_to_limit_h")'),), unit="h", size=(4, 4),
        ),
        Panel(
            "Measured capacity", "stat",
            "Charge that the pack holds, measured between two rests; its error is beside it.",
            (q("pack", 'last("capacity_estimate_mah") AS capacity, '
               'last("capacity_estimate_error_mah") AS "standard error"'),),
            unit="mAh", size=(6, 4), alias="$col",
        ),
        Panel(
            "Outlook", "table", "Time to limit, or why there is none, in words.",
            (q("pack", 'last("outlook") AS outlook'),), size=(6, 4), rename={"Time": "said"},
        ),
        Panel(
            "Events: what was raised, and when", "state-timeline",
            "One row a kind and cell; 00 means no single cell. Red: raised and not cleared.",
            (q("event", 'last("state")', "kind", "cell", every=_EVERY),),
            size=(24, 7), alias="$tag_kind $tag_cell", mappings=_RAISED,
        ),
        Panel(
            "Every cell", "timeseries",
            "A cell that leaves the others under load has more resistance; one that leaves them at "
            "rest has less charge.",
            (q("cell", 'mean("voltage_mv")', "cell", every=_EVERY),),
            unit="mV", size=(12, 10), alias="cell $tag_cell",
        ),
        Panel(
            "Lowest, median and highest cell", "timeseries",
            "The band of all cells. A parallel band is normal; one that opens is not.",
            (_median("min"), _median("median"), _median("max")),
            unit="mV", size=(12, 10), alias="$col",
        ),
        Panel(
            "Deviation from the median at rest", "timeseries",
            "Points of charge by which a cell is off the median, at rest: imbalance, free of load.",
            (q("cell", 'mean("cell_rest_deviation_pct")', "cell", every=_EVERY),),
            unit="%", alias="cell $tag_cell",
        ),
        Panel(
            "Current", "timeseries", "Above 0 the pack discharges, below 0 it charges.",
            (q("pack", 'min("current_a") AS lowest, mean("current_a") AS mean, '
               'max("current_a") AS highest', every=_EVERY),),
            unit="A", alias="$col",
        ),
        Panel(
            "Temperature", "timeseries",
            "Sensors of the board. Charging below 0 or above 45 degrees harms the cells.",
            (q("pack", 'max("temperature_1_c") AS "sensor 1", max("temperature_2_c") AS "sensor 2"',
               every=_EVERY),),
            unit="degC", thresholds=((45, "orange"), (60, "red")), alias="$col",
        ),
        Panel(
            "Charge that the board reports", "timeseries",
            "A leap in the charge that no current explains is an event.",
            (q("pack", 'mean("soc_pct") AS charge', every=_EVERY),), unit="%", alias="$col",
        ),
        Panel(
            "Diagnosis", "timeseries",
            "How probable each cause is. It says what explains the evidence, not what was proved: "
            "the test that it proposes decides.",
            (q("diagnosis", 'last("probability")', "cause", every=_EVERY),),
            unit="share", alias="$tag_cause",
        ),
        Panel(
            "Identity", "table", "What the pack says of itself, and what speaks against it.",
            (q("pack", 'last("serial") AS serial, last("firmware") AS firmware, '
               'last("manufacture_date") AS made, last("design_capacity_mah") AS "design mAh", '
               'last("cycle_count") AS cycles, last("identity_doubt") AS doubt', "pack"),),
            size=(24, 4), hide=("Time",),
        ),
        Panel(
            "Events", "table", "Both ends of every event, the words that were told with it.",
            (Query("event", '"state", "kind", "severity", "cell", "value", "limit", "text"'),),
            size=(24, 9), sort=("Time", True), mappings=_RAISED,
        ),
    ),
    range="now-24h", one_pack=True, annotations=_EVENTS,
)  # fmt: skip


def _per_cell(title: str, row: str, unit: str, words: str) -> Panel:
    return Panel(
        title, "timeseries", words, (q("cell", f'mean("{row}")', "cell", every=_EVERY),),
        unit=unit, alias="cell $tag_cell",
    )  # fmt: skip


CELLS: Final = Dashboard(
    "packtap-cells",
    "Cells",
    "The cells of one pack beside each other, and where they are going.",
    (
        Panel(
            "Cell by time", "heatmap",
            "Mean voltage of each cell. A row of another colour than the others is the weak one.",
            (q("cell", 'mean("voltage_mv")', "cell", every=_EVERY),),
            unit="mV", size=(24, 9), alias="$tag_cell",
        ),
        _per_cell(
            "Trend of the deviation at rest", "cell_rest_deviation_slope_pct_per_week", "%/week",
            "How fast a cell leaves the median. Shown once enough rests were seen; a trend that "
            "goes on ends at the limit of cell_imbalance.",
        ),
        Panel(
            "Time to limit", "timeseries",
            "Hours until the first cell reaches a limit, with its 90 % interval.",
            (q("pack", 'last("time_to_limit_low_h") AS low, last("time_to_limit_h") AS likely, '
               'last("time_to_limit_high_h") AS high', every=_EVERY),),
            unit="h", alias="$col",
        ),
        _per_cell(
            "Resistance", "cell_resistance_mohm", "mOhm",
            "Of the cell with its sense span, measured while riding. One cell that rises alone: "
            "ageing or a joint.",
        ),
        _per_cell(
            "Self-discharge", "cell_drift_pct_per_h", "%/h",
            "What a cell gains on the median at rest; below 0 it loses by itself.",
        ),
    ),
    range="now-30d", one_pack=True, annotations=_EVENTS,
)  # fmt: skip


def _long(title: str, measurement: str, row: str, unit: str, words: str) -> Panel:
    tag = ("cell",) if measurement == "cell" else ()
    if tag:
        select, alias = f'mean("{row}_mean")', "cell $tag_cell"
    else:
        select = (
            f'min("{row}_min") AS lowest, mean("{row}_mean") AS mean, max("{row}_max") AS highest'
        )
        alias = "$col"
    return Panel(
        title, "timeseries", words, (q(f"{measurement}_${{window}}", select, *tag, every=_EVERY),),
        unit=unit, alias=alias, source=LONG, size=(12, 9),
    )  # fmt: skip


HISTORY: Final = Dashboard(
    "packtap-history",
    "History",
    "One pack over months and years, from windows of 5 minutes or of a day.",
    (
        _long("Every cell", "cell", "voltage_mv", "mV", "Mean of each cell and window."),
        _long("Voltage", "pack", "voltage_v", "V", "Of the whole pack."),
        _long("Current", "pack", "current_a", "A", "Above 0 the pack discharges."),
        _long("Charge", "pack", "soc_pct", "%", "That the board reports."),
        _long(
            "Resistance", "cell", "cell_resistance_mohm", "mOhm",
            "Rises slowly with age; one cell alone is a defect.",
        ),
        _long(
            "Deviation at rest", "cell", "cell_rest_deviation_pct", "%",
            "Points of charge off the median, at rest.",
        ),
        _long(
            "Measured capacity", "pack", "capacity_estimate_mah", "mAh",
            "Between two rests: falls with age.",
        ),
        _long("Temperature", "pack", "temperature_1_c", "degC", "Sensor 1 of the board."),
    ),
    range="now-1y", one_pack=True, window=True, annotations=_EVENTS,
)  # fmt: skip
