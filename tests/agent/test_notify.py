"""What the service manager is told, and when it is told nothing more."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from packtap.notify import Service


class Manager:
    """The other end of $NOTIFY_SOCKET, and a clock."""

    def __init__(self, address: str) -> None:
        self.now = 1000.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "20000000"}
        self.service = Service(self.environment, lambda: self.now)

    def heard(self) -> list[str]:
        messages: list[str] = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = f"@packtap-test-{tmp_path.name}-{id(request)}"
    made = Manager(path if request.param == "abstract" else str(tmp_path / "notify"))
    yield made
    made.close()


def test_ready_is_said_once(manager: Manager) -> None:
    manager.service.ready()
    manager.service.ready()
    assert manager.heard() == ["READY=1"]


def test_watchdog_is_fed_four_times_within_the_time_that_is_allowed(manager: Manager) -> None:
    manager.service.ready()
    manager.heard()
    for _ in range(200):
        manager.service.feed()
        manager.now += 0.1
    assert manager.heard() == ["WATCHDOG=1"] * 4


def test_start_that_lasts_is_extended_by_the_working_loop_until_it_is_ready(
    manager: Manager,
) -> None:
    manager.service.feed()
    manager.now += 20
    manager.service.ready()
    manager.service.feed()
    assert manager.heard() == ["EXTEND_TIMEOUT_USEC=60000000", "READY=1", "WATCHDOG=1"]


def test_thread_that_gives_no_sign_of_life_starves_the_watchdog_and_feeds_it_again_when_it_does(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    reader, uplink = manager.service.beat_of("line bms"), manager.service.beat_of("uplink")
    manager.service.ready()
    manager.heard()
    reader(20.0)
    uplink(240.0)
    for _ in range(10):
        manager.now += 5
        manager.service.feed()
    assert manager.heard() == ["WATCHDOG=1"] * 4  # 20 s, and not one more
    assert [record.getMessage() for record in caplog.records] == [
        "line bms: no sign of life; the watchdog may end this"
    ]
    reader(20.0)
    manager.now += 5
    manager.service.feed()
    assert manager.heard() == ["WATCHDOG=1"]


def test_stuck_thread_starves_a_start_too(manager: Manager) -> None:
    manager.service.beat_of("the connection to the broker")(5.0)
    manager.now += 6
    manager.service.feed()
    assert manager.heard() == []


def test_status_is_said_when_it_has_changed_and_not_more_often_than_every_five_seconds(
    manager: Manager,
) -> None:
    manager.service.say("bms is open")
    manager.service.say("bms is not open")
    manager.now += 6
    manager.service.say("bms is not open")
    manager.now += 6
    manager.service.say("bms is not open")
    assert manager.heard() == ["STATUS=bms is open", "STATUS=bms is not open"]


def test_newline_in_a_status_cannot_say_anything_else(manager: Manager) -> None:
    manager.service.say("pack A\nREADY=1")
    assert manager.heard() == ["STATUS=pack A READY=1"]


def test_manager_that_has_gone_or_takes_nothing_holds_nobody_up(manager: Manager) -> None:
    for _ in range(2000):  # more than its queue takes
        manager.service.stopping()
    manager.close()
    manager.service.stopping()


def test_outside_of_a_service_nothing_is_sent() -> None:
    service = Service({})
    service.beat_of("uplink")(1.0)
    service.ready()
    service.say("words")
    service.feed()
    service.stopping()


@pytest.mark.parametrize("allowed", ["", "0", "-5", "soon"])
def test_watchdog_time_that_makes_no_sense_is_none(allowed: str, tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    service = Service(manager.environment | {"WATCHDOG_USEC": allowed}, lambda: manager.now)
    service.ready()
    service.feed()
    service.feed()
    assert manager.heard() == ["READY=1", "WATCHDOG=1"]
    manager.close()
