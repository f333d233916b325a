"""The servers that the other tests trust: they are what they say, and they come back."""

import socket
import urllib.request
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from system.servers import (
    Fault,
    FaultProxy,
    InfluxDB,
    Mosquitto,
    Server,
    ServerError,
    V2Shim,
    VictoriaMetrics,
    eventually,
    free_ports,
    start_mosquitto,
)


def _connected(port: int, name: str, **tls: str) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
    if tls:
        client.tls_set(tls["ca"], tls["cert"], tls["key"])
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval = 3600
    client.connect("127.0.0.1", port, clean_start=False, properties=session)
    client.loop_start()
    eventually(client.is_connected, "connection")
    return client


def _write(url: str, line: str) -> None:
    address = f"{url}/api/v2/write?bucket=packtap&org=o&precision=ms"
    with urllib.request.urlopen(address, data=line.encode(), timeout=10) as answer:
        assert answer.status == 204


def test_queue_of_an_absent_subscriber_survives_kill_9_of_the_broker(mosquitto: Mosquitto) -> None:
    subscriber = _connected(mosquitto.port, "sub")
    subscribed: list[int] = []
    subscriber.on_subscribe = lambda *_: subscribed.append(1)
    subscriber.subscribe("a/#", qos=1)
    eventually(lambda: subscribed, "subscription")
    subscriber.disconnect()
    subscriber.loop_stop()
    publisher = _connected(mosquitto.port, "pub")
    for number in range(30):
        publisher.publish("a/b", str(number), qos=1).wait_for_publish(10)
    publisher.disconnect()
    publisher.loop_stop()
    state = mosquitto.directory / "data" / "mosquitto.db"
    eventually(lambda: state.exists() and state.read_bytes().count(b"a/b") >= 30, "saved queue")
    mosquitto.kill9()
    mosquitto.restart()
    got: list[int] = []
    late = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sub", protocol=mqtt.MQTTv5)
    late.on_message = lambda _c, _u, message: got.append(int(message.payload))
    late.connect("127.0.0.1", mosquitto.port, clean_start=False)
    late.loop_start()
    eventually(lambda: len(got) >= 30, "queued messages")
    late.disconnect()
    late.loop_stop()
    assert sorted(got) == list(range(30))


def test_tls_listener_knows_a_device_by_its_certificate_and_holds_it_to_its_acl(
    tmp_path: Path,
) -> None:
    acl = "pattern write packtap/v1/+/%u/#\n"
    with start_mosquitto(tmp_path, acl=acl, tls_devices=["tap-01"]) as broker:
        assert broker.tls_port is not None
        assert broker.certificates is not None
        files = broker.certificates
        client = _connected(
            broker.tls_port,
            "tap-01-a",
            ca=str(files.ca),
            cert=str(files.cert("tap-01")),
            key=str(files.key("tap-01")),
        )
        codes: list[int] = []
        client.on_publish = lambda _c, _u, _m, code, _p: codes.append(code.value)
        client.publish("packtap/v1/s/tap-02/b/link", b"{}", qos=1)
        eventually(lambda: codes, "refusal")
        client.disconnect()
        client.loop_stop()
        assert codes == [0x87]


def test_plain_listener_with_passwords_refuses_strangers(tmp_path: Path) -> None:
    with start_mosquitto(tmp_path, passwords={"tap": "right"}) as broker:
        answers: list[str] = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.username_pw_set("tap", "wrong")
        client.on_connect = lambda _c, _u, _f, code, _p: answers.append(str(code))
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        eventually(lambda: answers, "CONNACK")
        client.disconnect()
        client.loop_stop()
        assert answers[0] == "Not authorized"


def test_influxdb_keeps_points_over_kill_9_and_the_shim_takes_v2_writes(
    influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    _write(v2_shim.url, "pack,site=s voltage_v=36.5,soc_pct=80i 1763800012250")
    influxdb.kill9()
    influxdb.restart()
    rows = influxdb.rows("SELECT * FROM pack")
    assert rows == [{"time": 1763800012250, "site": "s", "soc_pct": 80, "voltage_v": 36.5}]


def test_victoria_metrics_keeps_a_sample_written_twice_once(
    victoria_metrics: VictoriaMetrics,
) -> None:
    for _ in range(2):
        _write(victoria_metrics.url, "pack,site=s voltage_v=36.5 1763800012250")
    (series,) = victoria_metrics.export('{__name__="pack_voltage_v"}')
    assert series["values"] == [36.5]
    assert series["timestamps"] == [1763800012250]


def test_stranger_on_the_port_is_not_taken_for_the_server(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        server = Server("imposter", ["sh", "-c", "echo in use >&2; exit 1"], tmp_path, [port])
        with pytest.raises(ServerError, match=r"(?s)ended with code 1.*in use"):
            server.start()


def test_proxy_refuses_resets_and_swallows_on_demand(
    mosquitto: Mosquitto, broker_proxy: FaultProxy
) -> None:
    address = ("127.0.0.1", broker_proxy.port)
    connect = bytes.fromhex("100f00044d5154540402003c0003616263")  # MQTT 3.1.1, client id abc
    with socket.create_connection(address, timeout=10) as line:
        line.sendall(connect)
        assert line.recv(4) == bytes.fromhex("20020000")
        broker_proxy.set(Fault.BLACKHOLE)
        line.sendall(bytes.fromhex("c000"))  # PINGREQ
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(2)
        broker_proxy.set(Fault.PASS)
        line.settimeout(10)
        assert line.recv(2) == bytes.fromhex("d000")  # the PINGRESP comes after all
        broker_proxy.reset_all()
        with pytest.raises(ConnectionError):
            line.recv(1)
    broker_proxy.set(Fault.REFUSE)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=10)
    broker_proxy.set(Fault.PASS)
    with socket.create_connection(address, timeout=10) as line:
        line.sendall(connect)
        assert line.recv(4) == bytes.fromhex("20020000")
