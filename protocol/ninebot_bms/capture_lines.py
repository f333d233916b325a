r"""One line of a recording to a chunk and back, floor 0.

A chunk is what one read of one wire returned. The forms that a line may have, besides a row
of a logic analyser's table (`capture_saleae`)::

    (1736860339.605245) bms 55AA0322011010B9FF     capture text: (seconds) line HEX
    55 aa 03 22 01 10 10 b9 ff                     hex text; 0x, commas, colons, dashes are skipped
    {"hex": "55aa...", "t": 1.25, "line": "bms"}   JSON lines; t_start stands in for t

Nothing here raises on any text: a parser answers with the chunk, if there is one, and whether the
line was clean. A line that breaks off in the middle of a byte gives its whole bytes and is not
clean: the framer's checksum tells what they are worth.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = [
    "Chunk",
    "ParsedLine",
    "format_chunk",
    "hex_bytes",
    "line_name",
    "parse_hex_line",
    "parse_json_line",
    "parse_text_line",
]

#: What a line name may look like: one word that needs no quotes anywhere.
_LINE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")
#: Stands between two numbers of hex text, or before one (`0x`, `\x`).
_BETWEEN_HEX: Final = re.compile(r"(?:[\s,:;-]|0[xX]|\\[xX])+")
_HEX_DIGITS: Final = re.compile(r"[0-9A-Fa-f]+")
_TEXT_LINE: Final = re.compile(r"\((-?\d+(?:\.\d*)?)\)\s+(\S+)\s+(\S.*)")


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one read of one wire returned.

    Attributes:
        t: seconds, end of the read, of the recording's own clock; None where it has no times.
        line: which wire was read ("bms", "esc", "dash", ...); None where it has no names.
        data: at least one byte.

    Raises:
        ValueError: no data, a time that is no number, or a line name that is no plain word.
    """

    t: float | None
    line: str | None
    data: bytes

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("a chunk has at least one byte")
        if self.t is not None and not math.isfinite(self.t):
            raise ValueError(f"a chunk's time is a finite number of seconds, not {self.t}")
        if self.line is not None and not _LINE_NAME.fullmatch(self.line):
            raise ValueError(f"a line name is 1-32 of A-Z a-z 0-9 _ . - and not {self.line!r}")


def format_chunk(chunk: Chunk) -> str:
    """Write one line of capture text, without its line end.

    Args:
        chunk: one with a time and a line name; times keep their microseconds.

    Raises:
        ValueError: the chunk has no time or no line name, and capture text needs both.
    """
    if chunk.t is None or chunk.line is None:
        raise ValueError("capture text needs a time and a line name")
    return f"({chunk.t:.6f}) {chunk.line} {chunk.data.hex().upper()}"


class ParsedLine(NamedTuple):
    """What a line held: a chunk or none, and whether all of it was understood."""

    chunk: Chunk | None
    clean: bool


_BLANK: Final = ParsedLine(None, clean=True)
_BAD: Final = ParsedLine(None, clean=False)


def hex_bytes(text: str) -> tuple[bytes, bool] | None:
    """Read hex digits with anything usual between them.

    A single digit between separators is one byte (serial monitors drop leading zeros); a longer
    odd run has lost its last digit.

    Returns:
        The bytes, and whether no digit was left over; None if anything else stands in the text.
    """
    data = _pairs(text)
    if data is None:
        data = _pairs(_BETWEEN_HEX.sub(" ", text))
    if data is not None:
        return data, True
    pairs: list[str] = []
    clean = True
    for run in _BETWEEN_HEX.split(text):
        if not run:
            continue
        if not _HEX_DIGITS.fullmatch(run):
            return None
        if len(run) == 1:
            pairs.append("0" + run)
        else:
            clean = clean and len(run) % 2 == 0
            pairs.append(run[: len(run) & ~1])
    return bytes.fromhex("".join(pairs)), clean


def _pairs(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def parse_hex_line(line: bytes) -> ParsedLine:
    """Read a line of hex text; `#` begins a comment."""
    return _chunk_of_hex(_without_comment(line), None, None)


def parse_text_line(line: bytes) -> ParsedLine:
    """Read a line of capture text; `#` begins a comment."""
    text = _without_comment(line)
    if not text:
        return _BLANK
    match = _TEXT_LINE.fullmatch(text)
    if match is None:
        return _BAD
    seconds, name, digits = match.groups()
    return _chunk_of_hex(digits, float(seconds), name)


def parse_json_line(line: bytes) -> ParsedLine:
    """Read a JSON object with `hex` and perhaps `t` (or `t_start`) and `line`."""
    line = line.strip()
    if not line or line.startswith(b"#"):
        return _BLANK
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return _BAD
    if not isinstance(row, dict) or not isinstance(row.get("hex"), str):
        return _BAD
    name = row.get("line")
    return _chunk_of_hex(
        row["hex"],
        _number(row["t"] if row.get("t") is not None else row.get("t_start")),
        line_name(name) if isinstance(name, str) else None,
    )


def line_name(text: str) -> str | None:
    """Make a plain word of any name: "Async Serial [2]" becomes async_serial_2.

    Returns:
        A word that a `Chunk` takes as its line; None if nothing of the text is left.
    """
    if _LINE_NAME.fullmatch(text):
        return text
    return re.sub(r"[^a-z0-9.-]+", "_", text.lower()).strip("_")[:32] or None


def _without_comment(line: bytes) -> str:
    # Latin-1 gives every byte a character, so that no byte of a damaged file can raise.
    return line.partition(b"#")[0].decode("latin-1").strip()


def _chunk_of_hex(digits: str, t: float | None, name: str | None) -> ParsedLine:
    found = hex_bytes(digits)
    if found is None:
        return _BAD
    data, clean = found
    if not data:
        return ParsedLine(None, clean)
    try:
        return ParsedLine(Chunk(t, name, data), clean)
    except ValueError:
        return _BAD  # a time beyond all numbers, or a name that is no plain word


def _number(value: object) -> float | None:
    # bool is an int in Python, and true is no time.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None
