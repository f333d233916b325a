"""The whole chain as it runs in the field: wires, and packtap's two services as processes.

The wires are pseudo-terminals behind by-id style names, with an emulated scooter or a recording on
them; `packtap agent` and `packtap ingest` are started with configuration files of their own and
can be killed and started again on the same files. What the agent has committed is read from its own
store, and turned here into what the other end must hold.
"""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from packtap.emulated_bus import EmulatedScooter, PtyLine
from packtap.model import Value
from packtap.simulated.wires import Wires
from packtap.store import Store, StoredReading
from system.process import HOST, Server, ServerError, eventually, free_ports, http, running

__all__ = [
    "AGENT",
    "BUS",
    "SERIAL",
    "SITE",
    "Adapter",
    "AgentProcess",
    "IngestProcess",
    "Queued",
    "WebProcess",
    "adapters",
    "committed",
    "committed_events",
    "committed_health",
    "crowd",
    "messages",
    "rows_of_cells",
    "rows_of_packs",
    "running_agent",
    "running_ingest",
    "running_web",
    "scooter",
    "settled",
]

SITE: Final = "workshop"
AGENT: Final = "tap-01"
BUS: Final = "bay-1"
SERIAL: Final = "3JDEA24M1D0815"  #: of the emulated pack

_CROWD: Final = 40

#: What starts packtap.
PACKTAP: Final = (sys.executable, "-m", "packtap")

#: (pack, UTC ms) -> field -> value of measurement `pack`.
PackRows = dict[tuple[str, int], dict[str, float | int | str]]
#: (pack, cell tag, UTC ms) -> millivolts.
CellRows = dict[tuple[str, str, int], int]
#: (measurement, pack, cell tag or cause, UTC ms) -> derived field, or `probability` -> value.
HealthRows = dict[tuple[str, str, str, int], dict[str, Any]]


# --- wires ----------------------------------------------------------------------------------------


class Adapter(PtyLine):
    """One wire behind a lasting name: unplugged and plugged in again it is another terminal.

    Args:
        name: of the line.
        folder: where the lasting name is made.

    Attributes:
        port: the lasting name, for a configuration.
        written: (UTC ms at the first byte, UTC ms after the last one, bytes) of every write.
        disturb: what noise makes of the bytes of a write; `written` has them undisturbed.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.port = folder / f"usb-emulated-{name}-port0"
        self.written: list[tuple[int, int, bytes]] = []
        self.disturb: Callable[[bytes], bytes] | None = None
        self._lock = threading.Lock()
        self._is_in = False
        self.name = name
        self.plug_in()

    def plug_in(self) -> None:
        """Appear under the lasting name, as a new terminal."""
        with self._lock:
            super().__init__(self.name)
            self.port.symlink_to(self.path)
            self._is_in = True

    def unplug(self) -> None:
        """Vanish, the name too."""
        with self._lock:
            if self._is_in:
                self._is_in = False
                self.port.unlink()
                super().unplug()

    def write(self, data: bytes) -> None:
        """Send; into the air while it is unplugged."""
        with self._lock:
            if self._is_in:
                began = time.time_ns() // 1_000_000
                super().write(data if self.disturb is None else self.disturb(data))
                self.written.append((began, time.time_ns() // 1_000_000, data))

    def read(self) -> bytes:
        """Return what the other end has sent."""
        with self._lock:
            return super().read() if self._is_in else b""


@contextmanager
def adapters(folder: Path, *names: str) -> Iterator[dict[str, Adapter]]:
    """Plug in one adapter for each line name."""
    with crowd():
        lines = {name: Adapter(name, folder) for name in names}
    try:
        yield lines
    finally:
        for line in lines.values():
            line.unplug()


@contextmanager
def crowd() -> Iterator[None]:
    """Hold the terminals of the lowest free numbers.

    A number that is given back is soon given away again, and an agent elsewhere on this machine
    whose adapter had it may still try it. Who takes a number behind a crowd is left alone.
    """
    ends = [end for _ in range(_CROWD) for end in os.openpty()]
    try:
        yield
    finally:
        for end in ends:
            os.close(end)


@contextmanager
def scooter(wires: Wires, lines: Mapping[str, Adapter]) -> Iterator[None]:
    """Let an emulated scooter ride on these lines, in real time, until the block ends."""
    emulated = EmulatedScooter(wires)
    for name, unused in emulated.lines.items():
        unused.unplug()
        emulated.lines[name] = lines[name]
    stop = threading.Event()
    failed: list[BaseException] = []

    def ride() -> None:
        try:
            emulated.run(stop)
        except BaseException as exc:  # shown in the test's own thread
            failed.append(exc)

    thread = threading.Thread(target=ride)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


# --- services -------------------------------------------------------------------------------------


class _Service(Server):
    """A packtap command that runs until it is told to end."""

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def terminate(self, within_s: float = 30.0) -> int:
        """Send SIGTERM and return the exit code; fails if it takes longer than `within_s`."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} still runs {within_s} s after SIGTERM\n{self.log_tail()}"
            ) from None
        self._process = None
        return code


class AgentProcess(_Service):
    """`packtap agent`.

    Attributes:
        store: its SQLite file.
        now_file: what it sees now.

    Args:
        folder: of its files.
        config: text of its configuration.
        store: its SQLite file, as the configuration says.
        launch: program and first arguments that start packtap.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        store: Path | None = None,
        launch: Sequence[str] = PACKTAP,
    ) -> None:
        file = folder / "agent.toml"
        file.write_text(config)
        self.store = store or folder / "agent.db"
        self.now_file = folder / "now.json"
        super().__init__("agent", [*launch, "agent", "--config", str(file)], folder, ())

    def start(self) -> None:
        """Start it; returns when its loop runs."""
        self.now_file.unlink(missing_ok=True)
        super().start()

    def answers(self) -> bool:
        """Return whether the now-file of this life is there."""
        return self.now_file.exists()

    def now(self) -> dict[str, Any]:
        """Return what it sees now; empty while it does not say."""
        try:
            document: dict[str, Any] = json.loads(self.now_file.read_text())
        except FileNotFoundError:
            return {}
        return document

    def listens(self) -> bool:
        """Return whether every line is open."""
        lines = self.now().get("lines", [])
        return bool(lines) and all(line["is_up"] for line in lines)

    def waiting(self) -> int:
        """Return how many messages are in its outbox; the process may have ended."""
        with Store.open_read_only(self.store) as store:
            return store.depth().count


class IngestProcess(_Service):
    """`packtap ingest`.

    Attributes:
        database: its SQLite file, used if it has no other store.
        dead_letters: the file of refused messages.
    """

    def __init__(self, folder: Path, config: str, dead_letters: Path | None = None) -> None:
        file = folder / "ingest.toml"
        file.write_text(config)
        self.database = folder / "ingest.db"
        self.dead_letters = dead_letters or folder / "dead-letter.jsonl"
        command = [*PACKTAP, "ingest", "--config", str(file), "--json", "--every", "0.1"]
        super().__init__("ingest", command, folder, ())
        self._life = 0

    def start(self) -> None:
        """Start it; returns when its loop runs, whether broker and store are there or not."""
        self._life = self.log.stat().st_size if self.log.exists() else 0
        super().start()

    def answers(self) -> bool:
        """Return whether it has told its counters in this life."""
        return bool(self.stats())

    def stats(self) -> dict[str, Any]:
        """Return the counters that this life has told last."""
        with self.log.open("rb") as log:
            log.seek(max(self._life, self.log.stat().st_size - 4000))
            whole = log.read().rpartition(b"\n")[0].splitlines()
        told = [line for line in whole if line.startswith(b'{"kind": "ingest"')]
        stats: dict[str, Any] = json.loads(told[-1]) if told else {}
        return stats


class _HasPort(Protocol):
    @property
    def port(self) -> object: ...


@contextmanager
def running_agent(
    folder: Path,
    lines: Mapping[str, _HasPort],
    broker_port: int,
    *,
    mode: str = "listen",
    flush_s: float = 1.0,
    clock: str = "trusted",
    store: Path | None = None,
    launch: Sequence[str] = PACKTAP,
) -> Iterator[AgentProcess]:
    """Run `packtap agent` on these lines; its files are in `folder`, perhaps but for the store."""
    store = store or folder / "agent.db"
    ports = "".join(f'[lines.{name}]\nport = "{line.port}"\n' for name, line in lines.items())
    config = (
        f'site = "{SITE}"\nagent = "{AGENT}"\nbus = "{BUS}"\nmode = "{mode}"\nclock = "{clock}"\n'
        f'now_file = "{folder}/now.json"\n{ports}'
        f'[mqtt]\nhost = "{HOST}"\nport = {broker_port}\n'
        f'[store]\npath = "{store}"\nflush_s = {flush_s}\n'
    )
    agent = AgentProcess(folder, config, store, launch)
    with running(agent):
        eventually(agent.listens, "the agent's lines")
        yield agent


@contextmanager
def running_ingest(
    folder: Path, broker_port: int, url: str | None = None, dead_letters: Path | None = None
) -> Iterator[IngestProcess]:
    """Run `packtap ingest`, subscribed; without `url` into its SQLite file."""
    dead_letters = dead_letters or folder / "dead-letter.jsonl"
    store = f'[sqlite]\npath = "{folder}/ingest.db"\n'
    if url is not None:
        store = f'[influx]\nurl = "{url}"\ntimeout_s = 2\n'
    config = (
        f'[mqtt]\nhost = "{HOST}"\nport = {broker_port}\n{store}'
        f'[dead_letter]\npath = "{dead_letters}"\n[batch]\nwait_s = 0.05\n'
    )
    ingest = IngestProcess(folder, config, dead_letters)
    with running(ingest):
        eventually(lambda: ingest.stats().get("connected"), "ingest's subscription")
        yield ingest


class WebProcess(_Service):
    """`packtap web`, the page of one agent."""

    def __init__(self, folder: Path, agent: AgentProcess) -> None:
        (port,) = free_ports(1)
        files = ["--store", str(agent.store), "--now", str(agent.now_file)]
        super().__init__("web", [*PACKTAP, "web", *files, "--port", str(port)], folder, (port,))

    def packs(self) -> list[dict[str, Any]]:
        """Return the packs that the page shows; OSError if it does not answer."""
        status, _, body = http(f"http://{HOST}:{self.port}/api/packs", timeout_s=5)
        if status != 200:
            raise ServerError(f"the page answers {status}")
        packs: list[dict[str, Any]] = json.loads(body)["packs"]
        return packs


@contextmanager
def running_web(folder: Path, agent: AgentProcess) -> Iterator[WebProcess]:
    """Run `packtap web` on the agent's files."""
    web = WebProcess(folder, agent)
    with running(web):
        yield web


def settled(agent: AgentProcess, timeout_s: float = 120.0) -> None:
    """End the agent, and start it again until nothing that it has committed waits for delivery."""
    deadline = time.monotonic() + timeout_s
    while True:
        eventually(
            lambda: not agent.waiting(), "an empty outbox", max(0.0, deadline - time.monotonic())
        )
        assert agent.terminate() == 0, agent.log_tail()
        # Its end may have committed something more, and what was acknowledged last stays.
        if not agent.waiting():
            return
        agent.start()


# --- what the agent has committed -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Queued:
    """One message of a store, as its rows hold it; times in UTC milliseconds."""

    seq: int
    store: str
    kind: str
    pack: str
    t: tuple[int, ...]
    body: Mapping[str, Any]


def messages(path: Path) -> list[Queued]:
    """Return every message of a store, in order of seq, by its own SQL."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as conn:
        rows = conn.execute(
            "SELECT m.seq, s.store, m.kind, o.pack, o.utc_offset_ms, m.times, m.body "
            "FROM message m JOIN origin o ON o.id = m.origin JOIN source s ON s.id = m.source "
            "ORDER BY s.store, m.seq"
        ).fetchall()
    return [
        Queued(seq, store, kind, pack, tuple(t + offset for t in _plain(times)), _plain(body))
        for seq, store, kind, pack, offset, times, body in rows
    ]


def _plain(packed: str | bytes) -> Any:
    return json.loads(packed if isinstance(packed, str) else zlib.decompress(packed))


def committed(path: Path) -> list[StoredReading]:
    """Return the readings in a store, oldest first; fails if two have pack and time in common."""
    with Store.open_read_only(path) as store:
        before = store.rows()
        readings = list(store.readings())
        assert before <= len(readings) <= store.rows()  # the agent may go on committing
    assert len({(one.pack, one.t_ms) for one in readings}) == len(readings)
    return readings


def committed_events(path: Path) -> list[dict[str, Any]]:
    """Return both ends of all events as rows of measurement `event`, oldest first."""
    rows = []
    for message in messages(path):
        if message.kind != "event":
            continue
        body = message.body
        row = {
            "time": message.t[0],
            "pack": message.pack,
            "kind": body["kind"],
            "severity": body["severity"],
            "cell": "00" if body["cell"] is None else f"{body['cell']:02}",
            "id": body["id"],
            "state": {"raised": 1, "cleared": 0}[body["state"]],
            "text": body["text"],
            "value": body["value"],
            "limit": body["limit"],
        }
        rows.append({name: value for name, value in row.items() if value is not None})
    return sorted(rows, key=_event_order)


def committed_health(path: Path) -> HealthRows:
    """Return what all `health` messages must become in the store."""
    rows: HealthRows = {}
    for message in messages(path):
        if message.kind != "health":
            continue
        (t,) = message.t
        for name, value in message.body["rows"].items():
            if isinstance(value, list):
                for number, each in enumerate(value, start=1):
                    if each is not None:
                        key = ("cell", message.pack, f"{number:02}", t)
                        rows.setdefault(key, {})[name] = each
            elif value is not None:
                rows.setdefault(("pack", message.pack, "", t), {})[name] = value
        for cause, share in message.body["causes"].items():
            rows["diagnosis", message.pack, cause, t] = {"probability": share}
    return rows


def _event_order(row: Mapping[str, Any]) -> tuple[int, str, int, str]:
    return row["time"], row["id"], row["state"], row["pack"]


def rows_of_packs(readings: list[StoredReading]) -> PackRows:
    """Return what measurement `pack` must hold."""
    rows: PackRows = {}
    for one in readings:
        fields = {
            name: _field(value)
            for name, value in one.values.items()
            if name != "cell_voltages_mv" and value is not None
        }
        if fields:
            rows[one.pack, one.t_ms] = fields
    return rows


def rows_of_cells(readings: list[StoredReading]) -> CellRows:
    """Return what measurement `cell` must hold."""
    rows: CellRows = {}
    for one in readings:
        cells = one.values.get("cell_voltages_mv")
        if isinstance(cells, tuple):
            for number, millivolts in enumerate(cells, start=1):
                if millivolts is not None:
                    rows[one.pack, f"{number:02}", one.t_ms] = millivolts
    return rows


def _field(value: Value) -> float | int | str:
    if isinstance(value, tuple):
        return ",".join(str(number) for number in value)
    if value is None:
        raise ServerError("None is not a field")
    return value
