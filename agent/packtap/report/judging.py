"""From bytes to a case, floor 4: a recording through the path of live data, and what it comes to.

The command `diagnose` and the page's report of a flight recording are made here, so both say the
same of the same bytes.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from ninebot_bms import BMS, Observer
from packtap.analysis.configured import configured
from packtap.analysis.limits import CellLimits
from packtap.analysis.open_events import OpenEvents
from packtap.config import Prices
from packtap.errors import CaptureError
from packtap.inputs import STANDARD_INPUT, open_capture
from packtap.replaying import replay
from packtap.report.case import Case, make_case
from packtap.report.gather import Gathered
from packtap.report.source import LinkQuality, Source, Timed, utc_of
from packtap.tap import Tap, TapSettings

__all__ = ["Taken", "judge", "take_capture"]

#: How `packtap simulate` begins a recording.
_SIMULATED: Final = "simulated by packtap"


@dataclass(frozen=True, slots=True)
class Taken:
    """What was read, before it is judged.

    Attributes:
        tap: has seen all of it; what a person tells goes into its evidence.
        gathered: readings, events, courses.
        link: quality of the line.
        source: where it comes from.
        broken: why a recording could not be read to its end; None if it could.
    """

    tap: Tap
    gathered: Gathered
    link: LinkQuality
    source: Source
    broken: CaptureError | None = None


def take_capture(name: str, settings: TapSettings, progress: TextIO | None = None) -> Taken:
    """Read a recording of any format; what was read before a break is worth a diagnosis.

    Args:
        name: of the file, or "-" for standard input.
        settings: what to judge by.
        progress: where to say how far it is, if that is a terminal.

    Raises:
        CaptureError: it cannot be read, or broke before the first frame.
    """
    gathered, observer = Gathered(), Observer()
    tap = Tap(settings, OpenEvents("diagnose"))
    digest = hashlib.sha256()
    broken: CaptureError | None = None
    how, first_t, is_simulated = "", None, False
    try:
        with open_capture(name, progress=progress, witness=digest.update) as capture:
            is_simulated = capture.remark.startswith(_SIMULATED)
            timed = Timed(capture)
            for each in replay(timed, tap, observer):
                gathered.take(each)
            how = "" if capture.format is None else capture.format.value
            first_t = timed.first_t
    except CaptureError as error:
        if not any(line.frames for line in observer.counts.values()):
            raise
        broken = error
    source = Source(
        name="standard input" if name == STANDARD_INPUT else Path(name).name,
        kind="capture",
        how=how,
        sha256=digest.hexdigest(),
        started=utc_of(first_t),
        trouble="" if broken is None else str(broken),
        is_simulated=is_simulated,
    )
    return Taken(tap, gathered, LinkQuality.of_observer(observer), source, broken)


def judge(taken: Taken, prices: Prices) -> Case:
    """Return everything that the diagnosis shows."""
    tap, evidence = taken.tap, taken.tap.evidence
    return make_case(
        tap.diagnose(),
        taken.gathered,
        taken.link,
        taken.source,
        pack=tap.pack,
        is_told=bool(evidence.observed) or evidence.fault_reported,
        is_silent="never_answered" in evidence.signs and not taken.gathered.readings,
        prices=prices,
        cell_limits=configured(CellLimits, tap.limits(BMS)),
    )
