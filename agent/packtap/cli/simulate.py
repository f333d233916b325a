"""`packtap simulate`: an emulated scooter, or a recording, on pseudo-terminals."""

import argparse
import json
import sys
import threading
from pathlib import Path

from packtap.cli import EXIT_FINE, EXIT_USAGE
from packtap.cli.arguments import duration
from packtap.errors import CaptureError
from packtap.inputs import STANDARD_INPUT, open_capture
from packtap.ride import RidePlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dialect", choices=("xiaomi", "ninebot"), default="xiaomi")
    parser.add_argument(
        "--bench",
        action="store_true",
        help="the pack alone on one line: nobody asks, it answers (default: an ESC and an app ask)",
    )
    parser.add_argument(
        "--no-app",
        action="store_true",
        help="only the ESC asks: no cells on the wire, as on a stock scooter",
    )
    parser.add_argument("--cells", type=int, default=10, metavar="N", help="1-16, default 10")
    parser.add_argument(
        "--soc", type=float, default=72.0, metavar="PCT", help="charge at the start"
    )
    parser.add_argument("--seed", type=int, default=1, help="of rider and cells, default 1")
    parser.add_argument("--fail-cell", type=int, metavar="CELL", help="a cell that fails")
    parser.add_argument(
        "--fail-after", type=float, default=60.0, metavar="S", help="when, default 60"
    )
    parser.add_argument("--seconds", type=duration, metavar="S", help="stop after this long")
    parser.add_argument(
        "--play", metavar="CAPTURE", help="play a recording instead, with its own timing"
    )
    parser.add_argument("--json", action="store_true", help="print the ports as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the ports, then emulate until interrupted."""
    try:
        from packtap.emulated_bus import EmulatedScooter, PtyLine, Wires, play
    except ModuleNotFoundError as error:
        if error.name not in ("termios", "tty", "pty"):
            raise
        print("packtap: simulate needs pseudo-terminals (Linux, macOS)", file=sys.stderr)
        return EXIT_USAGE
    from ninebot_bms import Dialect
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
    try:
        plan = RidePlan(
            cells=arguments.cells,
            soc_pct=arguments.soc,
            seed=arguments.seed,
            failing_cell=arguments.fail_cell,
            fails_after_s=arguments.fail_after,
        )
    except ValueError as error:
        print(f"packtap: {error}", file=sys.stderr)
        return EXIT_USAGE
    scooter = EmulatedScooter(
        Wires(
            plan,
            Dialect(arguments.dialect),
            is_bench=arguments.bench,
            app=not arguments.no_app,
        )
    )
    _print_ports(scooter.lines, as_json=arguments.json)
    scooter.run(stop)
    return EXIT_FINE


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


def _print_ports(lines: dict[str, "PtyLine"], *, as_json: bool) -> None:  # type: ignore[name-defined]  # noqa: F821
    if as_json:
        print(json.dumps({name: line.path for name, line in lines.items()}), flush=True)
        return
    print("An emulated scooter (simulated, no real one) listens here; Ctrl-C ends it.")
    for name, line in lines.items():
        print(f"  line {name}: {line.path}", flush=True)
