"""What was ever issued, floor 4: one JSON document, replaced as a whole.

A certificate is written here before it leaves the house, so whatever is in the field can be
revoked. The list of revocations and the broker's access list are derived from it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

from packtap.errors import FleetError

__all__ = ["SOON_DAYS", "Issued", "Ledger", "Role", "State"]

SOON_DAYS: Final = 30
_FORMAT: Final = 1


class Role(StrEnum):
    """What a certificate is for."""

    AUTHORITY = "authority"
    BROKER = "broker"
    INGEST = "ingest"
    AGENT = "agent"


class State(StrEnum):
    """What a certificate is worth."""

    VALID = "valid"
    SOON = "expires soon"
    EXPIRED = "expired"
    REPLACED = "replaced"  #: still valid, and a newer one of the same name is there
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate.

    Attributes:
        role: what it is for.
        name: its common name; of an agent its user name at the broker.
        serial: hexadecimal.
        issued_at: UTC.
        not_after: UTC.
        revoked_at: UTC; None while it counts.
    """

    role: Role
    name: str
    serial: str
    issued_at: datetime
    not_after: datetime
    revoked_at: datetime | None = None

    def days_left(self, now: datetime) -> int:
        """Return the whole days until it ends, negative behind its end."""
        return (self.not_after - now).days


@dataclass(frozen=True, slots=True)
class Ledger:
    """All certificates, oldest first, and how devices reach the broker.

    Attributes:
        hosts: names and addresses of the broker; devices are told the first.
        port: of its TLS listener.
    """

    hosts: tuple[str, ...]
    port: int
    issued: tuple[Issued, ...] = field(default=())

    def with_issued(self, one: Issued) -> Self:
        """Return the ledger with one more certificate."""
        return replace(self, issued=(*self.issued, one))

    def of_agent(self, name: str) -> tuple[Issued, ...]:
        """Return every certificate that an agent was ever given, oldest first."""
        return tuple(one for one in self.issued if one.role is Role.AGENT and one.name == name)

    def without(self, name: str, now: datetime) -> Self:
        """Return the ledger in which no certificate of this agent counts any more."""
        revoked = tuple(
            replace(one, revoked_at=now)
            if one.role is Role.AGENT and one.name == name and one.revoked_at is None
            else one
            for one in self.issued
        )
        return replace(self, issued=revoked)

    def revoked(self) -> tuple[Issued, ...]:
        """Return the certificates that are revoked."""
        return tuple(one for one in self.issued if one.revoked_at is not None)

    def shut_out(self) -> tuple[str, ...]:
        """Return the agents that have no certificate that counts, by name."""
        names = {one.name for one in self.issued if one.role is Role.AGENT}
        let_in = {
            one.name for one in self.issued if one.role is Role.AGENT and one.revoked_at is None
        }
        return tuple(sorted(names - let_in))

    def state(self, one: Issued, now: datetime) -> State:
        """Return what one of these certificates is worth."""
        if one.revoked_at is not None:
            return State.REVOKED
        if one.not_after <= now:
            return State.EXPIRED
        newest = [each for each in self.issued if (each.role, each.name) == (one.role, one.name)]
        if newest[-1] is not one:
            return State.REPLACED
        return State.SOON if one.days_left(now) < SOON_DAYS else State.VALID

    def is_due(self, one: Issued, now: datetime) -> bool:
        """Return whether somebody must renew it: the newest of its name ends soon, or has ended."""
        same = [each for each in self.issued if (each.role, each.name) == (one.role, one.name)]
        return same[-1] is one and one.revoked_at is None and one.days_left(now) < SOON_DAYS

    def dump(self) -> bytes:
        """Return the document."""
        body = {
            "format": _FORMAT,
            "hosts": list(self.hosts),
            "port": self.port,
            "issued": [_plain(one) for one in self.issued],
        }
        return json.dumps(body, indent=1).encode() + b"\n"

    @classmethod
    def parse(cls, document: bytes) -> Self:
        """Return the ledger in a document.

        Raises:
            FleetError: it is damaged, or of a later version.
        """
        try:
            body: dict[str, Any] = json.loads(document)
            if body["format"] != _FORMAT:
                raise FleetError("the ledger is of a later version: update packtap")
            return cls(tuple(body["hosts"]), body["port"], tuple(_issued(body["issued"])))
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise FleetError(f"the ledger is damaged ({exc}): restore it from a copy") from exc


def _plain(one: Issued) -> dict[str, str | None]:
    return {
        "role": one.role.value,
        "name": one.name,
        "serial": one.serial,
        "issued_at": one.issued_at.isoformat(timespec="seconds"),
        "not_after": one.not_after.isoformat(timespec="seconds"),
        "revoked_at": (
            None if one.revoked_at is None else one.revoked_at.isoformat(timespec="seconds")
        ),
    }


def _issued(rows: Iterable[dict[str, Any]]) -> Iterable[Issued]:
    for row in rows:
        revoked_at = row["revoked_at"]
        yield Issued(
            Role(row["role"]),
            row["name"],
            row["serial"],
            _time(row["issued_at"]),
            _time(row["not_after"]),
            None if revoked_at is None else _time(revoked_at),
        )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
