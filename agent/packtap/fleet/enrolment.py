"""One file that makes a device a member of the fleet, floor 4.

`<agent>.packtap.toml`: who the device is, where the broker is, what to trust, and its certificate;
with its private key unless the device has made that itself. A person carries it to the device,
where `packtap fleet install` takes it in. The standard library is enough for that.
"""

import os
import re
import ssl
import tempfile
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from packtap.certificates import parse_certificate
from packtap.config.keys import NAME
from packtap.errors import FleetError

__all__ = ["Enrolment", "Installed", "install", "read_enrolment", "write_private"]

_FORMAT: Final = 1
_MAX_BYTES: Final = 100_000
_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----[A-Za-z0-9+/=\s]+-----END \1-----\s*")

_HEAD: Final = """\
# {agent} in its fleet. On the device:  packtap fleet install {agent}.packtap.toml
# {warning}
"""
_WITH_KEY: Final = (
    "Whoever has this file can publish as this device: carry it yourself, then delete it."
)
_WITHOUT_KEY: Final = "It holds no secret: the private key has never left the device."


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What a device is told.

    Attributes:
        agent: its name, the common name of its certificate.
        host: the broker.
        port: of the broker's TLS listener.
        expires: the day on which the certificate ends, "2029-05-04".
        ca: certificate of the authority, PEM.
        certificate: of the device, PEM.
        key: its private key, PEM; None if the device has made it itself.
    """

    agent: str
    host: str
    port: int
    expires: str
    ca: str
    certificate: str
    key: str | None = None

    def dump(self) -> bytes:
        """Return the file."""
        warning = _WITHOUT_KEY if self.key is None else _WITH_KEY
        lines = [_HEAD.format(agent=self.agent, warning=warning), f"format = {_FORMAT}"]
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, int):
                lines.append(f"{item.name} = {value}")
            elif value is not None and "\n" in value:
                lines.append(f"{item.name} = '''\n{value}'''")
            elif value is not None:
                lines.append(f"{item.name} = '{value}'")
        return ("\n".join(lines) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Installed:
    """Where a device keeps what it was given."""

    ca: Path
    certificate: Path
    key: Path


def read_enrolment(path: Path) -> Enrolment:
    """Return what is in an enrolment file.

    Raises:
        FleetError: it cannot be read, or is none.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise FleetError(f"{path}: this is no enrolment file: it is too large")
        body = tomllib.loads(data.decode())
    except OSError as exc:
        raise FleetError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise FleetError(f"{path}: this is no enrolment file: {exc}") from exc
    wrong = _wrong(body)
    if wrong is not None:
        raise FleetError(f"{path}: this is no enrolment file: {wrong}")
    del body["format"]
    return Enrolment(**body)


def _wrong(body: dict[str, Any]) -> str | None:
    """Return what is wrong with the keys of a file, or None."""
    if body.get("format") != _FORMAT:
        return f"its format is {body.get('format')!r}, {_FORMAT} is known here: update packtap"
    known = {item.name: item.type for item in fields(Enrolment)}
    if extra := body.keys() - known.keys() - {"format"}:
        return f"{min(extra)!r} is not known"
    for name, kind in known.items():
        value = body.get(name)
        if value is None and name != "key":
            return f"{name} is missing"
        if value is not None and not isinstance(value, int if kind is int else str):
            return f"{name} is of the wrong type"
    for name in ("ca", "certificate", "key"):
        if body.get(name) is not None and not _PEM.fullmatch(body[name]):
            return f"{name} is no PEM"
    return NAME.problem(body["agent"])


def install(
    enrolment: Enrolment, folder: Path, own_key: Path | None, key_file: Path | None = None
) -> Installed:
    """Put authority, certificate and key where the agent finds them; all of it, or nothing.

    Args:
        enrolment: what the device was given.
        folder: made if it is not there.
        own_key: the private key that the device has made; None = where it belongs already.
        key_file: where the key belongs; None = `device.key` of the folder.

    Raises:
        FleetError: key and certificate do not belong together, or the folder cannot be written.
    """
    places = Installed(folder / "ca.crt", folder / "device.crt", key_file or folder / "device.key")
    key = enrolment.key or _own_key(own_key or places.key)
    _check(enrolment, key)
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        places.key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(places.key, key.encode())
        write_private(places.certificate, enrolment.certificate.encode(), mode=0o644)
        write_private(places.ca, enrolment.ca.encode(), mode=0o644)
    except OSError as exc:
        raise FleetError(f"{folder}: cannot be written: {exc.strerror}; as root?") from exc
    return places


def _own_key(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError) as exc:
        raise FleetError(
            f"{path}: the file holds no private key, so this device must have made one; "
            "name it with --key"
        ) from exc


def _check(enrolment: Enrolment, key: str) -> None:
    try:
        shown = parse_certificate(ssl.PEM_cert_to_DER_cert(enrolment.certificate.strip()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=enrolment.ca)
    except (ValueError, ssl.SSLError) as exc:
        raise FleetError(f"the certificate cannot be used: {exc}") from exc
    if shown.common_name != enrolment.agent:
        raise FleetError(
            f"the certificate is of {shown.common_name!r}, the file of {enrolment.agent!r}"
        )
    with tempfile.TemporaryDirectory() as scratch:  # mode 0700; ssl reads keys from files only
        pair = Path(scratch) / "pair.pem"
        write_private(pair, (key.rstrip() + "\n" + enrolment.certificate).encode())
        try:
            # Never ask a person for the password of an encrypted key: a service cannot either.
            context.load_cert_chain(pair, password="")
        except (ssl.SSLError, OSError, ValueError) as exc:
            raise FleetError(
                "private key and certificate do not belong together, or the key has a password: "
                "make key and request again, without a password (-nodes)"
            ) from exc


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file at once and durably; nobody else can read it at any moment (default mode)."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
