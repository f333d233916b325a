"""When a guest on somebody else's bus must leave off asking, and for how long, floor 0.

- After a collision: for a second, twice as long after each further one, a minute at most; by chance
  half or one and a half of it, so that two guests do not meet again. Twenty clean reads forgive.
- For minutes, twice as long each time, an hour at most: when frames of others are lost behind own
  reads more often than without them; when nothing that is sent comes back; when the pack is late at
  times that nobody can foresee.
- While too much of what is heard is damaged anyway: nobody could tell what an own read does.

Time is passed in, in seconds.
"""

import random
from collections import deque
from math import inf
from typing import Final

__all__ = ["Restraint"]

_FIRST_S: Final = 1.0
_LONGEST_S: Final = 60.0
_CLEAN: Final = 20
_FIRST_REST_S: Final = 300.0
_LONGEST_REST_S: Final = 3600.0
_OURS: Final = 100  # own reads that are looked back at
_ALONE: Final = 1000  # frames without one
_BY_CHANCE: Final = 3  # frames lost behind own reads, on top of the usual share
_FEW: Final = 100  # frames that tell a usual share
_NOISY: Final = 0.08
_UNECHOED: Final = 3
_UNANSWERED: Final = 5
_SURPRISED_S: Final = 300.0
_SURPRISES: Final = 3

_DAMAGED: Final = (
    "too much of what the dashboard says arrives damaged: nothing is asked on such a wire; check "
    "ground, series resistor and adapter"
)
_DISTURBED: Final = (
    "frames of the dashboard were lost behind packtap's reads: nothing is asked for {:.0f} minutes"
)
_NO_ECHO: Final = (
    "nothing that is sent comes back: the transmitter is not on this wire, or the adapter hides "
    "its own bytes; nothing is asked for {:.0f} minutes"
)
_NO_REPLY: Final = (
    "the ESC does not relay packtap's reads to the pack: nothing is asked for {:.0f} minutes"
)
_ERRATIC: Final = (
    "the pack is late at times that cannot be foreseen, which would disturb the dashboard: nothing "
    "is asked for {:.0f} minutes"
)


class Restraint:
    """Counts what goes wrong, and says until when to be silent.

    Args:
        seed: of the length of back-offs; None: from the system.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.collisions = 0  #: own questions that did not come back as they were sent
        self.backoffs = 0  #: times that asking was left off
        self.is_resting = False  #: the present silence is one of minutes
        self.reason: str | None = None  #: of the present or the last silence, for people
        self.silent_until = -inf  #: seconds
        self._random = random.Random(seed)  # noqa: S311 - back-off, not a secret
        self._failures = 0
        self._clean = 0
        self._rests = 0
        self._unechoed = 0
        self._unanswered = 0
        self._surprises: deque[float] = deque(maxlen=_SURPRISES)
        self._ours: deque[bool] = deque(maxlen=_OURS)  # was the frame behind a read lost?
        self._alone: deque[bool] = deque()
        self._lost_alone = 0  # of these

    @property
    def noise(self) -> float:
        """The share of the frames that are lost without us, 0..1."""
        return self._lost_alone / max(_FEW, len(self._alone))

    @property
    def trouble(self) -> str | None:
        """Why the bus is too bad to be asked on, for people; None if it is not."""
        return _DAMAGED if self.noise > _NOISY else None

    def note_echo(self) -> None:
        """Take an own question that came back as it was sent."""
        self._unechoed = 0

    def note_unanswered(self, now: float) -> None:
        """Take a question that came back well and had no reply."""
        self._unanswered += 1
        if self._unanswered >= _UNANSWERED:
            self._unanswered = 0
            self._rest(now, _NO_REPLY)

    def note_clean(self) -> None:
        """Take a question that was echoed and answered."""
        self._unanswered = 0
        self._clean += 1
        if self._clean >= _CLEAN:
            self._failures = self._rests = 0

    def note_collision(self, now: float, *, is_silence: bool) -> None:
        """Take an own question that came back damaged, or (`is_silence`) not at all."""
        self.collisions += 1
        self._unechoed += is_silence
        if self._unechoed >= _UNECHOED:
            self._unechoed = 0
            self._rest(now, _NO_ECHO)
        else:
            self._back_off(now, "a collision")

    def note_damage(self, now: float) -> None:
        """Take a reply that came damaged: somebody, or noise, was in its way."""
        self._back_off(now, "a damaged reply")

    def note_surprise(self, now: float) -> None:
        """Take a reply that was late against all that is known."""
        self._surprises.append(now)
        if len(self._surprises) == _SURPRISES and now - self._surprises[0] < _SURPRISED_S:
            self._surprises.clear()
            self._rest(now, _ERRATIC)
        else:
            self._back_off(now, "a reply at an unforeseen time")

    def note_frames(self, now: float, lost: int, *, is_behind_ours: bool) -> None:
        """Take a frame of the dashboard, and how many before it were lost.

        Args:
            now: seconds.
            lost: frames that were due since the frame before and did not come.
            is_behind_ours: the first of these, or this one, was due behind a read of ours.
        """
        if is_behind_ours:
            self._ours.append(lost > 0)
            lost -= 1
            usual = self.noise * len(self._ours)
            if sum(self._ours) > _BY_CHANCE + 3 * usual:
                self._ours.clear()
                self._rest(now, _DISTURBED)
        else:
            self._alone.append(False)
        lost = min(max(0, lost), _FEW)
        self._alone.extend([True] * lost)
        self._lost_alone += lost
        while len(self._alone) > _ALONE:
            self._lost_alone -= self._alone.popleft()

    def _back_off(self, now: float, reason: str) -> None:
        wait_s = min(_LONGEST_S, _FIRST_S * 2**self._failures) * self._random.uniform(0.5, 1.5)
        self._failures = min(self._failures + 1, 10)
        self._be_silent(now + wait_s, f"{reason}: backing off for {wait_s:.1f} s")

    def _rest(self, now: float, reason: str) -> None:
        wait_s = min(_LONGEST_REST_S, _FIRST_REST_S * 2**self._rests)
        self._rests = min(self._rests + 1, 10)
        self._be_silent(now + wait_s, reason.format(wait_s / 60))
        self.is_resting = True

    def _be_silent(self, until: float, reason: str) -> None:
        self.backoffs += 1
        self._clean = 0
        self.is_resting = False
        self.silent_until = until
        self.reason = reason
