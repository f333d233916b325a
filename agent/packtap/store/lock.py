"""One agent a store, floor 3: two would number the same messages and delete each other's files."""

import os
from pathlib import Path
from typing import IO

from packtap.errors import StoreError

__all__ = ["OwnerLock"]


class OwnerLock:
    """Held by the process that owns a store, from construction until `release`.

    The lock ends with the process, however that ends; the file beside the store stays and means
    nothing by itself. Systems without `flock` (Windows) have no such lock.

    Args:
        path: the store's file; the lock is `<name>.lock` beside it.

    Raises:
        StoreError: another process (or another agent in this one) holds it, or there is no place
            for the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = _open(path.with_name(f"{path.name}.lock"))
        try:
            self._take(path)
        except BaseException:
            self._file.close()
            raise

    def release(self) -> None:
        """Let the next one have the store."""
        self._file.close()

    def _take(self, path: Path) -> None:
        try:
            import fcntl
        except ImportError:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = self._file.read(32).strip() or "unknown"
            raise StoreError(
                f"{path}: another agent runs with this store (process {holder}): stop that one, "
                "or give this one a configuration with a bus, store and now-file of its own"
            ) from exc
        except OSError as exc:
            raise StoreError(
                f"{path}: cannot be locked ({exc.strerror}): keep it on a local disk"
            ) from exc
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()


def _open(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # "a" makes the file without emptying one that a running agent has written its number to.
        opened = path.open("a+", encoding="ascii", errors="replace")
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror}: check path, owner and mode") from exc
    opened.seek(0)
    return opened
