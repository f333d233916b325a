"""The fleet's folder on the server, floor 4: what `packtap fleet` makes, and in which order.

::

    ca.key           the authority's private key, 0600: whoever has it can make devices
    ca.crt           its certificate
    ledger.json      everything that was ever issued
    broker/          what mosquitto reads: ca.crt broker.crt broker.key revoked.pem access.acl
    ingest/          what ingest reads: ca.crt ingest.crt ingest.key

The ledger is written first, and what the broker reads is made from it: a command that was
interrupted is put right by the next one.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from packtap.config.keys import NAME, Matching
from packtap.errors import FleetError
from packtap.fleet.access import INGEST_USER, RESERVED, access_list
from packtap.fleet.authority import AUTHORITY_DAYS, Authority, Signed, new_key
from packtap.fleet.enrolment import Enrolment, write_private
from packtap.fleet.ledger import Issued, Ledger, Role

__all__ = ["DAYS", "FleetFolder"]

DAYS: Final = 1095  #: three years: somebody must go to each device to renew it

_HOST: Final = Matching(
    r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]+", "a host name or an address"
)


@dataclass(frozen=True, slots=True)
class FleetFolder:
    """A fleet by its folder.

    Attributes:
        path: the folder.
        broker_user: who owns what the broker reads, if that user is there and we are root.
    """

    path: Path
    broker_user: str = "mosquitto"

    def init(self, hosts: Sequence[str], port: int, now: datetime) -> Ledger:
        """Make the authority, and what broker and ingest need.

        Raises:
            FleetError: there is a fleet already, or the folder cannot be written.
        """
        for host in hosts:
            if problem := _HOST.problem(host):
                raise FleetError(problem)
        if self._ledger_file.exists():
            raise FleetError(
                f"{self.path}: there is a fleet already; --renew makes new certificates for broker "
                "and ingest. A new authority would shut out every device"
            )
        with self._written():
            for each in (self.path, self._broker, self._ingest):
                each.mkdir(parents=True, exist_ok=True)
                each.chmod(0o755)
            authority, key = Authority.create(now)
            write_private(self.path / "ca.key", key)
            write_private(self.path / "ca.crt", authority.certificate_pem, mode=0o644)
            own = Issued(Role.AUTHORITY, "packtap fleet", "0", now, authority.not_after)
            ledger = Ledger(tuple(hosts), port, (own,))
            return self._equip(authority, ledger, now)

    def renew(self, now: datetime) -> Ledger:
        """Give broker and ingest new certificates; devices notice nothing."""
        with self._locked(), self._written():
            return self._equip(self._authority(), self.ledger(), now)

    def enrol(
        self,
        name: str,
        request: bytes | None,
        now: datetime,
        *,
        days: int = DAYS,
        again: bool = False,
    ) -> tuple[Enrolment, bool]:
        """Give an agent a certificate.

        Args:
            name: of the agent.
            request: made by the device; None makes its key here.
            now: UTC.
            days: how long it is valid.
            again: the agent has one already: this is its renewal.

        Returns:
            What to carry to the device; and whether the name was shut out until now.

        Raises:
            FleetError: the name cannot be used, is taken, or the request is not sound.
        """
        if problem := NAME.problem(name):
            raise FleetError(f"agent: {problem}")
        if name in RESERVED:
            raise FleetError(f"{name!r} is the name of ingest: give the device another one")
        with self._locked(), self._written():
            ledger, authority = self.ledger(), self._authority()
            counting = [one for one in ledger.of_agent(name) if one.revoked_at is None]
            if counting and not again:
                raise FleetError(
                    f"{name} is enrolled until {counting[-1].not_after:%Y-%m-%d}; --renew makes it "
                    "a new certificate, the old one stays valid until then (or: revoke first)"
                )
            key = new_key() if request is None else None
            if key is not None:
                signed = authority.sign_client(name, key, now, days)
            else:
                signed = authority.sign_request(name, request or b"", now, days)
            was_shut_out = name in ledger.shut_out()
            ledger = ledger.with_issued(_issued(Role.AGENT, name, signed, now))
            self._save(authority, ledger, now)
        return (
            Enrolment(
                agent=name,
                host=ledger.hosts[0],
                port=ledger.port,
                expires=f"{signed.not_after:%Y-%m-%d}",
                ca=authority.certificate_pem.decode(),
                certificate=signed.pem.decode(),
                key=None if key is None else key.decode(),
            ),
            was_shut_out,
        )

    def revoke(self, name: str, now: datetime) -> tuple[Issued, ...]:
        """Revoke every certificate of an agent; returns those that counted until now.

        Raises:
            FleetError: no such agent was ever enrolled.
        """
        with self._locked(), self._written():
            ledger = self.ledger()
            known = ledger.of_agent(name)
            if not known:
                raise FleetError(f"no agent {name!r} was ever enrolled here: packtap fleet list")
            self._save(self._authority(), ledger.without(name, now), now)
        return tuple(one for one in known if one.revoked_at is None)

    def ledger(self) -> Ledger:
        """Return everything that was ever issued.

        Raises:
            FleetError: there is no fleet here, or this user may not read it.
        """
        try:
            document = self._ledger_file.read_bytes()
        except FileNotFoundError as exc:
            raise FleetError(f"{self.path}: there is no fleet; packtap fleet init") from exc
        except OSError as exc:
            raise FleetError(f"{self._ledger_file}: {exc.strerror}; as root?") from exc
        return Ledger.parse(document)

    @property
    def _ledger_file(self) -> Path:
        return self.path / "ledger.json"

    @property
    def _broker(self) -> Path:
        return self.path / "broker"

    @property
    def _ingest(self) -> Path:
        return self.path / "ingest"

    def _authority(self) -> Authority:
        key = self.path / "ca.key"
        mode = key.stat().st_mode & 0o777
        if mode & 0o077:
            raise FleetError(
                f"{key}: others may read it (mode {mode:o}), and could have made devices of their "
                f"own: chmod 600 {key}"
            )
        return Authority(key.read_bytes(), (self.path / "ca.crt").read_bytes())

    def _equip(self, authority: Authority, ledger: Ledger, now: datetime) -> Ledger:
        broker_key, ingest_key = new_key(), new_key()
        broker = authority.sign_broker(broker_key, ledger.hosts, now, AUTHORITY_DAYS)
        ingest = authority.sign_client(INGEST_USER, ingest_key, now, AUTHORITY_DAYS)
        for issued in (
            _issued(Role.BROKER, ledger.hosts[0], broker, now),
            _issued(Role.INGEST, INGEST_USER, ingest, now),
        ):
            ledger = ledger.with_issued(issued)
        self._save(authority, ledger, now)
        for folder, name, key, signed in (
            (self._broker, "broker", broker_key, broker),
            (self._ingest, "ingest", ingest_key, ingest),
        ):
            write_private(folder / f"{name}.key", key)
            write_private(folder / f"{name}.crt", signed.pem, mode=0o644)
            write_private(folder / "ca.crt", authority.certificate_pem, mode=0o644)
        self._hand_over()
        return ledger

    def _save(self, authority: Authority, ledger: Ledger, now: datetime) -> None:
        """Write the ledger, and from it what the broker reads."""
        write_private(self._ledger_file, ledger.dump(), mode=0o644)
        gone = [(one.serial, one.revoked_at or now) for one in ledger.revoked()]
        write_private(self._broker / "revoked.pem", authority.revocations(gone, now), mode=0o644)
        # mosquitto 2.0.11 reads an access list of any mode; later ones want it closed to others.
        write_private(self._broker / "access.acl", access_list(ledger.shut_out()).encode(), 0o600)
        self._hand_over()

    def _hand_over(self) -> None:
        """Let the broker read its own; it gives up root before it reads them."""
        with suppress(LookupError, PermissionError):
            for file in self._broker.iterdir():
                shutil.chown(file, self.broker_user)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep a second `packtap fleet` from writing over what this one has written."""
        import fcntl

        if not self._ledger_file.exists():
            raise FleetError(f"{self.path}: there is no fleet; packtap fleet init")
        with self._written(), open(self.path / ".lock", "wb", opener=_private) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise FleetError(f"{exc.filename or self.path}: {exc.strerror}; as root?") from exc


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _issued(role: Role, name: str, signed: Signed, now: datetime) -> Issued:
    return Issued(role, name, signed.serial, now, signed.not_after)
