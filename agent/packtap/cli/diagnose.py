"""`packtap diagnose`: what is wrong with a pack, how sure, why, and what to do next."""

import argparse
import hashlib
import json
import logging
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ninebot_bms import Chunk, format_chunk
from packtap.analysis.open_events import OpenEvents
from packtap.cli import EXIT_FAULT, EXIT_FINE, EXIT_SILENT, EXIT_USAGE
from packtap.cli.arguments import duration
from packtap.cli.told import add_told_arguments, judged_by, take_told
from packtap.config import Prices, load_prices
from packtap.errors import CaptureError
from packtap.report.case import Case
from packtap.report.gather import Gathered
from packtap.report.judging import Taken, judge, take_capture
from packtap.report.source import LinkQuality, Source
from packtap.tap import Tap, TapSettings

if TYPE_CHECKING:  # a recording is diagnosed where no serial port can be opened
    from packtap.link import Received

#: Names of serial ports; a file of such a name is still a file.
_PORT: Final = re.compile(r"(?:socket|rfc2217)://.*|COM\d+|/dev/.*", re.IGNORECASE)
_SECONDS: Final = 45.0
_REDRAW_S: Final = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source",
        metavar="PORT|CAPTURE",
        help="a serial port (/dev/..., COM3, socket://HOST:PORT), or a recording of any format; "
        "- for stdin",
    )
    parser.add_argument(
        "--bench",
        action="store_true",
        help="ask the pack for everything; only with its data plug off the scooter "
        "(default: listen, send nothing); of a recording: it was made so",
    )
    parser.add_argument(
        "--seconds",
        type=duration,
        default=_SECONDS,
        metavar="S",
        help=f"how long to attend to a port, default {_SECONDS:.0f}",
    )
    parser.add_argument("--baud", type=int, default=115200, help="of a port, default 115200")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep what a port said")
    add_told_arguments(parser)
    parser.add_argument(
        "--prices", type=Path, metavar="FILE", help="TOML with a table [prices]: your own ranges"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write a page for the customer"
    )
    parser.add_argument("--json", action="store_true", help="one object with everything")


def run(arguments: argparse.Namespace) -> int:
    """Diagnose and show it; exit 1 if something is wrong, 3 if nothing answers."""
    settings, prices = judged_by(arguments, rested=arguments.bench)
    if arguments.prices is not None:
        prices = load_prices(arguments.prices)
    if arguments.report is not None:
        from packtap.report import page  # noqa: F401  # a missing jinja2 is said before the wait
    is_port = bool(_PORT.fullmatch(arguments.source)) and not Path(arguments.source).is_file()
    if not is_port and arguments.save is not None:
        _complain(f"--save is for a port; {arguments.source} is a recording already")
        return EXIT_USAGE
    if is_port:
        taken = _visit(arguments, settings)
    else:
        taken = take_capture(arguments.source, settings, sys.stderr)
    take_told(taken.tap.evidence, arguments)
    case = judge(taken, prices or Prices())
    if case.is_judged:
        _show(case, arguments)
    else:
        _say_nothing_was_heard(case, arguments)
    if taken.broken is not None:
        raise taken.broken
    if case.is_silent or not taken.link.replies:
        return EXIT_SILENT
    return EXIT_FAULT if case.is_fault else EXIT_FINE


def _say_nothing_was_heard(case: Case, arguments: argparse.Namespace) -> None:
    """Say why there is no diagnosis: a ranking must not look as if something had been judged."""
    if arguments.json:
        print(json.dumps(case.as_document()))
    for note in case.notes:
        _complain(note)
    if case.source.trouble:
        _complain(case.source.trouble)
    if arguments.report is not None:
        _complain(f"{arguments.report} was not written: there is nothing to report")


def _visit(arguments: argparse.Namespace, settings: TapSettings) -> Taken:
    """Take what a port says."""
    from packtap.clock import boot_ms
    from packtap.visiting import Visit, VisitPlan

    # What the line reports is said once, as an error or in the diagnosis.
    logging.getLogger("packtap").addHandler(logging.NullHandler())
    plan = VisitPlan(arguments.source, arguments.baud, arguments.bench, arguments.seconds)
    gathered = Gathered()
    tap = Tap(settings, OpenEvents("diagnose"))
    started = datetime.now(UTC)
    with ExitStack() as opened:
        keeper = _Keeper(arguments.save, opened, utc_s=started.timestamp() - boot_ms() / 1000)
        visit = Visit(
            plan,
            tap,
            clock=lambda: boot_ms() / 1000,
            on_data=keeper.keep,
            on_time=_progress(plan.seconds),
        )
        for each in visit.digests():
            gathered.take(each)
    _progress_over()
    source = Source(
        name=plan.port,
        kind="port",
        how="asked on the bench" if plan.bench else "listened, sent nothing",
        sha256=keeper.sha256,
        started=started,
        trouble=visit.bus.trouble or visit.ended_early,
    )
    return Taken(tap, gathered, LinkQuality.of_tally(visit.bus.tally), source)


def _show(case: Case, arguments: argparse.Namespace) -> None:
    if arguments.report is not None:
        from packtap.report.page import render

        try:
            arguments.report.write_text(render(case), encoding="utf-8")
        except OSError as error:
            raise CaptureError(
                f"{arguments.report} cannot be written: {error.strerror or error}"
            ) from error
    if arguments.json:
        print(json.dumps(case.as_document()))
        return
    from rich.console import Console

    from packtap.cli.diagnose_screen import render as draw

    Console(highlight=False).print(draw(case, report=arguments.report))


class _Keeper:
    """Writes what a port said as capture text, and hashes it; without a file it does nothing."""

    def __init__(self, path: Path | None, opened: ExitStack, utc_s: float) -> None:
        self._utc_s = utc_s  # a recording carries dates: as this computer's clock says them
        self._digest = hashlib.sha256()
        self._file = None
        if path is None:
            return
        try:
            self._file = opened.enter_context(path.open("wb"))
        except OSError as error:
            raise CaptureError(f"{path} cannot be written: {error.strerror or error}") from error

    @property
    def sha256(self) -> str | None:
        """Hash of the file; None if there is none."""
        return None if self._file is None else self._digest.hexdigest()

    def keep(self, received: "Received") -> None:
        """Take one read."""
        if self._file is None:
            return
        chunk = Chunk(received.t + self._utc_s, received.line, received.data)
        line = f"{format_chunk(chunk)}\n".encode()
        self._file.write(line)
        self._digest.update(line)


def _progress(seconds: float) -> Callable[[float], None]:
    """Return what says on a terminal how long it still takes."""
    shown = -_REDRAW_S
    is_terminal = sys.stderr is not None and sys.stderr.isatty()

    def tell(passed_s: float) -> None:
        nonlocal shown
        if is_terminal and passed_s - shown >= _REDRAW_S:
            shown = passed_s
            sys.stderr.write(f"\rreading the pack: {passed_s:.0f} of {seconds:.0f} s ")
            sys.stderr.flush()

    return tell


def _progress_over() -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write("\r" + " " * 40 + "\r")
        sys.stderr.flush()


def _complain(line: str) -> None:
    print(f"packtap: {line}", file=sys.stderr)
