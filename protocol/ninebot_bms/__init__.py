"""The scooter battery bus as values, floor 0: sans-IO, construct and the standard library only.

Bytes in, frames of both dialects out (`Framer`); frames in, matched requests and replies out
(`Observer` for listening, `Session` for a bench, `Sharing` for a guest on the dashboard's wire);
replies in, everything a pack reported out
(`SnapshotAssembler`). Nothing in this package can build anything but a read request.
"""

from ninebot_bms.capture import CaptureFormat, CaptureReader, Chunk, format_chunk, read_capture
from ninebot_bms.commands import MAX_READ, READ, is_read_request, read_request
from ninebot_bms.errors import DecodeError, FrameError, NinebotError, Reason, ReplyError
from ninebot_bms.esc_errors import ESC_ERRORS, EscError, esc_error_of
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
from ninebot_bms.identity import Identity, SerialKind, identify, serial_date
from ninebot_bms.observer import (
    BusEvent,
    LineCounts,
    Observer,
    Rejected,
    Reply,
    Seen,
    Unanswered,
)
from ninebot_bms.quirks import Doubt
from ninebot_bms.registers import (
    ESC_REGISTERS,
    REGISTERS,
    Block,
    Evidence,
    Register,
    Value,
    block_of,
    by_name,
    decode_block,
    decode_esc,
)
from ninebot_bms.session import DEFAULT_POLLS, Poll, Session, SessionState
from ninebot_bms.shared_reads import SHARED_POLLS
from ninebot_bms.sharing import Ask, Sharing
from ninebot_bms.sharing_state import SharingState
from ninebot_bms.snapshot import Snapshot, SnapshotAssembler
from ninebot_bms.status import STATUS_FLAGS, StatusFlag, fault_flags, status_flags

__all__ = [
    "BMS",
    "BMS2",
    "BMS_ADDRESSES",
    "DASHBOARD",
    "DEFAULT_POLLS",
    "ESC",
    "ESC_ERRORS",
    "ESC_REGISTERS",
    "MAX_PAYLOAD",
    "MAX_READ",
    "READ",
    "REGISTERS",
    "SHARED_POLLS",
    "STATUS_FLAGS",
    "Ask",
    "Block",
    "BusEvent",
    "CaptureFormat",
    "CaptureReader",
    "Chunk",
    "DecodeError",
    "Dialect",
    "Doubt",
    "EscError",
    "Evidence",
    "Frame",
    "FrameError",
    "Framer",
    "Identity",
    "LineCounts",
    "NinebotError",
    "Observer",
    "Poll",
    "Reason",
    "Register",
    "Reject",
    "Rejected",
    "Reply",
    "ReplyError",
    "Seen",
    "SerialKind",
    "Session",
    "SessionState",
    "Sharing",
    "SharingState",
    "Snapshot",
    "SnapshotAssembler",
    "StatusFlag",
    "Unanswered",
    "Value",
    "block_of",
    "by_name",
    "checksum",
    "decode_block",
    "decode_esc",
    "esc_error_of",
    "fault_flags",
    "format_chunk",
    "identify",
    "is_read_request",
    "parse_frame",
    "read_capture",
    "read_request",
    "serial_date",
    "status_flags",
]
