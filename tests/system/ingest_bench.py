"""What the tests of ingest share: a publisher, an ingest, messages and what must come of them."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final
from zlib import decompress

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from packtap.config import (
    BatchConfig,
    DeadLetterConfig,
    InfluxConfig,
    IngestConfig,
    SharedMqttConfig,
    SqliteConfig,
)
from packtap.ingest.loop import Ingest
from packtap.ingest.service import ingest_of
from packtap.wire import EventMessage, JsonValue, LinkMessage, ReadingsMessage, encode
from system.servers import eventually

T0: Final = 1763800000000
SITE: Final = "workshop"
Message = ReadingsMessage | EventMessage | LinkMessage

#: (pack, UTC ms) -> field -> value: what a store must return for the readings.
Expected = dict[tuple[str, int], dict[str, Any]]


def pack_name(agent: int) -> str:
    """Return a serial as packs have them."""
    return f"3JAC9E1234C{agent:03}"


def ride(messages: int, samples: int = 20, agent: int = 1, seed: int = 1) -> list[ReadingsMessage]:
    """Return batches of readings of one pack: texts once, cells every fourth time, gaps."""
    rng = random.Random(seed * 1000 + agent)
    made = []
    t = T0 + agent
    for seq in range(1, messages + 1):
        times: list[int] = []
        columns: dict[str, list[JsonValue]] = {}
        rows = ("voltage_v", "current_a", "soc_pct", "status", "temperature_1_c", "serial")
        for name in (*rows, "cell_voltages_mv", "balancing_cells"):
            columns[name] = []
        for index in range(samples):
            t += rng.randrange(200, 300)
            times.append(t)
            columns["voltage_v"].append(round(rng.uniform(30, 42), 2))
            # Whole numbers of volts and amperes must not become whole-number fields.
            columns["current_a"].append(rng.choice([0, 1, -2, round(rng.uniform(-2, 20), 2)]))
            columns["soc_pct"].append(rng.randrange(101))
            columns["status"].append(rng.choice([1, 0x0201, None]))
            columns["temperature_1_c"].append(rng.randrange(-20, 60))
            columns["serial"].append(pack_name(agent) if index == 0 else None)
            cells: list[int | None] = [rng.randrange(3000, 4200) for _ in range(10)]
            columns["cell_voltages_mv"].append(cells if index % 4 == 0 else None)
            columns["balancing_cells"].append([2, 9] if index % 5 == 0 else None)
        made.append(
            ReadingsMessage(
                **head(agent, seq),
                t=times,
                columns=columns,
            )
        )
    return made


def head(agent: int, seq: int) -> dict[str, Any]:
    """Return what every queued message begins with."""
    return {
        "agent": f"tap-{agent:02}",
        "bus": "main",
        "pack": pack_name(agent),
        "store": f"store-{agent}",
        "seq": seq,
        "boot": f"boot-{agent}",
    }


def event(agent: int, seq: int, t: int, state: str = "raised") -> EventMessage:
    """Return one end of an event."""
    return EventMessage(
        **head(agent, seq),
        t=[t],
        id=f"{pack_name(agent)}/cell_overvoltage/7/store-{agent}/1",
        kind="cell_overvoltage",
        severity="critical",
        state=state,
        cell=7,
        value=4270.0,
        limit=4250.0,
        unit="mV",
        text='Cell 7 is at 4270 mV, above 4250 mV; "stop", \\ now',
    )


def expected_pack(messages: Sequence[ReadingsMessage]) -> Expected:
    """Return the pack rows that must be in the store, with the types of the register rows."""
    rows: Expected = {}
    for message in messages:
        for index, t in enumerate(message.t):
            fields: dict[str, Any] = {}
            for name, column in message.columns.items():
                value = column[index]
                if value is None or name == "cell_voltages_mv":
                    continue
                if name in ("voltage_v", "current_a"):
                    assert isinstance(value, int | float)
                    fields[name] = float(value)
                elif isinstance(value, list):
                    fields[name] = ",".join(map(str, value))
                else:
                    fields[name] = value
            rows[message.pack, t] = fields
    return rows


def expected_cells(messages: Sequence[ReadingsMessage]) -> dict[tuple[str, str, int], int]:
    """Return (pack, cell, UTC ms) -> millivolts."""
    rows = {}
    for message in messages:
        for t, cells in zip(message.t, message.columns["cell_voltages_mv"], strict=True):
            assert cells is None or isinstance(cells, list)
            for number, value in enumerate(cells or [], start=1):
                if value is not None:
                    rows[message.pack, f"{number:02}", t] = value
    return rows


def kind_of(message: Message) -> str:
    """Return the last name of the message's topic."""
    return {ReadingsMessage: "readings", EventMessage: "event", LinkMessage: "link"}[type(message)]


class Publisher:
    """Publishes as an agent does: QoS 1, MQTT v5; paho repeats what was not acknowledged."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="publisher", protocol=mqtt.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.max_inflight_messages_set(50)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        eventually(self._client.is_connected, "publisher's connection")

    def send(self, *messages: Message, wait: bool = True) -> None:
        """Publish; with `wait`, return when the broker has acknowledged everything."""
        infos = [self.raw(_topic(message), encode(message)) for message in messages]
        if wait:
            eventually(lambda: all(info.is_published() for info in infos), "PUBACKs", 60)

    def raw(self, topic: str, payload: bytes, *, retain: bool = False) -> mqtt.MQTTMessageInfo:
        """Publish any bytes."""
        return self._client.publish(topic, payload, qos=1, retain=retain)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


def _topic(message: Message) -> str:
    return f"packtap/v1/{SITE}/{message.agent}/{message.bus}/{kind_of(message)}"


@contextmanager
def publishing(port: int) -> Iterator[Publisher]:
    """Run a publisher."""
    publisher = Publisher(port)
    try:
        yield publisher
    finally:
        publisher.close()


def config_for(
    port: int,
    tmp: Path,
    *,
    url: str | None = None,
    bucket: str = "packtap",
    timeout_s: float = 10.0,
    max_messages: int = 20,
    client_id: str = "packtap-ingest",
) -> IngestConfig:
    """Return a configuration; without `url` the store is an SQLite file in `tmp`."""
    return IngestConfig(
        mqtt=SharedMqttConfig(host="127.0.0.1", port=port, client_id=client_id),
        influx=None
        if url is None
        else InfluxConfig(url=url, bucket=bucket, timeout_s=timeout_s, org="o"),
        sqlite=SqliteConfig(path=tmp / "ingest.db") if url is None else None,
        dead_letter=DeadLetterConfig(path=tmp / f"{client_id}.dead.jsonl"),
        batch=BatchConfig(max_messages=max_messages, wait_s=0.05),
    )


@contextmanager
def ingesting(config: IngestConfig) -> Iterator[Ingest]:
    """Run ingest in this process; it is subscribed when the block begins."""
    ingest = ingest_of(config)
    ingest.start()
    try:
        eventually(lambda: ingest.stats().connected, "ingest's subscription")
        yield ingest
        assert ingest.running
    finally:
        ingest.stop()


def dead_letters(config: IngestConfig) -> list[dict[str, Any]]:
    """Return the refused messages."""
    return [json.loads(line) for line in config.dead_letter.path.read_text().splitlines()]


class IngestProcess:
    """`packtap ingest` as a process of its own, that can be killed and started again."""

    def __init__(self, tmp: Path, config: str) -> None:
        self._file = tmp / "ingest.toml"
        self._file.write_text(config)
        self._out = tmp / "ingest.stdout"
        self.log_file = tmp / "ingest.stderr"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything that it has logged, over all its lives."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def start(self) -> None:
        """Start it; returns when it is subscribed."""
        self._out.write_bytes(b"")
        command = [sys.executable, "-m", "packtap", "ingest", "--config", str(self._file)]
        with self._out.open("ab") as out, self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--json", "--every", "0.1"], stdout=out, stderr=log
            )
        eventually(lambda: self.stats().get("connected"), "ingest's subscription")

    def stats(self) -> dict[str, Any]:
        """Return the counters it printed last."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"ingest ended: {self.log[-3000:]}")
        return self.last_stats()

    def last_stats(self) -> dict[str, Any]:
        """Return the counters it printed last, also when it has ended."""
        lines = self._out.read_text().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        stats: dict[str, Any] = json.loads(whole[-1]) if whole else {}
        return stats

    def kill9(self) -> None:
        """Kill it without warning."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def terminate(self) -> int:
        """Ask it to end; return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)

    def close(self) -> None:
        """End it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill9()


@contextmanager
def ingest_process(
    tmp: Path, broker_port: int, *, url: str | None = None, more: str = ""
) -> Iterator[IngestProcess]:
    """Run `packtap ingest`; without `url` into the SQLite file `ingest.db` in `tmp`."""
    store = f'[sqlite]\npath = "{tmp}/ingest.db"\n'
    if url is not None:
        store = f'[influx]\nurl = "{url}"\n'
    process = IngestProcess(
        tmp,
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker_port}\n{store}'
        f'[dead_letter]\npath = "{tmp}/dead.jsonl"\n[batch]\nmax_messages = 10\nwait_s = 0.05\n'
        + more,
    )
    try:
        process.start()
        yield process
    finally:
        process.close()


class StubStore:
    """A write endpoint that answers as told, and keeps the bodies that it took.

    Attributes:
        url: its address.
        bodies: every body that came, in order, unzipped.
        taken: those that were answered with 204.
        requests: (path with query, headers) of every request.
    """

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.taken: list[str] = []
        self.requests: list[tuple[str, Mapping[str, str]]] = []
        self.answer: tuple[int, Mapping[str, str], str] = (204, {}, "")
        self.guilty = ""
        self.is_mute = False
        self.released = Event()
        self._lock = Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                stub._serve(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        raw = request.rfile.read(int(request.headers["Content-Length"]))
        zipped = request.headers.get("Content-Encoding") == "gzip"
        body = (decompress(raw, 31) if zipped else raw).decode()
        with self._lock:
            self.bodies.append(body)
            self.requests.append((request.path, dict(request.headers)))
            status, headers, text = self.answer
            if self.guilty and self.guilty not in body:
                status, headers, text = 204, {}, ""
            if status == 204 and not self.is_mute:
                self.taken.append(body)
        if self.is_mute:
            self.released.wait(60)
            request.close_connection = True
            return
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(text.encode())))
        request.end_headers()
        request.wfile.write(text.encode())


@contextmanager
def stub_store() -> Iterator[StubStore]:
    """Run a stub."""
    stub = StubStore()
    try:
        yield stub
    finally:
        stub.close()
