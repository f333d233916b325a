"""Would a reading get to the store? Broker, encryption, permission, tried step by step, floor 4.

Nothing of a running agent is disturbed: the trial has a client id of its own, leaves no last will,
retains nothing, and publishes one message of a kind that nobody stores (`packtap.wire`).

Each step has a time-out; the sum of all is `DELIVERY_BUDGET_S`. Only the look-up of a name has none
of its own: the caller waits no longer than the budget.
"""

import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from packtap.certificates import Certificate, parse_certificate, read_certificate
from packtap.config import AgentConfig, BrokerConfig, IngestConfig, TlsConfig
from packtap.doctor.findings import Check, Outcome, failed, not_tried, passed
from packtap.errors import DeliveryError
from packtap.uplink.connection import Ack, Connection
from packtap.wire import SCHEMA, TRIAL_KIND, Topic

__all__ = ["BROKER_CHECKS", "DELIVERY_BUDGET_S", "broker_checks", "untried_broker_checks"]

#: Names of the checks, in order.
BROKER_CHECKS: Final = (
    "broker reachable",
    "broker certificate",
    "device certificate",
    "broker login",
    "publishing",
    "subscriber",
)

#: A broker on the other side of a mobile network answers within a second; four are patient.
_STEP_S: Final = 4.0
#: Reach it; greet it in TLS, and once more without believing it, to tell the dates; connect, be let
#: in, publish.
DELIVERY_BUDGET_S: Final = 6 * _STEP_S

#: A certificate that ends this soon is a fault today: a new one takes days to reach a fleet.
_SOON_DAYS: Final = 14
_NOBODY: Final = 0x10  # MQTT v5: no matching subscribers
_REFUSED: Final = 0x80  # and above

#: OpenSSL's verification error -> what it means. Source: x509_vfy.h.
_VERIFY: Final = {
    9: "it is not valid yet, or this machine's clock is behind",
    10: "it has expired, or this machine's clock is ahead",
    18: "it is self-signed and not in mqtt.tls.ca_file",
    19: "its authority is not the one in mqtt.tls.ca_file",
    20: "its authority is not the one in mqtt.tls.ca_file",
    21: "its authority is not the one in mqtt.tls.ca_file",
    62: "it is for another host name than mqtt.host",
    64: "it is for another address than mqtt.host",
}


def broker_checks(config: AgentConfig | IngestConfig) -> Iterator[Check]:
    """Yield the checks one by one; behind one that makes the rest pointless, those as not tried."""
    steps = (_reachable, _broker_certificate, _device_certificate, _lets_in)
    done = 0
    for step in steps:
        for check in step(config):
            done += 1
            yield check
            if check.outcome is Outcome.FAIL and step is not _device_certificate:
                yield from untried_broker_checks(f"{check.name}: {check.seen}", done)
                return


def untried_broker_checks(why: str, after: int = 0) -> Iterator[Check]:
    """Yield the checks behind the first `after` as not tried."""
    for name in BROKER_CHECKS[after:]:
        yield not_tried(name, why)


def _reachable(config: AgentConfig | IngestConfig) -> Iterator[Check]:
    mqtt = config.mqtt
    where = f"{mqtt.host}:{mqtt.port}"
    try:
        _connect(mqtt).close()
    except (OSError, UnicodeError) as error:  # a name that cannot be one is a UnicodeError
        yield failed(BROKER_CHECKS[0], *_unreachable(error, mqtt))
    else:
        yield passed(BROKER_CHECKS[0], where)


def _unreachable(error: OSError | UnicodeError, mqtt: BrokerConfig) -> tuple[str, str, str]:
    where = f"{mqtt.host}:{mqtt.port}"
    if isinstance(error, socket.gaierror | UnicodeError):
        return (
            f"the name {mqtt.host} is not known",
            "This machine finds no address for it: no network, no name server, or a typing error.",
            "Check mqtt.host, and the network of this machine.",
        )
    if isinstance(error, ConnectionRefusedError):
        return (
            f"{where} refuses the connection",
            "The machine is there, and no broker listens on that port.",
            "Check mqtt.port (8883 with TLS, 1883 without), and that the broker runs.",
        )
    if isinstance(error, TimeoutError):
        return (
            f"{where} does not answer within {_STEP_S:g} s",
            "A firewall drops it, the machine is off, or the address is wrong.",
            "Check mqtt.host and mqtt.port, and the firewall on the way.",
        )
    return (
        f"{where}: {error.strerror or error}",
        "The broker cannot be reached from this machine.",
        "Check the network of this machine, mqtt.host and mqtt.port.",
    )


def _broker_certificate(config: AgentConfig | IngestConfig) -> Iterator[Check]:
    name, mqtt = BROKER_CHECKS[1], config.mqtt
    if mqtt.tls is None:
        yield not_tried(name, "no [mqtt.tls]: what is sent is not encrypted")
        return
    try:
        context = _context(mqtt.tls)
    except (OSError, ssl.SSLError) as error:
        yield failed(
            name,
            f"the files of [mqtt.tls] cannot be used: {_short(error)}",
            "A file is missing, unreadable for this user, or certificate and key do not belong "
            "together.",
            "Check ca_file, cert_file and key_file of [mqtt.tls].",
        )
        return
    try:
        with _connect(mqtt) as plain, context.wrap_socket(plain, server_hostname=mqtt.host) as tls:
            shown = parse_certificate(tls.getpeercert(binary_form=True) or b"")
    except ssl.SSLCertVerificationError as error:
        yield failed(
            name,
            f"not believed: {_VERIFY.get(error.verify_code, error.verify_message)}"
            f"{_unverified_words(mqtt)}",
            "Whoever answers there cannot prove to be this broker, so nothing is sent to it.",
            "Renew the broker's certificate, or put its authority into mqtt.tls.ca_file; and look "
            "at this machine's clock.",
        )
    except (OSError, ssl.SSLError, ValueError) as error:
        yield failed(
            name,
            f"no encrypted connection: {_short(error)}",
            "What listens on this port does not speak TLS as it should.",
            "Check mqtt.port: TLS is usually 8883, without TLS it is 1883.",
        )
    else:
        yield _dated(name, shown, "Renew the broker's certificate.")


def _device_certificate(config: AgentConfig | IngestConfig) -> Iterator[Check]:
    name, tls = BROKER_CHECKS[2], config.mqtt.tls
    if tls is None or tls.cert_file is None:
        yield not_tried(name, "no cert_file: this device shows none")
        return
    try:
        own = read_certificate(tls.cert_file)
    except (OSError, ValueError) as error:
        yield failed(
            name,
            f"{tls.cert_file}: {_short(error)}",
            "The device cannot show who it is.",
            "Check mqtt.tls.cert_file: a PEM certificate.",
        )
        return
    if isinstance(config, AgentConfig) and own.common_name != config.agent:
        yield failed(
            name,
            f"it is of {own.common_name!r}, this agent is {config.agent!r}",
            "The broker takes the name in the certificate: what this agent publishes under its "
            "own name will be refused.",
            "Use the certificate that was made for this agent, or correct `agent`.",
        )
        return
    yield _dated(name, own, "Make this device a new certificate.")


def _dated(name: str, shown: Certificate, renew: str) -> Check:
    days = (shown.not_after - datetime.now(UTC)).days
    words = f"of {shown.common_name or '(no name)'}, valid until {shown.not_after:%Y-%m-%d}"
    if days < _SOON_DAYS:
        state = "it has expired" if days < 0 else f"it expires in {days} days"
        return failed(name, f"{words}: {state}", "Without it nothing is delivered.", renew)
    return passed(name, words)


def _unverified_words(mqtt: BrokerConfig) -> str:
    """Return whose certificate it was and until when, for the person; nothing is sent."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with _connect(mqtt) as plain, context.wrap_socket(plain, server_hostname=mqtt.host) as tls:
            shown = parse_certificate(tls.getpeercert(binary_form=True) or b"")
    except (OSError, ssl.SSLError, ValueError):
        return ""
    return (
        f" (of {shown.common_name or '(no name)'}, by {shown.issuer or '(no name)'}, valid "
        f"{shown.not_before:%Y-%m-%d} to {shown.not_after:%Y-%m-%d})"
    )


def _lets_in(config: AgentConfig | IngestConfig) -> Iterator[Check]:
    if isinstance(config, AgentConfig):
        client_id = f"{config.agent}-{config.bus}-{TRIAL_KIND}"
    else:
        client_id = f"{config.mqtt.client_id}-{TRIAL_KIND}"
    connection = Connection(config.mqtt, client_id, None, patience_s=_STEP_S)
    try:
        connection.open()
    except DeliveryError as error:
        yield failed(
            BROKER_CHECKS[3],
            str(error),
            "The broker is there and does not take this device.",
            "Check user, password or certificate of [mqtt], and the broker's log.",
        )
        return
    try:
        yield passed(BROKER_CHECKS[3], f"as {config.mqtt.username or client_id}")
        yield from _publish(config, connection)
    finally:
        connection.close()


def _publish(config: AgentConfig | IngestConfig, connection: Connection) -> Iterator[Check]:
    may, stores = BROKER_CHECKS[4:]
    if isinstance(config, IngestConfig):
        yield not_tried(may, "ingest publishes nothing")
        yield not_tried(stores, "an access list shows only when a message comes, or does not")
        return
    topic = str(Topic(config.site, config.agent, config.bus, TRIAL_KIND))
    try:
        ack = _trial(connection, topic)
    except DeliveryError as error:
        ack, lost = None, str(error)
    else:
        lost = f"no answer within {_STEP_S:g} s"
    if ack is None or ack.reason >= _REFUSED:
        why = lost if ack is None else f"the broker answers: {ack.text}"
        yield failed(
            may,
            f"{topic}: {why}",
            "What this agent measures would be thrown away by the broker.",
            "Allow this user its own topics in the broker's access list: "
            "pattern write packtap/v1/+/%u/#. Its user name must be the agent's name.",
        )
        yield not_tried(stores, "nothing could be published")
        return
    yield passed(may, topic)
    if ack.reason == _NOBODY:
        yield failed(
            stores,
            "the broker takes it, and nobody subscribes",
            "Ingest has never been connected to this broker, or under other topics. Readings wait "
            "here until it is.",
            "Start packtap ingest at the store, with this broker in its configuration.",
        )
    else:
        yield passed(stores, "a subscriber takes it")


def _trial(connection: Connection, topic: str) -> Ack | None:
    """Publish the trial message; return the broker's answer, None if none comes.

    Raises:
        DeliveryError: the connection ended.
    """
    payload = json.dumps({"v": SCHEMA, "trial": True}).encode()
    mid = connection.publish(topic, payload)
    deadline = time.monotonic() + _STEP_S
    while time.monotonic() < deadline:
        connection.poll(0.1)
        for ack in connection.acks:
            if ack.mid == mid:
                return ack
    return None


def _connect(mqtt: BrokerConfig) -> socket.socket:
    return socket.create_connection((mqtt.host, mqtt.port), timeout=_STEP_S)


def _context(tls: TlsConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def _short(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
