"""What a request asks for: names of a pack, numbers within bounds."""

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request

from packtap.web.sources import Key

__all__ = ["file_name", "key_of", "number_of"]

_MOST_NAME = 200


def key_of(request: Request) -> Key:
    """Return the pack that is meant."""
    names = (request.query_params.get(name, "")[:_MOST_NAME] for name in ("agent", "bus", "pack"))
    return Key(*names)


def number_of(request: Request, name: str, default: int | None, low: int, high: int) -> int:
    """Return a whole number of the query.

    Raises:
        HTTPException: it is none, or out of bounds.
    """
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"-?\d{1,16}", text) or not low <= int(text) <= high:
        raise HTTPException(400, f"{name} must be a whole number from {low} to {high}.")
    return int(text)


def file_name(key: Key, ending: str) -> str:
    """Return how a file about a pack is called: plain letters, whatever the pack calls itself."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", key.pack)[:40] or "pack"
    return f"packtap-{name}{ending}"
