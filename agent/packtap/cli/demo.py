"""`packtap demo`: the whole chain on this machine, with an emulated scooter.

No hardware, no server, no root: `simulate`, `agent` and `ingest` run as processes of their own,
exactly as they would on a Pi and a server, and so does the page; the broker is iotcore on a
loopback port. The scooter is simulated, and screen and page say so.
"""

import argparse
import ctypes
import json
import logging
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from packtap.cli import EXIT_FAULT, EXIT_FINE
from packtap.cli.agent import stop_on_signals
from packtap.cli.arguments import delay, duration
from packtap.errors import DeliveryError, PacktapError, StoreError
from packtap.now_file import read_now
from packtap.store import Store

_START_S: Final = 30.0
_DRAIN_S: Final = 15.0
_EVERY_S: Final = 0.5
_PR_SET_PDEATHSIG: Final = 1
_FAULT: Final = "cell_undervoltage:7"

_SIMULATED: Final = "SIMULATED: this scooter is emulated by packtap demo"

_BROKER = """
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 200
dynamic_filters = true
"""

_AGENT = """
site = "demo"
agent = "demo"
bus = "scooter"
clock = "trusted"
now_file = "{now_file}"
[lines.esc]
port = "{esc}"
[lines.bms]
port = "{bms}"
[mqtt]
host = "127.0.0.1"
port = {port}
keepalive_s = 5
[store]
path = "{directory}/agent.db"
max_mb = 64
flush_s = 1.0
"""

_INGEST = """
[mqtt]
host = "127.0.0.1"
port = {port}
[sqlite]
path = "{directory}/fleet.db"
max_mb = 64
[dead_letter]
path = "{directory}/dead-letter.jsonl"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--seconds", type=duration, metavar="S", help="end by itself after this long"
    )
    parser.add_argument("--json", action="store_true", help="one object a second, no screen")
    parser.add_argument(
        "--fault",
        action="append",
        metavar="KIND[:CELL][:SEVERITY]",
        help=f"what goes wrong, as for simulate; default {_FAULT}",
    )
    parser.add_argument(
        "--onset", type=delay, default=60.0, metavar="S", help="when it begins, default 60"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the emulated ride, default 1")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="leave stores and logs there (default: thrown away)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run it until Ctrl-C or `--seconds`, then prove that nothing was lost."""
    # Children get their own session: Ctrl-C reaches this process alone, which ends them in order.
    stop = stop_on_signals(signal.SIGHUP)
    with ExitStack() as stack:
        if arguments.keep is not None:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            directory = arguments.keep
        else:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="packtap-")))
        chain = stack.enter_context(_chain(directory, arguments))
        _show(chain, stop, arguments)
        chain.finish()
        return _summary(chain, arguments)


class _Chain:
    """The running processes, and what they have written so far."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now_file = directory / "now.json"
        self.page = ""
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.began = time.monotonic()
        self.ride_began = self.began
        self.rode_s = 0.0

    def start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Start `packtap WORDS` with its log in the directory."""
        log = (self.directory / f"{name}.log").open("ab")
        with log:
            child = subprocess.Popen(
                [sys.executable, "-m", "packtap", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if name == "scooter" else log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - a system call, nothing else
            )
        self.children[name] = child
        return child

    def check(self) -> None:
        """Raise if a process has died, with the end of its log."""
        for name, child in self.children.items():
            if child.poll() is not None:
                log = (self.directory / f"{name}.log").read_text(errors="replace")
                last = (log.strip().splitlines() or ["it has said nothing"])[-1]
                raise DeliveryError(f"{name} ended with {child.returncode}: {last}")

    def now(self) -> dict[str, Any] | None:
        """Return what the agent sees now."""
        return read_now(self.now_file)

    def stored(self) -> int:
        """Return how many readings have reached the store at the end of the chain."""
        try:
            with Store.open_read_only(self.directory / "fleet.db") as store:
                return store.rows()
        except StoreError:
            return 0

    def taken(self) -> int:
        """Return how many readings the agent has committed."""
        with Store.open_read_only(self.directory / "agent.db") as store:
            return store.rows()

    def finish(self) -> None:
        """End the chain from the bus to the store, so that everything taken can arrive."""
        self.rode_s = time.monotonic() - self.ride_began
        self.end("scooter")
        self.end("agent")
        deadline = time.monotonic() + _DRAIN_S
        while time.monotonic() < deadline and self.stored() < self.taken():
            time.sleep(0.1)
        self.end("ingest")

    def end(self, name: str) -> None:
        """End one process, politely first."""
        child = self.children.pop(name, None)
        if child is None or child.poll() is not None:
            return
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _die_with_parent() -> Callable[[], object] | None:
    """Return what a child runs so that the kernel ends it when the demo dies (Linux only).

    An orphan would go on reading a pseudo-terminal that later belongs to somebody else. Looked up
    here, before the fork: the child, which may have been forked beside the broker's threads, does
    one system call and takes no lock.
    """
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    return partial(prctl, _PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def _chain(directory: Path, arguments: argparse.Namespace) -> Iterator[_Chain]:
    from iotcore import Broker

    logging.getLogger("iotcore").setLevel(logging.WARNING)
    chain = _Chain(directory)
    port = _free_port()
    broker_config = directory / "broker.toml"
    broker_config.write_text(_BROKER.format(port=port))
    with Broker(config_path=str(broker_config)):
        _await_port(port)
        try:
            ports = _start_scooter(chain, arguments)
            paths = {"port": port, "directory": directory, "now_file": chain.now_file, **ports}
            for name, text in (("ingest", _INGEST), ("agent", _AGENT)):
                config = directory / f"{name}.toml"
                config.write_text(text.format(**paths))
                chain.start(name, name, "--config", str(config))
            _await_first_look(chain)
            _start_page(chain)
            yield chain
        finally:
            for name in ("page", "scooter", "agent", "ingest"):
                chain.end(name)


def _start_scooter(chain: _Chain, arguments: argparse.Namespace) -> dict[str, str]:
    child = chain.start(
        "scooter",
        *("simulate", "--json", "--seed", str(arguments.seed)),
        *("--onset", str(arguments.onset), "--story", "ride"),
        *(word for fault in _faults(arguments) for word in ("--fault", fault)),
    )
    if child.stdout is None:
        raise PacktapError("the emulated scooter has no output")
    line = child.stdout.readline()
    if not line:
        child.wait(5)
        chain.check()
    chain.ride_began = time.monotonic()
    ports: dict[str, str] = json.loads(line)
    return ports


def _start_page(chain: _Chain) -> None:
    port = _free_port()
    chain.page = f"http://127.0.0.1:{port}/"
    files = ("--store", str(chain.directory / "agent.db"), "--now", str(chain.now_file))
    chain.start("page", "web", *files, "--port", str(port), "--notice", _SIMULATED)


def _faults(arguments: argparse.Namespace) -> list[str]:
    return arguments.fault or [_FAULT]


def _await_first_look(chain: _Chain) -> None:
    deadline = time.monotonic() + _START_S
    while chain.now() is None:
        chain.check()
        if time.monotonic() > deadline:
            raise DeliveryError(f"the agent has not started within {_START_S:.0f} s")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise DeliveryError("the embedded broker has not started") from error
            time.sleep(0.05)
        else:
            return


def _show(chain: _Chain, stop: threading.Event, arguments: argparse.Namespace) -> None:
    deadline = None if arguments.seconds is None else chain.began + arguments.seconds
    if arguments.json or not sys.stdout.isatty():
        _stream(chain, stop, deadline, as_json=arguments.json)
        return
    from rich.console import Console
    from rich.live import Live

    from packtap.cli.screen import render

    with Live(console=Console(), auto_refresh=False, screen=True) as live:
        while not _over(chain, stop, deadline):
            now = chain.now()
            if now is not None:
                live.update(render(now, _footer(chain, arguments)), refresh=True)
            stop.wait(_EVERY_S)


def _footer(chain: _Chain, arguments: argparse.Namespace) -> list[str]:
    age_s = time.monotonic() - chain.began
    wrong, begins_in_s = ", ".join(_faults(arguments)), arguments.onset - age_s
    story = f"{wrong} begins in {begins_in_s:.0f} s" if begins_in_s > 0 else f"{wrong} has begun"
    return [
        f"the page: {chain.page}",
        f"{chain.stored()} readings have reached the store (broker and ingest on this machine)",
        f"SIMULATED scooter on a ride of {age_s:.0f} s; {story}; Ctrl-C ends it",
    ]


def _stream(chain: _Chain, stop: threading.Event, deadline: float | None, *, as_json: bool) -> None:
    known: set[str] = set()
    if not as_json:
        print(f"the page: {chain.page}", flush=True)
    while not _over(chain, stop, deadline):
        now = chain.now()
        if now is not None and as_json:
            print(
                json.dumps(
                    {"simulated": True, "page": chain.page, "stored": chain.stored(), **now}
                ),
                flush=True,
            )
        elif now is not None:
            for event in now["events"]:
                if event["id"] not in known:
                    known.add(event["id"])
                    print(f"{event['severity'].upper()}: {event['text']}", flush=True)
            print(_one_line(now, chain.stored()), flush=True)
        stop.wait(1.0 if as_json else 5.0)


def _one_line(now: dict[str, Any], stored: int) -> str:
    values = now["values"]
    cells = values.get("cell_voltages_mv") or []
    known = [cell for cell in cells if cell is not None]
    spread = f"{max(known) - min(known)} mV spread" if known else "no cells yet"
    return (
        f"simulated pack {now['pack'] or '-'}: {values.get('voltage_v', '-')} V, "
        f"{values.get('current_a', '-')} A, {len(cells)} cells, {spread}; "
        f"{len(now['events'])} events open; {stored} readings in the store"
    )


def _over(chain: _Chain, stop: threading.Event, deadline: float | None) -> bool:
    chain.check()
    return stop.is_set() or (deadline is not None and time.monotonic() >= deadline)


def _summary(chain: _Chain, arguments: argparse.Namespace) -> int:
    taken, stored = chain.taken(), chain.stored()
    with Store.open_read_only(chain.directory / "fleet.db") as store:
        events = store.events()
    lost = taken - stored
    if arguments.json:
        kinds = sorted({event.kind for event in events})
        summary = {"readings_taken": taken, "readings_stored": stored, "lost": lost, "kinds": kinds}
        print(json.dumps({"simulated": True, "summary": summary}))
    else:
        print(f"\n{taken} readings taken, {stored} in the store, {lost} lost. What was raised:")
        for event in events:
            print(f"  {event.severity}: {event.text}")
        if not events:
            print(f"  {nothing_raised(chain.rode_s, arguments.onset)}")
    return EXIT_FINE if taken and lost == 0 else EXIT_FAULT


def nothing_raised(rode_s: float, onset_s: float) -> str:
    """Say why nothing was raised."""
    if rode_s < onset_s:
        return "nothing (the ride was shorter than the time to the fault)"
    return "nothing yet: the fault has not passed a limit"
