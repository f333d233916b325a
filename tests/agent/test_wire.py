"""Topics: what is one of ours and what is not."""

import pytest

from packtap.wire import Topic, parse_topic

OWN = "packtap/v1/workshop/tap-01/main"


@pytest.mark.parametrize(
    "kind", ["readings", "event", "health", "link", "status", "pack", "state", "diagnosis"]
)
def test_a_topic_names_its_sender_and_kind(kind: str) -> None:
    topic = Topic("workshop", "tap-01", "main", kind)
    assert parse_topic(f"{OWN}/{kind}") == topic
    assert str(topic) == f"{OWN}/{kind}"


@pytest.mark.parametrize("kind", ["pack", "state", "diagnosis"])
def test_what_each_pack_has_may_be_that_of_the_second_pack(kind: str) -> None:
    assert parse_topic(f"{OWN}/{kind}/bms2") == Topic("workshop", "tap-01", "main", kind)


@pytest.mark.parametrize(
    "rest",
    [
        "readings/bms2",
        "event/bms2",
        "health/bms2",
        "link/bms2",
        "status/bms2",
        "state/bms3",
        "state/bms2/x",
        "",
    ],
)
def test_nothing_else_may_follow(rest: str) -> None:
    assert parse_topic(f"{OWN}/{rest}") is None
