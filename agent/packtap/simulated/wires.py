"""The bytes on the wires of a simulated scooter, floor 2.

On the line `esc` what the ESC (or who stands in for it) sends, on `bms` what the pack sends, each
with the moment at which its last byte is on the wire. What can be wrong with the line itself is
done here: lost replies, torn frames, damaged bytes, silence, nonsense in the registers.

No terminal and no clock: time is what `step` is told, so a test rides an hour in seconds. Nothing
here can reach a port; `packtap.emulated_bus` writes to pseudo-terminals, `recording` to captures.
"""

import random
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Final, Protocol

from ninebot_bms import Dialect
from ninebot_bms.emulated_esc import APP_READS, AppRead, EmulatedEsc
from ninebot_bms.emulator import EmulatedPack, RegisterImage
from packtap.simulated.day import Mode
from packtap.simulated.masters import BOX, LAPTOP, Master, Round
from packtap.simulated.scooter import Plan, Scooter

__all__ = ["SERIAL", "Wires", "pack_image"]

SERIAL: Final = "3JDEA24M1D0815"
_IDENTITY_S: Final = 10.0
_ALONE_S: Final = 0.3  # a fleet box whose ESC is off: vendor samples ask every 0.2 s
_SLEEPS_AFTER_S: Final = 120.0
_WAKES_AFTER_S: Final = 0.3
_GAP_S: Final = (1.2, 4.5)  # a contact that opens stays open for so long
_LONG_READ: Final = (0x30, 72)  # a vendor sample reads 0x30-0x53 at once
_STATE_READ: Final = (0x31, 10)  # an app that leaves out the status word
_CELLS: Final = 0x40
_USUAL_READ: Final = 30


class _Asks(Protocol):
    def next_send(self, now: float) -> bytes | None: ...
    def receive_data(self, data: bytes, now: float) -> None: ...
    def wake_at(self, now: float) -> float: ...


class Wires:
    """A rider, a pack and an ESC on two wires; or, for a bench, a pack alone on one.

    Args:
        plan: pack, rider and what fails.
        dialect: what the bus speaks.
        is_bench: the data plug is off the ESC and nobody asks: whoever opens the port does.
        app: a second master (a phone or a fleet box) reads cells and identity too. Without one no
            cell is ever on the wire: a stock ESC does not ask for them.
        serial: of the pack, 14 characters.
        poll_s: of the ESC; None: as the stock one.
        block: how the second master reads: "cells" (0x40), "state" (0x31 x 10 besides), "long"
            (0x30 x 72).
        laptop: on a bench: one asks as in events.md section 5.
    """

    def __init__(
        self,
        plan: Plan,
        dialect: Dialect = Dialect.XIAOMI,
        *,
        is_bench: bool = False,
        app: bool = True,
        serial: str = SERIAL,
        poll_s: float | None = None,
        block: str = "cells",
    ) -> None:
        if is_bench and not plan.phases and not plan.story.startswith("bench"):
            plan = replace(plan, story="bench")
        self._plan = plan
        self._dialect = dialect
        self._is_bench = is_bench
        self._app = _app_reads(plan.cells, block) if app else ()
        self._poll_s = poll_s
        self.scooter = Scooter(plan)
        self._random = random.Random(f"wires {plan.seed}")  # noqa: S311 - noise, no secret
        self._image = pack_image(plan, serial, self.scooter.board.full_mah)
        self._shown: dict[str, object] = {}
        self._pack = EmulatedPack(
            dialect, self._image, seed=plan.seed, late=0.2, loss=0.001,
            wakes_after_s=_WAKES_AFTER_S, sleeps_after_s=_SLEEPS_AFTER_S,
        )  # fmt: skip
        self._master: _Asks | None = None
        self._master_for: str | None = None
        self._measures_at = 0.0
        self._gap_until = -inf
        self._tears = False
        self.names: Final = ("bms",) if is_bench else ("esc", "bms")

    def step(self, now: float, asked: bytes = b"") -> list[tuple[str, bytes]]:
        """Let it be `now`, seconds from the start; return what has been sent, by line.

        Args:
            now: never earlier than before.
            asked: what the master of a bench has sent since the step before.
        """
        while self._measures_at <= now:
            self._measure()
        sent = []
        if self._master is not None and (request := self._master.next_send(now)):
            asked = self._damaged(request)
            sent.append(("esc", asked))
        if asked and not self.scooter.line.is_silent:
            self._pack.receive_data(asked, now)
        while answer := self._pack.next_send(now):
            heard = self._damaged(self._through_contact(answer, now))
            if heard:
                sent.append(("bms", heard))
                if self._master is not None:
                    self._master.receive_data(heard, now)
        return sent

    def wake_at(self, now: float) -> float:
        """Return when the next step has something to do, if nothing is asked before."""
        master_at = inf if self._master is None else self._master.wake_at(now)
        return min(self._measures_at, self._pack.wake_at(now), master_at)

    def _measure(self) -> None:
        scooter, at = self.scooter, self._measures_at
        scooter.advance(at)
        self._show(scooter.registers())
        self._choose_master()
        self._measures_at = at + scooter.cycle_s if scooter.is_awake else scooter.wakes_at()
        line = scooter.line
        is_moving = scooter.phase.mode is Mode.RIDING
        rate = line.gaps_per_s if is_moving else line.gaps_at_rest_per_s
        if at >= self._gap_until and self._random.random() < rate * scooter.cycle_s:
            self._gap_until = at + self._random.uniform(*_GAP_S)
            self._tears = True

    def _show(self, registers: Mapping[str, int | float | tuple[int, ...]]) -> None:
        changed = {name: value for name, value in registers.items()
                   if self._shown.get(name) != value}  # fmt: skip
        if changed:
            self._image.update(changed)
            self._shown |= changed
        share = self.scooter.line.garbage_share
        if share and self._random.random() < share:
            self._shown.clear()
            self._write_nonsense()

    def _write_nonsense(self) -> None:
        word = self._random.randrange
        index, words = self._random.choice(((0x30, 6), (_CELLS, self._plan.cells)))
        shape = self._random.random()
        if shape < 0.4:
            self._image.set_words(index, *[0xFFFF] * words)
        else:
            self._image.set_words(index, *(word(0x10000) for _ in range(words)))

    def _choose_master(self) -> None:
        scooter = self.scooter
        mode = scooter.phase.mode
        wanted: str | None
        if self._is_bench or not scooter.is_awake:
            wanted = None
        elif mode in (Mode.BENCH, Mode.BENCH_CHARGER):
            wanted = "laptop"
        elif mode is Mode.CHARGING or scooter.board.is_cut:
            # Without the pack's output there is no ESC; a box with a battery of its own goes on.
            wanted = "box" if self._app else None
        else:
            wanted = "esc"
        if wanted == self._master_for:
            return
        self._master_for = wanted
        seed = self._plan.seed
        rounds: dict[str, Round] = {"laptop": LAPTOP, "box": self._box()}
        if wanted is None:
            self._master = None
        elif wanted == "esc":
            self._master = EmulatedEsc(self._dialect, app=self._app, poll_s=self._poll_s, seed=seed)
        else:
            self._master = Master(self._dialect, rounds[wanted], self._plan.cells, seed)

    def _box(self) -> Round:
        return BOX if self.scooter.has_charger else replace(BOX, every_s=_ALONE_S)

    def _through_contact(self, reply: bytes, now: float) -> bytes:
        """Return what a loose contact lets through of a reply."""
        if now >= self._gap_until:
            return reply
        torn, self._tears = self._tears, False
        return reply[: self._random.randrange(1, len(reply))] if torn else b""

    def _damaged(self, data: bytes) -> bytes:
        share = self.scooter.line.damaged_share
        if not share:
            return data
        chance = self._random
        return bytes(
            byte ^ (1 << chance.randrange(8)) if chance.random() < share else byte for byte in data
        )


def _app_reads(cells: int, block: str) -> tuple[AppRead, ...]:
    """Return what the second master reads, identity again and again.

    A tap may begin to listen at any time, and a fleet box does the same.
    """
    reads = [replace(read, every_s=read.every_s or _IDENTITY_S) for read in APP_READS]
    size = max(_USUAL_READ, 2 * cells)
    reads = [replace(read, size=size) if read.index == _CELLS else read for read in reads]
    if block == "state":
        reads.append(AppRead(*_STATE_READ, 1.0))
    elif block == "long":
        reads = [read for read in reads if read.index != _CELLS]
        reads.append(AppRead(*_LONG_READ, 1.0))
    elif block != "cells":
        raise ValueError(f"no way to read {block!r}: cells, state, long")
    return tuple(reads)


def pack_image(plan: Plan, serial: str, full_mah: int) -> RegisterImage:
    """Return what this plan's pack says of itself."""
    image = RegisterImage()
    image.update(
        {
            "serial": serial,
            "firmware": "1.1.5",
            "design_capacity_mah": plan.design_capacity_mah,
            "full_capacity_mah": full_mah,
            "design_voltage_v": 3.6 * plan.cells,
            "cycle_count": round(600 * plan.age),
            "charge_count": round(900 * plan.age),
            "manufacture_date": "2024-12-13",
            "health_pct": max(1, round(100 - 25 * plan.age)),
        }
    )
    return image
