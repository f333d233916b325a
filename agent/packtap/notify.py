"""What the service manager is told of this process, floor 3.

systemd's protocol: datagrams of `KEY=VALUE` lines to the socket that `$NOTIFY_SOCKET` names.
Source: sd_notify(3), sd_watchdog_enabled(3). Outside a service nothing is sent.

The watchdog is fed by the working loop alone, and by it only while every thread that the service
needs gives signs of life. A thread says with each sign within what time the next one follows: soon
while it reads, later while it looks up a name. So what hangs in this process ends its feeding, and
what is wrong outside (no broker, a silent bus, an adapter that is out) does not.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["Service"]

_log = logging.getLogger("packtap.service")

#: Feed so many times within the time that systemd allows.
_FEEDS: Final = 4
_STATUS_EVERY_S: Final = 5.0
#: How long a start that goes on may still take, each time it is said anew.
_START_S: Final = 60


class Service:
    """This process as systemd sees it.

    Args:
        environment: what systemd has set, `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
        now: monotonic seconds.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        known = environment or {}
        self._address = known.get("NOTIFY_SOCKET")
        self._every_s = _feeding_s(known)
        self._now = now
        #: When the next sign of each thread is due at the latest; written by the threads.
        self._due: dict[str, float] = {}
        self._is_ready = False
        self._feed_at = 0.0
        self._status = ""
        self._status_at = 0.0
        self._stuck: tuple[str, ...] = ()

    @classmethod
    def of_this_process(cls) -> "Service":
        """Return the service that this process is, if systemd started it."""
        return cls(os.environ)

    def beat_of(self, thread: str) -> Callable[[float], None]:
        """Return what a thread calls to give a sign of life: the next one follows within seconds.

        Watched from the first call on.

        Args:
            thread: its name, for the log.
        """

        def beat(within_s: float) -> None:
            self._due[thread] = self._now() + within_s

        return beat

    def ready(self) -> None:
        """Say, once, that the work has really begun."""
        if not self._is_ready:
            self._is_ready = True
            self._send("READY=1")

    def say(self, status: str) -> None:
        """Say in words how the work goes, when that has changed and not too often."""
        now = self._now()
        if status != self._status and now >= self._status_at:
            self._status, self._status_at = status, now + _STATUS_EVERY_S
            self._send(f"STATUS={' '.join(status.split())}")

    def feed(self) -> None:
        """Feed the watchdog, if every thread lives; called by the working loop only."""
        now = self._now()
        if now < self._feed_at:
            return
        self._feed_at = now + self._every_s
        stuck = tuple(name for name, due in list(self._due.items()) if now > due)
        if stuck:
            if stuck != self._stuck:
                _log.error("%s: no sign of life; the watchdog may end this", ", ".join(stuck))
        elif self._is_ready:
            self._send("WATCHDOG=1")
        else:
            self._send(f"EXTEND_TIMEOUT_USEC={_START_S * 1_000_000}")
        self._stuck = stuck

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1\nSTATUS=saving what there is")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        # Never waits, never fails: the work matters more than what is said of it.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
        ):
            notify.setblocking(False)
            notify.sendto(message.encode(), address)


def _feeding_s(environment: Mapping[str, str]) -> float:
    """Return seconds between two feedings."""
    try:
        allowed_s = int(environment.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        allowed_s = 0.0
    return allowed_s / _FEEDS if allowed_s > 0 else _START_S / _FEEDS
