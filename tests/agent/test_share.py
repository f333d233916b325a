"""The ends of a shared wire: what is late is not written; the simulated wire; a fine clock."""

import pytest

from ninebot_bms import Dialect, read_request
from packtap.cli import main
from packtap.clock import Clock
from packtap.emulated_bus import PtyLine
from packtap.errors import LinkError
from packtap.link import PROMPT_S, Inbox, LineReader, Received
from packtap.simulated.scooter import Plan
from packtap.simulated.shared import SharedWire
from serial_ends import wait_until

CELLS = read_request(Dialect.XIAOMI, 0x40, 20)


def test_what_comes_too_late_is_not_written() -> None:
    line = PtyLine("dash")
    inbox: Inbox = Inbox()
    now = [100.0]
    reader = LineReader(
        "dash", line.path, 115200, inbox, clock=lambda: now[0], transmit=True, gather_s=PROMPT_S
    )
    reader.start()
    try:
        wait_until(lambda: inbox.qsize() > 0)
        with pytest.raises(LinkError, match="the moment to send has passed"):
            reader.send(CELLS, 99.9)
        assert line.read() == b""
        reader.send(CELLS, 100.1)
        assert line.read() == CELLS
        with pytest.raises(LinkError):
            reader.send(b"\x55\xaa\x03\x22\x03\x70\x01\x66\xff", 100.1)
        assert line.read() == b""
        line.put(b"\x55\xaa\x00")
        got: list[object] = []

        def has_heard() -> bool:
            while inbox.qsize():
                got.append(inbox.get())
            return b"".join(each.data for each in got if isinstance(each, Received)) == (
                b"\x55\xaa\x00"
            )

        wait_until(has_heard)
    finally:
        reader.stop()
        reader.join(10)
        line.unplug()


def test_the_exact_clock_is_never_before_the_whole_milliseconds() -> None:
    clock = Clock("trusted")
    for _ in range(100):
        before = clock.boot_s()
        exact = clock.exact_s()
        assert before <= exact <= clock.boot_s() + 0.001
    assert Clock("trusted", boot_ms=lambda: 5_000).exact_s() == 5.0


def test_a_simulated_scooter_on_the_shared_wire_answers_and_the_phone_is_put_away() -> None:
    wire = SharedWire(Plan(seed=1), phone_s=3.0)
    now = 0.0
    early = late = b""
    while now < 6.0:
        heard = wire.step(now)
        early, late = (early + heard, late) if now < 3.0 else (early, late + heard)
        now = wire.wake_at(now) + 0.0001
    asked = read_request(Dialect.XIAOMI, 0x3B, 2)
    assert asked in early
    assert asked not in late[100:]
    assert wire.disturbed == 0


@pytest.mark.parametrize("other", [["--bench"], ["--out", "a.log"], ["--play", "a.log"]])
def test_a_shared_wire_is_a_port_of_its_own(
    other: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--share", *other]) == 2
    assert "not with --bench, --out, --play" in capsys.readouterr().err
