"""Does the BMS answer, and is the line clean? Floor 2.

Judged on what the bus did, not on values. Source: events.md section 2; protocol.md sections 0
(items 11, 12), 7 (25 missed polls of 200 ms = 5 s) and 8.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log
from typing import Final

from ninebot_bms import BusEvent, Reason, Rejected, Reply, Seen
from ninebot_bms.frames import BMS_ADDRESSES
from ninebot_bms.pairing import asks_pack
from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding, Held
from packtap.model import Event

__all__ = [
    "SHARED_WIRE_PCT", "CommLossCheck", "IntermittentCheck", "LinkLimits", "NoiseCheck",
]  # fmt: skip

#: So many of a hundred frames may be damaged on a sound dashboard's wire while a phone reads the
#: pack there: a busy pack answers late, into frames of others. 4 of 203 within three seconds of
#: m365_dash_app.
SHARED_WIRE_PCT: Final = 5.0


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """When silence and damage on the line count.

    Attributes:
        lost_s: no reply for so long.
        gap_s: a gap between two replies.
        gaps: so many of them
        window_s: within so long.
        noise_pct: share of damaged frames over a minute.
        clean_pct: the same, for the line to be clean again.
    """

    lost_s: float = of_pack("comm_lost_s")
    gap_s: float = of_pack("intermittent_gap_s")
    gaps: int = of_pack("intermittent_gaps")
    window_s: float = of_pack("intermittent_s")
    noise_pct: float = of_pack("bus_noise_pct")
    clean_pct: float = of_pack("bus_noise_clear_pct")


#: One or two lost replies in a row happen on a sound line; while charging the polls are 6 s apart.
_MIN_LOST: Final = 3
#: Accidents that would be a false alarm: one in a year of polls, and a third of a false alarm in a
#: month (three gaps in ten minutes make one).
_LOSS_ACCIDENT: Final = 1e-7
_GAP_ACCIDENT: Final = 1e-5
#: Requests further apart than this are not "going on": the scooter was off in between.
_REST_S: Final = 15.0
#: The first question after a pause of this length is a knock at a sleeping board.
_KNOCK_PAUSE_S: Final = 1.0
_KNOCK_INDEX: Final = 0x10
#: One damaged frame for so many requests is noise; then silence takes longer to be sure of.
_NOISE_SHARE: Final = 4
_LOST_IN_NOISE_S: Final = 20.0
_STRAY_BYTES: Final = 2
_MOST_GAPS: Final = 20  # that a configuration may ask for


class _LossRate:
    """How often single replies get lost on this line, and how many in a row are no accident.

    A sound line loses one in a few hundred; an ES2 leaves a quarter of its second requests open.
    Losses in a row are left out: those are what is being judged.
    """

    _KNOWN_REQUESTS: Final = 100  # taken for granted, one of them unanswered

    def __init__(self, accident: float) -> None:
        self._accident = accident  # probability that so many losses in a row are one
        self._answered = float(self._KNOWN_REQUESTS)
        self._lost = 1.0

    def answered_after(self, asked: int) -> None:
        """Take a reply, and how many requests went out since the reply before."""
        lost = max(0, asked - 1)
        if lost < self.telling:
            self._lost += lost
        self._answered += 1

    @property
    def telling(self) -> int:
        """So many losses in a row are no accident."""
        share = min(0.9, self._lost / (self._lost + self._answered))
        return max(_MIN_LOST, ceil(log(self._accident) / log(share)))


class CommLossCheck:
    """Requests go on, and nothing valid comes from the BMS for five seconds.

    A missing reply is nothing (a healthy ES2 leaves a quarter of its polls unanswered); a line
    without requests is a parked scooter; damaged frames in the silence are noise, not a dead board.

    Args:
        limits: how long.
        bench: packtap itself asks, in bursts with pauses: knocks after a pause do not begin anew.
    """

    def __init__(self, limits: LinkLimits | None = None, *, bench: bool = False) -> None:
        self.limits = limits or LinkLimits()
        self._bench = bench
        self._asked_since: float | None = None
        self._asked_last: float | None = None
        self._asked = 0
        self._damaged = 0
        self._rate = _LossRate(_LOSS_ACCIDENT)
        self._answering = Held(2.0)
        self._ever_answered = False
        self.judged: set[str] = set()
        self.signs: set[str] = set()  # of `defects.SIGNS`

    def receive(self, event: BusEvent) -> Iterator[Finding]:
        """Yield a finding if this bus event decides one."""
        if event.t is None:
            return
        if isinstance(event, Reply):
            self._rate.answered_after(self._asked if self._asked_since is not None else 1)
            self._asked_since = None
            self._ever_answered = True
            self.judged.add("bms_comm_lost")
            if self._answering.update(True, event.t):
                yield Finding("bms_comm_lost", False, event.t)
        elif isinstance(event, Rejected):
            self._damaged += not _is_stray(event)
        elif isinstance(event, Seen) and _asks_bms(event):
            yield from self._take_request(event, event.t)

    def reopen(self, event: Event) -> None:
        """Take an event that is open: whoever answers ends it, whether it is known or not."""

    def was_deaf(self, since: float, until: float) -> None:
        """Leave out a time in which nobody listened: no silence is counted in it."""
        if self._asked_since is not None:
            self._asked_since += max(0.0, until - since)

    def _take_request(self, event: Seen, t: float) -> Iterator[Finding]:
        wakes = not self._bench and _wakes(event, self._asked_last, t)
        if wakes or not 0 <= _since(self._asked_last, t) <= _REST_S:
            self._asked_since = None
        self._asked_last = t
        if self._asked_since is None:
            self._asked_since = t
            self._asked = self._damaged = 0
        self._asked += 1
        silent_s = t - self._asked_since
        is_noise = self._damaged * _NOISE_SHARE > self._asked and silent_s < _LOST_IN_NOISE_S
        if silent_s >= self.limits.lost_s and self._asked > self._rate.telling and not is_noise:
            self._answering.update(False, t)
            self.judged.add("bms_comm_lost")
            if not self._ever_answered:
                self.signs.add("never_answered")
            value = round(silent_s, 1)
            yield Finding("bms_comm_lost", True, t, value=value, limit=self.limits.lost_s)


def _asks_bms(event: Seen) -> bool:
    frame = event.frame
    return frame.target in BMS_ADDRESSES and (frame.is_read_request or frame.is_heartbeat_request)


def _since(earlier: float | None, t: float) -> float:
    return -1.0 if earlier is None else t - earlier


def _wakes(event: Seen, last_request: float | None, t: float) -> bool:
    """Is it a knock at a board that may sleep, because nobody has asked for a while?"""
    return event.frame.index == _KNOCK_INDEX and _since(last_request, t) > _KNOCK_PAUSE_S


def _is_stray(event: Rejected) -> bool:
    """A stray byte or two is the break of a node that powers up, not noise."""
    reject = event.reject
    return reject.reason is Reason.HEADER and reject.size <= _STRAY_BYTES


class IntermittentCheck:
    """Replies fail for a second and come back, again and again: a loose contact.

    A gap lies between two replies, within one session of requests: knocks that wake a sleeping
    board are no gap, nor is a parked scooter. A single lost reply is none either, however slow the
    polls: two requests in the gap must have gone unanswered, not counting an ES2's habit of
    leaving its second request open while the first is answered.
    """

    #: A master that pauses for so long has switched off, and wakes the board anew.
    _PAUSE_S: Final = 2.5
    _JUDGED_AFTER_S: Final = 30.0

    def __init__(self, limits: LinkLimits | None = None) -> None:
        self.limits = limits or LinkLimits()
        self._last_request: float | None = None
        self._gap_since: float | None = None  # first request since the last reply
        self._asked = 0
        self._rate = _LossRate(_GAP_ACCIDENT)
        self._in_session = False
        self._session_since: float | None = None
        self._gaps: deque[float] = deque(maxlen=_MOST_GAPS)  # ends of the latest gaps
        self._open = False
        self._calm_since: float | None = None  # where no gap is known any more
        self.judged: set[str] = set()
        self.signs: set[str] = set()

    def reopen(self, event: Event) -> None:
        """Take an event that is open although this check does not know it: it has to end it."""
        self._open |= event.kind == "bms_comm_intermittent"

    def receive(self, event: BusEvent) -> Iterator[Finding]:
        """Yield a finding if this bus event decides one."""
        t = event.t
        if t is None:
            return
        if isinstance(event, Reply):
            yield from self._take_reply(t)
        elif isinstance(event, Seen) and _asks_bms(event):
            last, self._last_request = self._last_request, t
            if not 0 <= _since(last, t) <= self._PAUSE_S or _wakes(event, last, t):
                self._in_session = False
            if self._gap_since is None or not self._in_session:
                self._gap_since = t
                self._asked = 0
            self._asked += 1

    def was_deaf(self, since: float, until: float) -> None:
        """Forget a gap that was open when listening ended: the replies in it were not heard."""
        del since, until
        self._gap_since = None
        self._asked = 0

    def _take_reply(self, t: float) -> Iterator[Finding]:
        since, self._gap_since = self._gap_since, None
        asked, self._asked = self._asked, 0
        if not self._in_session:
            self._in_session = True
            self._session_since = t
            return
        if self._session_since is not None and t - self._session_since >= self._JUDGED_AFTER_S:
            self.judged.add("bms_comm_intermittent")
        limits = self.limits
        telling = self._rate.telling
        self._rate.answered_after(asked)
        # The reply at the end answers the last request of the gap.
        if since is not None and t - since >= limits.gap_s and asked > telling:
            self._gaps.append(t)
            latest = list(self._gaps)[-limits.gaps :]
            if len(latest) == limits.gaps and 0 <= t - latest[0] <= limits.window_s:
                self._open = True
                self.judged.add("bms_comm_intermittent")
                yield Finding("bms_comm_intermittent", True, t, value=limits.gaps)
        elif self._open:
            if self._calm_since is None:
                self._calm_since = t
            if t - (self._gaps[-1] if self._gaps else self._calm_since) > limits.window_s:
                self._open, self._calm_since = False, None
                yield Finding("bms_comm_intermittent", False, t)


class NoiseCheck:
    """Share of damaged frames over the last minute, and over all."""

    _WINDOW_S: Final = 60
    _MIN_DAMAGED: Final = 3
    _HEAVY_PCT: Final = 1.0  # of the whole recording
    _HEAVY_DAMAGED: Final = 30
    _CUT_S: Final = 0.2  # a frame takes 15 ms at most, and is given up 50 ms after that

    def __init__(self, limits: LinkLimits | None = None) -> None:
        self.limits = limits or LinkLimits()
        # One row a second: second, frames, damaged. Bounded by the window.
        self._seconds: deque[list[int]] = deque()
        self._frames = 0
        self._damaged = 0
        self._noisy = False
        self._shared_at: float | None = None  # the pack was last asked on the dashboard's wire
        self._all_frames = self._all_damaged = 0
        self._since: float | None = None
        self._heard_from: float | None = None  # listening began anew there
        self.judged: set[str] = set()
        self.signs: set[str] = set()  # of `defects.SIGNS`

    def receive(self, event: BusEvent) -> Iterator[Finding]:
        """Yield a finding if this bus event decides one."""
        if event.t is None or not isinstance(event, Seen | Rejected):
            return
        damaged = isinstance(event, Rejected)
        if isinstance(event, Rejected) and (_is_stray(event) or self._is_cut(event.t)):
            return
        if isinstance(event, Seen) and event.line == "dash" and asks_pack(event.frame):
            self._shared_at = event.t
        self._count(int(event.t), damaged)
        if self._since is None:
            self._since = event.t
        elif event.t - self._since >= self._WINDOW_S:
            self.judged.add("bus_noise")
        share_pct = 100 * self._damaged / (self._frames + self._damaged)
        self._all_frames += not damaged
        self._all_damaged += damaged
        all_pct = 100 * self._all_damaged / (self._all_frames + self._all_damaged)
        usual_pct = 0.0 if self._shared_at is None else SHARED_WIRE_PCT
        if self._all_damaged >= self._HEAVY_DAMAGED and all_pct > max(self._HEAVY_PCT, usual_pct):
            self.signs.add("noise_heavy")
        limits = self.limits
        # What stands in the window may be of a phone that has just gone.
        is_shared = self._shared_at is not None and event.t - self._shared_at <= self._WINDOW_S
        limit_pct = max(limits.noise_pct, SHARED_WIRE_PCT) if is_shared else limits.noise_pct
        is_noise = self._damaged >= self._MIN_DAMAGED and share_pct > limit_pct
        if not self._noisy and is_noise:
            self._noisy = True
            value = round(share_pct, 1)
            yield Finding("bus_noise", True, event.t, value=value, limit=limit_pct)
        elif self._noisy and share_pct < limits.clean_pct and "bus_noise" in self.judged:
            self._noisy = False
            yield Finding("bus_noise", False, event.t)

    def reopen(self, event: Event) -> None:
        """Take an event that is open although this check does not know it: it has to end it."""
        self._noisy |= event.kind == "bus_noise"

    def was_deaf(self, since: float, until: float) -> None:
        """Count no frame as damaged that listening began in the middle of."""
        del since
        self._heard_from = until

    def _is_cut(self, t: float) -> bool:
        return self._heard_from is not None and 0 <= t - self._heard_from <= self._CUT_S

    @property
    def damaged(self) -> int:
        """Damaged frames so far."""
        return self._all_damaged

    def _count(self, second: int, damaged: bool) -> None:
        seconds = self._seconds
        if not seconds or seconds[-1][0] != second:
            seconds.append([second, 0, 0])
        seconds[-1][1 + damaged] += 1
        self._frames += not damaged
        self._damaged += damaged
        # A clock that ran backwards leaves rows "of the future": those go as well.
        while seconds and not 0 <= second - seconds[0][0] < self._WINDOW_S:
            _, frames, bad = seconds.popleft()
            self._frames -= frames
            self._damaged -= bad
