"""Where a read and its reply fit between what others say on a dashboard's wire, floor 0.

All the figures of the relay through the ESC stand here. From the end of a question on this wire: it
is repeated on the pack's wires (0.78 ms), the pack answers (0.2 ms, or when it is free again), the
ESC takes the answer in at the rate of the line, and sends it on at its own pace, 0.2 ms a byte.

A moment is good when question and reply are over before the dashboard speaks again, even if the ESC
asks the pack for itself in between, and when no reply that may be late meets anybody's frame.

Time is passed in, in seconds. Source: m365_dash_app, 30 reads of a phone and their replies.
"""

from collections import deque
from math import inf
from typing import Final

from ninebot_bms.dashboard_beat import Beat
from ninebot_bms.frames import LAYOUTS, Dialect
from ninebot_bms.pack_rhythm import LATEST_S, Question, Rhythm, Spans
from ninebot_bms.pairing import BYTE_S

__all__ = ["PROBE_SIZE", "RELAY_S", "Placing"]

#: Bytes of the shortest read: its reply runs into as little as possible.
PROBE_SIZE: Final = 2
#: From the end of a question on this wire until it has reached the pack.
RELAY_S: Final = 0.00078
_RELAYED_S: Final = 0.0010  # that, and until the pack answers
_GUARD_S: Final = 0.0008  # before the next frame
_POLL_S: Final = 0.0030  # the ESC may just be asking the pack for itself
_WINDOW_S: Final = 0.0012  # from the decision to the first byte, at least
_LAGS: Final = 20
_USED_S: Final = 0.004  # of a usual gap, what is not there for question and reply
#: What a frame of the dashboard takes from its earliest start, at most: 3 ms late, and the ESC's
#: answer behind it.
_MOST_S: Final = 0.0070
#: With more phases possible than this share nothing is safe any more.
_LITTLE: Final = 0.3
_NEWS: Final = 0.02  # a share of the phases that is worth a question


class Placing:
    """Judges moments.

    Args:
        beat: when the dashboard speaks.
        rhythm: when the pack is busy.
        dialect: what they speak.
    """

    def __init__(self, beat: Beat, rhythm: Rhythm, dialect: Dialect) -> None:
        self._beat = beat
        self._rhythm = rhythm
        self._layout = LAYOUTS[dialect]
        self._lags: deque[float] = deque(maxlen=_LAGS)

    @property
    def window_s(self) -> float:
        """Seconds that may pass from the decision to the first byte on the wire."""
        usual = sorted(self._lags)[3 * len(self._lags) // 4] if self._lags else 0.0
        return max(_WINDOW_S, usual)

    def note_echo(self, decided: float, echoed: float) -> None:
        """Take into account how long a question really took, until its echo was heard."""
        self._lags.append(echoed - decided - self._asked_s)

    def size_of(self, payload: int) -> int:
        """Return how many bytes a frame with so many bytes of payload has."""
        return payload + self._layout.min_length + self._layout.overhead

    def relay_s(self, payload: int) -> float:
        """Return how long the ESC takes in and sends on a reply with so many bytes of payload."""
        return self.size_of(payload) * (BYTE_S + self._pace_s)

    def reply_at(self, asked: float, payload: int) -> float:
        """Return when a prompt reply is complete, of a question that ended at `asked`."""
        return asked + _RELAYED_S + self.relay_s(payload)

    def fits(self, payload: int, now: float) -> bool:
        """Is a prompt reply over before the dashboard speaks again?"""
        return now + self._needs_s(payload) <= self._beat.expected()

    def is_safe(self, payload: int, now: float) -> bool:
        """Does it fit, and does no late reply meet anybody, whenever the pack may be busy?"""
        if not self.fits(payload, now):
            return False
        return self._rhythm.risk(*self._case(payload, now)) == 0

    def is_probe_due(self, now: float) -> bool:
        """Is it worth to ask for little, only to hear when the pack is busy?

        Just before the moment at which the pack may be free again, a reply tells when that is.
        """
        if not self.is_safe(PROBE_SIZE, now):
            return False
        question, _ = self._case(PROBE_SIZE, now)
        return self._rhythm.lateness(question) > _NEWS

    @property
    def is_lost(self) -> bool:
        """Is so little known of the pack's rhythm that nothing is safe?"""
        return self._rhythm.doubt > _LITTLE

    @property
    def longest(self) -> int:
        """How many bytes of payload fit into a usual gap; 0: none."""
        spare_s = (self._beat.period_s or 0.0) - _USED_S - self._needs_s(0)
        return max(0, int(spare_s / (BYTE_S + self._pace_s)) // 2 * 2)

    @property
    def _pace_s(self) -> float:
        return self._beat.pace_s or 0.0

    @property
    def _asked_s(self) -> float:
        return self.size_of(1) * BYTE_S

    def _needs_s(self, payload: int) -> float:
        replied_s = self.reply_at(self._asked_s, payload)
        return self.window_s + replied_s + _POLL_S + _GUARD_S

    def _case(self, payload: int, now: float) -> tuple[Question, Spans]:
        """Return a question, and when others will speak until its reply is certainly over."""
        first = now + self._asked_s + RELAY_S
        last = first + self.window_s
        until = last + LATEST_S + self.relay_s(payload)
        frames = int((until - now) / (self._beat.period_s or inf)) + 1
        starts = [self._beat.expected(ahead) for ahead in range(1, frames + 1)]
        question = Question(first, last, self.size_of(payload), self._pace_s)
        return question, [(start - _GUARD_S, start + _MOST_S) for start in starts]
