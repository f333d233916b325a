"""A TCP proxy whose faults are switched while connections are open."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum

from system.process import HOST, free_ports

__all__ = ["Fault", "FaultProxy", "start_fault_proxy"]


class Fault(StrEnum):
    """What the proxy does to connections."""

    PASS = "pass"  #: forward everything
    REFUSE = "refuse"  #: nothing listens: connecting is refused; open connections live on
    BLACKHOLE = "blackhole"  #: connections stay open (and are accepted), no byte passes
    RESET = "reset"  #: open connections are reset now, new ones as soon as they are accepted


class FaultProxy:
    """TCP proxy in front of one server, whose faults are switched while connections are open.

    Args:
        upstream: port of the real server on 127.0.0.1.

    Attributes:
        port: where clients connect.
        latency_s: delay added to every chunk, each way.
        accepted: connections accepted so far.
    """

    def __init__(self, upstream: int) -> None:
        (self.port,) = free_ports(1)
        self.latency_s = 0.0
        self.accepted = 0
        self._upstream = upstream
        self._fault = Fault.PASS
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._passing = threading.Event()
        self._passing.set()
        self._closed = threading.Event()
        self._listener: socket.socket | None = None
        self._listen()

    @property
    def fault(self) -> Fault:
        """What is done at the moment."""
        return self._fault

    def set(self, fault: Fault) -> None:
        """Change what is done, also to connections that are open."""
        self._fault = fault
        if fault is Fault.BLACKHOLE:
            self._passing.clear()
        else:
            self._passing.set()
        if fault is Fault.REFUSE:
            self._deafen()
        elif self._listener is None:
            self._listen()
        if fault is Fault.RESET:
            self.reset_all()

    def reset_all(self) -> None:
        """Reset every open connection once (both ends see ECONNRESET)."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _reset(end)

    def close(self) -> None:
        """Stop listening and reset what is open."""
        self._closed.set()
        self._passing.set()
        self._deafen()
        self.reset_all()

    def _listen(self) -> None:
        listener = socket.create_server((HOST, self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _deafen(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            # close() alone does not wake a thread inside accept(): the port would stay open.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._fault is Fault.RESET:
                _reset(client)
                continue
            try:
                server = socket.create_connection((HOST, self._upstream), timeout=10)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            pair = (client, server)
            with self._lock:
                self._pairs.append(pair)
            for ends in (pair, (server, client)):
                threading.Thread(target=self._pump, args=(*ends, pair), daemon=True).start()

    def _pump(
        self,
        source: socket.socket,
        target: socket.socket,
        pair: tuple[socket.socket, socket.socket],
    ) -> None:
        try:
            while data := source.recv(65536):
                if self.latency_s:
                    self._closed.wait(self.latency_s)
                self._passing.wait()
                target.sendall(data)
            self._passing.wait()
            with self._lock:
                # A pair that is being reset ends here too; a FIN would then overtake the RST.
                if pair in self._pairs:
                    target.shutdown(socket.SHUT_WR)
        except OSError:
            _reset(source)
            _reset(target)


def _reset(end: socket.socket) -> None:
    """Close with RST instead of FIN, and wake whoever reads from it."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        end.shutdown(socket.SHUT_RD)
    with suppress(OSError):
        end.close()


@contextmanager
def start_fault_proxy(upstream: int) -> Iterator[FaultProxy]:
    """Run a proxy in front of port `upstream`."""
    proxy = FaultProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()
