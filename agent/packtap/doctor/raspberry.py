"""Who owns the UART of a Raspberry Pi: the console, Bluetooth, or nobody, floor 4.

Reads the files of the system below a root, so that a test gives its own. Changes nothing.

Facts (Raspberry Pi documentation "Configuring UARTs" and its pull request 3294; the overlays'
README): up to the Pi 4 the header's pins 8 and 10 carry the *primary* UART. On models with
Bluetooth (3, 4, 400, Zero W, Zero 2 W) that is the mini UART, off unless `enable_uart=1`, which
also fixes the clock that its rate follows; the PL011 belongs to Bluetooth until `disable-bt` or
`miniuart-bt` gives it to the pins. On a Pi 5 `serial0` is the 3-pin debug connector; the pins are
UART0 (ttyAMA0), switched on by `uart0-pi5` or `dtparam=uart0=on`. That `enable_uart=1` does it on a
Pi 5 too depends on its boot firmware (seen from February 2025 on): single source.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packtap.doctor.findings import Check, failed, not_tried, passed
from packtap.link import FoundPort, PortKind

__all__ = ["RASPBERRY_CHECKS", "raspberry_checks", "untried_raspberry_checks"]

#: Names of the checks, in order.
RASPBERRY_CHECKS: Final = ("serial console", "UART switched on", "Bluetooth")

_CONFIG_FILES: Final = ("boot/firmware/config.txt", "boot/config.txt")
_CMDLINE_FILES: Final = ("boot/firmware/cmdline.txt", "boot/cmdline.txt")
_CONSOLE: Final = re.compile(r"(?:^|\s)console=(serial\d|ttyAMA\d+|ttyS\d+)\b")
_RASPI_CONFIG: Final = (
    "sudo raspi-config, Interface Options, Serial Port: login shell No, hardware Yes; reboot"
)
#: What the model says of itself -> names of its sections in config.txt, and whether it has
#: Bluetooth. First match.
_MODELS: Final = (
    (r"Pi (5|500)\b|Compute Module 5", "pi5", True),
    (r"Pi (4|400)\b|Compute Module 4", "pi4", True),
    (r"Pi 3\b|Compute Module 3", "pi3", True),
    (r"Pi Zero 2", "pi02", True),
    (r"Pi Zero W", "pi0w", True),
    (r"Pi Zero", "pi0", False),
    (r"Pi 2\b", "pi2", False),
    (r"Pi\b", "pi1", False),
)
#: Overlays that give the PL011 to the header's pins.
_FREEING: Final = frozenset({"disable-bt", "miniuart-bt", "pi3-disable-bt", "pi3-miniuart-bt"})
#: Sections of config.txt that are for everybody.
_FOR_ALL: Final = frozenset({"all"})
#: Sections of a Zero 2 W are those of a Pi 0 too, of a Zero W as well.
_WIDER: Final = {"pi02": frozenset({"pi0"}), "pi0w": frozenset({"pi0"})}


@dataclass(frozen=True, slots=True)
class _Board:
    """One Pi and what its boot files say."""

    model: str
    section: str
    has_bluetooth: bool
    config_name: str | None  #: None: no config.txt could be read
    settings: dict[str, str] = field(default_factory=dict)
    overlays: frozenset[str] = frozenset()
    console_now: str | None = None  #: device of the kernel's serial console
    console_next: str | None = None  #: the same after the next start
    cmdline_name: str | None = None
    serial0: str = ""  #: what /dev/serial0 is; "" if there is none


def raspberry_checks(port: FoundPort | None, root: Path = Path("/")) -> list[Check]:
    """Return the checks of the Pi's own UARTs.

    Args:
        port: the port that is used; None: none was found, which a UART that is off may explain.
        root: of the file system.
    """
    if port is not None and port.kind not in (PortKind.BOARD, PortKind.UNKNOWN):
        return untried_raspberry_checks(f"{port.name} is no UART of the board")
    board = _read_board(root)
    if board is None:
        return untried_raspberry_checks("this is no Raspberry Pi")
    device = port.device.rpartition("/")[2] if port is not None else None
    return [_console(board, device), _switched_on(board, device), _bluetooth(board, device)]


def untried_raspberry_checks(why: str) -> list[Check]:
    """Return all of them as not tried."""
    return [not_tried(name, why) for name in RASPBERRY_CHECKS]


def _console(board: _Board, device: str | None) -> Check:
    name = RASPBERRY_CHECKS[0]
    if board.cmdline_name is None and board.console_now is None:
        return not_tried(name, "cmdline.txt cannot be read")
    for console, when in ((board.console_now, "now"), (board.console_next, "at the next start")):
        if console is not None and device in (None, console):
            return failed(
                name,
                f"the Linux console is on {console} {when}",
                "The Pi prints its messages on this UART, answers what it hears there with a "
                "login, and takes bytes away from packtap.",
                f"{_RASPI_CONFIG}. (It removes console=... from "
                f"{board.cmdline_name or '/boot/firmware/cmdline.txt'}.)",
            )
    return passed(name, f"not on {device or 'a UART'}")


def _switched_on(board: _Board, device: str | None) -> Check:
    name = RASPBERRY_CHECKS[1]
    if board.config_name is None:
        return not_tried(name, "config.txt cannot be read")
    if board.section == "pi5":
        return _switched_on_pi5(board, device)
    if device is not None and re.fullmatch(r"ttyAMA[1-9]", device):
        return passed(name, f"{device} is there")  # uart2..uart5 of a Pi 4: it exists, so it is on
    uart = board.settings.get("enable_uart")
    if uart == "1":
        return passed(name, "enable_uart=1")
    is_pl011 = not board.has_bluetooth or bool(board.overlays & _FREEING)
    if uart is None and is_pl011:
        return passed(name, "the PL011 is on by itself")
    return failed(
        name,
        f"enable_uart is {uart or 'not set'} in {board.config_name}",
        "The UART of pins 8 and 10 is off, or its rate follows the changing clock of the Pi.",
        f"Add enable_uart=1 to {board.config_name} and reboot; best with dtoverlay=disable-bt.",
    )


def _switched_on_pi5(board: _Board, device: str | None) -> Check:
    name = RASPBERRY_CHECKS[1]
    if device == "ttyAMA10":
        return failed(
            name,
            "this port is ttyAMA10",
            "On a Pi 5 serial0 is the 3-pin debug connector, not pins 8 and 10.",
            f"Add dtoverlay=uart0-pi5 to {board.config_name}, reboot, and use /dev/ttyAMA0.",
        )
    has_overlay = any(re.fullmatch(r"uart\d-pi5", each) for each in board.overlays)
    has_parameter = board.settings.get("uart0") == "on" or "uart0_console" in board.settings
    if has_overlay or has_parameter:
        return passed(name, "a UART of the header is on")
    if board.settings.get("enable_uart") == "1":
        return passed(name, "enable_uart=1 (on a Pi 5 only newer boot firmware heeds it)")
    return failed(
        name,
        f"no UART of the header is on in {board.config_name}",
        "On a Pi 5 pins 8 and 10 are UART0, which is off by itself.",
        f"Add dtoverlay=uart0-pi5 to {board.config_name}, reboot, and use /dev/ttyAMA0.",
    )


def _bluetooth(board: _Board, device: str | None) -> Check:
    name = RASPBERRY_CHECKS[2]
    is_other = device is not None and re.fullmatch(r"ttyAMA[1-9]\d*", device)
    freed = board.overlays & _FREEING
    for is_so, words in (
        (board.section == "pi5", "has a UART of its own on a Pi 5"),
        (not board.has_bluetooth, f"{board.model} has none"),
        (bool(freed), f"dtoverlay={min(freed, default='')}"),
        (bool(is_other), f"does not use {device}"),
    ):
        if is_so:
            return passed(name, words)
    if board.config_name is None:
        return not_tried(name, "config.txt cannot be read")
    if device != "ttyAMA0" and board.settings.get("enable_uart") == "1":
        return passed(
            name, "has the better UART; pins 8 and 10 are the mini UART: disable-bt is better"
        )
    return failed(
        name,
        "Bluetooth has the PL011 (ttyAMA0)",
        "Pins 8 and 10 are not connected to it: what is sent there reaches nobody.",
        f"Add dtoverlay=disable-bt and enable_uart=1 to {board.config_name}, reboot, and use "
        "/dev/serial0. (Images before Bookworm also: sudo systemctl disable hciuart.)",
    )


# Reading.


def _read_board(root: Path) -> _Board | None:
    model = _text(root / "proc/device-tree/model").strip("\0\n ")
    if "Raspberry Pi" not in model:
        return None
    section, has_bluetooth = next(
        (section, has) for pattern, section, has in _MODELS if re.search(pattern, model)
    )
    config_name, config = _first(root, _CONFIG_FILES)
    cmdline_name, cmdline = _first(root, _CMDLINE_FILES)
    settings, overlays = _parse_config(config, section)
    serial0 = _device(root, "serial0")
    return _Board(
        model=model,
        section=section,
        has_bluetooth=has_bluetooth,
        config_name=config_name,
        settings=settings,
        overlays=overlays,
        console_now=_console_in(_text(root / "proc/cmdline"), serial0),
        console_next=_console_in(cmdline, serial0),
        cmdline_name=cmdline_name,
        serial0=serial0,
    )


def _parse_config(text: str, section: str) -> tuple[dict[str, str], frozenset[str]]:
    """Return the settings and overlays that are for this model; the last of a name counts."""
    ours = _FOR_ALL | {section} | _WIDER.get(section, frozenset())
    settings: dict[str, str] = {}
    overlays: set[str] = set()
    applies = True
    for line in text.splitlines():
        words = line.partition("#")[0].strip()
        if words.startswith("[") and words.endswith("]"):
            applies = words[1:-1].strip().lower() in ours
        elif applies and "=" in words:
            name, _, value = (part.strip() for part in words.partition("="))
            if name == "dtoverlay":
                overlays.add(value.partition(",")[0])
            elif name == "dtparam":
                for each in value.split(","):
                    parameter, _, setting = each.partition("=")
                    settings[parameter.strip()] = setting.strip() or "on"
            else:
                settings[name] = value
    return settings, frozenset(overlays)


def _console_in(cmdline: str, serial0: str) -> str | None:
    found = _CONSOLE.search(cmdline)
    if found is None:
        return None
    return serial0 or found[1] if found[1] == "serial0" else found[1]


def _device(root: Path, name: str) -> str:
    try:
        return (root / "dev" / name).readlink().name
    except OSError:
        return ""


def _first(root: Path, names: tuple[str, ...]) -> tuple[str | None, str]:
    for name in names:
        try:
            return f"/{name}", (root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    return None, ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
