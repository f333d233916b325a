"""Any frame to bytes, for the emulator and the tests only, floor 0.

Nothing that can reach a port imports this module: packtap never writes to a pack. What is sent is
built by `ninebot_bms.commands`, which knows reads alone.
"""

import struct

from ninebot_bms.frames import BMS, ESC, LAYOUTS, MAX_PAYLOAD, Dialect, Frame, checksum

__all__ = ["encode"]


def encode(frame: Frame) -> bytes:
    """Turn a frame into the bytes on the wire; `frame.raw` is ignored.

    Raises:
        ValueError: an address that the dialect cannot say, a number outside a byte, or a payload
            of more than 128 bytes.
    """
    if len(frame.payload) > MAX_PAYLOAD:
        raise ValueError(f"payload of {len(frame.payload)} bytes, at most {MAX_PAYLOAD} fit")
    layout = LAYOUTS[frame.dialect]
    length = len(frame.payload) + layout.min_length
    try:
        head = layout.head.pack(
            layout.header, length, *_addresses(frame), frame.command, frame.index
        )
    except struct.error as exc:
        raise ValueError(f"{frame!r} has a number that is no byte") from exc
    body = head[len(layout.header) :] + frame.payload
    return layout.header + body + layout.tail.pack(checksum(body))


def _addresses(frame: Frame) -> tuple[int | None, ...]:
    """Find the address bytes; a None among them is no byte and is refused by the codec."""
    if frame.dialect is Dialect.NINEBOT:
        return frame.source, frame.target
    if (frame.source is None) == (frame.target is None):
        raise ValueError("a Xiaomi frame has either a source or a target")
    if frame.source is None:
        if frame.target in range(ESC + 3, BMS + 4):
            raise ValueError(f"Xiaomi address 0x{frame.target:02x} marks a reply")
        return (frame.target,)
    if frame.source not in range(ESC, BMS + 1):
        raise ValueError(f"no Xiaomi reply comes from 0x{frame.source:02x}")
    return (frame.source + 3,)
