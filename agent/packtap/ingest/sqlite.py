"""The sink for the embedded store: an SQLite file with the schema of the agent's own.

A batch is one transaction; a message that is there already (store id, `seq` and all it holds) is
left as it is; another one under the same `seq` is stored beside it. The file is opened by the first
write, in the thread that writes, and again after an error: a disk that comes back is used again.
"""

from collections.abc import Sequence
from pathlib import Path

from packtap.errors import StoreError
from packtap.ingest.sinks import Decoded, KeptForLater, Tally
from packtap.store import Store

__all__ = ["SqliteSink"]


class SqliteSink:
    """Writes batches into one file.

    Args:
        path: the file; made if it is not there.
        max_bytes: its bound; the oldest readings make room.

    Attributes:
        redelivered: messages that were there already.
        renumbered: other messages whose `seq` was there already: that agent's store was set back.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._store: Store | None = None
        self.redelivered = 0
        self.renumbered = 0

    def check(self) -> None:
        """Make the file if it is not there; raises StoreError if it cannot be used."""
        Store.open(self._path, self._max_bytes).close()

    def write(self, batch: Sequence[Decoded]) -> None:
        """Store the batch in one transaction.

        Raises:
            KeptForLater: the file cannot be written now (disk full, no permission, ...).
        """
        try:
            if self._store is None:
                self._store = Store.open(self._path, self._max_bytes)
            before = self._store.renumbered
            new = self._store.receive_many([(item.message, item.topic) for item in batch])
        except StoreError as exc:
            self.close()
            raise KeptForLater(str(exc), "make room or repair the disk") from exc
        self.redelivered += new.count(False)
        self.renumbered += self._store.renumbered - before

    def note(self, ingest: str, refused: Tally, t_ms: int) -> None:
        """Nothing: the file has the schema of the agent's own; log and `--json` tell it."""
        del ingest, refused, t_ms

    def close(self) -> None:
        """Close the file."""
        store, self._store = self._store, None
        if store is not None:
            store.close()
