"""Attending to a bus: listening never sends, a bench asks one question at a time."""

import logging

import pytest

from ninebot_bms import BMS, Dialect, Frame, Session, SharingState, Unanswered
from ninebot_bms._encoding import encode
from ninebot_bms.commands import is_read_request
from ninebot_bms.emulated_esc import PHONE_READS
from ninebot_bms.emulator import EmulatedPack, RegisterImage
from packtap.errors import LinkError
from packtap.link import LinkDown, LinkUp, MomentPassedError, Received
from packtap.poller import ANOTHER_MASTER, Listening, Polling, Sharing, sharing_now
from recorded import RECORDED_FRAMES, recording
from shared_wire import SharedWire


class Wire:
    """A link with a pack at its other end; it can be down."""

    def __init__(self) -> None:
        self.pack = EmulatedPack(Dialect.XIAOMI, RegisterImage({"serial": "3JDEA24M1D0815"}))
        self.sent: list[bytes] = []
        self.is_down = False
        self.now = 0.0

    def send(self, data: bytes) -> None:
        if self.is_down:
            raise LinkError("bms: the port is gone")
        self.sent.append(data)
        self.pack.receive_data(data, self.now)


UP = LinkUp("bms", 0.0, "/dev/ttyB")
#: What the pack answers a live ESC.
STATUS = encode(Frame(Dialect.XIAOMI, BMS, None, 0x01, 0x30, bytes(12)))


def plugged(wire: Wire) -> Polling:
    """Return a bench whose line is open."""
    polling = Polling(Session(), wire)
    polling.line_changed(UP)
    return polling


def run(polling: Polling, wire: Wire, seconds: float) -> list[object]:
    """Let the loop turn for so long."""
    happened: list[object] = []
    end = wire.now + seconds
    while wire.now < end:
        if answer := wire.pack.next_send(wire.now):
            happened += polling.receive(Received("bms", wire.now, answer))
        happened += polling.idle(wire.now)
        polling.ask(wire.now)
        wire.now += min(polling.patience_s(wire.now), 0.002)
    return happened


@pytest.mark.parametrize("name", RECORDED_FRAMES)
def test_listening_counts_the_frames_of_a_real_recording(name: str) -> None:
    listening = Listening(("esc", "bms"))
    for t, line, data in recording(name):
        listening.receive(Received(line, t, data))
    listening.idle(1e6)
    assert listening.tally.frames == RECORDED_FRAMES[name]
    assert listening.tally.replies + listening.tally.requests <= RECORDED_FRAMES[name]


def test_listening_wakes_up_often_enough_for_a_time_out() -> None:
    assert 0 < Listening(("bms",)).patience_s(0.0) <= 0.1


def test_a_bench_asks_and_is_answered_one_request_at_a_time() -> None:
    wire = Wire()
    polling = plugged(wire)
    run(polling, wire, 10.0)
    tally = polling.tally
    assert tally.replies > 30
    assert tally.requests - tally.replies - tally.unanswered <= 1
    assert wire.sent
    assert all(is_read_request(request) for request in wire.sent)


def test_a_bench_whose_line_is_down_goes_on_and_asks_again_when_it_is_back() -> None:
    wire = Wire()
    polling = plugged(wire)
    run(polling, wire, 5.0)
    wire.is_down = True
    before = polling.tally.replies
    silent = run(polling, wire, 5.0)
    assert polling.tally.replies == before
    assert any(isinstance(event, Unanswered) for event in silent)
    wire.is_down = False
    run(polling, wire, 10.0)
    assert polling.tally.replies > before


def test_a_bench_is_never_waited_for_longer_than_its_next_request() -> None:
    wire = Wire()
    polling = plugged(wire)
    for _ in range(2000):
        polling.idle(wire.now)
        polling.ask(wire.now)
        patience_s = polling.patience_s(wire.now)
        assert 0 < patience_s <= 0.1
        wire.now += patience_s


def test_a_line_that_is_not_open_is_never_written_and_one_that_comes_back_is_listened_to() -> None:
    wire = Wire()
    polling = Polling(Session(), wire)
    run(polling, wire, 3.0)
    assert wire.sent == []
    polling.line_changed(LinkUp("bms", wire.now, "/dev/ttyB"))
    run(polling, wire, 0.99)
    assert wire.sent == []
    run(polling, wire, 1.0)
    polling.line_changed(LinkDown("bms", wire.now, "unplugged"))
    asked = len(wire.sent)
    assert asked
    run(polling, wire, 3.0)
    polling.line_changed(LinkUp("bms", wire.now, "/dev/ttyB"))
    run(polling, wire, 0.99)
    assert len(wire.sent) == asked
    run(polling, wire, 1.0)
    assert len(wire.sent) > asked


def test_taking_bytes_and_letting_time_pass_send_nothing_only_asking_does() -> None:
    wire = Wire()
    polling = plugged(wire)
    for each in range(1, 50):
        polling.idle(each / 10)
    polling.receive(Received("bms", 5.0, b"\x00"))
    assert wire.sent == []
    polling.ask(5.0)
    assert len(wire.sent) == 1


def test_another_master_is_told_once_in_plain_words_until_it_is_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = Wire()
    polling = plugged(wire)
    troubles = [polling.trouble]
    with caplog.at_level(logging.INFO):
        for _ in range(50):
            run(polling, wire, 0.21)
            polling.receive(Received("bms", wire.now, STATUS))
        troubles.append(polling.trouble)
        assert wire.sent == []
        run(polling, wire, 6.0)
    troubles.append(polling.trouble)
    assert troubles == [None, ANOTHER_MASTER, None]
    assert wire.sent
    assert caplog.messages == [
        "another master asks this pack: the data plug is still on the scooter; packtap sends "
        "nothing until it is off",
        "the other master is silent; packtap asks this pack again",
    ]


def test_listening_is_never_told_of_another_master_and_asks_nobody() -> None:
    listening = Listening(("bms",))
    listening.line_changed(UP)
    for each in range(20):
        listening.receive(Received("bms", each / 5, STATUS))
        listening.ask(each / 5)
    assert listening.trouble is None
    assert listening.tally.replies == 20


class DashboardWire:
    """A link on an emulated dashboard's wire, in time that is told; it may be held up."""

    def __init__(self) -> None:
        self.wire = SharedWire(seed=2)
        self.sharing = Sharing(self.wire.sharing, self)
        self.sharing.line_changed(LinkUp("dash", 0.0, "/dev/ttyD"))
        self.sent: list[bytes] = []
        self.refused = 0
        self.held_up_s = 0.0
        self.looks_late = False
        self.now = 0.0

    def send(self, data: bytes, not_after: float) -> bool:
        if self.now + self.held_up_s > not_after:
            self.refused += 1
            raise MomentPassedError("dash: the moment to send has passed")
        self.sent.append(data)
        self.wire.bus.send(data, self.now + self.held_up_s)
        return not self.looks_late

    def run(self, seconds: float) -> None:
        """Let the loop turn for so long."""
        end = self.now + seconds
        while self.now < end:
            if data := self.wire.bus.read(self.now):
                self.sharing.receive(Received("dash", self.now, data))
            else:
                self.sharing.idle(self.now)
            self.sharing.ask(self.now)
            patience_s = self.sharing.patience_s(self.now)
            assert patience_s > 0
            heard_at = max(self.now + 0.0002, self.wire.bus.wake_at())
            self.now = min(self.now + patience_s, heard_at, end)


def test_a_guest_waits_for_the_phone_then_asks_and_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    link = DashboardWire()
    link.wire.bus.app = ()
    link.run(3.0)
    assert link.sent == []
    assert str(link.sharing.sharing) == "waiting for the phone"
    assert "battery page" in (link.sharing.trouble or "")
    link.wire.bus.app = PHONE_READS
    link.run(30.0)
    link.wire.bus.app = ()
    link.run(10.0)
    assert str(link.sharing.sharing) == "asking"
    assert link.sharing.trouble is None
    assert len(link.sent) > 20
    assert all(is_read_request(data) for data in link.sent)
    assert link.wire.bus.disturbed == 0
    tally = link.sharing.tally
    assert tally.collisions == tally.backoffs == tally.held_back == tally.sent_late == 0
    assert tally.asked == len(link.sent) == link.wire.bus.asked == link.wire.bus.relayed
    assert link.wire.bus.collided == 0
    assert tally.of_sharing(link.sharing.sharing) == {
        "share_asking": 1,
        "share_asked": len(link.sent),
        "share_held_back": 0,
        "share_sent_late": 0,
    }
    assert sharing_now(link.sharing) == {
        "sharing": "asking",
        "sharing_collisions": 0,
        "sharing_backoffs": 0,
    }
    said = [message for message in caplog.messages if message.startswith("sharing the")]
    assert said == [
        "sharing the dashboard's wire: waiting for the phone",
        "sharing the dashboard's wire: asking",
    ]


def test_a_guest_that_is_too_late_does_not_send_and_disturbs_nobody() -> None:
    link = DashboardWire()
    link.held_up_s = 0.004
    link.run(30.0)
    assert link.refused > 3
    assert link.sharing.tally.held_back == link.refused
    assert link.sharing.tally.asked == 0
    assert link.sent == []
    assert link.wire.bus.disturbed == 0


def test_questions_that_may_have_left_too_late_are_counted() -> None:
    link = DashboardWire()
    link.looks_late = True
    link.run(30.0)
    assert link.sharing.tally.sent_late == len(link.sent) > 3


def test_a_guest_whose_line_is_lost_asks_nothing_and_begins_anew() -> None:
    link = DashboardWire()
    link.run(20.0)
    asked = len(link.sent)
    assert asked > 0
    link.sharing.line_changed(LinkDown("dash", link.now, "it was unplugged"))
    link.run(2.0)
    assert len(link.sent) == asked
    link.sharing.line_changed(LinkUp("dash", link.now, "/dev/ttyD"))
    link.run(0.5)
    assert len(link.sent) == asked
    assert link.sharing.sharing is SharingState.LISTENING
