"""A table of a file -> a dataclass, floor 1: cattrs with strict types and every mistake at once.

The door of cattrs. Nothing is converted silently: "115200" is no number, 1 is no yes, 1.0 is no
whole number; a whole number may stand where a number with a point is wanted. Paths are relative to
the folder of the file. Each mistake comes with its key path, what was seen and what is allowed.
"""

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from cattrs import Converter
from cattrs.errors import (
    CattrsError,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from packtap.config.keys import About, Problem, about_of
from packtap.config.modes import secret_problem
from packtap.config.problems import (
    MAX_INT,
    RefusedError,
    did_you_mean,
    problems_of,
    type_words,
)

__all__ = ["Places", "structure"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Places:
    """Where names of files are looked up.

    Attributes:
        folder: of the configuration file.
        credentials: $CREDENTIALS_DIRECTORY, or None outside a service.
    """

    folder: Path
    credentials: Path | None


def structure(
    cls: type[T], table: Mapping[str, object], places: Places
) -> tuple[T | None, list[Problem]]:
    """Return the table as a value of `cls`, or None and every mistake in it."""
    try:
        return _converter(places).structure(table, cls), []
    except ClassValidationError as error:
        return None, problems_of(error, cls)


def _converter(places: Places) -> Converter:
    converter = Converter(detailed_validation=True, forbid_extra_keys=True)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(int, _whole_number)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(Path, lambda value, _: places.folder / _path(value))
    converter.register_structure_hook_func(_is_choice, _choice)
    converter.register_structure_hook_func(
        _is_list, lambda value, wanted: _list(converter, value, wanted)
    )
    converter.register_structure_hook_factory(
        is_dataclass, lambda cls: _table_hook(converter, cls, places)
    )
    return converter


def _table_hook(
    converter: Converter, cls: type, places: Places
) -> Callable[[object, object], object]:
    overrides = {
        field.name: override(struct_hook=_key_hook(converter, field.name, about_of(field), places))
        for field in fields(cls)
        if field.metadata
    }
    # mypy takes the keys of `overrides` for the function's own flags, which begin with _cattrs.
    read_keys: Callable[[Mapping[str, object], Any], object] = make_dict_structure_fn(
        cls,
        converter,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        **overrides,  # type: ignore[arg-type]
    )

    def hook(value: object, _: object) -> object:
        if not isinstance(value, dict):
            raise RefusedError(f"{type_words(value)}, but a table is needed")
        return read_keys(value, cls)

    return hook


def _key_hook(
    converter: Converter, key: str, described: About, places: Places
) -> Callable[[Any, Any], Any]:
    def hook(value: object, wanted: Any) -> object:
        if described.reads_file:
            found = _find(_path(value), places)
            if described.secret and (wrong := secret_problem(found, places.credentials)):
                raise RefusedError(wrong)
            return found
        if _is_named_tables(wanted):
            return _named_tables(converter, key, value, wanted)
        result = converter.structure(value, wanted)
        if described.check is not None and (wrong := described.check.problem(result)):
            raise RefusedError(wrong)
        return result

    return hook


def _find(name: Path, places: Places) -> Path:
    """Return the readable file that is meant, or say where it was looked for."""
    folders = [places.folder]
    is_bare = len(name.parts) == 1 and not name.is_absolute()
    if is_bare and places.credentials is not None:
        folders.insert(0, places.credentials)
    for candidate in (folder / name for folder in folders):
        try:
            if candidate.is_file():
                candidate.open("rb").close()
                return candidate
        except PermissionError:
            raise RefusedError(f"{candidate} may not be read by this user") from None
        except OSError as error:
            raise RefusedError(f"{candidate} cannot be read: {error.strerror}") from None
    looked_for = " and ".join(str(folder / name) for folder in folders)
    if is_bare and places.credentials is None:
        raise RefusedError(
            f"no file {looked_for}; $CREDENTIALS_DIRECTORY, where the service looks for a bare "
            "name, is not set here",
            needs_service=True,
        )
    raise RefusedError(f"no file {looked_for}")


def _boolean(value: object, _: object) -> bool:
    if isinstance(value, bool):
        return value
    raise RefusedError(f"{type_words(value)}, but true or false is needed")


def _whole_number(value: object, _: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INT:
        return value
    hint = ""
    if isinstance(value, str) and value.strip().isdecimal():
        hint = " (write it without quotes)"
    elif isinstance(value, float) and value.is_integer():
        hint = " (write it without a point)"
    raise RefusedError(f"{type_words(value)}, but a whole number is needed{hint}")


def _number(value: object, _: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    raise RefusedError(f"{type_words(value)}, but a number is needed")


def _text(value: object, _: object) -> str:
    if isinstance(value, str):
        return value
    raise RefusedError(f"{type_words(value)}, but a text in quotes is needed")


def _path(value: object) -> Path:
    text = _text(value, None)
    if not text.strip() or "\0" in text:
        raise RefusedError(f"{type_words(text)}, but the path of a file is needed")
    return Path(text)


def _is_choice(wanted: object) -> bool:
    origin: object = typing.get_origin(wanted)
    return origin is typing.Literal


def _choice(value: object, wanted: object) -> object:
    allowed = typing.get_args(wanted)
    if isinstance(value, str) and value in allowed:
        return value
    words = ", ".join(repr(word) for word in allowed)
    raise RefusedError(f"{type_words(value)}; allowed: {words}{did_you_mean(value, allowed)}")


def _is_list(wanted: object) -> bool:
    return typing.get_origin(wanted) is tuple and not _is_named_tables(wanted)


def _list(converter: Converter, value: object, wanted: object) -> tuple[object, ...]:
    """Read `[a, b]`; a text alone is no list of its letters."""
    item_type = typing.get_args(wanted)[0]
    if not isinstance(value, list):
        form = "tables in [[ ]] are" if is_dataclass(item_type) else "a list in [ ] is"
        raise RefusedError(f"{type_words(value)}, but {form} needed")
    items: list[object] = []
    wrong: list[Exception] = []
    for index, item in enumerate(value):
        try:
            items.append(converter.structure(item, item_type))
        except (CattrsError, ValueError) as error:
            error.add_note(IterableValidationNote("in list", index, item_type))
            wrong.append(error)
    if wrong:
        raise IterableValidationError("list", wrong, tuple)
    return tuple(items)


def _is_named_tables(wanted: object) -> bool:
    arguments = typing.get_args(wanted)
    if typing.get_origin(wanted) is not tuple or not is_dataclass(arguments[0]):
        return False
    return bool(typing.get_args(typing.get_type_hints(arguments[0])["name"]))


def _named_tables(
    converter: Converter, key: str, value: object, wanted: object
) -> tuple[object, ...]:
    """Read `[lines.bms]`, `[lines.esc]` as values that know their names."""
    cls = typing.get_args(wanted)[0]
    names = typing.get_args(typing.get_type_hints(cls)["name"])
    if not isinstance(value, dict):
        forms = ", ".join(f"[{key}.{name}]" for name in names)
        raise RefusedError(f"{type_words(value)}, but tables with names are needed: {forms}")
    items: list[object] = []
    wrong: list[Exception] = []
    for name, table in value.items():
        try:
            items.append(_named_table(converter, cls, names, name, table))
        except (CattrsError, ValueError) as error:
            error.add_note(IterableValidationNote("in table", name, cls))
            wrong.append(error)
    if wrong:
        raise IterableValidationError("named tables", wrong, cls)
    return tuple(items)


def _named_table(
    converter: Converter, cls: type, names: tuple[str, ...], name: str, table: object
) -> object:
    if name not in names:
        words = ", ".join(repr(word) for word in names)
        raise RefusedError(f"unknown name; allowed: {words}{did_you_mean(name, names)}")
    if not isinstance(table, dict):
        raise RefusedError(f"{type_words(table)}, but a table is needed")
    try:
        value: object = converter.structure({**table, "name": name}, cls)
    except ClassValidationError as error:
        if "name" not in table:
            raise
        raise error.derive([*error.exceptions, _name_given(cls)]) from None
    if "name" in table:
        raise _name_given(cls)
    return value


def _name_given(cls: type) -> ForbiddenExtraKeysError:
    # The name is the table's own; a key of that name inside could only contradict it.
    return ForbiddenExtraKeysError(None, cls, {"name"})
