"""Register blocks as values: what a frame carries, what its words mean, floor 0.

A block is a straight slice of the register file: start word and bytes. The same registers are read
with several lengths (0x10 with 14, 16, 18, 24, 32, 34, 40 bytes), so a block is described by its
own start and length, and only rows that lie fully inside it are decoded. The one exception is
`cell_voltages_mv`: any run of cell words gives the cells it holds.

The rows (`registers_rows`) and their codecs (`registers_codecs`) are declared once with construct;
for each start and length a `struct` codec is derived from them and kept. Parsing a row by construct
itself gives the same values; a test holds the two against each other.

Source: protocol.md sections 4, 5 and 8.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from struct import Struct
from types import MappingProxyType
from typing import Any, Final

from ninebot_bms.errors import DecodeError
from ninebot_bms.frames import BMS_ADDRESSES, ESC, Frame
from ninebot_bms.registers_codecs import CELLS, TEMPERATURE, Value, cells_from_slots, struct_code
from ninebot_bms.registers_rows import ESC_REGISTERS, REGISTERS, Evidence, Register

__all__ = [
    "ESC_REGISTERS",
    "REGISTERS",
    "TABLE_COLUMNS",
    "Block",
    "Evidence",
    "Register",
    "Value",
    "block_of",
    "by_name",
    "cell_slots",
    "decode_block",
    "decode_esc",
    "encode_register",
    "esc_block_of",
    "markdown",
    "table_cells",
    "temperatures_raw",
]

#: Heartbeat of the wiki and the Z10; the ES2's 0x5A is told apart by the frame itself.
_HEARTBEAT_55: Final = 0x55
_HEARTBEAT_INDEX: Final = 0x30
_HEARTBEAT_BYTES: Final = 12
_LAST_INDEX: Final = 0xFF

#: BMS rows by name.
by_name: Final[Mapping[str, Register]] = MappingProxyType({row.name: row for row in REGISTERS})
_CELL_ROW: Final = by_name["cell_voltages_mv"]


@dataclass(frozen=True, slots=True)
class Block:
    """A run of registers that one node reported.

    Attributes:
        address: Ninebot number of the node (0x22, 0x23, 0x11, 0x12 for a pack).
        index: first register, words.
        data: the registers, two bytes each, low byte first.
    """

    address: int
    index: int
    data: bytes


def block_of(frame: Frame) -> Block | None:
    """Return the BMS registers that a frame carries, or None.

    Read replies, 0x5A replies and 0x55 replies of a pack carry registers.
    """
    source = frame.source
    if source is None or source not in BMS_ADDRESSES:
        return None
    return _block(frame, source) if _carries_registers(frame) else None


def esc_block_of(frame: Frame) -> Block | None:
    """Return the ESC registers that a frame carries (read replies of the ESC), or None."""
    return _block(frame, ESC) if frame.source == ESC and frame.is_read_reply else None


def decode_block(index: int, data: bytes) -> dict[str, Value]:
    """Decode the BMS rows that lie fully inside a block.

    Args:
        index: first register, words, 0x00-0xFF.
        data: the registers, two bytes each.

    Returns:
        Value by row name, in the order of the table; empty if no row lies inside.

    Raises:
        DecodeError: no data, half a word, or no such register.
    """
    _check(index, data)
    plan = _bms_plan(index, len(data))
    values = plan.decode(data)
    if plan.cells is not None:
        values[_CELL_ROW.name] = cells_from_slots(plan.first_slot, plan.cells(data))
    return values


def decode_esc(index: int, data: bytes) -> dict[str, Value]:
    """Decode the ESC rows that lie fully inside a block; like `decode_block`."""
    _check(index, data)
    return _esc_plan(index, len(data)).decode(data)


def cell_slots(index: int, data: bytes) -> tuple[int, tuple[int, ...]] | None:
    """Return the cell words of a block as they stand.

    Returns:
        Slot of the first word (0 = cell 1) and the raw words in millivolts, length 1-16; None if
        the block holds no cell words.

    Raises:
        DecodeError: as `decode_block`.
    """
    _check(index, data)
    plan = _bms_plan(index, len(data))
    return None if plan.cells is None else (plan.first_slot, plan.cells(data))


def temperatures_raw(index: int, data: bytes) -> dict[str, int]:
    """Return the bytes behind the temperatures of a block, by row name.

    Raw 0 and 255 are no temperature (the row's value is None) but tell an absent or broken sensor;
    this keeps them reachable without making them quantities of their own.

    Raises:
        DecodeError: as `decode_block`.
    """
    _check(index, data)
    return {name: data[offset] for name, offset in _bms_plan(index, len(data)).temperatures}


def encode_register(name: str, value: Value) -> bytes:
    """Return the bytes of one BMS row that hold a value: for register images, not for frames.

    Args:
        name: a row of `REGISTERS`.
        value: as `decode_block` gives it; None gives what an unsupported word reads.

    Raises:
        KeyError: no such row.
        ValueError: the value does not fit the row.
    """
    row = by_name[name]
    try:
        data: bytes = row.codec.schema.build(value)
    except Exception as error:
        raise ValueError(f"{name} cannot hold {value!r}") from error
    return data


def markdown(rows: Sequence[Register] = REGISTERS) -> str:
    """Return rows as a Markdown table, one line a row, with a trailing newline."""
    lines = [
        "| " + " | ".join(TABLE_COLUMNS) + " |",
        "|" + "---|" * len(TABLE_COLUMNS),
    ]
    lines += ["| " + " | ".join(cell or " " for cell in table_cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


#: Columns of the printed table, in order; `table_cells` fills them.
TABLE_COLUMNS: Final = (
    "reg",
    "words",
    "type",
    "scale",
    "unit",
    "name",
    "evidence",
    "meaning",
    "doubt",
)


def table_cells(row: Register) -> tuple[str, ...]:
    """Return one row as texts, one per column of `TABLE_COLUMNS`."""
    half = {None: str(row.words), 0: "low byte", 1: "high byte"}[row.byte]
    codec = row.codec
    scale = "" if codec.scale == 1 else f"{float(codec.scale):g}"
    if codec.offset:
        scale = f"{scale or '1'} {codec.offset:+d}"
    meaning = row.description
    if codec.absent:
        raws = " or ".join(str(raw) for raw in sorted(codec.absent))
        meaning = f"{meaning}; raw {raws}: not reported"
    return (
        f"0x{row.index:02X}",
        half,
        row.type_name,
        scale,
        row.unit,
        row.name,
        row.evidence.value,
        meaning,
        row.doubt,
    )


def _block(frame: Frame, address: int) -> Block | None:
    data = frame.payload
    return Block(address, frame.index, data) if data and not len(data) % 2 else None


def _carries_registers(frame: Frame) -> bool:
    return (
        frame.is_read_reply
        or frame.is_heartbeat_reply
        or (
            frame.command == _HEARTBEAT_55
            and frame.index == _HEARTBEAT_INDEX
            and len(frame.payload) == _HEARTBEAT_BYTES
        )
    )


def _check(index: int, data: bytes) -> None:
    if not 0 <= index <= _LAST_INDEX:
        raise DecodeError("no such register", index, data)
    if not data:
        raise DecodeError("an empty block", index, data)
    if len(data) % 2:
        raise DecodeError("half a word at the end of a block", index, data)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to cut blocks of one start and length."""

    unpack: Callable[[bytes], tuple[Any, ...]]
    rows: tuple[tuple[str, Callable[[Any], Value] | None], ...]  #: None: the number as it stands
    first_slot: int  #: slot of the first cell word, if there are any
    cells: Callable[[bytes], tuple[int, ...]] | None
    temperatures: tuple[tuple[str, int], ...]  #: row name, byte in the block

    def decode(self, data: bytes) -> dict[str, Value]:
        return {
            name: raw if decode is None else decode(raw)
            for (name, decode), raw in zip(self.rows, self.unpack(data), strict=True)
        }


def _plan(registers: tuple[Register, ...], index: int, size: int) -> _Plan:
    start, end = 2 * index, 2 * index + size
    code, at = "<", start
    rows: list[tuple[str, Callable[[Any], Value] | None]] = []
    cells: Callable[[bytes], tuple[int, ...]] | None = None
    first_slot = 0
    temperatures: list[tuple[str, int]] = []
    for row in registers:
        codec = row.codec
        if codec is CELLS:
            first, last = max(start, row.offset), min(end, row.offset + codec.size)
            if first < last:
                cells = Struct(f"<{first - start}x{(last - first) // 2}H").unpack_from
                first_slot = (first - row.offset) // 2
        elif start <= row.offset and row.offset + codec.size <= end:
            code += f"{row.offset - at}x{struct_code(codec.wire)}"
            at = row.offset + codec.size
            rows.append((row.name, None if codec.is_plain else codec.decode))
            if codec is TEMPERATURE:
                temperatures.append((row.name, row.offset - start))
    return _Plan(Struct(code).unpack_from, tuple(rows), first_slot, cells, tuple(temperatures))


# A bus uses a handful of starts and lengths; the bound is for hostile input.
_bms_plan: Final = lru_cache(maxsize=256)(partial(_plan, REGISTERS))
_esc_plan: Final = lru_cache(maxsize=256)(partial(_plan, ESC_REGISTERS))
