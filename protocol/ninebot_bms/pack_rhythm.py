"""When a pack will answer late, learned from when it did, floor 0.

A recorded pack is busy for 35 ms twice in 200.45 ms; what it is asked meanwhile it answers at the
end of that. Whoever shares a bus must know when, since a late reply runs into somebody's frame.

What is not known is kept as the set of all phases of that cycle that are still possible: half a
millisecond each, one bit each. A reply at once rules out the phases that would have made it late; a
late one leaves those that end then. As time passes the set grows, because no clock of a pack is
exact; how exact, is narrowed down too. A pack that is never late rules out all phases: then there
is nothing to fear. One that is late when no phase is left is not understood, and counted.

Time is passed in, in seconds. Source: the 26 late replies of m365_esc_bms and m365_dash_app.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ninebot_bms.pairing import BYTE_S

__all__ = ["LATEST_S", "Question", "Rhythm", "Spans"]

_CYCLE_S: Final = 0.20045
_CYCLE_DOUBT_S: Final = 0.0010  # 0.5 %; the recordings: 200.45 and 200.50 ms
_MOST_DOUBT_S: Final = 0.0020  # 1 %: an oscillator without a crystal
_WIDER: Final = 2.0
_LEAST_DOUBT_S: Final = 0.000004
_DRIFT: Final = 1e-6  # per second: it warms up
#: Moments of the cycle at which a pack is free again.
_ENDS_S: Final = (0.0, 0.0950)
_BUSY_S: Final = 0.036  # before them, at most
_SURELY_S: Final = 0.033  # at least: so late the latest of the recorded replies was
#: A busy time may end so much later than the rhythm says (2 of 15 recorded ones: 3.4 ms), and the
#: ESC may then ask for itself first; and it may seem to end a little earlier.
_LONGER_S: Final = 0.0038
_WAITS_S: Final = 0.0048
_SKEW_S: Final = 0.0008
_VISIBLE_S: Final = 0.0035  # a reply that is less late may have waited for the ESC only
#: So late may a reply be.
LATEST_S: Final = _BUSY_S + _LONGER_S + _WAITS_S

_BINS: Final = 401
_ALL: Final = (1 << _BINS) - 1
_FEWEST: Final = 4  # fewer phases than these were certain beyond what reads can tell
_CERTAIN: Final = 40  # so few phases tell which of the ends was seen
_KEPT_S: Final = 120.0  # late replies that say how long a cycle is
_CYCLES: Final = 4  # that must lie between two of them
_UNAMBIGUOUS_S: Final = 0.06  # so little doubt tells how many cycles have passed
#: So many foreseen late replies, or so many of which none was late, prove that it is understood.
_PROVEN: Final = 10
_PROVEN_EVEN: Final = 200
#: More possible phases than this, or a length of the cycle less certain: it is time to hear an end.
_VAGUE: Final = 24
_COARSE_S: Final = 0.00015

#: Times that belong to others: start and end of each, seconds.
Spans = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Question:
    """A read that may be asked."""

    first: float  #: earliest moment at which it reaches the pack, seconds
    last: float  #: latest one
    size: int  #: bytes of the reply, frame and all
    pace_s: float  #: seconds a byte with which the reply is relayed


class Rhythm:
    """The phases that a pack's cycle may have."""

    def __init__(self) -> None:
        self.surprises = 0  #: replies so far that contradicted all that was known
        self._phases = _ALL
        self._has_been_late = False
        self._is_even = False  # never late, as far as is known
        self._foreseen = 0  # late replies, since one was wholly unforeseen
        self._prompt = 0  # replies at once, since then
        self._origin = 0.0  # some beginning of a cycle with phase 0
        self._shortest_s = _CYCLE_S - _CYCLE_DOUBT_S
        self._longest_s = _CYCLE_S + _CYCLE_DOUBT_S
        self._aged_at: float | None = None
        self._grown_s = 0.0
        self._ends: deque[float] = deque(maxlen=64)  # first ends of cycles, as seen

    @property
    def doubt(self) -> float:
        """The share of the phases that are still possible, 0 (never late) to 1."""
        return 0.0 if self._is_even else self._phases.bit_count() / _BINS

    @property
    def is_proven(self) -> bool:
        """Has it foreseen enough of what others were answered to be relied on?"""
        return self._prompt >= _PROVEN_EVEN if self._is_even else self._foreseen >= _PROVEN

    def note_prompt(self, asked: float, free: float) -> None:
        """Take a reply that came at once.

        Args:
            asked: when the question reached the pack.
            free: when the pack looked at it, as far as the reply tells: soon afterwards.
        """
        self._age(asked)
        self._prompt += 1
        if self._is_even:
            return
        late = self._with_end(max(asked, free) + _SKEW_S, asked + _SURELY_S)
        left = self._phases & ~late
        if left:
            self._phases = left
        elif self._has_been_late:
            self.start_over()
            self._phases &= ~late
        else:
            self._is_even = True

    def note_late(self, ended: float, waited_s: float = 0.0) -> None:
        """Take a late reply.

        Args:
            ended: when the pack's busy time ended, as far as the reply tells.
            waited_s: so much of its lateness may be due to others on the wire.
        """
        self._age(ended)
        if self._is_even:
            self.start_over()
        self._has_been_late = True
        seen = self._with_end(ended - waited_s - _LONGER_S - _WAITS_S, ended + _SKEW_S)
        if not self._phases & seen:
            self.start_over()
        self._phases &= seen
        if self._phases.bit_count() < _FEWEST:
            self._grow()
        if not waited_s:
            self._foreseen += 1
            self._learn_cycle(ended)

    def start_over(self) -> None:
        """Give up what was thought to be known: it has led to something that it ruled out."""
        self.surprises += 1
        self._phases = _ALL
        self._is_even = False
        self._foreseen = self._prompt = 0
        self._ends.clear()
        # Perhaps this pack's cycle is not quite what it seemed.
        middle_s = self._cycle_s
        half_s = min(_MOST_DOUBT_S, _WIDER * (self._longest_s - self._shortest_s) / 2)
        self._shortest_s, self._longest_s = middle_s - half_s, middle_s + half_s

    def wants_to_hear(self, now: float) -> bool:
        """Would a late reply, whose end says where the cycle stands, be worth a question now?"""
        self._age(now)
        if self._is_even:
            return False
        return self._phases.bit_count() > _VAGUE or self._longest_s - self._shortest_s > _COARSE_S

    def lateness(self, question: Question) -> float:
        """Return the share of the possible phases that will make the reply late, and visibly so."""
        self._age(question.last)
        late = self._with_end(question.last + _VISIBLE_S, question.first + _SURELY_S)
        return (late & self._phases).bit_count() / self._phases.bit_count()

    def risk(self, question: Question, taken: Spans) -> float:
        """Return the share of the possible phases that may bring the reply into somebody's time.

        Args:
            question: what would be asked.
            taken: times that belong to others, from `question.first` on, until `LATEST_S` and the
                reply's own time after `question.last`.
        """
        self._age(question.last)
        if self._is_even:
            return 0.0
        longer_s = _LONGER_S + _WAITS_S
        relay_s = question.size * BYTE_S
        sent_s = relay_s + question.size * question.pace_s
        hit = 0
        for begin, end in taken:
            low = max(begin - sent_s - longer_s, question.first - longer_s)
            high = min(end - relay_s + _SKEW_S, question.last + _BUSY_S)
            if low < high:
                hit |= self._with_end(low, high)
        return (hit & self._phases).bit_count() / self._phases.bit_count()

    @property
    def _cycle_s(self) -> float:
        return (self._shortest_s + self._longest_s) / 2

    def _with_end(self, low: float, high: float) -> int:
        """Return the phases that have an end of a busy time between two moments."""
        return self._arc(low - _ENDS_S[0], high - _ENDS_S[0]) | self._arc(
            low - _ENDS_S[1], high - _ENDS_S[1]
        )

    def _arc(self, low: float, high: float) -> int:
        """Return the phases from one moment to another."""
        bin_s = self._cycle_s / _BINS
        first = int((low - self._origin) // bin_s)
        count = min(_BINS, int((high - self._origin) // bin_s) - first + 1)
        bits = ((1 << max(0, count)) - 1) << first % _BINS
        return (bits | bits >> _BINS) & _ALL

    def _age(self, now: float) -> None:
        """Let the set grow with the time since it was looked at last."""
        if self._aged_at is None:
            self._aged_at = self._origin = now
        passed = now - self._aged_at
        if passed <= 0:
            return
        self._aged_at = now
        self._shortest_s -= _DRIFT * _CYCLE_S * passed
        self._longest_s += _DRIFT * _CYCLE_S * passed
        # Whole cycles are taken off while their length is what it is.
        self._origin += (now - self._origin) // self._cycle_s * self._cycle_s
        self._grown_s += passed * (self._longest_s - self._shortest_s) / (2 * _CYCLE_S)
        bin_s = _CYCLE_S / _BINS
        # As many steps as there are bins make everything possible.
        steps = min(_BINS, int(self._grown_s / bin_s))
        self._grown_s -= int(self._grown_s / bin_s) * bin_s
        for _ in range(steps):
            self._grow()

    def _grow(self) -> None:
        """Take the neighbours of all phases in."""
        left = self._phases << 1 | self._phases >> _BINS - 1
        right = self._phases >> 1 | (self._phases & 1) << _BINS - 1
        self._phases |= (left | right) & _ALL

    def _learn_cycle(self, ended: float) -> None:
        """Narrow the length of a cycle down by the time between two ends."""
        fits = [
            self._phases & self._arc(ended - _LONGER_S - _WAITS_S - end_s, ended + _SKEW_S - end_s)
            for end_s in _ENDS_S
        ]
        if self._phases.bit_count() > _CERTAIN or all(fits):
            return  # nobody can tell which of the two ends this was
        seen = ended - (_ENDS_S[0] if fits[0] else _ENDS_S[1])
        while self._ends and seen - self._ends[0] > _KEPT_S:
            self._ends.popleft()
        for before in self._ends:
            cycles = round((seen - before) / self._cycle_s)
            doubt_s = cycles * (self._longest_s - self._shortest_s)
            if cycles >= _CYCLES and doubt_s < _UNAMBIGUOUS_S:
                self._narrow(seen - before, cycles)
        self._ends.append(seen)

    def _narrow(self, passed: float, cycles: int) -> None:
        slack_s = _LONGER_S + _WAITS_S + _SKEW_S
        shortest_s = max(self._shortest_s, (passed - slack_s) / cycles)
        longest_s = min(self._longest_s, (passed + slack_s) / cycles)
        if shortest_s >= longest_s:
            return
        before_s = self._cycle_s
        middle_s = (shortest_s + longest_s) / 2
        half_s = max(_LEAST_DOUBT_S, (longest_s - shortest_s) / 2)
        self._shortest_s, self._longest_s = middle_s - half_s, middle_s + half_s
        # Phases are parts of a cycle: with its length, the moments that they stand for move.
        self._grown_s += abs(self._cycle_s - before_s)
