"""One connection to the broker; the only module of the agent that knows paho, floor 3.

The caller owns the loop: everything, callbacks included, happens inside `open`, `publish` and
`poll`, in the thread that calls them. A connection is used once; the next one is a new object.
"""

import contextlib
import select
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from packtap.config import BrokerConfig, read_secret
from packtap.errors import ConfigError, DeliveryError

__all__ = ["Ack", "Connection"]

_CONNECT_S: Final = 10.0
_QOS: Final = 1
_PINGREQ: Final = b"\xc0\x00"
#: Fixed and variable header of a PUBLISH beside topic and payload, at most.
_HEADER_BYTES: Final = 16

#: CONNACK and DISCONNECT reason codes -> what to try. Source: MQTT v5, section 2.4.
_ADVICE: Final = {
    0x84: "it does not speak MQTT version 5",
    0x85: "it refuses this client id",
    0x86: "check mqtt.username and mqtt.password_file",
    0x87: "check user, password or certificate, and the broker's ACL",
    0x8A: "this device is banned there",
    0x8C: "check the certificate",
    0x8E: "another agent uses the same names (agent and bus): give each its own",
    0x95: "a message is larger than it takes: raise its packet size",
}


@dataclass(frozen=True, slots=True)
class Ack:
    """The broker's answer to one publish.

    Attributes:
        reason: MQTT v5 reason code: 0 taken, 0x10 nobody subscribes, from 0x80 refused.
        text: the reason in words.
    """

    mid: int
    reason: int
    text: str


class Connection:
    """A connection from CONNECT to its end.

    Args:
        config: the broker.
        client_id: must be unique at the broker.
        will: topic and payload with which the broker says for us, retained, that we are gone; None
            leaves without a word, for a trial beside a running agent.
        patience_s: how long to wait for the connection, and again for the broker to let us in.
    """

    def __init__(
        self,
        config: BrokerConfig,
        client_id: str,
        will: tuple[str, bytes] | None,
        *,
        patience_s: float = _CONNECT_S,
    ) -> None:
        self._config = config
        self._patience_s = patience_s
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = patience_s
        # Counted here (`room`): paho must never keep a message back by itself.
        self._client.max_inflight_messages_set(65535)
        if will is not None:
            self._client.will_set(*will, qos=_QOS, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.on_disconnect = self._on_disconnect
        self._is_up = False
        self._end: str | None = None
        self.acks: deque[Ack] = deque()
        self.heard_at = time.monotonic()  #: when the broker last said anything
        self.was_sent_away = False  #: the broker has said that it does not want us
        self._unanswered: set[int] = set()
        self._receive_maximum = 65535  # messages in flight that the broker allows
        self._max_packet_bytes: int | None = None

    def open(self) -> None:
        """Connect and wait until the broker has let us in.

        Raises:
            DeliveryError: it did not; the message says why and what to try.
        """
        config = self._config
        where = f"broker {config.host}:{config.port}"
        try:
            self._client.username_pw_set(config.username, self._password())
            if config.tls is not None:
                self._client.tls_set_context(self._tls())
            self._client.connect(
                config.host, config.port, keepalive=config.keepalive_s, clean_start=True
            )
        except (OSError, ValueError) as exc:
            raise DeliveryError(f"{where} cannot be reached: {_words(exc)}") from exc
        deadline = time.monotonic() + self._patience_s
        while not self._is_up:
            self.poll(0.1)
            if time.monotonic() > deadline:
                raise DeliveryError(f"{where} does not answer: is it an MQTT broker?")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Send with QoS 1 and return the MQTT message id that its `Ack` will carry.

        Raises:
            DeliveryError: the connection is gone.
        """
        info = self._client.publish(topic, payload, qos=_QOS, retain=retain)
        self._check()
        if info.rc != MQTT_ERR_SUCCESS:
            raise DeliveryError(f"connection lost: {info.rc!r}")
        self._unanswered.add(info.mid)
        return info.mid

    @property
    def room(self) -> int:
        """Messages that the broker lets us send now."""
        return max(0, self._receive_maximum - len(self._unanswered))

    def fits(self, topic: str, payload: bytes) -> bool:
        """Tell whether the broker takes a message of this size."""
        size = len(topic) + len(payload) + _HEADER_BYTES
        return self._max_packet_bytes is None or size <= self._max_packet_bytes

    def ask(self) -> None:
        """Make the broker say something; paho itself asks only after `keepalive_s` of silence.

        Raises:
            DeliveryError: the connection is gone.
        """
        sock: Any = self._client.socket()
        # Never into the middle of a packet; what is being sent will be answered as well.
        if sock is None or self._client.want_write():
            return
        try:
            sent = sock.send(_PINGREQ)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as exc:
            raise DeliveryError("connection lost") from exc
        if sent != len(_PINGREQ):
            raise DeliveryError("connection lost: it takes no more bytes")

    def poll(self, timeout_s: float, wake: socket.socket | None = None) -> bool:
        """Read, write and keep alive, for at most `timeout_s` if nothing happens.

        Args:
            timeout_s: seconds.
            wake: readable when somebody wants the caller's attention; drained here.

        Returns:
            Whether somebody did.

        Raises:
            DeliveryError: the connection has ended; the message says why.
        """
        self._check()
        sock: Any = self._client.socket()
        if sock is None:
            raise DeliveryError("connection lost")
        # TLS may hold bytes already that no longer show on the socket.
        has_bytes = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        readers = [sock] if wake is None else [sock, wake]
        writers = [sock] if self._client.want_write() else []
        ready, writable, _ = select.select(readers, writers, [], 0 if has_bytes else timeout_s)
        is_woken = wake is not None and wake in ready
        if wake is not None and is_woken:
            with contextlib.suppress(BlockingIOError):
                wake.recv(4096)
        if (sock in ready or has_bytes) and self._client.loop_read() == MQTT_ERR_SUCCESS:
            self.heard_at = time.monotonic()
        if writable:
            self._client.loop_write()
        self._client.loop_misc()
        self._check()
        return is_woken

    def close(self) -> None:
        """Say good-bye, so that the broker does not publish the will."""
        self._client.disconnect()
        deadline = time.monotonic() + 1.0
        while self._client.want_write() and self._client.socket() and time.monotonic() < deadline:
            self._client.loop_write()
        self.drop()

    def drop(self) -> None:
        """Let go of the socket without a word: the broker publishes the will."""
        sock: Any = self._client.socket()
        self._client.on_disconnect = None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _password(self) -> str | None:
        """Read it at each connection: it may have been changed since.

        Raises:
            DeliveryError: it cannot be read.
        """
        if self._config.password_file is None:
            return None
        try:
            return read_secret(self._config.password_file)
        except ConfigError as exc:
            raise DeliveryError(str(exc)) from exc

    def _tls(self) -> ssl.SSLContext:
        tls = self._config.tls
        context = ssl.create_default_context(cafile=tls.ca_file if tls else None)
        if tls and tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        return context

    def _check(self) -> None:
        if self._end is not None:
            raise DeliveryError(self._end)

    def _on_connect(
        self, _client: Client, _data: object, _flags: object, reason: ReasonCode, answer: object
    ) -> None:
        if reason.is_failure:
            self.was_sent_away = True
            self._end = _refusal("broker refuses the connection", reason)
            return
        self._receive_maximum = getattr(answer, "ReceiveMaximum", self._receive_maximum)
        self._max_packet_bytes = getattr(answer, "MaximumPacketSize", None)
        self._is_up = True

    def _on_publish(
        self, _client: Client, _data: object, mid: int, reason: ReasonCode, _answer: object
    ) -> None:
        self._unanswered.discard(mid)
        self.acks.append(Ack(mid, reason.value, str(reason)))

    def _on_disconnect(
        self, _client: Client, _data: object, flags: Any, reason: ReasonCode, _answer: object
    ) -> None:
        if self._end is None:
            if flags.is_disconnect_packet_from_server:
                self.was_sent_away = True
                self._end = _refusal("broker ends the connection", reason)
            else:
                self._end = "connection lost"


def _refusal(what: str, reason: ReasonCode) -> str:
    advice = _ADVICE.get(reason.value)
    return f"{what}: {reason}" + (f"; {advice}" if advice else "")


def _words(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({exc.verify_message}): check mqtt.tls.ca_file"
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror if exc.filename is None else f"{exc.filename}: {exc.strerror}"
    return str(exc) or type(exc).__name__
