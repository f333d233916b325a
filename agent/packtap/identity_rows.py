"""Where the bus carries what names a pack or a scooter, as rows, floor 2.

A row is a run of bytes in a node's register file. Register 0x20 (date of manufacture), counters and
distances are no rows: many packs share them, and a repair needs them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ninebot_bms.frames import BMS_ADDRESSES, DASHBOARD, ESC, Dialect, Frame
from ninebot_bms.registers import by_name

__all__ = [
    "IDENTITY_ROWS",
    "NODES",
    "PRIVATE_COMMANDS",
    "READ",
    "READ_REPLY",
    "WRITES",
    "IdentityRow",
    "Kind",
    "Span",
    "is_register_reply",
    "spans",
]

#: Who has registers. Source: protocol.md section 3.
NODES: Final = BMS_ADDRESSES | {ESC, DASHBOARD}
#: Commands that ask for registers and tell them (the latter in Ninebot only).
READ: Final = 0x01
READ_REPLY: Final = 0x04


class Kind(StrEnum):
    """How what names somebody is replaced."""

    TEXT = "text"  #: by a pseudonym of the same form
    BYTES = "bytes"  #: by other bytes
    CODE = "code"  #: by "0": nobody needs to tell two of them apart


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """One run of registers.

    Attributes:
        nodes: Ninebot numbers of those who have it.
        index: first register, words.
        size: bytes.
        kind: how it is replaced.
        what: in words.
    """

    nodes: frozenset[int]
    index: int
    size: int
    kind: Kind
    what: str


def _of_pack(name: str, kind: Kind, what: str) -> IdentityRow:
    row = by_name[name]
    return IdentityRow(BMS_ADDRESSES, row.index, 2 * row.words, kind, what)


_ESC: Final = frozenset({ESC})
_DASHBOARD: Final = frozenset({DASHBOARD})

#: Source: protocol.md section 5 for packs. The vehicle's serial and pairing code: seen in a
#: recording of a real M365 (m365_dash_app: 0x10 read with 14 bytes, 0x17 with 6). The ESC's chip:
#: single source, py9b. The dashboard's text: seen there too, its meaning is not known.
IDENTITY_ROWS: Final = (
    _of_pack("serial", Kind.TEXT, "the pack's serial number"),
    _of_pack("crypto_code", Kind.BYTES, "the pack's crypto code"),
    _of_pack("mcu_id", Kind.BYTES, "the unique id of the pack's chip"),
    IdentityRow(_ESC, 0x10, 14, Kind.TEXT, "the vehicle's serial number"),
    IdentityRow(_ESC, 0x17, 6, Kind.CODE, "the vehicle's pairing code"),
    IdentityRow(_ESC, 0xDA, 12, Kind.BYTES, "the unique id of the ESC's chip"),
    IdentityRow(_DASHBOARD, 0x00, 14, Kind.TEXT, "a number of the dashboard"),
)

#: Commands that write registers. Source: protocol.md section 4.
WRITES: Final = frozenset({0x02, 0x03})
#: Commands whose payload names somebody or is a key: program serial number, set Bluetooth name,
#: the three of Bluetooth pairing.
PRIVATE_COMMANDS: Final = frozenset({0x18, 0x50, 0x5B, 0x5C, 0x5D})


@dataclass(frozen=True, slots=True)
class Span:
    """Where a payload and a row lie over each other.

    Attributes:
        row: what is there.
        start: first byte in the payload.
        stop: one behind the last.
        offset: which byte of the row `start` is.
    """

    row: IdentityRow
    start: int
    stop: int
    offset: int


def spans(node: int, index: int, size: int) -> Iterator[Span]:
    """Yield what names somebody in a run of registers.

    Args:
        node: whose registers.
        index: the first of them, words.
        size: bytes.
    """
    first = 2 * index
    for row in IDENTITY_ROWS:
        start = max(first, 2 * row.index)
        stop = min(first + size, 2 * row.index + row.size)
        if node in row.nodes and start < stop:
            yield Span(row, start - first, stop - first, start - 2 * row.index)


def is_register_reply(frame: Frame) -> bool:
    """Whether a node tells its registers: the only frames that may be built anew."""
    if frame.source not in NODES or not frame.payload:
        return False
    if frame.dialect is Dialect.XIAOMI:
        return frame.command == READ
    return frame.command == READ_REPLY or (frame.command == READ and frame.is_read_reply)
