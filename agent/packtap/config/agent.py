"""The agent's configuration as values, floor 1: one dataclass a table, one field a key.

A field's metadata is the only description of its key: help, bounds and example. What can be judged
within one table is judged by its constructor, so a value that exists is valid. Defaults suit a
Raspberry Pi with the Debian layout of paths; `{bus}` in a path stands for the name of the bus and
is filled in by `files`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Final, Literal

from packtap.config.broker import MqttConfig
from packtap.config.keys import MB, NAME, ContradictionError, Port, Within, about
from packtap.config.pack import PackConfig
from packtap.config.pack_model import PackModelConfig, model_problems

__all__ = ["AgentConfig", "FlightConfig", "LineConfig", "StoreConfig", "line_problems"]

Mode = Literal["listen", "bench", "share"]
ClockMode = Literal["auto", "trusted", "battery"]
LineName = Literal["bms", "esc", "dash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineConfig:
    """One serial line, `[lines.NAME]`."""

    name: LineName
    port: str = field(
        metadata=about(
            "The serial port: a path under /dev/serial/by-id stays the same when the adapter is "
            "plugged in elsewhere; the URLs are network taps.",
            Port(),
            example="/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10KBMS1-if00-port0",
        )
    )
    baud: int = field(
        default=115200,
        metadata=about(
            "Bits per second. 115200 on every stock scooter; one replacement BMS uses 76800.",
            Within(1200, 921600),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightConfig:
    """Raw bytes around critical events, `[flight]`."""

    enabled: bool = field(
        default=True,
        metadata=about(
            "When a critical event is raised, what the wires said before and after it is written "
            "to a capture in the folder `flight` beside the store."
        ),
    )
    minutes: float = field(
        default=5.0, metadata=about("So many minutes before it, kept in memory.", Within(0.5, 60))
    )
    after_s: float = field(
        default=60.0, metadata=about("So many seconds after it.", Within(1, 3600))
    )
    files: int = field(
        default=10, metadata=about("Captures kept; the oldest goes.", Within(1, 1000))
    )
    max_mb: int = field(
        default=20, metadata=about("Upper bound of all of them together.", Within(1, 10_000))
    )

    @property
    def file_bytes(self) -> int:
        """The bound of one of them, bytes."""
        return self.max_mb * MB // self.files


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """The agent's own file, `[store]`: history, and what waits for the broker."""

    path: Path = field(
        default=Path("/var/lib/packtap/{bus}/packtap.db"), metadata=about("The SQLite file.")
    )
    max_mb: int = field(
        default=512,
        metadata=about(
            "Upper bound of its size. When it is reached the oldest delivered readings go first; "
            "then undelivered ones are thinned, down to a value a minute and batch (which gains "
            "room if flush_s is 60 or more, hardly any below) and dropped; events go last. What "
            "is left out or dropped undelivered is recorded (packtap gaps).",
            Within(16, 100_000),
        ),
    )
    flush_s: float = field(
        default=10.0,
        metadata=about(
            "Readings are written every so many seconds, to spare the SD card; a power cut loses "
            "at most these. Events are written at once.",
            Within(1, 300),
        ),
    )

    @property
    def max_bytes(self) -> int:
        """The bound in bytes."""
        return self.max_mb * MB


_EXAMPLE_MODELS: Final = (
    # The keys of [pack] are added to the class where it is made: mypy does not know them.
    PackModelConfig(  # type: ignore[call-arg]
        name="M365", serial_starts=("3J",), design_capacity_mah=7800, over_current_a=25.0
    ),
)
_EXAMPLE_LINES: Final = (
    LineConfig(name="bms", port="/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10KBMS1-if00-port0"),
    LineConfig(name="esc", port="/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10KESC1-if00-port0"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """Everything the agent must be told; one file a bus."""

    site: str = field(
        metadata=about("Where the scooter is: workshop, depot, town.", NAME, example="workshop")
    )
    agent: str = field(
        metadata=about(
            "Name of this Pi; the MQTT user and the certificate carry the same.",
            NAME,
            example="pi-01",
        )
    )
    bus: str = field(
        metadata=about("Name of this bus, one of perhaps several on the Pi.", NAME, example="bay-1")
    )
    mode: Mode = field(
        default="listen",
        metadata=about(
            "listen: receive only, the scooter stays complete. bench: the pack's data plug is off "
            "the scooter and packtap asks for everything. Never bench with the scooter connected. "
            "share: on the one wire between dashboard and controller, reads for the pack are "
            "placed between what these two say; only through an open-drain transmitter with a "
            "series resistor (deploy/WIRING.md), never a plain TX pin. It waits until the phone's "
            "app has shown its battery page for half a minute, and asks nothing before."
        ),
    )
    clock: ClockMode = field(
        default="auto",
        metadata=about(
            "When the time of day is believed. auto: once the kernel says it is synchronised. "
            "battery: the Pi has a clock with a battery. trusted: always."
        ),
    )
    now_file: Path = field(
        default=Path("/run/packtap/{bus}.json"),
        metadata=about("What the agent sees now, replaced every second; keep it on a RAM disk."),
    )
    lines: tuple[LineConfig, ...] = field(
        metadata=about(
            "listen: one or two wires, each on its own RX; bms carries what the battery says, esc "
            "what the controller asks, dash the wire to the dashboard. bench: one line, bms. "
            "share: one line, dash.",
            example=_EXAMPLE_LINES,
        )
    )
    mqtt: MqttConfig = field(metadata=about("Where readings and events are sent."))
    store: StoreConfig = field(
        default_factory=StoreConfig,
        metadata=about("History on this Pi, and everything that waits for the broker."),
    )
    flight: FlightConfig = field(
        default_factory=FlightConfig,
        metadata=about("The flight recorder: raw bytes around critical events."),
    )
    pack: PackConfig = field(
        default_factory=PackConfig, metadata=about("When a cell or a pack is called faulty.")
    )
    pack_model: tuple[PackModelConfig, ...] = field(
        default=(),
        metadata=about(
            "Limits of one model of pack, one table a model: keys of [pack] that hold for it "
            "instead. Where several fit a pack, the first one counts.",
            example=_EXAMPLE_MODELS,
        ),
    )

    def __post_init__(self) -> None:
        named = [(line.name, line.port) for line in self.lines]
        problems = line_problems(self.mode, named) + model_problems(self.pack_model, self.pack)
        if problems:
            raise ContradictionError(problems)


def line_problems(mode: str, lines: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what is wrong with the lines as a whole.

    Args:
        mode: listen, bench or share.
        lines: name and port of each line; a port that is not known yet is "".

    Returns:
        Pairs of key path and what is wrong.
    """
    known = list(lines)
    names = ", ".join(name for name, _ in known)
    problems: list[tuple[str, str]] = []
    if not known:
        problems.append(("lines", "no line; write at least [lines.bms] with its port"))
    elif mode == "bench" and len(known) > 1:
        problems.append(("lines", f"bench takes exactly one line, here are {len(known)}: {names}"))
    elif mode == "share" and names != "dash":
        problems.append(
            ("lines", f"share takes exactly one line, dash (the dashboard's wire); here: {names}")
        )
    elif len(known) > 2:
        problems.append(("lines", f"listen takes one or two lines, here are {len(known)}: {names}"))
    for (first, port), (second, other) in combinations(known, 2):
        if first == second:
            problems.append((f"lines.{second}", "this line is there twice"))
        elif port and other and _same_port(port, other):
            problems.append(
                (
                    f"lines.{second}.port",
                    f"{other} is already used by lines.{first}; each wire needs a port of its own",
                )
            )
    return problems


def _same_port(one: str, other: str) -> bool:
    if "://" in one or "://" in other:
        return one == other
    # Two names of one device: a by-id link, and the ttyUSB it points to.
    return Path(one).resolve() == Path(other).resolve()
