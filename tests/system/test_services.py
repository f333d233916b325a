"""Real processes and what they tell the service manager: ready, alive, ending."""

import contextlib
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from system.chain import adapters, committed, running_agent, running_ingest, scooter
from system.process import HOST, eventually, free_ports
from system.servers import Fault, Mosquitto, start_fault_proxy
from system.service_manager import ServiceManager

WATCHDOG = "WATCHDOG=1"
WATCHDOG_S = 2.0
BOTH = "STATUS=esc is open, bms is open, "


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    made = ServiceManager(tmp_path, WATCHDOG_S)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


def said(manager: ServiceManager, pid: int, beginning: str) -> Callable[[], bool]:
    return lambda: any(line.startswith(beginning) for line in manager.said(pid))


def feeds(manager: ServiceManager, pid: int, more: int = 3) -> bool:
    """Return whether the watchdog goes on being fed; waits for so many more times."""
    before = len(manager.times(pid, WATCHDOG))
    eventually(lambda: len(manager.times(pid, WATCHDOG)) >= before + more, "food", 60)
    return True


def test_agent_is_ready_when_it_works_and_no_trouble_outside_starves_its_watchdog(
    tmp_path: Path, manager: ServiceManager, mosquitto: Mosquitto
) -> None:
    with (
        start_fault_proxy(mosquitto.port) as proxy,
        adapters(tmp_path, "esc", "bms") as lines,
        running_agent(tmp_path, lines, proxy.port) as agent,
    ):
        eventually(said(manager, agent.pid, "READY=1"), "ready", 60)
        assert (tmp_path / "agent.db").exists()
        with scooter(Wires(Plan()), lines):
            eventually(said(manager, agent.pid, BOTH), "words", 60)
            assert feeds(manager, agent.pid)
        assert feeds(manager, agent.pid), "the bus is silent"
        for fault in (Fault.BLACKHOLE, Fault.RESET, Fault.REFUSE):
            proxy.set(fault)
            assert feeds(manager, agent.pid), fault
        lines["bms"].unplug()
        eventually(
            said(manager, agent.pid, "STATUS=esc is open, bms is not open"), "words of it", 60
        )
        assert feeds(manager, agent.pid)
        pid = agent.pid
        assert agent.terminate(within_s=5) == 0, agent.log_tail()
        lines_said = manager.said(pid)
        assert lines_said.count("READY=1") == 1
        assert lines_said.index("READY=1") < lines_said.index(WATCHDOG)
        assert lines_said[-2] == "STOPPING=1"


_HANGING = """
import os, sys, time
import packtap.{module} as module
real = module.{cls}.{method}
def work(self, *args, **more):
    while os.path.exists({flag!r}):
        time.sleep(0.05)
    return real(self, *args, **more)
module.{cls}.{method} = work
import {patience}
sys.argv = ["packtap", "agent", "--config", {config!r}]
from packtap.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("module", "cls", "method", "patience"),
    [
        ("link.line", "SerialLine", "read", "packtap.link.reader as p; p._READ_BEAT_S = 1.0"),
        ("uplink.window", "Window", "waiting_since", "packtap.uplink.sender as p; "
         "p._TURN_BEAT_S = 1.0"),
        ("keeping", "Keeper", "save", "packtap.keeping"),
    ],
    ids=["reader", "uplink", "commit"],
)  # fmt: skip
def test_hang_of_any_thread_that_the_agent_needs_starves_its_watchdog(
    module: str,
    cls: str,
    method: str,
    patience: str,
    tmp_path: Path,
    manager: ServiceManager,
    mosquitto: Mosquitto,
) -> None:
    flag = tmp_path / "hang"
    with adapters(tmp_path, "esc", "bms") as lines, scooter(Wires(Plan()), lines):
        config = tmp_path / "agent.toml"
        ports = "".join(f'[lines.{name}]\nport = "{line.port}"\n' for name, line in lines.items())
        config.write_text(
            'site = "s"\nagent = "a"\nbus = "b"\nclock = "trusted"\n'
            f'now_file = "{tmp_path}/now.json"\n{ports}'
            f'[mqtt]\nhost = "{HOST}"\nport = {mosquitto.port}\n'
            f'[store]\npath = "{tmp_path}/agent.db"\nflush_s = 1\n'
        )
        program = _HANGING.format(
            module=module, cls=cls, method=method, flag=str(flag), patience=patience,
            config=str(config),
        )  # fmt: skip
        with (
            (tmp_path / "log").open("w") as log,
            subprocess.Popen([sys.executable, "-c", program], stderr=log) as agent,
        ):
            try:
                eventually(said(manager, agent.pid, "READY=1"), "ready", 60)
                assert feeds(manager, agent.pid, 2)
                flag.touch()
                eventually(
                    lambda: (
                        time.monotonic() - manager.times(agent.pid, WATCHDOG)[-1] > 2 * WATCHDOG_S
                    ),
                    "a starving watchdog",
                    60,
                )
                flag.unlink()
                assert feeds(manager, agent.pid, 2)
            finally:
                agent.kill()


def test_ingest_is_ready_when_it_has_subscribed_and_lives_on_without_its_broker(
    tmp_path: Path, manager: ServiceManager, mosquitto: Mosquitto
) -> None:
    with start_fault_proxy(mosquitto.port) as proxy:
        proxy.set(Fault.REFUSE)
        with contextlib.ExitStack() as stack:
            # Its loop runs; there is no broker yet.
            stack.callback(proxy.set, Fault.PASS)
            config = tmp_path / "ingest.toml"
            config.write_text(
                f'[mqtt]\nhost = "{HOST}"\nport = {proxy.port}\n'
                f'[sqlite]\npath = "{tmp_path}/ingest.db"\n'
                f'[dead_letter]\npath = "{tmp_path}/dead.jsonl"\n'
            )
            words = [sys.executable, "-m", "packtap", "ingest", "--config", str(config)]
            with (
                (tmp_path / "log").open("w") as log,
                subprocess.Popen(words, stderr=log) as ingest,
            ):
                try:
                    pid = ingest.pid
                    eventually(said(manager, pid, "EXTEND_TIMEOUT_USEC="), "a start that lasts", 60)
                    eventually(said(manager, pid, "STATUS=no broker"), "words of it", 60)
                    assert "READY=1" not in manager.said(pid)
                    proxy.set(Fault.PASS)
                    eventually(said(manager, pid, "READY=1"), "ready", 60)
                    for fault in (Fault.PASS, Fault.BLACKHOLE, Fault.REFUSE):
                        proxy.set(fault)
                        assert feeds(manager, pid, 3), fault
                    proxy.set(Fault.REFUSE)
                    ingest.send_signal(signal.SIGTERM)
                    assert ingest.wait(5) == 0
                    assert "STOPPING=1" in manager.said(pid)
                finally:
                    ingest.kill()


def test_connection_of_ingest_gives_signs_of_life_while_it_is_idle(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """paho calls what is overridden for that, in the version that is installed."""
    from packtap.config import SharedMqttConfig
    from packtap.ingest.subscription import Subscription

    signs: list[float] = []
    subscription = Subscription(SharedMqttConfig(host=HOST, port=mosquitto.port), signs.append)
    subscription.start()
    try:
        eventually(lambda: subscription.connected, "a subscription", 60)
        before = len(signs)
        eventually(lambda: len(signs) >= before + 3, "three signs of life", 60)
        assert signs[-1] == 60.0
    finally:
        subscription.stop()


def test_page_is_ready_when_browsers_reach_it(tmp_path: Path, manager: ServiceManager) -> None:
    (port,) = free_ports(1)
    config = tmp_path / "web.toml"
    config.write_text(f'port = {port}\nstores = ["{tmp_path}/*.db"]\nnow_files = []\n')
    words = [sys.executable, "-m", "packtap", "web", "--config", str(config)]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(words, stderr=log) as web:
        try:
            eventually(said(manager, web.pid, "READY=1"), "ready", 60)
            assert f"STATUS=the page is at http://127.0.0.1:{port}/" in manager.said(web.pid)
            assert feeds(manager, web.pid, 3)
            web.send_signal(signal.SIGTERM)
            assert web.wait(5) == 0
            assert "STOPPING=1" in manager.said(web.pid)
        finally:
            web.kill()


def test_sigterm_ends_the_agent_within_5_s_while_the_disk_takes_nothing(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with (
        adapters(tmp_path, "esc", "bms") as lines,
        running_agent(tmp_path, lines, mosquitto.port) as agent,
        scooter(Wires(Plan()), lines),
    ):
        eventually(lambda: len(committed(agent.store)) >= 5, "five readings")
        # As on a full disk: no file can grow, nor be written where it already is.
        resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (0, 0))
        time.sleep(2)  # a flush that fails; what it would have written is lost, and nothing else
        before = committed(agent.store)
        # The log is such a file too: 120 is Python's word for a last line that went nowhere.
        assert agent.terminate(within_s=5) in (0, 120), agent.log_tail()
    after = committed(agent.store)
    assert after[: len(before)] == before
    with contextlib.closing(sqlite3.connect(agent.store)) as conn:
        assert conn.execute("PRAGMA quick_check").fetchone() == ("ok",)
    assert "Traceback" not in agent.log.read_text()


def test_ingest_that_works_ends_within_5_s_of_sigterm(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with running_ingest(tmp_path, mosquitto.port) as ingest:
        assert ingest.terminate(within_s=5) == 0, ingest.log_tail()
