"""The commented example, floor 1: generated from what the keys say about themselves.

What must be written stands plainly; what has a default stands as `#key = default`, what is optional
as `#key = example`. Help begins with "# ". So the text loads as it is, and every `#key` may be
uncommented. Nothing is written here that `keys` and the dataclasses do not say.
"""

import json
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Final

from packtap.config.agent import AgentConfig
from packtap.config.ingest import IngestConfig
from packtap.config.keys import FILLED, About, about_of
from packtap.config.web import WebConfig

__all__ = ["example_agent", "example_ingest", "example_web"]

_WIDTH: Final = 98
_HEAD: Final = (
    "Lines that begin with #key show the default, or an example; remove the # to change them. "
    "Times and sizes carry their unit in the name. `packtap config check FILE` finds mistakes."
)


def example_agent() -> str:
    """Return a commented configuration of the agent that loads as it is."""
    return _document(AgentConfig, "packtap agent: /etc/packtap/agent-BUS.toml, one file a bus.")


def example_ingest() -> str:
    """Return a commented configuration of ingest that loads as it is."""
    return _document(IngestConfig, "packtap ingest: /etc/packtap/ingest.toml.")


def example_web() -> str:
    """Return a commented configuration of the page that loads as it is."""
    return _document(WebConfig, "packtap web: /etc/packtap/web.toml.")


def _document(cls: type, title: str) -> str:
    head = [*_comment(title), *_comment(_HEAD), ""]
    keys = "\n".join(_table(cls, (), commented=False)).lstrip("\n")
    return "\n".join(head) + f"\n{keys}\n"


def _table(
    cls: type,
    path: tuple[str, ...],
    *,
    commented: bool,
    of: object = None,
    explained: bool = True,
) -> Iterator[str]:
    """Yield plain keys first: after a sub-table's head they would belong to it."""
    tables: list[tuple[Field[Any], type]] = []
    hints = typing.get_type_hints(cls)
    for field in fields(cls):
        if not field.metadata or (of is not None and getattr(of, field.name) is None):
            continue
        inner = _inner_table(hints[field.name])
        if inner is not None:
            tables.append((field, inner))
        else:
            if explained:
                yield from _comment(_help(about_of(field), hints[field.name]))
            yield _key(field, commented=commented, of=of)
    for field, inner in tables:
        yield from _sub_table(field, inner, (*path, field.name), commented=commented)


def _sub_table(
    field: Field[Any], inner: type, path: tuple[str, ...], *, commented: bool
) -> Iterator[str]:
    described = about_of(field)
    yield ""
    yield from _comment(described.help)
    if isinstance(described.example, tuple):
        is_list = field.default is not MISSING  # of tables, none of which is needed
        for index, item in enumerate(described.example):
            if index:
                yield ""
            hidden = commented or is_list or index > 0
            place = (f"[{path[-1]}]",) if is_list else (*path, item.name)
            yield from _head(place, commented=hidden)
            # A second table of one kind is not explained again.
            yield from _table(inner, place, commented=hidden, of=item, explained=not index)
        return
    commented = commented or (field.default is None and not described.shown)
    yield from _head(path, commented=commented)
    yield from _table(inner, path, commented=commented)


def _head(path: tuple[str, ...], *, commented: bool) -> Iterator[str]:
    yield f"{'#' if commented else ''}[{'.'.join(path)}]"


def _key(field: Field[Any], *, commented: bool, of: object) -> str:
    value = about_of(field).example if field.default in (None, MISSING) else field.default
    if of is not None:
        value = getattr(of, field.name)
    sign = "#" if commented or field.default is not MISSING else ""
    return f"{sign}{field.name} = {_toml(value)}"


def _help(described: About, hint: Any) -> str:
    has_bounds = described.check not in (None, FILLED)
    allowed = described.check.allowed if described.check and has_bounds else None
    if typing.get_origin(hint) is typing.Literal:
        allowed = ", ".join(typing.get_args(hint))
    return f"{described.help} Allowed: {allowed}." if allowed else described.help


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2, break_on_hyphens=False)]


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case int() | float():
            return repr(value)
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
    raise TypeError(f"no example for {value!r}")


def _inner_table(hint: Any) -> type | None:
    """Return the dataclass behind `X`, `X | None` or `tuple[X, ...]`."""
    is_outer = isinstance(hint, UnionType) or typing.get_origin(hint) is tuple
    for candidate in typing.get_args(hint) if is_outer else (hint,):
        if isinstance(candidate, type) and is_dataclass(candidate):
            return candidate
    return None
