"""One server process under test: started, verified, killed, started again.

Servers listen on 127.0.0.1 only. A server counts as started when *its own process* owns every
listening socket that it was told to open, so a stranger on the same port is never taken for it.
Servers are stopped by process id only.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

__all__ = ["HOST", "Server", "ServerError", "binary", "eventually", "free_ports", "http", "running"]

HOST: Final = "127.0.0.1"
START_S: Final = 30.0  #: loaded machines start slowly; a healthy start takes 10-300 ms
STOP_S: Final = 10.0
LOG_TAIL: Final = 3000  #: characters of a server's log shown when it fails to start

T = TypeVar("T")


class ServerError(AssertionError):
    """A server did not start, answered as somebody else, or died."""


def eventually(probe: Callable[[], T], what: str = "the condition", timeout_s: float = 30.0) -> T:
    """Return the first true value of `probe`, asked every 20 ms until `timeout_s` is over."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true in {timeout_s} s, last: {value!r}")
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Return `count` different TCP ports that nothing on 127.0.0.1 listens on.

    They lie below the kernel's ephemeral range (32768 and up): a port of that range may be taken
    by any outgoing connection between a kill and a restart, and a client that keeps connecting to
    a dead port inside it can even be connected to itself.
    """
    ports: list[int] = []
    for port in random.SystemRandom().sample(range(20000, 32000), 400):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise ServerError(f"no {count} free ports on {HOST}")


def _listening_ports(pid: int) -> set[int]:
    """Return the TCP ports on which process `pid` itself listens (Linux /proc)."""
    inodes = set()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    ports = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and words[9] in inodes:
                    ports.add(int(words[1].rpartition(":")[2], 16))
    return ports


def binary(name: str, package: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise ServerError(f"{name} is not installed: apt-get install {package}")
    return path


class Server:
    """One server process with its log, its ports and its files.

    Args:
        name: for messages and the log file's name.
        command: program and arguments; it must stay in the foreground.
        directory: where its files and its log are.
        ports: every port that it has to listen on.
    """

    def __init__(
        self, name: str, command: Sequence[str], directory: Path, ports: Iterable[int]
    ) -> None:
        self.name = name
        self.directory = directory
        self.log = directory / f"{name}.log"
        self.ports = tuple(ports)
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The first port."""
        return self.ports[0]

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it owns all its listeners and answers."""
        if self._process is not None:
            raise ServerError(f"{self.name} is already running")
        environment = dict(os.environ, HOME=str(self.directory))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_S
        while not (set(self.ports) <= _listening_ports(self._process.pid) and self.answers()):
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                seen = sorted(_listening_ports(self._process.pid))
                self.kill9()
                state = "took too long" if code is None else f"ended with code {code}"
                raise ServerError(
                    f"{self.name} {state}; it listens on {seen}, wanted {self.ports}\n"
                    f"{' '.join(self._command)}\n{self.log_tail()}"
                )
            time.sleep(0.01)

    def answers(self) -> bool:
        """Return whether the server speaks its protocol already (listening is checked before)."""
        return True

    def log_tail(self) -> str:
        """Return the end of the server's log."""
        try:
            return self.log.read_text(errors="replace")[-LOG_TAIL:]
        except OSError as exc:
            return f"(no log: {exc})"

    def kill9(self) -> None:
        """Kill the process without warning, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask the process to end; kill it if it does not within ten seconds."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start again on the same ports and files, after `kill9` or `stop`."""
        if self._process is not None:
            self.stop()
        self.start()

    def pause(self) -> None:
        """Stop the process from running: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)


@contextmanager
def running(server: Server) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()


def http(
    url: str,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 20.0,
) -> tuple[int, Mapping[str, str], bytes]:
    """Return status, headers and body, also of an error answer; OSError if nobody answers."""
    try:
        request = urllib.request.Request(url, data=data, headers=dict(headers or {}))
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, dict(exc.headers), exc.read()
