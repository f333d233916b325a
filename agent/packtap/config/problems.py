"""What cattrs found -> sentences with a key path, floor 1.

Every mistake says what was seen and what is allowed; a key that is not known is compared with those
that are, here and in the other tables. The value of a secret is never repeated.
"""

import difflib
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Final

from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from packtap.config.keys import ContradictionError, Problem, about_of

__all__ = ["MAX_INT", "RefusedError", "did_you_mean", "problems_of", "type_words"]

#: What TOML promises to carry.
MAX_INT: Final = 2**63 - 1

#: Keys that people try; their values are never repeated in a message.
_SECRETS: Final[Mapping[str, str]] = {
    "password": "password_file",
    "passwd": "password_file",
    "token": "token_file",
    "key": "key_file",
}


class RefusedError(ValueError):
    """A value that does not fit its key; raised and caught within this package."""

    def __init__(self, text: str, needs_service: bool = False) -> None:
        super().__init__(text)
        self.needs_service = needs_service


def type_words(value: object) -> str:
    """Return what a value of a TOML file is, for people; long texts are cut."""
    words = "a date or a time"
    if isinstance(value, bool):
        words = "true" if value else "false"
    elif isinstance(value, int):
        words = f"the whole number {value}" if abs(value) <= MAX_INT else "a huge whole number"
    elif isinstance(value, float):
        words = f"the number {value}"
    elif isinstance(value, str):
        words = f"the text {value[:40]!r}" if value else "an empty text"
    elif isinstance(value, list):
        words = "a list"
    elif isinstance(value, dict):
        words = "a table"
    return words


def problems_of(error: ClassValidationError, root: type) -> list[Problem]:
    """Return every mistake in the file whose tables are `root`."""
    return list(_problems(error, (), root, root))


def _problems(
    error: Exception, path: tuple[str, ...], cls: type | None, root: type
) -> Iterator[Problem]:
    where = _key_path(path)
    match error:
        case ClassValidationError():
            named, rest = error.group_exceptions()
            for cause, note in named:
                yield from _problems(cause, (*path, note.name), error.cl, root)
            for cause in rest:
                yield from _problems(cause, path, error.cl, root)
        case IterableValidationError():
            for cause, index in error.group_exceptions()[0]:
                yield from _problems(cause, (*path, str(index.index)), None, root)
        case ForbiddenExtraKeysError():
            for key in sorted(error.extra_fields):
                yield Problem(_key_path((*path, key)), _unknown_key(key, error.cl, root))
        case ContradictionError():
            for below, text in error.problems:
                yield Problem(".".join(filter(None, (where, below))), text)
        case RefusedError():
            yield Problem(where, str(error), error.needs_service)
        case KeyError() if cls is not None:
            yield Problem(where, _missing_key(path[-1], cls))
        case _:
            raise error


def _unknown_key(key: str, cls: type, root: type) -> str:
    known = [field.name for field in fields(cls) if field.metadata]
    instead = _SECRETS.get(key)
    if instead in known:
        return (
            "a secret must not stand in this file; write it alone into a file that only packtap "
            f"may read, and name that file in {instead}"
        )
    homes = [table for table, name in _all_keys(root, "") if name == key]
    if homes:
        return f"not known here; it belongs into {' or '.join(homes)}"
    return f"unknown key{did_you_mean(key, known) or '; known here: ' + ', '.join(known)}"


def _missing_key(key: str, cls: type) -> str:
    (field,) = (field for field in fields(cls) if field.name == key)
    check = about_of(field).check
    allowed = f"; allowed: {check.allowed}" if check else ""
    kind = "this key" if field.type in (str, int) else "this table"
    return f"missing; {kind} is needed{allowed}"


def _all_keys(cls: type, table: str) -> Iterator[tuple[str, str]]:
    """Yield each key of the file with the table that it stands in."""
    for name, hint in typing.get_type_hints(cls).items():
        inner = [kind for kind in (hint, *typing.get_args(hint)) if is_dataclass(kind)]
        if name != "name":
            yield f"[{table}]" if table else "the top of the file", name
        if inner:
            below = f"{table}.{name}" if table else name
            if typing.get_origin(hint) is tuple:
                # [lines.NAME]: tables whose names are given by their users; [[pack_model]]: a list.
                is_named = typing.get_args(typing.get_type_hints(inner[0])["name"])
                below = f"{below}.NAME" if is_named else f"[{below}]"
            yield from _all_keys(typing.cast("type", inner[0]), below)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" if one of the known words is near, else ""."""
    near = difflib.get_close_matches(str(word).lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _key_path(path: tuple[str, ...]) -> str:
    return ".".join(_key_text(key) for key in path)


def _key_text(key: str) -> str:
    """Return a key as TOML writes it, cut if somebody put a novel there."""
    plain = key.replace("_", "a").replace("-", "a").isalnum() and key.isascii()
    return key if plain and len(key) <= 64 else repr(key[:64])
