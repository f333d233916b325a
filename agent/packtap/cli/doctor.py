"""`packtap doctor`: why is nothing coming?"""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from packtap.cli import EXIT_FAULT, EXIT_FINE, EXIT_SILENT, EXIT_USAGE
from packtap.cli.arguments import baud_rate
from packtap.config import AgentConfig, IngestConfig, inspect_file
from packtap.doctor import (
    FAMILIES,
    RATES,
    Check,
    Examination,
    Listener,
    Outcome,
    Plan,
    Tools,
    Verdict,
    examine,
    only_port,
    port_words,
)
from packtap.errors import ConfigError
from packtap.link import FoundPort, SerialLine, find_ports
from packtap.link.ports import found_port

_WIDTH: Final = 80
_INDENT: Final = 7
_LABEL: Final = 11  # "not tried" and two blanks
_MARKS: Final = {
    Outcome.PASS: "pass",
    Outcome.FAIL: "FAIL",
    Outcome.NOT_TRIED: "not tried",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "port",
        nargs="?",
        metavar="PORT",
        help="serial port or network tap; without it the only adapter that is plugged in",
    )
    parser.add_argument(
        "--bench",
        action="store_true",
        help="ask the pack too, with reads only: its data plug must be off the ESC",
    )
    parser.add_argument(
        "--baud", type=baud_rate, metavar="RATE", help="the rate that is expected (115200)"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="of the agent or of ingest: its lines, broker, clock, disk and store are tried too",
    )
    parser.add_argument("--json", action="store_true", help="one object a check, then the verdict")


def run(arguments: argparse.Namespace) -> int:
    """Examine, and print the verdict and every check."""
    config = None if arguments.config is None else _load(arguments.config)
    ports = find_ports()
    chosen = _listeners(arguments, config, ports)
    if chosen is None:
        return EXIT_USAGE
    listeners, no_line = chosen
    known = [*ports, *(found_port(each.port) for each in listeners if not _is_in(each, ports))]
    plan = Plan(
        listeners,
        is_bench=arguments.bench,
        ports=tuple(known),
        config=config,
        no_line=no_line,
    )
    found = examine(plan, Tools(SerialLine, say=_say))
    if arguments.json:
        for check in found.checks:
            print(json.dumps(check.as_document()))
        print(json.dumps(found.verdict.as_document(found.checks, found.seconds)))
    else:
        print("\n".join(report(found)))
    return _code(found.verdict)


def _code(verdict: Verdict) -> int:
    if verdict.is_fine:
        return EXIT_FINE
    return EXIT_SILENT if verdict.is_silent else EXIT_FAULT


def _load(path: Path) -> AgentConfig | IngestConfig:
    found = inspect_file(path)
    if found.config is None:
        problems = [str(problem) for problem in (*found.problems, *found.unsure)]
        raise ConfigError(problems, str(path))
    if not isinstance(found.config, AgentConfig | IngestConfig):
        raise ConfigError(["give the configuration of an agent or of ingest"], str(path))
    return found.config


def _listeners(
    arguments: argparse.Namespace,
    config: AgentConfig | IngestConfig | None,
    ports: Sequence[FoundPort],
) -> tuple[tuple[Listener, ...], str] | None:
    """Return the wires, or why there is none to look at; None after a complaint."""
    baud: int = arguments.baud or RATES[0]
    if arguments.port is not None:
        return (Listener("bms", arguments.port, baud),), ""
    if isinstance(config, IngestConfig):
        return (), "ingest has no serial line"
    if isinstance(config, AgentConfig):
        return _configured(config, arguments), ""
    if not ports:
        return (), ""
    port = only_port(ports)
    if port is not None:
        return (Listener("bms", port.name, baud),), ""
    print("packtap: several serial ports are here; name the one to examine:", file=sys.stderr)
    for line in port_words(ports):
        print(f"  {line}", file=sys.stderr)
    return None


def _configured(config: AgentConfig, arguments: argparse.Namespace) -> tuple[Listener, ...]:
    lines = tuple(
        Listener(line.name, line.port, arguments.baud or line.baud)
        for line in config.lines
        if line.name == "bms" or not arguments.bench
    )
    if not lines:
        raise ConfigError(
            ["lines: --bench asks on the line bms, which is not there"], str(arguments.config)
        )
    return lines


def _is_in(listener: Listener, ports: Sequence[FoundPort]) -> bool:
    return any(port.name == listener.port for port in ports)


# For people: plain text of 80 columns, so that a pipe and a small terminal show the same.


def report(found: Examination) -> Iterator[str]:
    """Yield the lines for people: the verdict, what to do next, and the table of checks."""
    verdict = found.verdict
    yield f"{verdict.title} [{verdict.name}, {found.seconds:.0f} s]"
    yield from _paragraph("Seen:", verdict.seen)
    yield from _paragraph("Means:", verdict.means)
    for number, step in enumerate(verdict.next, start=1):
        yield from _paragraph("Next:" if number == 1 else "", f"{number}. {step}", hanging=3)
    yield ""
    passes = (check for check in found.checks if check.outcome is Outcome.PASS)
    yield from _paired(_row(_MARKS[Outcome.PASS], f"{_name(c)}: {c.seen}") for c in passes)
    for check in found.checks:
        if check.outcome is not Outcome.FAIL:
            continue
        yield from _row(_MARKS[check.outcome], f"{_name(check)}: {check.seen}")
        # Of the wires the verdict speaks for all: their other faults are what follows from it.
        if check.name not in FAMILIES["the wires"] and check.next not in verdict.next:
            yield from _row("", f"{check.means} {check.next}")
    for reason, names in _untried(found.checks).items():
        yield from _row(_MARKS[Outcome.NOT_TRIED], f"{', '.join(names)}: {reason}")


def _paired(rows: Iterable[list[str]]) -> Iterator[str]:
    """Yield long rows, then short ones two side by side: all of it fits a small screen."""
    short: list[str] = []
    for row in rows:
        if len(row) == 1 and len(row[0]) < _WIDTH // 2:
            short += row
        else:
            yield from row
    for left, right in zip_longest(short[::2], short[1::2], fillvalue=""):
        yield (left.ljust(_WIDTH // 2) + right).rstrip()


def _untried(checks: Sequence[Check]) -> dict[str, list[str]]:
    """Gather what was not tried by its reason: one line says it of many."""
    reasons: dict[str, list[str]] = {}
    for check in checks:
        if check.outcome is Outcome.NOT_TRIED:
            reasons.setdefault(check.seen, []).append(_name(check))
    return {reason: list(_gathered(names)) for reason, names in reasons.items()}


def _gathered(names: Sequence[str]) -> Iterator[str]:
    """Yield the name of a family where all of it is among the names; a small screen thanks."""
    left = list(names)
    for family, members in FAMILIES.items():
        if set(members) <= set(left):
            left[left.index(members[0])] = family
            left = [name for name in left if name not in members]
    yield from left


def _name(check: Check) -> str:
    return check.name if check.line is None else f"{check.name} ({check.line})"


def _paragraph(label: str, text: str, hanging: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=label.ljust(_INDENT),
        subsequent_indent=" " * (_INDENT + hanging),
        break_on_hyphens=False,
    )


def _row(mark: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=mark.ljust(_LABEL),
        subsequent_indent=" " * _LABEL,
        break_on_hyphens=False,
    )


def _say(text: str) -> None:
    print(f"packtap: {text}", file=sys.stderr, flush=True)
