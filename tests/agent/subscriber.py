"""A subscriber that forgets nothing: persistent session, QoS 1, reconnects by itself."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from packtap.wire import unbundle
from system.process import HOST, eventually

__all__ = ["Arrival", "Subscriber", "subscribe"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it came."""

    topic: str
    retained: bool
    document: dict[str, Any]


class Subscriber:
    """What has arrived so far, in order."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.is_subscribed = False

    def seqs(self) -> list[int]:
        """Numbers of the queued messages, redeliveries included."""
        return [item.document["seq"] for item in self.arrivals if "seq" in item.document]

    def of(self, kind: str) -> list[Arrival]:
        """Arrivals of one kind."""
        return [item for item in self.arrivals if item.topic.endswith(f"/{kind}")]

    def statuses(self) -> list[str]:
        """Every status published, in order."""
        return [str(item.document["status"]) for item in self.of("status")]


@contextmanager
def subscribe(
    port: int, topic: str = "packtap/v1/#", name: str = "witness"
) -> Iterator[Subscriber]:
    """Subscribe and wait until the broker has agreed; keep listening through its restarts."""
    witness = Subscriber()
    client = Client(
        CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5
    )
    client.reconnect_delay_set(1, 1)

    def on_connect(*_: object) -> None:
        client.subscribe(topic, 1)

    def on_subscribe(*_: object) -> None:
        witness.is_subscribed = True

    def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
        for payload in unbundle(message.payload, 2**24):
            document = json.loads(payload)
            witness.arrivals.append(Arrival(message.topic, message.retain, document))

    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 3600
    client.connect(HOST, port, clean_start=False, properties=properties)
    client.loop_start()
    try:
        eventually(lambda: witness.is_subscribed, "subscription")
        yield witness
    finally:
        client.disconnect()
        client.loop_stop()
