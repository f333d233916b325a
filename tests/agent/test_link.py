"""The serial link: chunks, unplugging, plain words, and nothing sent but reads of a battery."""

import ast
import grp
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import serial
from hypothesis import given, settings
from hypothesis import strategies as st

import packtap.link
from ninebot_bms import Dialect, Frame, read_request
from ninebot_bms._encoding import encode
from ninebot_bms.commands import is_read_request
from ordinary_user import ordinary_user
from packtap.errors import LinkError
from packtap.link import (
    COALESCE_S,
    Inbox,
    LineReader,
    LinkDown,
    LinkItem,
    LinkUp,
    Received,
    SerialLine,
    list_ports,
)
from packtap.link.trouble import explain, explain_loss, other_users
from serial_ends import Adapter, Pty, Rfc2217Tap, play, tcp_tap, wait_until

READS = [
    read_request(Dialect.XIAOMI, 0x30, 12),
    read_request(Dialect.NINEBOT, 0x40, 30),
    read_request(Dialect.NINEBOT, 0x10, 16, target=0x23),
]
#: What the wire carries at 115200 baud while one read gathers.
WINDOW = int(115200 / 10 * COALESCE_S)


@pytest.fixture
def pty() -> Iterator[Pty]:
    end = Pty()
    yield end
    end.unplug()


@pytest.fixture
def adapter(tmp_path: Path) -> Iterator[Adapter]:
    end = Adapter(tmp_path / "usb-FTDI-if00-port0")
    yield end
    if end.link.is_symlink():
        end.unplug()


@pytest.fixture
def rfc2217() -> Iterator[Rfc2217Tap]:
    tap = Rfc2217Tap()
    yield tap
    tap.stop()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without the patience that a real bus deserves."""
    monkeypatch.setattr("packtap.link.reader._FIRST_RETRY_S", 0.01)
    monkeypatch.setattr("packtap.link.reader._LAST_RETRY_S", 0.05)


class Listener:
    """Runs a reader and keeps what it put into its inbox."""

    def __init__(self, port: str, *, transmit: bool = False, name: str = "bms") -> None:
        self.inbox = Inbox()
        self._ticks = iter(range(1, 10**9))
        self.reader = LineReader(
            name,
            port,
            115200,
            self.inbox,
            clock=self._tick,
            transmit=transmit,
        )
        self.items: list[LinkItem] = []

    def __enter__(self) -> "Listener":
        self.reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.stop()
        assert not self.reader.is_alive()

    def _tick(self) -> float:
        return float(next(self._ticks))

    def _collect(self) -> None:
        while not self.inbox.empty():
            self.items.append(self.inbox.get_nowait())

    @property
    def data(self) -> bytes:
        self._collect()
        return b"".join(item.data for item in self.items if isinstance(item, Received))

    @property
    def changes(self) -> list[LinkUp | LinkDown]:
        self._collect()
        return [item for item in self.items if not isinstance(item, Received)]

    def wait_for_change(self, kind: type[LinkUp] | type[LinkDown]) -> LinkUp | LinkDown:
        wait_until(lambda: self.changes and isinstance(self.changes[-1], kind))
        return self.changes[-1]


def opened(port: str, *, transmit: bool = False) -> SerialLine:
    line = SerialLine("bms", port, transmit=transmit)
    line.open()
    return line


def failure(port: str, baud: int = 115200) -> str:
    """Return the words with which opening fails."""
    with pytest.raises(LinkError) as caught:
        SerialLine("bms", port, baud).open()
    return str(caught.value)


# Reading.


def test_what_arrives_within_20_ms_is_one_chunk_and_one_read(
    pty: Pty, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = bytes(range(256)) * 10
    windows = [spoken[at : at + WINDOW] for at in range(0, len(spoken), WINDOW)]
    coming = iter(windows)
    waits: list[float] = []
    reads: list[int] = []

    def time_passes(seconds: float) -> None:
        waits.append(seconds)
        window = next(coming, b"")
        for byte in window:  # a UART gives them one by one
            pty.write(bytes([byte]))
        wait_until(lambda: pty.waiting == len(window))

    read = os.read

    def counted(number: int, size: int) -> bytes:
        data = read(number, size)
        reads.append(len(data))
        return data

    line = SerialLine("bms", pty.device, wait=time_passes)
    line.open()
    monkeypatch.setattr(os, "read", counted)
    chunks = [line.read() for _ in windows]
    assert line.read() == b""
    line.close()

    assert chunks == windows
    assert reads == [len(window) for window in windows]
    assert WINDOW == 230  # bytes a read at 115200 baud
    assert waits == [COALESCE_S] * (len(windows) + 1)


def test_a_line_at_full_rate_comes_in_few_chunks_and_whole(pty: Pty) -> None:
    spoken = os.urandom(115200 // 10)  # one second
    with Listener(pty.device) as listener:
        listener.wait_for_change(LinkUp)
        play(pty, spoken)
        wait_until(lambda: len(listener.data) == len(spoken))
    assert listener.data == spoken
    chunks = [item.data for item in listener.items if isinstance(item, Received)]
    # Ideally 50 of 230 bytes; a quarter of that size leaves room for a busy computer.
    assert len(spoken) / len(chunks) > WINDOW / 4


def test_a_chunk_carries_the_time_at_the_end_of_its_read(pty: Pty) -> None:
    inbox = Inbox()
    written = threading.Event()

    def clock() -> float:
        return 2.0 if written.is_set() else 1.0

    reader = LineReader("esc", pty.device, 115200, inbox, clock=clock)
    reader.start()
    up = inbox.get(timeout=20)
    written.set()
    pty.write(b"\x55\xaa")
    received = inbox.get(timeout=20)
    reader.stop()
    assert up == LinkUp("esc", 1.0, pty.device)
    assert received == Received("esc", 2.0, b"\x55\xaa")


def test_bytes_from_before_the_opening_are_not_read(pty: Pty) -> None:
    pty.write(b"stale")
    wait_until(lambda: pty.waiting == 5)
    line = opened(pty.device)
    pty.write(b"fresh")
    wait_until(lambda: pty.waiting == 5)
    assert line.read() == b"fresh"
    line.close()


def test_a_line_is_raw_no_byte_is_changed_or_taken_as_a_command(pty: Pty) -> None:
    line = opened(pty.device)
    every_byte = bytes(range(256))
    pty.write(every_byte)
    wait_until(lambda: pty.waiting == 256)
    assert line.read() == every_byte
    line.close()


def test_reading_a_line_that_is_not_open_is_an_error(pty: Pty) -> None:
    line = SerialLine("bms", pty.device)
    states = []
    for step in (line.open, line.open, line.close, line.close):  # twice does no harm
        step()
        states.append(line.is_open)
    assert states == [True, True, False, False]
    with pytest.raises(LinkError, match="is not open"):
        line.read()


def test_an_unplugged_line_says_so(pty: Pty) -> None:
    line = opened(pty.device)
    pty.unplug()
    with pytest.raises(LinkError, match=f"bms: {pty.device} is gone: adapter unplugged"):
        line.read()
    line.close()


# Sending: guarantee 2.


@pytest.mark.parametrize("request_bytes", READS, ids=["xiaomi", "ninebot", "second pack"])
def test_a_bench_sends_a_read_request_as_it_is(pty: Pty, request_bytes: bytes) -> None:
    line = opened(pty.device, transmit=True)
    line.send(request_bytes)
    wait_until(lambda: pty.was_told)
    assert pty.read() == request_bytes
    line.close()


@pytest.mark.parametrize("request_bytes", READS, ids=["xiaomi", "ninebot", "second pack"])
def test_a_listening_line_sends_nothing_at_all(pty: Pty, request_bytes: bytes) -> None:
    line = opened(pty.device)
    with pytest.raises(LinkError, match="this line only listens"):
        line.send(request_bytes)
    assert pty.read() == b""
    line.close()


def frame(dialect: Dialect, command: int, payload: bytes, target: int = 0x22) -> bytes:
    source = 0x3D if dialect is Dialect.NINEBOT else None
    return encode(Frame(dialect, source, target, command, 0x30, payload))


REFUSED = {
    "nothing": b"",
    "a write": frame(Dialect.XIAOMI, 0x03, b"\x00\x01"),
    "a quiet write": frame(Dialect.NINEBOT, 0x02, b"\x00\x01"),
    "a firmware command": frame(Dialect.NINEBOT, 0x07, b"\x00\x00\x00\x00"),
    "a heartbeat": frame(Dialect.NINEBOT, 0x5A, b""),
    "a read of the controller": frame(Dialect.NINEBOT, 0x01, b"\x02", target=0x20),
    "a read of an odd size": frame(Dialect.XIAOMI, 0x01, b"\x03"),
    "a read of too much": frame(Dialect.XIAOMI, 0x01, b"\x42"),
    "a read with two sizes": frame(Dialect.XIAOMI, 0x01, b"\x02\x02"),
    "two reads": READS[0] * 2,
    "a read and a byte": READS[0] + b"\x00",
    "a byte and a read": b"\x00" + READS[0],
    "half a read": READS[0][:-1],
    "a read with a wrong checksum": READS[0][:-1] + bytes([READS[0][-1] ^ 1]),
    "a read and a write": READS[0] + frame(Dialect.XIAOMI, 0x03, b"\x00\x01"),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_a_bench_refuses_everything_but_a_read_of_a_battery(pty: Pty, data: bytes) -> None:
    line = opened(pty.device, transmit=True)
    with pytest.raises(LinkError, match=r"refused to send .* and no other bytes"):
        line.send(data)
    assert pty.read() == b""
    line.close()


@settings(deadline=None)
@given(st.data())
def test_no_bytes_near_a_read_request_reach_the_port(data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from(READS)))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    line = SerialLine("bms", "loop://", transmit=True)
    port = serial.serial_for_url("loop://", timeout=0)
    line._serial = port
    try:
        line.send(bytes(changed))
    except LinkError:
        assert port.read(64) == b""
    else:
        assert is_read_request(bytes(changed))
    finally:
        line.close()


def test_what_was_checked_is_what_is_sent(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(READS[0])

    def check_and_change(checked: bytes) -> bool:
        fine = is_read_request(checked)
        data[:] = REFUSED["a write"]
        return fine

    monkeypatch.setattr("packtap.link.line.is_read_request", check_and_change)
    line = opened(pty.device, transmit=True)
    line.send(data)  # type: ignore[arg-type]  # a caller without a type checker
    wait_until(lambda: pty.was_told)
    assert pty.read() == READS[0]
    line.close()


def test_sending_on_an_unplugged_line_is_a_link_error(pty: Pty) -> None:
    line = opened(pty.device, transmit=True)
    pty.unplug()
    with pytest.raises(LinkError, match="is gone"):
        line.send(READS[0])
    line.close()


def test_a_port_that_takes_no_bytes_is_given_up(pty: Pty) -> None:
    line = opened(pty.device, transmit=True)
    with pytest.raises(LinkError, match="takes no bytes"):
        for _ in range(100_000):  # nobody reads the master: its buffer fills up
            line.send(READS[0])
    line.close()


# Why a port cannot be opened, in plain words.


def test_an_absent_port_names_those_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packtap.link.line.list_ports", lambda: ["/dev/serial/by-id/usb-x"])
    assert failure("/dev/ttyUSB77") == (
        "bms: there is no /dev/ttyUSB77. Plug the adapter in, or use one that is here: "
        "/dev/serial/by-id/usb-x"
    )


def test_an_absent_port_on_a_machine_without_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packtap.link.line.list_ports", list)
    assert failure("/dev/serial/by-id/usb-x").endswith(
        "No serial port is here at all: is the adapter plugged in?"
    )


def test_a_busy_port_says_who_may_hold_it_and_comes_back(pty: Pty) -> None:
    first = opened(pty.device)
    words = failure(pty.device)
    assert words.startswith(f"bms: {pty.device} is in use")
    for suspect in ("another packtap agent", "ModemManager", "serial console", "fuser"):
        assert suspect in words
    first.close()
    opened(pty.device).close()


def test_a_busy_port_names_the_program_that_holds_it(pty: Pty) -> None:
    hold = (
        "import serial, sys\n"
        "port = serial.Serial(sys.argv[1], exclusive=True)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, pty.device], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        words = failure(pty.device)
        holder.communicate()
    assert f"(pid {holder.pid})" in words


def test_a_forbidden_port_names_its_group(pty: Pty) -> None:
    Path(pty.device).chmod(0)
    with ordinary_user():
        words = failure(pty.device)
    group = grp.getgrgid(Path(pty.device).stat().st_gid).gr_name
    assert f"{pty.device} is there, but this user may not open it" in words
    assert f"sudo usermod -aG {group} $USER" in words


def test_a_file_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "capture.txt").write_text("(0.0) bms 55AA\n")
    assert "is not a serial port but a file" in failure(str(tmp_path / "capture.txt"))
    assert (tmp_path / "capture.txt").read_text() == "(0.0) bms 55AA\n"


def test_a_folder_is_no_port(tmp_path: Path) -> None:
    assert "is not a serial port but a folder" in failure(str(tmp_path))


def test_a_device_of_another_kind_is_no_port() -> None:
    assert "/dev/null is not a serial port. " in failure("/dev/null")


def test_a_rate_that_no_port_has_is_refused(pty: Pty) -> None:
    assert failure(pty.device, 2**31) == (
        f"bms: {pty.device} cannot run at 2147483648 baud: every stock scooter has 115200"
    )


def test_a_refused_port_is_given_back(pty: Pty) -> None:
    failure(pty.device, 2**31)
    opened(pty.device).close()


@pytest.mark.parametrize("port", ["spy:///dev/null?file=/x", "loop://", "socket://host", "alt://x"])
def test_other_urls_of_pyserial_are_refused(port: str) -> None:
    assert "is not the name of a serial port" in failure(port)


def test_a_tap_where_nothing_listens_is_told_from_a_host_that_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    words = failure(f"socket://127.0.0.1:{number}")
    assert f"127.0.0.1 is there, but nothing listens on its port {number}" in words


def with_cause(error: Exception, cause: Exception) -> Exception:
    """Return the error as pyserial raises it: the system's own is its context."""
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "port", "words"),
    [
        (socket.gaierror(-2, "x"), "socket://tap:5", "the name tap is not known"),
        (TimeoutError("timed out"), "socket://tap:5", "tap does not answer"),
        (OSError(113, "No route to host"), "rfc2217://tap:5", "tap does not answer"),
        (OSError(101, "Network is unreachable"), "socket://tap:5", "tap does not answer"),
        (OSError(99, "odd"), "socket://tap:5", "cannot be reached: Could not open"),
        (OSError(5, "Input/output error"), "/dev/ttyS3", "a name without hardware"),
        (OSError(16, "Device or resource busy"), "/dev/ttyS3", "is in use by another program"),
        (OSError(24, "Too many open files"), "/dev/ttyS3", "cannot be opened: Could not open"),
    ],
)
def test_the_cause_that_pyserial_hides_is_found(error: Exception, port: str, words: str) -> None:
    hidden = with_cause(serial.SerialException("Could not open port"), error)
    assert words in explain(hidden, port, 115200, list)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("could not open port 'COM9': FileNotFoundError(2, '...', None, 2)", "there is no COM9"),
        ("could not open port 'COM9': PermissionError(13, '...', None, 5)", "COM9 is in use"),
    ],
)
def test_windows_words_are_understood(text: str, words: str) -> None:
    assert words in explain(serial.SerialException(text), "COM9", 115200, list)


def test_a_server_that_speaks_no_rfc_2217_is_named() -> None:
    error = serial.SerialException("Remote does not seem to support RFC2217 or BINARY mode []")
    words = explain(error, "rfc2217://tap:5", 115200, list)
    assert words.endswith("does not speak RFC 2217; a raw tap is socket://")


def test_a_lost_network_tap_is_not_called_an_adapter() -> None:
    assert "the other end closed" in explain_loss(OSError(), "socket://tap:5")


def test_programs_that_share_a_port_without_a_lock_are_seen(tmp_path: Path) -> None:
    device = tmp_path / "ttyS0"
    device.touch()
    hold = "import sys; file = open(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(device)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        (user,) = other_users(str(device))
        holder.communicate()
    assert user.endswith(f"(pid {holder.pid})")


def test_the_far_end_of_a_pseudo_terminal_is_no_rival(pty: Pty) -> None:
    assert other_users(pty.device) == []


def test_the_lasting_names_of_ports_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Found:
        def __init__(self, device: str) -> None:
            self.device = device

    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (tmp_path / "ttyUSB0").touch()
    (by_id / "usb-x").symlink_to(tmp_path / "ttyUSB0")
    monkeypatch.setattr("packtap.link.line._BY_ID", by_id)
    monkeypatch.setattr(
        "serial.tools.list_ports.comports",
        lambda: [Found("/dev/ttyS0"), Found(str(tmp_path / "ttyUSB0"))],
    )
    assert list_ports() == [str(by_id / "usb-x"), "/dev/ttyS0"]


# The reader: unplug, plug in, stop.


@pytest.mark.usefixtures("quick")
def test_an_adapter_that_returns_under_another_number_is_found_by_its_name(
    adapter: Adapter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "packtap.link")
    first = adapter.plug()
    with Listener(str(adapter.link)) as listener:
        up = listener.wait_for_change(LinkUp)
        assert isinstance(up, LinkUp)
        assert up.port == f"{adapter.link} ({first.device})"
        first.write(b"before")
        wait_until(lambda: listener.data == b"before")

        adapter.unplug()
        down = listener.wait_for_change(LinkDown)
        assert isinstance(down, LinkDown)
        assert str(adapter.link) in down.reason

        holding_the_number = Pty()
        second = adapter.plug()
        assert second.device != first.device
        up = listener.wait_for_change(LinkUp)
        assert isinstance(up, LinkUp)
        assert up.port == f"{adapter.link} ({second.device})"
        second.write(b" after")
        wait_until(lambda: listener.data == b"before after")
        holding_the_number.unplug()
    kinds = [type(change) for change in listener.changes]
    assert kinds[0] is LinkUp
    assert kinds[-1] is LinkUp
    assert set(kinds[1:-1]) == {LinkDown}
    # One line a change, each as told in the inbox, however often it was tried.
    assert len(caplog.records) == len(kinds)
    assert len({change.reason for change in listener.changes if isinstance(change, LinkDown)}) == (
        len(kinds) - 2
    )


def test_an_absent_port_is_tried_with_growing_patience_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(threading.Event):
        """Counts the waits and lets none of them last."""

        def __init__(self) -> None:
            super().__init__()
            self.waits: list[float] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.waits.append(timeout or 0.0)
            if len(self.waits) == 7:
                self.set()
            return self.is_set()

    stopping = Impatient()
    monkeypatch.setattr("packtap.link.reader.threading.Event", lambda: stopping)
    listener = Listener(str(tmp_path / "ttyUSB0"))
    listener.reader.run()
    assert stopping.waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    (down,) = listener.changes
    assert isinstance(down, LinkDown)
    assert [record.getMessage() for record in caplog.records] == [down.reason]


@pytest.mark.usefixtures("quick")
def test_a_reason_that_changes_is_told_again(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    with Listener(str(port)) as listener:
        listener.wait_for_change(LinkDown)
        port.mkdir()
        wait_until(lambda: len(listener.changes) == 2)
    first, second = listener.changes
    assert isinstance(first, LinkDown)
    assert isinstance(second, LinkDown)
    assert "there is no" in first.reason
    assert "but a folder" in second.reason


@pytest.mark.usefixtures("quick")
def test_a_port_that_was_busy_is_taken_once_it_is_free(pty: Pty) -> None:
    other = opened(pty.device)
    with Listener(pty.device) as listener:
        down = listener.wait_for_change(LinkDown)
        assert isinstance(down, LinkDown)
        assert "is in use" in down.reason
        other.close()
        listener.wait_for_change(LinkUp)


def test_a_port_that_another_program_reads_too_is_warned_of(
    pty: Pty, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packtap.link.line.other_users", lambda _: ["agetty (pid 412)"])
    with Listener(pty.device) as listener:
        listener.wait_for_change(LinkUp)
        wait_until(lambda: caplog.records)
    assert "is also open in agetty (pid 412), which takes bytes away" in caplog.text


def test_a_stopped_reader_gives_the_port_back(pty: Pty) -> None:
    with Listener(pty.device) as listener:
        listener.wait_for_change(LinkUp)
    opened(pty.device).close()
    listener.reader.stop()  # again does nothing


def test_a_reader_that_waits_for_its_adapter_stops_at_once(tmp_path: Path) -> None:
    with Listener(str(tmp_path / "ttyUSB0")) as listener:
        listener.wait_for_change(LinkDown)


def test_a_reader_that_was_never_started_can_be_stopped(pty: Pty) -> None:
    LineReader("bms", pty.device, 115200, Inbox(), clock=lambda: 0.0).stop()


def test_a_reader_sends_read_requests_on_a_bench(pty: Pty) -> None:
    with Listener(pty.device, transmit=True) as listener:
        listener.wait_for_change(LinkUp)
        listener.reader.send(READS[0])
        wait_until(lambda: pty.was_told)
        assert pty.read() == READS[0]
        with pytest.raises(LinkError, match="refused"):
            listener.reader.send(REFUSED["a write"])


def test_a_reader_whose_line_is_down_refuses_to_send(tmp_path: Path) -> None:
    with Listener(str(tmp_path / "ttyUSB0"), transmit=True) as listener:
        listener.wait_for_change(LinkDown)
        with pytest.raises(LinkError, match="is not open"):
            listener.reader.send(READS[0])


def test_a_listening_reader_sends_nothing(pty: Pty) -> None:
    with Listener(pty.device) as listener:
        listener.wait_for_change(LinkUp)
        with pytest.raises(LinkError, match="only listens"):
            listener.reader.send(READS[0])
        assert pty.read() == b""


# Network taps.


@pytest.mark.usefixtures("quick")
def test_a_raw_tcp_tap_is_read_and_opened_again_when_it_closes() -> None:
    with tcp_tap() as server:
        port = f"socket://127.0.0.1:{server.getsockname()[1]}"
        with Listener(port) as listener:
            far, _ = server.accept()
            with far:
                up = listener.wait_for_change(LinkUp)
                assert isinstance(up, LinkUp)
                assert up.port == port
                far.sendall(bytes(range(256)))
                wait_until(lambda: listener.data == bytes(range(256)))
            wait_until(lambda: len(listener.changes) >= 2)
            far, _ = server.accept()
            with far:
                listener.wait_for_change(LinkUp)
                far.sendall(b"again")
                wait_until(lambda: listener.data.endswith(b"again"))
    up, down, again = listener.changes[:3]
    assert (type(up), type(down), type(again)) == (LinkUp, LinkDown, LinkUp)
    assert isinstance(down, LinkDown)
    assert "the other end closed" in down.reason


def test_a_raw_tcp_tap_comes_in_chunks() -> None:
    with tcp_tap() as server:
        line = opened(f"socket://127.0.0.1:{server.getsockname()[1]}")
        far, _ = server.accept()
        with far:
            far.sendall(b"\x55" * 500)
            chunks: list[bytes] = []
            while sum(map(len, chunks)) < 500:
                chunks += filter(None, [line.read()])
            assert len(chunks) <= 2
        line.close()


def test_a_raw_tcp_tap_takes_read_requests_on_a_bench() -> None:
    with tcp_tap() as server:
        line = opened(f"socket://127.0.0.1:{server.getsockname()[1]}", transmit=True)
        far, _ = server.accept()
        with far:
            line.send(READS[1])
            far.settimeout(20)
            assert far.recv(64) == READS[1]
        line.close()


def test_a_tap_without_power_is_noticed_by_the_system() -> None:
    with tcp_tap() as server:
        line = opened(f"socket://127.0.0.1:{server.getsockname()[1]}")
        far, _ = server.accept()
        connection = getattr(line._serial, "_socket")  # noqa: B009 - pyserial has no name for it
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        far.close()
        line.close()


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")
@pytest.mark.usefixtures("quick")
def test_an_rfc_2217_tap_is_set_to_the_rate_and_read(rfc2217: Rfc2217Tap) -> None:
    with Listener(f"rfc2217://127.0.0.1:{rfc2217.number}", transmit=True) as listener:
        listener.wait_for_change(LinkUp)
        assert rfc2217.port.baudrate == 115200
        rfc2217.say(bytes(range(256)))
        wait_until(lambda: listener.data == bytes(range(256)))
        listener.reader.send(READS[0])  # the far port loops back what it is told
        wait_until(lambda: listener.data.endswith(READS[0]))
        rfc2217.stop()
        down = listener.wait_for_change(LinkDown)
    assert isinstance(down, LinkDown)


# The inbox.


def received(number: int, line: str = "bms") -> Received:
    return Received(line, float(number), bytes([number]) * number)


def drained(inbox: Inbox) -> list[LinkItem]:
    return [inbox.get_nowait() for _ in range(inbox.qsize())]


def test_a_full_inbox_drops_the_oldest_bytes_and_counts_them() -> None:
    inbox = Inbox(limit=3)
    for number in range(1, 6):
        inbox.put(received(number))
    assert drained(inbox) == [received(3), received(4), received(5)]
    assert dict(inbox.dropped) == {"bms": 1 + 2}


def test_a_full_inbox_keeps_changes_of_state() -> None:
    inbox = Inbox(limit=3)
    up, down = LinkUp("bms", 0.0, "p"), LinkDown("bms", 9.0, "gone")
    for item in (up, received(1), received(2, "esc"), received(3), down):
        inbox.put(item)
    assert drained(inbox) == [up, received(3), down]
    assert dict(inbox.dropped) == {"bms": 1, "esc": 2}


def test_an_inbox_full_of_changes_drops_the_oldest() -> None:
    inbox = Inbox(limit=2)
    changes = [LinkDown("bms", float(number), "gone") for number in range(4)]
    for change in changes:
        inbox.put(change)
    assert drained(inbox) == changes[2:]
    assert dict(inbox.dropped) == {}


def test_an_inbox_that_is_emptied_drops_nothing() -> None:
    inbox = Inbox(limit=1)
    for number in range(1, 100):
        inbox.put(received(number))
        assert inbox.get_nowait() == received(number)
    assert dict(inbox.dropped) == {}


def test_a_stuck_consumer_does_not_stop_the_reader(pty: Pty) -> None:
    inbox = Inbox(limit=2)
    reader = LineReader("bms", pty.device, 115200, inbox, clock=lambda: 0.0)
    reader.start()
    wait_until(lambda: inbox.qsize() == 1)  # LinkUp
    for number in range(1, 6):
        pty.write(bytes([number]))
        wait_until(partial(_has_taken, inbox, 1 + number))
    reader.stop()
    assert not reader.is_alive()
    up, last = drained(inbox)
    assert isinstance(up, LinkUp)
    assert last == Received("bms", 0.0, b"\x05")
    assert dict(inbox.dropped) == {"bms": 4}


def _has_taken(inbox: Inbox, items: int) -> bool:
    return sum(inbox.dropped.values()) + inbox.qsize() == items  # each byte was one item


# Other systems.

POSIX_ONLY = {"termios", "fcntl", "pty", "tty", "grp", "pwd", "resource"}


def test_the_link_is_imported_without_modules_of_one_system() -> None:
    script = (
        "import sys, types\n"
        f"for name in {sorted(POSIX_ONLY)}: sys.modules[name] = None\n"
        "serial = types.ModuleType('serial')\n"
        "serial.Serial, serial.SerialException = object, OSError\n"
        "sys.modules['serial'] = serial\n"
        "import packtap.link\n"
        "print(packtap.link.SerialLine('bms', 'COM3').is_open)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_no_module_of_the_link_imports_a_posix_module_at_its_top() -> None:
    folder = Path(packtap.link.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                assert not {name.name for name in node.names} & POSIX_ONLY, path
            elif isinstance(node, ast.ImportFrom):
                assert node.module not in POSIX_ONLY, path
