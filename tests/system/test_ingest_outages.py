"""Ingest while stores, brokers, networks and itself fail: nothing lost, nothing twice."""

import logging
import random
import resource
import time
from pathlib import Path

import pytest

from packtap.store import Store
from packtap.wire import ReadingsMessage
from system.ingest_bench import (
    config_for,
    dead_letters,
    expected_pack,
    ingest_process,
    ingesting,
    publishing,
    ride,
    stub_store,
)
from system.process import http
from system.servers import (
    Fault,
    FaultProxy,
    InfluxDB,
    Mosquitto,
    V2Shim,
    VictoriaMetrics,
    eventually,
    free_ports,
    start_fault_proxy,
)


def _soc(influxdb: InfluxDB) -> dict[tuple[str, int], int]:
    rows = influxdb.rows("SELECT pack, soc_pct FROM pack")
    found = {(row["pack"], row["time"]): row["soc_pct"] for row in rows}
    assert len(found) == len(rows)
    return found


def _sqlite_soc(path: Path) -> dict[tuple[str, int], object]:
    with Store.open_read_only(path) as store:
        readings = list(store.readings())
    found: dict[tuple[str, int], object] = {
        (one.pack, one.t_ms): one.values["soc_pct"] for one in readings
    }
    assert len(found) == len(readings)
    return found


def _expected_soc(messages: list[ReadingsMessage]) -> dict[tuple[str, int], int]:
    return {key: fields["soc_pct"] for key, fields in expected_pack(messages).items()}


def test_store_killed_and_restarted_gets_everything_while_the_broker_stays_connected(
    tmp_path: Path,
    mosquitto: Mosquitto,
    influxdb: InfluxDB,
    v2_shim: V2Shim,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "packtap")
    messages = ride(60, samples=5)
    config = config_for(mosquitto.port, tmp_path, url=v2_shim.url)
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        publisher.send(*messages[:20])
        eventually(lambda: ingest.stats().stored >= 10, "the first messages")
        influxdb.kill9()
        publisher.send(*messages[20:])
        eventually(lambda: ingest.stats().retries >= 3, "three tries")
        assert ingest.stats().acknowledged < 60
        assert ingest.stats().connected
        influxdb.restart()
        eventually(lambda: ingest.stats().acknowledged == 60, "acknowledgements")
        assert ingest.stats().received == 60
    assert _soc(influxdb) == _expected_soc(messages)
    told = [line for line in caplog.messages if line.startswith("the store: ")]
    assert [("502" in line, "works again" in line) for line in told] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "check influx.token_file"),
        (403, "write permission"),
        (404, "create it"),
        (408, "gave up waiting"),
        (409, "no answer of a v2 write endpoint"),
        (429, "over its limit"),
        (301, "redirects"),
        (500, "look into its log"),
        (503, "overloaded"),
    ],
)
def test_store_that_answers_no_for_now_is_asked_again_and_nothing_is_acknowledged(
    status: int,
    advice: str,
    tmp_path: Path,
    mosquitto: Mosquitto,
    caplog: pytest.LogCaptureFixture,
) -> None:
    messages = ride(3, samples=2)
    with stub_store() as stub:
        stub.answer = (status, {}, '{"message": "changes %d"}')
        config = config_for(mosquitto.port, tmp_path, url=stub.url)
        with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
            publisher.send(*messages)
            eventually(lambda: ingest.stats().retries >= 2, "two tries")
            assert (ingest.stats().acknowledged, ingest.stats().refused) == (0, 0)
            assert ingest.stats().store == f"{stub.url} answers {status} {_phrase(status)}"
            stub.answer = (204, {}, "")
            eventually(lambda: ingest.stats().acknowledged == 3, "acknowledgements")
        assert "".join(stub.taken).count("pack,") == 6
    told = [line for line in caplog.messages if line.startswith("the store: ")]
    assert len(told) == 1
    assert advice in told[0]


def _phrase(status: int) -> str:
    from http import HTTPStatus

    return HTTPStatus(status).phrase


@pytest.mark.parametrize("status", [400, 422])
def test_answer_400_to_a_single_message_refuses_it_after_one_try(
    status: int, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    (message,) = ride(1)
    with stub_store() as stub:
        stub.answer = (
            status,
            {},
            '{"code": "invalid", "message": "partial write:\\n dropped=1"}',
        )
        config = config_for(mosquitto.port, tmp_path, url=stub.url)
        with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
            publisher.send(message)
            eventually(lambda: ingest.stats().acknowledged == 1, "acknowledgement")
            publisher.send(*ride(3, agent=2))
            eventually(lambda: ingest.stats().acknowledged == 4, "acknowledgements")
        assert sum(message.pack in body for body in stub.bodies) == 1
    assert dead_letters(config)[0]["reason"] == (
        f"the store answers {status}: partial write: dropped=1"
    )


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "<html><h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port</html>"),
        (400, '{"detail": "no such path"}'),
        (422, "[]"),
        (400, ""),
    ],
    ids=["web server with TLS", "another service", "a list", "nothing"],
)
def test_answer_400_of_something_that_is_no_store_is_kept_with_what_to_check(
    status: int,
    text: str,
    tmp_path: Path,
    mosquitto: Mosquitto,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with stub_store() as stub:
        stub.answer = (status, {"Content-Type": "text/html"}, text)
        config = config_for(mosquitto.port, tmp_path, url=stub.url)
        with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
            publisher.send(*ride(2))
            eventually(lambda: ingest.stats().retries >= 2, "two tries")
            assert ingest.stats().acknowledged == 0
            stub.answer = (204, {}, "")
            eventually(lambda: ingest.stats().acknowledged == 2, "acknowledgements")
            assert (ingest.stats().refused, ingest.stats().stored) == (0, 2)
    told = [line for line in caplog.messages if line.startswith("the store: ")]
    assert f"answers {status}" in told[0]
    assert "check influx.url" in told[0]
    assert len([line for line in told if "answers" in line]) == 1


def test_answers_400_of_the_real_stores_are_known_as_theirs(
    tmp_path: Path, victoria_metrics: VictoriaMetrics, v2_shim: V2Shim
) -> None:
    garbage = b"packtap, this is no line protocol"
    for url in (victoria_metrics.url, v2_shim.url):
        target = f"{url}/api/v2/write?bucket=packtap&org=o&precision=ms"
        status, headers, _ = http(target, data=garbage, headers={"Content-Encoding": "gzip"})
        assert status == 400
        assert any(name.lower().startswith("x-influxdb-") for name in headers)


def test_answer_400_to_several_messages_refuses_only_the_guilty_one(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    messages = ride(4, samples=2, agent=1) + ride(1, samples=2, agent=13) + ride(4, agent=2)
    with stub_store() as stub:
        stub.answer = (503, {}, "")
        config = config_for(mosquitto.port, tmp_path, url=stub.url)
        with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
            publisher.send(*messages)
            # The first try may have held some of them; from then on all nine wait.
            eventually(lambda: ingest.stats().retries >= 1, "a try")
            stub.guilty = "tap-13"
            stub.answer = (400, {"X-Influxdb-Version": "1.8.0"}, "unable to parse")
            eventually(lambda: ingest.stats().acknowledged == 9, "acknowledgements")
            assert (ingest.stats().refused, ingest.stats().stored) == (1, 8)
        assert not any("tap-13" in body for body in stub.taken)
        readings = [body for body in stub.bodies if not body.startswith("ingest,")]
        assert sum("tap-13" in body and "tap-0" not in body for body in readings) == 1
    (letter,) = dead_letters(config)
    assert "/tap-13/" in letter["topic"]


def test_body_that_is_too_large_is_split_until_it_is_taken(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    conf = v2_shim.directory / "nginx.conf"
    conf.write_text(conf.read_text().replace("client_max_body_size 32m", "client_max_body_size 3k"))
    v2_shim.restart()
    messages = ride(20, samples=20)
    config = config_for(mosquitto.port, tmp_path, url=v2_shim.url)
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        publisher.send(*messages)
        eventually(lambda: ingest.stats().acknowledged == 20, "acknowledgements")
        assert ingest.stats().refused == 0
    assert _soc(influxdb) == _expected_soc(messages)


def test_request_is_one_zipped_body_with_milliseconds_bucket_and_token(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    with stub_store() as stub:
        config = config_for(mosquitto.port, tmp_path, url=stub.url, bucket="db/rp")
        with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
            publisher.send(*ride(2, samples=3))
            eventually(lambda: ingest.stats().acknowledged == 2, "acknowledgements")
        path, headers = stub.requests[0]
    assert path.startswith("/api/v2/write?")
    assert {"org=o", "bucket=db%2Frp", "precision=ms"} <= set(path.partition("?")[2].split("&"))
    assert headers["Content-Encoding"] == "gzip"


def test_store_asking_for_a_pause_gets_at_least_that(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with stub_store() as stub:
        stub.answer = (503, {"Retry-After": "2"}, "")
        config = config_for(mosquitto.port, tmp_path, url=stub.url)
        with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
            publisher.send(*ride(1, samples=1))
            eventually(lambda: len(stub.bodies) == 1, "the first try")
            asked = time.monotonic()
            eventually(lambda: len(stub.bodies) == 2, "the second try")
            assert time.monotonic() - asked > 1.9
            stub.answer = (204, {}, "")
            eventually(lambda: ingest.stats().acknowledged == 1, "acknowledgement")


def test_store_that_never_answers_times_out_and_is_asked_again(
    tmp_path: Path, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    messages = ride(3)
    with stub_store() as stub:
        stub.is_mute = True
        config = config_for(mosquitto.port, tmp_path, url=stub.url, timeout_s=1.0)
        with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
            publisher.send(*messages)
            eventually(lambda: ingest.stats().retries >= 2, "two tries")
            assert ingest.stats().acknowledged == 0
            assert ingest.stats().store == f"{stub.url}: no answer in time"
            stub.is_mute = False
            eventually(lambda: ingest.stats().acknowledged == 3, "acknowledgements")
    assert len([line for line in caplog.messages if "no answer in time" in line]) == 1


def test_store_refusing_resetting_and_swallowing_connections_gets_everything_in_the_end(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    messages = ride(40, samples=5)
    seen = set()
    with start_fault_proxy(v2_shim.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        config = config_for(mosquitto.port, tmp_path, url=url, timeout_s=1.0)
        with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
            for number, fault in enumerate((Fault.REFUSE, Fault.RESET, Fault.BLACKHOLE)):
                proxy.set(fault)
                proxy.reset_all()
                before = ingest.stats().retries
                publisher.send(*messages[number * 10 : number * 10 + 10])
                eventually(lambda before=before: ingest.stats().retries > before, "a try")  # type: ignore[misc]
                seen.add(ingest.stats().store.removeprefix(url))
                assert ingest.stats().connected
                proxy.set(Fault.PASS)
                done = 10 * (number + 1)
                eventually(lambda done=done: ingest.stats().acknowledged == done, "recovery")  # type: ignore[misc]
            publisher.send(*messages[30:])
            eventually(lambda: ingest.stats().acknowledged == 40, "acknowledgements")
    assert seen == {": connection refused", ": connection broken off", ": no answer in time"}
    assert _soc(influxdb) == _expected_soc(messages)


def test_ingest_killed_at_random_moments_loses_nothing_and_stores_nothing_twice(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    messages = ride(800, samples=5)
    path = tmp_path / "ingest.db"
    rng = random.Random(7)
    left_undone = []
    with (
        ingest_process(tmp_path, mosquitto.port) as ingest,
        publishing(mosquitto.port) as publisher,
    ):
        for part in range(4):
            publisher.send(*messages[part * 200 : part * 200 + 200], wait=False)
            goal = rng.randrange(1, 20)
            eventually(lambda goal=goal: ingest.stats().get("acknowledged", 0) >= goal, "a start")  # type: ignore[misc]
            ingest.kill9()
            left_undone.append((part + 1) * 1000 - len(_sqlite_soc(path)))
            ingest.start()
        expected = _expected_soc(messages)
        eventually(lambda: len(_sqlite_soc(path)) == len(expected), "every reading", 60)
        assert ingest.terminate() == 0
    assert max(left_undone) > 0  # it was killed in the middle of its work
    assert _sqlite_soc(path) == expected


def test_broker_and_ingest_killed_together_lose_nothing_that_the_broker_acknowledged(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, v2_shim: V2Shim
) -> None:
    messages = ride(120, samples=5)
    saved = mosquitto.directory / "data" / "mosquitto.db"
    with (
        ingest_process(tmp_path, mosquitto.port, url=v2_shim.url) as ingest,
        publishing(mosquitto.port) as publisher,
    ):
        publisher.send(*messages[:60])
        ingest.kill9()
        publisher.send(*messages[60:])
        last = messages[-1].t[-1]
        eventually(lambda: str(last).encode() in saved.read_bytes(), "the broker's saved queue")
        mosquitto.kill9()
        mosquitto.restart()
        ingest.start()
        expected = _expected_soc(messages)
        eventually(lambda: len(_soc(influxdb)) == len(expected), "every reading", 60)
        assert ingest.terminate() == 0
    assert _soc(influxdb) == expected


def test_lines_to_the_broker_reset_again_and_again_lose_nothing(
    tmp_path: Path, mosquitto: Mosquitto, broker_proxy: FaultProxy
) -> None:
    messages = ride(200, samples=3)
    config = config_for(broker_proxy.port, tmp_path, max_messages=7)
    with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
        for part in range(4):
            publisher.send(*messages[part * 50 : part * 50 + 50], wait=False)
            goal = ingest.stats().acknowledged + 5
            eventually(lambda goal=goal: ingest.stats().acknowledged >= goal, "some")  # type: ignore[misc]
            broker_proxy.reset_all()
        assert config.sqlite is not None
        path, expected = config.sqlite.path, _expected_soc(messages)
        eventually(lambda: len(_sqlite_soc(path)) == len(expected), "every reading", 60)
    assert _sqlite_soc(path) == expected


def test_messages_unacknowledged_when_the_line_breaks_come_again_and_are_stored(
    tmp_path: Path, mosquitto: Mosquitto, broker_proxy: FaultProxy
) -> None:
    messages = ride(5, samples=2)
    with stub_store() as stub:
        stub.answer = (503, {}, "")
        config = config_for(broker_proxy.port, tmp_path, url=stub.url)
        with ingesting(config) as ingest, publishing(mosquitto.port) as publisher:
            publisher.send(*messages)
            eventually(lambda: ingest.stats().retries >= 1, "a try")
            broker_proxy.reset_all()
            eventually(lambda: broker_proxy.accepted == 2, "a new connection")
            stub.answer = (204, {}, "")
            eventually(lambda: ingest.stats().acknowledged == 5, "acknowledgements")
            assert ingest.stats().received > 5
        lines = {line for body in stub.taken for line in body.splitlines() if line[:5] == "pack,"}
        assert len(lines) == 10


def test_broker_that_is_not_there_is_told_once_and_found_when_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from packtap.ingest.service import ingest_of
    from system.servers import start_mosquitto

    with start_mosquitto(tmp_path) as broker:
        broker.stop()
        ingest = ingest_of(config_for(broker.port, tmp_path))
        ingest.start()
        try:
            eventually(lambda: caplog.messages, "a line in the log")
            assert "cannot be reached: [Errno 111] Connection refused" in caplog.messages[0]
            assert "check [mqtt] host and port" in caplog.messages[0]
            broker.restart()
            eventually(lambda: ingest.stats().connected, "the connection")
        finally:
            ingest.stop()
        assert len(caplog.messages) == 1


def test_broker_that_refuses_the_password_is_told_with_what_to_check(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from packtap.ingest.service import ingest_of
    from system.servers import start_mosquitto

    with start_mosquitto(tmp_path, passwords={"ingest": "secret"}) as broker:
        ingest = ingest_of(config_for(broker.port, tmp_path))
        ingest.start()
        try:
            eventually(lambda: caplog.messages, "a line in the log")
            eventually(lambda: broker.log_tail().count("New connection") >= 2, "a second try")
        finally:
            ingest.stop()
    assert len(caplog.messages) == 1
    assert "refuses the connection: Not authorized; user, password or cert" in caplog.messages[0]


def test_terminated_while_the_store_hangs_ends_cleanly_and_leaves_all_with_the_broker(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    messages = ride(8, samples=2)
    with stub_store() as stub:
        stub.is_mute = True
        with (
            ingest_process(tmp_path, mosquitto.port, url=stub.url) as ingest,
            publishing(mosquitto.port) as publisher,
        ):
            publisher.send(*messages)
            eventually(lambda: stub.bodies, "a write")
            assert ingest.terminate() == 0
            assert ingest.last_stats()["acknowledged"] == 0
            assert "Traceback" not in ingest.log
            stub.is_mute = False
            stub.released.set()
            ingest.start()
            eventually(lambda: ingest.stats().get("acknowledged") == 8, "acknowledgements")
        assert "".join(stub.taken).count("pack,") == 16


def test_full_disk_keeps_messages_at_the_broker_until_there_is_room(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    messages = ride(60, samples=20)
    path = tmp_path / "ingest.db"
    with (
        ingest_process(tmp_path, mosquitto.port) as ingest,
        publishing(mosquitto.port) as publisher,
    ):
        publisher.send(*messages[:10])
        eventually(lambda: ingest.stats()["acknowledged"] == 10, "the first messages")
        _, hard = resource.prlimit(ingest.pid, resource.RLIMIT_FSIZE)
        largest = max(file.stat().st_size for file in tmp_path.glob("ingest.db*"))
        # The disk "fills" for this process: no file may grow beyond what the largest is now.
        resource.prlimit(ingest.pid, resource.RLIMIT_FSIZE, (largest, hard))
        publisher.send(*messages[10:])
        eventually(lambda: ingest.stats()["retries"] >= 2, "two tries")
        assert ingest.stats()["acknowledged"] < 60
        assert "the store: " in ingest.log
        resource.prlimit(ingest.pid, resource.RLIMIT_FSIZE, (hard, hard))
        eventually(lambda: ingest.stats()["acknowledged"] == 60, "acknowledgements", 60)
        assert ingest.terminate() == 0
        assert "Traceback" not in ingest.log
    assert _sqlite_soc(path) == _expected_soc(messages)


def test_port_of_a_store_that_nobody_listens_on_is_told_once(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    (port,) = free_ports(1)
    with (
        ingest_process(tmp_path, mosquitto.port, url=f"http://127.0.0.1:{port}") as ingest,
        publishing(mosquitto.port) as publisher,
    ):
        publisher.send(*ride(2))
        eventually(lambda: ingest.stats()["retries"] >= 3, "three tries")
        assert ingest.terminate() == 0
        warnings = [line for line in ingest.log.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert "connection refused; the store does not answer; check that it runs" in warnings[0]
