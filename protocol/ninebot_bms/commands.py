"""The one thing that is ever sent: a read of a pack's registers, floor 0.

`read_request` is the only public function of the library that builds bytes for the wire, and
`is_read_request` is what the link asks before it writes anything. Every other command changes
state in some node (protocol notes of py9b, the vendor's service tool and the rental firmware):
0x02 and 0x03 write, 0x07..0x0B can brick, and 0x5A is read-like only from an ES2 ESC.
"""

from typing import Final

from ninebot_bms.errors import FrameError
from ninebot_bms.frames import BMS, BMS2, BMS_ADDRESSES, LAYOUTS, Dialect, checksum, parse_frame

__all__ = ["APPLICATION", "MAX_READ", "READ", "is_read_request", "read_request"]

READ: Final = 0x01
#: Longest read in bytes. Some packs leave a longer one, or one past the map's end, unanswered.
MAX_READ: Final = 64
#: How a PC or IoT box calls itself in Ninebot frames; Xiaomi frames name no sender.
APPLICATION: Final = 0x3D

# Who may be asked. In Xiaomi frames 0x23 would be a reply from the ESC.
_TARGETS: Final = {
    Dialect.XIAOMI: frozenset({BMS}),
    Dialect.NINEBOT: frozenset({BMS, BMS2}),
}


def read_request(
    dialect: Dialect, index: int, size: int, *, target: int = BMS, source: int = APPLICATION
) -> bytes:
    """Build a read of a pack's registers.

    Args:
        dialect: the framing that the pack speaks.
        index: first register, in 16-bit words, 0x00..0xFF.
        size: bytes wanted, even, 2..64.
        target: the pack: 0x22, in Ninebot also 0x23.
        source: the asking node of a Ninebot frame, no pack; not used in a Xiaomi frame.

    Raises:
        ValueError: anything outside the above.
    """
    layout = LAYOUTS[Dialect(dialect)]
    if target not in _TARGETS[layout.dialect]:
        raise ValueError(f"0x{target:02x} is no pack that can be asked in {layout.dialect}")
    if source not in range(256) or source in BMS_ADDRESSES:
        raise ValueError(f"source {source} is no address of an application")
    if index not in range(256):
        raise ValueError(f"register {index} is outside 0x00..0xFF")
    if not _is_readable(size):
        raise ValueError(f"cannot read {size} bytes: an even number, 2..{MAX_READ}, is possible")
    addresses = (target,) if layout.dialect is Dialect.XIAOMI else (source, target)
    head = layout.head.pack(layout.header, layout.min_length + 1, *addresses, READ, index)
    body = head[len(layout.header) :] + bytes((size,))
    return layout.header + body + layout.tail.pack(checksum(body))


def is_read_request(data: bytes) -> bool:
    """Is this one whole frame that `read_request` could have built, and nothing else?"""
    try:
        frame = parse_frame(bytes(data))
    except FrameError:
        return False
    return (
        frame.is_read_request
        and frame.target in _TARGETS[frame.dialect]
        and _is_readable(frame.payload[0])
    )


def _is_readable(size: int) -> bool:
    return size in range(2, MAX_READ + 1, 2)
