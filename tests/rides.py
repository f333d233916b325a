"""Emulated rides as a tap would read them: seconds of emulated time, no ports, no waiting."""

from collections.abc import Iterable, Sequence

from fake_wire import Read
from ninebot_bms import Chunk, Observer
from packtap.analysis.open_events import OpenEvents
from packtap.replaying import replay
from packtap.simulated.fault_rows import parse_fault
from packtap.simulated.scooter import Plan
from packtap.simulated.wires import Wires
from packtap.tap import Digest, Tap, TapSettings

#: Of the emulated pack.
SERIAL = "3JDEA24M1D0815"


def reads(wires: Wires, seconds: float) -> list[Read]:
    """Ride for so long; return one read for every frame, with its time and line."""
    taken: list[Read] = []
    now = 0.0
    while now < seconds:
        taken += [(now, line, data) for line, data in wires.step(now)]
        now = max(wires.wake_at(now), now + 1e-6)
    return taken


def failing(after_s: float, *, cell: int = 7, seed: int = 1) -> Plan:
    """Return a ride on which a cell begins to fail."""
    return Plan(seed=seed, faults=(parse_fault(f"cell_undervoltage:{cell}", after_s),))


def fresh_tap(settings: TapSettings | None = None) -> Tap:
    """Return a tap that has seen nothing."""
    return Tap(settings or TapSettings(), OpenEvents("test"))


def replayed(taken: Iterable[Read], tap: Tap | None = None) -> Digest:
    """Return everything that a recording of these reads gives."""
    chunks = (Chunk(t, line, data) for t, line, data in taken)
    return gathered(replay(chunks, tap or fresh_tap(), Observer(lines=("esc", "bms"))))


def gathered(digests: Iterable[Digest]) -> Digest:
    """Join digests, in their order."""
    whole = Digest()
    for digest in digests:
        whole.snapshots += digest.snapshots
        whole.events += digest.events
    return whole


def live(taken: Sequence[Read], ticks: Sequence[float], tap: Tap | None = None) -> Digest:
    """Feed the reads as the agent does, with its loop waking up at these moments as well."""
    tap = tap or fresh_tap()
    observer = Observer(lines=("esc", "bms"))
    digests: list[Digest] = []

    def let_pass(now: float) -> None:
        digests.append(tap.digest(observer.idle(now)))
        digests.append(tap.idle(now))

    waiting = sorted(ticks)
    for t, line, data in taken:
        assert t is not None
        while waiting and waiting[0] <= t:
            let_pass(waiting.pop(0))
        let_pass(t)
        digests.append(tap.digest(observer.receive_data(data, line, t)))
    for tick in waiting:
        let_pass(tick)
    digests.append(tap.digest(observer.close()))
    digests.append(tap.idle(None))
    return gathered(digests)
