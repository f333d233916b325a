"""One thread's hold on the SQLite file: its transactions and its errors, floor 3."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from packtap.errors import StoreError
from packtap.store.file import store_error

__all__ = ["Hold"]


class Hold:
    """An open file and how it is used: every failure is a `StoreError`.

    Args:
        conn: of the file.
        path: the file.
    """

    def __init__(self, conn: sqlite3.Connection, path: Path) -> None:
        self.conn = conn
        self.path = path
        self._inode = path.stat().st_ino

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Look something up.

        Raises:
            StoreError: the file cannot be read, or is another one by now.
        """
        try:
            self._check_file()
            yield self.conn
        except sqlite3.Error as exc:
            raise store_error(exc, self.path) from exc

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Do everything within, or nothing: one transaction.

        Raises:
            StoreError: nothing was written.
        """
        with self.reading() as conn:
            try:
                conn.execute("BEGIN IMMEDIATE")
                yield conn
                conn.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors; a second one would fail.
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
                raise

    def _check_file(self) -> None:
        """Notice that the owner has set this file aside and goes on with another."""
        try:
            inode = self.path.stat().st_ino
        except OSError as exc:
            raise StoreError(f"{self.path}: gone ({exc.strerror}): open the store again") from exc
        if inode != self._inode:
            raise StoreError(f"{self.path}: replaced by another file: open the store again")
