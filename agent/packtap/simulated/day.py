"""What a scooter is used for: stories of phases, and the rider's current, floor 2.

A story is a row of phases: standing, riding, parked, charging, on a technician's bench. The last
phase of a story goes on for ever. Sources: events.md section 4 (bursts of a few seconds every 10-60
minutes while parked; a charger gives 1.7-2.9 A), protocol.md section 8.

Riders: a controller limits itself to 17-30 A, a ride in town takes 4-9 A on average. Near empty it
holds the pack above 3.0 V a group (30 V of a 10S pack), within milliseconds.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["STEPS", "STORIES", "Mode", "Phase", "Rider", "Story"]

#: Steps of the current within a measuring cycle of the board.
STEPS: Final = 5
_FOREVER: Final = math.inf


class Mode(StrEnum):
    """What happens to the pack."""

    STANDING = "standing"  #: switched on, nobody rides
    RIDING = "riding"
    PARKED = "parked"  #: asleep; a short look now and then
    CHARGING = "charging"
    BENCH = "bench"  #: data plug off the ESC, a laptop asks
    BENCH_CHARGER = "bench charger"  #: the same with a charger plugged in


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a day.

    Attributes:
        mode: what happens.
        seconds: for how long at most.
        until_pct: ends when the emptiest group has so little (riding).
        load: of the rider: 1 is a town, 2 is uphill.
        look_every_s: between two looks at a parked scooter.
        look_s: how long one takes.
    """

    mode: Mode
    seconds: float = _FOREVER
    until_pct: float | None = None
    load: float = 1.0
    look_every_s: float = 1800.0
    look_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Story:
    """One row.

    Attributes:
        name: as on the command line.
        what: for people.
        phases: in order; the last one goes on for ever.
        seconds: how much of it is recorded, if nobody says.
        soc_pct: charge at its start, if nobody says.
    """

    name: str
    what: str
    phases: tuple[Phase, ...]
    seconds: float
    soc_pct: float = 72.0


STORIES: Final = {
    story.name: story
    for story in (
        Story(
            "ride", "standing for a moment, then riding",
            (Phase(Mode.STANDING, 3.0), Phase(Mode.RIDING)), 900,
        ),
        Story(
            "trip", "five minutes of rest, then ridden hard until nearly empty, and rest",
            (Phase(Mode.STANDING, 330.0), Phase(Mode.RIDING, until_pct=14.0, load=2.0),
             Phase(Mode.STANDING, 600.0), Phase(Mode.PARKED)), 6000, 94.0,
        ),
        Story(
            "commute", "to work, parked, back, parked, charged",
            (Phase(Mode.STANDING, 20.0), Phase(Mode.RIDING, 900.0),
             Phase(Mode.PARKED, 7200.0, look_every_s=1200.0), Phase(Mode.RIDING, 900.0),
             Phase(Mode.PARKED, 1800.0, look_every_s=600.0), Phase(Mode.CHARGING, 14400.0),
             Phase(Mode.PARKED, look_every_s=2400.0)), 30000, 88.0,
        ),
        Story(
            "rest", "switched on, nobody rides",
            (Phase(Mode.STANDING),), 600,
        ),
        Story(
            "park", "a short ride, then parked for hours",
            (Phase(Mode.STANDING, 5.0), Phase(Mode.RIDING, 60.0), Phase(Mode.PARKED)), 43200,
        ),
        Story(
            "charge", "standing, then charged to the end",
            (Phase(Mode.STANDING, 60.0), Phase(Mode.CHARGING, 21600.0),
             Phase(Mode.PARKED, look_every_s=900.0)), 7200, 70.0,
        ),
        Story(
            "bench", "a technician's visit: data plug off the ESC, at rest",
            (Phase(Mode.BENCH),), 90,
        ),
        Story(
            "bench-charger", "the same, and a charger is plugged in after a while",
            (Phase(Mode.BENCH, 35.0), Phase(Mode.BENCH_CHARGER)), 120,
        ),
    )
}  # fmt: skip

#: What a rider does: amperes from and to at load 1, seconds, and how often.
_MANOEUVRES: Final = (
    (12.0, 22.0, 4.0, 2),  # accelerate
    (5.0, 9.0, 12.0, 3),  # cruise
    (4.0, 7.0, 8.0, 2),
    (-6.0, -2.0, 2.5, 2),  # brake
    (0.04, 0.12, 6.0, 2),  # stop
)
_MOTOR_S: Final = 0.7  # 20 A/s (events.md section 7)
_MOST_C: Final = 2.5  # amperes an ampere-hour; 18650 energy cells are rated for 2-3
_STANDBY_A: Final = (0.04, 0.12)


class Rider:
    """Asks for current, in steps.

    Args:
        seed: of the ride.
        pack_ah: capacity of the pack: makers fit controllers to packs.
    """

    def __init__(self, seed: int, pack_ah: float) -> None:
        self._random = random.Random(f"rider {seed}")  # noqa: S311 - a rider, not a secret
        self._limit_a = min(self._random.choice((17.0, 20.0, 25.0, 30.0)), _MOST_C * pack_ah)
        self._standby_a = self._random.uniform(*_STANDBY_A)
        self._current_a = 0.0
        self._target_a = 0.0
        self._ends_at = 0.0
        self.pulls_a: float | None = None  #: a controller without a limit draws so much

    def standing(self) -> Iterator[float]:
        """Yield the current of a cycle in which nobody rides."""
        self._target_a = self._standby_a
        return self._follow(0.05)

    def riding(self, now: float, load: float, most_a: float) -> Iterator[float]:
        """Yield the current of a cycle of riding.

        Args:
            now: seconds.
            load: 1 is a town, 2 is uphill.
            most_a: what the pack can give before its voltage falls to where the controller stops.
        """
        if now >= self._ends_at:
            low_a, high_a, seconds, _ = self._random.choices(
                _MANOEUVRES, weights=[row[3] for row in _MANOEUVRES]
            )[0]
            asked_a = self._random.uniform(low_a, high_a)
            self._target_a = asked_a * load if asked_a > 1 else asked_a
            if self._target_a > 1 and self.pulls_a is None:
                self._target_a = min(self._target_a, self._limit_a)
            self._ends_at = now + seconds * self._random.uniform(0.7, 1.3)
        target_a = self._target_a
        if self.pulls_a is not None and target_a > 1:
            target_a = self.pulls_a
        target_a = min(target_a, most_a)
        before, self._target_a = self._target_a, target_a
        flow = list(self._follow(_MOTOR_S))
        self._target_a = before
        return iter(flow)

    def stopped(self) -> None:
        """Note that the motor is off: nothing flows."""
        self._current_a = 0.0

    def _follow(self, lag_s: float) -> Iterator[float]:
        share = 1 - math.exp(-0.05 / lag_s)
        for _ in range(STEPS):
            self._current_a += (self._target_a - self._current_a) * share
            yield self._current_a + self._random.gauss(0, 0.01 + 0.01 * abs(self._current_a))
