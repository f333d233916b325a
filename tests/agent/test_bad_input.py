"""Bad input: one clear line, the right exit code or another try, no traceback, nothing lost."""

import gzip
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ninebot_bms import BMS, Dialect, Frame
from ninebot_bms._encoding import encode
from ninebot_bms.emulator import RegisterImage
from packtap.now_file import read_now
from packtap.store import Store
from recorded import VECTORS
from serial_ends import Adapter, Pty, wait_until
from system.process import HOST, free_ports

RECORDING = VECTORS / "recordings" / "m365_dash_app.log.gz"
READERS = ("decode", "replay")
MIB = 1 << 20
IMAGE = RegisterImage({"serial": "3JDEA24M1D0815", "voltage_v": 36.0, "soc_pct": 70})


def packtap(*words: str, stdin: bytes | None = None) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "packtap", *words], input=stdin, capture_output=True, check=False
    )


def only_line(errors: bytes) -> str:
    """Return the one line that was said."""
    [line] = errors.decode().splitlines()
    assert "Traceback" not in line
    return line


# The configuration.


def test_three_mistakes_in_a_configuration_are_all_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        """
        site = "depot"
        agent = "pi"
        bus = "a"
        colour = "green"
        [lines.bms]
        baud = 115200
        [mqtt]
        host = "broker"
        port = "many"
        """
    )
    done = packtap("agent", "--config", str(path))
    assert done.returncode == 2
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"packtap: {path}: ") for line in lines)
    said = {line.split(": ")[2].strip(): line for line in lines}
    assert set(said) == {"colour", "lines.bms.port", "mqtt.port"}
    assert done.stdout == b""


def test_a_configuration_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = packtap("agent", "--config", str(tmp_path / "absent.toml"))
    assert done.returncode == 2
    assert "packtap config example" in only_line(done.stderr)


def test_a_store_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    path = written(tmp_path, port="/dev/null", store=tmp_path / "file" / "packtap.db")
    done = packtap("agent", "--config", str(path))
    assert done.returncode == 2
    assert "packtap.db" in only_line(done.stderr)


# Ports of a running agent.


def written(
    folder: Path, *, port: str, broker: int = 9, store: Path | None = None, bus: str = "a"
) -> Path:
    """Write a configuration of an agent."""
    path = folder / f"{bus}.toml"
    path.write_text(
        f"""
        site = "depot"
        agent = "pi"
        bus = "{bus}"
        clock = "trusted"
        now_file = "{folder / bus}.json"
        [lines.bms]
        port = "{port}"
        [mqtt]
        host = "{HOST}"
        port = {broker}
        [store]
        path = "{store or folder / f"{bus}.db"}"
        flush_s = 1.0
        """
    )
    return path


class Service:
    """A running agent, and what it has said so far."""

    def __init__(self, config: Path) -> None:
        self._now_file = config.with_suffix(".json")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "packtap", "agent", "--config", str(config)],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))

    @property
    def now(self) -> dict[str, object]:
        return read_now(self._now_file) or {}

    def about(self, words: str) -> list[str]:
        """Return the lines that hold these words."""
        return [line for line in list(self.said) if words in line]

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        finally:
            self.process.kill()
            self._listener.join()
            if self.process.stderr is not None:
                self.process.stderr.close()
        return code


@contextmanager
def service(config: Path) -> Iterator[Service]:
    """Run an agent; it ends well, and has never let a traceback out."""
    running = Service(config)
    try:
        yield running
    finally:
        code = running.end()
    assert code == 0, running.said
    assert not running.about("Traceback")


def say_until(pty: Pty, is_true: Callable[[], object]) -> None:
    """Let a pack report until it is true."""
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline
        for index, size in ((0x10, 16), (0x30, 12)):
            data = IMAGE.read(index, size)
            pty.write(encode(Frame(Dialect.XIAOMI, BMS, None, 0x01, index, data)))
        time.sleep(0.05)


def test_a_port_that_is_absent_then_there_then_unplugged_is_said_once_each(
    tmp_path: Path,
) -> None:
    adapter = Adapter(tmp_path / "adapter")
    with service(written(tmp_path, port=str(adapter.link))) as agent:
        wait_until(lambda: agent.about("there is no"))
        wait_until(lambda: agent.now.get("boot_s"))
        pty = adapter.plug()
        say_until(pty, lambda: agent.now.get("pack"))
        adapter.unplug()
        wait_until(lambda: agent.about("is gone"))
        say_until(adapter.plug(), lambda: len(agent.about("open:")) == 2)
    assert len(agent.about("there is no")) == 1
    assert len(agent.about("is gone")) == 1
    with Store.open_read_only(tmp_path / "a.db") as store:
        assert any(reading.values.get("voltage_v") == 36.0 for reading in store.readings())


def test_a_port_that_another_agent_has_is_said_once_and_taken_when_it_is_free(
    tmp_path: Path,
) -> None:
    adapter = Adapter(tmp_path / "adapter")
    adapter.plug()
    with service(written(tmp_path, port=str(adapter.link))) as first:
        wait_until(lambda: first.about("open:"))
        second = Service(written(tmp_path, port=str(adapter.link), bus="b"))
        try:
            wait_until(lambda: second.about("is in use"))
            assert first.end() == 0
            wait_until(lambda: second.about("open:"))
        finally:
            assert second.end() == 0
    assert len(second.about("is in use")) == 1
    assert not second.about("Traceback")


def test_a_port_that_is_no_serial_port_is_said_in_one_line(tmp_path: Path) -> None:
    with service(written(tmp_path, port=str(RECORDING))) as agent:
        wait_until(lambda: agent.about("is not a serial port"))
        wait_until(lambda: agent.now.get("boot_s"))
    assert len(agent.about("is not a serial port")) == 1


# A broker that refuses.


def refuse_everybody(server: socket.socket, stop: threading.Event, refused: list[int]) -> None:
    """Answer every CONNECT with CONNACK "not authorized" (MQTT v5, reason 0x87)."""
    server.settimeout(0.05)
    while not stop.is_set():
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        with connection:
            connection.settimeout(5)
            connection.recv(1024)
            connection.sendall(bytes((0x20, 3, 0, 0x87, 0)))
            refused.append(1)
            while connection.recv(1024):
                pass


def test_a_broker_that_refuses_is_said_once_and_nothing_is_lost(tmp_path: Path) -> None:
    adapter = Adapter(tmp_path / "adapter")
    stop, refused = threading.Event(), list[int]()
    with socket.create_server((HOST, 0)) as server:
        broker = threading.Thread(target=refuse_everybody, args=(server, stop, refused))
        broker.start()
        try:
            config = written(tmp_path, port=str(adapter.link), broker=int(server.getsockname()[1]))
            with service(config) as agent:
                pty = adapter.plug()
                say_until(pty, lambda: len(refused) >= 3 and agent.now.get("pack"))
        finally:
            stop.set()
            broker.join()
    said = agent.about("packtap.uplink")
    assert len(said) == 1, said
    assert "not authorized" in said[0].lower() or "refuse" in said[0].lower()
    with Store.open_read_only(tmp_path / "a.db") as store:
        assert store.rows() > 3
        assert store.depth().count > 0


def test_a_broker_that_is_not_there_is_said_once(tmp_path: Path) -> None:
    adapter = Adapter(tmp_path / "adapter")
    pty = adapter.plug()
    config = written(tmp_path, port=str(adapter.link), broker=free_ports(1)[0])
    with service(config) as agent:
        say_until(pty, lambda: agent.about("cannot be reached") and agent.now.get("pack"))
    assert len(agent.about("packtap.uplink")) == 1


# Recordings.


@pytest.mark.parametrize("command", READERS)
def test_an_empty_recording_is_one_line_and_exits_3(command: str, tmp_path: Path) -> None:
    path = tmp_path / "empty.log"
    path.touch()
    for words, stdin in (((command, str(path)), None), ((command, "-"), b"")):
        done = packtap(*words, stdin=stdin)
        assert done.returncode == 3
        assert "empty" in only_line(done.stderr)
        assert done.stdout == b""


@pytest.mark.parametrize("command", READERS)
def test_an_empty_packed_recording_is_one_line_and_exits_3(command: str, tmp_path: Path) -> None:
    path = tmp_path / "empty.log.gz"
    path.write_bytes(gzip.compress(b""))
    done = packtap(command, str(path))
    assert done.returncode == 3
    assert "empty" in only_line(done.stderr)


@pytest.mark.parametrize("command", READERS)
def test_a_recording_cut_off_gives_what_was_before_the_cut_and_says_so(
    command: str, tmp_path: Path
) -> None:
    path = tmp_path / "cut.log.gz"
    path.write_bytes(RECORDING.read_bytes()[:-1500])
    done = packtap(command, "--json", str(path))
    assert done.returncode == 2
    assert "breaks off before its end" in only_line(done.stderr)
    whole = packtap(command, "--json", str(RECORDING)).stdout.splitlines()
    cut = done.stdout.splitlines()
    if command == "decode":
        assert len(cut) > 100
        assert whole[: len(cut) - 1] == cut[:-1]
    else:
        assert b'"diagnosis"' in cut[-1]


@pytest.mark.parametrize("command", READERS)
def test_a_damaged_packed_recording_is_one_line(command: str, tmp_path: Path) -> None:
    data = bytearray(RECORDING.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path = tmp_path / "damaged.log.gz"
    path.write_bytes(data)
    done = packtap(command, "--json", str(path))
    assert done.returncode == 2
    assert "damaged" in only_line(done.stderr)


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("seed", range(3))
def test_binary_garbage_is_one_line_and_exits_3(command: str, seed: int, tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(random.Random(seed).randbytes(100_000))
    done = packtap(command, "--json", str(path))
    assert done.returncode == 3
    assert "no frame" in only_line(done.stderr)


def test_a_replay_of_garbage_names_no_suspects_to_people(tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(random.Random(0).randbytes(1000))
    assert packtap("replay", str(path)).stdout == b""


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize(
    ("name", "said"), [("absent.log", "no such file"), (".", "is a directory")]
)
def test_a_recording_that_cannot_be_opened_is_one_line(
    command: str, name: str, said: str, tmp_path: Path
) -> None:
    done = packtap(command, str(tmp_path / name))
    assert done.returncode == 2
    assert said in only_line(done.stderr)


def fed(command: str, size: int) -> tuple[int, int, str]:
    """Feed so many bytes 0x55 to a command; return its exit code, peak memory and stderr.

    Returns:
        exit code; peak resident memory in KiB; what it said.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "packtap", command, "--json", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        piece = b"\x55" * MIB
        for _ in range(size // MIB):
            process.stdin.write(piece)
        process.stdin.close()
        said = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss, said


@pytest.mark.timeout(900)
@pytest.mark.parametrize("command", READERS)
def test_a_gibibyte_of_one_byte_takes_no_more_memory_than_a_mebibyte(command: str) -> None:
    code, little_kib, said = fed(command, MIB)
    assert (code, said.count("\n")) == (3, 1)
    code, much_kib, said = fed(command, 1024 * MIB)
    assert (code, said.count("\n")) == (3, 1)
    assert "no frame" in said
    assert much_kib < little_kib + 8 * 1024
