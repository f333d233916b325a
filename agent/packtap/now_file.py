"""What the agent sees now: one small file on a RAM disk, floor 3.

Batches reach the store only every `flush_s` seconds, to spare the SD card; `watch` and the page
want the present. The agent replaces this file once a second, atomically: a reader sees a whole
document, old or new, never half of one.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from packtap.errors import PacktapError
from packtap.wire import SCHEMA

__all__ = ["NowFile", "read_now"]


class NowFile:
    """Writes the file.

    Args:
        path: usually `/run/packtap/<bus>.json`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fresh = path.with_name(f".{path.name}.{os.getpid()}")

    def replace(self, document: Mapping[str, object]) -> None:
        """Put this document in place of the last one.

        Raises:
            OSError: the file cannot be written.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fresh.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
        self._fresh.replace(self._path)

    def remove(self) -> None:
        """Take the file away: what is not running sees nothing."""
        self._fresh.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)


def read_now(path: Path) -> dict[str, object] | None:
    """Return the document, or None if no agent writes there.

    Raises:
        PacktapError: the file is there but cannot be read, or is no such document, or one of
            another version.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PacktapError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PacktapError(f"{path} is not written by a packtap agent") from error
    if not isinstance(document, dict) or "v" not in document:
        raise PacktapError(f"{path} is not written by a packtap agent")
    if document["v"] != SCHEMA:
        raise PacktapError(
            f"{path} is written by packtap {document.get('version', '?')}, which shows itself in "
            "another form: use the same version on both sides"
        )
    return document
