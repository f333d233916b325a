"""Serial lines, floor 3: bytes with the time at which they were read, and nothing else.

The door of pyserial. `SerialLine` is one open port; `LineReader` is the thread that keeps one open,
through unplugging too, and fills an `Inbox`. Nothing is ever sent but a read request to a battery,
and that only on a line opened with `transmit=True` (guarantee 2 of the design).
"""

from packtap.link.line import COALESCE_S, PROMPT_S, SerialLine, find_ports, list_ports
from packtap.link.ports import FoundPort, PortKind
from packtap.link.reader import (
    Inbox,
    LineReader,
    LinkDown,
    LinkItem,
    LinkUp,
    MomentPassedError,
    Received,
)

__all__ = [
    "COALESCE_S",
    "PROMPT_S",
    "FoundPort",
    "Inbox",
    "LineReader",
    "LinkDown",
    "LinkItem",
    "LinkUp",
    "MomentPassedError",
    "PortKind",
    "Received",
    "SerialLine",
    "find_ports",
    "list_ports",
]
