"""Who gets in at a real broker with the deployed files, and what a member may do there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from packtap.fleet.enrolment import Installed
from system.fleet import Fleet, fleet_broker, member
from system.servers import eventually, make_certificates

READINGS = "packtap/v1/workshop/{}/main/readings"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet_broker(tmp_path_factory.mktemp("fleet"), "pi-01", "pi-02") as broker:
        yield broker


def test_member_publishes_under_its_own_name_whatever_site_bus_and_kind(fleet: Fleet) -> None:
    with member(fleet, fleet.devices["pi-01"], "pi-01-main") as device:
        for topic in (
            READINGS.format("pi-01"),
            "packtap/v1/elsewhere/pi-01/bay-2/doctor",
            "packtap/v1/workshop/pi-01/main/state/bms2",
        ):
            assert device.ask(topic, b"{}") in ("Success", "No matching subscribers")


@pytest.mark.parametrize(
    "topic",
    [
        READINGS.format("pi-02"),
        READINGS.format("packtap-ingest"),
        "packtap/v1/workshop/main/pi-01/readings",
        "packtap/v2/workshop/pi-01/main/readings",
        "$SYS/broker/uptime",
        "elsewhere",
    ],
)
def test_publishing_under_another_name_or_elsewhere_is_refused_and_in_the_broker_s_log(
    fleet: Fleet, topic: str
) -> None:
    with member(fleet, fleet.devices["pi-01"], "pi-01-main") as device:
        assert device.ask(topic, b"{}") == "Not authorized"
    assert f"Denied PUBLISH from pi-01-main (d0, q1, r0, m1, '{topic}'" in fleet.log_text()


def test_member_reads_nobody_s_messages_not_even_its_own(fleet: Fleet) -> None:
    heard: list[str] = []
    with (
        member(fleet, fleet.devices["pi-02"], "pi-02-ear") as ear,
        member(fleet, fleet.devices["pi-01"], "pi-01-main") as device,
        member(fleet, fleet.ingest_files, "ingest") as ingest,
    ):
        for one in (ear, ingest):
            one.client.on_message = lambda client, _u, message: heard.append(
                f"{client._client_id.decode()} {message.topic}"
            )
            one.client.subscribe("packtap/v1/#", qos=1)

        # A message of its own that ingest hears proves that the subscriptions stand.
        def both_heard() -> bool:
            ear.ask(READINGS.format("pi-02"), b"{}")
            device.ask(READINGS.format("pi-01"), b"{}")
            return sum("pi-01" in line for line in heard) >= 3

        eventually(both_heard, "ingest hears", 60)
    assert {line.split()[0] for line in heard} == {"ingest"}


def test_client_without_a_certificate_gets_no_connection(fleet: Fleet) -> None:
    with member(fleet, None, "pi-01-main") as device:
        assert not device.is_in
    assert "peer did not return a certificate" in fleet.log_text()


def test_certificate_of_a_stranger_s_authority_with_the_right_name_gets_no_connection(
    fleet: Fleet, tmp_path: Path
) -> None:
    strangers = make_certificates(tmp_path, ["pi-01"])
    files = Installed(strangers.ca, strangers.cert("pi-01"), strangers.key("pi-01"))
    with member(fleet, files, "pi-01-main") as device:
        assert not device.is_in
    assert "certificate verify failed" in fleet.log_text()


def test_the_broker_s_own_certificate_is_no_ticket(fleet: Fleet) -> None:
    broker = fleet.folder / "broker"
    files = Installed(broker / "ca.crt", broker / "broker.crt", broker / "broker.key")
    with member(fleet, files, "pi-01-main") as device:
        assert not device.is_in


def test_ten_megabytes_end_the_connection_of_who_sent_them_and_are_named_in_the_log(
    fleet: Fleet,
) -> None:
    with (
        member(fleet, fleet.devices["pi-01"], "pi-01-big") as device,
        member(fleet, fleet.devices["pi-02"], "pi-02-main") as other,
    ):
        assert device.ask(READINGS.format("pi-01"), b"x" * 10_000_000) == ""
        assert not device.is_in
        assert other.ask(READINGS.format("pi-02"), b"{}") in ("Success", "No matching subscribers")
    assert "Client pi-01-big disconnected due to oversize packet" in fleet.log_text()


def test_revoked_device_is_shut_out_at_once_its_open_connection_too_and_others_notice_nothing(
    tmp_path: Path,
) -> None:
    with fleet_broker(tmp_path, "pi-01", "pi-02") as fleet:
        stolen, sound = fleet.devices["pi-01"], fleet.devices["pi-02"]
        with (
            member(fleet, stolen, "pi-01-main") as open_still,
            member(fleet, sound, "pi-02-main") as other,
        ):
            granted = ("Success", "No matching subscribers")
            assert open_still.ask(READINGS.format("pi-01"), b"{}") in granted
            fleet.revoke("pi-01")

            def shut_out() -> bool:
                # What is open stays open, and is worth nothing: the access list names it.
                return open_still.ask(READINGS.format("pi-01"), b"{}") == "Not authorized"

            eventually(shut_out, "the reload", 60)
            with member(fleet, stolen, "pi-01-again") as again:
                assert not again.is_in
            assert other.ask(READINGS.format("pi-02"), b"{}") in granted
        # A restart keeps it so.
        fleet.stop()
        fleet.restart()
        with member(fleet, stolen, "pi-01-main") as again:
            assert not again.is_in
        # The new Pi gets a new name, or the old one after a restart.
        renewed = fleet.enrol("pi-03")
        with member(fleet, renewed, "pi-03-main") as device:
            assert device.ask(READINGS.format("pi-03"), b"{}") in granted
    assert "certificate verify failed" in fleet.log_text()
