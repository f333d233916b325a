"""The limits of the checks as the configuration sets them, floor 2.

A check keeps its numbers in a frozen dataclass. Those that a user may set name their key of the
table `[pack]` and take its default; so no number is written twice, and one function fills the
limits of every check from a configuration.
"""

from dataclasses import field, fields
from typing import Any, Final, TypeVar

from packtap.config import PackConfig

__all__ = ["configured", "of_pack"]

_DEFAULTS: Final = PackConfig()
_KEY: Final = "pack"

T = TypeVar("T")


def of_pack(key: str) -> Any:
    """Return the field of a check's limits that a key of `[pack]` sets."""
    return field(default=getattr(_DEFAULTS, key), metadata={_KEY: key})


def configured(limits: type[T], pack: PackConfig) -> T:
    """Return the limits of a check as this pack has them."""
    given = {
        each.name: getattr(pack, each.metadata[_KEY])
        for each in fields(limits)  # type: ignore[arg-type]
        if _KEY in each.metadata
    }
    return limits(**given)
