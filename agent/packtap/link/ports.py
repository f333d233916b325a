"""What a serial port is: a USB adapter, a UART of the board, a pseudo-terminal, floor 3.

Values and words only: what pyserial says of a port is handed in. The chip of an adapter is known by
its USB vendor and product number; unknown ones are called what they call themselves.

Source: USB numbers from the Linux drivers ftdi_sio, cp210x, ch341 and pl2303.
"""

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

__all__ = ["FoundPort", "PortInfo", "PortKind", "found_port"]


class PortKind(StrEnum):
    """What stands behind a port's name."""

    USB = "usb"  #: an adapter
    BOARD = "board"  #: a UART of the Pi or of the computer itself
    NETWORK = "network"  #: a tap reached over TCP
    TERMINAL = "terminal"  #: a pseudo-terminal: an emulation
    UNKNOWN = "unknown"


class PortInfo(Protocol):
    """What pyserial knows of a port."""

    device: str
    vid: int | None
    pid: int | None
    manufacturer: str | None
    product: str | None


@dataclass(frozen=True, slots=True)
class FoundPort:
    """A serial port and what it is."""

    name: str  #: how to name it: the lasting by-id name if there is one
    device: str  #: what it is now, /dev/ttyUSB0
    kind: PortKind
    words: str  #: what it is, for people


#: USB vendor -> chip, and what to mind. Most boards have a jumper or a variant with 5 V levels.
_CHIPS: Final = {
    0x0403: "FTDI USB adapter; check that it is the 3.3 V type",
    0x10C4: "CP210x USB adapter, 3.3 V levels",
    0x1A86: "CH340 USB adapter; check that its jumper is at 3.3 V",
    0x067B: "PL2303 USB adapter; check that it has 3.3 V levels",
    0x2E8A: "Raspberry Pi Pico as a USB adapter, 3.3 V levels",
}
#: A pattern of the device's name -> kind and words, where USB says nothing. First match.
_DEVICES: Final = (
    (r".*/ttyAMA10", PortKind.BOARD, "Pi 5: the 3-pin debug connector, not the 40-pin header"),
    (r".*/ttyAMA\d+", PortKind.BOARD, "UART of the Pi (PL011)"),
    (r".*/ttyS\d+", PortKind.BOARD, "UART of the board (on a Pi: the mini UART)"),
    (r".*/pts/\d+", PortKind.TERMINAL, "pseudo-terminal: an emulation, no adapter"),
    (r".*/tty(USB|ACM)\d+|.*/cu\.usb.*", PortKind.USB, "USB adapter"),
)


def found_port(name: str, info: PortInfo | None = None) -> FoundPort:
    """Return what a port is.

    Args:
        name: how it is named.
        info: what pyserial says of it; None: nothing.
    """
    if "://" in name:
        return FoundPort(name, name, PortKind.NETWORK, "network tap")
    device = os.path.realpath(name) if name.startswith("/") else name
    if info is not None and info.vid is not None:
        words = _CHIPS.get(info.vid) or " ".join(
            part for part in (info.manufacturer, info.product, "USB adapter") if part
        )
        return FoundPort(name, device, PortKind.USB, words)
    for pattern, kind, words in _DEVICES:
        if re.fullmatch(pattern, device):
            return FoundPort(name, device, kind, words)
    return FoundPort(name, device, PortKind.UNKNOWN, "serial port")
