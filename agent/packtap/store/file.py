"""Opening the SQLite file, its errors in words, and what happens to a damaged one, floor 3.

Settings and their reasons:

* `journal_mode=WAL`, `synchronous=FULL`: a commit that returned survives a power cut.
* `auto_vacuum=INCREMENTAL`: a bound that is lowered later can give pages back.
* `wal_autocheckpoint=256`, `journal_size_limit=1 MiB`: the log stays near one MiB.
* `busy_timeout`: agent, uplink and page take turns.
"""

import logging
import sqlite3
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

from packtap.errors import StoreError
from packtap.store.schema import migrate, require_current, stored_version

__all__ = ["mark_damaged", "open_for_reading", "open_for_writing", "store_error"]

_log = logging.getLogger(__name__)

_BUSY_S: Final = 10.0
_LOG_BYTES: Final = 1024 * 1024
#: Of a new file. A commit writes whole pages, ten or so of them: small ones spare the card, and the
#: log packs them side by side into its blocks. Measured in tests/BYTES.md.
_PAGE_BYTES: Final = 1024
#: Files up to this size are checked whole by their owner at each start (well under a second).
_CHECK_ALWAYS_BYTES: Final = 16 * 1024 * 1024
#: Damaged files kept beside the store; older ones go, or a dying card would fill up with them.
_KEEP_DAMAGED: Final = 3

#: Primary SQLite result code -> what it means and what to try.
_MEANING: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space; writing resumes by itself",
    sqlite3.SQLITE_IOERR: "the disk does not take or give data: check free space and the card",
    sqlite3.SQLITE_READONLY: "the file or its disk is read-only: check owner, mode and mount",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that the directory exists and its owner",
    sqlite3.SQLITE_PERM: "access is denied: check owner and mode",
    sqlite3.SQLITE_BUSY: "another process holds it for too long: is a backup running?",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restart the agent, it will set the file aside",
    sqlite3.SQLITE_NOTADB: "not an SQLite file: restart the agent, it will set the file aside",
}
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def store_error(exc: sqlite3.Error, path: Path) -> StoreError:
    """Return the error in words; leaves a mark for the next start if the file is damaged."""
    code = _primary_code(exc)
    if code in _DAMAGE:
        mark_damaged(path)
    return StoreError(f"{path}: {_MEANING.get(code, 'SQLite refuses')} ({exc})")


def open_for_writing(path: Path, *, is_owner: bool) -> sqlite3.Connection:
    """Open or create the store and bring its tables up to date.

    Args:
        path: the file; its directory is made if it is missing.
        is_owner: may set a damaged file aside and begin afresh.

    Raises:
        StoreError: it cannot be opened, is newer than this code or is no packtap store.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _open_checked(path, is_owner=is_owner)
    except sqlite3.Error as exc:
        if not (is_owner and _primary_code(exc) in _DAMAGE):
            raise store_error(exc, path) from exc
        _set_aside(path, str(exc))
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror}: check path, owner and mode") from exc
    try:
        return _open_checked(path, is_owner=False)
    except sqlite3.Error as exc:
        raise store_error(exc, path) from exc


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open an existing store without the right to change it; the agent may run or not.

    Raises:
        StoreError: absent, unreadable, of another version, or no packtap store.
    """
    if not path.is_file():
        raise StoreError(f"{path}: no such store: has the agent run on this bus?")
    log = path.with_name(path.name + "-wal")
    # Without a log file nobody writes; then a directory that is read-only for us does no harm.
    modes = ["mode=ro"] if log.exists() else ["mode=ro", "immutable=1"]
    for mode in modes:
        conn = _connect(path, mode)
        try:
            conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            require_current(conn, str(path))
        except sqlite3.Error as exc:
            conn.close()
            if mode != modes[-1] and _primary_code(exc) not in _DAMAGE:
                continue
            raise StoreError(
                f"{path}: {_MEANING.get(_primary_code(exc), 'SQLite refuses')} ({exc})"
            ) from exc
        except StoreError:
            conn.close()
            raise
        return conn
    raise StoreError(f"{path}: it cannot be opened")


def mark_damaged(path: Path) -> None:
    """Make the next start of the owner check the whole file before it trusts it."""
    try:
        _mark(path).touch()
    except OSError as exc:
        _log.warning("%s: cannot mark the file as damaged: %s", path, exc)


def _open_checked(path: Path, *, is_owner: bool) -> sqlite3.Connection:
    conn = _connect(path, "mode=rwc")
    try:
        # First: a file that is not ours must not be touched at all.
        if stored_version(conn, str(path)) == 0:
            # Before the first table, or it has no effect; later it would write at each start.
            conn.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            conn.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _switch_to_wal(conn, path)
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        page_bytes = conn.execute("PRAGMA page_size").fetchone()[0]
        conn.execute(f"PRAGMA wal_autocheckpoint = {_LOG_BYTES // page_bytes}")
        migrate(conn, str(path))
        if is_owner:
            _check(conn, path)
    except BaseException:
        conn.close()
        raise
    return conn


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    conn = sqlite3.connect(
        f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None, timeout=_BUSY_S
    )
    conn.execute("PRAGMA temp_store = MEMORY")
    return conn


def _switch_to_wal(conn: sqlite3.Connection, path: Path) -> None:
    """Turn the log on; SQLite does not wait for others here, so this does."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            mode = conn.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as exc:
            if _primary_code(exc) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise StoreError(
                f"{path}: no write-ahead log on this disk: keep the store on a local one"
            )
        return


def _check(conn: sqlite3.Connection, path: Path) -> None:
    """Check the whole file if it is small or was found damaged by the run before."""
    mark = _mark(path)
    if not mark.exists() and path.stat().st_size > _CHECK_ALWAYS_BYTES:
        return
    finding = conn.execute("PRAGMA quick_check(1)").fetchone()[0]
    if finding != "ok":
        raise _damage(finding)
    mark.unlink(missing_ok=True)


def _damage(finding: str) -> sqlite3.DatabaseError:
    exc = sqlite3.DatabaseError(finding)
    exc.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return exc


def _set_aside(path: Path, finding: str) -> None:
    damaged = sorted(path.parent.glob(f"{path.name}.damaged-*[0-9]"), key=_damage_number)
    number = _damage_number(damaged[-1]) + 1 if damaged else 1
    for old in damaged[: max(0, len(damaged) + 1 - _KEEP_DAMAGED)]:
        for suffix in ("", "-wal", "-shm"):
            old.with_name(old.name + suffix).unlink(missing_ok=True)
    target = path.with_name(f"{path.name}.damaged-{number}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
    _mark(path).unlink(missing_ok=True)
    _log.error(
        "%s is damaged (%s): set aside as %s, a fresh store begins. What had not been delivered is "
        "in that file: sqlite3 %s .recover",
        path,
        finding,
        target.name,
        target,
    )


def _damage_number(path: Path) -> int:
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def _mark(path: Path) -> Path:
    return path.with_name(path.name + ".check")


def _primary_code(exc: sqlite3.Error) -> int:
    # The low byte of an extended result code is the primary one; absent in errors of the module.
    return int(getattr(exc, "sqlite_errorcode", 0) or 0) & 0xFF
