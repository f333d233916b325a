"""`packtap simulate`: an emulated scooter with chosen faults, on pseudo-terminals or as a capture.

Simulated, and called so: on the screen, and in the first line of a capture.
"""

import argparse
import gzip
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from ninebot_bms import Dialect
from ninebot_bms.capture_lines import format_chunk
from packtap.cli import EXIT_FINE, EXIT_USAGE
from packtap.cli.arguments import delay, duration
from packtap.errors import CaptureError
from packtap.inputs import STANDARD_INPUT, open_capture
from packtap.simulated.day import STORIES
from packtap.simulated.fault_rows import FAULTS, parse_fault
from packtap.simulated.faults import Fault
from packtap.simulated.recording import Recorder
from packtap.simulated.scooter import Plan
from packtap.simulated.shared import PHONE_S, SharedWire
from packtap.simulated.wires import Wires

_HELP: Final = "help"
_REDRAW_S: Final = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[:CELL][:SEVERITY]",
        help="what is wrong, severity 0-1, default 0.5; again for another one; help lists them",
    )
    parser.add_argument("--onset", type=delay, metavar="S", help="when faults begin")
    parser.add_argument(
        "--story", choices=tuple(STORIES), help="default: what the fault needs, else ride"
    )
    parser.add_argument("--dialect", choices=("xiaomi", "ninebot"), default="xiaomi")
    parser.add_argument(
        "--bench",
        action="store_true",
        help="the pack alone on one line: nobody asks, it answers (default: an ESC and an app ask)",
    )
    parser.add_argument(
        "--share",
        action="store_true",
        help="the one wire between dashboard and controller, for an agent with mode share; the "
        f"phone shows its battery page for the first {PHONE_S:.0f} s",
    )
    parser.add_argument(
        "--no-app",
        action="store_true",
        help="only the ESC asks: no cells on the wire, as on a stock scooter",
    )
    parser.add_argument("--cells", type=int, default=10, metavar="N", help="1-16, default 10")
    parser.add_argument(
        "--soc", type=float, metavar="PCT", help="charge at the start (default: by the story)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of rider and cells, default 1")
    parser.add_argument(
        "--seconds", type=duration, metavar="S", help="stop after this long (default with --out: "
        "by the story)",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=Path,
        metavar="CAPTURE",
        help="write a capture, faster than real time, instead of opening ports (.gz: packed)",
    )
    parser.add_argument(
        "--play", metavar="CAPTURE", help="play a recording instead, with its own timing"
    )
    parser.add_argument("--json", action="store_true", help="print the ports as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the ports, then emulate until interrupted; or write a capture."""
    if _HELP in arguments.fault:
        _print_faults(as_json=arguments.json)
        return EXIT_FINE
    if arguments.share and (arguments.bench or arguments.out or arguments.play):
        print("packtap: --share opens a port of its own: not with --bench, --out, --play",
              file=sys.stderr)  # fmt: skip
        return EXIT_USAGE
    try:
        plan = _plan(arguments)
    except ValueError as error:
        print(f"packtap: {error}", file=sys.stderr)
        return EXIT_USAGE
    if arguments.out is not None:
        return _write(plan, arguments)
    return _open_ports(plan, arguments)


def _plan(arguments: argparse.Namespace) -> Plan:
    """Return what the options ask for.

    Raises:
        ValueError: that cannot be.
    """
    faults = tuple(parse_fault(text, arguments.onset) for text in arguments.fault)
    row = faults[0].row if faults else None
    story = arguments.story or (row.story if row is not None else "ride")
    soc_pct = arguments.soc
    if soc_pct is None and row is not None and story == row.story:
        soc_pct = row.soc_pct
    if arguments.out is None:
        for fault in faults:
            if fault.row.capture_only:
                raise ValueError(f"{fault.row.name} shows in a capture only: add --out CAPTURE")
    needed: dict[str, Any] = dict(row.plan) if row is not None else {}
    return Plan(
        cells=arguments.cells,
        soc_pct=soc_pct,
        seed=arguments.seed,
        story=story,
        faults=faults,
        **needed,
    )


def _seconds(plan: Plan, faults: tuple[Fault, ...]) -> float:
    """Return how much of the story shows what was asked for."""
    story_s = STORIES[plan.story].seconds
    needed = [fault.row.seconds or story_s for fault in faults if fault.row.story == plan.story]
    return max(needed, default=story_s)


def _write(plan: Plan, arguments: argparse.Namespace) -> int:
    wires = Wires(plan, Dialect(arguments.dialect), app=not arguments.no_app)
    seconds = arguments.seconds or _seconds(plan, plan.faults)
    recorder = Recorder(seed=plan.seed)
    progress = _Progress(sys.stderr, seconds)
    chunks = 0
    with _opened(arguments.out) as file:
        file.write(f"# simulated by packtap, no real scooter: {_told(plan, seconds)}\n")
        for chunk in recorder.record(wires, seconds):
            file.write(f"{format_chunk(chunk)}\n")
            chunks += 1
            progress.show(wires.scooter.now)
    progress.clear()
    told = {"simulated": True, "capture": str(arguments.out), "seconds": seconds, "chunks": chunks}
    if arguments.json:
        print(json.dumps({**told, "onsets_s": [fault.onset_s for fault in plan.faults]}))
    else:
        print(
            f"{arguments.out}: {chunks} chunks, {seconds:.0f} s, simulated: {_told(plan, seconds)}"
        )
    return EXIT_FINE


def _told(plan: Plan, seconds: float) -> str:
    wrong = ", ".join(
        f"{fault.row.name}"
        f"{f' at cell {fault.place(plan.cells)}' if fault.row.per_cell else ''}"
        f"{f' ({fault.value:.4g} {fault.row.unit})' if fault.row.unit else ''}"
        f" from {fault.onset_s:.0f} s"
        for fault in plan.faults
    )
    return f"{plan.story}, {plan.cells} cells, seed {plan.seed}, {seconds:.0f} s; " + (
        wrong or "nothing is wrong"
    )


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with (
            gzip.open(path, "wt", encoding="ascii")
            if path.suffix == ".gz"
            else path.open("w", encoding="ascii")
        ) as file:
            yield file
    except (FileNotFoundError, IsADirectoryError, PermissionError, NotADirectoryError) as error:
        raise CaptureError(f"{path} cannot be written: {error.strerror}") from error


class _Progress:
    """Says on a terminal how far a long simulation is; silent elsewhere."""

    def __init__(self, out: TextIO, seconds: float) -> None:
        self._out = out if out.isatty() else None
        self._seconds = seconds
        self._next = time.monotonic() + _REDRAW_S

    def show(self, now: float) -> None:
        if self._out is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + _REDRAW_S
            self._out.write(f"\rsimulated {now:8.0f} of {self._seconds:.0f} s")
            self._out.flush()

    def clear(self) -> None:
        if self._out is not None:
            self._out.write("\r" + " " * 40 + "\r")


def _print_faults(*, as_json: bool) -> None:
    for row in FAULTS.values():
        if as_json:
            print(json.dumps({
                "name": row.name, "what": row.what, "unit": row.unit, "mild": row.mild,
                "severe": row.severe, "story": row.story, "per_cell": row.per_cell,
                "onset_s": row.onset_s,
            }))  # fmt: skip
            continue
        cell = "[:CELL]" if row.per_cell else ""
        severity = "[:SEVERITY]" if row.mild != row.severe else ""
        span = f"; {row.mild:g} to {row.severe:g} {row.unit}" if row.unit else ""
        print(f"{row.name}{cell}{severity}\n    {row.what}{span}; story {row.story}")


def _open_ports(plan: Plan, arguments: argparse.Namespace) -> int:
    try:
        from packtap.emulated_bus import EmulatedScooter, EmulatedSharedWire, PtyLine, play
    except ModuleNotFoundError as error:
        if error.name not in ("termios", "tty", "pty"):
            raise
        print(
            "packtap: simulate needs pseudo-terminals (Linux, macOS); --out writes a capture",
            file=sys.stderr,
        )
        return EXIT_USAGE
    from packtap.cli.agent import stop_on_signals

    stop = stop_on_signals()
    if arguments.seconds is not None:
        timer = threading.Timer(arguments.seconds, stop.set)
        timer.daemon = True
        timer.start()
    if arguments.play is not None:
        lines = {name: PtyLine(name) for name in _lines_of(arguments.play)}
        _print_ports(lines, as_json=arguments.json)
        with open_capture(arguments.play) as capture:
            play(capture, lines, stop)
        return EXIT_FINE
    if arguments.share:
        shared = EmulatedSharedWire(SharedWire(plan, Dialect(arguments.dialect)))
        _print_ports(shared.lines, as_json=arguments.json)
        shared.run(stop)
        _print_shared(shared.told(), as_json=arguments.json)
        return EXIT_FINE
    is_bench = arguments.bench or plan.story.startswith("bench")
    wires = Wires(plan, Dialect(arguments.dialect), is_bench=is_bench, app=not arguments.no_app)
    scooter = EmulatedScooter(wires)
    _print_ports(scooter.lines, as_json=arguments.json)
    scooter.run(stop)
    return EXIT_FINE


def _print_shared(told: dict[str, Any], *, as_json: bool) -> None:
    """Say what a guest has done on the shared wire, as the wire itself saw it."""
    if as_json:
        print(json.dumps({"simulated": True, **told}), flush=True)
        return
    print(
        f"The guest asked {told['questions']} times ({told['collisions']} met something) and was "
        f"answered {told['answers']} times; of {told['foreign_frames']} frames of others "
        f"{told['disturbed_frames']} were disturbed."
    )
    if told["unsure_questions"]:
        print(
            f"{told['unsure_questions']} questions came while this program was held up, for "
            f"{1000 * told['held_up_s']:.0f} ms at most: when exactly is not known."
        )


def _lines_of(recording: str) -> list[str]:
    """Return the names of its lines: all ports are there before the first byte is played.

    That takes a reading of its own, since a day of recording is too much to hold in memory.
    """
    if recording == STANDARD_INPUT or Path(recording).is_fifo():
        raise CaptureError("--play reads a recording twice: name a file, not a pipe")
    with open_capture(recording) as capture:
        names = {chunk.line or "bms" for chunk in capture}
    if not names:
        raise CaptureError(f"{recording} holds nothing to play")
    return sorted(names)


def _print_ports(lines: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({name: line.path for name, line in lines.items()}), flush=True)
        return
    print("An emulated scooter (simulated, no real one) listens here; Ctrl-C ends it.")
    for name, line in lines.items():
        print(f"  line {name}: {line.path}", flush=True)
