"""A table of a file -> a dataclass, floor 1: cattrs with strict types and every mistake at once.

The door of cattrs. Nothing is converted silently: "115200" is no number, 1 is no yes, 1.0 is no
whole number; a whole number may stand where a number with a point is wanted. Paths are relative to
the folder of the file. Each mistake comes with its key path, what was seen and what is allowed.
"""

import difflib
import os
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeVar

from cattrs import Converter
from cattrs.errors import (
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from packtap.config.keys import About, ContradictionError, about_of

__all__ = ["Places", "Problem", "structure", "type_words"]

T = TypeVar("T")

#: What TOML promises to carry.
_MAX_INT: Final = 2**63 - 1

#: Keys that people try; their values are never repeated in a message.
_SECRETS: Final[Mapping[str, str]] = {
    "password": "password_file",
    "passwd": "password_file",
    "token": "token_file",
    "key": "key_file",
}


@dataclass(frozen=True, slots=True)
class Places:
    """Where names of files are looked up.

    Attributes:
        folder: of the configuration file.
        credentials: $CREDENTIALS_DIRECTORY, or None outside a service.
    """

    folder: Path
    credentials: Path | None


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    Attributes:
        path: "mqtt.tls.ca_file"; "" for the file as a whole.
        text: what was seen, what is allowed.
        needs_service: it may be fine inside the service, where systemd provides credentials.
    """

    path: str
    text: str
    needs_service: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class _RefusedError(ValueError):
    """A value that does not fit its key."""

    def __init__(self, text: str, needs_service: bool = False) -> None:
        super().__init__(text)
        self.needs_service = needs_service


def structure(
    cls: type[T], table: Mapping[str, object], places: Places
) -> tuple[T | None, list[Problem]]:
    """Return the table as a value of `cls`, or None and every mistake in it."""
    try:
        return _converter(places).structure(table, cls), []
    except ClassValidationError as error:
        return None, list(_problems(error, (), cls))


def type_words(value: object) -> str:
    """Return what a value of a TOML file is, for people; long texts are cut."""
    words = "a date or a time"
    if isinstance(value, bool):
        words = "true" if value else "false"
    elif isinstance(value, int):
        words = f"the whole number {value}" if abs(value) <= _MAX_INT else "a huge whole number"
    elif isinstance(value, float):
        words = f"the number {value}"
    elif isinstance(value, str):
        words = f"the text {value[:40]!r}" if value else "an empty text"
    elif isinstance(value, list):
        words = "a list"
    elif isinstance(value, dict):
        words = "a table"
    return words


def _converter(places: Places) -> Converter:
    converter = Converter(detailed_validation=True, forbid_extra_keys=True)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(int, _whole_number)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(Path, lambda value, _: places.folder / _path(value))
    converter.register_structure_hook_func(_is_choice, _choice)
    converter.register_structure_hook_func(
        _is_named_tables, lambda value, wanted: _named_tables(converter, value, wanted)
    )
    converter.register_structure_hook_factory(
        is_dataclass, lambda cls: _table_hook(converter, cls, places)
    )
    return converter


def _table_hook(
    converter: Converter, cls: type, places: Places
) -> Callable[[object, object], object]:
    overrides = {
        field.name: override(struct_hook=_key_hook(converter, about_of(field), places))
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
            raise _RefusedError(f"{type_words(value)}, but a table is needed")
        return read_keys(value, cls)

    return hook


def _key_hook(converter: Converter, described: About, places: Places) -> Callable[[Any, Any], Any]:
    def hook(value: object, wanted: Any) -> object:
        if described.reads_file:
            return _find(_path(value), places)
        result = converter.structure(value, wanted)
        if described.check is not None and (wrong := described.check.problem(result)):
            raise _RefusedError(wrong)
        return result

    return hook


def _find(name: Path, places: Places) -> Path:
    """Return the readable file that is meant, or say where it was looked for."""
    folders = [places.folder]
    is_bare = len(name.parts) == 1 and not name.is_absolute()
    if is_bare and places.credentials is not None:
        folders.insert(0, places.credentials)
    for candidate in (folder / name for folder in folders):
        if candidate.is_file():
            if os.access(candidate, os.R_OK):
                return candidate
            raise _RefusedError(f"{candidate} is there, but this user may not read it")
    looked_for = " and ".join(str(folder / name) for folder in folders)
    if is_bare and places.credentials is None:
        raise _RefusedError(
            f"no file {looked_for}; $CREDENTIALS_DIRECTORY, where the service looks for a bare "
            "name, is not set here",
            needs_service=True,
        )
    raise _RefusedError(f"no file {looked_for}")


def _boolean(value: object, _: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _RefusedError(f"{type_words(value)}, but true or false is needed")


def _whole_number(value: object, _: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_INT:
        return value
    hint = ""
    if isinstance(value, str) and value.strip().isdecimal():
        hint = " (write it without quotes)"
    elif isinstance(value, float) and value.is_integer():
        hint = " (write it without a point)"
    raise _RefusedError(f"{type_words(value)}, but a whole number is needed{hint}")


def _number(value: object, _: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    raise _RefusedError(f"{type_words(value)}, but a number is needed")


def _text(value: object, _: object) -> str:
    if isinstance(value, str):
        return value
    raise _RefusedError(f"{type_words(value)}, but a text in quotes is needed")


def _path(value: object) -> Path:
    text = _text(value, None)
    if not text.strip() or "\0" in text:
        raise _RefusedError(f"{type_words(text)}, but the path of a file is needed")
    return Path(text)


def _is_choice(wanted: object) -> bool:
    origin: object = typing.get_origin(wanted)
    return origin is typing.Literal


def _choice(value: object, wanted: object) -> object:
    allowed = typing.get_args(wanted)
    if isinstance(value, str) and value in allowed:
        return value
    words = ", ".join(repr(word) for word in allowed)
    raise _RefusedError(f"{type_words(value)}; allowed: {words}{_did_you_mean(value, allowed)}")


def _is_named_tables(wanted: object) -> bool:
    arguments = typing.get_args(wanted)
    return typing.get_origin(wanted) is tuple and bool(arguments) and is_dataclass(arguments[0])


def _named_tables(converter: Converter, value: object, wanted: object) -> tuple[object, ...]:
    """Read `[lines.bms]`, `[lines.esc]` as values that know their names."""
    cls = typing.get_args(wanted)[0]
    names = typing.get_args(typing.get_type_hints(cls)["name"])
    form = ", ".join(
        f"NAME {word!r}" if not index else repr(word) for index, word in enumerate(names)
    )
    if not isinstance(value, dict):
        raise _RefusedError(f"{type_words(value)}, but tables with a name are needed; {form}")
    items: list[object] = []
    wrong: list[Exception] = []
    for name, table in value.items():
        try:
            items.append(_named_table(converter, cls, names, name, table))
        except (ClassValidationError, ValueError) as error:
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
        raise _RefusedError(f"unknown name; allowed: {words}{_did_you_mean(name, names)}")
    if not isinstance(table, dict):
        raise _RefusedError(f"{type_words(table)}, but a table is needed")
    if "name" in table:
        # The name is the table's own; a key beside it could only contradict.
        raise ForbiddenExtraKeysError(None, cls, {"name"})
    return converter.structure({"name": name, **table}, cls)


def _problems(error: Exception, path: tuple[str, ...], cls: type | None) -> Iterator[Problem]:
    where = ".".join(_key_text(key) for key in path)
    match error:
        case ClassValidationError():
            named, rest = error.group_exceptions()
            for cause, note in named:
                yield from _problems(cause, (*path, note.name), error.cl)
            for cause in rest:
                yield from _problems(cause, path, error.cl)
        case IterableValidationError():
            for cause, index in error.group_exceptions()[0]:
                yield from _problems(cause, (*path, str(index.index)), None)
        case ForbiddenExtraKeysError():
            for key in sorted(error.extra_fields):
                unknown = ".".join(_key_text(part) for part in (*path, key))
                yield Problem(unknown, _unknown_key(key, error.cl))
        case ContradictionError():
            for below, text in error.problems:
                yield Problem(".".join(filter(None, (where, below))), text)
        case _RefusedError():
            yield Problem(where, str(error), error.needs_service)
        case KeyError() if cls is not None:
            yield Problem(where, _missing_key(path[-1], cls))
        case _:
            raise error


def _unknown_key(key: str, cls: type) -> str:
    known = [field.name for field in fields(cls) if field.metadata]
    instead = _SECRETS.get(key)
    if instead in known:
        return (
            "a secret must not stand in this file; write it alone into a file that only packtap "
            f"may read, and name that file in {instead}"
        )
    return f"unknown key{_did_you_mean(key, known) or '; known here: ' + ', '.join(known)}"


def _missing_key(key: str, cls: type) -> str:
    (field,) = (field for field in fields(cls) if field.name == key)
    described = about_of(field)
    allowed = f"; allowed: {described.check.allowed}" if described.check else ""
    kind = "this table" if field.type not in (str, int) else "this key"
    return f"missing; {kind} is needed{allowed}"


def _did_you_mean(word: object, known: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(str(word).lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _key_text(key: str) -> str:
    """Return a key as TOML writes it, cut if somebody put a novel there."""
    plain = key.replace("_", "a").replace("-", "a").isalnum() and key.isascii()
    return key if plain and len(key) <= 64 else repr(key[:64])
