"""The uplink's hold on the store, through the store's failures, floor 3.

A store that fails is closed and opened again after a while; it may be another file then (the owner
sets a damaged one aside), whose numbers mean other messages: `store_id` tells.
"""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from packtap.errors import StoreError
from packtap.store import Queued, Store
from packtap.wire import Topic

__all__ = ["OutboxAccess"]

_log = logging.getLogger("packtap.uplink")

_RETRY_S: Final = 2.0


class OutboxAccess:
    """Reads and settles what the agent queues; for one thread.

    Args:
        path: the agent's store, which the agent itself keeps in bounds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: Store | None = None
        self._retry_at = 0.0
        self.store_id: str | None = None  #: of the file that was opened last
        self.trouble: str | None = None  #: why the store cannot be used; None while it can

    def is_ready(self, now: float) -> bool:
        """Open the store if it is not; tell whether it can be used."""
        if self._store is None and now >= self._retry_at:
            try:
                self._store = Store.open(self._path)
            except StoreError as exc:
                self._fail(exc, now)
                return False
            self.store_id = self._store.store_id
            if self.trouble is not None:
                _log.info("the outbox can be used again")
                self.trouble = None
        return self._store is not None

    def pending(
        self, after_seq: int, limit: int, without: Collection[Topic], now: float
    ) -> list[Queued]:
        """Return what waits, as `Store.pending`; nothing while the store cannot be used."""
        if self._store is None:
            return []
        try:
            return self._store.pending(after_seq, limit, without)
        except StoreError as exc:
            self._fail(exc, now)
            return []

    def events(self, limit: int, without: Collection[Topic], now: float) -> list[Queued]:
        """Return the oldest events that wait: they overtake everything."""
        if self._store is None or not limit:
            return []
        try:
            return self._store.pending_events(limit, without)
        except StoreError as exc:
            self._fail(exc, now)
            return []

    def settle(self, seqs: Sequence[int], now: float) -> bool:
        """Take messages out of the outbox; tell whether that went well."""
        if self._store is None:
            return False
        try:
            self._store.settle(seqs)
        except StoreError as exc:
            self._fail(exc, now)
            return False
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _fail(self, exc: StoreError, now: float) -> None:
        if str(exc) != self.trouble:
            _log.error("the outbox cannot be used: %s", exc)
        self.trouble = str(exc)
        self._retry_at = now + _RETRY_S
        self.close()
