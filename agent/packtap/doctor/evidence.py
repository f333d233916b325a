"""What is known of the wires once they were listened to, or asked, floor 4.

Pure values and the questions about them. Rates: every stock scooter has 115200 baud, a replacement
BMS with a patched ESC 76800 (protocol notes, section 1). A background of one refused run in 1000
frames is normal (section 0 and events.md).
"""

from dataclasses import dataclass, field
from typing import Final

from ninebot_bms import BMS, Dialect
from packtap.analysis.link_health import SHARED_WIRE_PCT
from packtap.doctor.heard import Heard
from packtap.doctor.inverted import MIN_HITS, inverted_hits

__all__ = ["Answer", "Bus", "Wire"]

#: Above this share of refused runs frames collide: twenty times the normal background.
_COLLIDING_SHARE: Final = 0.02
_SHARED_SHARE: Final = SHARED_WIRE_PCT / 100
#: One or two refused runs are the frame into which listening began, and a glitch.
_COLLIDING_RUNS: Final = 3
#: Of either direction, before two wires are called joined: one may be a stray.
_BOTH_WAYS: Final = 2
#: An ESC that finds its pack asleep knocks 66 times a second; fewer may be its normal start.
_KNOCKING: Final = 10
#: Runs that begin like a frame and are none, before they are taken for damaged frames.
_BROKEN: Final = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a bench got for its requests at one rate.

    Attributes:
        asked: requests sent.
        echoes: of these, how many came back unchanged.
        foreign: signs of another master: frames that nobody here asked for.
        wake_s: from the first request to the first reply, seconds; None: no reply.
        dialect: what the pack speaks; None: no reply.
        address: the pack that was asked, by its Ninebot number.
        replies: how many came.
        unanswered: requests without a reply once the pack had answered.
    """

    asked: int
    echoes: int
    foreign: int
    wake_s: float | None
    dialect: Dialect | None
    address: int = BMS
    replies: int = 0
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class Wire:
    """One wire: what was heard at each rate, in the order of trying; the wanted rate is first."""

    line: str
    heard: tuple[Heard, ...]

    @property
    def wanted(self) -> Heard:
        """What was heard at the rate that was asked for."""
        return self.heard[0]

    @property
    def best(self) -> Heard:
        """What was heard at the rate that gave frames, else at the wanted one."""
        return next((each for each in self.heard if each.frames), self.wanted)

    @property
    def has_traffic(self) -> bool:
        """Did anything come that is no glitch?"""
        return any(each.has_traffic for each in self.heard)

    @property
    def has_frames(self) -> bool:
        """Was a frame read, at whatever rate?"""
        return self.best.frames > 0

    @property
    def is_at_other_rate(self) -> bool:
        """Is it readable, and not at the wanted rate?"""
        return self.has_frames and not self.wanted.frames

    @property
    def is_inverted(self) -> bool:
        """Does it look upside down?"""
        return not self.has_frames and any(
            inverted_hits(each.sample) >= MIN_HITS for each in self.heard
        )

    @property
    def is_broken(self) -> bool:
        """Do frames begin, and never one is whole?"""
        return not self.has_frames and any(each.broken >= _BROKEN for each in self.heard)

    @property
    def is_joined(self) -> bool:
        """Are both directions of a two-wire bus on this wire?

        The dashboard's one wire carries them too, between the dashboard's own frames.
        """
        best = self.best
        return best.requests >= _BOTH_WAYS and best.pack_frames >= _BOTH_WAYS and best.others == 0

    @property
    def is_colliding(self) -> bool:
        """Are far more frames damaged than a healthy line damages?"""
        best = self.best
        runs = best.refused
        is_shared = self.is_dashboard and best.pack_frames > 0
        usual = _SHARED_SHARE if is_shared else _COLLIDING_SHARE
        return best.frames > 0 and runs >= _COLLIDING_RUNS and self.refused_share > usual

    @property
    def refused_share(self) -> float:
        """Refused runs among all runs and frames, 0..1."""
        best = self.best
        return best.refused / max(1, best.refused + best.frames)

    @property
    def is_dashboard(self) -> bool:
        """Is it the one wire between ESC and dashboard?"""
        return self.best.others > 0


@dataclass(frozen=True, slots=True)
class Bus:
    """All wires together.

    Attributes:
        wires: one, or the two of a full-duplex bus.
        answers: what a bench got, in the order of trying; None: it was only listened to.
        untried_rates: rates that the port cannot run at.
    """

    wires: tuple[Wire, ...]
    answers: tuple[Answer, ...] | None = None
    untried_rates: tuple[int, ...] = field(default=())

    @property
    def is_bench(self) -> bool:
        """Was the pack to be asked?"""
        return self.answers is not None

    @property
    def has_traffic(self) -> bool:
        """Did anything come, on whatever wire?"""
        return any(wire.has_traffic for wire in self.wires)

    @property
    def has_frames(self) -> bool:
        """Was a frame read, on whatever wire?"""
        return any(wire.has_frames for wire in self.wires)

    @property
    def knocks(self) -> int:
        """Requests for the serial number, of all wires."""
        return sum(wire.best.knocks for wire in self.wires)

    @property
    def polls(self) -> int:
        """Other requests to packs, of all wires."""
        return sum(wire.best.polls for wire in self.wires)

    @property
    def pack_frames(self) -> int:
        """Frames of packs, of all wires."""
        return sum(wire.best.pack_frames for wire in self.wires)

    @property
    def repliers(self) -> tuple[int, ...]:
        """The packs that were heard, by their Ninebot numbers."""
        return tuple(sorted({address for wire in self.wires for address in wire.best.replies}))

    @property
    def asked(self) -> tuple[int, ...]:
        """The packs that were asked by others, by their Ninebot numbers."""
        return tuple(sorted({address for wire in self.wires for address in wire.best.asked}))

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        """What is spoken."""
        return tuple(d for d in Dialect if any(d in wire.best.dialects for wire in self.wires))

    @property
    def is_knocking(self) -> bool:
        """Does an ESC knock, and nobody answers?"""
        return self.knocks >= _KNOCKING and not self.polls and not self.pack_frames

    @property
    def is_esc_alone(self) -> bool:
        """Is a pack asked, and not one answer of it heard?"""
        return self.knocks + self.polls > 0 and not self.pack_frames

    @property
    def answer(self) -> Answer | None:
        """The first answer that a bench got from a pack."""
        return next((each for each in self.answers or () if each.wake_s is not None), None)

    @property
    def has_other_master(self) -> bool:
        """Did somebody else ask the pack on the bench?"""
        return any(each.foreign for each in self.answers or ())

    @property
    def echoes(self) -> int:
        """Own requests that came back."""
        return sum(each.echoes for each in self.answers or ())

    @property
    def is_echo_only(self) -> bool:
        """Did nothing come on this bench but what was sent?"""
        return self.echoes > 0 and self.answer is None and not self.has_frames

    @property
    def requests_sent(self) -> int:
        """Own requests, at all rates and addresses."""
        return sum(each.asked for each in self.answers or ())
