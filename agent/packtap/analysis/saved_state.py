"""What the checks know, as JSON and back: after a restart they go on where they were, floor 2.

The graph of objects is walked; nobody lists attributes, so a new check is saved as it is written:

* A *part* (a check, a clock: any class without `__slots__`) stands in the fresh graph already. Its
  attributes are put back into it, so that whoever shares it goes on sharing it.
* A *small state* (a class with `__slots__`: `Held`, the sums of a line, a `Snapshot`) is filled in
  place, or made where the fresh graph has none.
* Configuration (frozen, named `...Limits`, `...Settings`, `...Config`), functions, and what a class
  names in `kept_elsewhere` belong to the fresh graph and are left out.
* Anything else cannot be saved: then `save` fails, and with it the tests that save every check.

No pickle: what is read back can name small states of this program alone, and calls nothing of them.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from math import isfinite
from types import ModuleType
from typing import Any, Final, TypeAlias

import ninebot_bms.quirks
import ninebot_bms.snapshot
import packtap.analysis
import packtap.model
from packtap.errors import StateError

__all__ = ["Saved", "left_out", "restore", "save"]

#: What JSON can hold.
Saved: TypeAlias = "bool | int | float | str | list[Saved] | dict[str, Saved] | None"

_CONFIGURATION: Final = ("Limits", "Settings", "Config")
_PLAIN: Final = (type(None), bool, int, str)
_NUMBERS: Final = (int, float)
_PROGRAM: Final = ("packtap", "ninebot_bms")


def save(root: object) -> Saved:
    """Return what a graph of checks knows.

    Raises:
        StateError: something in it has no place in JSON, or would be two things after a restart.
    """
    return _Saver().save(root)


def restore(root: object, saved: object) -> None:
    """Put back what was saved, into a graph that was built in the same way.

    Raises:
        StateError: it was saved from another graph, or is damaged. The graph is of no use then.
    """
    try:
        _require(_read(saved, root) is root, "it is of something else")
    except StateError:
        raise
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise StateError(f"not understood: {error}") from error


def left_out(root: object) -> Mapping[str, type]:
    """Return what `save` leaves to the fresh graph: "Class.attribute", and what stands there."""
    saver = _Saver()
    saver.save(root)
    return saver.left_out


class _Saver:
    """Writes one graph."""

    def __init__(self) -> None:
        self._met: set[int] = set()
        self.left_out: dict[str, type] = {}

    def save(self, value: Any) -> Saved:
        kind = type(value)
        if kind in _PLAIN or (kind is float and isfinite(value)):
            return value  # type: ignore[no-any-return]
        if kind is float:
            return {"float": repr(value)}
        if isinstance(value, Enum):
            return {"enum": [_name(kind), value.value]}
        if kind is tuple or kind is frozenset:
            return {kind.__name__: self._all(value)}
        if _is_small(kind) and _is_frozen(kind):
            # Nobody can change it: it may stand in several places.
            return {_name(kind): [_Saver().save(getattr(value, name)) for name in kind.__slots__]}
        is_known = id(value) in self._met
        self._met.add(id(value))
        return self._shared(value) if is_known else self._changing(value)

    def _shared(self, value: Any) -> Saved:
        if not _is_part(value):
            raise StateError(f"a {type(value).__name__} that two hold would be two afterwards")
        return {"same": _name(type(value))}

    def _changing(self, value: Any) -> Saved:
        kind = type(value)
        if _is_part(value):
            return {"part": self._part(value)}
        if kind is list:
            return self._all(value)
        if kind is set:
            return {"set": self._all(value)}
        if kind is deque:
            return {"deque": [value.maxlen, self._all(value)]}
        if kind is dict:
            return {"dict": [[self.save(key), self.save(item)] for key, item in value.items()]}
        if _is_small(kind):
            return {_name(kind): [self.save(getattr(value, name)) for name in kind.__slots__]}
        raise StateError(f"a {kind.__module__}.{kind.__qualname__} cannot be saved")

    def _all(self, values: Any) -> list[Saved]:
        saved = [self.save(item) for item in values]
        return sorted(saved, key=repr) if isinstance(values, set | frozenset) else saved

    def _part(self, part: object) -> list[Saved]:
        names = set(_state_names(part))
        saved = {}
        for name, item in vars(part).items():
            if name in names:
                saved[name] = self.save(item)
            else:
                self.left_out[f"{type(part).__name__}.{name}"] = type(item)
        return [_name(type(part)), saved]


def _read(saved: Any, fresh: Any) -> Any:
    """Return the value, made of what stands in the fresh graph as far as that can change."""
    if type(saved) in (*_PLAIN, float):
        return saved
    if type(saved) is list:
        return _read_list(saved, fresh)
    [(tag, content)] = saved.items()
    reader = _READERS.get(tag)
    return _read_small(tag, content, fresh) if reader is None else reader(content, fresh)


def _each(content: Any, fresh: Any) -> Iterator[Any]:
    _require(type(content) is list, "a list was expected")
    alike = isinstance(fresh, tuple | list) and len(fresh) == len(content)
    yield from (
        _read(item, old)
        for item, old in zip(content, fresh if alike else [None] * len(content), strict=True)
    )


def _read_list(content: Any, fresh: Any) -> list[Any]:
    target: list[Any] = fresh if type(fresh) is list else []
    target[:] = list(_each(content, fresh))
    return target


def _read_set(content: Any, fresh: Any) -> set[Any]:
    target: set[Any] = fresh if type(fresh) is set else set()
    items = list(_each(content, None))
    target.clear()
    target.update(items)
    return target


def _read_deque(content: Any, fresh: Any) -> deque[Any]:
    most, items = content
    _require(most is None or type(most) is int, "the bound of a queue")
    target: deque[Any] = fresh if type(fresh) is deque else deque(maxlen=most)
    _require(target.maxlen == most, "the bound of a queue")
    read = list(_each(items, None))
    target.clear()
    target.extend(read)
    return target


def _read_dict(content: Any, fresh: Any) -> dict[Any, Any]:
    target: dict[Any, Any] = fresh if type(fresh) is dict else {}
    read = {}
    for saved_key, item in content:
        key = _read(saved_key, None)
        read[key] = _read_alike(item, target.get(key))
    _require(not target or read.keys() <= target.keys(), "something that is not there")
    target.clear()
    target.update(read)
    return target


def _read_part(content: Any, fresh: Any) -> Any:
    name, attributes = content
    _require(_is_part(fresh) and name == _name(type(fresh)), f"no {name} stands there")
    names = _state_names(fresh)
    _require(set(names) == attributes.keys(), f"{name} has other attributes")
    for attribute in names:
        setattr(fresh, attribute, _read_alike(attributes[attribute], getattr(fresh, attribute)))
    return fresh


def _read_same(content: Any, fresh: Any) -> Any:
    """What stands in several places is in the fresh graph, and was met before."""
    _require(_is_part(fresh) and content == _name(type(fresh)), f"no {content} stands there")
    return fresh


def _read_small(name: Any, content: Any, fresh: Any) -> Any:
    kind = _small_states().get(name)
    if kind is None or not _is_small(kind):
        raise StateError(f"{name!r} is nothing that can be put back")
    slots: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]
    is_there = type(fresh) is kind and not _is_frozen(kind)
    target = fresh if is_there else object.__new__(kind)
    for slot, item in zip(slots, content, strict=True):
        old = getattr(fresh, slot) if is_there else None
        object.__setattr__(target, slot, _read_alike(item, old))
    return target


def _read_alike(saved: Any, fresh: Any) -> Any:
    """Return the value of an attribute: of the kind that it begins with, unless that is None."""
    value = _read(saved, fresh)
    is_number = type(value) in _NUMBERS and type(fresh) in _NUMBERS
    _require(
        fresh is None or is_number or type(value) is type(fresh),
        f"a {type(value).__name__} where a {type(fresh).__name__} stands",
    )
    return value


def _read_enum(content: Any, fresh: Any) -> Any:
    del fresh
    name, value = content
    kind = _small_states()[name]
    _require(issubclass(kind, Enum), f"{name} has no such values")
    return kind(value)


def _read_float(content: Any, fresh: Any) -> float:
    del fresh
    _require(content in ("inf", "-inf", "nan"), "a number")
    return float(content)


_READERS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "float": _read_float,
    "enum": _read_enum,
    "tuple": lambda content, fresh: tuple(_each(content, fresh)),
    "frozenset": lambda content, fresh: frozenset(_each(content, fresh)),
    "set": _read_set,
    "deque": _read_deque,
    "dict": _read_dict,
    "part": _read_part,
    "same": _read_same,
}


def _require(is_so: bool, what: str) -> None:
    if not is_so:
        raise StateError(f"not understood: {what}")


def _name(kind: type) -> str:
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"


def _is_small(kind: type) -> bool:
    return kind.__base__ is object and "__slots__" in vars(kind) and _is_own(kind)


def _is_part(value: object) -> bool:
    return _is_own(type(value)) and hasattr(value, "__dict__") and not isinstance(value, type)


def _is_own(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in _PROGRAM


def _is_frozen(kind: type) -> bool:
    return is_dataclass(kind) and bool(kind.__dataclass_params__.frozen)  # type: ignore[attr-defined]


def _state_names(part: object) -> list[str]:
    elsewhere: frozenset[str] = getattr(type(part), "kept_elsewhere", frozenset())
    return [
        name
        for name, value in vars(part).items()
        if name not in elsewhere and not _is_configuration(value) and not callable(value)
    ]


def _is_configuration(value: object) -> bool:
    return _is_frozen(type(value)) and type(value).__name__.endswith(_CONFIGURATION)


@cache
def _small_states() -> Mapping[str, type]:
    """Return what may be made: small states and enumerations of these modules, by name."""
    modules: list[ModuleType] = [ninebot_bms.quirks, ninebot_bms.snapshot, packtap.model]
    # A check that stands in a graph has been imported; nothing is imported by a name here.
    inside = f"{packtap.analysis.__name__}."
    modules += [module for name, module in sys.modules.items() if name.startswith(inside)]
    return {
        _name(kind): kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type)
        and kind.__module__ == module.__name__
        and (_is_small(kind) or issubclass(kind, Enum))
    }
