"""What the tap knows, kept over a restart of the agent: one small file on a RAM disk, floor 4.

Beside the now-file, and like it replaced atomically: every 10 s, and when the agent stops. Within
one boot a restart goes on exactly where the file was written; what the bus carried meanwhile was
not heard, and no check takes that for a silence of the pack. After a reboot the file is gone or
another boot's, whose seconds mean nothing now: then open events and long memory go on, from the
store.

The file is taken away as soon as it is read: an agent that what it says brings down comes back
without it. It is never written while an event waits for the disk: a check that holds such an event
for raised would not raise it again.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import ninebot_bms
import packtap
import packtap.analysis
import packtap.kinds
from packtap.analysis.open_events import OpenEvents
from packtap.errors import StateError
from packtap.tap import Tap, TapSettings

__all__ = ["Resumption", "state_path"]

_log = logging.getLogger("packtap.agent.resuming")

_EVERY_S: Final = 10.0
#: A service is back within seconds. What a pack did in more than minutes without anybody listening
#: nobody knows: resting, riding and charging would be taken for one another.
_LONGEST_S: Final = 300.0
#: Two packs of 16 cells take 50 kB.
_MOST_BYTES: Final = 1_000_000


def state_path(now_file: Path) -> Path:
    """Return where the state stands: `<bus>.state` beside `<bus>.json`."""
    return now_file.with_suffix(".state")


class Resumption:
    """Keeps the file.

    Args:
        path: on a RAM disk.
        boot: id of this boot.
        store: id of the store that has the open events.
        settings: what the tap judges with.
    """

    def __init__(self, path: Path, boot: str, store: str, settings: TapSettings) -> None:
        self._path = path
        self._fresh = path.with_name(f".{path.name}.{os.getpid()}")
        self._boot = boot
        self._store = store
        self._settings = settings
        self._due: float | None = None
        self._has_failed = False

    def tap(self, open_events: OpenEvents, now: float) -> Tap:
        """Return a tap that goes on where the last one stopped; a new one if that cannot be.

        Args:
            open_events: what is raised, as the store has it.
            now: seconds since boot.
        """
        try:
            saved = self._take()
            if saved is None:
                return Tap(self._settings, open_events)
            t = self._checked(saved, now)
            tap = Tap.resumed(self._settings, open_events, saved["state"], deaf_since=t, now=now)
        except (OSError, StateError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            _log.info("the checks start anew, %s is not used: %s", self._path, reason)
            return Tap(self._settings, open_events)
        _log.info("the checks go on where they were %.0f s ago", now - t)
        return tap

    def keep(self, tap: Tap, now: float) -> None:
        """Save what the tap knows, if that was long ago."""
        if self._due is None:
            self._due = now + _EVERY_S
        elif now >= self._due:
            self._due = now + _EVERY_S
            self.save(tap, now)

    def save(self, tap: Tap, now: float) -> None:
        """Save what the tap knows."""
        try:
            self._write(self._document(tap, now))
        except (OSError, StateError) as error:
            if not self._has_failed:
                _log.warning("%s: a restart will start the checks anew: %s", self._path, error)
            self._has_failed = True
            return
        self._has_failed = False

    def _document(self, tap: Tap, now: float) -> bytes:
        body = {
            "program": _program(self._settings),
            "boot": self._boot,
            "store": self._store,
            "t": now,
            "state": tap.state(),
        }
        text = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        if len(text) > _MOST_BYTES:
            raise StateError(f"{len(text)} bytes are more than the checks can have learned")
        return b"%s\n%s" % (_sum(text), text)

    def _write(self, document: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with open(os.open(self._fresh, flags, 0o600), "wb") as file:  # noqa: PTH123
                file.write(document)
            self._fresh.replace(self._path)
        except OSError:
            self._fresh.unlink(missing_ok=True)
            raise

    def _take(self) -> dict[str, Any] | None:
        """Return the document, which is gone then; None if there is none."""
        try:
            # A pipe that somebody put there must not hold the agent up.
            flags = os.O_RDONLY | os.O_NONBLOCK
            with open(os.open(self._path, flags), "rb") as file:  # noqa: PTH123
                document = file.read(_MOST_BYTES + 100)
        except FileNotFoundError:
            return None
        self._path.unlink()
        expected, _, text = document.partition(b"\n")
        if expected != _sum(text):
            raise StateError("it is damaged, or not whole")
        try:
            saved = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise StateError("it is no saved state") from error
        if not isinstance(saved, dict):
            raise StateError("it is no saved state")
        return saved

    def _checked(self, saved: Mapping[str, Any], now: float) -> float:
        """Return when it was saved.

        Raises:
            StateError: it does not belong to this boot, this store, or this program.
        """
        t = saved.get("t")
        for is_so, what in (
            (
                saved.get("program") == _program(self._settings),
                "another program or configuration's",
            ),
            (saved.get("boot") == self._boot, "another boot's"),
            (saved.get("store") == self._store, "another store's"),
            (isinstance(t, float) and t <= now, "of the future"),
            (isinstance(t, float) and now - t <= _LONGEST_S, f"older than {_LONGEST_S:.0f} s"),
            (isinstance(saved.get("state"), dict), "without a state"),
        ):
            if not is_so:
                raise StateError(f"it is {what}")
        return float(saved["t"])


def _sum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()


@cache
def _program(settings: TapSettings) -> str:
    """Return what the code and the limits are: a state means nothing to others.

    The source itself is compared: an attribute may keep its name and change its meaning.
    """
    digest = hashlib.sha256(f"{packtap.__version__} {settings!r}".encode())
    for package in (ninebot_bms, packtap, packtap.analysis, packtap.kinds):
        for path in sorted(Path(package.__file__ or "").parent.glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
