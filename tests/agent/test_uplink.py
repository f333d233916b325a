"""Delivery to a real broker, broken in every way that a broker and a network can break."""

import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import packtap
from agent import uplink_process
from agent.drafts import UTC, event, padded, readings, seqs
from agent.subscriber import subscribe
from packtap import __version__
from packtap.config import MqttConfig, TlsConfig
from packtap.store import Store
from packtap.store.schema import MIGRATIONS
from packtap.uplink import Uplink
from system.faults import Fault, start_fault_proxy
from system.process import HOST, eventually, free_ports
from system.servers import make_certificates, start_mosquitto

BOUND = 64 * 2**20
READINGS = "packtap/v1/depot/pi/a/readings"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "packtap.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, BOUND) as opened:
        yield opened


@contextmanager
def uplink(
    path: Path, port: int, *, start: bool = True, config: MqttConfig | None = None, **options: Any
) -> Iterator[Uplink]:
    """An uplink that does everything faster than in the field."""
    fast: dict[str, Any] = {"settle_s": 0.2, "remove_every_s": 0.5, "backoff_s": (0.05, 0.2)}
    sender = Uplink(
        config or MqttConfig(host=HOST, port=port),
        site="depot",
        agent="pi",
        bus="a",
        store_path=path,
        boot="boot-a",
        **(fast | options),
    )
    if start:
        sender.start()
    try:
        yield sender
    finally:
        sender.stop(2)


def fill(store: Store, count: int) -> list[int]:
    """Queue so many batches of one reading each."""
    t = store.rows() + 1
    return store.commit([readings(t + index) for index in range(count)])


def empty(store: Store) -> bool:
    return store.depth().count == 0


# --- without faults -------------------------------------------------------------------------------


def test_event_overtakes_a_backlog_which_travels_in_bundles(
    tmp_path: Path, path: Path, store: Store
) -> None:
    with start_mosquitto(tmp_path) as broker, subscribe(broker.port) as witness:
        queued = fill(store, 3000)
        queued += store.commit([event("e1", t=4000), event("e2", t=4001)])
        with uplink(path, broker.port) as sender:
            eventually(lambda: empty(store), "an empty outbox")
            assert sender.stats.acked == len(queued)
        assert sorted(witness.seqs()) == queued
        assert witness.seqs()[:2] == [3001, 3002]


def test_everything_arrives_once_readings_in_order_and_leaves_the_outbox(
    tmp_path: Path, path: Path, store: Store
) -> None:
    with start_mosquitto(tmp_path) as broker, subscribe(broker.port) as witness:
        queued = fill(store, 300)
        with uplink(path, broker.port) as sender:
            for _ in range(20):
                queued += fill(store, 10)
                queued += store.commit([event(f"e{len(queued)}", t=len(queued))])
                sender.wake()
            eventually(lambda: empty(store), "an empty outbox")
            assert sender.stats.acked == len(queued)
            assert (sender.stats.connects, sender.stats.refused, sender.stats.unclaimed) == (
                1,
                0,
                0,
            )
            assert sender.stats.last_error is None
        assert sorted(witness.seqs()) == queued == list(range(1, 521))
        numbers = [item.document["seq"] for item in witness.of("readings")]
        assert numbers == sorted(numbers)
        assert store.rows() == 500
        (last,) = [item for item in witness.of("readings") if item.document["seq"] == 1]
        assert last.topic == READINGS
        assert last.document["t"] == [UTC + 1]


def test_status_tells_online_with_version_and_offline_on_a_clean_exit(
    tmp_path: Path, path: Path
) -> None:
    with start_mosquitto(tmp_path) as broker, subscribe(broker.port) as witness:
        with uplink(path, broker.port, utc_ms=lambda: UTC):
            eventually(lambda: witness.statuses() == ["online"], "online")
        eventually(lambda: witness.statuses() == ["online", "offline"], "offline")
        online, offline = (item.document for item in witness.of("status"))
        assert online == {"status": "online", "boot": "boot-a", "version": __version__, "t": UTC}
        assert offline == {"status": "offline", "boot": "boot-a"}
        with subscribe(broker.port, name="later") as later:
            eventually(lambda: later.statuses() == ["offline"], "retained status")
            assert later.of("status")[0].retained
        # The broker had nothing to add: no will after a good-bye.
        assert witness.statuses() == ["online", "offline"]


def test_status_says_no_time_while_the_clock_is_unknown(tmp_path: Path, path: Path) -> None:
    with start_mosquitto(tmp_path) as broker, subscribe(broker.port) as witness:
        with uplink(path, broker.port):
            eventually(lambda: witness.of("status"), "status")
        assert witness.of("status")[0].document["t"] is None


def test_new_message_does_not_wait_for_the_next_round(
    tmp_path: Path, path: Path, store: Store
) -> None:
    with (
        start_mosquitto(tmp_path) as broker,
        subscribe(broker.port) as witness,
        uplink(path, broker.port) as sender,
    ):
        eventually(lambda: sender.stats.connected, "a connection")
        for round_ in range(1, 21):
            fill(store, 1)
            sender.wake()
            eventually(lambda count=round_: len(witness.seqs()) == count, "the message")  # type: ignore[misc]


def test_messages_dated_later_are_found_behind_the_ones_already_sent(
    tmp_path: Path, path: Path, store: Store
) -> None:
    with start_mosquitto(tmp_path) as broker, subscribe(broker.port) as witness:
        store.commit([readings(1, offset=None), readings(2, offset=None), readings(3, boot="b")])
        with uplink(path, broker.port):
            eventually(lambda: witness.seqs() == [3], "what is dated")
            assert store.date_boot("boot-a", UTC) == 2
            eventually(lambda: sorted(witness.seqs()) == [1, 2, 3], "what was dated later")
            eventually(lambda: empty(store), "an empty outbox")


# --- the broker goes away -------------------------------------------------------------------------


def test_broker_that_is_absent_at_the_start_is_waited_for(
    tmp_path: Path, path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with start_mosquitto(tmp_path) as broker, subscribe(broker.port) as witness:
        queued = fill(store, 40)
        broker.stop()
        with caplog.at_level(logging.INFO, "packtap.uplink"), uplink(path, broker.port) as sender:
            eventually(lambda: sender.stats.last_error, "a failed attempt")
            assert "cannot be reached: Connection refused" in str(sender.stats.last_error)
            assert seqs(store) == queued
            broker.start()
            eventually(lambda: empty(store), "an empty outbox")
        eventually(lambda: sorted(set(witness.seqs())) == queued, "everything")
    told = [record.message for record in caplog.records if "cannot be reached" in record.message]
    assert len(told) == 1


def test_broker_killed_again_and_again_loses_nothing(
    tmp_path: Path, path: Path, store: Store
) -> None:
    chance = random.Random(3)
    queued: list[int] = []
    with (
        start_mosquitto(tmp_path) as broker,
        subscribe(broker.port) as witness,
        # The broker writes its queue a second after a change at the latest; be slower than that.
        uplink(path, broker.port, settle_s=3.0) as sender,
    ):
        for _ in range(6):
            before = sender.stats.acked
            queued += fill(store, 200)
            sender.wake()
            goal = before + chance.randrange(1, 150)
            eventually(lambda goal=goal: sender.stats.acked >= goal, "some progress")  # type: ignore[misc]
            broker.kill9()
            queued += fill(store, 20)
            broker.start()
        eventually(lambda: empty(store), "an empty outbox", 60)
        eventually(lambda: set(witness.seqs()) == set(queued), "every message", 60)
        assert sender.stats.connects >= 4
    assert queued == list(range(1, 6 * 220 + 1))


def test_broker_that_forgets_after_its_acknowledgement_gets_the_messages_again(
    tmp_path: Path, path: Path, store: Store
) -> None:
    with (
        start_mosquitto(tmp_path) as broker,
        uplink(path, broker.port, settle_s=30.0) as sender,
    ):
        with subscribe(broker.port) as witness:
            queued = fill(store, 100)
            sender.wake()
            eventually(lambda: sender.stats.acked == 100, "acknowledgements")
            assert seqs(store) == queued
            broker.kill9()
        shutil.rmtree(tmp_path / "mosquitto" / "data")
        (tmp_path / "mosquitto" / "data").mkdir()
        broker.start()
        with subscribe(broker.port) as witness:
            eventually(lambda: sorted(set(witness.seqs())) == queued, "everything again")


def test_acknowledged_message_stays_until_the_broker_is_heard_again(
    tmp_path: Path, path: Path, store: Store
) -> None:
    with (
        start_mosquitto(tmp_path) as broker,
        start_fault_proxy(broker.port) as proxy,
        subscribe(broker.port) as witness,
        uplink(path, proxy.port, settle_s=0.5) as sender,
    ):
        queued = fill(store, 20)
        sender.wake()
        eventually(lambda: sender.stats.acked == 20, "acknowledgements")
        proxy.set(Fault.BLACKHOLE)  # the connection looks alive and is not
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert seqs(store) == queued
            time.sleep(0.05)
        proxy.reset_all()
        proxy.set(Fault.PASS)
        eventually(lambda: empty(store), "an empty outbox")
        assert sorted(witness.seqs()) == sorted(queued * 2)


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.REFUSE])
def test_network_that_comes_and_goes_loses_nothing(
    tmp_path: Path, path: Path, store: Store, fault: Fault
) -> None:
    with (
        start_mosquitto(tmp_path) as broker,
        start_fault_proxy(broker.port) as proxy,
        subscribe(broker.port) as witness,
        uplink(path, proxy.port) as sender,
    ):
        queued = []
        for _ in range(5):
            goal = sender.stats.acked + 30
            queued += fill(store, 100)
            sender.wake()
            eventually(lambda goal=goal: sender.stats.acked >= goal, "some progress")  # type: ignore[misc]
            proxy.set(fault)
            proxy.reset_all()
            eventually(lambda: not sender.stats.connected, "the loss is noticed")
            proxy.set(Fault.PASS)
        eventually(lambda: empty(store), "an empty outbox")
        assert set(witness.seqs()) == set(queued)


def test_connected_is_what_has_answered_and_an_idle_black_hole_is_given_up(
    tmp_path: Path, path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        start_mosquitto(tmp_path) as broker,
        start_fault_proxy(broker.port) as proxy,
        subscribe(broker.port),
        uplink(path, 0, config=MqttConfig(host=HOST, port=proxy.port, keepalive_s=4)) as sender,
    ):
        eventually(lambda: sender.stats.connected, "a connection")
        proxy.set(Fault.BLACKHOLE)  # nothing waits, nothing is sent but keep-alives
        eventually(lambda: not sender.stats.connected, "the silence to be noticed")
        eventually(lambda: "said nothing for 6 s" in caplog.text, "the cause")
        age_s = sender.stats.acknowledged_age_s
        assert age_s is not None
        assert age_s >= 6
        proxy.reset_all()
        proxy.set(Fault.PASS)
        eventually(lambda: sender.stats.connected, "a new connection")
        eventually(lambda: sender.stats.last_error is None, "no error any more")
        fill(store, 1)
        sender.wake()
        eventually(lambda: empty(store), "an empty outbox")


def test_broker_that_answers_no_more_is_given_up_and_tried_anew(
    tmp_path: Path, path: Path, store: Store
) -> None:
    with (
        start_mosquitto(tmp_path) as broker,
        subscribe(broker.port) as witness,
        uplink(path, broker.port, no_answer_s=1.0) as sender,
    ):
        eventually(lambda: sender.stats.connected, "a connection")
        broker.pause()
        queued = fill(store, 30)
        sender.wake()
        eventually(lambda: "not answered for 1 s" in str(sender.stats.last_error), "the watchdog")
        broker.resume()
        eventually(lambda: empty(store), "an empty outbox")
        assert sorted(set(witness.seqs())) == queued


def test_retained_messages_are_published_anew_on_each_connection(
    tmp_path: Path, path: Path
) -> None:
    with start_mosquitto(tmp_path) as broker, uplink(path, broker.port, start=False) as sender:
        sender.retain("pack", b'{"serial":"A"}')
        sender.retain("state", b'{"soc_pct":55}')
        sender.start()
        with subscribe(broker.port) as witness:
            eventually(lambda: len(witness.arrivals) == 3, "three retained messages")
            sender.retain("state", b'{"soc_pct":54}')
            eventually(lambda: witness.of("state")[-1].document == {"soc_pct": 54}, "the update")
        broker.kill9()
        shutil.rmtree(tmp_path / "mosquitto" / "data")
        (tmp_path / "mosquitto" / "data").mkdir()
        broker.start()
        eventually(lambda: sender.stats.connects == 2, "a new connection")
        with subscribe(broker.port) as witness:
            eventually(lambda: len(witness.arrivals) >= 3, "three retained messages")
            assert witness.of("pack")[0].document == {"serial": "A"}
            assert witness.of("state")[0].document == {"soc_pct": 54}
            assert witness.statuses()[0] == "online"


def test_killed_agent_is_reported_offline_by_the_broker(
    tmp_path: Path, path: Path, store: Store
) -> None:
    roots = {str(Path(packtap.__file__).parents[1]), str(Path(uplink_process.__file__).parents[1])}
    with start_mosquitto(tmp_path) as broker, subscribe(broker.port) as witness:
        queued = fill(store, 5)
        agent = subprocess.Popen(
            [sys.executable, uplink_process.__file__, str(path), str(broker.port), "boot-z"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(roots)},
        )
        try:
            eventually(lambda: witness.seqs() == queued, "the readings")
            assert witness.statuses() == ["online"]
        finally:
            agent.send_signal(signal.SIGKILL)
            agent.wait(10)
        eventually(lambda: witness.statuses() == ["online", "offline"], "the last will")
        assert witness.of("status")[1].document == {"status": "offline", "boot": "boot-z"}
        assert seqs(store) == queued  # acknowledged, but the agent did not live to see it settled
        with uplink(path, broker.port):
            eventually(lambda: empty(store), "an empty outbox")
        with subscribe(broker.port, name="later") as later:
            eventually(lambda: later.statuses() == ["offline"], "retained status")


# --- the broker takes it and nobody wants it, or does not take it ---------------------------------


def test_message_without_a_subscriber_is_kept_until_one_appears(
    tmp_path: Path, path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with start_mosquitto(tmp_path) as broker, uplink(path, broker.port) as sender:
        queued = fill(store, 120)
        sender.wake()
        eventually(lambda: sender.stats.unclaimed >= 51, "a failed probe")
        assert seqs(store) == queued
        assert sender.stats.acked == 0
        with subscribe(broker.port) as witness:
            eventually(lambda: empty(store), "an empty outbox")
            assert witness.seqs() == queued
            assert sender.stats.last_error is None
    told = [record for record in caplog.records if "nobody subscribes" in record.message]
    assert len(told) == 1


def test_refused_topic_is_kept_counted_said_once_and_holds_up_no_other(
    tmp_path: Path, path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    acl = "topic read packtap/#\ntopic write packtap/v1/depot/pi/a/status\n"
    events = "topic write packtap/v1/depot/pi/a/event\n"
    with (
        start_mosquitto(tmp_path, acl=acl + events) as broker,
        subscribe(broker.port) as witness,
        uplink(path, broker.port) as sender,
    ):
        refused = fill(store, 120)
        taken = store.commit([event(f"e{n}", t=n) for n in range(40)])
        sender.wake()
        eventually(lambda: sorted(set(witness.seqs())) == taken, "the events")
        eventually(lambda: sender.stats.refused >= 3, "two failed probes")
        eventually(lambda: seqs(store) == refused, "only the refused left")
        assert "Not authorized" in str(sender.stats.last_error)
        assert [record.message for record in caplog.records if "refuses" in record.message] == [
            f"broker refuses {READINGS}: Not authorized; check its ACL for user pi; "
            "messages are kept and tried again"
        ]
        (tmp_path / "mosquitto" / "acl").write_text(acl + f"topic write {READINGS}\n")
        os.kill(broker.pid, signal.SIGHUP)
        eventually(lambda: empty(store), "an empty outbox", 60)
        assert sorted(set(witness.seqs())) == refused + taken


def test_wrong_password_is_said_in_words_and_the_right_one_works_without_a_restart(
    tmp_path: Path, path: Path, store: Store
) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    with start_mosquitto(tmp_path, passwords={"pi": "right"}) as broker:
        config = MqttConfig(host=HOST, port=broker.port, username="pi", password_file=secret)
        queued = fill(store, 3)
        with uplink(path, broker.port, config=config) as sender:
            eventually(lambda: sender.stats.last_error, "the refusal")
            assert "check user, password or certificate" in str(sender.stats.last_error)
            assert "wrong" not in str(sender.stats.last_error)
            assert seqs(store) == queued
            secret.write_text("right\n")
            eventually(lambda: sender.stats.connected, "a connection")


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_certificates_let_in_the_right_device_and_only_the_right_broker(
    tmp_path: Path, path: Path, store: Store
) -> None:
    stranger = make_certificates(tmp_path / "stranger", ["pi"])
    with start_mosquitto(tmp_path, tls_devices=["pi"]) as broker:
        assert broker.certificates is not None
        assert broker.tls_port is not None
        own = broker.certificates
        tls = TlsConfig(ca_file=own.ca, cert_file=own.cert("pi"), key_file=own.key("pi"))
        wrong = TlsConfig(ca_file=stranger.ca, cert_file=own.cert("pi"), key_file=own.key("pi"))
        queued = fill(store, 200)
        config = MqttConfig(host="localhost", port=broker.tls_port, tls=wrong)
        with uplink(path, 0, config=config) as sender:
            eventually(lambda: sender.stats.last_error, "the refusal")
            assert "certificate is not trusted" in str(sender.stats.last_error)
        config = MqttConfig(host="localhost", port=broker.tls_port, tls=tls)
        with subscribe(broker.port) as witness, uplink(path, 0, config=config):
            eventually(lambda: empty(store), "an empty outbox")
            assert witness.seqs() == queued


def test_message_larger_than_the_broker_takes_steps_aside_for_the_others(
    tmp_path: Path, path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        start_mosquitto(tmp_path, extra="max_packet_size 20000") as broker,
        subscribe(broker.port) as witness,
        uplink(path, broker.port) as sender,
    ):
        store.commit([padded(1, 30_000), readings(2), readings(3)])
        sender.wake()
        eventually(lambda: witness.seqs() == [2, 3], "the others")
        eventually(lambda: seqs(store) == [1], "only the large one left")
        assert "larger than the broker takes" in caplog.text
        assert sender.stats.connects == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(b"\x20\x03\x00\x86\x00", "check mqtt.username", id="connection refused"),
        pytest.param(b"\x20\x03\x00\x84\x00", "MQTT version 5", id="version refused"),
        pytest.param(
            b"\x20\x03\x00\x00\x00\xe0\x02\x8e\x00", "same names", id="session taken over"
        ),
    ],
)
def test_broker_that_ends_the_connection_is_quoted_with_what_to_try(
    path: Path, answer: bytes, words: str
) -> None:
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(20)
        with uplink(path, listener.getsockname()[1], backoff_s=(60.0, 60.0)) as sender:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(20)
                assert peer.recv(4096)[0] == 0x10  # CONNECT
                peer.sendall(answer)
                eventually(lambda: sender.stats.last_error, "the end of the connection")
            assert words in str(sender.stats.last_error)


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_port_that_speaks_no_mqtt_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch, greeting: bytes
) -> None:
    monkeypatch.setattr("packtap.uplink.connection._CONNECT_S", 0.5)
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(20)
        with uplink(path, listener.getsockname()[1], backoff_s=(60.0, 60.0)) as sender:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(greeting)
                eventually(lambda: sender.stats.last_error, "the end of patience")
            assert "does not answer: is it an MQTT broker?" in str(sender.stats.last_error)


# --- this side ------------------------------------------------------------------------------------


def test_stop_without_a_broker_does_not_wait_and_keeps_everything(path: Path, store: Store) -> None:
    (port,) = free_ports(1)
    queued = fill(store, 3)
    with uplink(path, port, backoff_s=(60.0, 60.0)) as sender:
        eventually(lambda: sender.stats.last_error, "a failed attempt")
    assert "uplink" not in [thread.name for thread in threading.enumerate()]
    assert seqs(store) == queued


def test_broker_where_nobody_listened_is_found_soon_after_it_is_back_however_long_it_was_away(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packtap.uplink.sender._NOBODY_LISTENS_S", 0.1)
    (port,) = free_ports(1)
    with uplink(path, port, backoff_s=(6000.0, 6000.0)) as sender:
        eventually(lambda: sender.stats.last_error, "a failed attempt")
        with socket.create_server((HOST, port)) as listener:
            listener.settimeout(60)
            peer, _ = listener.accept()
            peer.close()


def test_connection_that_breaks_again_and_again_after_it_has_delivered_is_made_anew_at_once(
    tmp_path: Path, path: Path, store: Store
) -> None:
    with (
        start_mosquitto(tmp_path) as broker,
        start_fault_proxy(broker.port) as proxy,
        subscribe(broker.port) as witness,
        uplink(path, proxy.port, backoff_s=(0.05, 6000.0)) as sender,
    ):
        queued: list[int] = []
        for _ in range(14):  # doubled so often, the pause would be minutes
            queued += fill(store, 1)
            sender.wake()
            eventually(lambda: queued[-1] in witness.seqs(), "the message")  # noqa: B023
            eventually(lambda: sender.stats.in_flight == 0, "its acknowledgement")
            proxy.reset_all()
        assert set(queued) <= set(witness.seqs())


def test_stop_delivers_what_has_just_been_committed(
    tmp_path: Path, path: Path, store: Store
) -> None:
    with start_mosquitto(tmp_path) as broker, subscribe(broker.port) as witness:
        with uplink(path, broker.port, settle_s=0.0) as sender:
            eventually(lambda: sender.stats.connected, "a connection")
            queued = fill(store, 400)
        eventually(lambda: witness.seqs() == queued, "everything")
        # In words, or by the last will if the time for a farewell was over.
        eventually(lambda: witness.statuses()[-1] == "offline", "offline")
        assert empty(store)


def test_store_that_was_replaced_is_delivered_from_its_beginning(
    tmp_path: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store.open(path, BOUND)
    with start_mosquitto(tmp_path) as broker, subscribe(broker.port) as witness:
        with uplink(path, broker.port) as sender:
            fill(store, 10)
            sender.wake()
            eventually(lambda: empty(store), "an empty outbox")
            first = store.store_id
            store._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            store.close()
            path.write_bytes(b"x" * path.stat().st_size)
            with Store.open(path, BOUND) as store:
                fill(store, 5)
                sender.wake()
                eventually(lambda: empty(store), "an empty outbox")
                second = store.store_id
        arrived = [
            (item.document["store"], item.document["seq"]) for item in witness.of("readings")
        ]
        assert arrived == [(first, n) for n in range(1, 11)] + [(second, n) for n in range(1, 6)]
    assert "open the store again" in caplog.text


def test_uplink_that_meets_a_store_of_a_newer_version_says_so_and_goes_on(
    tmp_path: Path, path: Path, store: Store
) -> None:
    store._conn.execute("PRAGMA user_version = 99")
    with (
        start_mosquitto(tmp_path) as broker,
        subscribe(broker.port) as witness,
        uplink(path, broker.port) as sender,
    ):
        eventually(lambda: "newer packtap" in str(sender.stats.last_error), "the words")
        assert sender.stats.connected
        store._conn.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        queued = fill(store, 2)
        eventually(lambda: witness.seqs() == queued, "the messages")
