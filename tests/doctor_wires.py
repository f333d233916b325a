"""Emulated wires for the doctor, in time that is told: no ports, no waiting.

`WorldClock` is the only clock. A `ListenedWire` carries a schedule of transmissions, a `BenchWire`
a pack that answers; both hand over what a UART at the rate of the opened line would read of the
copper, bit by bit (`uart_wire`). A line takes 20 ms a read, as the real one does.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fake_wire import Read, tap
from ninebot_bms import BMS, Dialect, Framer
from ninebot_bms.commands import is_read_request
from ninebot_bms.emulated_esc import EmulatedEsc
from ninebot_bms.emulator import EmulatedPack, RegisterImage
from packtap.doctor.listening import Listener, Tools
from packtap.errors import LinkError, LinkTrouble
from packtap.link import COALESCE_S
from recorded import recording
from uart_wire import BITS, Sent, Wave, read_wave, wave_of

STOCK = 115200
SERIAL = "3JDEA24M1D0815"


class WorldClock:
    """Seconds that pass only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Copper:
    """How a UART hangs on a wire."""

    inverted: bool = False
    drops: bool = True
    waits: bool = True

    def read(self, wave: Wave, baud: int) -> list[tuple[float, int]]:
        """Return what a UART at this rate reads."""
        seen = wave.inverted() if self.inverted else wave
        return read_wave(seen, baud, drops=self.drops, waits=self.waits)


class ListenedWire:
    """One wire with traffic that nobody here can change.

    Args:
        sent: all that is put on it; times from the opening of the first line on.
        copper: how the receiver hangs on it.
        refuses: rates that the adapter cannot run at.
    """

    def __init__(
        self, sent: Iterable[Sent], copper: Copper | None = None, refuses: Sequence[int] = ()
    ) -> None:
        self.sent = list(sent)
        self.refuses = refuses
        self.written: list[bytes] = []
        self._copper = copper or Copper()
        self._wave = wave_of(self.sent)
        self._heard: dict[int, list[tuple[float, int]]] = {}

    def between(self, begin: float, end: float, baud: int) -> bytes:
        """Return the bytes that end within a stretch of time."""
        if baud not in self._heard:
            self._heard[baud] = self._copper.read(self._wave, baud)
        return bytes(byte for t, byte in self._heard[baud] if begin <= t < end)

    def write(self, data: bytes, now: float, baud: int) -> None:
        """Note what should never be written."""
        self.written.append(data)


class BenchWire:
    """A pack, or nothing, at the end of a two-wire lead; or an adapter that echoes.

    Args:
        pack: what answers; None: nothing.
        baud: the pack's rate.
        echoes: RX hears TX.
        mangle: what the wire makes of the pack's bytes.
        beside: another master's transmissions, heard by RX.
        copper: how the receiver hangs on it.
    """

    def __init__(
        self,
        pack: EmulatedPack | None,
        *,
        baud: int = STOCK,
        echoes: bool = False,
        mangle: Callable[[bytes], bytes] = bytes,
        beside: Iterable[Sent] = (),
        copper: Copper | None = None,
    ) -> None:
        self.refuses: Sequence[int] = ()
        self.written: list[bytes] = []
        self._pack = pack
        self._baud = baud
        self._echoes = echoes
        self._mangle = mangle
        self._copper = copper or Copper()
        self._pending: deque[Sent] = deque(beside)

    def write(self, data: bytes, now: float, baud: int) -> None:
        """Take a request; the pack hears it at its own rate."""
        assert is_read_request(data)
        self.written.append(data)
        request = Sent(now, data, baud)
        if self._echoes:
            self._pending.append(request)
        if self._pack is not None:
            for t, byte in read_wave(wave_of([request]), self._baud):
                self._pack.receive_data(bytes((byte,)), t)

    def between(self, begin: float, end: float, baud: int) -> bytes:
        """Return the bytes that end within a stretch of time."""
        if self._pack is not None:
            while (reply := self._pack.next_send(end)) is not None:
                start = end - len(reply) * BITS / self._baud
                self._pending.append(Sent(start, self._mangle(reply), self._baud))
        due = [each for each in self._pending if each.t < end]
        self._pending = deque(each for each in self._pending if each.t >= end)
        return bytes(byte for each in due for _, byte in self._copper.read(wave_of([each]), baud))


class WireLine:
    """A line on an emulated wire: opened at a rate, 20 ms a read."""

    def __init__(
        self, wire: ListenedWire | BenchWire, clock: WorldClock, baud: int, *, transmit: bool
    ) -> None:
        self._wire = wire
        self._clock = clock
        self._baud = baud
        self._transmit = transmit
        self._since: float | None = None

    def open(self) -> list[str]:
        """Open at the rate."""
        if self._baud in self._wire.refuses:
            raise LinkError(f"cannot run at {self._baud} baud", LinkTrouble.NO_SUCH_RATE)
        self._clock.now += 0.01
        self._since = self._clock.now
        return []

    def read(self) -> bytes:
        """Wait 20 ms and return what came since the last read."""
        assert self._since is not None
        self._clock.now += COALESCE_S
        begin, self._since = self._since, self._clock.now
        return self._wire.between(begin, self._clock.now, self._baud)

    def send(self, data: bytes) -> None:
        """Send a request."""
        assert self._transmit, "this line only listens"
        self._wire.write(data, self._clock.now, self._baud)

    def close(self) -> None:
        """Give it back."""
        self._since = None


class World:
    """Wires by port name, and the tools of a plan that runs among them."""

    def __init__(self, **wires: ListenedWire | BenchWire) -> None:
        self.wires = wires
        self.clock = WorldClock()
        self.said: list[str] = []
        self.tools = Tools(self.make_line, self.clock, self.said.append)

    @property
    def listeners(self) -> list[Listener]:
        """One listener a wire, at the stock rate."""
        return [Listener(name, name) for name in self.wires]

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return self.clock.now - 1000.0

    def make_line(self, name: str, port: str, baud: int, *, transmit: bool) -> WireLine:
        """Make a line that is not open yet."""
        return WireLine(self.wires[port], self.clock, baud, transmit=transmit)


# What is put on wires. Times are those of the world: it begins at 1000 s.


def pack_of(
    dialect: Dialect = Dialect.XIAOMI, *, address: int = BMS, **more: object
) -> EmulatedPack:
    """Return a sound pack with ten cells."""
    image = RegisterImage({"serial": SERIAL, "firmware": "1.1.5", "soc_pct": 61, "voltage_v": 38.4})
    image.set("cell_voltages_mv", (3840,) * 10)
    return EmulatedPack(dialect, image, address=address, **more)  # type: ignore[arg-type]


def scooter(dialect: Dialect, seconds: float, *, pack: bool = True) -> list[Read]:
    """Return what an ESC and its pack say, on lines esc and bms."""
    return tap(EmulatedEsc(dialect), pack_of(dialect) if pack else None, seconds)


def played(name: str, seconds: float, *lines: str, from_s: float = 0.0) -> list[Read]:
    """Return the traffic of a genuine recording on some of its lines, again and again.

    Args:
        name: of the recording.
        seconds: how much is wanted.
        lines: which of its lines.
        from_s: where in the recording to begin.
    """
    taken = [(t, line, data) for t, line, data in recording(name) if line in lines and t >= from_s]
    first, length = taken[0][0], taken[-1][0] - taken[0][0] + 0.2
    rounds = int(seconds / length) + 1
    return [
        (t - first + number * length, line, data)
        for number in range(rounds)
        for t, line, data in taken
        if t - first + number * length < seconds
    ]


def sent(reads: Iterable[Read], *lines: str, baud: int = STOCK, from_s: float = 0.0) -> list[Sent]:
    """Put reads on one wire; what comes late waits for the wire of its own sender to be free.

    Args:
        reads: time of the end, line, bytes.
        lines: the lines that end on this wire.
        baud: at which rate they are sent.
        from_s: when the first begins.
    """
    free: dict[str | None, float] = {}
    found = []
    for t, line, data in reads:
        if t is None or line not in lines:
            continue
        start = max(free.get(line, 0.0), 1000.0 + from_s + t - len(data) * BITS / STOCK)
        found.append(Sent(start, data, baud))
        free[line] = found[-1].end + 1e-4
    return found


def frames_in(data: bytes) -> int:
    """Return how many frames a stream holds."""
    framer = Framer()
    framer.receive_data(data)
    framer.close()
    return framer.frames
