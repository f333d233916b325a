"""`packtap config`: check a configuration, or print an example to start from."""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from packtap.config import (
    AgentConfig,
    IngestConfig,
    Inspection,
    Kind,
    WebConfig,
    example_agent,
    example_ingest,
    example_web,
    inspect_file,
)

_EXAMPLES: Final = {
    Kind.AGENT: example_agent,
    Kind.INGEST: example_ingest,
    Kind.WEB: example_web,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the two actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="name every mistake in a file",
        description="Name every mistake in the files at once, each with its key. Nothing is "
        "opened or connected. Exit code 0: fine, 2: a file cannot be used.",
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="configuration files")
    check.add_argument(
        "--kind",
        choices=[kind.value for kind in Kind],
        help="whose configuration it is; found by looking without it",
    )
    check.add_argument("--json", action="store_true", help="one object a file")
    example = actions.add_parser(
        "example",
        help="print a commented example that loads as it is",
        description="Print a commented example that loads as it is, with every key and default.",
    )
    example.add_argument(
        "kind",
        nargs="?",
        choices=[kind.value for kind in Kind],
        default=Kind.AGENT.value,
        help="whose example (agent)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check, or print the example."""
    if arguments.action == "example":
        print(_EXAMPLES[Kind(arguments.kind)](), end="")
        return 0
    tell = _tell_json if arguments.json else _tell
    kind = Kind(arguments.kind) if arguments.kind else None
    found = [(path, inspect_file(path, kind)) for path in arguments.files]
    for path, inspection in found:
        tell(path, inspection)
    return 2 if any(inspection.problems for _, inspection in found) else 0


def _tell(path: Path, inspection: Inspection) -> None:
    for problem in inspection.problems:
        print(f"packtap: {path}: {problem}", file=sys.stderr)
    for problem in inspection.unsure:
        print(f"packtap: {path}: cannot be judged here: {problem}", file=sys.stderr)
    if not inspection.problems:
        print(f"{path}: fine{_summary(inspection.config)}")


def _summary(config: AgentConfig | IngestConfig | WebConfig | None) -> str:
    if isinstance(config, AgentConfig):
        lines = ", ".join(f"{line.name} on {line.port}" for line in config.lines)
        return (
            f": agent {config.site}/{config.agent}/{config.bus}, {config.mode}, {lines}, "
            f"broker {config.mqtt.host}:{config.mqtt.port}"
        )
    if isinstance(config, IngestConfig):
        store = config.influx.url if config.influx else config.sqlite and config.sqlite.path
        return f": ingest, broker {config.mqtt.host}:{config.mqtt.port}, store {store}"
    if isinstance(config, WebConfig):
        stores = ", ".join(map(str, config.stores)) or "none"
        locked = "with a token" if config.token_file else "without a token"
        return f": page on {config.bind}:{config.port} {locked}, stores {stores}"
    return " as far as can be judged here"


def _tell_json(path: Path, inspection: Inspection) -> None:
    document = {
        "file": str(path),
        "kind": inspection.kind,
        "fine": not inspection.problems,
        "problems": [{"key": item.path, "text": item.text} for item in inspection.problems],
        "unsure": [{"key": item.path, "text": item.text} for item in inspection.unsure],
    }
    print(json.dumps(document))
