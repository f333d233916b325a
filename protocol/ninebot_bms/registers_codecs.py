"""How the words of a register become a value and back, floor 0.

A codec is declared once with construct: `wire` says how wide, which sign, which byte order;
`schema` wraps it with the meaning (scale, date, cell map) and parses or builds on its own. The hot
path of `registers.py` derives `struct` codecs from `wire` and uses the same meaning functions.

Special raw values become None, because unknown is None and never 0: a zero or impossible date, a
serial of NULs or of bytes that are not printable ASCII, an all-zero firmware word, and the raw
numbers that a codec lists as `absent`.

Source: protocol.md sections 5, 9 and 10.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from functools import partial
from typing import Any, Final

from construct import (  # construct has no type information: its values are Any
    Array,
    Byte,
    Bytes,
    Construct,
    ExprAdapter,
    FormatField,
    Int16sl,
    Int16ul,
    Int32ul,
)

__all__ = [
    "CELLS",
    "CELL_MAP",
    "DATE",
    "EMPTY_SLOT",
    "FIRMWARE",
    "MAX_CELLS",
    "S16",
    "SERIAL",
    "TEMPERATURE",
    "U8",
    "U16",
    "U32",
    "UNUSED_SLOT",
    "Codec",
    "Value",
    "cells_from_slots",
    "hex_bytes",
    "number",
    "struct_code",
]

#: One decoded quantity; None = not reported. A tuple is one number per cell (cell 1 first, length
#: 1-16, None = not read) or the numbers of the cells concerned (1-based).
Value = int | float | str | tuple[int | None, ...] | None

MAX_CELLS: Final = 16
UNUSED_SLOT: Final = 0x0000  #: a cell word without a cell, or a cell that measures 0 mV
EMPTY_SLOT: Final = 0xFFFF  #: filler that some boards put into a word without a value
_SERIAL_BYTES: Final = 14
_EPOCH_YEAR: Final = 2000


def _same(raw: Any) -> Any:
    return raw


@dataclass(frozen=True, slots=True)
class Codec:
    """One way in which words hold a value.

    Attributes:
        name: as the table prints it: "u16", "s16", "date", ...
        wire: construct of the bare number or bytes.
        decode: wire value to Value.
        encode: Value to wire value; None gives what an unsupported word reads.
        value_type: int, float, str or tuple: the one type of every value that is not None.
        scale: unit per count.
        offset: added after scaling, in the unit.
        absent: raw numbers that mean "not reported".
        schema: construct that parses bytes to the value and builds bytes from it.
    """

    name: str
    wire: Construct
    decode: Callable[[Any], Value] = field(default=_same, compare=False)
    encode: Callable[[Any], Any] = field(default=_same, compare=False)
    value_type: type = int
    scale: Fraction = Fraction(1)
    offset: int = 0
    absent: frozenset[int] = frozenset()
    schema: Construct = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        schema = ExprAdapter(
            self.wire,
            decoder=lambda raw, _context: self.decode(raw),
            encoder=lambda value, _context: self.encode(value),
        )
        object.__setattr__(self, "schema", schema)

    @property
    def is_plain(self) -> bool:
        """Whether the raw number is the value as it stands."""
        return self.decode is _same

    @property
    def size(self) -> int:
        """Width in bytes."""
        return int(self.wire.sizeof())


def struct_code(wire: Construct) -> str:
    """Return the `struct` format of one wire field, little-endian, without the order mark."""
    if isinstance(wire, FormatField):
        return str(wire.fmtstr)[1:]
    return f"{wire.sizeof()}s"


def number(
    name: str,
    *,
    scale: Fraction = Fraction(1),
    offset: int = 0,
    absent: frozenset[int] = frozenset(),
) -> Codec:
    """Make the codec of a number.

    Args:
        name: "u8", "u16", "s16" or "u32".
        scale: unit per count; a fraction makes every value a float.
        offset: added after scaling.
        absent: raw numbers that mean "not reported".
    """
    wire = {"u8": Byte, "u16": Int16ul, "s16": Int16sl, "u32": Int32ul}[name]
    if scale == 1 and not offset and not absent:
        return Codec(name, wire, encode=_whole)
    return Codec(
        name,
        wire,
        decode=partial(_scaled, scale.numerator, scale.denominator, offset, absent),
        encode=partial(_counts, scale, offset, min(absent, default=0)),
        value_type=int if scale.denominator == 1 else float,
        scale=scale,
        offset=offset,
        absent=absent,
    )


def hex_bytes(length: int) -> Codec:
    """Make the codec of bytes shown as lower-case hex; all zero means not reported."""
    return Codec(
        f"bytes{length}",
        Bytes(length),
        decode=lambda raw: raw.hex() if any(raw) else None,
        encode=lambda value: bytes.fromhex(value or "00" * length),
        value_type=str,
    )


def cells_from_slots(first: int, slots: Sequence[int]) -> tuple[int | None, ...] | None:
    """Return cell voltages from a run of cell words.

    Trailing words of 0x0000 or 0xFFFF are taken for unused slots; before a live one, 0x0000 is a
    dead or open cell (0 mV) and 0xFFFF is a cell not read (None).

    Args:
        first: slot of the first word, 0 = cell 1; slots before it are None.
        slots: raw words, millivolts.

    Returns:
        Millivolts, cell 1 first, length 1-16; None if no slot is live.
    """
    live = len(slots)
    while live and slots[live - 1] in (UNUSED_SLOT, EMPTY_SLOT):
        live -= 1
    if not live:
        return None
    read = (None if slot == EMPTY_SLOT else slot for slot in slots[:live])
    return (None,) * first + tuple(read)


def _whole(value: int | None) -> int:
    return 0 if value is None else value


def _scaled(
    numerator: int, denominator: int, offset: int, absent: frozenset[int], raw: int
) -> int | float | None:
    if raw in absent:
        return None
    # Dividing by a power of ten gives the float nearest to the decimal; multiplying does not.
    scaled = raw * numerator
    return scaled + offset if denominator == 1 else scaled / denominator + offset


def _counts(scale: Fraction, offset: int, none: int, value: float | None) -> int:
    return none if value is None else round((value - offset) / scale)


def _serial(raw: bytes) -> str | None:
    text = raw.rstrip(b"\0").decode("latin-1")
    return text if text and text.isascii() and text.isprintable() else None


def _serial_bytes(value: str | None) -> bytes:
    return (value or "").encode("ascii").ljust(_SERIAL_BYTES, b"\0")


def _firmware(raw: int) -> str | None:
    if raw in (UNUSED_SLOT, EMPTY_SLOT):
        return None
    return f"{raw >> 8:x}.{raw >> 4 & 0xF:x}.{raw & 0xF:x}"


def _firmware_word(value: str | None) -> int:
    if value is None:
        return 0
    major, minor, patch = (int(part, 16) for part in value.split("."))
    return major << 8 | minor << 4 | patch


def _date(raw: int) -> str | None:
    year, month, day = _EPOCH_YEAR + (raw >> 9), raw >> 5 & 0xF, raw & 0x1F
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def _date_word(value: str | None) -> int:
    if value is None:
        return 0
    day = date.fromisoformat(value)
    return (day.year - _EPOCH_YEAR) << 9 | day.month << 5 | day.day


def _mapped_cells(raw: int) -> tuple[int, ...]:
    return tuple(cell for cell in range(1, MAX_CELLS + 1) if raw >> (cell - 1) & 1)


def _cell_map(value: Sequence[int] | None) -> int:
    return sum(1 << (cell - 1) for cell in value or ())


def _cell_words(value: Sequence[int | None] | None) -> list[int]:
    words = [EMPTY_SLOT if cell is None else cell for cell in value or ()]
    return words + [UNUSED_SLOT] * (MAX_CELLS - len(words))


U8: Final = number("u8")
U16: Final = number("u16")
S16: Final = number("s16")
U32: Final = number("u32")
#: degC + 20 in one byte. 0 (the -20 degC end stop) and 255 are an absent or broken sensor.
TEMPERATURE: Final = number("u8", offset=-20, absent=frozenset({0x00, 0xFF}))
SERIAL: Final = Codec("ascii14", Bytes(_SERIAL_BYTES), _serial, _serial_bytes, str)
#: High byte . nibble . nibble, each printed as it reads in hex.
FIRMWARE: Final = Codec("version", Int16ul, _firmware, _firmware_word, str)
#: Bits 15..9 year - 2000, 8..5 month, 4..0 day; ISO text.
DATE: Final = Codec("date", Int16ul, _date, _date_word, str)
#: Bit n = cell n + 1.
CELL_MAP: Final = Codec("cell bits", Int16ul, _mapped_cells, _cell_map, tuple)
#: The only row that may be read in part: see `cells_from_slots`.
CELLS: Final = Codec(
    "u16[16]",
    Array(MAX_CELLS, Int16ul),
    partial(cells_from_slots, 0),
    _cell_words,
    tuple,
)
