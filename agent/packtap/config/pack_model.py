"""Limits of one model of pack, floor 1: the tables `[[pack_model]]` of the agent's file.

A model takes every key of `[pack]`; what it does not give it has from there. Which model a pack is
says its serial, its design capacity, or both, as far as they are known: the first table of the file
that fits counts.
"""

import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import combinations
from typing import Final, TypeVar

from packtap.config.keys import ContradictionError, Each, Matching, Within, about
from packtap.config.pack import PackConfig

__all__ = ["PackModelConfig", "model_of", "model_problems"]

T = TypeVar("T")


def _optional_keys_of(table: type) -> Callable[[type[T]], type[T]]:
    """Let a table take each key of another one, none of them needed."""
    hints = typing.get_type_hints(table)

    def add(cls: type[T]) -> type[T]:
        for each in fields(table):
            cls.__annotations__[each.name] = hints[each.name] | None
            setattr(cls, each.name, field(default=None, metadata=each.metadata))
        return cls

    return add


@dataclass(frozen=True, slots=True, kw_only=True)
@_optional_keys_of(PackConfig)
class PackModelConfig:
    """One `[[pack_model]]`: which packs, and what holds for them instead of `[pack]`."""

    name: str = field(
        metadata=about("What you call it.", Matching(r"[\w .-]{1,40}", "1 to 40 letters, digits"))
    )
    serial_starts: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "How the serials of these packs begin.",
            Each(Matching(r"[0-9A-Za-z]{1,14}", "1 to 14 letters and digits")),
        ),
    )
    design_capacity_mah: int | None = field(
        default=None,
        metadata=about("Design capacity that these packs report.", Within(500, 100_000)),
    )

    def __post_init__(self) -> None:
        if not self.serial_starts and self.design_capacity_mah is None:
            raise ContradictionError(
                [("", "fits no pack: serial_starts or design_capacity_mah is needed, or both")]
            )

    def fits(self, serial: str | None, design_capacity_mah: int | None) -> bool:
        """Return whether a pack of which this much is known is one of this model."""
        if self.design_capacity_mah not in (None, design_capacity_mah):
            return False
        return not self.serial_starts or bool(serial and serial.startswith(self.serial_starts))

    def limits(self, pack: PackConfig) -> PackConfig:
        """Return the limits of this model.

        Args:
            pack: what holds where the model says nothing.

        Raises:
            ContradictionError: the limits of both cannot stand together.
        """
        given = {each.name: getattr(self, each.name) for each in fields(PackConfig)}
        return replace(pack, **{key: value for key, value in given.items() if value is not None})

    def covers(self, other: "PackModelConfig") -> bool:
        """Return whether every pack that fits the other model fits this one too."""
        if self.design_capacity_mah not in (None, other.design_capacity_mah):
            return False
        if not self.serial_starts:
            return True
        starts = other.serial_starts
        return bool(starts) and all(start.startswith(self.serial_starts) for start in starts)


def model_of(
    models: Sequence[PackModelConfig], serial: str | None, design_capacity_mah: int | None
) -> int | None:
    """Return which of the models a pack is, counted from 0; None: none of them."""
    for number, model in enumerate(models):
        if model.fits(serial, design_capacity_mah):
            return number
    return None


def model_problems(models: Sequence[PackModelConfig], pack: PackConfig) -> list[tuple[str, str]]:
    """Return what is wrong with the models as a whole: pairs of key path and what it is."""
    problems: list[tuple[str, str]] = []
    for number, model in enumerate(models):
        try:
            model.limits(pack)
        except ContradictionError as error:
            problems += [(f"{_KEY}.{number}.{key}", text) for key, text in error.problems]
    for (_, first), (number, second) in combinations(enumerate(models), 2):
        if first.name == second.name:
            problems.append((f"{_KEY}.{number}.name", f"{first.name!r} is there twice"))
        elif first.covers(second):
            problems.append(
                (
                    f"{_KEY}.{number}",
                    f"never counts: each pack of {second.name!r} is one of {first.name!r} too, "
                    f"which stands before it; put {second.name!r} first",
                )
            )
    return problems


_KEY: Final = "pack_model"
