"""What the agent sees now: one small file on a RAM disk, floor 3.

Batches reach the store only every `flush_s` seconds, to spare the SD card; `watch` and the page
want the present. The agent replaces this file once a second, atomically: a reader sees a whole
document, old or new, never half of one.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from packtap.errors import PacktapError
from packtap.model import Severity
from packtap.points import wrong_value
from packtap.wire import SCHEMA

__all__ = ["NowFile", "read_now"]

_NUMBER: Final = (int, float)
_MAYBE: Final = (*_NUMBER, type(None))
_TEXT: Final = (str,)

#: What a reader may rely on: types, keys of an object, [form] for a list. More keys are fine.
_FORM: Final[dict[str, Any]] = {
    "version": _TEXT,
    "mode": _TEXT,
    "boot": _TEXT,
    "boot_s": _NUMBER,
    "pack": (str, type(None)),
    "values": {},
    "ages_s": {},
    "flags": [_TEXT],
    "doubts": [{"text": _TEXT}],
    "events": [{"id": _TEXT, "severity": _TEXT, "text": _TEXT, "since_s": _MAYBE, "cell": _MAYBE}],
    "lines": [{"name": _TEXT, "is_up": (bool,), "reason": _TEXT}],
    "counters": {"frames": _NUMBER, "readings": _NUMBER, "unanswered": _NUMBER},
    "uplink": {"connected": (bool,), "last_error": (str, type(None))},
    "outbox": {},
    "buffer_hours_left": _MAYBE,
    "store_trouble": (str, type(None)),
}


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
    except (ValueError, RecursionError) as error:
        raise PacktapError(f"{path} is not written by a packtap agent") from error
    if not isinstance(document, dict) or "v" not in document:
        raise PacktapError(f"{path} is not written by a packtap agent")
    if document["v"] != SCHEMA:
        raise PacktapError(
            f"{path} is written by packtap {document.get('version', '?')}, which shows itself in "
            "another form: use the same version on both sides"
        )
    # A retained message, saved by somebody, has the same version and another form.
    if not _is_document(document):
        raise PacktapError(f"{path} is not written by a packtap agent")
    return document


def _is_document(document: dict[str, Any]) -> bool:
    return (
        _fits(document, _FORM)
        and all(_is_value(name, value) for name, value in document["values"].items())
        and all(isinstance(age, _NUMBER) for age in document["ages_s"].values())
        and all(isinstance(count, _NUMBER) for count in document["counters"].values())
        and all(event["severity"] in set(Severity) for event in document["events"])
    )


def _fits(value: object, form: object) -> bool:
    if isinstance(form, dict):
        return isinstance(value, dict) and all(
            name in value and _fits(value[name], inner) for name, inner in form.items()
        )
    if isinstance(form, list):
        return isinstance(value, list) and all(_fits(item, form[0]) for item in value)
    return isinstance(value, form)  # type: ignore[arg-type]


def _is_value(name: str, value: object) -> bool:
    if isinstance(value, list) and not all(_fits(item, (int, type(None))) for item in value):
        return False
    return _fits(value, (int, float, str, list)) and wrong_value(name, value) is None  # type: ignore[arg-type]
