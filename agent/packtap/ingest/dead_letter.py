"""The file of messages that will never be stored: one JSON object a line, bounded, on disk first.

A line: `{"t": "2026-05-04T12:00:00Z", "reason": ..., "topic": ..., "size": 1234, "payload": ...}`;
`payload_base64` instead of `payload` where the bytes are no text. A payload is kept whole up to
`KEPT_PAYLOAD` bytes, so that it can be published again once its reason is gone; of a longer one
the line says `"cut": true`.

When the file is full it becomes `<name>.1` and the one before is given up, counted.
"""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from packtap.errors import StoreError

__all__ = ["KEPT_PAYLOAD", "DeadLetters", "Letter"]

KEPT_PAYLOAD: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Letter:
    """One refused message and why."""

    topic: str
    payload: bytes
    reason: str


class DeadLetters:
    """Appends to the file; everything appended is on disk when `append` returns.

    Args:
        path: the file; its folder is made if it is not there.
        max_bytes: bound for the file and its predecessor together.

    Attributes:
        given_up: lines that had to make room, since the start.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._previous = path.with_name(path.name + ".1")
        self._limit = max_bytes // 2
        self.given_up = 0

    def check(self) -> None:
        """Raise StoreError if the file cannot be written."""
        self._write(b"")

    def append(self, letters: Sequence[Letter], now_ms: int) -> None:
        """Write the letters and wait until they are on disk.

        Raises:
            StoreError: they are not; the file has no half of them that counts.
        """
        if not letters:
            return
        stamp = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds")
        self._write(b"".join(_line(letter, stamp) for letter in letters))

    def _write(self, block: bytes) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._make_room(len(block))
            is_new = not self._path.exists()
            with self._path.open("ab") as file:
                if not _ends_whole(self._path):
                    block = b"\n" + block  # a crash left half a line: do not glue ours to it
                file.write(block)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                _sync_folder(self._path.parent)
        except OSError as exc:
            raise StoreError(f"dead letters {self._path}: {exc.strerror or exc}") from exc

    def _make_room(self, size: int) -> None:
        try:
            used = self._path.stat().st_size
        except FileNotFoundError:
            return
        if used and used + size > self._limit:
            if self._previous.exists():
                with self._previous.open("rb") as old:
                    self.given_up += sum(1 for _ in old)
            self._path.replace(self._previous)


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _sync_folder(folder: Path) -> None:
    """Make a new file's name survive a power cut too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _line(letter: Letter, stamp: str) -> bytes:
    body: dict[str, str | int | bool] = {
        "t": stamp.replace("+00:00", "Z"),
        "reason": letter.reason,
        "topic": letter.topic,
        "size": len(letter.payload),
    }
    kept = letter.payload[:KEPT_PAYLOAD]
    if len(kept) < len(letter.payload):
        body["cut"] = True
    try:
        body["payload"] = kept.decode()
    except UnicodeDecodeError:
        body["payload_base64"] = base64.b64encode(kept).decode()
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"
