"""What the doctor finds on the machine: ports, the Pi's own UART, clock, disk, buffer, dates."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.drafts import padded, readings
from packtap.certificates import parse_certificate, read_certificate
from packtap.clock import Clock
from packtap.config import StoreConfig
from packtap.doctor import Check, Outcome, only_port, port_words
from packtap.doctor.host import buffer_check, clock_check, room_check
from packtap.doctor.raspberry import RASPBERRY_CHECKS, raspberry_checks
from packtap.link import FoundPort, PortKind
from packtap.link.ports import found_port
from packtap.store import Store

# Ports.


class Info:
    """What pyserial says of a port."""

    def __init__(self, device: str, vid: int | None = None, product: str | None = None) -> None:
        self.device = device
        self.vid = vid
        self.pid: int | None = None
        self.manufacturer: str | None = None
        self.product = product


@pytest.mark.parametrize(
    ("name", "info", "kind", "words"),
    [
        ("/dev/ttyUSB0", Info("/dev/ttyUSB0", 0x0403), PortKind.USB, "3.3 V type"),
        ("/dev/ttyUSB1", Info("/dev/ttyUSB1", 0x1A86), PortKind.USB, "jumper is at 3.3 V"),
        ("/dev/ttyACM0", Info("/dev/ttyACM0", 0x9999, "Thing"), PortKind.USB, "Thing"),
        ("COM7", Info("COM7", 0x10C4), PortKind.USB, "CP210x"),
        ("/dev/ttyUSB9", None, PortKind.USB, "USB adapter"),
        ("/dev/ttyAMA0", Info("/dev/ttyAMA0"), PortKind.BOARD, "PL011"),
        ("/dev/ttyAMA10", None, PortKind.BOARD, "debug connector"),
        ("/dev/ttyS0", Info("/dev/ttyS0"), PortKind.BOARD, "mini UART"),
        ("/dev/pts/999", None, PortKind.TERMINAL, "emulation"),
        ("socket://tap:4000", None, PortKind.NETWORK, "network tap"),
        ("COM1", None, PortKind.UNKNOWN, "serial port"),
    ],
)
def test_a_port_is_said_to_be_what_it_is(
    name: str, info: Info | None, kind: PortKind, words: str
) -> None:
    port = found_port(name, info)
    assert port.kind is kind
    assert words in port.words


def test_a_by_id_name_is_shown_with_the_device_behind_it(tmp_path: Path) -> None:
    link = tmp_path / "usb-FTDI-if00"
    link.symlink_to("/dev/ttyUSB7")
    port = found_port(str(link), Info("/dev/ttyUSB7", 0x0403))
    assert port.device == "/dev/ttyUSB7"
    (line,) = port_words([port])
    assert str(link) in line
    assert "/dev/ttyUSB7" in line


USB = FoundPort("/dev/ttyUSB0", "/dev/ttyUSB0", PortKind.USB, "adapter")
OTHER_USB = FoundPort("/dev/ttyUSB1", "/dev/ttyUSB1", PortKind.USB, "adapter")
BOARD = FoundPort("/dev/ttyAMA0", "/dev/ttyAMA0", PortKind.BOARD, "UART")


@pytest.mark.parametrize(
    ("ports", "meant"),
    [
        ([], None),
        ([USB], USB),
        ([BOARD], BOARD),
        ([BOARD, USB], USB),
        ([USB, OTHER_USB], None),
        ([BOARD, BOARD], None),
    ],
    ids=["none", "adapter", "board", "adapter beside board", "two adapters", "two of the board"],
)
def test_of_several_ports_none_is_guessed(ports: list[FoundPort], meant: FoundPort | None) -> None:
    assert only_port(ports) is meant


# The Pi's own UART.

CONSOLE = "console=serial0,115200 console=tty1 root=PARTUUID=x rootwait"
NO_CONSOLE = "console=tty1 root=PARTUUID=x rootwait"
PI4 = "Raspberry Pi 4 Model B Rev 1.4"
PI5 = "Raspberry Pi 5 Model B Rev 1.0"
ZERO2 = "Raspberry Pi Zero 2 W Rev 1.0"
PI3 = "Raspberry Pi 3 Model B Plus Rev 1.3"


def pi(
    root: Path,
    model: str,
    config: str | None,
    cmdline: str | None = NO_CONSOLE,
    *,
    running: str | None = None,
    serial0: str | None = None,
    folder: str = "boot/firmware",
) -> Path:
    """Lay out the files of a Pi below a root."""
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/device-tree/model").write_bytes(model.encode() + b"\0")
    (root / folder).mkdir(parents=True)
    (root / "dev").mkdir()
    if config is not None:
        (root / folder / "config.txt").write_text(config)
    if cmdline is not None:
        (root / folder / "cmdline.txt").write_text(cmdline)
    (root / "proc/cmdline").write_text(running if running is not None else cmdline or "")
    if serial0 is not None:
        (root / "dev/serial0").symlink_to(serial0)
    return root


def uart(device: str) -> FoundPort:
    return FoundPort(f"/dev/{device}", f"/dev/{device}", PortKind.BOARD, "UART")


def outcomes(root: Path, device: str | None) -> dict[str, Check]:
    found = raspberry_checks(uart(device) if device is not None else None, root)
    assert tuple(check.name for check in found) == RASPBERRY_CHECKS
    return {check.name: check for check in found}


PASS, FAIL, NOT_TRIED = Outcome.PASS, Outcome.FAIL, Outcome.NOT_TRIED


@pytest.mark.parametrize(
    ("model", "config", "cmdline", "device", "expected"),
    [
        (PI4, "enable_uart=1\ndtoverlay=disable-bt\n", NO_CONSOLE, "ttyAMA0", (PASS, PASS, PASS)),
        (PI4, "dtoverlay=disable-bt\n", NO_CONSOLE, "ttyAMA0", (PASS, PASS, PASS)),
        (PI4, "enable_uart=1\ndtoverlay=miniuart-bt", NO_CONSOLE, "ttyAMA0", (PASS, PASS, PASS)),
        (PI4, "enable_uart=1\n", NO_CONSOLE, "ttyS0", (PASS, PASS, PASS)),
        (PI4, "enable_uart=1\n", NO_CONSOLE, "ttyAMA0", (PASS, PASS, FAIL)),
        (PI4, "", NO_CONSOLE, "ttyS0", (PASS, FAIL, FAIL)),
        (PI4, "enable_uart=0\ndtoverlay=disable-bt", NO_CONSOLE, "ttyAMA0", (PASS, FAIL, PASS)),
        (PI4, "enable_uart=1\ndtoverlay=disable-bt", CONSOLE, "ttyAMA0", (FAIL, PASS, PASS)),
        (PI4, "# enable_uart=1\n", NO_CONSOLE, "ttyS0", (PASS, FAIL, FAIL)),
        (PI4, "dtoverlay=uart2\n", NO_CONSOLE, "ttyAMA1", (PASS, PASS, PASS)),
        (PI4, "[pi5]\nenable_uart=1\n", NO_CONSOLE, "ttyS0", (PASS, FAIL, FAIL)),
        (PI4, "[pi5]\nx=1\n[all]\nenable_uart=1", NO_CONSOLE, "ttyS0", (PASS, PASS, PASS)),
        (PI4, "[pi4]\nenable_uart=1\n", NO_CONSOLE, "ttyS0", (PASS, PASS, PASS)),
        (PI3, "enable_uart=1\ndtoverlay=pi3-disable-bt", NO_CONSOLE, "ttyAMA0", (PASS, PASS, PASS)),
        (ZERO2, "", NO_CONSOLE, "ttyS0", (PASS, FAIL, FAIL)),
        (ZERO2, "[pi0]\nenable_uart=1\n", NO_CONSOLE, "ttyS0", (PASS, PASS, PASS)),
        ("Raspberry Pi Zero Rev 1.3", "", NO_CONSOLE, "ttyAMA0", (PASS, PASS, PASS)),
        ("Raspberry Pi 2 Model B Rev 1.1", "", CONSOLE, "ttyAMA0", (FAIL, PASS, PASS)),
        (PI5, "dtoverlay=uart0-pi5\n", NO_CONSOLE, "ttyAMA0", (PASS, PASS, PASS)),
        (PI5, "dtparam=uart0=on\n", NO_CONSOLE, "ttyAMA0", (PASS, PASS, PASS)),
        (PI5, "dtparam=i2c_arm=on,uart0\n", NO_CONSOLE, "ttyAMA0", (PASS, PASS, PASS)),
        (PI5, "", NO_CONSOLE, "ttyAMA0", (PASS, FAIL, PASS)),
        (PI5, "dtoverlay=uart0-pi5\n", NO_CONSOLE, "ttyAMA10", (PASS, FAIL, PASS)),
        (PI5, "enable_uart=1\n", NO_CONSOLE, "ttyAMA0", (PASS, PASS, PASS)),
    ],
)
def test_who_owns_the_uart_of_a_pi(
    tmp_path: Path,
    model: str,
    config: str,
    cmdline: str,
    device: str,
    expected: tuple[Outcome, Outcome, Outcome],
) -> None:
    found = outcomes(pi(tmp_path, model, config, cmdline, serial0=device), device)
    assert tuple(check.outcome for check in found.values()) == expected
    for check in found.values():
        assert check.seen
        assert bool(check.next) == (check.outcome is FAIL)


def test_a_console_on_another_uart_takes_nothing_away(tmp_path: Path) -> None:
    root = pi(tmp_path, PI5, "dtoverlay=uart0-pi5", CONSOLE, serial0="ttyAMA10")
    assert outcomes(root, "ttyAMA0")["serial console"].outcome is PASS
    assert outcomes(root, "ttyAMA10")["serial console"].outcome is FAIL


def test_a_console_that_the_next_start_brings_is_said_to_be_so(tmp_path: Path) -> None:
    root = pi(tmp_path, PI4, "enable_uart=1", CONSOLE, running=NO_CONSOLE, serial0="ttyS0")
    assert "next start" in outcomes(root, "ttyS0")["serial console"].seen


def test_a_console_that_runs_until_the_next_start_is_said_to_be_so(tmp_path: Path) -> None:
    # The firmware writes the real name for serial0 into the kernel's command line.
    running = "console=ttyS0,115200 console=tty1"
    root = pi(tmp_path, PI4, "enable_uart=1", NO_CONSOLE, running=running, serial0="ttyS0")
    assert "now" in outcomes(root, "ttyS0")["serial console"].seen


def test_without_any_port_a_uart_that_is_off_is_found(tmp_path: Path) -> None:
    root = pi(tmp_path, PI4, "", CONSOLE)
    found = outcomes(root, None)
    assert [check.outcome for check in found.values()] == [FAIL, FAIL, FAIL]


def test_the_old_place_of_the_boot_files_is_read_too(tmp_path: Path) -> None:
    root = pi(tmp_path, PI4, "enable_uart=1", NO_CONSOLE, serial0="ttyS0", folder="boot")
    assert outcomes(root, "ttyS0")["UART switched on"].outcome is PASS


def test_boot_files_that_cannot_be_read_are_not_called_fine(tmp_path: Path) -> None:
    root = pi(tmp_path, PI4, None, None, running="")
    (root / "proc/cmdline").unlink()
    found = outcomes(root, "ttyS0")
    assert [check.outcome for check in found.values()] == [NOT_TRIED] * 3


@pytest.mark.parametrize("port", [USB, None, uart("ttyS0")])
def test_on_another_machine_or_with_an_adapter_nothing_is_claimed(
    tmp_path: Path, port: FoundPort | None
) -> None:
    found = raspberry_checks(port, tmp_path)
    assert [check.outcome for check in found] == [NOT_TRIED] * 3


def test_an_adapter_on_a_pi_has_nothing_to_do_with_its_uart(tmp_path: Path) -> None:
    found = raspberry_checks(USB, pi(tmp_path, PI4, "", CONSOLE))
    assert {check.outcome for check in found} == {NOT_TRIED}


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_no_boot_file_raises(tmp_path_factory: pytest.TempPathFactory, a: bytes, b: bytes) -> None:
    root = pi(tmp_path_factory.mktemp("pi"), PI4, None, None)
    (root / "boot/firmware/config.txt").write_bytes(a)
    (root / "boot/firmware/cmdline.txt").write_bytes(b)
    assert len(outcomes(root, "ttyS0")) == 3


# Clock, disk, buffer.

NOW_MS = 1_790_000_000_000


def a_clock(*, synchronised: bool) -> Clock:
    return Clock(
        "auto", boot_ms=lambda: 1000, utc_ms=lambda: NOW_MS, synchronised=lambda: synchronised
    )


def test_a_clock_that_is_known_is_shown() -> None:
    check = clock_check(a_clock(synchronised=True), "auto")
    assert (check.outcome, "2026-09-21" in check.seen) == (PASS, True)


def test_a_clock_that_is_not_known_is_a_fault() -> None:
    check = clock_check(a_clock(synchronised=False), "auto")
    assert check.outcome is FAIL
    assert "undated" in check.means


def test_a_store_that_fits_the_disk_is_fine(tmp_path: Path) -> None:
    check = room_check(tmp_path / "not/yet/packtap.db", 16_000_000, "store.max_mb")
    assert check.outcome is PASS
    assert "16 MB" in check.seen


def test_a_store_that_may_outgrow_its_disk_is_a_fault(tmp_path: Path) -> None:
    check = room_check(tmp_path / "packtap.db", 10**18, "store.max_mb")
    assert check.outcome is FAIL
    assert "store.max_mb" in check.next


def buffer_of(path: Path, *, max_mb: int = 16) -> Check:
    return buffer_check(StoreConfig(path=path, max_mb=max_mb))


def test_hours_of_buffer_come_from_the_stores_own_pace(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, 16_000_000) as store:
        # One message of 10 kB every ten seconds: 3.6 MB an hour, so some four hours in 16 MB.
        store.commit([padded(n * 10_000, 10_000) for n in range(1, 100)])
    check = buffer_of(path)
    assert check.outcome is PASS
    hours = float(check.seen.split()[2])
    assert 2 <= hours <= 5
    assert "99 messages wait" in check.seen
    assert float(buffer_of(path, max_mb=160).seen.split()[2]) > 8 * hours


def test_a_store_that_holds_too_little_says_so(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, 16_000_000) as store:
        store.commit([readings(1), readings(2)])
    assert buffer_of(path).outcome is NOT_TRIED
    assert buffer_of(tmp_path / "absent.db").outcome is NOT_TRIED


def test_readings_that_were_dropped_are_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "packtap.db"
    with Store.open(path, 1_000_000) as store:
        for n in range(1, 200):
            store.commit([padded(n * 10_000, 10_000)])
    check = buffer_of(path)
    assert check.outcome is FAIL
    assert "dropped" in check.seen


# Certificates.


@given(st.binary(max_size=200))
def test_bytes_that_are_no_certificate_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        parse_certificate(data)


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nAAAA", "hello"])
def test_a_file_without_a_certificate_is_refused_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.crt"
    path.write_text(text)
    with pytest.raises(ValueError, match="certificate"):
        read_certificate(path)
