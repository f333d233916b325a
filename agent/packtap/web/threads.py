"""The few threads in which the page reads files."""

from collections.abc import Callable
from typing import Final, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

__all__ = ["Threads"]

T = TypeVar("T")

_THREADS: Final = 4


class Threads:
    """Runs what waits for a disk; who finds all of them busy waits for his turn."""

    def __init__(self) -> None:
        self._limiter: CapacityLimiter | None = None

    async def run(self, ask: Callable[[], T]) -> T:
        """Return what `ask` returns, asked in one of the threads."""
        if self._limiter is None:  # it needs the running loop
            self._limiter = CapacityLimiter(_THREADS)
        return await anyio.to_thread.run_sync(ask, limiter=self._limiter)
