"""One checked unit on the wire, in both dialects, floor 0.

Xiaomi::

    55 AA | L D C I P..P K K            L + 6 bytes in all

Ninebot::

    5A A5 | L S T C I P..P K K          L + 9 bytes in all

- L: u8, length. Xiaomi counts C, I and P (2..130); Ninebot counts P alone (0..128, 0 is legal).
- D: u8, the only address of a Xiaomi frame: 0x20..0x22 asks a node, 0x23..0x25 is its reply.
- S, T: u8, source and target of a Ninebot frame. 0x23 is the external pack here, never a reply.
- C: u8, command. A read is 0x01; its reply is 0x01 in Xiaomi and 0x04 in Ninebot.
- I: u8, index of a register in 16-bit words.
- P: payload, 0..128 bytes. The longest in a published BMS frame is 34 bytes, in a full read 72,
  in a firmware page 128.
- K K: u16, low byte first: the sum of every byte from L to the last of P, XOR 0xFFFF. One public
  wiki leaves L out of the Ninebot sum; captured ES2 frames verify only with L included.

Source: py9b, the ninebot-docs captures, the BotoX BMS firmware, CamiAlfa's notes; 4 686 captured
frames agree. The layout is declared once, as a construct schema; the struct codecs that decode
live traffic are derived by walking it, and construct stays the oracle of the tests.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from construct import (
    Bytes,
    Check,
    Checksum,
    Const,
    FormatField,
    Int8ul,
    Int16ul,
    RawCopy,
    Rebuild,
    Renamed,
    Struct,
    Terminated,
    len_,
    this,
)

from ninebot_bms.errors import FrameError, Reason

__all__ = [
    "BMS",
    "BMS2",
    "BMS_ADDRESSES",
    "DASHBOARD",
    "ESC",
    "HEADERS",
    "LAYOUTS",
    "MAX_PAYLOAD",
    "Dialect",
    "Frame",
    "Layout",
    "checksum",
    "parse_frame",
]

ESC: Final = 0x20
DASHBOARD: Final = 0x21
BMS: Final = 0x22
BMS2: Final = 0x23  #: the external pack of an ES scooter, as the ESC names it to the app
#: Who owns the battery register map. 0x11 and 0x12 are the packs of the Ninebot Z10.
BMS_ADDRESSES: Final = frozenset({BMS, BMS2, 0x11, 0x12})

#: Longest payload that is accepted, in bytes: a firmware page.
MAX_PAYLOAD: Final = 128

_READ: Final = 0x01
_READ_REPLY: Final = 0x04  # Ninebot only
_HEARTBEAT: Final = 0x5A  # Ninebot only, and read-like only from an ES2 ESC to its pack
_HEARTBEAT_INDEX: Final = 0x30
_HEARTBEAT_SIZE: Final = 12


class Dialect(StrEnum):
    """Which of the two framings is spoken."""

    XIAOMI = "xiaomi"  #: 55 AA
    NINEBOT = "ninebot"  #: 5A A5


@dataclass(frozen=True, slots=True)
class Frame:
    """One checked unit on the wire. Addresses are Ninebot numbers in both dialects."""

    dialect: Dialect
    source: int | None  #: who speaks; None in a Xiaomi request, which does not say
    target: int | None  #: who is asked; None in a Xiaomi reply, which does not say
    command: int  #: 0x00..0xFF
    index: int  #: register in 16-bit words, 0x00..0xFF
    payload: bytes  #: 0..128 bytes
    raw: bytes = field(default=b"", compare=False, repr=False)  #: as seen; empty if never seen

    @property
    def is_from_bms(self) -> bool:
        """Is a pack speaking?"""
        return self.source in BMS_ADDRESSES

    @property
    def is_read_request(self) -> bool:
        """Does it ask for registers? A pack never asks."""
        return (
            self.command == _READ
            and len(self.payload) == 1
            and self.target is not None
            and not self.is_from_bms
        )

    @property
    def is_read_reply(self) -> bool:
        """Does it carry the registers that a read asked for?

        False for one that cannot be cut into 16-bit words, as no genuine reply is. A Ninebot pack
        may answer with 0x01: a converter of Xiaomi packs does, so a phone app shows its values.
        """
        if self.dialect is Dialect.XIAOMI:
            is_reply = self.command == _READ and self.source is not None
        else:
            is_reply = self.command == _READ_REPLY or (self.command == _READ and self.is_from_bms)
        return is_reply and len(self.payload) > 0 and len(self.payload) % 2 == 0

    @property
    def is_heartbeat_request(self) -> bool:
        """Is it the empty 0x5A that an ES2 ESC sends to its pack every 210 ms?"""
        return (
            self.dialect is Dialect.NINEBOT
            and self.command == _HEARTBEAT
            and self.target in BMS_ADDRESSES
            and not self.payload
        )

    @property
    def is_heartbeat_reply(self) -> bool:
        """Is it a pack's answer to the empty 0x5A, registers 0x30..0x35?"""
        return (
            self.dialect is Dialect.NINEBOT
            and self.command == _HEARTBEAT
            and self.is_from_bms
            and self.index == _HEARTBEAT_INDEX
            and len(self.payload) == _HEARTBEAT_SIZE
        )

    @property
    def requested_size(self) -> int | None:
        """How many bytes a read asks for; None if this is no read request."""
        return self.payload[0] if self.is_read_request else None


def checksum(body: bytes | bytearray | memoryview) -> int:
    """Sum what stands between the header and the checksum.

    Args:
        body: from the length byte to the last byte of the payload.

    Returns:
        the u16 that is sent behind it, low byte first.
    """
    return (sum(body) & 0xFFFF) ^ 0xFFFF


def _schema(header: bytes, addresses: tuple[str, ...], counted: int) -> Any:
    """Declare one dialect. `counted`: fields besides the payload that the length counts."""
    return Struct(
        "header" / Const(header),
        "body"
        / RawCopy(
            Struct(
                "length" / Rebuild(Int8ul, len_(this.payload) + counted),
                Check((this.length >= counted) & (this.length <= counted + MAX_PAYLOAD)),
                *(name / Int8ul for name in addresses),
                "command" / Int8ul,
                "index" / Int8ul,
                "payload" / Bytes(this.length - counted),
            )
        ),
        "checksum" / Checksum(Int16ul, checksum, this.body.data),
        Terminated,
    )


_SCHEMAS: Final[Mapping[Dialect, Any]] = MappingProxyType(
    {
        Dialect.XIAOMI: _schema(b"\x55\xaa", ("address",), counted=2),
        Dialect.NINEBOT: _schema(b"\x5a\xa5", ("source", "target"), counted=0),
    }
)


@dataclass(frozen=True, slots=True)
class Layout:
    """One dialect's schema as plain numbers and struct codecs."""

    dialect: Dialect
    header: bytes  #: 2 bytes
    head: struct.Struct  #: header, length, addresses, command, index; the payload follows
    tail: struct.Struct  #: the checksum behind the payload
    min_length: int  #: smallest legal length byte, that of an empty payload
    max_length: int  #: largest legal length byte
    overhead: int  #: bytes of a whole frame minus its length byte
    decode: Callable[[bytes], Frame]  #: a whole, checked frame's bytes to its value


def _leaves(part: Any) -> Iterator[Any]:
    """Walk a schema in wire order, down to what stands on the wire."""
    if isinstance(part, Struct):
        for subcon in part.subcons:
            yield from _leaves(subcon)
    elif isinstance(part, Renamed | RawCopy | Rebuild):
        yield from _leaves(part.subcon)
    elif isinstance(part, Checksum):
        yield from _leaves(part.checksumfield)
    elif isinstance(part, Const | FormatField | Bytes):
        yield part
    elif not (isinstance(part, Check) or part is Terminated):
        raise TypeError(f"no struct code for {part!r}")


def _codec(leaves: list[Any]) -> struct.Struct:
    codes = (
        f"{len(leaf.value)}s" if isinstance(leaf, Const) else leaf.fmtstr.removeprefix("<")
        for leaf in leaves
    )
    return struct.Struct("<" + "".join(codes))


# A Xiaomi address that marks a reply, and whose reply it is.
_REPLIES: Final[Mapping[int, int]] = MappingProxyType({node + 3: node for node in (ESC, 0x21, BMS)})


def _xiaomi_decoder(head: struct.Struct) -> Callable[[bytes], Frame]:
    def decode(raw: bytes) -> Frame:
        _, _, address, command, index = head.unpack_from(raw)
        source = _REPLIES.get(address)
        target = address if source is None else None
        payload = raw[head.size : -2]
        return Frame(Dialect.XIAOMI, source, target, command, index, payload, raw)

    return decode


def _ninebot_decoder(head: struct.Struct) -> Callable[[bytes], Frame]:
    def decode(raw: bytes) -> Frame:
        _, _, source, target, command, index = head.unpack_from(raw)
        return Frame(Dialect.NINEBOT, source, target, command, index, raw[head.size : -2], raw)

    return decode


_DECODERS: Final = {Dialect.XIAOMI: _xiaomi_decoder, Dialect.NINEBOT: _ninebot_decoder}


def _layout(dialect: Dialect) -> Layout:
    leaves = list(_leaves(_SCHEMAS[dialect]))
    header = leaves[0].value
    payload = next(at for at, leaf in enumerate(leaves) if isinstance(leaf, Bytes))
    head = _codec(leaves[:payload])
    tail = _codec(leaves[payload + 1 :])
    # The schema's own expression says what a length byte of 0 leaves for the payload: minus what
    # the length counts besides it.
    counted = -leaves[payload].length({"length": 0})
    return Layout(
        dialect=dialect,
        header=header,
        head=head,
        tail=tail,
        min_length=counted,
        max_length=counted + MAX_PAYLOAD,
        overhead=head.size + tail.size - counted,
        decode=_DECODERS[dialect](head),
    )


LAYOUTS: Final[Mapping[Dialect, Layout]] = MappingProxyType(
    {dialect: _layout(dialect) for dialect in Dialect}
)

#: The two bytes that open a frame.
HEADERS: Final[Mapping[Dialect, bytes]] = MappingProxyType(
    {dialect: layout.header for dialect, layout in LAYOUTS.items()}
)
_BY_HEADER: Final[Mapping[bytes, Layout]] = MappingProxyType(
    {layout.header: layout for layout in LAYOUTS.values()}
)


def parse_frame(raw: bytes) -> Frame:
    """Decode exactly one whole frame.

    Raises:
        FrameError: HEADER, no frame begins here; LENGTH, the length byte is out of range or does
            not fit the number of bytes; CHECKSUM, the sum is wrong.
    """
    layout = _BY_HEADER.get(raw[:2])
    if layout is None:
        raise FrameError(Reason.HEADER, raw)
    if not (
        len(raw) > 2
        and layout.min_length <= raw[2] <= layout.max_length
        and len(raw) == raw[2] + layout.overhead
    ):
        raise FrameError(Reason.LENGTH, raw)
    expected = layout.tail.pack(checksum(raw[2:-2]))
    if raw[-2:] != expected:
        raise FrameError(Reason.CHECKSUM, raw, expected=expected, actual=raw[-2:])
    return layout.decode(raw)
