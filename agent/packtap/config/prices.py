"""What parts and labour cost, floor 1: ranges, indicative, the technician's own if given.

The defaults are those of the repair report that the priors of the diagnosis come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packtap.config.files import read_toml
from packtap.errors import ConfigError

__all__ = ["Prices", "load_prices", "prices_of"]

_TABLE: Final = "prices"
_PARTS: Final = ("board", "pack", "labour")
_MOST: Final = 1_000_000
_LONGEST: Final = 8


@dataclass(frozen=True, slots=True)
class Prices:
    """Ranges from - to, of one currency.

    Attributes:
        board: a BMS board.
        pack: a whole pack.
        labour: of one repair.
        currency: as it is written behind a number.
        is_default: they are the repair report's, not the technician's own.
    """

    board: tuple[float, float] = (50, 150)
    pack: tuple[float, float] = (250, 450)
    labour: tuple[float, float] = (80, 180)
    currency: str = "EUR"
    is_default: bool = True

    def total(self, parts: tuple[str, ...]) -> tuple[float, float] | None:
        """Return what a repair costs that takes these; None if it takes none."""
        if not parts:
            return None
        ranges = {"board": self.board, "pack": self.pack, "labour": self.labour}
        return sum(ranges[part][0] for part in parts), sum(ranges[part][1] for part in parts)


def load_prices(path: Path | str) -> Prices:
    """Return the prices of a TOML file's table `[prices]`; other tables are left alone.

    Raises:
        ConfigError: with every problem of the table.
    """
    path = Path(path)
    return prices_of(read_toml(path), path)


def prices_of(tables: Mapping[str, Any], path: Path) -> Prices:
    """Return the prices in the tables of a file.

    Raises:
        ConfigError: with every problem of the table.
    """
    table = tables.get(_TABLE)
    if not isinstance(table, dict):
        raise ConfigError(
            [f"there is no table [{_TABLE}]; it holds board, pack, labour = [from, to]"], str(path)
        )
    problems = [
        f"{_TABLE}.{key}: unknown; known are {', '.join((*_PARTS, 'currency'))}"
        for key in table
        if key not in (*_PARTS, "currency")
    ]
    ranges = {part: table[part] for part in _PARTS if part in table}
    problems += [
        f"{_TABLE}.{part}: [from, to] in whole or decimal numbers, the smaller first"
        for part, value in ranges.items()
        if not _is_range(value)
    ]
    currency = table.get("currency", Prices().currency)
    if not (isinstance(currency, str) and 0 < len(currency) <= _LONGEST and currency.isprintable()):
        problems.append(f"{_TABLE}.currency: a short text such as EUR")
    if problems:
        raise ConfigError(problems, str(path))
    given: dict[str, Any] = {part: (value[0], value[1]) for part, value in ranges.items()}
    return Prices(**given, currency=currency, is_default=False)


def _is_range(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in value):
        return False
    return bool(0 <= value[0] <= value[1] <= _MOST)
