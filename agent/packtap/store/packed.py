"""Times and bodies as they are kept: JSON, deflated where that saves something, floor 3.

A batch of readings side by side says nearly the same many times over: deflated it takes a quarter.
A card is written in blocks, so what is small is cheap twice. Older files hold plain text; both are
read.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["Packed", "pack", "unpack"]

#: As a column holds it: text, or deflated text.
Packed = str | bytes

#: Shorter texts stay as they are: nothing to gain, and a person can read them.
_SHORT: Final = 120
_LEVEL: Final = 6


def pack(value: Mapping[str, Any] | Sequence[int]) -> Packed:
    """Return compact JSON, deflated if it is not short.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text if len(text) < _SHORT else zlib.compress(text.encode(), _LEVEL)


def unpack(packed: Packed) -> Any:
    """Return what was packed.

    Raises:
        ValueError: damaged.
    """
    if isinstance(packed, str):
        return json.loads(packed)
    try:
        return json.loads(zlib.decompress(packed))
    except zlib.error as exc:
        raise ValueError(f"damaged: {exc}") from exc
