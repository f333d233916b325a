"""Boot time, boot id, and UTC once it is known, floor 3.

A Pi has no battery-backed clock: after a power cut it wakes with a wrong one until the network
corrects it. So readings are taken in milliseconds since boot, which nothing ever steps, and the
difference to UTC is added once UTC is known (guarantee 5 of the design):

* `auto`: the kernel says that it is synchronised (adjtimex: no TIME_ERROR, no STA_UNSYNC; set by
  systemd-timesyncd, ntpd, and chronyd with `rtcsync`);
* `battery`: a battery-backed clock is declared;
* `trusted`: the configuration takes the responsibility (demo and tests).

In no mode is a time before 2024 believed (that is what a clock with an empty battery shows), nor
one after 2099. A clock with a battery that stands before the newest reading of an earlier boot is
wrong, or was: it is believed once the kernel vouches for it.

Boot time is the steadier witness: nothing ever steps it. So once UTC is known, a step of the
kernel's clock is followed only if the kernel says that it is synchronised, in every mode: a hand, a
program or a dying battery that moves the clock moves no reading.
"""

import ctypes
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

__all__ = ["Clock", "ClockMode", "boot_id", "boot_ms", "kernel_synchronised", "utc_ms"]

ClockMode = Literal["auto", "trusted", "battery"]

#: 2024-01-01T00:00:00Z: older than any reading that this program can have taken.
_EARLIEST_UTC_MS: Final = 1_704_067_200_000
#: 2100-01-01T00:00:00Z: no store takes what is later.
_LATEST_UTC_MS: Final = 4_102_444_800_000
#: The offset is kept while the kernel's differs less: slewing must not jitter the sample times.
_KEEP_MS: Final = 500
#: Both clocks count as read at one instant if boot time did not move further in between.
_ONE_INSTANT_MS: Final = 20
_ATTEMPTS: Final = 5

#: Source: linux/timex.h; `status` stands at the same place in every ABI: int, then four longs.
_TIME_ERROR: Final = 5
_STA_UNSYNC: Final = 0x0040

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
#: There since systemd-timesyncd has set the clock of this boot. Source: systemd-timesyncd(8).
_TIMESYNC: Final = Path("/run/systemd/timesync/synchronized")
_PROCESS_BOOT_ID: Final = str(uuid.uuid4())


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),  # more than any ABI's structure has
    )


def boot_ms() -> int:
    """Return milliseconds since boot, time asleep included (CLOCK_BOOTTIME)."""
    return _boot_ns() // 1_000_000


def _boot_ns() -> int:
    # Not on every system: there the monotonic clock is as good, it only stops in suspend.
    clock_id = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if clock_id is None else time.clock_gettime_ns(clock_id)


def utc_ms() -> int:
    """Return what the kernel's clock says, right or wrong: UTC milliseconds."""
    return time.time_ns() // 1_000_000


def boot_id() -> str:
    """Return the kernel's id of this boot; where there is none, one id a process."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or _PROCESS_BOOT_ID
    except OSError:
        return _PROCESS_BOOT_ID


def kernel_synchronised() -> bool:
    """Return whether the kernel says that its clock follows a reference.

    A service that is not allowed to ask it takes the word of systemd-timesyncd; False without.
    """
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError, TypeError):
        return False
    state = _Timex()  # modes = 0: only ask
    result = adjtimex(ctypes.byref(state))
    if result < 0:
        return _TIMESYNC.exists()
    return result < _TIME_ERROR and not state.status & _STA_UNSYNC


class Clock:
    """Boot time and, once it is known, UTC.

    Args:
        mode: when UTC counts as known.
        boot_ms: milliseconds since boot.
        utc_ms: the kernel's UTC milliseconds.
        synchronised: what the kernel says about them.
        boot_id: id of this boot; the kernel's by default.
        sleeps: whether boot time goes on while the machine is suspended. Where it does not, a
            clock that counts as known is followed whenever it steps ahead: so does waking look.

    Attributes:
        not_before_ms: UTC milliseconds of the newest reading that an earlier boot has stored; None
            if there is none. Set it before the clock is asked.
    """

    def __init__(
        self,
        mode: ClockMode = "auto",
        *,
        boot_ms: Callable[[], int] = boot_ms,
        utc_ms: Callable[[], int] = utc_ms,
        synchronised: Callable[[], bool] = kernel_synchronised,
        boot_id: Callable[[], str] = boot_id,
        sleeps: bool = hasattr(time, "CLOCK_BOOTTIME"),
    ) -> None:
        self._mode = mode
        self._boot_ms = boot_ms
        self._utc_ms = utc_ms
        self._synchronised = synchronised
        self._sleeps = sleeps
        self._offset_ms: int | None = None
        self.not_before_ms: int | None = None
        self.boot_id: Final = boot_id()

    def boot_ms(self) -> int:
        """Return whole milliseconds since boot."""
        return self._boot_ms()

    def boot_s(self) -> float:
        """Return seconds since boot, in steps of a millisecond."""
        return self._boot_ms() / 1000

    def exact_s(self) -> float:
        """Return seconds since boot as finely as they are known, never before `boot_s`.

        For a bus on which a part of a millisecond decides; of a clock that was put in, `boot_s`.
        """
        return _boot_ns() / 1e9 if self._boot_ms is boot_ms else self.boot_s()

    def utc_offset_ms(self) -> int | None:
        """Return UTC minus boot time, or None while UTC is not known.

        Once known it stays known: boot time drifts by seconds a day at most, whatever happens to
        the kernel's clock. It moves only when a clock that counts as known, and that the kernel
        vouches for, differs by half a second or more.
        """
        is_vouched = self._synchronised()
        if self._mode == "auto" and not is_vouched:
            return self._offset_ms
        seen = self.difference_ms()
        if seen is not None and self._follows(seen, is_vouched=is_vouched):
            self._offset_ms = seen
        return self._offset_ms

    def is_behind(self, difference_ms: int) -> bool:
        """Tell whether a clock with this difference stands before the newest stored reading."""
        newest = self.not_before_ms
        return newest is not None and self._boot_ms() + difference_ms < newest

    def _follows(self, seen: int, *, is_vouched: bool) -> bool:
        if not _EARLIEST_UTC_MS <= seen + self._boot_ms() < _LATEST_UTC_MS:
            return False
        if self._offset_ms is None:
            return is_vouched or self._mode != "battery" or not self.is_behind(seen)
        step = seen - self._offset_ms
        return abs(step) >= _KEEP_MS and (is_vouched or (step > 0 and not self._sleeps))

    def utc_ms(self) -> int | None:
        """Return UTC milliseconds now, or None while they are not known."""
        offset_ms = self.utc_offset_ms()
        return None if offset_ms is None else self._boot_ms() + offset_ms

    def difference_ms(self) -> int | None:
        """Return what the kernel's clock shows minus boot time, right or wrong; None if that fails.

        Both are read at one instant.
        """
        for _ in range(_ATTEMPTS):
            before = self._boot_ms()
            utc = self._utc_ms()
            after = self._boot_ms()
            # A process that was stopped between the readings would see any difference at all.
            if after - before <= _ONE_INSTANT_MS:
                return utc - (before + after) // 2
        return None
