"""How a key of the configuration describes itself, floor 1.

Every field of the configuration's dataclasses carries one `About` in its metadata: the help text,
what is allowed, an example. Checking and the commented example are both derived from it, so that
they cannot differ. Nothing here knows the keys themselves, TOML or cattrs.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

__all__ = [
    "FILLED",
    "MB",
    "NAME",
    "URL_SCHEMES",
    "About",
    "ContradictionError",
    "Each",
    "Matching",
    "Port",
    "Problem",
    "Url",
    "Within",
    "about",
    "about_of",
]

#: A serial line may also be a network tap: raw TCP, or TCP with the rate set over it (ser2net).
URL_SCHEMES: Final = ("socket", "rfc2217")

#: Sizes in a file are decimal megabytes, as disks are sold.
MB: Final = 1_000_000

_METADATA_KEY: Final = "packtap"


class Check(Protocol):
    """What one value must satisfy beyond its type."""

    @property
    def allowed(self) -> str:
        """Return what is allowed, in words that follow "allowed: "."""

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with the value, or None."""


@dataclass(frozen=True, slots=True)
class Within:
    """A number between two bounds, both allowed."""

    low: float
    high: float

    @property
    def allowed(self) -> str:
        """Return the bounds in words."""
        return f"{self.low:g} to {self.high:g}" if self.high < 1e6 else f"{self.low} to {self.high}"

    def problem(self, value: float) -> str | None:
        """Return what is wrong with the number, or None."""
        return None if self.low <= value <= self.high else f"{value} is outside {self.allowed}"


@dataclass(frozen=True, slots=True)
class Matching:
    """A text that matches a pattern as a whole; `allowed` says the pattern in words."""

    pattern: str
    allowed: str

    def problem(self, value: str) -> str | None:
        """Return what is wrong with the text, or None."""
        if re.fullmatch(self.pattern, value):
            return None
        wrong = "an empty text" if not value else repr(value)
        return f"{wrong} cannot be used; allowed: {self.allowed}"


@dataclass(frozen=True, slots=True)
class Each:
    """A list whose items all satisfy a check."""

    check: Check

    @property
    def allowed(self) -> str:
        """Return what each item may be, in words."""
        return f"a list of {self.check.allowed}"

    def problem(self, value: Iterable[Any]) -> str | None:
        """Return what is wrong with the first item that is wrong, or None."""
        return next(filter(None, map(self.check.problem, value)), None)


#: Names that become topic levels, file names and tags.
NAME: Final = Matching(r"[a-z0-9_-]{1,64}", "1 to 64 lower-case letters, digits, _ or -")
FILLED: Final = Matching(r"(?s).*\S.*", "a text that is not empty")


@dataclass(frozen=True, slots=True)
class Port:
    """The name of a serial port: a device, or the URL of a network tap."""

    @property
    def allowed(self) -> str:
        """Return the forms of a port's name."""
        return "/dev/serial/by-id/..., another /dev/..., socket://HOST:PORT or rfc2217://HOST:PORT"

    def problem(self, value: str) -> str | None:
        """Return what is wrong with the name, or None. Whether the port is there is not asked."""
        if "://" in value:
            return None if _is_network_port(value) else self._refuse(value)
        if value.startswith("/") or re.fullmatch(r"COM\d+", value):
            return None
        if re.fullmatch(r"tty\w+|serial\d", value):
            return f"{value!r} is not a path; did you mean '/dev/{value}'?"
        return self._refuse(value)

    def _refuse(self, value: str) -> str:
        return f"{value!r} is not the name of a serial port; allowed: {self.allowed}"


def _is_network_port(value: str) -> bool:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:  # the port is no number, or beyond 65535
        return False
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    return parts.scheme in URL_SCHEMES and bool(parts.hostname) and bool(port) and not extra


@dataclass(frozen=True, slots=True)
class Url:
    """The base address of a web service, without a secret in it."""

    @property
    def allowed(self) -> str:
        """Return the form of the address."""
        return "http://HOST:PORT or https://HOST[:PORT], without user and password"

    def problem(self, value: str) -> str | None:
        """Return what is wrong with the address, or None; a secret in it is not repeated."""
        try:
            parts = urlsplit(value)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            usable = usable and parts.port != 0
        except ValueError:
            usable = False
        else:
            if parts.username or parts.password or "token=" in parts.query:
                return "a secret must not stand in the address; use the key that names a file"
        return None if usable else f"{value!r} is no such address; allowed: {self.allowed}"


@dataclass(frozen=True, slots=True)
class About:
    """What a key says about itself.

    Attributes:
        help: one or more sentences for the person who writes the file.
        check: what the value must satisfy beyond its type.
        example: the value in the example where there is no default to show; for a table of named
            tables their values, the first of which stands in the example uncommented.
        reads_file: the value names a file that must be there and readable.
        secret: what that file holds must be readable by its owner alone.
        shown: an optional table that stands in the example uncommented.
    """

    help: str
    check: Check | None = None
    example: object = None
    reads_file: bool = False
    secret: bool = False
    shown: bool = False


def about(
    help_text: str,
    check: Check | None = None,
    *,
    example: object = None,
    reads_file: bool = False,
    secret: bool = False,
    shown: bool = False,
) -> Mapping[str, About]:
    """Return the metadata of a field."""
    return {_METADATA_KEY: About(help_text, check, example, reads_file, secret, shown)}


def about_of(field: Field[Any]) -> About:
    """Return what a field says about itself."""
    described: About = field.metadata[_METADATA_KEY]
    return described


class ContradictionError(ValueError):
    """Keys that are fine one by one and cannot stand together.

    Args:
        problems: pairs of key path (relative to the table that raises) and what is wrong.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{path}: {text}" for path, text in self.problems))


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
