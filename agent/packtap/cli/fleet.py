"""`packtap fleet`: who may deliver. Certificates for devices, and taking them back."""

import argparse
import json
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packtap.cli.arguments import days, port
from packtap.errors import FleetError

if TYPE_CHECKING:
    from packtap.fleet.folder import FleetFolder
    from packtap.fleet.ledger import Issued, Ledger

_FOLDER: Final = Path("/etc/packtap/fleet")
_CREDSTORE: Final = Path("/etc/credstore")
#: As systemd/packtap-agent@.service loads it, under the name "device.key".
_CREDENTIAL: Final = "packtap.device.key"
_DEVICE_FOLDER: Final = Path("/etc/packtap/tls")
_RELOAD: Final = "systemctl reload mosquitto"
_MAX_REQUEST: Final = 100_000

_ON_THE_DEVICE: Final = """\
on the device, if its key shall never leave it (then enrol with --request):
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \\
    -subj /CN=AGENT -keyout device.key -out AGENT.csr
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    init = _action(actions, "init", "make the authority, and what broker and ingest need")
    names = init.add_mutually_exclusive_group(required=True)
    names.add_argument(
        "--broker",
        action="append",
        metavar="HOST",
        help="name or address under which devices call the broker; again for further ones",
    )
    names.add_argument(
        "--renew", action="store_true", help="new certificates for broker and ingest; same fleet"
    )
    init.add_argument("--port", type=port, default=8883, help="of its TLS listener; default 8883")
    enrol = _action(actions, "enrol", "give a device its certificate, in one file to carry there")
    enrol.add_argument("agent", metavar="AGENT", help="its name, as in its configuration")
    enrol.add_argument(
        "--request", type=Path, metavar="CSR", help="sign the request that the device has made"
    )
    enrol.add_argument("--renew", action="store_true", help="it has one already: a new one")
    enrol.add_argument(
        "--days", type=days, default=1095, metavar="N", help="valid so long; default 1095"
    )
    enrol.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write; default AGENT.packtap.toml"
    )
    enrol.epilog = _ON_THE_DEVICE
    enrol.formatter_class = argparse.RawDescriptionHelpFormatter
    revoke = _action(actions, "revoke", "take a device's certificates back")
    revoke.add_argument("agent", metavar="AGENT", help="its name")
    for action in (enrol, revoke):
        action.add_argument(
            "--reload",
            metavar="COMMAND",
            help=f"run this so that the broker reads its files anew (such as {_RELOAD!r})",
        )
    listing = _action(actions, "list", "every certificate with its days; exit 1 if one ends soon")
    listing.add_argument("--json", action="store_true", help="one object a certificate")
    for action in (init, enrol, revoke, listing):
        action.add_argument(
            "--dir", type=Path, default=_FOLDER, metavar="DIR", help=f"default {_FOLDER}"
        )
    install = _action(actions, "install", "on the device: take in the file that enrol has made")
    install.add_argument("file", type=Path, metavar="FILE", help="AGENT.packtap.toml")
    install.add_argument(
        "--key", type=Path, metavar="FILE", help="the private key, if the device has made it"
    )
    install.add_argument(
        "--dir", type=Path, default=_DEVICE_FOLDER, metavar="DIR", help=f"default {_DEVICE_FOLDER}"
    )
    install.add_argument(
        "--credstore",
        type=Path,
        nargs="?",
        const=_CREDSTORE,
        metavar="DIR",
        help=f"for the systemd units: the private key goes there, default {_CREDSTORE}",
    )


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    return actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")


def run(arguments: argparse.Namespace) -> int:
    """Do what the action says."""
    if arguments.action == "install":
        return _install(arguments)
    from packtap.fleet.folder import FleetFolder

    folder = FleetFolder(arguments.dir)
    return {"init": _init, "enrol": _enrol, "revoke": _revoke, "list": _list}[arguments.action](
        folder, arguments
    )


def _init(folder: "FleetFolder", arguments: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    if arguments.renew:
        folder.renew(now)
        print("Broker and ingest have new certificates. Restart both: they read them at the start.")
        return 0
    folder.init(arguments.broker, arguments.port, now)
    print(
        f"The fleet is in {folder.path}. Keep a copy of ca.key and ledger.json where nobody else\n"
        "comes: without them no device can be added or revoked.\n"
        "Next: put deploy/mosquitto/packtap.conf and packtap-tls.conf into /etc/mosquitto/conf.d,\n"
        f"start mosquitto, and enrol devices (packtap fleet enrol AGENT). For ingest:\n\n"
        f"[mqtt]\nhost = {json.dumps(arguments.broker[0])}\nport = {arguments.port}\n"
        f"[mqtt.tls]\nca_file = {_quoted(folder.path / 'ingest/ca.crt')}\n"
        f"cert_file = {_quoted(folder.path / 'ingest/ingest.crt')}\n"
        f"key_file = {_quoted(folder.path / 'ingest/ingest.key')}\n\n"
        'For packtap-ingest.service: key_file = "ingest.key", and\n'
        f"install -D -m 600 {folder.path / 'ingest/ingest.key'} {_CREDSTORE}/packtap.ingest.key"
    )
    return 0


def _enrol(folder: "FleetFolder", arguments: argparse.Namespace) -> int:
    from packtap.fleet.enrolment import write_private

    name = arguments.agent
    out = arguments.out or Path(f"{name}.packtap.toml")
    if out.exists() or out.is_symlink():
        raise FleetError(f"{out}: is there already; name another one with --out, or remove it")
    if not out.parent.is_dir():
        raise FleetError(f"{out.parent}: there is no such folder")
    request = _request(arguments.request) if arguments.request else None
    enrolment, was_shut_out = folder.enrol(
        name, request, datetime.now(UTC), days=arguments.days, again=arguments.renew
    )
    try:
        write_private(out, enrolment.dump())
    except OSError as error:
        raise FleetError(
            f"{out}: cannot be written: {error.strerror}; the certificate is made, so run it again "
            "with --renew"
        ) from error
    print(
        f"{out}: {name}, valid until {enrolment.expires}, broker {enrolment.host}:{enrolment.port}"
    )
    if enrolment.key is not None:
        print("It holds the private key: carry it to the device yourself, then delete it.")
    print(f"On the device: packtap fleet install {out.name}")
    if was_shut_out:
        print(
            f"{name} was revoked and may come in again. A connection that its old certificate "
            "holds open\nends only when the broker restarts: restart it, do not only reload it."
        )
        return _reload(arguments.reload)
    return _reload(arguments.reload, needed=False)


def _request(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_REQUEST)
    except OSError as error:
        raise FleetError(f"{path}: cannot be read: {error.strerror}") from error


def _revoke(folder: "FleetFolder", arguments: argparse.Namespace) -> int:
    revoked = folder.revoke(arguments.agent, datetime.now(UTC))
    if revoked:
        number = "1 certificate" if len(revoked) == 1 else f"{len(revoked)} certificates"
        print(f"{arguments.agent}: {number} revoked.")
    else:
        print(f"{arguments.agent}: was revoked before; the broker's files are made anew.")
    return _reload(arguments.reload)


def _reload(command: str | None, *, needed: bool = True) -> int:
    """Run what makes the broker read its files, or say that somebody must."""
    if command is None:
        if needed:
            print(f"This counts once the broker has read its files: sudo {_RELOAD}")
        return 0
    try:
        done = subprocess.run(shlex.split(command), check=False)
    except (OSError, ValueError) as error:
        print(f"packtap: {command}: {error}: the broker does not know it yet", file=sys.stderr)
        return 1
    if done.returncode:
        print(
            f"packtap: {command}: exit code {done.returncode}: the broker does not know it yet",
            file=sys.stderr,
        )
        return 1
    print(f"The broker was told: {command}")
    return 0


def _list(folder: "FleetFolder", arguments: argparse.Namespace) -> int:
    ledger, now = folder.ledger(), datetime.now(UTC)
    tell = _tell_json if arguments.json else _tell
    for one in ledger.issued:
        tell(ledger, one, now)
    return 1 if any(ledger.is_due(one, now) for one in ledger.issued) else 0


def _tell(ledger: "Ledger", one: "Issued", now: datetime) -> None:
    left = one.days_left(now)
    when = f"{left:5d} days left" if left >= 0 else f"{-left:5d} days ago"
    print(
        f"{one.role:9}  {one.name:24}  {one.not_after:%Y-%m-%d}  {when}  {ledger.state(one, now)}"
    )


def _tell_json(ledger: "Ledger", one: "Issued", now: datetime) -> None:
    body = {
        "role": one.role,
        "name": one.name,
        "serial": one.serial,
        "issued_at": one.issued_at.isoformat(timespec="seconds"),
        "not_after": one.not_after.isoformat(timespec="seconds"),
        "days_left": one.days_left(now),
        "state": ledger.state(one, now),
        "due": ledger.is_due(one, now),
    }
    print(json.dumps(body))


def _install(arguments: argparse.Namespace) -> int:
    from packtap.fleet.enrolment import install, read_enrolment

    enrolment = read_enrolment(arguments.file)
    store = arguments.credstore
    key_file = None if store is None else store / _CREDENTIAL
    places = install(enrolment, arguments.dir, arguments.key, key_file)
    named = json.dumps("device.key") if store is not None else _quoted(places.key)
    print(
        f"This device is {enrolment.agent}, until {enrolment.expires}. For its configuration:\n\n"
        f"agent = {json.dumps(enrolment.agent)}\n"
        f"[mqtt]\nhost = {json.dumps(enrolment.host)}\nport = {enrolment.port}\n"
        f"[mqtt.tls]\nca_file = {_quoted(places.ca)}\n"
        f"cert_file = {_quoted(places.certificate)}\nkey_file = {named}\n"
    )
    if enrolment.key is not None:
        print(f"Delete {arguments.file} now, here and where it came from: it holds the key.")
    return 0


def _quoted(path: Path) -> str:
    return json.dumps(str(path.absolute()))
