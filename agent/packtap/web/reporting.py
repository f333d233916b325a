"""The report of a pack as one file: what `diagnose --report` writes, of what the page knows.

Made of the store and of what the agent tells now; or of a flight recording, through the path of
live data. What it is made of stands in it. One at a time: a report is worked out, not looked up.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from packtap.config import Prices
from packtap.report.case import Case
from packtap.report.judging import judge, take_capture
from packtap.report.stored import NothingToReportError, stored_case
from packtap.store import PackSummary, Store
from packtap.tap import TapSettings
from packtap.web.flights import Flights
from packtap.web.missing import MissingError

__all__ = ["NoReportError", "report_of_flight", "report_of_store"]

#: Packed. The flight recorder writes 2 MB by default; more is work for a computer, not for a Pi.
_MOST_BYTES: Final = 8_000_000
_LIMITS: Final = (
    "A flight recording: what the wires said around one critical event, judged by itself, with "
    "packtap's usual limits and prices."
)


class NoReportError(MissingError):
    """Nothing can be reported of this."""


def report_of_store(
    path: Path, summary: PackSummary, now: Mapping[str, Any] | None, notice: str
) -> str:
    """Return the page for a pack, made of its store.

    Args:
        path: of the store.
        summary: which pack.
        now: what the agent beside it tells now; None: none does.
        notice: what stands above every page, "" for nothing: on paper too.

    Raises:
        PacktapError: there is nothing to report, or the store cannot be read.
    """
    try:
        with Store.open_read_only(path) as store:
            case = stored_case(store, summary, now)
    except NothingToReportError as error:
        raise NoReportError(str(error)) from error
    return _page(case, notice)


def report_of_flight(flights: Flights, name: str, notice: str) -> str:
    """Return the page for a flight recording.

    Args:
        flights: those beside the pack's store.
        name: of one of them.
        notice: as above.

    Raises:
        PacktapError: it cannot be read, is too large, or there is nothing to report.
    """
    path, size = flights.path(name)
    if size > _MOST_BYTES:
        raise NoReportError(
            "This recording is too large to be judged here: download it, and run packtap diagnose."
        )
    taken = take_capture(str(path), TapSettings())
    case = judge(replace(taken, source=replace(taken.source, basis=(_LIMITS,))), Prices())
    if not case.is_judged:
        raise NoReportError("Nothing of a pack was heard in this recording: nothing to report.")
    return _page(case, notice)


def _page(case: Case, notice: str) -> str:
    # Here: who never asks for a report needs no jinja2, and no time to load it.
    try:
        from packtap.report.page import render
    except ModuleNotFoundError as error:
        raise NoReportError(
            "A report needs the package jinja2: pip install 'packtap[web]'."
        ) from error
    return render(replace(case, notes=(*filter(None, (notice,)), *case.notes)))
