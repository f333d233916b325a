"""Does the BMS answer, and is the line clean? Floor 2.

Judged on what the bus did, not on values. Source: events.md section 2; protocol.md sections 0
(items 11, 12), 7 (25 missed polls of 200 ms = 5 s) and 8.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from ninebot_bms import BusEvent, Reason, Rejected, Reply, Seen
from ninebot_bms.frames import BMS_ADDRESSES
from packtap.analysis.finding import Finding, Held

__all__ = ["CommLossCheck", "NoiseCheck"]

_LOST_AFTER_S: Final = 5.0
#: Requests further apart than this are not "going on": the scooter was off in between.
_REQUEST_GAP_S: Final = 15.0


class CommLossCheck:
    """Requests go on, and nothing valid comes from the BMS for five seconds.

    A missing reply is nothing (a healthy ES2 leaves a quarter of its polls unanswered); a line
    without requests is a parked scooter.
    """

    def __init__(self) -> None:
        self._asked_since: float | None = None
        self._asked_last: float | None = None
        self._answering = Held(2.0)

    def receive(self, event: BusEvent) -> Iterator[Finding]:
        """Yield a finding if this bus event decides one."""
        if event.t is None:
            return
        if isinstance(event, Reply):
            self._asked_since = None
            if self._answering.update(True, event.t):
                yield Finding("bms_comm_lost", False, event.t)
        elif isinstance(event, Seen) and _asks_bms(event):
            if self._asked_last is None or not 0 <= event.t - self._asked_last <= _REQUEST_GAP_S:
                self._asked_since = None
            self._asked_last = event.t
            if self._asked_since is None:
                self._asked_since = event.t
            silent_s = event.t - self._asked_since
            if silent_s >= _LOST_AFTER_S:
                self._answering.update(False, event.t)
                value = round(silent_s, 1)
                yield Finding("bms_comm_lost", True, event.t, value=value, limit=_LOST_AFTER_S)


def _asks_bms(event: Seen) -> bool:
    frame = event.frame
    return frame.target in BMS_ADDRESSES and (frame.is_read_request or frame.is_heartbeat_request)


class NoiseCheck:
    """Share of damaged frames over the last minute.

    A stray byte or two is the break of a node that powers up, not noise.
    """

    _WINDOW_S: Final = 60
    _MIN_DAMAGED: Final = 3
    _RAISE_PCT: Final = 1.0
    _CLEAR_PCT: Final = 0.5
    _STRAY_BYTES: Final = 2

    def __init__(self) -> None:
        # One row a second: second, frames, damaged. Bounded by the window.
        self._seconds: deque[list[int]] = deque()
        self._frames = 0
        self._damaged = 0
        self._noisy = False

    def receive(self, event: BusEvent) -> Iterator[Finding]:
        """Yield a finding if this bus event decides one."""
        if event.t is None or not isinstance(event, Seen | Rejected):
            return
        damaged = isinstance(event, Rejected)
        if isinstance(event, Rejected):
            reject = event.reject
            if reject.reason is Reason.HEADER and reject.size <= self._STRAY_BYTES:
                return
        self._count(int(event.t), damaged)
        share_pct = 100 * self._damaged / (self._frames + self._damaged)
        if not self._noisy and self._damaged >= self._MIN_DAMAGED and share_pct > self._RAISE_PCT:
            self._noisy = True
            value = round(share_pct, 1)
            yield Finding("bus_noise", True, event.t, value=value, limit=self._RAISE_PCT)
        elif self._noisy and share_pct < self._CLEAR_PCT:
            self._noisy = False
            yield Finding("bus_noise", False, event.t)

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
