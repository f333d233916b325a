"""An agent that is stopped or killed while a fault develops: one event, as if it had gone on."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agent.test_agent import NAME, fast_clock, reply, running
from packtap.config import AgentConfig, load_agent
from packtap.errors import StoreError
from packtap.now_file import read_now
from packtap.resuming import _sum, state_path
from packtap.store import Draft, Store
from serial_ends import Adapter, Pty
from system.process import HOST, free_ports

#: Agent seconds in one real second.
SPEED = 5
#: Two sensors of one pack so far apart, for so long, are no weather.
NEEDED_S = 60.0


def status(current_a: float, other_c: int) -> bytes:
    return reply(
        0x30, 12, status=1, voltage_v=36.0, current_a=current_a, soc_pct=70,
        temperature_1_c=20, temperature_2_c=other_c,
    )  # fmt: skip


#: The current flickers: else it would be a frozen picture.
APART = [status(5.0, 46), status(5.3, 46)]


class Rig:
    """An adapter, and a process that listens to it."""

    def __init__(self, folder: Path) -> None:
        self.adapter = Adapter(folder / "adapter")
        self.pty: Pty = self.adapter.plug()
        self.path = folder / "agent.toml"
        self.path.write_text(
            f"""
            site = "depot"
            agent = "pi"
            bus = "a"
            clock = "trusted"
            now_file = "{folder / "now.json"}"
            [lines.bms]
            port = "{self.adapter.link}"
            [mqtt]
            host = "{HOST}"
            port = {free_ports(1)[0]}
            [store]
            path = "{folder / "packtap.db"}"
            flush_s = 1
            """
        )
        self.config: AgentConfig = load_agent(self.path)
        self.state = state_path(self.config.now_file)
        self.log = folder / "log.txt"

    @contextmanager
    def agent(self) -> Iterator[subprocess.Popen[bytes]]:
        program = str(Path(__file__).with_name("fast_agent.py"))
        command = [sys.executable, program, str(self.path), str(SPEED)]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            assert process.wait(30) in (0, -signal.SIGKILL)

    def say_until(self, frames: list[bytes], is_true: Callable[[], object]) -> None:
        """Say these, again and again, until it is true."""
        deadline = time.monotonic() + 150
        while not is_true():
            said = self.log.read_text() if self.log.exists() else "no process of its own"
            assert time.monotonic() < deadline, said
            for frame in frames:
                self.pty.write(frame)
                time.sleep(0.1)

    def saved_t(self) -> float:
        """Return when the state was last saved, agent seconds; -1 without one."""
        with suppress(OSError):
            return float(json.loads(self.state.read_bytes().partition(b"\n")[2])["t"])
        return -1.0

    def events(self) -> list[tuple[str, int | None, bool, int]]:
        with suppress(StoreError), Store.open_read_only(self.config.store.path) as store:
            return [(e.kind, e.cell, e.is_open, e.raised_ms or 0) for e in store.events()]
        return []  # not begun yet

    def times_ms(self) -> list[int]:
        with Store.open_read_only(self.config.store.path) as store:
            return sorted(reading.t_ms for reading in store.readings())


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "kill -9"])
def test_a_fault_that_develops_over_a_restart_is_raised_once_and_not_later(
    rig: Rig, number: signal.Signals
) -> None:
    with rig.agent() as process:
        rig.say_until([NAME, *APART], lambda: rig.saved_t() > 0)
        # Half of what it takes; the state that is there knows a good part of that.
        first_t = rig.saved_t()
        rig.say_until(APART, lambda: rig.saved_t() >= first_t + 20)
        assert rig.events() == []
        process.send_signal(number)
        process.wait(30)
    assert rig.state.exists()
    with rig.agent():
        rig.say_until(APART, rig.events)
    [(kind, cell, is_open, raised_ms)] = rig.events()
    assert (kind, cell, is_open) == ("temp_sensor_fault", None, True)
    # Readings are as far apart as they are said, but for the restart.
    gap_s, back_ms = max((after - before, after) for before, after in pairwise(rig.times_ms()))
    assert gap_s > 1000
    assert raised_ms - back_ms < 1000 * (NEEDED_S - 5), "what was known before was of no use"
    assert "the checks go on where they were" in rig.log.read_text()


def test_an_event_that_was_raised_after_the_last_state_is_not_raised_again(rig: Rig) -> None:
    with rig.agent() as process:
        rig.say_until([NAME, *APART], lambda: rig.saved_t() > 0)
        older = rig.state.read_bytes()
        rig.say_until(APART, rig.events)
        process.kill()
        process.wait(30)
    before = rig.events()
    rig.state.write_bytes(older)
    with rig.agent():
        rig.say_until(APART, lambda: rig.saved_t() > 0)
        until = rig.saved_t() + NEEDED_S + 10
        rig.say_until(APART, lambda: rig.saved_t() > until)
    assert rig.events() == before
    assert len(before) == 1
    assert "the checks go on where they were" in rig.log.read_text()


def test_after_a_reboot_the_checks_start_anew_and_the_open_event_goes_on(rig: Rig) -> None:
    with rig.agent():
        rig.say_until([NAME, *APART], rig.events)
    saved = json.loads(rig.state.read_bytes().partition(b"\n")[2])
    assert saved["boot"]
    text = json.dumps({**saved, "boot": "another"}).encode()
    rig.state.write_bytes(_sum(text) + b"\n" + text)
    before = rig.events()
    with rig.agent():
        rig.say_until([NAME, *APART], lambda: rig.saved_t() > saved["t"])
    assert "it is another boot's" in rig.log.read_text()
    assert rig.events() == before


def test_no_state_is_saved_while_an_event_waits_for_the_disk(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Store.commit

    def no_events(store: Store, drafts: list[Draft], *memories: Any) -> list[int]:
        if any(draft.kind == "event" for draft in drafts):
            raise StoreError("packtap.db: the disk is full")
        return commit(store, drafts, *memories)

    monkeypatch.setattr(Store, "commit", no_events)

    def now() -> dict[str, Any]:
        return read_now(rig.config.now_file) or {}

    with running(rig.config, fast_clock()):
        rig.say_until([NAME, *APART], lambda: now().get("events"))
        assert [event["saved"] for event in now()["events"]] == [False]
        last, begun = rig.saved_t(), now()["boot_s"]
        rig.say_until(APART, lambda: now()["boot_s"] > begun + 30)
    # A check that holds the event for raised would never raise it again.
    assert rig.saved_t() == last > 0
