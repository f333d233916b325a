"""The page for the customer, floor 4: one file, no network, escaped, made for A4.

The door of jinja2. Everything that came from a wire or a person is text to the template, never
markup: autoescape is on, and the template has no `safe`.
"""

from datetime import UTC, datetime
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from packtap import __version__
from packtap.analysis.remedies import LIFESPAN_YEARS, SAFETY, TITLES
from packtap.model import EventState
from packtap.report.case import Case
from packtap.report.drawing import draw_cells, draw_deviations, draw_power

__all__ = ["render"]

#: Marks in a plot; more of them would hide it.
_MOST_MARKS: Final = 12
_MOST_EVENTS: Final = 40


def render(case: Case, now: datetime | None = None) -> str:
    """Return the page.

    Args:
        case: the diagnosis.
        now: UTC, when the page was made; the clock's now if not given.
    """
    environment = Environment(
        loader=PackageLoader("packtap.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    environment.filters["span"] = _span
    template = environment.get_template("report.html")
    gathered = case.gathered
    cells = gathered.cells()
    noted = list(gathered.noted())
    raised = [entry for entry in noted if entry.event.state is EventState.RAISED]
    named = gathered.named()
    total = gathered.seconds or 0.0
    marks = [
        entry.after_s
        for entry in raised
        if entry.after_s is not None and 0 <= entry.after_s <= total
    ][:_MOST_MARKS]
    return template.render(
        case=case,
        now=now or datetime.now(UTC),
        version=__version__,
        safety=SAFETY,
        titles=TITLES,
        lifespan=LIFESPAN_YEARS,
        cells=cells,
        named=named,
        bars=draw_cells(cells, named, case.cell_limits, "Cell voltages") if cells else None,
        deviations=draw_deviations(
            gathered.deviations, len(cells), named, marks, "Deviation of each cell over time"
        ),
        power=draw_power(gathered.power, marks, "Pack voltage and current over time"),
        events=noted[:_MOST_EVENTS],
        events_left_out=max(0, len(noted) - _MOST_EVENTS) + gathered.events_left_out,
        lacks=_grouped(case),
        raised_state=EventState.RAISED,
    )


def _grouped(case: Case) -> list[tuple[str, str]]:
    """Return what is lacking and the kinds that lack it."""
    grouped: dict[str, list[str]] = {}
    for kind, words in case.diagnosis.lacks.items():
        grouped.setdefault(words, []).append(kind.replace("_", " "))
    return [(words, ", ".join(unjudged)) for words, unjudged in grouped.items()]


def _moment(at: datetime | None) -> str:
    return "not known" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if abs(seconds) < 180:
        return f"{seconds:.0f} s"
    if abs(seconds) < 7200:
        return f"{seconds / 60:.0f} min"
    if abs(seconds) < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"
