"""Topics: what is one of ours and what is not."""

import pytest

from packtap.wire import Topic, bundle, parse_topic, unbundle

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


def test_bundle_gives_back_what_went_in() -> None:
    payloads = [b'{"v":1,"text":"a\\nb"}', b'{"v":1}']
    assert unbundle(bundle(payloads), 1000) == payloads
    assert unbundle(payloads[0], 1000) == [payloads[0]]


@pytest.mark.parametrize(
    "payload",
    [
        bundle([b"{}" * 600]),
        bundle([b"{}"])[:-1],
        bundle([b"{}"]) + b"more",
        b"\x78\x9cnothing of the kind",
        b"\x78",
    ],
    ids=["swells", "cut", "more behind", "damaged", "head alone"],
)
def test_bundle_that_is_damaged_or_swells_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"damaged|not whole"):
        unbundle(payload, 1000)
