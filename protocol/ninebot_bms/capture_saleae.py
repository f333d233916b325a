r"""A logic analyser's table of serial bytes, row by row, floor 0.

Saleae Logic 1 and 2 export one byte a row; columns are found by their names in the header::

    Time [s],Value,Parity Error,Framing Error            Logic 1
    0.000080000000000,0x55,,
    name,type,start_time,duration,data,error             Logic 2
    "Async Serial","data",0.0006025,2.4e-05,0x55,

- time: seconds since the start, or (Logic 2, at wish) date and time, which become Unix seconds;
  start of the byte, to which Logic 2 adds its duration.
- value, as the display radix was set: hex `0x55`, binary `0b01010101`, decimal `85`, or
  characters, of which the unprintable stand as `'170'` (Logic 1) or `\xAA` (Logic 2), some by
  name (`COMMA`, `\r`, `' '`).
- name: the analyser's, becomes the line name; two wires are two analysers.
- errors: the byte is kept, as a UART would deliver it.

Source: public exports of both programs and the converters that people wrote for them.
"""

import csv
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from ninebot_bms.capture_lines import Chunk, ParsedLine, line_name

__all__ = ["SaleaeTable"]

#: Column of the table -> what the programs call it, lower case.
_NAMES_OF_COLUMN: Final = {
    "t": ("time [s]", "start_time"),
    "value": ("value", "data", "decoded protocol result"),
    "name": ("name", "analyzer name"),
    "type": ("type",),
    "duration": ("duration",),
}

#: Characters that stand under a name.
_NAMED: Final = {
    "COMMA": 0x2C,
    r"\0": 0x00,
    r"\t": 0x09,
    r"\n": 0x0A,
    r"\r": 0x0D,
    r"\\": 0x5C,
    "' '": 0x20,
    " ": 0x20,
}
_HEX: Final = re.compile(r"(?:0x|\\x)([0-9A-Fa-f]{1,2})(?:\s.*)?")
_BINARY: Final = re.compile(r"0b([01]{1,8})(?:\s.*)?")
_QUOTED_NUMBER: Final = re.compile(r"'(\d{1,3})'")
_QUOTED_CHARACTER: Final = re.compile(r"'([!-~])'")
_DECIMAL: Final = re.compile(r"(\d{1,3})")
_CHARACTER: Final = re.compile(r"([!-~])")

_Radix = tuple[tuple[re.Pattern[str], int], ...]
#: Patterns in the order tried, each with the base of its number; base 0 is a character. A bare
#: digit is a number in the one and a character in the other.
_NUMBERS: Final[_Radix] = ((_HEX, 16), (_BINARY, 2), (_DECIMAL, 10))
_CHARACTERS: Final[_Radix] = (
    (_HEX, 16),
    (_QUOTED_NUMBER, 10),
    (_QUOTED_CHARACTER, 0),
    (_CHARACTER, 0),
)
#: Values that only a table of characters holds, or only one of decimal numbers.
_TELLS_CHARACTERS: Final = re.compile(r"'.+'|\\.+|COMMA|[!-/:-~]| ")
_TELLS_NUMBERS: Final = re.compile(r"\d{2,3}")


class SaleaeTable:
    """Rows of a serial export of Saleae Logic 1 or 2.

    Args:
        head: the first lines of the file, header included. They tell whether the table holds
            numbers or characters; they are not consumed.
    """

    def __init__(self, head: Iterable[bytes]) -> None:
        self._columns: dict[str, int] = {}
        self._radix = _NUMBERS
        columns: dict[str, int] = {}
        characters = 0
        for line in head:
            cells = _cells(line)
            if not columns:
                columns = _columns(cells)
                continue
            value = _cell(cells, columns, "value")
            characters += bool(_TELLS_CHARACTERS.fullmatch(value))
            characters -= bool(_TELLS_NUMBERS.fullmatch(value))
        if characters > 0:  # a damaged row or two must not turn the table
            self._radix = _CHARACTERS

    @staticmethod
    def is_header(line: bytes) -> bool:
        """Tell whether a line names the columns of such a table."""
        return bool(_columns(_cells(line)))

    def parse(self, line: bytes) -> ParsedLine:
        """Read one row: its byte, at the byte's end where the table tells its duration."""
        cells = _cells(line)
        if not self._columns:
            self._columns = _columns(cells)
            return ParsedLine(None, clean=bool(self._columns) or not cells)
        if not cells or _cell(cells, self._columns, "type") not in {"", "data"}:
            return ParsedLine(None, clean=True)
        value = _value(_cell(cells, self._columns, "value"), self._radix)
        start = _seconds(_cell(cells, self._columns, "t"))
        if value is None or start is None:
            return ParsedLine(None, clean=False)
        duration = _seconds(_cell(cells, self._columns, "duration")) or 0.0
        name = line_name(_cell(cells, self._columns, "name"))
        return ParsedLine(Chunk(start + duration, name, bytes([value])), clean=True)


def _cells(line: bytes) -> list[str]:
    """Split a row; none for a blank line or a comment."""
    if line.startswith(b"#"):
        return []
    text = line.decode("latin-1")
    if text.count('"') % 2:
        text = text.replace(',",', ',"""",')  # Logic 1 writes the character bare
    try:
        cells = next(csv.reader([text]), [])
    except csv.Error:
        return [""]  # a cell beyond the csv module's limit: a row without a value
    # One blank is a value, the character; other blanks are decoration.
    return [cell if cell == " " else cell.strip() for cell in cells]


def _columns(cells: list[str]) -> dict[str, int]:
    """Find the columns in a header row; none unless it has both a time and a value."""
    names = [cell.lower() for cell in cells]
    found = {
        column: names.index(name)
        for column, candidates in _NAMES_OF_COLUMN.items()
        for name in candidates
        if name in names
    }
    return found if {"t", "value"} <= found.keys() else {}


def _cell(cells: list[str], columns: dict[str, int], column: str) -> str:
    at = columns.get(column)
    return cells[at] if at is not None and at < len(cells) else ""


def _value(text: str, radix: _Radix) -> int | None:
    if text in _NAMED:
        return _NAMED[text]
    for pattern, base in radix:
        match = pattern.fullmatch(text)
        if match is not None:
            number = int(match[1], base) if base else ord(match[1])
            return number if number <= 0xFF else None
    return None


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return _unix_seconds(text)
    return seconds if math.isfinite(seconds) else None


def _unix_seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
