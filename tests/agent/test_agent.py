"""The agent's loop, with pseudo-terminals for adapters and a clock that runs fast."""

import json
import logging
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.drafts import readings
from ninebot_bms import BMS, Dialect, Frame
from ninebot_bms._encoding import encode
from ninebot_bms.emulator import RegisterImage
from packtap.agent import Agent
from packtap.clock import Clock, boot_ms, utc_ms
from packtap.config import AgentConfig, LineConfig, MqttConfig, PackConfig, StoreConfig
from packtap.emulated_bus import EmulatedScooter
from packtap.errors import StoreError
from packtap.model import Value
from packtap.now_file import read_now
from packtap.poller import ANOTHER_MASTER
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.store import Draft, Store
from packtap.store.room import record_loss
from packtap.uplink import Uplink
from serial_ends import Adapter, Pty, wait_until
from system.process import HOST, free_ports

SERIAL = "3JDEA24M1D0815"
#: Agent seconds in one real second.
SPEED = 20
SOUND = (3600,) * 10
LOW = (*(3600,) * 6, 2700, *(3600,) * 3)


def reply(index: int, size: int, **values: Value) -> bytes:
    data = RegisterImage(values).read(index, size)
    return encode(Frame(Dialect.XIAOMI, BMS, None, 0x01, index, data))


def cells(*millivolts: int) -> bytes:
    return reply(0x40, 30, cell_voltages_mv=millivolts)


NAME = reply(0x10, 16, serial=SERIAL)
STATUS = reply(0x30, 12, voltage_v=36.0, current_a=5.0, soc_pct=70)


def fast_clock(**options: Any) -> Clock:
    start = boot_ms()

    def now() -> int:
        return start + (boot_ms() - start) * SPEED

    defaults: dict[str, Any] = {
        "mode": "trusted",
        "utc_ms": lambda: utc_ms() + now() - boot_ms(),
    }
    return Clock(boot_ms=now, **(defaults | options))


@dataclass
class Bench:
    """One agent's surroundings: its adapter, files and configuration."""

    adapter: Adapter
    config: AgentConfig

    @property
    def now(self) -> dict[str, Any]:
        return read_now(self.config.now_file) or {}

    def readings(self) -> list[dict[str, Any]]:
        try:
            with Store.open_read_only(self.config.store.path) as store:
                return [dict(reading.values) for reading in store.readings()]
        except StoreError:  # not begun yet, or its tables are being made
            return []

    def events(self) -> list[tuple[str, int | None, bool]]:
        with Store.open_read_only(self.config.store.path) as store:
            return [(event.kind, event.cell, event.is_open) for event in store.events()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    adapter = Adapter(tmp_path / "adapter")
    config = AgentConfig(
        site="depot",
        agent="pi",
        bus="a",
        clock="trusted",
        now_file=tmp_path / "now.json",
        lines=(LineConfig(name="bms", port=str(adapter.link)),),
        mqtt=MqttConfig(host=HOST, port=free_ports(1)[0]),
        store=StoreConfig(path=tmp_path / "packtap.db", flush_s=1.0),
        pack=PackConfig(cooldown_s=0.0),  # ends are told while the test looks
    )
    return Bench(adapter, config)


@contextmanager
def running(config: AgentConfig, clock: Clock | None = None) -> Iterator[None]:
    """Run an agent in a thread of its own; nothing may escape from it."""
    stop = threading.Event()
    escaped: list[BaseException] = []

    def work() -> None:
        try:
            Agent(config, clock or fast_clock()).run(stop)
        except BaseException as error:
            escaped.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert escaped == []


def say_until(pty: Pty, frames: list[bytes], is_true: Callable[[], object]) -> None:
    """Say these frames again and again, a second of the agent's time apart, until it is true."""
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline
        for frame in frames:
            pty.write(frame)
        time.sleep(1 / SPEED)


def test_what_the_line_says_is_stored_and_shown_with_its_age(bench: Bench) -> None:
    pty = bench.adapter.plug()
    with running(bench.config):
        wanted = {"serial", "voltage_v", "cell_voltages_mv"}
        frames = [NAME, STATUS, cells(*SOUND)]
        say_until(pty, frames, lambda: wanted <= bench.now.get("values", {}).keys())
        now = bench.now
        assert now["pack"] == SERIAL
        assert now["values"]["cell_voltages_mv"] == list(SOUND)
        assert 0 <= now["ages_s"]["cell_voltages_mv"] < 60
        assert now["lines"][0]["is_up"]
        assert now["uplink"]["connected"] is False
        wait_until(bench.readings)
    stored = bench.readings()
    assert any(values.get("cell_voltages_mv") == SOUND for values in stored)
    assert any(values.get("voltage_v") == 36.0 for values in stored)
    assert read_now(bench.config.now_file) is None  # what is not running sees nothing


def test_what_waits_in_memory_is_saved_when_the_agent_is_stopped(bench: Bench) -> None:
    pty = bench.adapter.plug()
    slow = StoreConfig(path=bench.config.store.path, flush_s=300.0)
    config = AgentConfig(**{**vars_of(bench.config), "store": slow})
    with running(config, Clock("trusted")):
        say_until(pty, [NAME, STATUS], lambda: bench.now.get("pack") == SERIAL)
        assert bench.readings() == []
    assert any(values.get("voltage_v") == 36.0 for values in bench.readings())


def vars_of(config: AgentConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def _announces(record: logging.LogRecord) -> bool:
    """Say whether a line of the log tells of the event; the flight recorder writes its own."""
    return record.name == "packtap.agent" and "cell_undervoltage" in record.getMessage()


def test_an_event_is_on_disk_before_it_is_announced(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    on_disk: list[list[tuple[str, int | None, bool]]] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if _announces(record):
                on_disk.append(bench.events())

    listener = Listener()
    logging.getLogger("packtap.agent").addHandler(listener)
    try:
        with caplog.at_level(logging.INFO), running(bench.config):
            pty = bench.adapter.plug()
            say_until(pty, [NAME, cells(*LOW)], lambda: bench.now.get("events"))
            [shown] = bench.now["events"]
            say_until(pty, [NAME, cells(*SOUND)], lambda: not bench.now.get("events"))
    finally:
        logging.getLogger("packtap.agent").removeHandler(listener)
    assert (shown["kind"], shown["cell"], shown["severity"]) == ("cell_undervoltage", 7, "critical")
    assert shown["since_s"] >= 0
    assert on_disk == [[("cell_undervoltage", 7, True)], [("cell_undervoltage", 7, False)]]
    levels = [r.levelname for r in caplog.records if _announces(r)]
    assert levels == ["WARNING", "INFO"]


def test_a_restart_does_not_raise_an_open_event_again(bench: Bench) -> None:
    pty = bench.adapter.plug()
    with running(bench.config):
        say_until(pty, [NAME, cells(*LOW)], lambda: bench.now.get("events"))
        [before] = bench.now["events"]
    assert bench.events() == [("cell_undervoltage", 7, True)]
    with running(bench.config):
        say_until(pty, [NAME], lambda: bench.now.get("pack") == SERIAL)
        [after] = bench.now["events"]  # shown although it was raised in another life
        assert (after["id"], after["since_s"]) == (before["id"], None)
        begun = bench.now["boot_s"]
        say_until(pty, [NAME, cells(*LOW)], lambda: bench.now.get("boot_s", 0) > begun + 10)
        assert bench.events() == [("cell_undervoltage", 7, True)]
        say_until(pty, [NAME, cells(*SOUND)], lambda: not bench.now.get("events", [True]))
    assert bench.events() == [("cell_undervoltage", 7, False)]


def test_nothing_is_lost_while_the_store_fails_and_it_is_said_once(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Store.commit
    fails = threading.Event()
    failures: list[int] = []

    def sometimes(store: Store, drafts: list[Draft], *memories: Any) -> list[int]:
        if fails.is_set():
            failures.append(len(drafts))
            raise StoreError("packtap.db: the disk is full")
        return commit(store, drafts, *memories)

    monkeypatch.setattr(Store, "commit", sometimes)
    said: list[int] = []
    with caplog.at_level(logging.INFO), running(bench.config):
        pty = bench.adapter.plug()
        say_until(pty, [NAME], lambda: bench.now.get("pack") == SERIAL)
        fails.set()
        while len(failures) < 10 or not bench.now.get("events"):
            said.append(2510 + len(said))
            pty.write(cells(*(said[-1] + 3 * number for number in range(10))))
            time.sleep(1 / SPEED)
        assert bench.now["store_trouble"] == "packtap.db: the disk is full"
        fails.clear()
        wait_until(lambda: bench.now.get("store_trouble") is None)
    stored = [v["cell_voltages_mv"][0] for v in bench.readings() if "cell_voltages_mv" in v]
    assert stored == said
    low = {cell for kind, cell, _ in bench.events() if kind == "cell_undervoltage"}
    assert low == set(range(1, 11))
    errors = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert errors == ["readings wait in memory, the store takes none: packtap.db: the disk is full"]
    assert "the store takes readings again; what waited is saved" in caplog.messages


def test_no_event_is_announced_before_the_store_has_taken_it(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Store.commit
    fails = threading.Event()

    def sometimes(store: Store, drafts: list[Draft], *memories: Any) -> list[int]:
        if fails.is_set():
            raise StoreError("packtap.db: the disk is full")
        return commit(store, drafts, *memories)

    retained: list[list[str]] = []

    def retain(uplink: Uplink, kind: str, payload: bytes) -> None:
        del uplink
        if kind == "state":
            retained.append(json.loads(payload)["events"])

    monkeypatch.setattr(Store, "commit", sometimes)
    monkeypatch.setattr(Uplink, "retain", retain)
    with caplog.at_level(logging.INFO), running(bench.config):
        pty = bench.adapter.plug()
        say_until(pty, [NAME], lambda: bench.now.get("pack") == SERIAL)
        fails.set()
        # Two pictures: the same one for half a minute would be a frozen board.
        low = [cells(*LOW), cells(*(mv + 1 for mv in LOW))]
        say_until(pty, low, lambda: bench.now.get("events"))
        assert [(e["kind"], e["saved"]) for e in bench.now["events"]] == [
            ("cell_undervoltage", False)
        ]
        before = len(retained)
        say_until(pty, low, lambda: len(retained) > before + 1)  # once a minute
        assert not any(retained)
        assert not [r for r in caplog.records if _announces(r)]
        assert len([m for m in caplog.messages if "before it is on disk" in m]) == 1
        fails.clear()
        wait_until(lambda: [e["saved"] for e in bench.now["events"]] == [True])
        wait_until(lambda: retained[-1] == ["cell_undervoltage"])
    told = [r.levelname for r in caplog.records if _announces(r)]
    assert told == ["WARNING"]
    assert bench.events() == [("cell_undervoltage", 7, True)]


def test_an_event_raised_before_the_name_was_read_is_told_again_under_the_name(
    bench: Bench,
) -> None:
    pty = bench.adapter.plug()
    with running(bench.config):
        say_until(pty, [cells(*LOW)], lambda: bench.now.get("events"))
        say_until(pty, [NAME], lambda: bench.now.get("pack") == SERIAL)
        say_until(pty, [NAME, cells(*SOUND)], lambda: not bench.now.get("events"))
    with Store.open_read_only(bench.config.store.path) as store:
        sent = [
            json.loads(queued.payload)
            for queued in store.pending(0, 100_000)
            if queued.topic.kind == "event"
        ]
        (event,) = store.events()
        assert store.event_counter() == 1
    assert [(message["pack"], message["state"]) for message in sent] == [
        ("unknown-pi-a", "raised"),
        (SERIAL, "raised"),
        (SERIAL, "cleared"),
    ]
    assert {message["id"] for message in sent} == {event.id}
    assert sent[0]["t"] == sent[1]["t"]
    assert (event.pack, event.raised_ms, event.is_open) == (SERIAL, sent[0]["t"][0], False)


def test_what_the_size_bound_dropped_undelivered_is_shown_and_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packtap.agent._LINK_EVERY_S", 5.0)
    with Store.open(bench.config.store.path) as store:
        store.commit([readings(1, 2, 3), readings(4, 5)])
        store._conn.execute("BEGIN")
        record_loss(store._conn, [1, 2])
        store._conn.execute("COMMIT")
    bench.adapter.plug()

    def sent() -> list[dict[str, int]]:
        with Store.open_read_only(bench.config.store.path) as store:
            queued = [each for each in store.pending(0, 1000) if each.topic.kind == "link"]
            return [json.loads(each.payload)["counters"] for each in queued]

    with running(bench.config):
        wait_until(lambda: bench.now.get("counters", {}).get("gap_messages") == 2)
        assert bench.now["counters"]["gap_samples"] == 5
        wait_until(sent)
    assert (sent()[-1]["gap_messages"], sent()[-1]["gap_samples"]) == (2, 5)


def test_a_now_file_that_cannot_be_written_does_not_keep_the_agent_from_stopping(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = bench.config.now_file.with_name("a-file")
    in_the_way.touch()
    config = AgentConfig(**{**vars_of(bench.config), "now_file": in_the_way / "now.json"})
    closed: list[bool] = []
    close = Store.close

    def noted(store: Store) -> None:
        closed.append(True)
        close(store)

    def fail(store: Store, drafts: list[Draft], *memories: Any) -> list[int]:
        raise StoreError("packtap.db: the disk is full")

    pty = bench.adapter.plug()
    with caplog.at_level(logging.INFO), running(config):
        say_until(pty, [NAME, STATUS], bench.readings)
        monkeypatch.setattr(Store, "commit", fail)
        say_until(pty, [STATUS], lambda: any("wait in memory" in m for m in caplog.messages))
        monkeypatch.setattr(Store, "close", noted)
    assert closed
    assert [m for m in caplog.messages if "could not be saved: packtap.db: the disk is full" in m]
    assert caplog.messages[-1] == "stopped"


def test_a_store_that_is_taken_away_is_begun_anew(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    pty = bench.adapter.plug()
    with caplog.at_level(logging.INFO), running(bench.config):
        say_until(pty, [NAME, STATUS], bench.readings)
        for path in bench.config.store.path.parent.glob("packtap.db*"):
            path.unlink()
        say_until(pty, [cells(*SOUND)], bench.config.store.path.exists)
        wait_until(bench.readings)
        wait_until(lambda: bench.now.get("store_trouble") is None)
    assert any(values.get("cell_voltages_mv") == SOUND for values in bench.readings())


def test_readings_wait_undated_until_the_clock_is_known_and_are_dated_right(
    bench: Bench,
) -> None:
    known = threading.Event()
    offset_ms = 1_800_000_000_000
    clock: Clock = fast_clock(
        mode="auto",
        synchronised=known.is_set,
        utc_ms=lambda: clock.boot_ms() + offset_ms,
        boot_id=lambda: "boot-a",
    )
    pty = bench.adapter.plug()

    def undated() -> int:
        with Store.open_read_only(bench.config.store.path) as store:
            return store.depth().undated

    with running(bench.config, clock):
        began = clock.boot_ms()
        say_until(pty, [NAME, STATUS], lambda: bench.now.get("pack") and undated())
        ended = clock.boot_ms()
        assert bench.now["t"] is None
        assert bench.readings() == []  # nothing is shown under a wrong date
        known.set()
        wait_until(lambda: undated() == 0 and bench.now.get("t"))
    with Store.open_read_only(bench.config.store.path) as store:
        times = [reading.t_ms - offset_ms for reading in store.readings()]
    assert times
    assert all(began <= t <= ended + 60_000 for t in times)
    assert times == sorted(set(times))


def test_no_reading_gets_a_wrong_time_while_the_clock_steps_and_each_step_is_told(
    bench: Bench,
) -> None:
    true_ms = 1_800_000_000_000
    shown = {"off": -1_799_999_000_000, "synchronised": False}  # 1970: just started
    clock: Clock = fast_clock(
        mode="auto",
        synchronised=lambda: bool(shown["synchronised"]),
        utc_ms=lambda: clock.boot_ms() + true_ms + shown["off"],
        boot_id=lambda: "boot-a",
    )
    pty = bench.adapter.plug()
    # The same picture for half a minute would be a frozen board.
    changing = [
        reply(
            0x30,
            12,
            voltage_v=volts,
            current_a=5.0,
            soc_pct=70,
            temperature_1_c=24,
            temperature_2_c=25,
        )
        for volts in (36.0, 36.1)
    ]

    def steps() -> int:
        with Store.open_read_only(bench.config.store.path) as store:
            return store.event_counter()

    with running(bench.config, clock):
        began = clock.boot_ms()
        say_until(pty, [NAME, *changing], lambda: bench.now.get("pack") == SERIAL)
        for told, (off, synchronised) in enumerate(
            [
                (-10_800_000, False),  # as it was when the Pi was switched off: plausible, wrong
                (0, True),  # a time server is found
                (3_600_000, False),  # somebody sets it by hand
                (-86_400_000, False),
                (0, True),
            ],
            start=1,
        ):
            shown["synchronised"] = False
            shown["off"] = off
            shown["synchronised"] = synchronised
            say_until(pty, changing, lambda told=told: steps() >= told)  # type: ignore[misc]
        say_until(pty, changing, lambda: not bench.now.get("events"))
        wait_until(bench.readings)
        ended = clock.boot_ms()
    with Store.open_read_only(bench.config.store.path) as store:
        times = [reading.t_ms - true_ms for reading in store.readings()]
        assert store.rows() == len(times)  # none is left undated
        events = store.events()
    assert [event.kind for event in events] == ["timestamp_anomaly"] * 5
    assert not any(event.is_open for event in events)
    assert all(began - 1000 <= (event.raised_ms or 0) - true_ms <= ended for event in events)
    assert times == sorted(set(times))
    assert times[0] >= began - 1000
    assert times[-1] <= ended + 1000


def test_an_adapter_that_is_pulled_and_plugged_in_again_is_said_once_and_read_on(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), running(bench.config):
        wait_until(lambda: bench.now.get("lines"))
        assert "there is no" in bench.now["lines"][0]["reason"]
        pty = bench.adapter.plug()
        say_until(pty, [NAME, STATUS], lambda: bench.now.get("pack") == SERIAL)
        bench.adapter.unplug()
        wait_until(lambda: not bench.now["lines"][0]["is_up"])
        assert "unplugged" in bench.now["lines"][0]["reason"]
        again = bench.adapter.plug()
        wait_until(lambda: bench.now["lines"][0]["is_up"])
        say_until(again, [cells(*SOUND)], lambda: "cell_voltages_mv" in bench.now.get("values", {}))
    gone = [m for m in caplog.messages if "is gone" in m]
    assert len(gone) == 1
    assert not [r for r in caplog.records if r.exc_info]


def test_a_second_agent_on_the_same_port_is_told_who_has_it(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench.adapter.plug()
    other = AgentConfig(
        **{
            **vars_of(bench.config),
            "bus": "b",
            "now_file": tmp_path / "other.json",
            "store": StoreConfig(path=tmp_path / "other.db"),
        }
    )
    with running(bench.config):
        wait_until(lambda: bench.now.get("lines", [{"is_up": False}])[0]["is_up"])
        with running(other):
            theirs = Bench(bench.adapter, other)
            wait_until(lambda: theirs.now.get("lines"))
            wait_until(lambda: "in use" in theirs.now["lines"][0]["reason"])
    assert len([m for m in caplog.messages if "is in use" in m]) == 1


def test_on_a_bench_the_agent_asks_and_gets_cells_and_identity(bench: Bench) -> None:
    scooter = EmulatedScooter(Wires(Plan(), is_bench=True))
    stop = threading.Event()
    thread = threading.Thread(target=scooter.run, args=(stop,))
    thread.start()
    config = AgentConfig(
        **{
            **vars_of(bench.config),
            "mode": "bench",
            "lines": (LineConfig(name="bms", port=scooter.lines["bms"].path),),
        }
    )
    try:
        with running(config, Clock("trusted")):
            wanted = {"serial", "firmware", "cell_voltages_mv", "voltage_v", "health_pct"}
            wait_until(lambda: wanted <= set(bench.now.get("values", {})))
            assert bench.now["pack"] == SERIAL
            assert bench.now["cell_count"] == 10
            assert bench.now["mode"] == "bench"
            assert bench.now["bus_trouble"] is None
    finally:
        stop.set()
        thread.join()
    assert bench.events() == []


class Ear:
    """A wire to an adapter that counts what the adapter's owner says."""

    def __init__(self, pty: Pty) -> None:
        self._pty = pty
        self.heard = bytearray()

    def listen(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.heard += self._pty.read()
            time.sleep(0.002)
        self.heard += self._pty.read()


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_bench_beside_a_live_esc_never_sends_a_byte_and_says_so_once(
    bench: Bench, dialect: Dialect, caplog: pytest.LogCaptureFixture
) -> None:
    pty = bench.adapter.plug()
    ear = Ear(pty)
    wires = Wires(Plan(), dialect, app=False)
    is_unplugged, stop = threading.Event(), threading.Event()

    def ride() -> None:
        start = time.monotonic()
        while not (stop.is_set() or is_unplugged.is_set()):
            for line, data in wires.step(time.monotonic() - start):
                if line == "bms":  # all that the adapter of a bench hears of an ESC
                    pty.write(data)
            time.sleep(0.002)

    threads = [threading.Thread(target=ride), threading.Thread(target=ear.listen, args=(stop,))]
    for thread in threads:
        thread.start()
    config = AgentConfig(**{**vars_of(bench.config), "mode": "bench"})
    try:
        with caplog.at_level(logging.INFO), running(config, Clock("trusted")):
            wait_until(lambda: bench.now.get("bus_trouble"))
            begun = bench.now["boot_s"]
            # Longer than a bench listens, and than it waits before it tries again.
            wait_until(lambda: bench.now["boot_s"] > begun + 6)
            now, heard = bench.now, bytes(ear.heard)
            is_unplugged.set()
            wait_until(lambda: ear.heard and bench.now["bus_trouble"] is None)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert now["bus_trouble"] == ANOTHER_MASTER
    assert now["counters"]["frames"] > 30
    assert heard == b""
    assert caplog.messages.count(ANOTHER_MASTER) == 1


def test_a_reading_never_repeats_an_old_value_under_a_new_time(bench: Bench) -> None:
    pty = bench.adapter.plug()
    with running(bench.config):
        say_until(pty, [NAME], lambda: bench.now.get("pack") == SERIAL)
        begun = bench.now["boot_s"]
        say_until(pty, [STATUS], lambda: bench.now["boot_s"] > begun + 10)
    with_serial = [values for values in bench.readings() if "serial" in values]
    with_voltage = [values for values in bench.readings() if "voltage_v" in values]
    assert with_serial and len(with_voltage) > 3
    assert all("voltage_v" not in values for values in with_serial)


def test_a_silent_line_gives_neither_readings_nor_events(bench: Bench) -> None:
    bench.adapter.plug()
    with running(bench.config):
        wait_until(lambda: bench.now.get("boot_s"))
        begun = bench.now["boot_s"]
        wait_until(lambda: bench.now["boot_s"] > begun + 20)
        assert bench.now["pack"] is None
        assert bench.now["values"] == {}
    assert bench.readings() == []
    assert bench.events() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_second_agent_is_refused_and_a_signal_ends_the_first_cleanly(
    bench: Bench, number: signal.Signals
) -> None:
    pty = bench.adapter.plug()
    path = bench.config.now_file.with_name("agent.toml")
    path.write_text(
        f"""
        site = "depot"
        agent = "pi"
        bus = "a"
        clock = "trusted"
        now_file = "{bench.config.now_file}"
        [lines.bms]
        port = "{bench.config.lines[0].port}"
        [mqtt]
        host = "{HOST}"
        port = {bench.config.mqtt.port}
        [store]
        path = "{bench.config.store.path}"
        flush_s = 300
        """
    )
    command = [sys.executable, "-m", "packtap", "agent", "--config", str(path)]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        say_until(pty, [NAME, STATUS], lambda: bench.now.get("pack") == SERIAL)
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (second.returncode, second.stdout) == (2, "")
        assert second.stderr == (
            f"packtap: {bench.config.store.path}: another agent runs with this store (process "
            f"{service.pid}): stop that one, or give this one a configuration with a bus, store "
            "and now-file of its own\n"
        )
        assert bench.now["pack"] == SERIAL
        service.send_signal(number)
        out, err = service.communicate(timeout=30)
    finally:
        if service.poll() is None:
            service.kill()
            service.wait()
    assert service.returncode == 0
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].endswith("stopped")
    assert read_now(bench.config.now_file) is None
    assert any(values.get("voltage_v") == 36.0 for values in bench.readings())
    with sqlite3.connect(bench.config.store.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_the_now_file_is_one_json_object(bench: Bench) -> None:
    bench.adapter.plug()
    with running(bench.config):
        wait_until(bench.config.now_file.exists)
        document = json.loads(bench.config.now_file.read_text(encoding="utf-8"))
    assert document["v"] == 1
    assert {"pack", "values", "ages_s", "events", "lines", "counters", "outbox"} <= set(document)
