"""The scooter battery bus as values, floor 0: sans-IO, construct and the standard library only."""

from ninebot_bms.capture import CaptureFormat, CaptureReader, Chunk, format_chunk, read_capture
from ninebot_bms.commands import MAX_READ, READ, is_read_request, read_request
from ninebot_bms.errors import DecodeError, FrameError, NinebotError, Reason, ReplyError
from ninebot_bms.framer import Framer, Reject
from ninebot_bms.frames import (
    BMS,
    BMS2,
    BMS_ADDRESSES,
    DASHBOARD,
    ESC,
    MAX_PAYLOAD,
    Dialect,
    Frame,
    checksum,
    parse_frame,
)

__all__ = [
    "BMS",
    "BMS2",
    "BMS_ADDRESSES",
    "DASHBOARD",
    "ESC",
    "MAX_PAYLOAD",
    "MAX_READ",
    "READ",
    "CaptureFormat",
    "CaptureReader",
    "Chunk",
    "DecodeError",
    "Dialect",
    "Frame",
    "FrameError",
    "Framer",
    "NinebotError",
    "Reason",
    "Reject",
    "ReplyError",
    "checksum",
    "format_chunk",
    "is_read_request",
    "parse_frame",
    "read_capture",
    "read_request",
]
