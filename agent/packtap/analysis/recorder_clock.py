"""Does the recorder's clock run steadily? Floor 2.

A Pi without a battery-backed clock starts in 1970 or where it was switched off, and steps once the
network is there. The bus does not care: the time that the checks see must not either. This turns
the times of a capture into steady seconds that never run backwards nor leap by years, tells the
step, and turns steady seconds back into the capture's own.

Source: events.md sections 2 (timestamp_anomaly) and 4 (a capture may start at 0 s).
"""

from typing import Final

from packtap.analysis.finding import Finding

__all__ = ["RecorderClock"]

#: Reads of two lines may be written out of order by up to 60 ms; further back is another clock.
_BACK_S: Final = 1.0
#: A capture with bursts every hour has no hole of a season; a clock that was set leaps by years.
_LEAP_S: Final = 100 * 86400.0
#: So long without another step, and it is over.
_CALM_S: Final = 60.0
#: What is taken to have passed at a step: about one poll.
_STEP_S: Final = 0.2


class RecorderClock:
    """Takes the times of a capture in its order, gives steady ones."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._stepped: float | None = None
        self._ahead_s = 0.0  # steady time minus the capture's

    def steady(self, t: float | None) -> tuple[float | None, Finding | None]:
        """Return the steady time of a chunk, and the finding if the clock stepped there.

        Args:
            t: seconds of the capture's own clock; None if it has no times.
        """
        if t is None:
            return None, None
        last = self._last
        self._last = t
        if last is None or -_BACK_S <= t - last <= _LEAP_S:
            if self._stepped is None or t - self._stepped < _CALM_S:
                return t + self._ahead_s, None
            self._stepped = None
            return t + self._ahead_s, Finding("timestamp_anomaly", False, t)
        self._stepped = t
        step_s = t - last
        self._ahead_s += _STEP_S - step_s
        detail = f"{abs(step_s):.0f} s {'back' if step_s < 0 else 'ahead'}"
        value = round(step_s, 1)
        return t + self._ahead_s, Finding("timestamp_anomaly", True, t, None, value, None, detail)

    def recorded(self, steady_t: float | None) -> float | None:
        """Return what the capture's clock showed at a steady time, as it runs now."""
        return None if steady_t is None else steady_t - self._ahead_s
