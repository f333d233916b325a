"""The other ends of a serial line: pseudo-terminals, TCP servers, an RFC 2217 server."""

import contextlib
import fcntl
import os
import select
import socket
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import serial
from serial.rfc2217 import PortManager


def wait_until(is_true: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as it is true; fail if it does not become so."""
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.005)


class Pty:
    """An adapter whose far end we hold. Unplugging it makes its device go away."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self.master)
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.device = os.ttyname(self._slave)

    def write(self, data: bytes) -> None:
        """Say something on the wire."""
        assert os.write(self.master, data) == len(data)

    @property
    def waiting(self) -> int:
        """Return how many bytes lie at the device, not read yet; the kernel takes its time."""
        count = bytearray(4)
        fcntl.ioctl(self._slave, termios.FIONREAD, count)
        return int.from_bytes(count, sys.byteorder)

    @property
    def was_told(self) -> bool:
        """Is there something to `read`?"""
        return bool(select.select([self.master], [], [], 0)[0])

    def read(self) -> bytes:
        """Return what was sent to the wire; empty if nothing."""
        try:
            return os.read(self.master, 4096)
        except BlockingIOError:
            return b""

    def unplug(self) -> None:
        """Take the adapter away."""
        if self.master >= 0:
            os.close(self.master)
            os.close(self._slave)
            self.master = -1


def play(pty: Pty, data: bytes, *, baud: int = 115200, chunk: int = 8) -> None:
    """Write at the rate of a line: ten bit times a byte."""
    start = time.monotonic()
    for at in range(0, len(data), chunk):
        pty.write(data[at : at + chunk])
        ahead = start + (at + chunk) * 10 / baud - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)


class Adapter:
    """A name under by-id that points to whatever device the adapter has now."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self._old: list[Pty] = []

    def plug(self) -> Pty:
        """Plug in: a fresh device under the old name."""
        pty = Pty()
        self._old.append(pty)
        fresh = self.link.with_suffix(".new")
        fresh.symlink_to(pty.device)
        fresh.replace(self.link)
        return pty

    def unplug(self) -> None:
        """Pull it: device and name go away."""
        self._old[-1].unplug()
        self.link.unlink(missing_ok=True)


@contextlib.contextmanager
def tcp_tap() -> Iterator[socket.socket]:
    """Give a listening socket; what is accepted there is one end of a socket:// line."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


class Rfc2217Tap:
    """A serial server (like ser2net) around pyserial's own PortManager and a loop-back port."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = serial.serial_for_url("loop://", timeout=0.01)
        self.number: int = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._stopping = threading.Event()
        self._threads[0].start()

    def say(self, data: bytes) -> None:
        """Let the far wire say something."""
        self.port.write(data)

    def stop(self) -> None:
        """End the server."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._server.close()
        self.port.close()

    def _serve(self) -> None:
        self._server.settimeout(0.05)
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._server.accept()
                with connection, connection.makefile("wb", buffering=0) as writer:
                    self._attend(connection, PortManager(self.port, writer))  # type: ignore[arg-type]

    def _attend(self, connection: socket.socket, manager: PortManager) -> None:
        connection.settimeout(0.01)
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                came = connection.recv(1024)
                if not came:
                    return
                self.port.write(b"".join(manager.filter(came)))
            if said := self.port.read(1024):
                connection.sendall(b"".join(manager.escape(said)))
