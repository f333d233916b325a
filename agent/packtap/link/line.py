"""One open serial port or network tap, floor 3.

Reads are coalesced to about 20 ms: at 115200 baud some 230 bytes a call, never one. What goes out
is asked of `ninebot_bms.commands.is_read_request`, here, at the last moment before the port.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import serial

from ninebot_bms.commands import is_read_request
from packtap.config.keys import Port
from packtap.errors import LinkError
from packtap.link.ports import FoundPort, PortInfo, found_port
from packtap.link.trouble import classify, explain, explain_loss, other_users

__all__ = ["COALESCE_S", "PROMPT_S", "SerialLine", "find_ports", "list_ports"]

#: How long bytes are left to gather before they are read, seconds. The kernel keeps 4096 bytes,
#: 355 ms at 115200 baud, so nothing is lost meanwhile.
COALESCE_S: Final = 0.02
#: The same where the moment of a byte matters: a frame a read, a millisecond late.
PROMPT_S: Final = 0.001
_MAX_READ: Final = 4096
#: Where udev names ports by maker and serial number.
_BY_ID: Final = Path("/dev/serial/by-id")
#: A request is 9 or 10 bytes: if the port does not take it within this, it takes nothing.
_WRITE_TIMEOUT_S: Final = 0.5
#: A network tap that lost power says nothing: ask it after so many seconds of silence.
_KEEPALIVE_S: Final = 10


class SerialLine:
    """One wire of a bus.

    Args:
        name: of the line (bms, esc, dash), for messages.
        port: a device, `socket://HOST:PORT` or `rfc2217://HOST:PORT`.
        baud: bits per second; 8 data bits, no parity, one stop bit.
        transmit: allow read requests to be sent. Only on a bench, where packtap is the only master,
            or on a dashboard's wire that is shared.
        gather_s: how long bytes are left to gather behind the first one, seconds.
        wait: waits so many seconds; a reader passes one that ends early when it must stop.
    """

    def __init__(
        self,
        name: str,
        port: str,
        baud: int = 115200,
        *,
        transmit: bool = False,
        gather_s: float = COALESCE_S,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.name = name
        self.port = port
        self.baud = baud
        self.transmit = transmit
        self._gather_s = gather_s
        self._wait = wait
        self._is_network = "://" in port
        self._serial: serial.Serial | None = None

    @property
    def is_open(self) -> bool:
        """Is the port held now?"""
        return self._serial is not None

    @property
    def device(self) -> str:
        """What the port is now: a by-id name points to another ttyUSB after replugging."""
        if self._is_network:
            return self.port
        real = os.path.realpath(self.port)
        return self.port if real == self.port else f"{self.port} ({real})"

    def open(self) -> list[str]:
        """Open the port; a real one is locked against every other program that locks.

        Returns:
            Other programs that have it open without a lock, as far as this user may see.

        Raises:
            LinkError: absent, busy, forbidden, no serial port, no such rate, host does not answer.
        """
        if self._serial is not None:
            return []
        if self._is_network and (wrong := Port().problem(self.port)):
            raise LinkError(f"{self.name}: {wrong}")
        try:
            self._serial = serial.serial_for_url(
                self.port,
                baudrate=self.baud,
                timeout=COALESCE_S,
                # pyserial's RFC 2217 client knows no write time-out; its socket has one of 5 s.
                write_timeout=None if self.port.startswith("rfc2217") else _WRITE_TIMEOUT_S,
                exclusive=None if self._is_network else True,
            )
        except _port_errors() as error:
            reason = explain(error, self.port, self.baud, list_ports)
            trouble = classify(error, self.port)
            raise LinkError(f"{self.name}: {reason}", trouble) from error
        if self._is_network:
            _keep_alive(self._serial)
            return []
        if self._is_prompt:
            _be_prompt(self._serial)
        return other_users(self.port)

    def read(self) -> bytes:
        """Return what came within about 20 ms; empty if nothing did.

        Raises:
            LinkError: the port is gone, or not open.
        """
        port = self._opened()
        try:
            if self._is_network:
                # in_waiting of a socket says whether, not how much: gather until the time-out.
                return bytes(port.read(_MAX_READ))
            first = b""
            if self._is_prompt:
                first = bytes(port.read(1))
                if not first:
                    return b""
            self._wait(self._gather_s)
            waiting = port.in_waiting
            if first:
                return first + bytes(port.read(min(waiting, _MAX_READ)))
            return bytes(port.read(min(waiting, _MAX_READ))) if waiting else b""
        except _port_errors() as error:
            raise LinkError(f"{self.name}: {explain_loss(error, self.port)}") from error

    def send(self, data: bytes) -> None:
        """Send one read request to a battery; refuse everything else.

        Raises:
            LinkError: the line listens only, the bytes are no read request, or the port is gone.
        """
        request = bytes(
            data
        )  # what is checked is what is sent, whatever the caller does to its own
        if not self.transmit:
            raise LinkError(f"{self.name}: this line only listens; nothing is sent on it")
        if not is_read_request(request):
            shown = request[:32].hex(" ") + (" ..." if len(request) > 32 else "")
            raise LinkError(
                f"{self.name}: refused to send {shown or 'nothing'}: packtap sends read requests "
                "to a battery and no other bytes"
            )
        port = self._opened()
        try:
            port.write(request)
        except _port_errors() as error:
            raise LinkError(f"{self.name}: {explain_loss(error, self.port)}") from error

    def close(self) -> None:
        """Give the port back. Closing twice is fine."""
        port, self._serial = self._serial, None
        if port is None:
            return
        try:
            port.close()
        except _port_errors():
            # It was unplugged: there is nothing left to give back.
            return

    @property
    def _is_prompt(self) -> bool:
        return self._gather_s < COALESCE_S

    def _opened(self) -> serial.Serial:
        if self._serial is None:
            raise LinkError(f"{self.name}: {self.port} is not open")
        return self._serial


def list_ports() -> list[str]:
    """Return the serial ports that are here; the lasting names under by-id come first."""
    return [name for name, _ in _named_ports()]


def find_ports() -> list[FoundPort]:
    """Return the serial ports that are here and what they are, in the same order."""
    return [found_port(name, info) for name, info in _named_ports()]


def _named_ports() -> list[tuple[str, PortInfo | None]]:
    from serial.tools.list_ports import comports  # looks through /sys: only when somebody asks

    lasting = sorted(str(link) for link in _BY_ID.iterdir()) if _BY_ID.is_dir() else []
    by_device = {port.device: port for port in comports()}
    named = {os.path.realpath(link) for link in lasting}
    names = lasting + sorted(by_device.keys() - named)
    return [(name, by_device.get(os.path.realpath(name))) for name in names]


def _port_errors() -> tuple[type[Exception], ...]:
    """Return what pyserial lets through; looked up only when something was raised."""
    # ValueError and OverflowError are rates that port or host does not know.
    errors: tuple[type[Exception], ...] = (
        serial.SerialException,
        OSError,
        ValueError,
        OverflowError,
    )
    try:
        import termios
    except ModuleNotFoundError:
        return errors  # a system without it has no such error either
    return (*errors, termios.error)


def _be_prompt(port: serial.Serial) -> None:
    # FTDI adapters hold bytes back for 16 ms otherwise. Drivers without such a mode say so: theirs
    # is what it is, and a bus that is heard too late is never understood.
    with contextlib.suppress(AttributeError, *_port_errors()):
        port.set_low_latency_mode(True)


def _keep_alive(port: serial.Serial) -> None:
    # pyserial has no word for it; a tap that lost power would look like a quiet bus for ever.
    connection = getattr(port, "_socket", None)
    if not isinstance(connection, socket.socket):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", _KEEPALIVE_S), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
