"""The one wire between dashboard and ESC of a simulated scooter, floor 2.

Whoever opens it is a guest: what it sends is on the wire with everything else, and comes back.
The phone shows its battery page for the first minute and is put away then, as a rider would.

No terminal and no clock: time is what `step` is told. Simulated, and always called so.
"""

from typing import Final

from ninebot_bms import Dialect
from ninebot_bms.emulated_esc import PHONE_READS
from ninebot_bms.emulator import Busy, EmulatedPack
from ninebot_bms.emulator.dashboard import EmulatedDashboard
from packtap.simulated.scooter import Plan, Scooter
from packtap.simulated.wires import SERIAL, pack_image

__all__ = ["PHONE_S", "SharedWire"]

#: How long the phone shows its battery page.
PHONE_S: Final = 60.0


class SharedWire:
    """A rider, a pack, an ESC, a dashboard and a phone, on one wire.

    Args:
        plan: pack, rider and what fails.
        dialect: what the wire speaks.
        phone_s: how long the phone shows its battery page, from the start.
    """

    def __init__(
        self, plan: Plan, dialect: Dialect = Dialect.XIAOMI, *, phone_s: float = PHONE_S
    ) -> None:
        self.scooter = Scooter(plan)
        self._image = pack_image(plan, SERIAL, self.scooter.board.full_mah)
        pack = EmulatedPack(dialect, self._image, busy=Busy(), seed=plan.seed)
        self._bus = EmulatedDashboard(pack, dialect, app=PHONE_READS, seed=plan.seed)
        self._phone_s = phone_s
        self._measures_at = 0.0

    @property
    def disturbed(self) -> int:
        """Frames of others that met what the guest has sent or caused."""
        return self._bus.disturbed

    def counts(self) -> dict[str, int]:
        """Return what has been on the wire so far.

        `questions` of the guest, `collisions` among them (met by anything), `answers` of the pack
        to them; `foreign_frames`, and `disturbed_frames` among them (met by what the guest sent or
        caused).
        """
        bus = self._bus
        return {
            "questions": bus.asked,
            "collisions": bus.collided,
            "answers": bus.relayed,
            "foreign_frames": bus.frames,
            "disturbed_frames": bus.disturbed,
        }

    def step(self, now: float, asked: bytes = b"") -> bytes:
        """Let it be `now`, seconds from the start; return what an adapter has heard meanwhile.

        Args:
            now: never earlier than before.
            asked: what the guest begins to send now.
        """
        while self._measures_at <= now:
            self.scooter.advance(self._measures_at)
            self._image.update(self.scooter.registers())
            self._measures_at += self.scooter.cycle_s
        if now >= self._phone_s:
            self._bus.app = ()
        if asked:
            self._bus.send(asked, now)
        return self._bus.read(now)

    def wake_at(self, now: float) -> float:
        """Return when the next step has something to do, if nothing is asked before."""
        return max(now, min(self._measures_at, self._bus.wake_at()))
