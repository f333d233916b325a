"""A guest on an emulated dashboard's wire, in time that is told: no port, no clock, no sleeping.

The guest is as late as a program on a small computer: it hears bytes up to a millisecond after they
were on the wire, and what it decides to send begins some tenths of a millisecond later.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ninebot_bms import BusEvent, Dialect, Reply, Sharing, SharingState
from ninebot_bms.emulated_esc import PHONE_READS, AppRead
from ninebot_bms.emulator import Busy, EmulatedPack, RegisterImage
from ninebot_bms.emulator.dashboard import DashTiming, EmulatedDashboard

CELLS = [3900 + number for number in range(10)]


def pack_of(
    dialect: Dialect,
    *,
    phase_s: float = 0.0,
    busy: bool = True,
    late: float = 0.0,
    seed: int = 0,
    drift: float = 0.0,
) -> EmulatedPack:
    """Return a pack with ten cells and the recorded rhythm."""
    image = RegisterImage(
        {"serial": "3JDEA24M1D0815", "firmware": "1.1.5", "soc_pct": 61, "voltage_v": 39.0}
    )
    image.set_words(0x40, *CELLS)
    rhythm = Busy(phase_s=phase_s, period_s=0.20045 * (1 + drift)) if busy else None
    return EmulatedPack(dialect, image, busy=rhythm, late=late, seed=seed)


@dataclass
class SharedWire:
    """One scooter, one guest; time is what `run` says."""

    dialect: Dialect = Dialect.XIAOMI
    seed: int = 0
    app: Sequence[AppRead] = PHONE_READS
    timing: DashTiming | None = None
    noise: float = 0.0
    busy: bool = True
    late: float = 0.0
    drift: float = 0.0
    lag_s: tuple[float, float] = (0.0002, 0.0011)
    echoes: bool = True
    sharing: Sharing = field(init=False)
    replies: Counter[int] = field(default_factory=Counter)
    events: list[BusEvent] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)
    keeps_events: bool = True
    states: set[SharingState] = field(default_factory=set)
    not_sent: int = 0
    now: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        pack = pack_of(
            self.dialect,
            phase_s=self._random.uniform(0, 0.2),
            busy=self.busy,
            late=self.late,
            seed=self.seed,
            drift=self.drift,
        )
        self.bus = EmulatedDashboard(
            pack,
            self.dialect,
            app=self.app,
            timing=self.timing,
            noise=self.noise,
            seed=self.seed,
        )
        self.sharing = Sharing(seed=self.seed)

    def learn(self, seconds: float = 30.0) -> None:
        """Let the phone show its battery page for so long, and then put it away."""
        self.run(seconds)
        self.bus.app = ()

    def run(self, seconds: float, each: Callable[["SharedWire"], object] = lambda _: None) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            data = self.bus.read(self.now)
            self._note(
                self.sharing.receive_data(data, self.now) if data else self.sharing.idle(self.now)
            )
            self._ask()
            self.states.add(self.sharing.state(self.now))
            each(self)
            wake = min(self.sharing.wake_at(self.now), self.now + 0.02, end)
            self.now = max(self.now + 0.0003, min(wake, self.bus.wake_at(), self.now + 0.02))

    def _note(self, happened: list[BusEvent]) -> None:
        if self.keeps_events:
            self.events += happened
        self.replies.update(each.block.index for each in happened if isinstance(each, Reply))

    def _ask(self) -> None:
        ask = self.sharing.next_send(self.now)
        if ask is None:
            return
        at = self.now + self._random.uniform(*self.lag_s)
        if at > ask.not_after:
            self.sharing.take_back(self.now)
            self.not_sent += 1
            return
        self.sent.append(at)
        self.asked.append(ask.data)
        if self.echoes:
            self.bus.send(ask.data, at)
        self.now = at
