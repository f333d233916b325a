"""The service manager's end of sd_notify, for real processes."""

import os
import socket
import time
from pathlib import Path
from typing import Final

__all__ = ["ServiceManager"]


class ServiceManager:
    """Listens where `$NOTIFY_SOCKET` says; only what one process says counts, as NotifyAccess=main.

    Args:
        folder: for the socket.
        watchdog_s: how often the service must say that it lives.
    """

    def __init__(self, folder: Path, watchdog_s: float) -> None:
        path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.environment: Final = {
            "NOTIFY_SOCKET": str(path),
            "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
        }
        self._heard: list[tuple[float, int, str]] = []

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()

    def said(self, pid: int) -> list[str]:
        """Return every line that this process has sent."""
        return [line for _, line in self._of(pid)]

    def times(self, pid: int, line: str) -> list[float]:
        """Return when the process has said that, monotonic seconds."""
        return [t for t, said in self._of(pid) if said == line]

    def _of(self, pid: int) -> list[tuple[float, str]]:
        self._listen()
        return [
            (t, line) for t, sender, text in self._heard if sender == pid
            for line in text.splitlines()
        ]  # fmt: skip

    def _listen(self) -> None:
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(4096, 128)
            except BlockingIOError:
                return
            sender = int.from_bytes(ancillary[0][2][:4], "little") if ancillary else os.getpid()
            self._heard.append((time.monotonic(), sender, data.decode()))
