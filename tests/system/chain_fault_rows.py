"""The faults of the bench as rows: what is broken, for how long, and what mends it."""

import contextlib
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from packtap.emulated_bus import PtyLine
from system.chain import AGENT, BUS, SITE, crowd
from system.chain_bench import Bench, Fault
from system.faults import Fault as Network
from system.process import HOST, Server, ServerError

__all__ = ["FAULTS"]

_SHORT: Final = (0.05, 1.5)
_LONG: Final = (4.0, 20.0)
_DAY_S: Final = 86_400

Mend = Callable[[], object]


# --- processes ------------------------------------------------------------------------------------


def _kill(server: Server) -> Mend:
    server.kill9()
    return server.restart


def _kill_agent(bench: Bench, _: random.Random) -> Mend:
    bench.remember()
    return _kill(bench.agent)


def _kill_ingest(bench: Bench, _: random.Random) -> Mend:
    return _kill(bench.ingest)


def _kill_broker(bench: Bench, _: random.Random) -> Mend:
    return _kill(bench.broker)


def _kill_store(bench: Bench, _: random.Random) -> Mend:
    return _kill(bench.influxdb)


def _kill_web(bench: Bench, _: random.Random) -> Mend:
    return _kill(bench.web)


# --- network --------------------------------------------------------------------------------------


def _network(fault: Network) -> Callable[[Bench, random.Random], Mend]:
    def strike(bench: Bench, _: random.Random) -> Mend:
        bench.to_broker.set(fault)
        if fault is Network.REFUSE:
            bench.to_broker.reset_all()
        return lambda: bench.to_broker.set(Network.PASS)

    return strike


def _late_broker(bench: Bench, _: random.Random) -> Mend:
    bench.to_broker.latency_s = 0.3
    return lambda: setattr(bench.to_broker, "latency_s", 0.0)


def _slow_store(bench: Bench, rng: random.Random) -> Mend:
    """Answer in 1.6 to 3 s, or not at all: ingest waits for 2 s."""
    if rng.random() < 0.5:
        bench.influxdb.pause()
        return bench.influxdb.resume
    bench.to_store.latency_s = rng.uniform(0.8, 1.5)
    return lambda: setattr(bench.to_store, "latency_s", 0.0)


# --- disk -----------------------------------------------------------------------------------------


def _fill(disk: Path) -> Mend:
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 512):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    return ballast.unlink


def _full_disk(bench: Bench, _: random.Random) -> Mend:
    return _fill(bench.place.disk)


def _full_letters(bench: Bench, rng: random.Random) -> Mend:
    """No room for dead letters while somebody sends what has to go there."""
    mend = _fill(bench.place.disk)
    bad = [f"no message {rng.getrandbits(64):x}" for _ in range(3)]
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect(HOST, bench.broker.port)
    client.loop_start()
    for payload in bad:
        topic = f"packtap/v1/{SITE}/{AGENT}/{BUS}/readings"
        client.publish(topic, payload, qos=1).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()
    bench.bad += bad
    return mend


def _read_only_card(bench: Bench, _: random.Random) -> Mend:
    """Power is cut, and the card comes back read-only: the agent is started, and started again."""
    bench.remember()
    bench.web.kill9()
    bench.agent.kill9()
    _remount(bench.place.disk, "ro")
    with contextlib.suppress(ServerError):
        bench.agent.start()

    def mend() -> None:
        _remount(bench.place.disk, "rw")
        bench.agent.restart()
        bench.web.restart()

    return mend


def _remount(disk: Path, how: str) -> None:
    """Try until nobody has a file of it open for writing."""
    deadline = time.monotonic() + 10
    command = ["mount", "-o", f"remount,{how}", str(disk)]
    while subprocess.run(command, check=False, capture_output=True).returncode:
        if time.monotonic() > deadline:
            raise ServerError(f"{disk} cannot be made {how}: a file of it is open")
        time.sleep(0.05)


# --- clock ----------------------------------------------------------------------------------------


def _step_clock(bench: Bench, rng: random.Random) -> Mend:
    """A hand or a program moves the clock, and back; no time server vouches for it."""
    size_s = rng.choice((10, 3600, _DAY_S, 400 * _DAY_S)) * rng.choice((-1, 1))
    bench.place.offset_file.write_text(f"{size_s:+d}\n")
    return lambda: bench.place.offset_file.write_text("+0\n")


def _start_wrong(bench: Bench, rng: random.Random) -> Mend:
    """A cut, and the agent wakes in 1970, days behind or ahead, until a time server is found."""
    bench.remember()
    bench.agent.kill9()
    bench.place.vouched_file.unlink()
    offset_s = rng.choice((60 - int(time.time()), -3 * _DAY_S, -_DAY_S // 24, 2 * _DAY_S))
    bench.place.offset_file.write_text(f"{offset_s:+d}\n")
    bench.agent.start()

    def mend() -> None:
        bench.place.offset_file.write_text("+0\n")
        bench.place.vouched_file.touch()

    return mend


# --- wires ----------------------------------------------------------------------------------------


def _unplug(bench: Bench, rng: random.Random) -> Mend:
    line = bench.lines[rng.choice(sorted(bench.lines))]
    before = line.port.readlink()
    line.unplug()

    def mend() -> None:
        # Its old number is taken by another terminal, wherever among the free ones it is.
        with crowd(), contextlib.ExitStack() as others:
            for number in range(100):
                line.plug_in()
                if line.port.readlink() != before:
                    return
                line.unplug()
                others.callback(PtyLine(f"spare-{number}").unplug)
        raise ServerError("the adapter came back under its old name")

    return mend


def _noise(bench: Bench, rng: random.Random) -> Mend:
    """Bytes are damaged, lost and made up, one in twelve."""

    def disturb(data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            if rng.random() > 1 / 12:
                out.append(byte)
                continue
            kind = rng.randrange(3)
            if kind == 0:
                out.append(byte ^ 1 << rng.randrange(8))
            elif kind == 1:
                out += bytes((byte, rng.randrange(256)))
        return bytes(out)

    for line in bench.lines.values():
        line.disturb = disturb

    def mend() -> None:
        for line in bench.lines.values():
            line.disturb = None

    return mend


#: In the order of the table. 200 kills in all.
FAULTS: Final = (
    Fault("agent killed (kill -9)", 40, _SHORT, _kill_agent),
    Fault("ingest killed (kill -9)", 40, _SHORT, _kill_ingest),
    Fault("broker killed (kill -9)", 40, _SHORT, _kill_broker),
    Fault("store killed (kill -9)", 40, _SHORT, _kill_store),
    Fault("web killed (kill -9)", 40, _SHORT, _kill_web, shows="page"),
    Fault("broker resets connections", 10, (0.2, 10.0), _network(Network.RESET)),
    Fault("broker refuses connections", 6, (2.0, 25.0), _network(Network.REFUSE)),
    Fault("broker is a black hole", 6, (2.0, 25.0), _network(Network.BLACKHOLE)),
    Fault("300 ms each way to the broker", 6, (3.0, 8.0), _late_broker),
    Fault("store down", 6, (4.0, 25.0), _kill_store),
    Fault("store slow or hanging", 8, _LONG, _slow_store),
    Fault("disk of the agent's store full", 8, (2.0, 10.0), _full_disk, needs="disk"),
    Fault("power cut, then its disk read-only", 8, (0.5, 4.0), _read_only_card, needs="disk"),
    Fault("disk of ingest's dead letters full", 8, (2.0, 10.0), _full_letters, needs="disk"),
    Fault("clock stepped by hand, and back", 10, (1.5, 5.0), _step_clock, needs="clock"),
    Fault("start with a wrong clock, then NTP", 10, (1.5, 6.0), _start_wrong, needs="auto clock"),
    Fault("USB adapter out, back as another", 12, (0.3, 8.0), _unplug),
    Fault("noise on the bus", 10, (1.0, 4.0), _noise),
)
