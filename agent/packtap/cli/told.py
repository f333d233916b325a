"""What a person tells beside the bytes: `--esc-error`, `--observe`, `--cells`, and `--config`."""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from packtap.analysis.evidence import Evidence
from packtap.analysis.observation_rows import OBSERVATIONS, read_observation
from packtap.analysis.observations import UNKNOWN
from packtap.config import Prices, load_judging
from packtap.tap import TapSettings

__all__ = ["add_told_arguments", "judged_by", "observations_help", "take_told"]

_WIDTH: Final = 79
_MOST_CELLS: Final = 16


class _Observe(argparse.Action):
    """Collects KEY=VALUE; `help` prints the list and ends."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        del option_string
        text = str(values)
        if text.strip().lower() == "help":
            print(observations_help())
            parser.exit(0)
        try:
            row, answer = read_observation(text)
        except ValueError as error:
            parser.error(f"--observe: {error}")
        before = (namespace.observe or {}).get(row.key, answer)
        if before != answer:
            parser.error(f"--observe: {row.key} was answered twice, {before} and {answer}: which?")
        namespace.observe = {**(namespace.observe or {}), row.key: answer}


def add_told_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--esc-error",
        type=_error_code,
        metavar="N",
        help="the error code that the scooter shows (10-50); of the battery: a reported fault",
    )
    parser.add_argument(
        "--observe",
        action=_Observe,
        default={},
        metavar="KEY=VALUE",
        help="what you see or measure, such as charges=no; may be given often; help lists all",
    )
    parser.add_argument(
        "--cells",
        type=_cells,
        metavar="N",
        help="number of series cells, where the pack does not tell (most scooters have 10)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="judge by its tables [pack] and [[pack_model]], and by [prices]: an agent's "
        "configuration, or a file with nothing but these; other tables are left alone",
    )


def judged_by(
    arguments: argparse.Namespace, *, rested: bool = False
) -> tuple[TapSettings, Prices | None]:
    """Return what `--config` says: limits, and prices if it names any.

    Args:
        arguments: of the command.
        rested: the pack was off for long before (a bench).

    Raises:
        ConfigError: with every problem of the file.
    """
    if arguments.config is None:
        return TapSettings(rested=rested), None
    judging, prices = load_judging(arguments.config)
    return TapSettings(rested=rested, pack=judging.pack, models=judging.pack_model), prices


def take_told(evidence: Evidence, arguments: argparse.Namespace) -> None:
    """Add what the options say to the evidence."""
    if arguments.cells is not None:
        evidence.exposure.cells = arguments.cells
    if arguments.esc_error is not None:
        evidence.report_error(arguments.esc_error)
    for key, answer in arguments.observe.items():
        evidence.observe(key, answer)


def observations_help() -> str:
    """Return the list of what can be observed, 80 columns wide."""
    lines = [
        f"--observe KEY=VALUE, as often as you like; {UNKNOWN} as VALUE: nobody can tell.",
        "Nothing here asks to open a pack: that is for qualified people only.",
    ]
    for row in OBSERVATIONS:
        lines += ["", f"  {row.key}={row.values}"]
        lines += textwrap.wrap(
            row.asks, _WIDTH, initial_indent="      ", subsequent_indent="      "
        )
    return "\n".join(lines)


def _error_code(word: str) -> int:
    if not (word.isdecimal() and 10 <= int(word) <= 50):
        raise argparse.ArgumentTypeError(f"{word!r} is no error code of a scooter: those are 10-50")
    return int(word)


def _cells(word: str) -> int:
    if not (word.isascii() and word.isdigit() and 1 <= int(word[:4]) <= _MOST_CELLS):
        raise argparse.ArgumentTypeError(f"{word!r} is no number of cells: 1 to {_MOST_CELLS}")
    return int(word)
