"""Does the machine's clock run steadily? `timestamp_anomaly`, live, floor 4.

The clock of the kernel is held against boot time, which nothing steps and which goes on while the
machine sleeps. A step is told, and what it means for the readings; that none gets a wrong time by
it is the business of `packtap.clock`. Steady slewing is no step.

The counterpart for captures is `packtap.analysis.recorder_clock`.
"""

from typing import Final

from packtap.analysis.finding import Finding
from packtap.clock import Clock

__all__ = ["ClockWatch"]

#: Between two looks a second apart nothing but a step makes so much, milliseconds.
_STEP_MS: Final = 1000
#: So long without another step, and it is over.
_CALM_S: Final = 60.0
_KIND: Final = "timestamp_anomaly"


class ClockWatch:
    """Looks at the clock once a second.

    Args:
        clock: of the agent.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: int | None = None
        self._offset_ms: int | None = None
        # What the run before has raised must end too.
        self._stepped: float | None = clock.boot_s()

    def look(self, now: float) -> list[Finding]:
        """Return what is to be said of the clock: a step, the end of one, both, or nothing.

        Args:
            now: seconds since boot.
        """
        seen = self._clock.difference_ms()
        before, self._offset_ms = self._offset_ms, self._clock.utc_offset_ms()
        if seen is None:
            return []
        last, self._last = self._last, seen
        if last is None:
            return self._first(now, seen)
        step_ms = seen - last
        if abs(step_ms) < _STEP_MS:
            return self._calm(now)
        return self._raise(now, step_ms, f"{_size(step_ms)}; {_followed(before, self._offset_ms)}")

    def _first(self, now: float, seen: int) -> list[Finding]:
        newest = self._clock.not_before_ms
        if newest is None or not self._clock.is_behind(seen):
            return []
        step_ms = self._clock.boot_ms() + seen - newest
        what = "behind the newest stored reading"
        if self._offset_ms is None:
            return self._raise(now, step_ms, f"{what}; {_followed(None, None)}")
        return self._raise(now, step_ms, f"{what}, which an earlier, wrong clock may have dated")

    def _calm(self, now: float) -> list[Finding]:
        if self._stepped is None or now - self._stepped < _CALM_S:
            return []
        self._stepped = None
        return [Finding(_KIND, False, now)]

    def _raise(self, now: float, step_ms: int, detail: str) -> list[Finding]:
        """Tell this step, and the end of the one before: each is told by itself."""
        ended = [] if self._stepped is None else [Finding(_KIND, False, now)]
        self._stepped = now
        value = round(step_ms / 1000, 1)
        return [*ended, Finding(_KIND, True, now, None, value, None, detail)]


def _size(step_ms: int) -> str:
    return f"{abs(step_ms) / 1000:.0f} s {'back' if step_ms < 0 else 'ahead'}"


def _followed(before: int | None, after: int | None) -> str:
    """Say what a step means for the readings."""
    if after is None:
        return "it is not believed, readings wait undated"
    if before is None:
        return "it is believed now, and dates what waited"
    if before == after:
        return "it is not believed, readings keep the time that was known"
    return "a time server vouches for it, readings follow"
