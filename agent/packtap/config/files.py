"""A file -> a checked configuration, floor 1: reading, finding out its kind, judging it.

Every mistake is reported at once, also those that concern several lines of the bus together.
"""

import os
import re
import tomllib
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from packtap.config.agent import AgentConfig, line_problems
from packtap.config.ingest import IngestConfig
from packtap.config.keys import Problem
from packtap.config.modes import configuration_problem
from packtap.config.web import WebConfig
from packtap.errors import ConfigError

__all__ = [
    "Inspection",
    "Kind",
    "inspect_file",
    "load_agent",
    "load_ingest",
    "load_web",
    "read_secret",
    "read_toml",
]

_MAX_BYTES: Final = 1_000_000
_BOM: Final = b"\xef\xbb\xbf"  # Windows editors put it first; TOML does not know it
_TLS_PORT: Final = 8883


class Kind(StrEnum):
    """Whose configuration a file is."""

    AGENT = "agent"
    INGEST = "ingest"
    WEB = "web"


_Config = TypeVar("_Config", AgentConfig, IngestConfig, WebConfig)

_CLASSES: Final[dict[Kind, type[AgentConfig] | type[IngestConfig] | type[WebConfig]]] = {
    Kind.AGENT: AgentConfig,
    Kind.INGEST: IngestConfig,
    Kind.WEB: WebConfig,
}


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a file.

    Attributes:
        kind: as asked for, or as found by looking; None for a file that cannot be read at all.
        config: None if anything is wrong.
        problems: what makes the file unusable.
        unsure: what cannot be judged outside the service.
    """

    kind: Kind | None
    config: AgentConfig | IngestConfig | WebConfig | None
    problems: tuple[Problem, ...]
    unsure: tuple[Problem, ...] = ()


def load_agent(path: Path | str) -> AgentConfig:
    """Return the agent's configuration.

    Raises:
        ConfigError: with every problem of the file.
    """
    return _load(Path(path), Kind.AGENT, AgentConfig)


def load_ingest(path: Path | str) -> IngestConfig:
    """Return the configuration of ingest.

    Raises:
        ConfigError: with every problem of the file.
    """
    return _load(Path(path), Kind.INGEST, IngestConfig)


def load_web(path: Path | str) -> WebConfig:
    """Return the configuration of the page.

    Raises:
        ConfigError: with every problem of the file.
    """
    return _load(Path(path), Kind.WEB, WebConfig)


def _load(path: Path, kind: Kind, cls: type[_Config]) -> _Config:
    found: Inspection = inspect_file(path, kind)
    if not isinstance(found.config, cls):
        problems = (*found.problems, *found.unsure)
        raise ConfigError([str(problem) for problem in problems], str(path))
    return found.config


def inspect_file(path: Path, kind: Kind | None = None) -> Inspection:
    """Read a file and say everything that is wrong with it. Never raises for what is in the file.

    Args:
        path: the file.
        kind: whose configuration it should be; None finds out by looking at its tables.
    """
    try:
        table = read_toml(path)
    except ConfigError as error:
        return Inspection(kind, None, tuple(Problem("", text) for text in error.problems))
    wrong = configuration_problem(path)
    # Here, so that commands which read no file start without cattrs.
    from packtap.config.structure import Places, structure

    kind = kind or _kind_of(table, path)
    _fill_tls_port(table)
    places = Places(path.absolute().parent, _credentials())
    config: AgentConfig | IngestConfig | WebConfig | None
    if kind is Kind.AGENT:
        config, problems = structure(AgentConfig, table, places)
    elif kind is Kind.INGEST:
        config, problems = structure(IngestConfig, table, places)
    else:
        config, problems = structure(WebConfig, table, places)
    if config is None and kind is Kind.AGENT:
        # The constructor judges the lines together only when each is fine by itself.
        known = {(problem.path, problem.text) for problem in problems}
        problems += [Problem(*pair) for pair in _lines_together(table) if pair not in known]
    if isinstance(config, AgentConfig):
        config = _fill_bus(config)
    if wrong is not None:
        config, problems = None, [Problem("", wrong), *problems]
    return Inspection(
        kind,
        config,
        tuple(problem for problem in problems if not problem.needs_service),
        tuple(problem for problem in problems if problem.needs_service),
    )


def read_secret(path: Path) -> str:
    """Return what a password or token file holds, without the newline at its end.

    Raises:
        ConfigError: it cannot be read, is empty, or holds more than one line.
    """
    try:
        text = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise ConfigError(["a secret is a line of text, this file is not"], str(path)) from error
    except OSError as error:
        raise ConfigError([f"cannot be read: {error.strerror}"], str(path)) from error
    if not text or "\n" in text:
        raise ConfigError(["one line with the secret is needed, and nothing else"], str(path))
    return text


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a file.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    data = _read_bytes(path).removeprefix(_BOM)
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wrong = f"line {line}: byte {data[error.start]:02x} is not UTF-8; save the file as UTF-8"
    except tomllib.TOMLDecodeError as error:
        wrong = _toml_words(str(error))
    except ValueError as error:  # a number of thousands of digits
        wrong = f"this is not TOML: {error}"
    except RecursionError:
        wrong = "this is not TOML: nested too deeply"
    raise ConfigError([wrong], str(path))


def _read_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ConfigError(["this is a folder; name the file in it"], str(path))
        if path.exists() and not path.is_file():
            raise ConfigError(["this is a device or a pipe, not a configuration"], str(path))
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        hint = "there is no such file; `packtap config example` prints one to start from"
        raise ConfigError([hint], str(path)) from error
    except PermissionError as error:
        hint = "this user may not read it; look at its owner and mode, or use the service's user"
        raise ConfigError([hint], str(path)) from error
    except (OSError, ValueError) as error:
        raise ConfigError([f"cannot be read: {error}"], str(path)) from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(["larger than 1 MB: this is not a configuration"], str(path))
    return data


def _toml_words(text: str) -> str:
    """Put the place first: tomllib says "... (at line 3, column 5)" or "(at end of document)"."""
    found = re.fullmatch(r"(.*) \(at (.*)\)", text, re.DOTALL)
    what, where = found.groups() if found else (text, "this file")
    where = where.replace("end of document", "the end of the file")
    if "Invalid value" in what:
        what += " (texts stand in quotes; yes and no are true and false)"
    return f"{where}: this is not TOML: {what}"


def _kind_of(table: dict[str, Any], path: Path) -> Kind:
    def known(kind: Kind) -> int:
        return len(table.keys() & {field.name for field in fields(_CLASSES[kind])})

    most = max(known(kind) for kind in Kind)
    likely = [kind for kind in Kind if known(kind) == most]
    named = [kind for kind in likely if path.name.startswith(kind)]
    return (named or likely)[0]


def _credentials() -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) if folder else None


def _fill_tls_port(table: dict[str, Any]) -> None:
    mqtt = table.get("mqtt")
    if isinstance(mqtt, dict) and "tls" in mqtt:
        mqtt.setdefault("port", _TLS_PORT)


def _fill_bus(config: AgentConfig) -> AgentConfig:
    def fill(path: Path) -> Path:
        return Path(str(path).replace("{bus}", config.bus))

    store = replace(config.store, path=fill(config.store.path))
    return replace(config, store=store, now_file=fill(config.now_file))


def _lines_together(table: dict[str, Any]) -> list[tuple[str, str]]:
    lines = table.get("lines")
    if not isinstance(lines, dict):
        return []
    ports = [
        (name, line.get("port") if isinstance(line, dict) else None) for name, line in lines.items()
    ]
    return line_problems(
        str(table.get("mode", "listen")),
        [(name, port if isinstance(port, str) else "") for name, port in ports],
    )
