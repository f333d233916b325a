"""Bookkeeping of the uplink's window: who waits, who is settled, who is held."""

from packtap.uplink.window import Window
from packtap.wire import Topic

READINGS = Topic("depot", "pi", "a", "readings")
EVENT = Topic("depot", "pi", "a", "event")


def test_window_has_room_until_it_is_full_and_again_after_an_acknowledgement() -> None:
    window = Window(2, settle_s=3)
    window.sent(1, READINGS, mid=11, now=0)
    window.sent(2, READINGS, mid=12, now=0)
    assert (window.room, window.in_flight) == (0, 2)
    assert window.acknowledged(11, now=1) == READINGS
    assert window.acknowledged(11, now=1) is None
    assert (window.room, window.in_flight) == (1, 1)


def test_message_on_its_way_or_unsettled_is_not_sent_again() -> None:
    window = Window(10, settle_s=3)
    window.sent(1, READINGS, mid=11, now=0)
    window.sent(2, READINGS, mid=12, now=0)
    window.acknowledged(11, now=1)
    assert not window.may_send(1, READINGS, now=1)
    assert not window.may_send(2, READINGS, now=1)
    assert window.may_send(3, READINGS, now=1)


def test_message_is_settled_only_when_the_broker_is_heard_later() -> None:
    window = Window(10, settle_s=3)
    window.sent(1, READINGS, mid=11, now=0)
    window.sent(2, READINGS, mid=12, now=0)
    window.acknowledged(11, now=10)
    window.acknowledged(12, now=12)
    assert window.settled(heard_at=12.9) == []
    assert not window.wants_word(heard_at=12.9, now=12.9)
    assert window.wants_word(heard_at=12.9, now=13)
    assert window.settled(heard_at=13) == [1]
    window.removed([1])
    assert window.settled(heard_at=15) == [2]
    window.removed([2])
    assert not window.wants_word(heard_at=15, now=99)


def test_lost_connection_makes_the_unsettled_wait_again() -> None:
    window = Window(10, settle_s=3)
    window.sent(1, READINGS, mid=11, now=0)
    window.sent(2, READINGS, mid=12, now=0)
    window.acknowledged(11, now=1)
    window.after_seq = 2
    assert window.lost(now=2) is None
    assert window.after_seq == 0
    assert window.may_send(1, READINGS, now=2)
    assert window.may_send(2, READINGS, now=2)
    assert window.settled(heard_at=100) == []


def test_held_topic_is_probed_with_one_message_and_opens_on_success() -> None:
    window = Window(10, settle_s=3)
    window.sent(1, READINGS, mid=11, now=0)
    window.sent(2, READINGS, mid=12, now=0)
    assert window.hold(11, now=0) == READINGS
    assert window.hold(12, now=0) == READINGS
    assert window.held(now=0.9) == [READINGS]
    assert not window.may_send(1, READINGS, now=0.9)
    assert window.may_send(3, EVENT, now=0.9)
    window.after_seq = 9
    window.wake_holds(now=1)
    assert window.after_seq == 0
    assert window.held(now=1) == []
    assert window.may_send(1, READINGS, now=1)
    window.sent(1, READINGS, mid=13, now=1)
    assert not window.may_send(2, READINGS, now=1)
    assert window.held(now=1) == [READINGS]
    assert window.acknowledged(13, now=1) == READINGS
    assert window.may_send(2, READINGS, now=1)
    assert not window.is_holding


def test_hold_grows_with_each_failed_probe_up_to_a_minute() -> None:
    window = Window(10, settle_s=3)
    now = 0.0
    waits = []
    window.sent(1, READINGS, mid=1, now=now)
    window.hold(1, now)
    for mid in range(2, 10):
        start = now
        while window.held(now):
            now += 0.5
        waits.append(now - start)
        window.sent(1, READINGS, mid=mid, now=now)
        window.hold(mid, now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_message_on_which_connections_keep_dying_steps_aside_for_the_others() -> None:
    window = Window(10, settle_s=3)
    culprits = []
    for attempt in range(3):
        window.sent(7, READINGS, mid=1, now=attempt)
        window.sent(8, READINGS, mid=2, now=attempt)
        culprits.append(window.lost(now=attempt))
    assert culprits == [None, None, 7]
    assert not window.may_send(7, READINGS, now=3)
    assert window.may_send(8, READINGS, now=3)
    window.after_seq = 9
    window.wake_holds(now=6.9)
    assert window.after_seq == 9
    window.wake_holds(now=7)
    assert window.after_seq == 0
    assert window.may_send(7, READINGS, now=7)
    window.sent(7, READINGS, mid=3, now=7)
    assert window.lost(now=8) == 7
    assert not window.may_send(7, READINGS, now=17)
    assert window.may_send(7, READINGS, now=18)


def test_connections_that_die_on_different_messages_blame_none() -> None:
    window = Window(10, settle_s=3)
    for seq in range(1, 9):
        window.sent(seq, READINGS, mid=seq, now=seq)
        assert window.lost(now=seq) is None
    assert not window.is_holding


def test_connections_that_end_after_a_refusal_blame_no_other_message() -> None:
    window = Window(10, settle_s=3)
    for now in range(0, 400, 100):
        window.sent(1, READINGS, mid=1, now=now)
        window.sent(2, EVENT, mid=2, now=now)
        window.hold(1, now=now)
        assert window.lost(now=now) is None
        assert window.held(now) == [READINGS]
        assert window.may_send(2, EVENT, now=now)


def test_other_outbox_has_other_messages_and_nothing_is_held() -> None:
    window = Window(10, settle_s=3)
    window.sent(1, READINGS, mid=1, now=0)
    window.sent(2, READINGS, mid=2, now=0)
    window.hold(1, now=0)
    window.set_aside(2, now=0)
    window.forget()
    assert window.may_send(1, READINGS, now=0)
    assert window.may_send(2, READINGS, now=0)
    assert window.room == 10


def test_refused_message_steps_aside_and_frees_the_probe_of_its_topic() -> None:
    window = Window(10, settle_s=3)
    window.sent(1, READINGS, mid=11, now=0)
    window.hold(11, now=0)
    window.sent(1, READINGS, mid=12, now=2)
    assert window.set_aside(12, now=2) == 1
    assert window.set_aside(12, now=2) is None
    assert not window.may_send(1, READINGS, now=2)
    assert window.may_send(2, READINGS, now=2)
    assert window.is_holding


def test_waiting_since_is_the_time_of_the_oldest_unanswered_message() -> None:
    window = Window(10, settle_s=3)
    assert window.waiting_since() is None
    window.sent(1, READINGS, mid=1, now=4)
    window.sent(2, READINGS, mid=2, now=5)
    assert window.waiting_since() == 4
    window.acknowledged(1, now=6)
    assert window.waiting_since() == 5


def test_bundle_is_one_on_the_way_and_many_that_arrive() -> None:
    window = Window(2, settle_s=3)
    window.sent(1, READINGS, 101, 0, also=[2, 3])
    assert (window.in_flight, window.messages_of(101), window.messages_of(9)) == (1, 3, 0)
    assert not any(window.may_send(seq, READINGS, 0) for seq in (1, 2, 3))
    window.acknowledged(101, 1)
    assert window.settled(heard_at=4) == [1, 2, 3]


def test_of_a_bundle_on_which_the_connection_ends_each_is_tried_alone() -> None:
    window = Window(2, settle_s=3)
    assert window.may_bundle(2, READINGS)
    window.sent(1, READINGS, 101, 0, also=[2, 3])
    assert window.lost(1) is None
    assert [window.may_bundle(seq, READINGS) for seq in (1, 2, 3, 4)] == [False] * 3 + [True]
    assert window.may_send(2, READINGS, 2)
    window.sent(2, READINGS, 102, 2)
    window.acknowledged(102, 3)
    assert [window.may_bundle(seq, READINGS) for seq in (1, 2, 3)] == [False, True, False]


def test_of_a_bundle_that_is_too_large_each_is_tried_alone_at_once() -> None:
    window = Window(2, settle_s=3)
    window.sent(1, READINGS, 101, 0, also=[2])
    window.set_aside(101, 1)
    assert window.may_send(1, READINGS, 1)
    assert not window.may_bundle(1, READINGS)
