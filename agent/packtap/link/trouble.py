"""Why a port cannot be used, in the words of a technician, floor 3.

Each text says what was seen, what it means and what to try. Nothing is imported here that exists on
one system only, so that the same command line starts on a laptop with Windows.
"""

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from packtap.errors import LinkTrouble

__all__ = ["classify", "explain", "explain_loss", "other_users"]

_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
_NO_HARDWARE: Final = frozenset({errno.ENXIO, errno.ENODEV, errno.EIO})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})
_BUSY: Final = frozenset({errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK})
_NOT_SERIAL: Final = frozenset({errno.ENOTTY, errno.EISDIR})

#: The system's error number -> what is the matter.
_TROUBLES: Final = (
    (_ABSENT | _NO_HARDWARE, LinkTrouble.ABSENT),
    (_FORBIDDEN, LinkTrouble.FORBIDDEN),
    (_BUSY, LinkTrouble.BUSY),
    (_NOT_SERIAL, LinkTrouble.NOT_SERIAL),
)


def classify(error: Exception, port: str) -> LinkTrouble:
    """Return what is the matter with a port that could not be opened."""
    if isinstance(error, ValueError | OverflowError):
        return LinkTrouble.NO_SUCH_RATE
    if "://" in port:
        return LinkTrouble.UNREACHABLE
    number = _errno(error)
    return next((trouble for numbers, trouble in _TROUBLES if number in numbers), LinkTrouble.OTHER)


def explain(error: Exception, port: str, baud: int, present: Callable[[], Sequence[str]]) -> str:
    """Return why a port could not be opened, and what to try.

    Args:
        error: what pyserial raised.
        port: the name that was tried.
        baud: bits per second that were asked for.
        present: lists the ports that are here.
    """
    if isinstance(error, ValueError | OverflowError):
        return f"{port} cannot run at {baud} baud: every stock scooter has 115200"
    if "://" in port:
        return _explain_network(error, port)
    return _explain_device(error, port, present)


def explain_loss(error: Exception, port: str) -> str:
    """Return what happened to a port that was open."""
    if "://" in port:
        return f"{port} is gone: the other end closed the connection or the network is down"
    if "timeout" in type(error).__name__.lower():
        return f"{port} takes no bytes: the adapter hangs; unplug it and plug it in again"
    return f"{port} is gone: adapter unplugged, or its USB supply broke down; it is tried again"


def other_users(port: str) -> list[str]:
    """Return the programs that have the device open, "name (pid N)", as far as we may see.

    Pseudo-terminals are left out: the program at the other end of one holds it by design.
    """
    device = os.path.realpath(port)
    if device.startswith("/dev/pts/"):
        return []
    return sorted(_holders(device))


def _explain_device(error: Exception, port: str, present: Callable[[], Sequence[str]]) -> str:
    number = _errno(error)
    if number in _ABSENT:
        return f"there is no {port}. {_offer(present())}"
    if number in _FORBIDDEN:
        return (
            f"{port} is there, but this user may not open it. It belongs to the group "
            f"{_group(port)}: `sudo usermod -aG {_group(port)} $USER`, then log in again (a "
            "service: SupplementaryGroups=)"
        )
    if number in _BUSY:
        holders = ", ".join(sorted(_holders(os.path.realpath(port))))
        held = f"by {holders}" if holders else "by another program"
        return (
            f"{port} is in use {held}. Usually that is another packtap agent, ModemManager, a "
            f"terminal program or the serial console; `sudo fuser -v {port}` shows which"
        )
    if number in _NOT_SERIAL:
        return f"{port} is not a serial port{_what(port)}. {_offer(present())}"
    if number in _NO_HARDWARE:
        return f"{port} is a name without hardware behind it. {_offer(present())}"
    return f"{port} cannot be opened: {error}"


def _explain_network(error: Exception, port: str) -> str:
    parts = urlsplit(port)
    cause = error.__context__
    if isinstance(cause, socket.gaierror):
        return f"{port}: the name {parts.hostname} is not known: check its spelling and the network"
    if isinstance(cause, ConnectionRefusedError):
        return (
            f"{port}: {parts.hostname} is there, but nothing listens on its port {parts.port}: "
            "is the tap (ser2net) started, and free?"
        )
    if isinstance(cause, TimeoutError) or _errno(error) in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return (
            f"{port}: {parts.hostname} does not answer: is it switched on, in this network, and "
            f"its port {parts.port} not blocked?"
        )
    if "RFC2217" in str(error):
        return f"{port}: what listens there does not speak RFC 2217; a raw tap is socket://"
    return f"{port} cannot be reached: {error}"


def _errno(error: BaseException) -> int | None:
    """Return the number of the system's error, also where pyserial kept only its text."""
    if isinstance(number := getattr(error, "errno", None), int):
        return number
    cause = error.__context__
    if cause is not None and cause.args and isinstance(cause.args[0], int):
        return cause.args[0]  # termios.error is no OSError
    # On Windows pyserial writes the exception into its text: "... PermissionError(13, ...)".
    for name, number in (("FileNotFoundError", errno.ENOENT), ("PermissionError", errno.EBUSY)):
        if name in str(error):
            return number
    return None


def _offer(present: Sequence[str]) -> str:
    if not present:
        return "No serial port is here at all: is the adapter plugged in?"
    return f"Plug the adapter in, or use one that is here: {', '.join(present)}"


def _what(port: str) -> str:
    try:
        mode = Path(port).stat().st_mode
    except OSError:
        return ""
    if stat.S_ISDIR(mode):
        return " but a folder"
    return " but a file" if stat.S_ISREG(mode) else ""


def _group(port: str) -> str:
    try:
        return Path(port).group()
    except (OSError, KeyError, NotImplementedError):
        return "dialout"


def _holders(device: str) -> Iterator[str]:
    """Yield other processes with this device open. Linux; of other users only for root."""
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            held = any(str(link.readlink()) == device for link in (process / "fd").iterdir())
            name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:  # not ours to see, or gone meanwhile
            continue
        if held:
            yield f"{name} (pid {process.name})"
