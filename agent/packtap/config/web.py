"""The configuration of the page as values, floor 1: one field a key."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from packtap.config.keys import ContradictionError, Matching, Within, about

__all__ = ["WebConfig"]

_HOST: Final = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"


@dataclass(frozen=True, slots=True)
class _Address:
    """An IP address of this machine."""

    @property
    def allowed(self) -> str:
        """Return the form of the address."""
        return "an IP address of this machine; 127.0.0.1 (this machine only), 0.0.0.0 (all)"

    def problem(self, value: str) -> str | None:
        """Return what is wrong with the address, or None."""
        if _parsed(value) is not None:
            return None
        return f"{value!r} is not an IP address; allowed: {self.allowed}"


@dataclass(frozen=True, slots=True)
class _Hosts:
    """Names under which a browser may ask for the page."""

    @property
    def allowed(self) -> str:
        """Return the form of the names."""
        return "host names without port"

    def problem(self, value: tuple[str, ...]) -> str | None:
        """Return what is wrong with the first bad name, or None."""
        check = Matching(_HOST, "a host name without port")
        return next(filter(None, (check.problem(name) for name in value)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Everything the page must be told."""

    bind: str = field(
        default="127.0.0.1",
        metadata=about(
            "Where it listens. Beyond this machine only with token_file; nothing is encrypted: put "
            "a TLS proxy in front where others share the network.",
            _Address(),
        ),
    )
    port: int = field(default=8090, metadata=about("TCP port.", Within(1, 65535)))
    token_file: Path | None = field(
        default=None,
        metadata=about(
            "File with the token that a visitor must give, 16 characters or more, readable by its "
            "owner alone (chmod 600). Without it everybody who reaches the port sees everything. A "
            "bare name is looked up in $CREDENTIALS_DIRECTORY (systemd: LoadCredential=), then "
            "beside this file.",
            example=Path("web-token"),
            reads_file=True,
            secret=True,
        ),
    )
    hosts: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "Names under which browsers may ask for the page, beside IP addresses, localhost and "
            "the name of this machine. Others are refused: a foreign site must not reach the page "
            "through a name of its own.",
            _Hosts(),
        ),
    )
    stores: tuple[Path, ...] = field(
        default=(Path("/var/lib/packtap/*/packtap.db"),),
        metadata=about("Stores of agents or of ingest; * stands for any name."),
    )
    now_files: tuple[Path, ...] = field(
        default=(Path("/run/packtap/*.json"),),
        metadata=about("Now-files of agents on this machine; * stands for any name."),
    )
    notice: str = field(
        default="", metadata=about("A line that stands above every page, for example who to call.")
    )

    def __post_init__(self) -> None:
        # A file's keys are judged one by one before; an option of the command comes straight here.
        if wrong := _Address().problem(self.bind):
            raise ContradictionError([("bind", wrong)])
        address = _parsed(self.bind)
        if address is not None and not address.is_loopback and self.token_file is None:
            raise ContradictionError(
                [
                    (
                        "token_file",
                        f"missing: bind = {self.bind!r} lets other machines in, and the page does "
                        "that only with a token. Write one into a file (openssl rand -hex 24 > "
                        "web-token; chmod 600 web-token) and name it here, or bind to 127.0.0.1",
                    )
                ]
            )


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
