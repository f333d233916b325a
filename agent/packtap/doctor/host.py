"""This machine: its clock, its disk, and how long the store can wait for a broker, floor 4."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from packtap.clock import Clock
from packtap.config import AgentConfig, StoreConfig
from packtap.doctor.findings import Check, failed, not_tried, passed
from packtap.errors import StoreError
from packtap.store import Store

__all__ = [
    "HOST_CHECKS",
    "buffer_check",
    "clock_check",
    "host_checks",
    "room_check",
    "untried_host_checks",
]

#: Names of the checks, in order.
HOST_CHECKS: Final = ("clock", "disk", "buffer")

#: Left over for the system: with less a Pi cannot even update itself.
_SPARE_BYTES: Final = 100_000_000
_MB: Final = 1_000_000


def host_checks(config: AgentConfig, clock: Clock | None = None) -> list[Check]:
    """Return what can be said of this machine as the host of an agent.

    Args:
        config: of the agent.
        clock: the machine's; by default as the configuration says it is to be believed.
    """
    store = config.store
    return [
        clock_check(clock or Clock(config.clock), config.clock),
        room_check(store.path, store.max_bytes, "store.max_mb"),
        buffer_check(store),
    ]


def untried_host_checks(why: str) -> list[Check]:
    """Return all of them as not tried."""
    return [not_tried(name, why) for name in HOST_CHECKS]


def clock_check(clock: Clock, mode: str) -> Check:
    """Return whether the time of day is known: readings wait undated until it is."""
    now_ms = clock.utc_ms()
    if now_ms is not None:
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        return passed("clock", f"{now:%Y-%m-%d %H:%M} UTC (clock = {mode!r})")
    return failed(
        "clock",
        f"the time of day is not known (clock = {mode!r})",
        "Readings are kept undated and are not sent until the clock is known.",
        "Give this machine a network with a time server (timedatectl), or a clock with a battery "
        'and clock = "battery".',
    )


def room_check(path: Path, bound_bytes: int, key: str) -> Check:
    """Return whether a store can grow to its bound.

    Args:
        path: its file, which may not be there yet.
        bound_bytes: how large it may become.
        key: of the bound in the configuration.
    """
    try:
        folder = next(each for each in path.absolute().parents if each.is_dir())
        free = shutil.disk_usage(folder).free
        size = path.stat().st_size if path.exists() else 0
    except (OSError, StopIteration) as error:
        return not_tried("disk", f"{path}: {getattr(error, 'strerror', None) or 'no such folder'}")
    grows = max(0, bound_bytes - size)
    words = f"{free // _MB} MB free, the store may grow by {grows // _MB} MB"
    if free - grows >= _SPARE_BYTES:
        return passed("disk", words)
    return failed(
        "disk",
        words,
        "The disk fills up before the store reaches its bound; then readings wait in memory.",
        f"Make room on the disk of {folder}, or lower {key}.",
    )


def buffer_check(store: StoreConfig) -> Check:
    """Return how many hours of readings fit while the broker is away."""
    try:
        with Store.open_read_only(store.path) as opened:
            waiting = opened.depth()
            hours = opened.hours_left(store.max_bytes)
            lost, _ = opened.lost()
    except StoreError as error:
        return not_tried("buffer", str(error))
    if lost:
        return failed(
            "buffer",
            f"{lost} messages were dropped before they were sent",
            "The store was full while the broker was away; they are recorded as a gap.",
            "Raise store.max_mb, and see why the broker was away.",
        )
    if hours is None:
        return not_tried("buffer", "the store holds too little to tell how fast it fills")
    return passed("buffer", f"room for {hours:.0f} h of readings; {waiting.count} messages wait")
