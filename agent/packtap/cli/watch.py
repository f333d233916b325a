"""`packtap watch`: live table of what the agent sees now."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from packtap.cli import EXIT_FAULT, EXIT_FINE, EXIT_SILENT
from packtap.clock import boot_id, boot_ms
from packtap.model import Severity
from packtap.now_file import read_now

if TYPE_CHECKING:
    from rich.console import Console

_EVERY_S: Final = 0.5
_PAGE_S: Final = 5.0  #: on a terminal that scrolls
_WAIT_S: Final = 3.0
_HANGS_S: Final = 10.0  #: an agent writes once a second
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
    """Show the now-file until interrupted; exit 1 if a warning or worse is raised."""
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
    if arguments.once and (trouble := _silence(read_now(path))):
        print(f"packtap: {trouble}", file=sys.stderr)
        _show_once(path, as_json=arguments.json)
        return EXIT_SILENT
    if arguments.once:
        return _show_once(path, as_json=arguments.json)
    return _stream(path) if arguments.json else _draw(path)


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


def _silence(document: dict[str, Any] | None) -> str:
    """Return what is wrong if the agent has stopped writing; "" if it has not.

    A process that was killed leaves its last document behind, which must not pass for the present.
    """
    if document is None:
        return ""
    if document["boot"] not in (None, boot_id()):
        return "what stands here was written before this machine was started anew"
    silent_s = boot_ms() / 1000 - float(document["boot_s"])
    if silent_s <= _HANGS_S:
        return ""
    return f"the agent last wrote {silent_s:.0f} s ago: it was killed, or hangs"


def _show_once(path: Path, *, as_json: bool) -> int:
    document = read_now(path)
    if document is None:
        return EXIT_SILENT
    if as_json:
        print(json.dumps(document))
    else:
        from rich.console import Console

        from packtap.cli.screen import render

        Console().print(render(document))
    return _code(document)


def _code(document: dict[str, Any] | None) -> int:
    """Return 1 if a warning or worse is raised, as `replay` does."""
    raised = (document or {}).get("events", ())
    is_fault = any(event["severity"] != Severity.INFO for event in raised)
    return EXIT_FAULT if is_fault else EXIT_FINE


def _stream(path: Path) -> int:
    last: dict[str, Any] | None = None
    try:
        while (document := read_now(path)) is not None:
            if last is None or document["boot_s"] != last["boot_s"]:
                last = document
                print(json.dumps(document), flush=True)
            time.sleep(_EVERY_S)
    except KeyboardInterrupt:
        pass
    return _code(last)


def _page(path: Path, console: "Console") -> int:
    """Print the screen again and again: a dumb terminal cannot draw over what stands there."""
    from packtap.cli.screen import render

    last = read_now(path)
    try:
        while True:
            document = read_now(path)
            last = document or last
            if trouble := _silence(document):
                console.print(trouble)
            console.print(
                "the agent has stopped; waiting for it" if document is None else render(document)
            )
            console.print()
            time.sleep(_PAGE_S)
    except KeyboardInterrupt:
        return _code(last)


def _draw(path: Path) -> int:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from packtap.cli.screen import render

    console = Console()
    if not console.is_terminal:
        return _show_once(path, as_json=False)
    if console.is_dumb_terminal:
        return _page(path, console)
    last = read_now(path)
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                document = read_now(path)
                if document is None:
                    live.update(Text("the agent has stopped; waiting for it"), refresh=True)
                else:
                    last = document
                    trouble = _silence(document)
                    warning = [Text(trouble, style="bold red")] if trouble else []
                    live.update(Group(*warning, render(document)), refresh=True)
                time.sleep(_EVERY_S)
    except KeyboardInterrupt:
        return _code(last)
