"""The `packtap` command, floor 5: one command a file.

A command module has `add_arguments(parser)` and `run(arguments) -> int`; its line of help stands
in `COMMANDS`. Only the module of the chosen command is imported, so that the command line starts
without the optional packages and a technician's laptop needs only what its command needs.

Exit codes: 0 fine, 1 fault found, 2 usage or configuration, 3 nothing answers.
"""

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Final, Protocol, cast

from packtap import __version__
from packtap.errors import ConfigError, PacktapError

__all__ = ["COMMANDS", "EXIT_FAULT", "EXIT_FINE", "EXIT_SILENT", "EXIT_USAGE", "main"]

EXIT_FINE: Final = 0
EXIT_FAULT: Final = 1
EXIT_USAGE: Final = 2
EXIT_SILENT: Final = 3
_EXIT_INTERRUPTED: Final = 130  # as a shell says it: 128 and the number of SIGINT

#: Name -> one-line help; the module is `packtap.cli.<name>`.
COMMANDS: Final[dict[str, str]] = {
    "demo": "everything on this machine: emulated scooter, agent, broker, ingest, live screen",
    "agent": "the service on the Pi: tap, analyse, store, publish",
    "ingest": "the service at the store: MQTT to InfluxDB or SQLite",
    "web": "the page: one pack on a Pi, all packs on a server",
    "watch": "live table of what the agent sees now",
    "doctor": "why is nothing coming? wiring, rate, pack asleep, broker, clock, disk, store",
    "diagnose": "what is wrong with a pack, how sure, why, and what to do next",
    "decode": "bytes to frames and register values",
    "replay": "a capture through the same analysis as live: events and a diagnosis",
    "record": "what the wires say, into a capture file (listens only)",
    "gaps": "proof that no message is missing, or the name of the gap",
    "capture": "redact a recording: a copy without serial numbers, to share",
    "simulate": "a simulated scooter with chosen faults, on pseudo-terminals or as a capture",
    "registers": "the table of BMS registers",
    "events": "the table of event kinds",
    "fleet": "who may deliver: certificates for devices, and taking them back",
    "dashboards": "Grafana's dashboards, alert rules and provisioning, from the rows",
    "config": "check a configuration, or print an example",
}

#: What to install when a command's optional package is missing.
_EXTRAS: Final = {
    "rich": "cli",
    "jinja2": "cli",
    "msgspec": "ingest",
    "influxdb_client": "ingest",
    "iotcore": "demo",
    "cryptography": "fleet",
    "starlette": "web",
    "anyio": "web",
    "uvicorn": "web",
}

#: Commands that do their work even where nothing can be printed.
_SERVICES: Final = frozenset({"agent", "ingest", "web"})


class _Command(Protocol):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the arguments without the program's name; None takes them from the process.
    """
    _print_what_can_be_printed()
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in words if not word.startswith("-")), None)
    if sys.stdout is None and chosen not in _SERVICES:  # closed by the shell: >&-
        _complain("standard output is closed: there is nowhere to print to")
        return EXIT_USAGE
    try:
        parser = _parser(chosen if chosen in COMMANDS else None)
        arguments = parser.parse_args(words)
        code = cast("_Command", arguments.command).run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # a reader that has gone is noticed here, not while Python ends
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _complain(
            f"this command needs the package {error.name}, which is not installed: "
            f"pip install 'packtap[{extra}]'"
        )
    except ConfigError as error:
        for problem in error.problems:
            _complain(f"{error.origin}: {problem}")
    except PacktapError as error:
        _complain(str(error))
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing more to say.
        _discard_output()
        return EXIT_FINE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _discard_output()
        _complain("the output cannot be written: the disk is full")
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    else:
        return code
    return EXIT_USAGE


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="packtap",
        description="Taps the battery bus of Ninebot and Xiaomi scooters and finds faults. "
        "It only ever reads: nothing packtap sends can change a battery.",
        epilog="Exit codes: 0 fine, 1 fault found, 2 usage or configuration, 3 nothing answers.",
    )
    parser.add_argument("--version", action="version", version=f"packtap {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=f"{name}: {help_text}.")
        if name == chosen:
            module = cast("_Command", importlib.import_module(f"packtap.cli.{name}"))
            module.add_arguments(command)
            command.set_defaults(command=module)
    return parser


def _print_what_can_be_printed() -> None:
    """Let a character that the terminal's or the pipe's encoding lacks become a "?"."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _discard_output() -> None:
    """Keep Python from trying once more, and from complaining, when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(line: str) -> None:
    # Only in a service: on a terminal nobody looks for priorities.
    head = ""
    if "JOURNAL_STREAM" in os.environ:
        from packtap.journal import LineFormatter, is_journal

        if is_journal(sys.stderr, os.environ):
            head = LineFormatter.error_head
    print(f"{head}packtap: {line}", file=sys.stderr)
