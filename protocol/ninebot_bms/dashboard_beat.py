"""When the dashboard will speak next, learned from what it has said, floor 0.

A dashboard speaks on a grid of some 20 ms. A frame may be late, and a reader may hear it late, but
never early: so of the last frames the one that is earliest for its place in the grid says where the
grid is, and the next frame is not expected before that. Nothing is promised before fifty frames
have kept to the grid, nor once a frame has not come.

The ESC's pace is learned too: on this wire it sends slower than the line would allow.

Time is passed in, in seconds. Source: m365_dash_app, 902 frames of a dashboard.
"""

from collections import deque
from itertools import pairwise
from statistics import median
from typing import Final

from ninebot_bms.pairing import BYTE_S

__all__ = ["Beat"]

_KEPT: Final = 50
_ON_GRID: Final = 45  # of these
_NEAREST: Final = 10  # frames that say where the grid is
_PERIOD_S: Final = (0.008, 0.2)  # what a grid may be; requests of 9 bytes and replies need room
_EARLY_S: Final = 0.0012  # a frame before its time: the grid is not what it seemed
_REGULAR: Final = 0.8  # of the first steps
_LATE: Final = 0.3  # of a period: later than this it is another frame
_FRESH: Final = 1.6  # periods without a frame: one has not come
_ANSWERS: Final = 20
_ANSWER_S: Final = 0.0002  # until an answer begins
_ENOUGH_ANSWERS: Final = 3
_SLOWEST_S: Final = 0.0004  # a byte


class Beat:
    """The grid of one dashboard, and the pace of its ESC."""

    def __init__(self) -> None:
        self.period_s: float | None = None  #: from frame to frame; None until it is known
        self.pace_s: float | None = None  #: that the ESC takes for a byte; None until it is known
        self._starts: deque[float] = deque(maxlen=_KEPT)
        self._places: deque[int] = deque(maxlen=_KEPT)  # of each, in the grid
        self._off_grid: deque[bool] = deque(maxlen=_KEPT)
        self._is_steady = False
        self._earliest = 0.0  # start of place 0, by the frame that is earliest for its place
        self._paces: deque[float] = deque(maxlen=_ANSWERS)

    def is_understood(self, now: float) -> bool:
        """Is it certain enough when the next frame comes?"""
        if self.period_s is None or not self._is_steady:
            return False
        return now - self._starts[-1] <= _FRESH * self.period_s

    def receive_frame(self, start: float) -> int:
        """Take a frame of the dashboard that began at `start`.

        Returns:
            frames that were due before it and did not come, 0 and up.
        """
        if not self._starts:
            self._add(start, 1)
            return 0
        passed = start - self._starts[-1]
        if passed <= 0:
            return 0
        period_s = self.period_s
        if period_s is not None and passed > _KEPT * period_s:
            self._forget()
            period_s = None
        if period_s is None:
            self._add(start, 1)
            return 0
        places = max(1, round(passed / period_s))
        early_s = self.expected(places) - start
        self._off_grid.extend([True] * (places - 1))
        self._off_grid.append(not -_LATE * period_s < early_s < _EARLY_S)
        self._add(start, places)
        return places - 1

    def receive_answer(self, asked: float, answered: float, size: int) -> None:
        """Take an answer of the ESC: the end of its question, its own end, its bytes."""
        pace_s = (answered - asked - _ANSWER_S) / size
        if 0 < pace_s < 2 * _SLOWEST_S:
            self._paces.append(pace_s)
            if len(self._paces) >= _ENOUGH_ANSWERS:
                self.pace_s = min(_SLOWEST_S, max(BYTE_S, median(self._paces)))

    def expected(self, ahead: int = 1) -> float:
        """Return the earliest moment of the `ahead`-th frame after the latest one.

        Raises:
            ValueError: nothing is known of the grid yet.
        """
        if self.period_s is None:
            raise ValueError("the period of the dashboard is not known yet")
        return self._earliest + (self._places[-1] + ahead) * self.period_s

    def _forget(self) -> None:
        """Begin anew: the grid has stood still for long. The ESC is as slow as before."""
        self._starts.clear()
        self._places.clear()
        self._off_grid.clear()
        self._is_steady = False
        self.period_s = None

    def _add(self, start: float, places: int) -> None:
        self._starts.append(start)
        self._places.append((self._places[-1] if self._places else 0) + places)
        if len(self._starts) == _KEPT:
            # Late frames at either end move this by 0.1 ms at most; the margins are wider.
            passed = self._places[-1] - self._places[0]
            self.period_s = (self._starts[-1] - self._starts[0]) / passed
        elif self.period_s is None and len(self._starts) >= _KEPT // 2:
            self.period_s = self._first_period()
        period_s = self.period_s
        if period_s is not None:
            nearest = range(max(0, len(self._starts) - _NEAREST), len(self._starts))
            self._earliest = min(self._starts[at] - self._places[at] * period_s for at in nearest)
        is_full = len(self._starts) == _KEPT
        self._is_steady = is_full and sum(self._off_grid) <= _KEPT - _ON_GRID

    def _first_period(self) -> float | None:
        """Find the period of the frames so far, and their places; None if there is none."""
        steps = [after - before for before, after in pairwise(self._starts)]
        usual = median(steps)
        regular = sum(abs(step - usual) < _LATE * usual for step in steps)
        if not _PERIOD_S[0] <= usual <= _PERIOD_S[1] or regular <= _REGULAR * len(steps):
            self._starts.popleft()
            self._places.popleft()
            return None
        place = 0
        for at, step in enumerate([0.0, *steps]):
            place += round(step / usual)
            self._places[at] = place
        return usual
