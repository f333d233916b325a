"""The connection to the broker: deliveries in, acknowledgements out. paho-mqtt stays in here.

One shared MQTT v5 subscription, `$share/<group>/packtap/v1/#`, QoS 1, in a session that outlives
this process: what arrives while nobody is here waits at the broker. Acknowledgement is manual, so
what was delivered but not acknowledged comes again on the next connection. The receive maximum
bounds how many messages, and the maximum packet size how many bytes, can be here unacknowledged.

A message id is only meaningful on the connection that brought it: a delivery of an earlier
connection is *stale*, cannot be acknowledged any more, and comes again.

Two threads: paho's fills a queue, the loop's takes from it. The connection is kept alive by
paho's thread however long a store takes.
"""

import logging
import queue
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from packtap.config import SharedMqttConfig, TlsConfig, read_secret
from packtap.errors import ConfigError
from packtap.wire import TOPIC_ROOT

__all__ = ["Delivery", "Limits", "Subscription"]

_log = logging.getLogger(__name__)

_MAX_PACKET: Final = 32 * 2**20  #: bytes; the broker drops what is larger
_CONNECT_TIMEOUT_S: Final = 3.0  #: a stop must not wait for a dead address
_RECONNECT_S: Final = (1, 4)  #: there are few of them, and agents wait for what they do
_LEAVE_S: Final = 2.0
_IDLE_S: Final = 0.5  #: a stop is noticed so soon
_RESUBSCRIBE_S: Final = 30.0
#: A sign of life of paho's thread follows within: each second while it is connected; to connect it
#: waits for names, addresses and a handshake.
_TURN_BEAT_S: Final = 60.0
_CONNECT_BEAT_S: Final = 240.0

#: What the broker says -> what it means and what to try.
_ADVICE: Final = {
    "Not authorized": "user, password or certificate is not accepted, or may not read "
    f"{TOPIC_ROOT}/#; check [mqtt] and the broker's access list",
    "Bad user name or password": "check [mqtt] username and password_file",
    "Session taken over": "another ingest uses the same client_id; give each its own",
    "Shared subscription not supported": "the broker knows no $share; use one that does",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken and written at once.

    Attributes:
        messages: at most so many.
        bytes: no further message is taken once so many are reached.
        wait_s: how long to wait for more after the first one.
    """

    messages: int = 100
    bytes: int = 4 * 2**20
    wait_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it came.

    Attributes:
        connection: number of the connection that brought it.
        mid: its id on that connection.
        qos: 0 needs no acknowledgement.
    """

    connection: int
    mid: int
    qos: int
    topic: str
    payload: bytes


class _Client(paho.Client):
    """A client whose thread can be seen to live: paho calls `loop_misc` at each turn."""

    beat: Callable[[float], None]

    def loop_misc(self) -> MQTTErrorCode:
        # Before: when the connection has ended, what follows in there is a word of longer patience.
        self.beat(_TURN_BEAT_S)
        return super().loop_misc()


class Subscription:
    """Holds the subscription and hands out deliveries in the order of arrival.

    Args:
        settings: of the broker.
        beat: told, with every sign of life of paho's thread, within how many seconds the next
            follows.
    """

    def __init__(
        self,
        settings: SharedMqttConfig,
        beat: Callable[[float], None] = lambda _within_s: None,
    ) -> None:
        self._settings = settings
        self._beat = beat
        self._where = f"broker {settings.host}:{settings.port}"
        self._arrived: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._connection = 0
        self._connected = False
        self._said = ""
        self._subscribe_at: float | None = None
        self.received = 0  #: deliveries so far, redeliveries included
        self.overrun = 0  #: unacknowledged (QoS 0) messages there was no room for
        self._client = self._make_client()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and the subscription."""
        return self._connected

    def start(self) -> None:
        """Connect in the background, now and again after every loss."""
        settings = self._settings
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = settings.session_expiry_s
        session.ReceiveMaximum = settings.window
        session.MaximumPacketSize = _MAX_PACKET
        self._client.connect_async(
            settings.host,
            settings.port,
            keepalive=settings.keepalive_s,
            clean_start=False,
            properties=session,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Leave. The session stays, and with it everything that was not acknowledged."""
        self._client.disconnect()
        # loop_stop waits without bound for a peer that takes no bytes: the process must end.
        leaving = threading.Thread(target=self._client.loop_stop, daemon=True)
        leaving.start()
        leaving.join(_LEAVE_S)

    def take(self, limits: Limits) -> list[Delivery]:
        """Return what has arrived, within the limits; nothing after half a second of nothing."""
        self._resubscribe_if_due()
        batch: list[Delivery] = []
        size = 0
        # More than the window cannot be here unacknowledged: waiting for it would be in vain.
        most = min(limits.messages, self._settings.window)
        deadline = time.monotonic() + _IDLE_S
        try:
            while len(batch) < most and size < limits.bytes:
                left_s = max(0.0, deadline - time.monotonic())
                delivery = self._arrived.get(timeout=left_s)
                if not self.is_current(delivery):
                    continue
                if not batch:
                    deadline = time.monotonic() + limits.wait_s
                batch.append(delivery)
                size += len(delivery.payload)
        except queue.Empty:
            pass
        return batch

    def is_current(self, delivery: Delivery) -> bool:
        """Return whether the delivery can still be acknowledged."""
        return delivery.connection == self._connection

    def acknowledge(self, delivery: Delivery) -> bool:
        """Tell the broker to forget the message; False if it is stale and will come again."""
        with self._lock:
            # Under the lock the connection cannot be replaced: the same id on a new connection
            # may be another message, which nobody has stored yet.
            if not self.is_current(delivery):
                return False
            return self._client.ack(delivery.mid, delivery.qos) == paho.MQTT_ERR_SUCCESS

    # Called by paho's thread. None of these may raise: it would end that thread.

    def _on_connect(
        self,
        client: paho.Client,
        _userdata: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._complain(f"refuses the connection: {reason}", str(reason))
            return
        known = "resumed" if flags.session_present else "new"
        self._say(logging.INFO, f"connected, session {known}")
        self._renew()
        self._subscribe(client)

    def _on_subscribe(
        self,
        _client: paho.Client,
        _userdata: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        failure = next((reason for reason in reasons if reason.is_failure), None)
        if failure is None:
            self._connected = True
            return
        self._complain(f"refuses the subscription: {failure}", str(failure))
        self._subscribe_at = time.monotonic() + _RESUBSCRIBE_S

    def _on_connect_fail(self, _client: paho.Client, _userdata: object) -> None:
        self._beat(_CONNECT_BEAT_S)
        # paho calls this while it handles the exception, and does not hand it over.
        cause = sys.exc_info()[1]
        self._complain(f"cannot be reached: {cause}", "")

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: object,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._beat(_CONNECT_BEAT_S)
        self._renew()
        self._connected = False
        self._subscribe_at = None
        if reason.is_failure and not self._said.startswith("refuses"):
            self._complain(f"connection lost: {reason}", str(reason))

    def _on_message(
        self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage
    ) -> None:
        self.received += 1
        if message.qos == 0 and self._arrived.qsize() > self._settings.window:
            self.overrun += 1
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # the decoder refuses it
        self._arrived.put(
            Delivery(self._connection, message.mid, message.qos, topic, bytes(message.payload))
        )

    # Inside.

    def _make_client(self) -> paho.Client:
        settings = self._settings
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            protocol=paho.MQTTv5,
            manual_ack=True,
        )
        client.beat = self._beat
        client.connect_timeout = _CONNECT_TIMEOUT_S
        if settings.username is not None:
            file = settings.password_file
            client.username_pw_set(settings.username, None if file is None else read_secret(file))
        if settings.tls is not None:
            client.tls_set_context(_tls(settings.tls))
        client.reconnect_delay_set(*_RECONNECT_S)
        client.on_pre_connect = lambda _client, _userdata: self._beat(_CONNECT_BEAT_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _subscribe(self, client: paho.Client) -> None:
        client.subscribe(f"$share/{self._settings.group}/{TOPIC_ROOT}/#", qos=1)

    def _resubscribe_if_due(self) -> None:
        due = self._subscribe_at
        if due is not None and time.monotonic() >= due:
            self._subscribe_at = None
            self._subscribe(self._client)

    def _renew(self) -> None:
        """Make every delivery so far stale."""
        with self._lock:
            self._connection += 1

    def _complain(self, what: str, reason: str) -> None:
        advice = _ADVICE.get(reason, "check [mqtt] host and port, and that the broker runs")
        self._say(logging.WARNING, what, f"; {advice}. Trying again; nothing is lost")

    def _say(self, level: int, what: str, advice: str = "") -> None:
        """Log one line per change of state."""
        if what != self._said:
            self._said = what
            _log.log(level, "%s: %s%s", self._where, what, advice)


def _tls(files: TlsConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=files.ca_file)
        if files.cert_file is not None:
            context.load_cert_chain(files.cert_file, files.key_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(
            [f"mqtt.tls: certificate or key cannot be used: {exc}"], "[mqtt]"
        ) from exc
    return context
