"""A broker as deploy/mosquitto has it, behind the certificates that `packtap fleet` makes."""

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from packtap.fleet.enrolment import Installed
from system.process import HOST, Server, binary, eventually, free_ports, running

__all__ = ["Fleet", "Member", "fleet_broker", "member"]

_DEPLOYED: Final = Path(__file__).parents[2] / "deploy" / "mosquitto"


def packtap(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of packtap and return what it said."""
    return subprocess.run(
        [sys.executable, "-m", "packtap", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def told(*arguments: object, cwd: Path | None = None) -> str:
    """Run a command of packtap that must succeed and return what it printed."""
    done = packtap(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Fleet(Server):
    """A broker with its fleet; `port` is the TLS listener.

    Attributes:
        folder: of the fleet.
        devices: where each device keeps its files, by name.
    """

    folder: Path
    devices: dict[str, Installed]

    def enrol(self, name: str, *options: object) -> Installed:
        """Make a device a member, by the commands that a person types."""
        carried = self.directory / f"{name}.packtap.toml"
        told("fleet", "enrol", name, "--dir", self.folder, "--out", carried, *options)
        place = self.directory / f"device-{name}"
        told("fleet", "install", carried, "--dir", place)
        carried.unlink()
        self.devices[name] = Installed(place / "ca.crt", place / "device.crt", place / "device.key")
        return self.devices[name]

    def revoke(self, name: str) -> None:
        """Revoke a device, and reload the broker as the command says."""
        process = self._process
        assert process is not None
        reload = f"kill -{signal.SIGHUP.value} {process.pid}"
        told("fleet", "revoke", name, "--dir", self.folder, "--reload", reload)

    @property
    def ingest_files(self) -> Installed:
        """What ingest reads."""
        folder = self.folder / "ingest"
        return Installed(folder / "ca.crt", folder / "ingest.crt", folder / "ingest.key")

    def log_text(self) -> str:
        """Return everything that the broker has logged."""
        return self.log.read_text(errors="replace")


@contextmanager
def fleet_broker(tmp: Path, *devices: str) -> Iterator[Fleet]:
    """Run mosquitto with both files of deploy/mosquitto; only ports and paths are filled in."""
    directory = tmp / "fleet-broker"
    (directory / "data").mkdir(parents=True)
    folder = directory / "fleet"
    (port,) = free_ports(1)
    told(
        "fleet", "init", "--broker", "localhost", "--broker", HOST, "--port", port, "--dir", folder
    )
    listener = (_DEPLOYED / "packtap-tls.conf").read_text()
    assert "\nlistener 8883\n" in listener
    lines = [
        f"persistence_location {directory}/data/",
        *(["user root"] if os.geteuid() == 0 else []),
        (_DEPLOYED / "packtap.conf").read_text(),
        listener.replace("\nlistener 8883\n", f"\nlistener {port} {HOST}\n").replace(
            "/etc/packtap/fleet", str(folder)
        ),
    ]
    configuration = directory / "mosquitto.conf"
    configuration.write_text("\n".join(lines))
    server = Fleet(
        "fleet-broker",
        [binary("mosquitto", "mosquitto"), "-c", str(configuration), "-v"],
        directory,
        [port],
    )
    server.folder = folder
    server.devices = {}
    for name in devices:
        server.enrol(name)
    with running(server):
        yield server


class Member:
    """A client with a certificate (or without) that does as it likes.

    Attributes:
        said: what the broker said to each connection attempt, "" for none.
        acks: answer to each publish, in order, by message id.
    """

    def __init__(self, port: int, files: Installed | None, ca: Path, client_id: str) -> None:
        self.acks: dict[int, str] = {}
        self.ended = threading.Event()
        self.let_in = threading.Event()
        context = ssl.create_default_context(cafile=ca)
        if files is not None:
            context.load_cert_chain(files.certificate, files.key)
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        self.client.tls_set_context(context)
        self.client.max_inflight_messages_set(1000)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_publish = self._on_publish
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        try:
            self.client.connect("localhost", port, properties=properties)
        except OSError:  # refused while greeting
            self.ended.set()
            return
        self.client.loop_start()
        eventually(lambda: self.let_in.is_set() or self.ended.is_set(), "the broker's answer", 60)

    @property
    def is_in(self) -> bool:
        """Whether the broker has let it in and has not thrown it out."""
        return self.let_in.is_set() and not self.ended.is_set()

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> int:
        """Send without waiting; returns the message id."""
        return self.client.publish(topic, payload, qos=qos).mid

    def ask(self, topic: str, payload: bytes) -> str:
        """Send and return what the broker answers; "" if it ended the connection instead."""
        mid = self.publish(topic, payload)
        eventually(lambda: mid in self.acks or self.ended.is_set(), "the broker's answer", 60)
        return self.acks.get(mid, "")

    def _on_connect(self, _c: object, _u: object, _f: object, reason: Any, _p: object) -> None:
        (self.ended if reason.is_failure else self.let_in).set()

    def _on_disconnect(self, *_: object) -> None:
        self.ended.set()

    def _on_publish(self, _c: object, _u: object, mid: int, reason: Any, _p: object) -> None:
        self.acks[mid] = str(reason)


@contextmanager
def member(fleet: Fleet, files: Installed | None, client_id: str) -> Iterator[Member]:
    """Connect to the broker of a fleet."""
    one = Member(fleet.port, files, fleet.folder / "ca.crt", client_id)
    try:
        yield one
    finally:
        with contextlib.suppress(ValueError):
            one.client.disconnect()
        one.client.loop_stop()
