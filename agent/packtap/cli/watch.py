"""`packtap watch`: live table of what the agent sees now."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Final

from packtap.cli import EXIT_FAULT, EXIT_FINE, EXIT_SILENT
from packtap.now_file import read_now

HELP = "live table of what the agent sees now"

_EVERY_S: Final = 0.5
_WAIT_S: Final = 3.0
_RUN: Final = Path("/run/packtap")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "now_file",
        nargs="?",
        type=Path,
        help="the agent's now-file (default: the only one in /run/packtap)",
    )
    parser.add_argument("--json", action="store_true", help="one object a line, once a second")
    parser.add_argument("--once", action="store_true", help="show it once and exit")


def run(arguments: argparse.Namespace) -> int:
    """Show the now-file until interrupted; exit 1 if something is raised."""
    path = arguments.now_file or _only_now_file()
    if path is None:
        return EXIT_SILENT
    deadline = time.monotonic() + _WAIT_S
    while read_now(path) is None:
        if time.monotonic() > deadline:
            print(
                f"packtap: no agent writes {path}. Is it running? "
                "(systemctl status 'packtap-agent@*', or packtap agent --config FILE)",
                file=sys.stderr,
            )
            return EXIT_SILENT
        time.sleep(0.1)
    if arguments.json:
        return _stream(path, once=arguments.once)
    return _draw(path, once=arguments.once)


def _only_now_file() -> Path | None:
    found = sorted(_RUN.glob("*.json"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(path) for path in found)
        print(f"packtap: several agents run here, name one of {names}", file=sys.stderr)
    else:
        print(
            "packtap: no agent runs here (nothing in /run/packtap). Name its now-file, or start "
            "one: packtap agent --config FILE",
            file=sys.stderr,
        )
    return None


def _stream(path: Path, *, once: bool) -> int:
    shown: object = None
    events = False
    try:
        while (document := read_now(path)) is not None:
            if document.get("boot_s") != shown:
                shown = document.get("boot_s")
                events = bool(document["events"])
                print(json.dumps(document), flush=True)
            if once:
                break
            time.sleep(_EVERY_S)
    except KeyboardInterrupt:
        pass
    return EXIT_FAULT if events else EXIT_FINE


def _draw(path: Path, *, once: bool) -> int:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from packtap.cli.screen import render

    console = Console()
    document = read_now(path)
    if once or not console.is_terminal:
        if document is not None:
            console.print(render(document))
        return EXIT_FAULT if document and document["events"] else EXIT_FINE
    last = document
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                document = read_now(path)
                if document is not None:
                    last = document
                    live.update(render(document), refresh=True)
                else:
                    live.update(Text("the agent has stopped; waiting for it"), refresh=True)
                time.sleep(_EVERY_S)
    except KeyboardInterrupt:
        return EXIT_FAULT if last and last["events"] else EXIT_FINE
